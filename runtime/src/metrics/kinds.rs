//! The constructors of a level for each kind of metric: one without labels of its own, and a family.
//!
//! Each is the constructor of the [`Registry`](dynamo_metrics_core::Registry) of the same name, after the level's checks.

use super::Metrics;
use crate::error::MetricsError;
use dynamo_metrics_core::{
    Buckets, Counter, Family, FloatCounter, Gauge, Histogram, Info, IntegerHistogram,
    NativeBuckets, NativeHistogram, Opts, Scale, StateSet, Summary, SummaryOpts, UpDownCounter,
};

/// Declares the two constructors of each kind: `one, family -> Kind, setting: Type, ...;`.
macro_rules! constructors {
    ($(
        $(#[$doc:meta])*
        $one:ident, $family:ident -> $kind:ident $(, $settings:ident: $type:ty)*;
    )*) => {
        /// Registration of metrics, by kind.
        impl Metrics {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// See [`Metrics`]; and settings outside of their limits.
                pub fn $one(
                    &self,
                    opts: impl Into<Opts>
                    $(, $settings: $type)*
                ) -> Result<$kind, MetricsError> {
                    Ok(self.$family(opts, [] $(, $settings)*)?.with([]))
                }

                #[doc = concat!("Creates a family: as [`", stringify!($one), "`](Self::", stringify!($one), "), with a series for each set of label values.")]
                ///
                /// # Errors
                /// See [`Metrics`]; and settings outside of their limits.
                pub fn $family<const N: usize>(
                    &self,
                    opts: impl Into<Opts>,
                    label_names: [&str; N]
                    $(, $settings: $type)*
                ) -> Result<Family<$kind, N>, MetricsError> {
                    let opts = self.opts(opts.into(), &label_names)?;
                    Ok(self.registry().$family(opts, label_names $(, $settings)*)?)
                }
            )*
        }
    };
}

constructors! {
    /// Creates a counter without labels of its own.
    counter, counter_family -> Counter;

    /// Creates a counter of fractions, without labels of its own.
    float_counter, float_counter_family -> FloatCounter;

    /// Creates a gauge without labels of its own.
    gauge, gauge_family -> Gauge;

    /// Creates an up/down counter without labels of its own; scrapers see a gauge.
    up_down_counter, up_down_counter_family -> UpDownCounter;

    /// Creates a histogram without labels of its own.
    ///
    /// ```
    /// use dynamo_metrics::{Buckets, DistributedRuntime};
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let opts = ("batch_seconds", "Time to run a batch.");
    /// let batches = runtime.metrics().histogram(opts, &Buckets::default())?;
    /// batches.observe(0.02);
    /// assert_eq!(batches.get().sum, 0.02);
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    histogram, histogram_family -> Histogram, buckets: &Buckets;

    /// Creates a histogram of integers without labels of its own, whose sum is exact: durations in nanoseconds, tokens, bytes.
    ///
    /// ```
    /// use dynamo_metrics::{Buckets, DistributedRuntime, Scale};
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let (opts, buckets) = (("batch_seconds", "Time of a batch."), Buckets::new([0.01, 0.1]).unwrap());
    /// let batches = runtime.metrics().integer_histogram(opts, &buckets, Scale::Nano)?;
    /// batches.observe(20_000_000);
    /// assert_eq!(batches.get().sum.to_string(), "0.02");
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    integer_histogram, integer_histogram_family -> IntegerHistogram, buckets: &Buckets, scale: Scale;

    /// Creates a native histogram without labels of its own: its buckets grow by a factor, as many as are needed. Scrapers
    /// that ask for protobuf get the native histogram, others the classic one of [`NativeBuckets::classic`].
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
    native_histogram, native_histogram_family -> NativeHistogram, buckets: &NativeBuckets;

    /// Creates a summary, quantiles over a sliding window, without labels of its own. Quantiles cannot be added up over
    /// processes; the buckets of histograms can. Windows move by the registry's clock, see
    /// [`new_registry`](crate::new_registry).
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
    summary, summary_family -> Summary, summary: &SummaryOpts;

    /// Creates a state set: for each state a sample, 1 where the state holds, with a label of the metric's full name.
    ///
    /// ```
    /// use dynamo_metrics::DistributedRuntime;
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let phase = runtime.metrics().state_set(("phase", "The worker's phase."), &["load", "serve"])?;
    /// phase.only("serve").unwrap();
    /// assert_eq!(phase.get("serve"), Ok(true));
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    state_set, state_set_family -> StateSet, states: &[&str];
}

impl Metrics {
    /// Creates an info: facts such as a version, as labels of a metric that is always 1. Its name ends with `_info`.
    ///
    /// ```
    /// use dynamo_metrics::DistributedRuntime;
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// runtime.metrics().info(("engine_info", "The engine."), &[("version", "0.11.0")])?;
    /// let mut body = dynamo_metrics_server::bytes::BytesMut::new();
    /// runtime.exposition().write(&mut body);
    /// let line = "dynamo_component_engine_info{version=\"0.11.0\"} 1\n";
    /// assert!(std::str::from_utf8(&body).unwrap().contains(line));
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// See [`Metrics`]; and a name that does not end with `_info`.
    pub fn info(
        &self,
        opts: impl Into<Opts>,
        labels: &[(&str, &str)],
    ) -> Result<Info, MetricsError> {
        let with = |opts: Opts, &(name, value): &(&str, &str)| opts.const_label(name, value);
        let opts = labels.iter().fold(opts.into(), with);
        Ok(self.info_family(opts, [])?.with([]))
    }

    /// Creates a family of infos, which come and go with their label values.
    ///
    /// # Errors
    /// See [`info`](Self::info).
    pub fn info_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
    ) -> Result<Family<Info, N>, MetricsError> {
        Ok(self.registry().info_family(self.opts(opts.into(), &label_names)?, label_names)?)
    }
}
