//! The types of metrics.

/// The type of a metric. What scrapers see as its type is [`Kind::exposed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Monotone `u64`.
    Counter,
    /// Monotone `f64`.
    FloatCounter,
    /// `f64` that is set.
    Gauge,
    /// `i64` that is counted up and down.
    UpDownCounter,
    /// Fixed buckets, count and sum.
    Histogram,
    /// Monotone `u64` that a closure computes at scrape time.
    CounterCallback,
    /// `f64` that a closure computes at scrape time.
    GaugeCallback,
    /// Labels that say what something is; the value is always 1.
    Info,
    /// Up to 64 named states, each on or off.
    StateSet,
    /// Exponential buckets, count and sum.
    NativeHistogram,
    /// Quantiles over a sliding window, count and sum.
    Summary,
}

impl Kind {
    /// The type that text format 0.0.4 has for it: `counter`, `gauge`, `histogram` or `summary`.
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

    /// The type that OpenMetrics has for it: as [`exposed`](Self::exposed), but for `info` and `stateset`, which
    /// text format 0.0.4 lacks.
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

    /// Whether it starts at zero when its series is made and grows from there, so that a start timestamp means
    /// something. A callback's count began elsewhere.
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

    /// The name of a metric of this kind without the `_total` that ends a counter's. In any other kind's that is a part of
    /// the name as any other, and the unit stands after it.
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
