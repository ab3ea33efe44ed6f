//! The kinds of metrics, and the types that formats have for them.

use crate::label::{BUCKET_LABEL, QUANTILE_LABEL};

/// The suffix of every info metric's name.
pub(crate) const INFO_SUFFIX: &str = "_info";

/// The kind of a metric. [`Kind::exposed`] is the type that scrapers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A `u64` that only grows.
    Counter,
    /// An `f64` that only grows.
    FloatCounter,
    /// An `f64` that is set.
    Gauge,
    /// An `i64` that is counted up and down.
    UpDownCounter,
    /// Fixed buckets, count and sum.
    Histogram,
    /// A `u64` that only grows, computed by a closure at scrape time.
    CounterCallback,
    /// An `f64` that a closure computes at scrape time.
    GaugeCallback,
    /// Labels that describe something; the value is always 1.
    Info,
    /// Up to 64 named states, each on or off.
    StateSet,
    /// Exponential buckets, count and sum.
    NativeHistogram,
    /// Quantiles over a sliding window, count and sum.
    Summary,
}

impl Kind {
    /// Returns the type in text format 0.0.4: `counter`, `gauge`, `histogram` or `summary`.
    pub fn exposed(self) -> &'static str {
        match self {
            Self::Counter | Self::FloatCounter | Self::CounterCallback => "counter",
            Self::Gauge
            | Self::UpDownCounter
            | Self::GaugeCallback
            | Self::Info
            | Self::StateSet => "gauge",
            Self::Histogram | Self::NativeHistogram => "histogram",
            Self::Summary => "summary",
        }
    }

    /// Returns the type in OpenMetrics: that of [`exposed`](Self::exposed), except `info` and `stateset`, which text format
    /// 0.0.4 lacks.
    ///
    /// ```
    /// use dynamo_metrics_core::Kind;
    /// assert_eq!((Kind::Info.exposed(), Kind::Info.open_metrics()), ("gauge", "info"));
    /// assert_eq!((Kind::Counter.exposed(), Kind::Counter.open_metrics()), ("counter", "counter"));
    /// ```
    pub fn open_metrics(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::StateSet => "stateset",
            _ => self.exposed(),
        }
    }

    /// Returns whether values start at zero when their series is created, so that the time of creation is their start time. The
    /// count of a callback began elsewhere.
    pub fn accumulates(self) -> bool {
        matches!(
            self,
            Self::Counter
                | Self::FloatCounter
                | Self::Histogram
                | Self::NativeHistogram
                | Self::Summary
        )
    }

    /// Returns the name without the suffix `_total` if this kind is a counter. Other kinds keep the suffix, as a part of
    /// their name; their unit comes after it.
    ///
    /// ```
    /// use dynamo_metrics_core::Kind;
    /// assert_eq!(Kind::Counter.stem("busy_seconds_total"), "busy_seconds");
    /// assert_eq!(Kind::Gauge.stem("busy_seconds_total"), "busy_seconds_total");
    /// ```
    pub fn stem(self, name: &str) -> &str {
        match self {
            Self::Counter | Self::FloatCounter | Self::CounterCallback => {
                name.strip_suffix("_total").unwrap_or(name)
            }
            _ => name,
        }
    }

    /// Returns the label that samples of this kind have beside those of their series.
    pub(crate) fn own_label(self) -> Option<&'static str> {
        match self {
            Self::Histogram | Self::NativeHistogram => Some(BUCKET_LABEL),
            Self::Summary => Some(QUANTILE_LABEL),
            _ => None,
        }
    }

    pub(super) fn named(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::FloatCounter => "float counter",
            Self::Gauge => "gauge",
            Self::UpDownCounter => "up/down counter",
            Self::Histogram => "histogram",
            Self::CounterCallback => "counter callback",
            Self::GaugeCallback => "gauge callback",
            Self::Info => "info",
            Self::StateSet => "state set",
            Self::NativeHistogram => "native histogram",
            Self::Summary => "summary",
        }
    }
}
