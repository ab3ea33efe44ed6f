//! The registration of the frontend's families: their prefix, their label `model`, and their limits of series.

use super::config::BucketBounds;
use super::distribution::{Distributions, Values};
use super::models::MODELS_MAX;
use crate::names::labels;
use dynamo_metrics_core::{
    Counter, Family, FloatCounter, Gauge, Opts, RegisterError, Registry, UpDownCounter,
    limits::OPERATOR_LABEL_VALUE_BYTES_MAX,
};

/// Registers families of one frontend.
#[derive(Debug)]
pub(super) struct Families<'a> {
    pub(super) registry: &'a Registry,
    /// The begin of all names, without the `_` that follows.
    pub(super) prefix: &'a str,
    /// Series of a family with one for each model.
    models_max: usize,
    /// True if histograms have native buckets beside the classic ones.
    native_histograms: bool,
}

impl<'a> Families<'a> {
    /// For all models that workers serve, `unserved_models_max` others, and `unknown_model`.
    pub(super) fn new(
        registry: &'a Registry,
        prefix: &'a str,
        unserved_models_max: usize,
        native_histograms: bool,
    ) -> Self {
        let models_max = MODELS_MAX + unserved_models_max + 1;
        Self { registry, prefix, models_max, native_histograms }
    }

    /// The options of a family without the label `model`.
    pub(super) fn named(&self, name: &str, help: &str) -> Opts {
        Opts::new(format!("{}_{name}", self.prefix), help)
    }

    /// The options of a family with `each` series for each model.
    pub(super) fn per_model(&self, name: &str, help: &str, each: usize) -> Opts {
        // The names of models that workers serve are the operator's: two long ones must not become one series.
        self.named(name, help)
            .series_max(self.models_max * each)
            .label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX)
    }

    pub(super) fn up_down_counter(
        &self,
        name: &str,
        help: &str,
    ) -> Result<Family<UpDownCounter, 1>, RegisterError> {
        self.registry.up_down_counter_family(self.per_model(name, help, 1), [labels::MODEL])
    }

    /// An up/down counter of a part of what another one counts.
    pub(super) fn nested(
        &self,
        name: &str,
        help: &str,
    ) -> Result<Family<UpDownCounter, 1>, RegisterError> {
        let opts = self.per_model(name, help, 1).nested();
        self.registry.up_down_counter_family(opts, [labels::MODEL])
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<Family<Gauge, 1>, RegisterError> {
        self.registry.gauge_family(self.per_model(name, help, 1), [labels::MODEL])
    }

    /// A family of counters with `each` series for each model. The first label is the model.
    pub(super) fn counter<const N: usize>(
        &self,
        name: &str,
        help: &str,
        each: usize,
        label_names: [&str; N],
    ) -> Result<Family<Counter, N>, RegisterError> {
        self.registry.counter_family(self.per_model(name, help, each), label_names)
    }

    /// A family of counters of a part of what a [`counter`](Self::counter) counts. A thread that increments the part after the
    /// whole never shows more of the part than of the whole: a scrape reads `f64` before `u64`.
    pub(super) fn part_counter<const N: usize>(
        &self,
        name: &str,
        help: &str,
        each: usize,
        label_names: [&str; N],
    ) -> Result<Family<FloatCounter, N>, RegisterError> {
        self.registry.float_counter_family(self.per_model(name, help, each), label_names)
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        bounds: &BucketBounds,
        values: Values,
    ) -> Result<Distributions, RegisterError> {
        self.histogram_of(name, self.per_model(name, help, 1), bounds, values)
    }

    /// A histogram with exemplars, for times of whole requests: a slow request leads to its trace.
    pub(super) fn traced_histogram(
        &self,
        name: &str,
        help: &str,
        bounds: &BucketBounds,
        values: Values,
    ) -> Result<Distributions, RegisterError> {
        self.histogram_of(name, self.per_model(name, help, 1).exemplars(), bounds, values)
    }

    fn histogram_of(
        &self,
        name: &str,
        opts: Opts,
        bounds: &BucketBounds,
        values: Values,
    ) -> Result<Distributions, RegisterError> {
        let name = || format!("{}_{name}", self.prefix);
        let buckets =
            bounds.buckets().map_err(|source| RegisterError::Buckets { name: name(), source })?;
        let native = self.native_histograms;
        Distributions::new(self.registry, opts, labels::MODEL, &buckets, values, native)
    }
}
