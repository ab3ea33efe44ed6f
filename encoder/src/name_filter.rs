//! The query parameter `name[]`: a scrape of some families only.
//!
//! `GET /metrics?name[]=up&name[]=http_requests_total`. Client libraries differ in what they compare:
//! client_java and client_python the names of samples, client_golang 1.24 the names of families. **Here a family
//! is shown, and always whole, when its name or the name of any of its samples in any format is asked for**: a query
//! that works with one of the three works here. Names that no family has are no error, an empty value is no name, and
//! a query without the parameter shows everything.
//!
//! Reading a query costs one pass and a sort, a family a binary search for each of its sample names; the latter
//! allocates nothing.

use std::iter;
use thiserror::Error;

/// Longest query, in bytes, that is read (as in client_java). A thousand names of the usual length fit in it.
///
/// ```
/// use dynamo_metrics_encoder::name_filter::{NameFilter, QUERY_BYTES_MAX};
///
/// assert!(NameFilter::from_query(&"x".repeat(QUERY_BYTES_MAX)).is_ok());
/// assert!(NameFilter::from_query(&"x".repeat(QUERY_BYTES_MAX + 1)).is_err());
/// ```
pub const QUERY_BYTES_MAX: usize = 64 * 1024;

/// Most names that a scraper may ask for (as in client_java). One that wants more can ask for everything.
///
/// ```
/// use dynamo_metrics_encoder::name_filter::{NAMES_MAX, NameFilter};
///
/// assert!(NameFilter::from_query(&"name[]=x&".repeat(NAMES_MAX)).is_ok());
/// ```
pub const NAMES_MAX: usize = 1024;

/// The families that a scraper asks for; all by default.
///
/// ```
/// use dynamo_metrics_encoder::name_filter::NameFilter;
///
/// let filter = NameFilter::from_query("name%5B%5D=wait_seconds_sum&name[]=up")?;
/// assert!(filter.admits("up", "gauge"));
/// assert!(filter.admits("wait_seconds", "histogram"), "one of its samples is asked for");
/// assert!(!filter.admits("wait_seconds", "gauge"), "which has no such sample");
/// assert!(NameFilter::from_query("debug=1")?.admits("anything", "counter"));
/// # Ok::<(), dynamo_metrics_encoder::name_filter::NameFilterError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameFilter {
    /// Sorted, without duplicates; `None` if all families are shown. Bytes, because a query may hold
    /// any; those that are not UTF-8 name no family.
    names: Option<Box<[Box<[u8]>]>>,
}

/// A query that is longer, or has more names, than the limits; it is answered with status 400.
///
/// ```
/// use dynamo_metrics_encoder::name_filter::{NameFilter, NameFilterError, QUERY_BYTES_MAX};
///
/// let bytes = QUERY_BYTES_MAX + 1;
/// let error = NameFilter::from_query(&"x".repeat(bytes)).unwrap_err();
/// assert_eq!(error, NameFilterError::QueryTooLong { bytes });
/// assert!(error.to_string().ends_with("ask for fewer names"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameFilterError {
    /// Longer than [`QUERY_BYTES_MAX`].
    #[error("the query has {bytes} bytes, at most {QUERY_BYTES_MAX} are read; ask for fewer names")]
    QueryTooLong {
        /// Its length.
        bytes: usize,
    },
    /// More names than [`NAMES_MAX`].
    #[error(
        "more than {NAMES_MAX} names are asked for by `name[]`; ask for fewer, or for everything by leaving it out"
    )]
    TooManyNames,
}

