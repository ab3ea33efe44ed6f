//! Families as plain structures, without the feature `protobuf`.

macro_rules! numbers {
    ($($structure:ident: $($field:ident $set:ident $get:ident $number:ty),*;)*) => {$(
        impl $structure {$(
            /// Sets the number.
            pub fn $set(&mut self, v: $number) {
                self.$field = v;
            }
            /// Returns the number.
            pub fn $get(&self) -> $number {
                self.$field
            }
        )*}
    )*};
}

macro_rules! structures {
    ($($(#[$doc:meta])* $structure:ident { $($field:ident: $type:ty),* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $structure {
            $(pub(super) $field: $type),*
        }

        impl $structure {
            /// Returns an empty one; as `default`.
            pub fn new() -> Self {
                Self::default()
            }
        }
    )*};
}

structures! {
    /// A label.
    LabelPair { name: String, value: String }
    /// A gauge.
    Gauge { value: f64 }
    /// A counter.
    Counter { value: f64 }
    /// A number without a type.
    Untyped { value: f64 }
    /// A quantile of a summary.
    Quantile { quantile: f64, value: f64 }
    /// A summary.
    Summary { sample_count: u64, sample_sum: f64, quantile: Vec<Quantile> }
    /// A bucket of a histogram, with the number of all observations up to its bound.
    Bucket { cumulative_count: u64, upper_bound: f64 }
    /// A histogram.
    Histogram { sample_count: u64, sample_sum: f64, bucket: Vec<Bucket> }
    /// A series: its labels, and the value that its family's type has.
    Metric {
        label: Vec<LabelPair>, gauge: Gauge, counter: Counter, summary: Summary, untyped: Untyped, histogram: Histogram,
        timestamp_ms: i64
    }
}

mod message {
    use super::{Metric, MetricType};

    structures! {
        /// Series of one name.
        MetricFamily { name: String, help: String, field_type: MetricType, metric: Vec<Metric> }
    }
}

pub use crate::lazy::MetricFamily;
#[doc(hidden)]
pub use message::MetricFamily as MetricFamilyMessage;

numbers! {
    Gauge: value set_value get_value f64;
    Counter: value set_value get_value f64;
    Untyped: value set_value get_value f64;
    Quantile: quantile set_quantile get_quantile f64, value set_value get_value f64;
    Summary: sample_count set_sample_count get_sample_count u64, sample_sum set_sample_sum get_sample_sum f64;
    Bucket: cumulative_count set_cumulative_count get_cumulative_count u64, upper_bound set_upper_bound get_upper_bound f64;
    Histogram: sample_count set_sample_count get_sample_count u64, sample_sum set_sample_sum get_sample_sum f64;
    Metric: timestamp_ms set_timestamp_ms get_timestamp_ms i64;
}

/// The type of a family.
#[allow(clippy::upper_case_acronyms)] // as the protobuf messages name them
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum MetricType {
    /// A counter.
    #[default]
    COUNTER,
    /// A gauge.
    GAUGE,
    /// A summary.
    SUMMARY,
    /// No type.
    UNTYPED,
    /// A histogram.
    HISTOGRAM,
}

impl LabelPair {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name; as `name`.
    pub fn get_name(&self) -> &str {
        &self.name
    }

    /// Sets the name.
    pub fn set_name(&mut self, v: String) {
        self.name = v;
    }

    /// Returns the value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the value; as `value`.
    pub fn get_value(&self) -> &str {
        &self.value
    }

    /// Sets the value.
    pub fn set_value(&mut self, v: String) {
        self.value = v;
    }

    /// Makes the name empty.
    pub fn clear_name(&mut self) {
        self.name.clear();
    }
}

impl Quantile {
    /// Returns the quantile, 0 to 1; as `get_quantile`.
    pub fn quantile(&self) -> f64 {
        self.quantile
    }

    /// Returns the value; as `get_value`.
    pub fn value(&self) -> f64 {
        self.value
    }
}

impl Summary {
    /// Returns the number of observations; as `get_sample_count`.
    pub fn sample_count(&self) -> u64 {
        self.sample_count
    }

    /// Returns the sum of the observations; as `get_sample_sum`.
    pub fn sample_sum(&self) -> f64 {
        self.sample_sum
    }

    /// Returns the quantiles.
    pub fn get_quantile(&self) -> &[Quantile] {
        &self.quantile
    }

    /// Replaces the quantiles.
    pub fn set_quantile(&mut self, v: Vec<Quantile>) {
        self.quantile = v;
    }
}

