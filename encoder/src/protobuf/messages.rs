//! The messages that are small or rare, field by field: `io.prometheus.client`, `metrics.proto`.
//!
//! The common ones (a counter's value, a bucket) are written in place in `mod.rs`, with their sizes computed ahead.

use crate::protobuf::wire::{Message, Sink};
use dynamo_metrics_core::{exemplar::ExemplarValue, snapshot::SeriesSnapshot};
use std::time::Duration;

/// Fields for the start time.
pub(crate) const COUNTER_CREATED: u32 = 3;
pub(crate) const HISTOGRAM_CREATED: u32 = 15;

/// A label.
#[derive(Debug)]
pub(crate) struct LabelPair<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
}

impl Message for LabelPair<'_> {
    fn write<S: Sink>(&self, sink: S) -> S {
        sink.string(1, self.name.as_bytes()).string(2, self.value.as_bytes())
    }
}

/// `google.protobuf.Timestamp`.
#[derive(Debug)]
pub(crate) struct Timestamp(pub(crate) Duration);

impl Message for Timestamp {
    fn write<S: Sink>(&self, sink: S) -> S {
        let sink = sink.unsigned(1, self.0.as_secs());
        match self.0.subsec_nanos() {
            0 => sink,
            nanos => sink.unsigned(2, nanos.into()),
        }
    }
}

impl Message for ExemplarValue {
    fn write<S: Sink>(&self, sink: S) -> S {
        let mut sink = sink.message(1, &LabelPair { name: "trace_id", value: self.trace_id() });
        if let Some(value) = self.span_id() {
            sink = sink.message(1, &LabelPair { name: "span_id", value });
        }
        let sink = sink.double(2, self.value);
        match self.timestamp {
            Some(timestamp) => sink.message(3, &Timestamp(timestamp)),
            None => sink,
        }
    }
}

/// `Counter` with everything that it may have.
#[derive(Debug)]
pub(crate) struct Counter {
    pub(crate) value: f64,
    pub(crate) exemplar: Option<ExemplarValue>,
    pub(crate) created: Option<Duration>,
}

impl Message for Counter {
    fn write<S: Sink>(&self, sink: S) -> S {
        let mut sink = sink.double(1, self.value);
        if let Some(exemplar) = &self.exemplar {
            sink = sink.message(2, exemplar);
        }
        match self.created {
            Some(created) => sink.message(COUNTER_CREATED, &Timestamp(created)),
            None => sink,
        }
    }
}

/// A classic `Histogram` with everything that it may have.
#[derive(Debug)]
pub(crate) struct Histogram<'a> {
    pub(crate) bounds: &'a [f64],
    pub(crate) counts: &'a [u64],
    pub(crate) sum: f64,
    pub(crate) series: SeriesSnapshot<'a>,
}

impl Message for Histogram<'_> {
    fn write<S: Sink>(&self, sink: S) -> S {
        let count = self.counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
        let mut sink = sink.unsigned(1, count).double(2, self.sum);
        let mut cumulative_count = 0u64;
        let bounds = self.bounds.iter().chain([&f64::INFINITY]);
        for (slot, (&upper_bound, count)) in bounds.zip(self.counts).enumerate() {
            cumulative_count = cumulative_count.saturating_add(*count);
            let exemplar = self.series.exemplar(slot);
            // The bucket for `+Inf` is the count, and only there to carry an exemplar.
            if upper_bound.is_finite() || exemplar.is_some() {
                sink = sink.message(3, &Bucket { cumulative_count, upper_bound, exemplar });
            }
        }
        match self.series.created() {
            Some(created) => sink.message(HISTOGRAM_CREATED, &Timestamp(created)),
            None => sink,
        }
    }
}

/// A classic bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) cumulative_count: u64,
    pub(crate) upper_bound: f64,
    pub(crate) exemplar: Option<ExemplarValue>,
}

impl Message for Bucket {
    fn write<S: Sink>(&self, sink: S) -> S {
        let sink = sink.unsigned(1, self.cumulative_count).double(2, self.upper_bound);
        match &self.exemplar {
            Some(exemplar) => sink.message(3, exemplar),
            None => sink,
        }
    }
}

/// A `Summary`.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) levels: &'a [f64],
    pub(crate) quantiles: &'a [f64],
    pub(crate) created: Option<Duration>,
}

impl Message for Summary<'_> {
    fn write<S: Sink>(&self, sink: S) -> S {
        let mut sink = sink.unsigned(1, self.count).double(2, self.sum);
        for (&quantile, &value) in self.levels.iter().zip(self.quantiles) {
            sink = sink.message(3, &Quantile { quantile, value });
        }
        match self.created {
            Some(created) => sink.message(4, &Timestamp(created)),
            None => sink,
        }
    }
}

struct Quantile {
    quantile: f64,
    value: f64,
}

impl Message for Quantile {
    fn write<S: Sink>(&self, sink: S) -> S {
        sink.double(1, self.quantile).double(2, self.value)
    }
}
