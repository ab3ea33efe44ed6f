//! OpenMetrics 2.0 (release candidate 0): one line a series, whatever it is but for state sets.
//!
//! ```text
//! h{a="x"} {count:2,sum:120.5,bucket:[0.5:1,1.0:2,+Inf:2]} st@1605301325.0 # {trace_id="x"} 0.67 1520879607.789
//! h {count:2,sum:3,schema:3,zero_threshold:1e-4,zero_count:0,positive_spans:[-1:2],positive_buckets:[1,1]}
//! s {count:0,sum:0.0,quantile:[0.95:123.7,0.99:150.0]}
//! ```
//!
//! Native buckets are absolute counts here (in protobuf they are differences), and the only form of a native
//! histogram in text. An exemplar must have a time; one without is left out.

use super::extras::{write_exemplar, write_time};
use super::form::TextForm;
use crate::cursor::{Cursor, Texts};
use crate::layout::PartLayout;
use crate::native::{Span, filled, spans};
use dynamo_metrics_core::snapshot::{NativeBucketCounts, NativeValue, PartSnapshot, Sum, Value};

/// Appends every series of a part.
pub(crate) fn write_part<'a>(
    mut cursor: Cursor<'a>,
    layout: &PartLayout<TextForm>,
    part: PartSnapshot<'_>,
) -> Cursor<'a> {
    let PartLayout { texts, form, natives, .. } = layout;
    for (at, (text, value)) in texts.iter().zip(part.values()).enumerate() {
        let mut start = part.series(at).and_then(|series| series.created());
        cursor = match value {
            Value::Unsigned(value) => cursor.copy(text).number(value),
            Value::Signed(value) => cursor.copy(text).signed_number(value),
            Value::Float(value) => cursor.copy(text).value(value),
            Value::Info => cursor.copy(text).number(1),
            Value::States(bits) => {
                cursor = super::write_states(cursor, form, text, bits);
                continue;
            }
            Value::Histogram { counts, sum } => {
                write_classic(cursor.copy(text), &form.tails, counts, sum)
            }
            Value::Native(native) => {
                start = native.start.or(start);
                match natives.get(at) {
                    Some(1..) => write_native(cursor.copy(text), &native),
                    _ => write_classic(cursor.copy(text), &form.tails, native.classic, native.sum),
                }
            }
            Value::Summary { count, sum, quantiles } => {
                let cursor = write_count(cursor.copy(text), count, sum).bytes(b",quantile:[");
                let lines = form.tails.iter().zip(quantiles).enumerate();
                let cursor = lines.fold(cursor, |cursor, (at, (level, quantile))| {
                    separated(cursor, at).copy(level).value(*quantile)
                });
                cursor.bytes(b"]}")
            }
            _ => continue,
        };
        if let Some(start) = start {
            cursor = write_time(cursor.bytes(b" st@"), start);
        }
        for slot in 0..form.exemplars {
            let Some(series) = part.series(at) else { break };
            if series.exemplar(slot).is_some_and(|exemplar| exemplar.timestamp.is_some()) {
                cursor = write_exemplar(cursor, series, slot);
            }
        }
        cursor = cursor.newline();
    }
    cursor
}

fn write_count(cursor: Cursor<'_>, count: u64, sum: impl Into<Sum>) -> Cursor<'_> {
    cursor.bytes(b"{count:").number(count).bytes(b",sum:").sum(sum.into())
}

fn write_classic<'a>(
    cursor: Cursor<'a>,
    tails: &Texts,
    counts: &[u64],
    sum: impl Into<Sum>,
) -> Cursor<'a> {
    let count = counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
    let cursor = write_count(cursor, count, sum).bytes(b",bucket:[");
    let mut cumulated = 0u64;
    let buckets = tails.iter().zip(counts).enumerate();
    let cursor = buckets.fold(cursor, |cursor, (at, (bound, count))| {
        cumulated = cumulated.saturating_add(*count);
        separated(cursor, at).copy(bound).number(cumulated)
    });
    cursor.bytes(b"]}")
}

fn write_native<'a>(cursor: Cursor<'a>, native: &NativeValue<'_>) -> Cursor<'a> {
    let cursor = write_count(cursor, native.count, native.sum)
        .bytes(b",schema:")
        .signed_number(native.schema.into())
        .bytes(b",zero_threshold:")
        .value(native.zero_threshold)
        .bytes(b",zero_count:")
        .number(native.zero_count);
    let cursor = write_side(cursor, native.negative, b",negative_spans:[", b"],negative_buckets:[");
    let cursor = write_side(cursor, native.positive, b",positive_spans:[", b"],positive_buckets:[");
    cursor.bytes(b"}")
}

fn write_side<'a>(
    cursor: Cursor<'a>,
    side: NativeBucketCounts<'_>,
    spans_name: &[u8],
    buckets_name: &[u8],
) -> Cursor<'a> {
    if filled(side).next().is_none() {
        return cursor;
    }
    let cursor = cursor.bytes(spans_name);
    let cursor = spans(side).enumerate().fold(cursor, |cursor, (at, span)| {
        let cursor = separated(cursor, at).signed_number(span.offset.into());
        cursor.bytes(b":").number(span.length.into())
    });
    let cursor = cursor.bytes(buckets_name);
    let buckets = filled(side).enumerate();
    buckets.fold(cursor, |cursor, (at, (_, count))| separated(cursor, at).number(count)).bytes(b"]")
}

/// Most bytes that the spans and buckets of a value take.
pub(super) fn buckets_bytes(native: &NativeValue<'_>) -> usize {
    let digits = |v: u64| v.checked_ilog10().unwrap_or(0) as usize + 1;
    let of_side = |side| {
        let buckets: usize = filled(side).map(|(_, count)| digits(count) + 1).sum();
        let of_span = |span: Span| {
            "-:,".len() + digits(span.offset.unsigned_abs().into()) + digits(span.length.into())
        };
        buckets + spans(side).map(of_span).sum::<usize>()
    };
    of_side(native.negative) + of_side(native.positive)
}

fn separated(cursor: Cursor<'_>, at: usize) -> Cursor<'_> {
    if at == 0 { cursor } else { cursor.bytes(b",") }
}
