//! The names of this crate's own metrics, and of their labels.
//!
//! Each metric is on the page from the first time that there is something to tell.

/// Gauge: whether the last read of an engine's page succeeded in time (1) or not (0).
pub const ENGINE_UP: &str = "dynamo_engine_metrics_up";
/// Gauge: age of an engine's families on the page, in seconds.
pub const ENGINE_AGE_SECONDS: &str = "dynamo_engine_metrics_age_seconds";
/// Gauge: duration of the last read of an engine's page, in seconds.
pub const ENGINE_FETCH_SECONDS: &str = "dynamo_engine_metrics_fetch_duration_seconds";
/// Counter, after the exporter's prefix and `_`: reads of an engine's page that failed.
pub const ENGINE_ERRORS_TOTAL: &str = "engine_errors_total";
/// Counter, after the exporter's prefix and `_`: parts of an engine's page that were left out.
pub const ENGINE_WITHHELD_TOTAL: &str = "engine_withheld_total";
/// The prefix of the two counters above unless the exporter has [another](crate::Exporter::engine_prefix).
pub const ENGINE_PREFIX_DEFAULT: &str = "dynamo_metrics";
/// Counter: callbacks that were not ready for a scrape.
pub const CALLBACK_LATE_TOTAL: &str = "dynamo_metrics_callback_late_total";
/// Counter: collections that failed, and parts of them that were left out of the page.
pub const COLLECTOR_ERRORS_TOTAL: &str = "dynamo_metrics_collector_errors_total";
/// Counter: native histograms that were written as classic ones, since scrapers would refuse them.
pub const UNSOUND_NATIVE_HISTOGRAMS_TOTAL: &str = "dynamo_metrics_unsound_native_histograms_total";

/// Label: the metric that a callback computes.
pub const FAMILY_LABEL: &str = "family";
/// Label: the name of an engine.
pub const SOURCE_LABEL: &str = "source";
/// Label: the name of a collector.
pub const COLLECTOR_LABEL: &str = "collector";
/// Label: the reason of an error.
pub const REASON_LABEL: &str = "reason";
/// Label of an engine's own samples: the engine's name, where several engines are of one kind.
pub const ENGINE_SOURCE_LABEL: &str = "engine_source";
