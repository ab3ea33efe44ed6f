//! The counters of a listener's connections, in the families in which the metrics server shows its own.

use super::limits::Limit;
use dynamo_metrics::Registry;
use dynamo_metrics_core::{Opts, RegisterError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one listener. Relaxed: each stands alone and publishes nothing.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    accepted: AtomicU64,
    open: AtomicU64,
    hits: [AtomicU64; Limit::ALL.len()],
}

impl Telemetry {
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    pub(crate) fn hit(&self, limit: Limit) {
        self.hits[limit as usize].fetch_add(1, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn hits(&self, limit: Limit) -> u64 {
        self.hits[limit as usize].load(Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Shows the counters as `dynamo_metrics_server_*` with the label `server`: limits from their first hit on, connections on a
    /// page with [details](Registry::print_details).
    ///
    /// # Errors
    /// The registry shows a listener of that name already.
    pub(crate) fn register(
        self: &Arc<Self>,
        registry: &Registry,
        server: &str,
    ) -> Result<(), RegisterError> {
        let opts = |name: &str, help: &str| {
            Opts::new(format!("dynamo_metrics_server_{name}"), help).const_label("server", server)
        };
        let counters = Arc::clone(self);
        registry.detail_counter_callback(
            opts("connections_total", "Connections accepted."),
            move || counters.accepted.load(Relaxed),
        )?;
        let counters = Arc::clone(self);
        registry.detail_gauge_callback(
            opts("open_connections", "Connections open now."),
            move || counters.open.load(Relaxed) as f64,
        )?;
        for limit in Limit::ALL {
            let counters = Arc::clone(self);
            registry.rare_counter_callback(
                opts("limit_hits_total", "How often a limit was met.")
                    .const_label("limit", limit.as_str()),
                move || counters.hits[limit as usize].load(Relaxed),
            )?;
        }
        Ok(())
    }
}
