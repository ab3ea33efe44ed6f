//! A body that passed: families in the order of the text, samples in the order of the lines, label
//! values and help texts unescaped. Lookups scan; they are for tests and tools, not for hot paths.

use crate::kind::Kind;

/// Nanoseconds of a millisecond.
const NANOS_PER_MILLI: i128 = 1_000_000;

/// The content of one body.
///
/// ```
/// use dynamo_metrics_parser::parse;
///
/// let body = b"# TYPE tokens_total counter\ntokens_total{model=\"m\"} 7\ntokens_total 2\n";
/// let exposition = parse(body).unwrap();
/// assert_eq!(exposition.families.len(), 1);
/// assert_eq!(exposition.value("tokens_total", &[("model", "m")]), Some(7.0));
/// assert_eq!(exposition.sum("tokens_total"), Some(9.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Exposition {
    /// The families, in the order of the text.
    pub families: Vec<Family>,
}

impl Exposition {
    /// Returns the family of this name: `tokens`, never `tokens_bucket`. Looks at each family.
    ///
    /// ```
    /// let exposition = dynamo_metrics_parser::parse(b"a 1\n").unwrap();
    /// assert!(exposition.family("a").is_some());
    /// assert!(exposition.family("b").is_none());
    /// ```
    #[must_use]
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }

    /// Returns the value of one series, by its sample name (`tokens_bucket`, not `tokens`) and its whole
    /// label set in any order. An empty label value is the same as none.
    ///
    /// ```
    /// let exposition = dynamo_metrics_parser::parse(b"a{x=\"1\",y=\"2\"} 3\n").unwrap();
    /// assert_eq!(exposition.value("a", &[("y", "2"), ("x", "1")]), Some(3.0));
    /// assert_eq!(exposition.value("a", &[("x", "1")]), None);
    /// ```
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = labels.iter().filter(|(_, value)| !value.is_empty()).count();
        self.samples_named(name)
            .find(|sample| {
                let present = sample.labels.iter().filter(|(_, value)| !value.is_empty()).count();
                present == wanted
                    && labels
                        .iter()
                        .all(|(name, value)| sample.label(name).unwrap_or_default() == *value)
            })
            .map(|sample| sample.value)
    }

    /// Returns the sum over all series of one sample name, or `None` when there is none, so that a misspelt name
    /// does not read as zero.
    ///
    /// ```
    /// let exposition = dynamo_metrics_parser::parse(b"a{x=\"1\"} 3\na 4\n").unwrap();
    /// assert_eq!(exposition.sum("a"), Some(7.0));
    /// assert_eq!(exposition.sum("b"), None);
    /// ```
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.samples_named(name).map(|sample| sample.value).reduce(|sum, value| sum + value)
    }

    /// Returns all samples, family by family.
    ///
    /// ```
    /// let exposition = dynamo_metrics_parser::parse(b"a 1\nb 2\n").unwrap();
    /// let names: Vec<_> = exposition.samples().map(|sample| &sample.name[..]).collect();
    /// assert_eq!(names, ["a", "b"]);
    /// ```
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.iter().flat_map(|family| &family.samples)
    }

    fn samples_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        // A sample's name always starts with its family's: most families are skipped whole.
        self.families
            .iter()
            .filter(move |family| name.starts_with(&family.name))
            .flat_map(|family| &family.samples)
            .filter(move |sample| sample.name == name)
    }
}

/// The samples of one name, with its type and help text.
///
/// ```
/// use dynamo_metrics_parser::{Kind, parse};
///
/// let exposition = parse(b"# HELP a Any \\\\ text.\n# TYPE a gauge\na 1\n").unwrap();
/// let family = exposition.family("a").unwrap();
/// assert_eq!(family.kind, Kind::Gauge);
/// assert_eq!(family.help.as_deref(), Some("Any \\ text."));
/// assert_eq!(family.samples.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Family {
    /// Its name, as HELP and TYPE spell it.
    pub name: String,
    /// Its type; without a TYPE line [`Kind::Untyped`], in OpenMetrics [`Kind::Unknown`].
    pub kind: Kind,
    /// The unit of its UNIT line, as `seconds`; text 0.0.4 has no such lines.
    pub unit: Option<String>,
    /// Its help text, unescaped.
    pub help: Option<String>,
    /// Its samples, in the order of the lines. A family may have none.
    pub samples: Vec<Sample>,
}

