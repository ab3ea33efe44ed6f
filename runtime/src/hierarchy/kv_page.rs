//! The choice of the KV cache statistics on a runtime's page: those of workers, or else those of fleets.

use crate::error::MetricsError;
use crate::metrics::Metrics;
use crate::names::kvstats;
use parking_lot::Mutex;

/// The levels with KV cache statistics on one page.
#[derive(Debug, Default)]
pub(crate) struct KvPage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    has_workers: bool,
    /// The levels at which routers have registered the gauges of their fleets.
    fleets: Vec<Metrics>,
}

impl KvPage {
    /// Notes a worker's statistics, and removes those of fleets.
    pub(crate) fn add_worker(&self) {
        let mut state = self.state.lock();
        state.has_workers = true;
        for fleet in state.fleets.drain(..) {
            for name in [
                kvstats::ACTIVE_BLOCKS,
                kvstats::TOTAL_BLOCKS,
                kvstats::GPU_CACHE_USAGE_PERCENT,
                kvstats::GPU_PREFIX_CACHE_HIT_RATE,
            ] {
                fleet.registry().unregister(&format!("{}_{name}", fleet.prefix()));
            }
        }
    }

    /// Registers a fleet's gauges at a level by `register`, unless the page has those of workers.
    pub(crate) fn add_fleet<T>(
        &self,
        level: &Metrics,
        register: impl FnOnce() -> Result<T, MetricsError>,
    ) -> Result<Option<T>, MetricsError> {
        let mut state = self.state.lock();
        if state.has_workers {
            return Ok(None);
        }
        let gauges = register()?;
        state.fleets.push(level.clone());
        Ok(Some(gauges))
    }
}
