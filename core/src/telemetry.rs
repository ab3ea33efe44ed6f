//! The registry's own metrics: recordings that were rejected, truncated or sent to an overflow series.
//!
//! These families have no series until the first such recording.

use crate::family::Family;
use crate::kinds::Counter;
use crate::series::Reporter;

/// The registry's own metrics, which only cold paths record.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    /// Lookups that ended in a family's overflow series, by family.
    pub(crate) overflowed: Family<Counter, 1>,
    /// Values that were not recorded as given, by family and reason.
    pub(crate) rejected: Family<Counter, 2>,
    /// Lookups with a value that was longer than the family keeps, by family.
    pub(crate) cut: Family<Counter, 1>,
    /// Callbacks that panicked in a scrape, by family.
    pub(crate) panicked: Family<Counter, 1>,
}

impl Reporter for Telemetry {
    fn rejected(&self, family: &str, reason: &'static str, n: u64) {
        self.rejected.with([family, reason]).add(n);
    }

    fn overflowed(&self, family: &str) {
        self.overflowed.with([family]).inc();
    }

    fn truncated(&self, family: &str) {
        self.cut.with([family]).inc();
    }

    fn panicked(&self, family: &str) {
        self.panicked.with([family]).inc();
    }
}

/// Name, help and label names of each of the registry's own metrics.
pub(crate) const OVERFLOWED: (&str, &str, [&str; 1]) = (
    "dynamo_metrics_series_overflow_total",
    "Lookups of label values beyond a family's series limit, recorded in its series 'other'.",
    ["family"],
);
pub(crate) const REJECTED: (&str, &str, [&str; 2]) = (
    "dynamo_metrics_rejected_observations_total",
    "Observations that could not be recorded as given.",
    ["family", "reason"],
);
pub(crate) const CUT: (&str, &str, [&str; 1]) = (
    "dynamo_metrics_cut_label_values_total",
    "Lookups of label values that are longer than the family keeps, and were cut.",
    ["family"],
);
pub(crate) const PANICKED: (&str, &str, [&str; 1]) = (
    "dynamo_metrics_callback_panics_total",
    "Scrape callbacks that panicked; their sample was left out of that scrape.",
    ["family"],
);

/// Name and help of each of the metrics of the process.
pub(crate) const CELLS: (&str, &str) = (
    "dynamo_metrics_cells",
    "64-bit cells that the registries of this process have, once in each shard.",
);
pub(crate) const CELLS_LIMIT: (&str, &str) = (
    "dynamo_metrics_cells_limit",
    "64-bit cells that the registries of this process may have together.",
);
pub(crate) const SHARDS: (&str, &str) = (
    "dynamo_metrics_shards",
    "Copies of the cells: the most threads that were alive at the same time and had recorded.",
);
pub(crate) const FALLBACK_RECORDINGS: (&str, &str) = (
    "dynamo_metrics_fallback_recordings_total",
    "Recordings of threads without a shard, into memory that they share.",
);
