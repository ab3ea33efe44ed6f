//! The types of both formats, and the sample names that each type claims.
//!
//! Text 0.0.4 has five words, OpenMetrics eight; four are common. Words and suffixes
//! depend on the format, so each function here takes it.

use crate::format::Format;

/// The types of text 0.0.4 and of OpenMetrics 1.0. Each format refuses the words of the other: one such
/// word on a TYPE line fails the whole scrape.
///
/// ```
/// use dynamo_metrics_parser::{Format, Kind};
///
/// assert_eq!(Kind::parse("summary"), Some(Kind::Summary));
/// assert_eq!(Kind::parse("stateset"), Some(Kind::StateSet));
/// assert!(!Kind::StateSet.is_in(Format::Text));
/// assert_eq!(Kind::Untyped.as_str(), "untyped");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // both formats are frozen
pub enum Kind {
    /// A value that only grows: neither negative nor NaN.
    Counter,
    /// Any value.
    Gauge,
    /// `_bucket`, `_sum` and `_count`.
    Histogram,
    /// Quantiles, `_sum` and `_count`.
    Summary,
    /// Any value; the type is not known. Text 0.0.4 only.
    Untyped,
    /// Any value; the type is not known. OpenMetrics only.
    Unknown,
    /// Labels that describe the target, `_info` with the value 1. OpenMetrics only.
    Info,
    /// Booleans: a label with the name of the family tells them apart, and the value is 0 or 1. OpenMetrics only.
    StateSet,
    /// A histogram that can fall: `_bucket`, `_gsum` and `_gcount`. OpenMetrics only.
    GaugeHistogram,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Kind {
    /// Returns the type that the word of a TYPE line names, in either format.
    ///
    /// ```
    /// use dynamo_metrics_parser::Kind;
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
            "unknown" => Kind::Unknown,
            "info" => Kind::Info,
            "stateset" => Kind::StateSet,
            "gaugehistogram" => Kind::GaugeHistogram,
            _ => return None,
        })
    }

    /// Returns the word for a TYPE line.
    ///
    /// ```
    /// use dynamo_metrics_parser::Kind;
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
            Kind::Unknown => "unknown",
            Kind::Info => "info",
            Kind::StateSet => "stateset",
            Kind::GaugeHistogram => "gaugehistogram",
        }
    }

    /// Returns whether a format has this type.
    ///
    /// ```
    /// use dynamo_metrics_parser::{Format, Kind};
    ///
    /// assert!(Kind::Info.is_in(Format::OpenMetrics) && !Kind::Info.is_in(Format::Text));
    /// assert!(Kind::Untyped.is_in(Format::TextUtf8) && !Kind::Untyped.is_in(Format::OpenMetrics));
    /// ```
    #[must_use]
    pub fn is_in(self, format: Format) -> bool {
        match self {
            Kind::Counter | Kind::Gauge | Kind::Histogram | Kind::Summary => true,
            Kind::Untyped => !format.is_openmetrics(),
            Kind::Unknown | Kind::Info | Kind::StateSet | Kind::GaugeHistogram => {
                format.is_openmetrics()
            }
        }
    }

    /// Returns the suffixes that make further sample names of a family's name. The family claims all of these names,
    /// used or not.
    ///
    /// ```
    /// use dynamo_metrics_parser::{Format, Kind};
    ///
    /// assert_eq!(Kind::Summary.suffixes(Format::Text), ["_sum", "_count"]);
    /// assert_eq!(Kind::Counter.suffixes(Format::OpenMetrics), ["_total", "_created"]);
    /// ```
    #[must_use]
    pub fn suffixes(self, format: Format) -> &'static [&'static str] {
        match (self, format.is_openmetrics()) {
            (Kind::Histogram, false) => &["_bucket", "_sum", "_count"],
            (Kind::Summary, false) => &["_sum", "_count"],
            (Kind::Histogram, true) => &["_bucket", "_sum", "_count", "_created"],
            (Kind::Summary, true) => &["_sum", "_count", "_created"],
            (Kind::Counter, true) => &["_total", "_created"],
            (Kind::Info, _) => &["_info"],
            (Kind::GaugeHistogram, _) => &["_bucket", "_gsum", "_gcount"],
            _ => &[],
        }
    }

    /// Returns whether a sample may be named as its family.
    pub(super) fn has_bare_samples(self, format: Format) -> bool {
        match self {
            Kind::Counter => !format.is_openmetrics(),
            Kind::Histogram | Kind::Info | Kind::GaugeHistogram => false,
            _ => true,
        }
    }
}
