//! Registration of callbacks, whose values are computed at every scrape.

use super::Registry;
use crate::descriptor::{Kind, Opts};
use crate::error::RegisterError;
use crate::family::FamilyCore;
use crate::series::Callback;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Registry {
    /// Registers a counter whose value `value` computes at every scrape. The value must not decrease. A scrape in which
    /// `value` panics has no sample of it, and the panic is counted in `dynamo_metrics_callback_panics_total`.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot, snapshot::Value};
    ///
    /// let registry = Registry::new();
    /// registry.counter_callback(("reads_total", "Reads of another library."), || 42)?;
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "reads_total").unwrap();
    /// let series = family.parts().next().unwrap().series(0).unwrap();
    /// assert_eq!(series.value(), Value::Unsigned(42));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`]; a name and set of constant labels has one callback.
    pub fn counter_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        self.callback(
            opts.into(),
            Kind::CounterCallback,
            Callback::Counter(Box::new(move || Some(value()))),
        )
    }

    /// Registers a gauge whose value `value` computes at every scrape, for example an uptime.
    ///
    /// ```
    /// let registry = dynamo_metrics_core::Registry::new();
    /// let start = std::time::Instant::now();
    /// registry.gauge_callback(("uptime_seconds", "Time since the start."), move || {
    ///     start.elapsed().as_secs_f64()
    /// })?;
    /// assert!(registry.occupies("uptime_seconds"));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`]; a name and set of constant labels has one callback.
    pub fn gauge_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        self.callback(
            opts.into(),
            Kind::GaugeCallback,
            Callback::Gauge(Box::new(move || Some(value()))),
        )
    }

    /// Registers a counter as [`counter_callback`](Self::counter_callback) does; a scrape in which `value` returns `None`
    /// has no sample of it.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot, snapshot::Value};
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
    /// The errors of [`counter_callback`](Self::counter_callback).
    pub fn optional_counter_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        self.callback(opts.into(), Kind::CounterCallback, Callback::Counter(Box::new(value)))
    }

    /// Registers a counter of a rare event, as a limit that was hit or an error: a scrape has no sample of it while it is 0,
    /// unless [`print_details`](Self::print_details) asks for it. From the first event on it is in every scrape.
    ///
    /// A program that has many such counters spares its scrapers a series each. The series begins at its first value, which
    /// `rate` and `increase` do not see: an alert compares it with its value `offset` some time before, or with 0.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot, snapshot::Value};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let (registry, errors) = (Registry::new(), Arc::new(AtomicU64::new(0)));
    /// let counted = Arc::clone(&errors);
    /// registry.rare_counter_callback(("errors_total", "Errors."), move || {
    ///     counted.load(Ordering::Relaxed)
    /// })?;
    /// let assert_is = |expected: Value<'_>| {
    ///     let mut snapshot = Snapshot::new();
    ///     snapshot.take(&registry);
    ///     let family = snapshot.families().find(|family| family.name() == "errors_total").unwrap();
    ///     assert_eq!(family.parts().next().unwrap().series(0).unwrap().value(), expected);
    /// };
    /// assert_is(Value::Missing);
    /// registry.print_details(true);
    /// assert_is(Value::Unsigned(0));
    /// registry.print_details(false);
    /// errors.store(1, Ordering::Relaxed);
    /// assert_is(Value::Unsigned(1));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`counter_callback`](Self::counter_callback).
    pub fn rare_counter_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        let details = Arc::clone(&self.root.details);
        // Relaxed, here and below: the flag publishes nothing.
        self.optional_counter_callback(opts, move || {
            Some(value()).filter(|&events| events > 0 || details.load(Relaxed))
        })
    }

    /// Registers a counter that only scrapes with [details](Self::print_details) have, for what is looked at when something is
    /// wrong.
    ///
    /// # Errors
    /// The errors of [`counter_callback`](Self::counter_callback).
    pub fn detail_counter_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        let details = Arc::clone(&self.root.details);
        self.optional_counter_callback(opts, move || details.load(Relaxed).then(&value))
    }

    /// Registers a gauge that only scrapes with [details](Self::print_details) have.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot, snapshot::Value};
    ///
    /// let registry = Registry::new();
    /// registry.detail_gauge_callback(("connections", "Connections open now."), || 3.0)?;
    /// registry.print_details(true);
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "connections").unwrap();
    /// assert_eq!(family.parts().next().unwrap().series(0).unwrap().value(), Value::Float(3.0));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`gauge_callback`](Self::gauge_callback).
    pub fn detail_gauge_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        let details = Arc::clone(&self.root.details);
        self.optional_gauge_callback(opts, move || details.load(Relaxed).then(&value))
    }

    /// Sets whether scrapes of this registry, of this scope and all others, have details: [rare
    /// counters](Self::rare_counter_callback) that are 0, and what was registered as a
    /// [detail](Self::detail_counter_callback). At first they have none. Takes effect at the next scrape.
    pub fn print_details(&self, printed: bool) {
        self.root.details.store(printed, Relaxed);
    }

    /// Registers a gauge as [`gauge_callback`](Self::gauge_callback) does; a scrape in which `value` returns `None` has no
    /// sample of it.
    ///
    /// ```
    /// let registry = dynamo_metrics_core::Registry::new();
    /// registry.optional_gauge_callback(("gpu_celsius", "Temperature, if there is a GPU."), || None)?;
    /// assert!(registry.occupies("gpu_celsius"));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`gauge_callback`](Self::gauge_callback).
    pub fn optional_gauge_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        self.callback(opts.into(), Kind::GaugeCallback, Callback::Gauge(Box::new(value)))
    }

    fn callback(&self, opts: Opts, kind: Kind, callback: Callback) -> Result<(), RegisterError> {
        let asked = self.descriptor(opts, kind, &[], None)?;
        let mut index = self.root.index.lock();
        if index.find(&self.labels, &asked)?.is_some() {
            return Err(RegisterError::DuplicateCallback { name: asked.name.into() });
        }
        let family = FamilyCore::computed(self.metadata(asked), callback);
        self.add(&mut index, family);
        Ok(())
    }
}
