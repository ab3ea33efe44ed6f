//! Every kind of metric that a [`Registry`] makes: one without labels, and a family with.

use super::Registry;
use crate::buckets::Buckets;
use crate::counter::{Counter, FloatCounter};
use crate::descriptor::{Kind, Opts};
use crate::error::RegisterError;
use crate::family::Family;
use crate::gauge::{Gauge, UpDownCounter};
use crate::histogram::Histogram;
use crate::series::Callback;
use std::sync::Arc;

impl Registry {
    /// A counter without labels of its own.
    ///
    /// # Errors
    /// As for every registration: an invalid name or label, or a collision; see [`RegisterError`].
    pub fn counter(&self, opts: impl Into<Opts>) -> Result<Counter, RegisterError> {
        Ok(self.counter_family(opts, [])?.with([]))
    }

    /// Counters told apart by label values.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn counter_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
    ) -> Result<Family<Counter, N>, RegisterError> {
        self.family(opts.into(), label_names, None)
    }

    /// A float counter without labels of its own.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn float_counter(&self, opts: impl Into<Opts>) -> Result<FloatCounter, RegisterError> {
        Ok(self.float_counter_family(opts, [])?.with([]))
    }

    /// Float counters told apart by label values.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn float_counter_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
    ) -> Result<Family<FloatCounter, N>, RegisterError> {
        self.family(opts.into(), label_names, None)
    }

    /// A gauge without labels of its own.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn gauge(&self, opts: impl Into<Opts>) -> Result<Gauge, RegisterError> {
        Ok(self.gauge_family(opts, [])?.with([]))
    }

    /// Gauges told apart by label values.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn gauge_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
    ) -> Result<Family<Gauge, N>, RegisterError> {
        self.family(opts.into(), label_names, None)
    }

    /// An up/down counter without labels of its own.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn up_down_counter(&self, opts: impl Into<Opts>) -> Result<UpDownCounter, RegisterError> {
        Ok(self.up_down_counter_family(opts, [])?.with([]))
    }

    /// Up/down counters told apart by label values.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn up_down_counter_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
    ) -> Result<Family<UpDownCounter, N>, RegisterError> {
        self.family(opts.into(), label_names, None)
    }

    /// A histogram without labels of its own.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn histogram(
        &self,
        opts: impl Into<Opts>,
        buckets: &Buckets,
    ) -> Result<Histogram, RegisterError> {
        Ok(self.histogram_family(opts, [], buckets)?.with([]))
    }

    /// Histograms told apart by label values.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn histogram_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        buckets: &Buckets,
    ) -> Result<Family<Histogram, N>, RegisterError> {
        self.family(opts.into(), label_names, Some(Arc::new(buckets.clone())))
    }

    /// A counter that `value` computes at every scrape. It must not fall; a panic in it costs its sample in
    /// that scrape and is counted in `dynamo_metrics_callback_panics_total`.
    ///
    /// # Errors
    /// See [`RegisterError`]; there is one callback for a name and set of constant labels.
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

    /// A gauge that `value` computes at every scrape, as an uptime.
    ///
    /// ```
    /// let registry = dynamo_metrics_core::Registry::new();
    /// let start = std::time::Instant::now();
    /// registry.gauge_callback(("uptime_seconds", "Time since the start."), move || {
    ///     start.elapsed().as_secs_f64()
    /// })?;
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`]; there is one callback for a name and set of constant labels.
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
}