impl NameFilter {
    /// Reads a query, the part of a URL after `?`. Keys and values may be percent-encoded, `+` is a blank, and
    /// what is not valid percent-encoding stands for itself.
    ///
    /// # Errors
    /// A query of more than [`QUERY_BYTES_MAX`] bytes or [`NAMES_MAX`] names.
    ///
    /// ```
    /// use dynamo_metrics_encoder::name_filter::{NAMES_MAX, NameFilter, NameFilterError};
    ///
    /// let error = NameFilter::from_query(&"name[]=x&".repeat(NAMES_MAX + 1)).unwrap_err();
    /// assert_eq!(error, NameFilterError::TooManyNames);
    /// ```
    pub fn from_query(query: &str) -> Result<Self, NameFilterError> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(NameFilterError::QueryTooLong { bytes: query.len() });
        }
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for pair in query.split('&') {
            let Some((key, value)) = pair.split_once('=') else { continue };
            if value.is_empty() || !decoded(key).eq(*b"name[]") {
                continue;
            }
            if names.len() == NAMES_MAX {
                return Err(NameFilterError::TooManyNames);
            }
            names.push(decoded(value).collect());
        }
        names.sort_unstable();
        names.dedup();
        Ok(Self { names: (!names.is_empty()).then(|| names.into()) })
    }

    /// Returns whether every family is shown, because none was asked for by name.
    ///
    /// ```
    /// assert!(dynamo_metrics_encoder::name_filter::NameFilter::default().admits_all());
    /// ```
    pub fn admits_all(&self) -> bool {
        self.names.is_none()
    }

    /// The names that are asked for, sorted and each once, so that equal filters have equal names; `None` if all
    /// families are shown.
    ///
    /// ```
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    ///
    /// let filter = NameFilter::from_query("name[]=b&x=y&name[]=%61&name[]=b")?;
    /// assert!(filter.names().is_some_and(|names| names.eq([b"a", b"b"])));
    /// assert!(NameFilter::default().names().is_none());
    /// # Ok::<(), dynamo_metrics_encoder::name_filter::NameFilterError>(())
    /// ```
    pub fn names(&self) -> Option<impl Iterator<Item = &[u8]>> {
        self.names.as_deref().map(|names| names.iter().map(|name| &**name))
    }

    /// Returns whether the family of this name and exposed type (`counter`, `histogram`, ..., as in a `# TYPE` line of text or
    /// OpenMetrics) is shown. Where names are escaped, ask with the escaped name too: scrapers know the names that they were
    /// shown.
    ///
    /// ```
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    ///
    /// let filter = NameFilter::from_query("name[]=requests")?;
    /// assert!(filter.admits("requests_total", "counter"), "the name of the family in OpenMetrics");
    /// # Ok::<(), dynamo_metrics_encoder::name_filter::NameFilterError>(())
    /// ```
    pub fn admits(&self, family: &str, exposed_type: &str) -> bool {
        let Some(names) = &self.names else { return true };
        let stem = |suffix: &'static str| family.strip_suffix(suffix).unwrap_or(family);
        // Suffixes are added to the family's name in OpenMetrics, which lacks the suffix of its only sample.
        let (stem, suffixes): (&str, &[&str]) = match exposed_type {
            "counter" => (stem("_total"), &["", "_total", "_created"]),
            "info" => (stem("_info"), &["", "_info"]),
            "histogram" => (family, &["_bucket", "_sum", "_count", "_created"]),
            "gaugehistogram" => (family, &["_bucket", "_gsum", "_gcount"]),
            "summary" => (family, &["_sum", "_count", "_created"]),
            _ => (family, &[]),
        };
        let asked = |name: &str, suffix: &str| {
            let wanted = || name.bytes().chain(suffix.bytes());
            names.binary_search_by(|asked| asked.iter().copied().cmp(wanted())).is_ok()
        };
        asked(family, "") || suffixes.iter().any(|suffix| asked(stem, suffix))
    }
}

/// The bytes that a part of a query stands for.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    iter::from_fn(move || {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        Some(match (byte, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => byte,
        })
    })
}

