//! Escaping of names: the form of a UTF-8 name for a scraper that accepts only legacy names.
//!
//! Prometheus 3 accepts any UTF-8 string as the name of a metric or label; older scrapers accept only names that match
//! the *legacy* patterns, `[a-zA-Z_:][a-zA-Z0-9_:]*` for metrics and the same without the colon for labels. A
//! scraper names one of four schemes in its `Accept` header. The rules are those of the Prometheus documentation; where it
//! differs from `EscapeName` of prometheus/common (scheme `dots`), those of the code. One deviation is deliberate: the code
//! keeps a colon in label names, which fails a whole scrape.
//!
//! **The result of every scheme but `allow-utf-8` matches the legacy pattern.** Two names may have the same result; the
//! registry refuses the second ([`RegisterError::EscapedClash`](crate::RegisterError::EscapedClash)). Escaping costs one
//! pass over the characters. Names are escaped when they are registered or rendered, not in each scrape.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// A scheme that turns UTF-8 names into legacy names.
///
/// Escape the name of a *family* and append suffixes such as `_bucket` afterwards, as client_golang does: consumers
/// find the samples of a `# TYPE` line by their suffix.
///
/// ```
/// use dynamo_metrics_core::Escaping;
///
/// let name = "http.requests_total";
/// assert_eq!(Escaping::AllowUtf8.metric_name(name), "http.requests_total");
/// assert_eq!(Escaping::Underscores.metric_name(name), "http_requests_total");
/// assert_eq!(Escaping::Dots.metric_name(name), "http_dot_requests__total");
/// assert_eq!(Escaping::Values.metric_name(name), "U__http_2e_requests__total");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Escaping {
    /// Keeps names as they are; a name that is not legacy must be written in quotes.
    AllowUtf8,
    /// Turns each character that is not allowed into `_`. The default for scrapers that name no scheme.
    #[default]
    Underscores,
    /// Turns `.` into `_dot_`, `_` into `__`, and any other character that is not allowed into `__`. The only
    /// scheme that also changes legacy names.
    Dots,
    /// Prefixes `U__`, and turns `_` into `__` and each character that is not allowed into `_<hexadecimal code point>_`.
    /// Can be decoded.
    Values,
}

impl Escaping {
    /// All schemes; the one that changes least is first.
    pub const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// Returns its name in `Accept` and `Content-Type` headers.
    ///
    /// ```
    /// assert_eq!(dynamo_metrics_core::Escaping::AllowUtf8.as_str(), "allow-utf-8");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// Returns the name of a metric under this scheme; borrowed if nothing changes.
    ///
    /// ```
    /// use dynamo_metrics_core::Escaping;
    /// use std::borrow::Cow;
    ///
    /// let legacy = Escaping::Values.metric_name("vllm:requests_total");
    /// assert!(matches!(legacy, Cow::Borrowed("vllm:requests_total")));
    /// assert_eq!(Escaping::Values.metric_name("größe"), "U__gr_f6__df_e");
    /// ```
    pub fn metric_name(self, name: &str) -> Cow<'_, str> {
        self.escape(name, Pattern::Metric)
    }

    /// Returns the name of a label under this scheme; borrowed if nothing changes. A colon is not allowed in labels.
    ///
    /// ```
    /// use dynamo_metrics_core::Escaping;
    ///
    /// assert_eq!(Escaping::Underscores.label_name("k8s.pod:name"), "k8s_pod_name");
    /// ```
    pub fn label_name(self, label: &str) -> Cow<'_, str> {
        self.escape(label, Pattern::Label)
    }

    /// Appends the name of a metric under this scheme; allocates only the growth of `out`.
    ///
    /// ```
    /// let mut out = String::from("# TYPE ");
    /// dynamo_metrics_core::Escaping::Dots.write_metric_name("a.b", &mut out);
    /// assert_eq!(out, "# TYPE a_dot_b");
    /// ```
    pub fn write_metric_name(self, name: &str, out: &mut String) {
        self.write(name, Pattern::Metric, out);
    }

    /// Appends the name of a label under this scheme; allocates only the growth of `out`.
    ///
    /// ```
    /// let mut out = String::from("{");
    /// dynamo_metrics_core::Escaping::Dots.write_label_name("a:b", &mut out);
    /// assert_eq!(out, "{a__b");
    /// ```
    pub fn write_label_name(self, label: &str, out: &mut String) {
        self.write(label, Pattern::Label, out);
    }

    fn escape(self, name: &str, pattern: Pattern) -> Cow<'_, str> {
        if self.keeps(name, pattern) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(2 * name.len());
        self.write(name, pattern, &mut out);
        Cow::Owned(out)
    }

    fn keeps(self, name: &str, pattern: Pattern) -> bool {
        match self {
            Self::AllowUtf8 => true,
            Self::Underscores => pattern.matches(name),
            // An empty name stays empty in every scheme; no registry accepts one.
            Self::Values => name.is_empty() || pattern.matches(name),
            Self::Dots => !name.contains('_') && pattern.matches(name),
        }
    }

    fn write(self, name: &str, pattern: Pattern, out: &mut String) {
        if self.keeps(name, pattern) {
            out.push_str(name);
            return;
        }
        if self == Self::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let allowed = pattern.allows(at, c);
            match self {
                Self::Dots | Self::Values if c == '_' => out.push_str("__"),
                _ if allowed => out.push(c),
                Self::Dots if c == '.' => out.push_str("_dot_"),
                Self::Dots => out.push_str("__"),
                Self::Values => {
                    // Writing to a string does not fail.
                    let _ = write!(out, "_{:x}_", u32::from(c));
                }
                Self::AllowUtf8 | Self::Underscores => out.push('_'),
            }
        }
    }
}

