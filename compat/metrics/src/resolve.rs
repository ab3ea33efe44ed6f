//! From a key of the facade to the series on the page, and the check that two keys are not one series.
//!
//! ```text
//! key        http.requests{a="1", b="", zone="eu"}        with the global label zone="us"
//! written    http.requests{a="1", zone="eu"}              as it was meant: sorted, no empty values
//! series     http_requests{zone="eu"} {a="1"}             as it is printed: the scope's labels, and its own
//! ```
//!
//! Keys that are written alike are one metric, as Prometheus sees it: an empty value is the same as no label, and the order of labels has no
//! meaning. Keys that are written differently and would be one series are a clash.

use crate::naming::{label_name, metric_name};
use dynamo_metrics_core::limits::OPERATOR_LABEL_VALUE_BYTES_MAX;
use metrics::{Key, Label};
use std::fmt;

/// Names and values of labels, sorted by name.
pub(crate) type Labels = Vec<(String, String)>;

/// A name and labels.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) labels: Labels,
}

/// A key, resolved.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) written: Named,
    /// The labels of the scope: the global ones, where the key has no other value for one of them.
    pub(crate) scope: Labels,
    /// The name without suffixes, and the labels of the series within the scope.
    pub(crate) series: Named,
}

impl Resolved {
    /// Resolves a key under these global labels, whose names are valid.
    pub(crate) fn new(key: &Key, globals: &Labels) -> Self {
        let mut own: Labels = Vec::with_capacity(key.labels().len());
        for label in key.labels() {
            match own.iter_mut().find(|(name, _)| name == label.key()) {
                // The last one counts, as in the exporter whose behaviour this is.
                Some((_, value)) => *value = label.value().into(),
                None => own.push((label.key().into(), label.value().into())),
            }
        }
        let mut scope = globals.clone();
        let (mut written, mut labels) = (Vec::new(), Vec::new());
        for (name, value) in own {
            let printed = label_name(&name);
            let cut = cut(&value).to_string();
            if let Some((_, global)) = scope.iter_mut().find(|(global, _)| *global == printed) {
                *global = cut;
            } else if value.is_empty() {
                continue;
            } else {
                labels.push((printed, cut));
            }
            written.push((name, value));
        }
        written.sort_unstable();
        labels.sort_unstable();
        let written = Named { name: key.name().into(), labels: written };
        Self { written, scope, series: Named { name: metric_name(key.name()), labels } }
    }

    /// Returns the series as one list of labels under the name that is printed.
    pub(crate) fn identity(&self, printed: &str) -> Named {
        let labels = self.scope.iter().chain(&self.series.labels).cloned().collect();
        Named { name: printed.into(), labels }
    }

    /// Returns the key of the same series that is written as it is printed; `None` where the key replaces a global label.
    pub(crate) fn plain_key(&self, printed: &str, globals: &Labels) -> Option<Key> {
        let label = |(name, value): &(String, String)| Label::new(name.clone(), value.clone());
        let labels: Vec<Label> = self.series.labels.iter().map(label).collect();
        (self.scope == *globals).then(|| Key::from_parts(printed.to_string(), labels))
    }
}

/// Returns the part of a label value that is printed.
fn cut(value: &str) -> &str {
    let end = value.floor_char_boundary(OPERATOR_LABEL_VALUE_BYTES_MAX);
    &value[..end]
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let mut before = '{';
        for (name, value) in &self.labels {
            write!(f, "{before}{name}={value:?}")?;
            before = ',';
        }
        if before == ',' { f.write_str("}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(list: &[(&str, &str)]) -> Labels {
        list.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    fn resolve(name: &'static str, own: &[(&str, &str)], globals: &[(&str, &str)]) -> Resolved {
        let own: Vec<Label> =
            own.iter().map(|&(n, v)| Label::new(n.to_string(), v.to_string())).collect();
        Resolved::new(&Key::from_parts(name, own), &labels(globals))
    }

    #[test]
    fn order_and_empty_values_have_no_meaning() {
        let one = resolve("x", &[("b", "2"), ("a", "1"), ("c", "")], &[]);
        let other = resolve("x", &[("a", "1"), ("b", "2")], &[]);
        assert_eq!((&one.written, &one.series), (&other.written, &other.series));
        assert_eq!(one.plain_key("x", &Vec::new()), other.plain_key("x", &Vec::new()));
        assert_eq!(one.written.to_string(), r#"x{a="1",b="2"}"#);
        assert_eq!(resolve("x", &[], &[]).written.to_string(), "x");
    }

    #[test]
    fn a_label_of_the_key_replaces_the_global_one() {
        let globals = [("zone", "us")];
        let replaced = resolve("x", &[("zone", "eu"), ("a", "1")], &globals);
        assert_eq!(replaced.scope, labels(&[("zone", "eu")]));
        assert_eq!(replaced.series.labels, labels(&[("a", "1")]));
        assert!(replaced.plain_key("x", &labels(&globals)).is_none());
        let same = resolve("x", &[("zone", "us")], &globals);
        let plain = resolve("x", &[], &globals);
        assert_eq!(same.identity("x"), plain.identity("x"));
        assert_ne!(same.written, plain.written, "a clash");
        let none = resolve("x", &[("zone", "")], &globals);
        assert_ne!(none.identity("x"), plain.identity("x"));
    }

    #[test]
    fn the_last_of_two_labels_with_one_name_counts() {
        let twice = resolve("x", &[("a", "1"), ("a", "2")], &[]);
        assert_eq!(twice.written.labels, labels(&[("a", "2")]));
        let clash = resolve("x", &[("a.b", "1"), ("a_b", "2")], &[]);
        assert_eq!(clash.series.labels, labels(&[("a_b", "1"), ("a_b", "2")]));
    }
}
