//! The kinds of metrics of the facade, and sets of them.

use std::fmt;
use std::ops::BitOr;

/// A kind of metric of the facade.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MetricKind {
    /// `counter!`.
    Counter,
    /// `gauge!`.
    Gauge,
    /// `histogram!`.
    Histogram,
}

impl MetricKind {
    pub(crate) const ALL: [Self; 3] = [Self::Counter, Self::Gauge, Self::Histogram];
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// A set of kinds, for [`Builder::idle_timeout`](crate::Builder::idle_timeout).
///
/// ```
/// use dynamo_metrics_facade::{MetricKind, MetricKinds};
///
/// let kinds = MetricKinds::COUNTER | MetricKinds::GAUGE;
/// assert!(kinds.contains(MetricKind::Gauge) && !kinds.contains(MetricKind::Histogram));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MetricKinds(u8);

impl MetricKinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Counters.
    pub const COUNTER: Self = Self(1 << MetricKind::Counter as u8);
    /// Gauges.
    pub const GAUGE: Self = Self(1 << MetricKind::Gauge as u8);
    /// Histograms.
    pub const HISTOGRAM: Self = Self(1 << MetricKind::Histogram as u8);
    /// All kinds.
    pub const ALL: Self = Self(Self::COUNTER.0 | Self::GAUGE.0 | Self::HISTOGRAM.0);

    /// Returns whether this kind is in the set.
    pub fn contains(self, kind: MetricKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

impl BitOr for MetricKinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
