//! A body that passed: families in the order of the text, samples in the order of the lines, label
//! values and help texts unescaped. Lookups scan; they are for tests and tools, not for hot paths.

/// Everything one body says.
///
/// ```
/// use dynamo_metrics_encoder::strict;
///
/// let body = b"# TYPE tokens_total counter\ntokens_total{model=\"m\"} 7\ntokens_total 2\n";
/// let exposition = strict::parse(body).unwrap();
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
    /// The family of this name: `tokens`, never `tokens_bucket`.
    ///
    /// ```
    /// let exposition = dynamo_metrics_encoder::strict::parse(b"a 1\n").unwrap();
    /// assert!(exposition.family("a").is_some());
    /// assert!(exposition.family("b").is_none());
    /// ```
    #[must_use]
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }

    /// The value of one series, by its sample name (`tokens_bucket`, not `tokens`) and its whole
    /// label set in any order. An empty label value is the same as none.
    ///
    /// ```
    /// let exposition = dynamo_metrics_encoder::strict::parse(b"a{x=\"1\",y=\"2\"} 3\n").unwrap();
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

    /// The sum over all series of one sample name, or `None` when there is none: a misspelt name
    /// must not pass for a zero.
    ///
    /// ```
    /// let exposition = dynamo_metrics_encoder::strict::parse(b"a{x=\"1\"} 3\na 4\n").unwrap();
    /// assert_eq!(exposition.sum("a"), Some(7.0));
    /// assert_eq!(exposition.sum("b"), None);
    /// ```
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.samples_named(name).map(|sample| sample.value).reduce(|sum, value| sum + value)
    }

    /// All samples, family by family.
    ///
    /// ```
    /// let exposition = dynamo_metrics_encoder::strict::parse(b"a 1\nb 2\n").unwrap();
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
/// use dynamo_metrics_encoder::strict::{self, Kind};
///
/// let exposition = strict::parse(b"# HELP a Any \\\\ text.\n# TYPE a gauge\na 1\n").unwrap();
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
    /// Its type; [`Kind::Untyped`] also when there is no TYPE line.
    pub kind: Kind,
    /// Its help text, unescaped.
    pub help: Option<String>,
    /// Its samples, in the order of the lines. A family may have none.
    pub samples: Vec<Sample>,
}

/// The five types of text 0.0.4. Any other word on a TYPE line fails the whole scrape.
///
/// ```
/// use dynamo_metrics_encoder::strict::Kind;
///
/// assert_eq!(Kind::parse("summary"), Some(Kind::Summary));
/// assert_eq!(Kind::parse("stateset"), None);
/// assert_eq!(Kind::Untyped.as_str(), "untyped");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // the format is frozen
pub enum Kind {
    /// Only ever grows: neither negative nor NaN.
    Counter,
    /// Any value.
    Gauge,
    /// `_bucket`, `_sum` and `_count`.
    Histogram,
    /// Quantiles, `_sum` and `_count`.
    Summary,
    /// Any value; the type is not known.
    Untyped,
}

impl Kind {
    /// The type that a TYPE line's word names, if it is one of the five.
    ///
    /// ```
    /// use dynamo_metrics_encoder::strict::Kind;
    ///
    /// assert_eq!(Kind::parse("gauge"), Some(Kind::Gauge));
    /// assert_eq!(Kind::parse("Gauge"), None);
    /// ```
    #[must_use]
    pub fn parse(word: &str) -> Option<Kind> {
        Some(match word {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            "summary" => Kind::Summary,
            "untyped" => Kind::Untyped,
            _ => return None,
        })
    }

    /// The word for a TYPE line.
    ///
    /// ```
    /// use dynamo_metrics_encoder::strict::Kind;
    ///
    /// assert_eq!(Kind::Histogram.as_str(), "histogram");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
            Kind::Untyped => "untyped",
        }
    }

    /// What is appended to a family's name to make its further sample names. The family claims all
    /// of them, used or not.
    pub(crate) fn suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Summary => &["_sum", "_count"],
            Kind::Counter | Kind::Gauge | Kind::Untyped => &[],
        }
    }
}

/// One line: a series and its value.
///
/// ```
/// let exposition = dynamo_metrics_encoder::strict::parse(b"a{x=\"1\"} 6.0 1500\n").unwrap();
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
    /// Milliseconds since the epoch, never negative.
    pub timestamp: Option<i64>,
}

impl Sample {
    /// The value of a label, if the line has it.
    ///
    /// ```
    /// let exposition = dynamo_metrics_encoder::strict::parse(b"a{x=\"1\"} 6\n").unwrap();
    /// let sample = exposition.samples().next().unwrap();
    /// assert_eq!(sample.label("x"), Some("1"));
    /// assert_eq!(sample.label("y"), None);
    /// ```
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(own, _)| own == name).map(|(_, value)| &value[..])
    }
}
