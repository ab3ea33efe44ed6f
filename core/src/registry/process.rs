//! Metrics of the library as a whole: cells and shards belong to the process, and not to a registry.

use super::Registry;
use crate::arena::cells_used;
use crate::error::RegisterError;
use crate::shard::{capacity, shards};
use crate::telemetry::{CELLS, CELLS_LIMIT, FALLBACK_RECORDINGS, SHARDS};

impl Registry {
    /// Registers the metrics of the memory that all registries of the process share. A second call changes nothing.
    ///
    /// | metric | type | meaning |
    /// |---|---|---|
    /// | `dynamo_metrics_cells` | gauge | 64-bit cells that registries have; each thread that records keeps its own copy |
    /// | `dynamo_metrics_cells_limit` | gauge | cells that they may have together; a [detail](Self::print_details) |
    /// | `dynamo_metrics_shards` | gauge | copies that exist: the peak number of threads alive at the same time that have recorded |
    /// | `dynamo_metrics_fallback_recordings_total` | counter | recordings of threads without a shard, which cost more; [rare](Self::rare_counter_callback) |
    ///
    /// Threads have no shard of their own where it would take too much of `ulimit -v`, `ulimit -d` or the machine's commit limit,
    /// and after their end. Nothing is lost in either case.
    ///
    /// ```
    /// use dynamo_metrics_core::snapshot::Value;
    /// use dynamo_metrics_core::{Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// registry.process_metrics()?;
    /// registry.print_details(true);
    /// registry.counter(("requests_total", "Requests."))?.inc();
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let value = |name: &str| {
    ///     let family = snapshot.families().find(|family| family.name() == name).unwrap();
    ///     family.parts().next().unwrap().series(0).unwrap().value()
    /// };
    /// assert_eq!(value("dynamo_metrics_shards"), Value::Float(1.0));
    /// assert_eq!(value("dynamo_metrics_fallback_recordings_total"), Value::Unsigned(0));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// Another metric has one of the names.
    pub fn process_metrics(&self) -> Result<(), RegisterError> {
        once(self.gauge_callback(CELLS, || f64::from(cells_used())))?;
        once(self.detail_gauge_callback(CELLS_LIMIT, || f64::from(capacity())))?;
        once(self.gauge_callback(SHARDS, || shards().count() as f64))?;
        once(self.rare_counter_callback(FALLBACK_RECORDINGS, || shards().fallback_recordings()))
    }
}

/// That the metric is there is what was asked for.
fn once(registered: Result<(), RegisterError>) -> Result<(), RegisterError> {
    match registered {
        Err(RegisterError::DuplicateCallback { .. }) => Ok(()),
        other => other,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_the_process_are_registered_once() {
        let registry = Registry::new();
        registry.process_metrics().unwrap();
        registry.process_metrics().unwrap();
        registry.scope(&[("worker", "0")]).unwrap().counter(CELLS).unwrap_err();
    }
}