impl fmt::Display for Escaping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns whether a metric name matches `[a-zA-Z_:][a-zA-Z0-9_:]*`, which every scraper accepts without quotes.
///
/// ```
/// use dynamo_metrics_core::escaping::is_legacy_metric_name;
///
/// assert!(is_legacy_metric_name("vllm:requests_total"));
/// assert!(!is_legacy_metric_name("http.requests"));
/// ```
pub fn is_legacy_metric_name(name: &str) -> bool {
    Pattern::Metric.matches(name)
}

/// Returns whether a label name matches `[a-zA-Z_][a-zA-Z0-9_]*`, which every scraper accepts without quotes.
///
/// ```
/// use dynamo_metrics_core::escaping::is_legacy_label_name;
///
/// assert!(is_legacy_label_name("model"));
/// assert!(!is_legacy_label_name("vllm:model"), "a colon is for metrics only");
/// ```
pub fn is_legacy_label_name(label: &str) -> bool {
    Pattern::Label.matches(label)
}

#[derive(Clone, Copy)]
enum Pattern {
    Metric,
    Label,
}

impl Pattern {
    fn matches(self, name: &str) -> bool {
        !name.is_empty() && name.char_indices().all(|(at, c)| self.allows(at, c))
    }

    /// Returns whether `c` is allowed `at` bytes from the beginning.
    fn allows(self, at: usize, c: char) -> bool {
        let colon = matches!(self, Self::Metric) && c == ':';
        c.is_ascii_alphabetic() || c == '_' || colon || (at > 0 && c.is_ascii_digit())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes a name of scheme `values`, as `UnescapeName` of prometheus/common does; `None` if it is not one.
    fn decode(escaped: &str) -> Option<String> {
        let mut rest = escaped.strip_prefix("U__")?;
        let mut name = String::new();
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '_' {
                name.push(c);
                continue;
            }
            let (code, after) = rest.split_once('_')?;
            rest = after;
            if code.is_empty() {
                name.push('_');
            } else {
                name.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
            }
        }
        Some(name)
    }

    #[test]
    fn golden_metric_names() {
        // name, underscores, dots, values
        let table = [
            ("a", "a", "a", "a"),
            (
                "no:escaping_required",
                "no:escaping_required",
                "no:escaping__required",
                "no:escaping_required",
            ),
            ("_", "_", "__", "_"),
            ("_a__b_", "_a__b_", "__a____b__", "_a__b_"),
            (
                "mysystem.prod.west.cpu.load",
                "mysystem_prod_west_cpu_load",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
            ),
            (
                "mysystem.prod.west.cpu.load_total",
                "mysystem_prod_west_cpu_load_total",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load__total",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load__total",
            ),
            ("http.status:sum", "http_status:sum", "http_dot_status:sum", "U__http_2e_status:sum"),
            (
                "my.metric/name with\u{20ac}",
                "my_metric_name_with_",
                "my_dot_metric__name__with__",
                "U__my_2e_metric_2f_name_20_with_20ac_",
            ),
            ("label with 😱", "label_with__", "label__with____", "U__label_20_with_20__1f631_"),
            ("花火", "__", "____", "U___82b1__706b_"),
            ("9a9", "_a9", "__a9", "U___39_a9"),
            (".", "_", "_dot_", "U___2e_"),
            ("a\n\"\\b", "a___b", "a______b", "U__a_a__22__5c_b"),
            ("\u{1}", "_", "__", "U___1_"),
            ("\u{10ffff}", "_", "__", "U___10ffff_"),
            ("", "", "", ""),
        ];
        for (name, underscores, dots, values) in table {
            assert_eq!(Escaping::AllowUtf8.metric_name(name), name);
            assert_eq!(Escaping::Underscores.metric_name(name), underscores);
            assert_eq!(Escaping::Dots.metric_name(name), dots);
            assert_eq!(Escaping::Values.metric_name(name), values);
        }
    }

