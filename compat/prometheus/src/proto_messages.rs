//! Families as protobuf messages.

#[rustfmt::skip]
#[path = "proto_generated.rs"]
mod generated;

pub use crate::lazy::MetricFamily;
#[doc(hidden)]
pub use generated::MetricFamily as MetricFamilyMessage;
pub use generated::*;

use protobuf::{EnumOrUnknown, MessageField};

macro_rules! into_field {
    ($($message:ty)*) => {$(
        impl From<$message> for MessageField<$message> {
            fn from(message: $message) -> Self {
                MessageField::some(message)
            }
        }
    )*};
}
into_field!(Counter Gauge Histogram Summary);

impl From<MetricType> for Option<EnumOrUnknown<MetricType>> {
    fn from(kind: MetricType) -> Self {
        Some(EnumOrUnknown::new(kind))
    }
}

impl LabelPair {
    /// Returns the name; as `name`.
    pub fn get_name(&self) -> &str {
        self.name()
    }

    /// Returns the value; as `value`.
    pub fn get_value(&self) -> &str {
        self.value()
    }
}

impl Metric {
    /// Returns a metric with these labels and no value.
    pub fn from_label(label: Vec<LabelPair>) -> Self {
        Self { label, ..Default::default() }
    }

    /// Returns a metric with this gauge and no labels.
    pub fn from_gauge(gauge: Gauge) -> Self {
        Self { gauge: gauge.into(), ..Default::default() }
    }

    /// Returns the time of the value in milliseconds; as `timestamp_ms`.
    pub fn get_timestamp_ms(&self) -> i64 {
        self.timestamp_ms()
    }

    /// Returns the labels.
    pub fn get_label(&self) -> &[LabelPair] {
        &self.label
    }

    /// Replaces the labels.
    pub fn set_label(&mut self, label: Vec<LabelPair>) {
        self.label = label;
    }

    /// Takes the labels out.
    pub fn take_label(&mut self) -> Vec<LabelPair> {
        std::mem::take(&mut self.label)
    }

    /// Returns the counter.
    pub fn get_counter(&self) -> &MessageField<Counter> {
        &self.counter
    }

    /// Sets the counter.
    pub fn set_counter(&mut self, counter: Counter) {
        self.counter = counter.into();
    }

    /// Returns the gauge.
    pub fn get_gauge(&self) -> &MessageField<Gauge> {
        &self.gauge
    }

    /// Sets the gauge.
    pub fn set_gauge(&mut self, gauge: Gauge) {
        self.gauge = gauge.into();
    }

    /// Returns the histogram.
    pub fn get_histogram(&self) -> &MessageField<Histogram> {
        &self.histogram
    }

    /// Sets the histogram.
    pub fn set_histogram(&mut self, histogram: Histogram) {
        self.histogram = histogram.into();
    }

    /// Returns the summary.
    pub fn get_summary(&self) -> &MessageField<Summary> {
        &self.summary
    }

    /// Sets the summary.
    pub fn set_summary(&mut self, summary: Summary) {
        self.summary = summary.into();
    }

    /// Returns the value that the text format prints for a family of this type.
    pub(crate) fn text_value(&self, kind: MetricType) -> f64 {
        match kind {
            MetricType::COUNTER => self.counter.value(),
            MetricType::GAUGE => self.gauge.value(),
            _ => self.untyped.value(),
        }
    }
}

impl MetricFamilyMessage {
    /// Returns the name; as `name`.
    pub fn get_name(&self) -> &str {
        self.name()
    }

    /// Returns the help text; as `help`.
    pub fn get_help(&self) -> &str {
        self.help()
    }

    /// Returns the type.
    pub fn get_field_type(&self) -> MetricType {
        self.type_()
    }

    /// Sets the type.
    pub fn set_field_type(&mut self, t: MetricType) {
        self.type_ = t.into();
    }

    /// Returns the metrics.
    pub fn get_metric(&self) -> &[Metric] {
        &self.metric
    }

    /// Returns the metrics, to be changed.
    pub fn mut_metric(&mut self) -> &mut Vec<Metric> {
        &mut self.metric
    }

    /// Replaces the metrics.
    pub fn set_metric(&mut self, metric: Vec<Metric>) {
        self.metric = metric;
    }

    /// Takes the metrics out.
    pub fn take_metric(&mut self) -> Vec<Metric> {
        std::mem::take(&mut self.metric)
    }
}

impl Summary {
    /// Returns the number of observations; as `sample_count`.
    pub fn get_sample_count(&self) -> u64 {
        self.sample_count()
    }

    /// Returns the sum of the observations; as `sample_sum`.
    pub fn get_sample_sum(&self) -> f64 {
        self.sample_sum()
    }

    /// Returns the quantiles.
    pub fn get_quantile(&self) -> &[Quantile] {
        &self.quantile
    }

    /// Replaces the quantiles.
    pub fn set_quantile(&mut self, quantiles: Vec<Quantile>) {
        self.quantile = quantiles;
    }
}

impl Quantile {
    /// Returns the quantile, 0 to 1; as `quantile`.
    pub fn get_quantile(&self) -> f64 {
        self.quantile()
    }

    /// Returns the value; as `value`.
    pub fn get_value(&self) -> f64 {
        self.value()
    }
}

impl Histogram {
    /// Returns the number of observations.
    pub fn get_sample_count(&self) -> u64 {
        self.sample_count()
    }

    /// Returns the sum of the observations.
    pub fn get_sample_sum(&self) -> f64 {
        self.sample_sum()
    }

    /// Returns the buckets.
    pub fn get_bucket(&self) -> &[Bucket] {
        &self.bucket
    }

    /// Replaces the buckets.
    pub fn set_bucket(&mut self, bucket: Vec<Bucket>) {
        self.bucket = bucket;
    }
}

impl Bucket {
    /// Returns the number of observations up to the bound; as `cumulative_count`.
    pub fn get_cumulative_count(&self) -> u64 {
        self.cumulative_count()
    }

    /// Returns the bound; as `upper_bound`.
    pub fn get_upper_bound(&self) -> f64 {
        self.upper_bound()
    }
}