fn hex(digit: u8) -> Option<u8> {
    // Below 16 by definition.
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(query: &str) -> NameFilter {
        NameFilter::from_query(query).unwrap()
    }

    #[test]
    fn keys_and_values_are_decoded() {
        for query in [
            "name[]=a.b c",
            "name%5B%5D=a.b+c",
            "name%5b%5d=a%2Eb%20c",
            "n%61me[%5D=%61.b%20c",
            "&&x=y&name[]=a.b c&",
            "name[]=&name[]=a.b c",
            "name[]=other&name[]=a.b c&name[]=a.b c",
        ] {
            assert!(filter(query).admits("a.b c", "gauge"), "{query}");
            assert!(!filter(query).admits("a.b", "gauge"), "{query}");
            assert!(!filter(query).admits_all(), "{query}");
        }
        // A byte that is not part of a percent-encoding stands for itself.
        for (query, name) in [
            ("name[]=%", "%"),
            ("name[]=%4", "%4"),
            ("name[]=%zz", "%zz"),
            ("name[]=%4g", "%4g"),
            ("name[]=%%41", "%A"),
            ("name[]=a=b", "a=b"),
            ("name[]=gr%C3%B6%C3%9Fe", "größe"),
            ("name[]=größe", "größe"),
            ("name[]=%00", "\0"),
        ] {
            assert!(filter(query).admits(name, "gauge"), "{query}");
        }
    }

    #[test]
    fn other_queries_show_everything() {
        for query in ["", "&", "name[]", "name[]=", "name=x", "name[=x", "names[]=x", "Name[]=x"] {
            assert_eq!(filter(query), NameFilter::default(), "{query}");
        }
        assert!(filter("name=x").admits_all() && filter("name=x").admits("y", "gauge"));
        // Asking for something that cannot exist is not asking for everything.
        assert!(!filter("name[]=%FF").admits("y", "gauge"));
    }

    #[test]
    fn a_family_is_shown_for_each_of_its_samples() {
        // type, name of the family, what shows it, what does not
        let table: [(&str, &str, &[&str], &[&str]); 9] = [
            (
                "counter",
                "x_total",
                &["x_total", "x", "x_created"],
                &["x_total_total", "x_sum", "total"],
            ),
            ("counter", "x", &["x", "x_total", "x_created"], &["x_bucket"]),
            ("gauge", "x", &["x"], &["x_total", "x_sum", "x_created", "x_info"]),
            ("gauge", "x_info", &["x_info"], &["x"]),
            (
                "histogram",
                "x",
                &["x", "x_bucket", "x_sum", "x_count", "x_created"],
                &["x_total", "x_gsum"],
            ),
            (
                "gaugehistogram",
                "x",
                &["x", "x_bucket", "x_gsum", "x_gcount"],
                &["x_sum", "x_created"],
            ),
            ("summary", "x", &["x", "x_sum", "x_count", "x_created"], &["x_bucket"]),
            ("info", "x_info", &["x_info", "x"], &["x_info_info"]),
            ("stateset", "x", &["x"], &["x_info"]),
        ];
        for (exposed_type, family, shown_for, not_for) in table {
            for name in shown_for {
                assert!(filter(&format!("name[]={name}")).admits(family, exposed_type), "{name}");
            }
            for name in not_for.iter().chain(&["", "y", "X", "x_", "_x", "_"]) {
                let filter = filter(&format!("name[]={name}&name[]=z"));
                assert!(!filter.admits(family, exposed_type), "{name}: {family} {exposed_type}");
            }
        }
    }

    #[test]
    fn limits_are_kept_exactly() {
        let names = |n: usize| NameFilter::from_query(&"name[]=x&".repeat(n));
        assert!(names(NAMES_MAX).unwrap().admits("x", "gauge"));
        assert_eq!(names(NAMES_MAX + 1).unwrap_err(), NameFilterError::TooManyNames);
        let long = |n: usize| format!("name[]=x&{}", "y".repeat(n - 9));
        assert!(NameFilter::from_query(&long(QUERY_BYTES_MAX)).unwrap().admits("x", "gauge"));
        let error = NameFilter::from_query(&long(QUERY_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the query has 65537 bytes, at most 65536 are read; ask for fewer names"
        );
        // Parameters that are not for us do not count as names.
        assert!(NameFilter::from_query(&"x=y&".repeat(NAMES_MAX + 1)).unwrap().admits_all());
    }

    proptest! {
        /// A name that is asked for, encoded in any way, is found, and no other.
        #[test]
        fn agrees_with_a_plain_comparison(
            asked in prop::collection::vec(("[ab]{1,2}(_sum|_total|\\PC)?", any::<bool>()), 1..6),
            family in "[ab]{1,2}(_total|\\PC)?",
            kind in prop::sample::select(vec!["counter", "summary", "gauge"]),
        ) {
            let query: Vec<String> = asked.iter().map(|(name, encoded)| {
                let encode = |byte: u8| match byte {
                    b'&' | b'=' | b'%' | b'+' => format!("%{byte:02X}"),
                    _ if *encoded => format!("%{byte:02x}"),
                    _ => String::new(),
                };
                let characters = name.chars().map(|c| {
                    let mut utf8 = [0; 4];
                    let text: String = c.encode_utf8(&mut utf8).bytes().map(encode).collect();
                    if text.is_empty() { c.to_string() } else { text }
                });
                format!("name[]={}", characters.collect::<String>())
            }).collect();
            let filter = filter(&query.join("&"));
            let stem = family.strip_suffix("_total").unwrap_or(&family);
            let samples = match kind {
                "counter" => vec![family.clone(), stem.into(), format!("{stem}_total"), format!("{stem}_created")],
                "summary" => ["", "_sum", "_count", "_created"].map(|s| format!("{family}{s}")).into(),
                _ => vec![family.clone()],
            };
            let shown = asked.iter().any(|(name, _)| samples.contains(name));
            prop_assert_eq!(filter.admits(&family, kind), shown);
        }

        #[test]
        fn any_query_is_read(query in "\\PC*", name in "\\PC*") {
            let filter = filter(&query);
            filter.admits(&name, "counter");
            prop_assert!(filter.admits_all() || query.contains('='));
        }
    }
}