impl Bucket {
    /// Returns the number of observations up to the bound; as `get_cumulative_count`.
    pub fn cumulative_count(&self) -> u64 {
        self.cumulative_count
    }

    /// Returns the bound; as `get_upper_bound`.
    pub fn upper_bound(&self) -> f64 {
        self.upper_bound
    }
}

impl Histogram {
    /// Returns the buckets.
    pub fn get_bucket(&self) -> &[Bucket] {
        &self.bucket
    }

    /// Replaces the buckets.
    pub fn set_bucket(&mut self, v: Vec<Bucket>) {
        self.bucket = v;
    }
}

impl Metric {
    /// Returns a metric with these labels and no value.
    pub fn from_label(label: Vec<LabelPair>) -> Self {
        Self { label, ..Default::default() }
    }

    /// Returns a metric with this gauge and no labels.
    pub fn from_gauge(gauge: Gauge) -> Self {
        Self { gauge, ..Default::default() }
    }

    /// Returns the labels.
    pub fn get_label(&self) -> &[LabelPair] {
        &self.label
    }

    /// Replaces the labels.
    pub fn set_label(&mut self, v: Vec<LabelPair>) {
        self.label = v;
    }

    /// Returns the labels, to be changed.
    pub fn mut_label(&mut self) -> &mut [LabelPair] {
        &mut self.label
    }

    /// Takes the labels out.
    pub fn take_label(&mut self) -> Vec<LabelPair> {
        std::mem::take(&mut self.label)
    }

    /// Returns the gauge.
    pub fn get_gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Sets the gauge.
    pub fn set_gauge(&mut self, v: Gauge) {
        self.gauge = v;
    }

    /// Returns the counter.
    pub fn get_counter(&self) -> &Counter {
        &self.counter
    }

    /// Sets the counter.
    pub fn set_counter(&mut self, v: Counter) {
        self.counter = v;
    }

    /// Returns the summary.
    pub fn get_summary(&self) -> &Summary {
        &self.summary
    }

    /// Sets the summary.
    pub fn set_summary(&mut self, v: Summary) {
        self.summary = v;
    }

    /// Returns the untyped.
    pub fn get_untyped(&self) -> &Untyped {
        &self.untyped
    }

    /// Sets the untyped.
    pub fn set_untyped(&mut self, v: Untyped) {
        self.untyped = v;
    }

    /// Returns the histogram.
    pub fn get_histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// Sets the histogram.
    pub fn set_histogram(&mut self, v: Histogram) {
        self.histogram = v;
    }

    /// Returns the time of the value in milliseconds; as `get_timestamp_ms`.
    pub fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// Returns the value that the text format prints for a family of this type.
    pub(crate) fn text_value(&self, kind: MetricType) -> f64 {
        match kind {
            MetricType::COUNTER => self.counter.value,
            MetricType::GAUGE => self.gauge.value,
            _ => self.untyped.value,
        }
    }
}

impl MetricFamilyMessage {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name; as `name`.
    pub fn get_name(&self) -> &str {
        &self.name
    }

    /// Sets the name.
    pub fn set_name(&mut self, v: String) {
        self.name = v;
    }

    /// Returns the help text.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// Returns the help text; as `help`.
    pub fn get_help(&self) -> &str {
        &self.help
    }

    /// Sets the help text.
    pub fn set_help(&mut self, v: String) {
        self.help = v;
    }

    /// Makes the name empty.
    pub fn clear_name(&mut self) {
        self.name.clear();
    }

    /// Makes the list of metrics empty.
    pub fn clear_metric(&mut self) {
        self.metric.clear();
    }

    /// Returns the type.
    pub fn get_field_type(&self) -> MetricType {
        self.field_type
    }

    /// Sets the type.
    pub fn set_field_type(&mut self, v: MetricType) {
        self.field_type = v;
    }

    /// Returns the metrics.
    pub fn get_metric(&self) -> &[Metric] {
        &self.metric
    }

    /// Replaces the metrics.
    pub fn set_metric(&mut self, v: Vec<Metric>) {
        self.metric = v;
    }

    /// Returns the metrics, to be changed.
    pub fn mut_metric(&mut self) -> &mut Vec<Metric> {
        &mut self.metric
    }

    /// Takes the metrics out.
    pub fn take_metric(&mut self) -> Vec<Metric> {
        std::mem::take(&mut self.metric)
    }
}
