//! What a registry says about itself: observations that could not be taken as they came.
//!
//! These families print nothing until something happens.

use crate::counter::Counter;
use crate::family::Family;

/// The registry's own metrics. Cold paths only.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    /// Lookups that were folded into a family's overflow series, by family.
    pub(crate) overflowed: Family<Counter, 1>,
    /// Values that were not recorded as given, by metric and reason.
    pub(crate) rejected: Family<Counter, 2>,
    /// Lookups of values that were longer than the family keeps, by family.
    pub(crate) cut: Family<Counter, 1>,
    /// Callbacks that panicked in a scrape, by metric.
    pub(crate) panicked: Family<Counter, 1>,
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
