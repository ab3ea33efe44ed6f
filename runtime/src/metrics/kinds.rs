//! Every kind of metric that a level makes but for callbacks: one without labels of its own, and a family with.

use super::{MetricOpts, Metrics};
use crate::error::MetricsError;
use dynamo_metrics_core::{
    Buckets, Counter, Family, FloatCounter, Gauge, Histogram, Info, NativeBuckets, NativeHistogram,
    RegisterError, StateSet, Summary, SummaryOpts, UpDownCounter,
};

/// Bounds of a histogram that is made without any, in seconds: those of Dynamo's work handler.
pub const BOUNDS_DEFAULT: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Metrics {
    /// A counter without labels of its own.
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn counter(&self, opts: impl Into<MetricOpts>) -> Result<Counter, MetricsError> {
        Ok(self.counter_family(opts, [])?.with([]))
    }

    /// Counters told apart by label values.
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn counter_family<const N: usize>(
        &self,
        opts: impl Into<MetricOpts>,
        label_names: [&str; N],
    ) -> Result<Family<Counter, N>, MetricsError> {
        Ok(self.registry.counter_family(self.opts(opts.into(), &label_names)?, label_names)?)
    }

    /// A counter of something that comes in fractions, without labels of its own.
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn float_counter(&self, opts: impl Into<MetricOpts>) -> Result<FloatCounter, MetricsError> {
        Ok(self.float_counter_family(opts, [])?.with([]))
    }

    /// Float counters told apart by label values.
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn float_counter_family<const N: usize>(
        &self,
        opts: impl Into<MetricOpts>,
        label_names: [&str; N],
    ) -> Result<Family<FloatCounter, N>, MetricsError> {
        Ok(self
            .registry
            .float_counter_family(self.opts(opts.into(), &label_names)?, label_names)?)
    }

    /// A value that is set, without labels of its own.
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn gauge(&self, opts: impl Into<MetricOpts>) -> Result<Gauge, MetricsError> {
        Ok(self.gauge_family(opts, [])?.with([]))
    }

    /// Gauges told apart by label values.
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn gauge_family<const N: usize>(
        &self,
        opts: impl Into<MetricOpts>,
        label_names: [&str; N],
    ) -> Result<Family<Gauge, N>, MetricsError> {
        Ok(self.registry.gauge_family(self.opts(opts.into(), &label_names)?, label_names)?)
    }

    /// A count of things in progress, without labels of its own; scrapers see a gauge.
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn up_down_counter(
        &self,
        opts: impl Into<MetricOpts>,
    ) -> Result<UpDownCounter, MetricsError> {
        Ok(self.up_down_counter_family(opts, [])?.with([]))
    }

    /// Counts of things in progress, told apart by label values.
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn up_down_counter_family<const N: usize>(
        &self,
        opts: impl Into<MetricOpts>,
        label_names: [&str; N],
    ) -> Result<Family<UpDownCounter, N>, MetricsError> {
        let opts = self.opts(opts.into(), &label_names)?;
        Ok(self.registry.up_down_counter_family(opts, label_names)?)
    }

    /// A distribution without labels of its own, over the given bounds or [`BOUNDS_DEFAULT`].
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn histogram(
        &self,
        opts: impl Into<MetricOpts>,
        buckets: Option<&Buckets>,
    ) -> Result<Histogram, MetricsError> {
        Ok(self.histogram_family(opts, [], buckets)?.with([]))
    }

    /// Distributions told apart by label values, over the given bounds or [`BOUNDS_DEFAULT`].
    ///
    /// # Errors
    /// See [`Metrics`].
    pub fn histogram_family<const N: usize>(
        &self,
        opts: impl Into<MetricOpts>,
        label_names: [&str; N],
        buckets: Option<&Buckets>,
    ) -> Result<Family<Histogram, N>, MetricsError> {
        let opts = opts.into();
        let name = opts.name.clone();
        let opts = self.opts(opts, &label_names)?;
        let family = match buckets {
            Some(buckets) => self.registry.histogram_family(opts, label_names, buckets)?,
            None => {
                let buckets = Buckets::new(BOUNDS_DEFAULT)
                    .map_err(|source| RegisterError::Buckets { name, source })?;
                self.registry.histogram_family(opts, label_names, &buckets)?
            }
        };
        Ok(family)
    }

    /// Distributions without bounds of one's own: buckets grow by a factor, as many as are needed. Scrapers that ask
    /// for protobuf get it whole, others as the classic histogram that [`NativeBuckets::classic`] says.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, NativeBuckets};
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let opts = ("load_seconds", "Time to load a model.");
    /// let loads = runtime.metrics().native_histogram(opts, &NativeBuckets::new().factor(1.1))?;
    /// loads.observe(12.5);
    /// assert_eq!(loads.get().sum, 12.5);
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// See [`Metrics`]; and buckets that cannot be.
    pub fn native_histogram(
        &self,
        opts: impl Into<MetricOpts>,
        buckets: &NativeBuckets,
    ) -> Result<NativeHistogram, MetricsError> {
        Ok(self.native_histogram_family(opts, [], buckets)?.with([]))
    }

    /// Native histograms told apart by label values.
    ///
    /// # Errors
    /// See [`native_histogram`](Self::native_histogram).
    pub fn native_histogram_family<const N: usize>(
        &self,
        opts: impl Into<MetricOpts>,
        label_names: [&str; N],
        buckets: &NativeBuckets,
    ) -> Result<Family<NativeHistogram, N>, MetricsError> {
        let opts = self.opts(opts.into(), &label_names)?;
        Ok(self.registry.native_histogram_family(opts, label_names, buckets)?)
    }

    /// Quantiles over a sliding window, without labels of its own. They cannot be added up over processes: a histogram
    /// can. Windows move by the registry's clock, see [`new_registry`](crate::new_registry).
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, SummaryOpts};
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let opts = ("step_seconds", "Time of an engine's step.");
    /// let steps = runtime.metrics().summary(opts, &SummaryOpts::new().quantiles([0.5, 0.99]))?;
    /// steps.observe(0.02);
    /// assert_eq!(steps.get().count, 1);
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// See [`Metrics`]; and quantiles or windows that cannot be.
    pub fn summary(
        &self,
        opts: impl Into<MetricOpts>,
        summary: &SummaryOpts,
    ) -> Result<Summary, MetricsError> {
        Ok(self.summary_family(opts, [], summary)?.with([]))
    }

    /// Summaries told apart by label values.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    pub fn summary_family<const N: usize>(
        &self,
        opts: impl Into<MetricOpts>,
        label_names: [&str; N],
        summary: &SummaryOpts,
    ) -> Result<Family<Summary, N>, MetricsError> {
        let opts = self.opts(opts.into(), &label_names)?;
        Ok(self.registry.summary_family(opts, label_names, summary)?)
    }

    /// What something is, as labels of a metric that is always 1: a version, a configuration. Its name ends with
    /// `_info`.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, MetricsExposition};
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// runtime.metrics().info(("engine_info", "The engine."), &[("version", "0.11.0")])?;
    /// let mut body = dynamo_metrics_server::bytes::BytesMut::new();
    /// MetricsExposition::of_runtime(&runtime).write(&mut body);
    /// let line = "dynamo_component_engine_info{version=\"0.11.0\"} 1\n";
    /// assert!(std::str::from_utf8(&body).unwrap().contains(line));
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// See [`Metrics`]; and a name that does not end with `_info`.
    pub fn info(
        &self,
        opts: impl Into<MetricOpts>,
        labels: &[(&str, &str)],
    ) -> Result<Info, MetricsError> {
        let with = |opts: MetricOpts, &(name, value): &(&str, &str)| opts.const_label(name, value);
        let opts = labels.iter().fold(opts.into(), with);
        Ok(self.info_family(opts, [])?.with([]))
    }

    /// Infos that come and go, told apart by label values.
    ///
    /// # Errors
    /// See [`info`](Self::info).
    pub fn info_family<const N: usize>(
        &self,
        opts: impl Into<MetricOpts>,
        label_names: [&str; N],
    ) -> Result<Family<Info, N>, MetricsError> {
        Ok(self.registry.info_family(self.opts(opts.into(), &label_names)?, label_names)?)
    }

    /// Which of some states hold, a sample each with a label of the metric's full name.
    ///
    /// ```
    /// use dynamo_metrics::DistributedRuntime;
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let phase = runtime.metrics().state_set(("phase", "What the worker does."), &["load", "serve"])?;
    /// phase.only("serve").unwrap();
    /// assert_eq!(phase.get("serve"), Ok(true));
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// See [`Metrics`]; and states that cannot be.
    pub fn state_set(
        &self,
        opts: impl Into<MetricOpts>,
        states: &[&str],
    ) -> Result<StateSet, MetricsError> {
        Ok(self.state_set_family(opts, [], states)?.with([]))
    }

    /// State sets told apart by label values.
    ///
    /// # Errors
    /// See [`state_set`](Self::state_set).
    pub fn state_set_family<const N: usize>(
        &self,
        opts: impl Into<MetricOpts>,
        label_names: [&str; N],
        states: &[&str],
    ) -> Result<Family<StateSet, N>, MetricsError> {
        let opts = self.opts(opts.into(), &label_names)?;
        Ok(self.registry.state_set_family(opts, label_names, states)?)
    }
}
