//! A registry with the system's clock.

use dynamo_metrics_core::Registry;
use std::time::{SystemTime, UNIX_EPOCH};

/// Creates a registry whose series have the time of their creation, by the system's clock: scrapers that ask for protobuf
/// get start timestamps, exemplars get a time, and the windows of summaries move. Recording reads no clock.
///
/// ```
/// let registry = dynamo_metrics_exporter::new_registry();
/// registry.counter(("requests_total", "Requests."))?.inc();
/// # Ok::<(), dynamo_metrics_exporter::RegisterError>(())
/// ```
pub fn new_registry() -> Registry {
    // A system clock before 1970 counts as 1970.
    Registry::with_clock(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