/// One line: a series and its value.
///
/// ```
/// let exposition = dynamo_metrics_parser::parse(b"a{x=\"1\"} 6.0 1500\n").unwrap();
/// let sample = exposition.samples().next().unwrap();
/// assert_eq!((sample.line, &sample.name[..]), (1, "a"));
/// assert_eq!((sample.value, &sample.text[..]), (6.0, "6.0"));
/// assert_eq!(sample.timestamp, Some(1500));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The line it stands on, from 1.
    pub line: usize,
    /// Its own name, `tokens_bucket` for a bucket of `tokens`.
    pub name: String,
    /// Its labels in the order of the line, values unescaped.
    pub labels: Vec<(String, String)>,
    /// Its value; counts beyond 2^53 are rounded here, see [`text`](Self::text).
    pub value: f64,
    /// Its value as the body spells it.
    pub text: String,
    /// Milliseconds since the epoch, never negative. OpenMetrics writes seconds; digits below a millisecond are cut
    /// off, as in Prometheus.
    pub timestamp: Option<i64>,
    /// Nanoseconds beyond the millisecond, below 1,000,000.
    pub(crate) below_ms: u32,
    /// Its exemplar, which text 0.0.4 does not have.
    pub exemplar: Option<Exemplar>,
}

impl Sample {
    /// Returns the value of a label, if the line has it.
    ///
    /// ```
    /// let exposition = dynamo_metrics_parser::parse(b"a{x=\"1\"} 6\n").unwrap();
    /// let sample = exposition.samples().next().unwrap();
    /// assert_eq!(sample.label("x"), Some("1"));
    /// assert_eq!(sample.label("y"), None);
    /// ```
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(own, _)| own == name).map(|(_, value)| &value[..])
    }

    /// Returns the timestamp in nanoseconds since the epoch, with all nine digits that OpenMetrics may give it.
    ///
    /// ```
    /// let body = b"a 1 1.000000002\n# EOF\n";
    /// let exposition = dynamo_metrics_parser::openmetrics::parse(body).unwrap();
    /// let sample = exposition.samples().next().unwrap();
    /// assert_eq!((sample.timestamp, sample.timestamp_nanos()), (Some(1000), Some(1_000_000_002)));
    /// ```
    #[must_use]
    pub fn timestamp_nanos(&self) -> Option<i128> {
        self.timestamp.map(|ms| i128::from(ms) * NANOS_PER_MILLI + i128::from(self.below_ms))
    }
}

/// One observation that stands for others, with the labels of its trace.
///
/// ```
/// use dynamo_metrics_parser::openmetrics;
///
/// let body = b"# TYPE a counter\na_total 3 # {trace_id=\"4bf92f\"} 0.5 1.5\n# EOF\n";
/// let exposition = openmetrics::parse(body).unwrap();
/// let exemplar = exposition.samples().next().unwrap().exemplar.as_ref().unwrap();
/// assert_eq!(exemplar.labels, [("trace_id".to_owned(), "4bf92f".to_owned())]);
/// assert_eq!((exemplar.value, exemplar.timestamp), (0.5, Some(1500)));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Exemplar {
    /// Its labels in the order of the line; together at most 128 code points.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
    /// Its value as the body spells it.
    pub text: String,
    /// Milliseconds since the epoch, cut off below.
    pub timestamp: Option<i64>,
    /// Nanoseconds beyond the millisecond, below 1,000,000.
    pub(crate) below_ms: u32,
}

impl Exemplar {
    /// Returns the timestamp in nanoseconds since the epoch.
    ///
    /// ```
    /// use dynamo_metrics_parser::openmetrics;
    ///
    /// let body = b"# TYPE a counter\na_total 3 # {} 1 0.000000001\n# EOF\n";
    /// let exposition = openmetrics::parse(body).unwrap();
    /// let exemplar = exposition.samples().next().unwrap().exemplar.as_ref().unwrap();
    /// assert_eq!(exemplar.timestamp_nanos(), Some(1));
    /// ```
    #[must_use]
    pub fn timestamp_nanos(&self) -> Option<i128> {
        self.timestamp.map(|ms| i128::from(ms) * NANOS_PER_MILLI + i128::from(self.below_ms))
    }
}

/// Returns the identity of a series as bytes: name and sorted labels. Labels with an empty value are left out, since
/// Prometheus drops them. The separators never occur in UTF-8.
pub(crate) fn series_key<'a>(
    name: &str,
    labels: impl Iterator<Item = &'a (String, String)>,
) -> Vec<u8> {
    let mut labels: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
    labels.sort_unstable();
    let mut key = name.as_bytes().to_vec();
    for (name, value) in labels {
        key.push(0xfe);
        key.extend_from_slice(name.as_bytes());
        key.push(0xff);
        key.extend_from_slice(value.as_bytes());
    }
    key
}
