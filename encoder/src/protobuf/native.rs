//! A native histogram as a message: spans of buckets, and each bucket's count less the one before it; with the classic buckets
//! of the same observations, where the histogram has both.

use super::messages::{Bucket, HISTOGRAM_CREATED, Timestamp};
use super::wire::{Message, Sink, zigzag};
use crate::native::{Span, filled, spans};
use dynamo_metrics_core::snapshot::{NativeBucketCounts, NativeValue, SeriesSnapshot, Value};

/// A native `Histogram` with everything that it may have.
#[derive(Debug)]
pub(crate) struct NativeHistogram<'a> {
    pub(crate) value: NativeValue<'a>,
    pub(crate) series: SeriesSnapshot<'a>,
}

impl Message for NativeHistogram<'_> {
    fn write<S: Sink>(&self, sink: S) -> S {
        let Self { value, series } = self;
        let mut sink = sink.unsigned(1, value.count).double(2, value.sum);
        if let Value::Histogram { counts, .. } = series.value() {
            sink = write_classic(sink, *series, counts, value.count);
        }
        sink = sink
            .signed(5, value.schema.into())
            .double(6, value.zero_threshold)
            .unsigned(7, value.zero_count);
        sink = write_side(sink, value.negative, 9, 10);
        sink = write_side(sink, value.positive, 12, 13);
        if spans(value.positive).chain(spans(value.negative)).next().is_none() {
            // Without a span the message is taken for a classic histogram.
            sink = sink.message(12, &Span { offset: 0, length: 0 });
        }
        if let Some(start) = value.start.or_else(|| series.created()) {
            sink = sink.message(HISTOGRAM_CREATED, &Timestamp(start));
        }
        // Scrapers drop exemplars of native histograms that have no time.
        let exemplars =
            (0..series.descriptor().exemplar_slots()).filter_map(|slot| series.exemplar(slot));
        exemplars
            .filter(|exemplar| exemplar.timestamp.is_some())
            .fold(sink, |sink, exemplar| sink.message(16, &exemplar))
    }
}

/// Writes classic buckets below a count that was read at another instant: none is above it. Each only grows, because both the
/// bucket and the count do.
fn write_classic<S: Sink>(
    mut sink: S,
    series: SeriesSnapshot<'_>,
    counts: &[u64],
    count: u64,
) -> S {
    let bounds = series.descriptor().buckets().map_or(&[][..], |buckets| buckets.bounds());
    let mut cumulated = 0u64;
    let bounds = bounds.iter().chain([&f64::INFINITY]);
    for (slot, (&upper_bound, of_bucket)) in bounds.zip(counts).enumerate() {
        cumulated = cumulated.saturating_add(*of_bucket);
        let cumulative_count = if upper_bound.is_finite() { cumulated.min(count) } else { count };
        let exemplar = series.exemplar(slot);
        // The bucket for `+Inf` is the count, and only there to carry an exemplar.
        if upper_bound.is_finite() || exemplar.is_some() {
            sink = sink.message(3, &Bucket { cumulative_count, upper_bound, exemplar });
        }
    }
    sink
}

fn write_side<S: Sink>(sink: S, side: NativeBucketCounts<'_>, spans_in: u32, deltas_in: u32) -> S {
    let sink = spans(side).fold(sink, |sink, span| sink.message(spans_in, &span));
    if filled(side).next().is_none() {
        return sink;
    }
    sink.message(deltas_in, &Deltas(side))
}

/// Each bucket's count less the one before it, packed.
struct Deltas<'a>(NativeBucketCounts<'a>);

impl Message for Deltas<'_> {
    fn write<S: Sink>(&self, sink: S) -> S {
        let mut before = 0u64;
        filled(self.0).fold(sink, |sink, (_, count)| {
            let delta = count.wrapping_sub(before).cast_signed();
            before = count;
            sink.varint(zigzag(delta))
        })
    }
}

impl Message for Span {
    fn write<S: Sink>(&self, sink: S) -> S {
        sink.signed(1, self.offset.into()).unsigned(2, self.length.into())
    }
}