    #[test]
    fn golden_label_names() {
        // A colon is where labels differ from metrics.
        let table = [
            ("model", "model", "model", "model"),
            ("worker_id", "worker_id", "worker__id", "worker_id"),
            ("x:y", "x_y", "x__y", "U__x_3a_y"),
            (":", "_", "__", "U___3a_"),
            ("k8s.pod_name", "k8s_pod_name", "k8s_dot_pod__name", "U__k8s_2e_pod__name"),
            ("0", "_", "__", "U___30_"),
        ];
        for (label, underscores, dots, values) in table {
            assert_eq!(Escaping::AllowUtf8.label_name(label), label);
            assert_eq!(Escaping::Underscores.label_name(label), underscores);
            assert_eq!(Escaping::Dots.label_name(label), dots);
            assert_eq!(Escaping::Values.label_name(label), values);
        }
    }

    #[test]
    fn nothing_is_copied_when_nothing_changes() {
        for scheme in Escaping::ALL {
            assert!(matches!(scheme.metric_name("vllm:requests"), Cow::Borrowed(_)), "{scheme}");
            assert_eq!(scheme.to_string(), scheme.as_str());
        }
    }

    /// Names in which every kind of character is frequent.
    fn names() -> impl Strategy<Value = String> {
        let c = prop_oneof![
            prop::char::range('a', 'z'),
            prop::sample::select(vec![
                '_', '_', '.', ':', '0', '9', 'U', ' ', '"', '\n', 'é', '🦀'
            ]),
            any::<char>(),
        ];
        prop::collection::vec(c, 1..12).prop_map(|name| name.into_iter().collect())
    }

    proptest! {
        #[test]
        fn escaped_names_are_legacy_and_appended(name in names()) {
            for scheme in Escaping::ALL {
                let (metric, label) = (scheme.metric_name(&name), scheme.label_name(&name));
                if scheme == Escaping::AllowUtf8 {
                    prop_assert_eq!(&metric, &name);
                    prop_assert_eq!(&label, &name);
                } else {
                    prop_assert!(is_legacy_metric_name(&metric), "{scheme}: {metric:?}");
                    prop_assert!(is_legacy_label_name(&label), "{scheme}: {label:?}");
                }
                let mut out = String::from("x");
                scheme.write_metric_name(&name, &mut out);
                scheme.write_label_name(&name, &mut out);
                prop_assert_eq!(out, format!("x{metric}{label}"));
            }
        }

        #[test]
        fn legacy_names_change_only_in_dots(name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,9}") {
            for scheme in [Escaping::Underscores, Escaping::Values] {
                prop_assert_eq!(scheme.metric_name(&name), &*name);
            }
            prop_assert_eq!(Escaping::Dots.metric_name(&name), name.replace('_', "__"));
        }

        #[test]
        fn underscores_keep_the_number_of_characters(name in names()) {
            let escaped = Escaping::Underscores.metric_name(&name);
            prop_assert_eq!(escaped.chars().count(), name.chars().count());
        }

        #[test]
        fn values_can_be_decoded(name in names()) {
            for (escaped, legacy) in [
                (Escaping::Values.metric_name(&name), is_legacy_metric_name(&name)),
                (Escaping::Values.label_name(&name), is_legacy_label_name(&name)),
            ] {
                let expected = if legacy { decode(&name) } else { Some(name.clone()) };
                prop_assert_eq!(decode(&escaped), expected);
            }
        }
    }
}
