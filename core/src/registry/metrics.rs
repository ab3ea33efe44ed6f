//! Registration of counters, gauges and histograms: one metric without labels, or a family with labels.

use super::Registry;
use crate::descriptor::Opts;
use crate::error::RegisterError;
use crate::family::Family;
use crate::kinds::Histogram;
use crate::kinds::{Counter, FloatCounter};
use crate::kinds::{Gauge, UpDownCounter};
use crate::layout::Buckets;
use std::sync::Arc;

impl Registry {
    /// Registers a counter without labels of its own.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let requests = registry.counter(("requests_total", "Requests."))?;
    /// requests.inc();
    /// assert_eq!(requests.get(), 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// An invalid name or label, or a collision with another metric; see [`RegisterError`].
    pub fn counter(&self, opts: impl Into<Opts>) -> Result<Counter, RegisterError> {
        Ok(self.counter_family(opts, [])?.with([]))
    }

    /// Registers a family of counters, one for each set of label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let requests = registry.counter_family(("requests_total", "Requests."), ["model", "status"])?;
    /// requests.with(["qwen3-0.6b", "success"]).add(2);
    /// assert_eq!(requests.with(["qwen3-0.6b", "success"]).get(), 2);
    /// assert_eq!(requests.with(["qwen3-0.6b", "error"]).get(), 0);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
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

    /// Registers a float counter without labels of its own.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let busy = registry.float_counter(("busy_seconds_total", "Time spent working."))?;
    /// busy.add(0.25);
    /// assert_eq!(busy.get(), 0.25);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn float_counter(&self, opts: impl Into<Opts>) -> Result<FloatCounter, RegisterError> {
        Ok(self.float_counter_family(opts, [])?.with([]))
    }

    /// Registers a family of float counters, one for each set of label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let busy = registry.float_counter_family(("busy_seconds_total", "Time spent."), ["worker"])?;
    /// busy.with(["0"]).add(0.25);
    /// assert_eq!(busy.with(["0"]).get() + busy.with(["1"]).get(), 0.25);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
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

    /// Registers a gauge without labels of its own.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let usage = registry.gauge(("cache_usage_ratio", "Used share of the cache."))?;
    /// usage.set(0.5);
    /// assert_eq!(usage.get(), 0.5);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn gauge(&self, opts: impl Into<Opts>) -> Result<Gauge, RegisterError> {
        Ok(self.gauge_family(opts, [])?.with([]))
    }

    /// Registers a family of gauges, one for each set of label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let usage = registry.gauge_family(("cache_usage_ratio", "Used share."), ["cache"])?;
    /// usage.with(["gpu"]).set(0.5);
    /// assert_eq!((usage.with(["gpu"]).get(), usage.with(["cpu"]).get()), (0.5, 0.0));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
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

    /// Registers an up/down counter without labels of its own.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let inflight = registry.up_down_counter(("inflight_requests", "Requests in progress."))?;
    /// inflight.add(2);
    /// inflight.dec();
    /// assert_eq!(inflight.get(), 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn up_down_counter(&self, opts: impl Into<Opts>) -> Result<UpDownCounter, RegisterError> {
        Ok(self.up_down_counter_family(opts, [])?.with([]))
    }

    /// Registers a family of up/down counters, one for each set of label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let inflight = registry.up_down_counter_family(("inflight_requests", "Requests."), ["model"])?;
    /// inflight.visit(["qwen3-0.6b"], |requests| requests.inc());
    /// assert_eq!(inflight.with(["qwen3-0.6b"]).get(), 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
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

    /// Registers a histogram without labels of its own.
    ///
    /// ```
    /// # use dynamo_metrics_core::Buckets;
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let buckets = Buckets::exponential(0.001, 10.0, 4)?;
    /// let latency = registry.histogram(("latency_seconds", "Time to answer."), &buckets)?;
    /// latency.observe(0.02);
    /// assert_eq!(latency.get().counts, [0, 0, 1, 0, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// Registers a family of histograms, one for each set of label values.
    ///
    /// ```
    /// # use dynamo_metrics_core::Buckets;
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let buckets = Buckets::new([0.1, 1.0])?;
    /// let latency = registry.histogram_family(("latency_seconds", "Time."), ["model"], &buckets)?;
    /// latency.with(["qwen3-0.6b"]).observe(0.5);
    /// assert_eq!(latency.with(["qwen3-0.6b"]).get().counts, [0, 1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
}
