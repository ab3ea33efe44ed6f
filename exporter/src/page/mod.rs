//! The page of an exporter: its sources, the exposition that prints them, and the metrics about a server.

mod exposition;
mod server_metrics;

use crate::callback::Callbacks;
use crate::collector::Collectors;
use crate::engine::Engines;
use dynamo_metrics_core::Registry;

pub use exposition::MetricsExposition;
pub use server_metrics::{register_mounted_telemetry, register_telemetry};

/// The sources of a page besides the values in the registry.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) callbacks: Callbacks,
    pub(crate) collectors: Collectors,
    pub(crate) engines: Engines,
}

impl Sources {
    /// Creates no sources; the metrics about callbacks are in `registry`.
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            callbacks: Callbacks::new(registry.clone()),
            collectors: Collectors::default(),
            engines: Engines::default(),
        }
    }
}
