//! Callbacks that may have nothing to say: a scrape leaves their sample out instead of inventing one.

use crate::descriptor::{Kind, Opts};
use crate::error::RegisterError;
use crate::registry::Registry;
use crate::series::Callback;

impl Registry {
    /// As [`counter_callback`](Self::counter_callback), but a scrape in which `value` returns `None` has no
    /// sample of it.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot, Value};
    ///
    /// let registry = Registry::new();
    /// registry.optional_counter_callback(("reads_total", "Reads, once they are counted."), || None)?;
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let reads = snapshot.families().find(|family| family.name() == "reads_total").unwrap();
    /// assert_eq!(reads.parts().next().unwrap().series(0).unwrap().value(), Value::Missing);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// As of [`counter_callback`](Self::counter_callback).
    pub fn optional_counter_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        self.callback(opts.into(), Kind::CounterCallback, Callback::Counter(Box::new(value)))
    }

    /// As [`gauge_callback`](Self::gauge_callback), but a scrape in which `value` returns `None` has no sample of
    /// it.
    ///
    /// ```
    /// let registry = dynamo_metrics_core::Registry::new();
    /// registry.optional_gauge_callback(("gpu_celsius", "Temperature, if there is a GPU."), || None)?;
    /// assert!(registry.occupies("gpu_celsius"));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// As of [`gauge_callback`](Self::gauge_callback).
    pub fn optional_gauge_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        self.callback(opts.into(), Kind::GaugeCallback, Callback::Gauge(Box::new(value)))
    }
}
