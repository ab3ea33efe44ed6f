//! Registry -> Prometheus protobuf, delimited.
//!
//! ```text
//! body   = family*                 each behind its length
//! family = header metric*          header: name, help, type, unit, rendered once
//! metric = labels value            labels: rendered once a series
//! ```
//!
//! A family's length is only known when it is written; its place is kept open and filled in afterwards, as a varint
//! of fixed width, which every decoder of varints takes. All other lengths are computed ahead. Counters are
//! doubles in this format, so those above 2^53 are rounded. The bucket for `+Inf` is left out, as client_golang
//! does: it is the count.

mod form;
mod messages;
mod native;
pub(crate) mod wire;

pub(crate) use form::ProtobufForm;

use crate::cursor::{Cursor, Text, Texts};
use crate::layout::{FamilyLayout, Form, PartLayout};
use dynamo_metrics_core::{
    Kind,
    snapshot::{FamilySnapshot, PartSnapshot, Value},
};
use form::split_created;
use native::NativeHistogram;
use wire::{Message, Sink, Size, varint_len};

/// Bytes of a family's length: five groups of seven bits hold any `u32`.
const FAMILY_LENGTH_BYTES: usize = 5;

/// Appends one family, or nothing if it has no series with a value.
pub(crate) fn write_family<'a>(
    cursor: Cursor<'a>,
    layout: &FamilyLayout<ProtobufForm>,
    family: FamilySnapshot<'_>,
) -> Cursor<'a> {
    let start = cursor.position();
    let mut cursor = cursor.bytes(&[0; FAMILY_LENGTH_BYTES]).bytes(&layout.header);
    let values = cursor.position();
    let counter = family.exposed_type() == "counter";
    for (layout, part) in layout.parts.iter().zip(family.parts()) {
        cursor = write_part(cursor, layout, part, counter);
    }
    let end = cursor.position();
    if end == values {
        return cursor.rewind(start);
    }
    cursor.patch(start, &padded_varint(end - start - FAMILY_LENGTH_BYTES))
}

/// Appends the series of a part, those of the usual kinds each in a loop of their own.
fn write_part<'a>(
    cursor: Cursor<'a>,
    layout: &PartLayout<ProtobufForm>,
    part: PartSnapshot<'_>,
    counter: bool,
) -> Cursor<'a> {
    let texts = &layout.texts;
    let descriptor = part.descriptor();
    let bounds = descriptor.buckets().map_or(&[][..], |buckets| buckets.bounds());
    let exemplars = descriptor.exemplar_slots() > 0;
    match part.kind() {
        Kind::Counter if !exemplars => {
            write_counters(cursor, texts, part, part.counts().map(|count| count as f64))
        }
        Kind::FloatCounter if !exemplars => write_counters(cursor, texts, part, part.floats()),
        Kind::Gauge => write_numbers(cursor, texts, GAUGE, part.floats()),
        // With native buckets beside the classic ones.
        Kind::Histogram if layout.form.natives() => write_values(cursor, layout, part, counter),
        Kind::Histogram if !exemplars && part.has_created() => {
            write_started_histograms(cursor, texts, bounds, part)
        }
        Kind::Histogram if !exemplars => write_histograms(cursor, texts, bounds, part),
        _ => write_values(cursor, layout, part, counter),
    }
}

/// Appends the series of a part of any kind.
fn write_values<'a>(
    mut cursor: Cursor<'a>,
    layout: &PartLayout<ProtobufForm>,
    part: PartSnapshot<'_>,
    counter: bool,
) -> Cursor<'a> {
    let values = layout.texts.iter().zip(part.values()).enumerate();
    for (at, (labels, value)) in values {
        cursor = match value {
            Value::Unsigned(value) => {
                write_plain(cursor, labels, part, at, (counter, value as f64))
            }
            Value::Signed(value) => write_plain(cursor, labels, part, at, (counter, value as f64)),
            Value::Float(value) => write_plain(cursor, labels, part, at, (counter, value)),
            Value::Info => write_plain(cursor, labels, part, at, (counter, 1.0)),
            Value::States(bits) => write_states(cursor, &layout.form.states, labels, bits),
            value => write_distribution(cursor, layout, part, at, (labels, value)),
        };
    }
    cursor
}

/// Appends a series that is one number, a counter with its exemplar and start time.
fn write_plain<'a>(
    cursor: Cursor<'a>,
    labels: Text<'_>,
    part: PartSnapshot<'_>,
    at: usize,
    (counter, number): (bool, f64),
) -> Cursor<'a> {
    let exemplars = part.descriptor().exemplar_slots() > 0;
    match part.series(at).filter(|_| counter && exemplars) {
        Some(series) => {
            let (exemplar, created) = (series.exemplar(0), series.created());
            let value = messages::Counter { value: number, exemplar, created };
            write_metric(cursor, labels, COUNTER, &value)
        }
        None => write_number(cursor, labels, if counter { COUNTER } else { GAUGE }, number),
    }
}

/// Appends a histogram with exemplars, a native histogram or a summary.
fn write_distribution<'a>(
    cursor: Cursor<'a>,
    layout: &PartLayout<ProtobufForm>,
    part: PartSnapshot<'_>,
    at: usize,
    (labels, value): (Text<'_>, Value<'_>),
) -> Cursor<'a> {
    let descriptor = part.descriptor();
    let bounds = descriptor.buckets().map_or(&[][..], |buckets| buckets.bounds());
    match value {
        Value::Histogram { counts, sum } => {
            let Some(series) = part.series(at) else { return cursor };
            if let (Some(value), Some(&len @ 1..)) =
                (series.native_beside(), layout.natives.get(at))
            {
                let histogram = NativeHistogram { value, series };
                return write_message(cursor, labels, HISTOGRAM, len as usize, &histogram);
            }
            let histogram = messages::Histogram { bounds, counts, sum: sum.to_f64(), series };
            write_metric(cursor, labels, HISTOGRAM, &histogram)
        }
        Value::Native(value) => {
            let Some(series) = part.series(at) else { return cursor };
            let histogram = NativeHistogram { value, series };
            match layout.natives.get(at) {
                Some(&len @ 1..) => {
                    write_message(cursor, labels, HISTOGRAM, len as usize, &histogram)
                }
                _ => write_histogram(cursor, labels, bounds, value.classic, value.sum, None),
            }
        }
        Value::Summary { count, sum, quantiles } => {
            let levels = descriptor.quantiles().unwrap_or_default();
            let created = part.series(at).and_then(|series| series.created());
            let summary = messages::Summary { count, sum, levels, quantiles, created };
            write_metric(cursor, labels, SUMMARY, &summary)
        }
        // The sample of a callback that panicked is left out; the registry counts it.
        _ => cursor,
    }
}

/// Fields of `Metric`.
const GAUGE: u32 = 2;
const COUNTER: u32 = 3;
const SUMMARY: u32 = 4;
const HISTOGRAM: u32 = 7;

/// Tags: the field's number and wire type.
mod tag {
    pub(super) const METRIC: u8 = 4 << 3 | 2;
    pub(super) const HISTOGRAM: u8 = 7 << 3 | 2;
    pub(super) const VALUE: u8 = 1 << 3 | 1;
    pub(super) const SAMPLE_COUNT: u8 = 1 << 3;
    pub(super) const SAMPLE_SUM: u8 = 2 << 3 | 1;
    pub(super) const BUCKET: u8 = 3 << 3 | 2;
    pub(super) const CUMULATIVE_COUNT: u8 = 1 << 3;
    pub(super) const UPPER_BOUND: u8 = 2 << 3 | 1;
}

// As in text, the usual parts have a loop of their own; with start times, too, which a registry with a clock has for
// every counter and histogram: field by field they took six times the instructions.

fn write_counters<'a>(
    cursor: Cursor<'a>,
    texts: &Texts,
    part: PartSnapshot<'_>,
    numbers: impl Iterator<Item = f64>,
) -> Cursor<'a> {
    if part.has_created() {
        write_started_counters(cursor, texts, numbers)
    } else {
        write_numbers(cursor, texts, COUNTER, numbers)
    }
}

#[inline(never)]
fn write_numbers<'a>(
    cursor: Cursor<'a>,
    texts: &Texts,
    field: u32,
    numbers: impl Iterator<Item = f64>,
) -> Cursor<'a> {
    let metrics = texts.iter().zip(numbers);
    metrics.fold(cursor, |cursor, (labels, number)| write_number(cursor, labels, field, number))
}

#[inline(never)]
fn write_started_counters<'a>(
    cursor: Cursor<'a>,
    texts: &Texts,
    numbers: impl Iterator<Item = f64>,
) -> Cursor<'a> {
    texts.iter().zip(numbers).fold(cursor, |cursor, (text, number)| {
        let (labels, created) = split_created(text);
        let len = DOUBLE_BYTES + created.len();
        let [a, b, c, d, e, f, g, h] = double(number);
        cursor
            .bytes(&[tag::METRIC])
            .varint((labels.len() + 2 + len) as u64)
            .copy(labels)
            .bytes(&[(COUNTER << 3 | 2) as u8, len as u8, tag::VALUE, a, b, c, d, e, f, g, h])
            .copy_short(created)
    })
}

#[inline(never)]
fn write_histograms<'a>(
    cursor: Cursor<'a>,
    texts: &Texts,
    bounds: &[f64],
    part: PartSnapshot<'_>,
) -> Cursor<'a> {
    texts.iter().zip(part.histograms()).fold(cursor, |cursor, (labels, (counts, sum))| {
        write_histogram(cursor, labels, bounds, counts, sum.to_f64(), None)
    })
}

#[inline(never)]
fn write_started_histograms<'a>(
    cursor: Cursor<'a>,
    texts: &Texts,
    bounds: &[f64],
    part: PartSnapshot<'_>,
) -> Cursor<'a> {
    texts.iter().zip(part.histograms()).fold(cursor, |cursor, (text, (counts, sum))| {
        let (labels, created) = split_created(text);
        write_histogram(cursor, labels, bounds, counts, sum.to_f64(), Some(created))
    })
}

/// A metric whose value is this message, in this field.
fn write_metric<'a>(
    cursor: Cursor<'a>,
    labels: Text<'_>,
    field: u32,
    value: &impl Message,
) -> Cursor<'a> {
    write_message(cursor, labels, field, value.write(Size(0)).0, value)
}

/// The same, of a message whose size is known.
fn write_message<'a>(
    cursor: Cursor<'a>,
    labels: Text<'_>,
    field: u32,
    size: usize,
    value: &impl Message,
) -> Cursor<'a> {
    let len = labels.len() + Size(0).sized(field, size).0 + size;
    let cursor = cursor.bytes(&[tag::METRIC]).varint(len as u64).copy(labels);
    value.write(cursor.sized(field, size))
}

fn write_states<'a>(cursor: Cursor<'a>, states: &Texts, labels: Text<'_>, bits: u64) -> Cursor<'a> {
    states.iter().enumerate().fold(cursor, |cursor, (at, state)| {
        let value = if bits >> at & 1 == 1 { 1f64 } else { 0.0 };
        let [a, b, c, d, e, f, g, h] = value.to_bits().to_le_bytes();
        cursor
            .bytes(&[tag::METRIC])
            .varint((labels.len() + state.len() + 2 + DOUBLE_BYTES) as u64)
            .copy(labels)
            .copy(state)
            .bytes(&[
                (GAUGE << 3 | 2) as u8,
                DOUBLE_BYTES as u8,
                tag::VALUE,
                a,
                b,
                c,
                d,
                e,
                f,
                g,
                h,
            ])
    })
}

/// A tag and a double.
const DOUBLE_BYTES: usize = 9;

#[inline(always)]
fn write_number<'a>(cursor: Cursor<'a>, labels: Text<'_>, field: u32, v: f64) -> Cursor<'a> {
    let kind = (field << 3 | 2) as u8;
    let [a, b, c, d, e, f, g, h] = double(v);
    cursor
        .bytes(&[tag::METRIC])
        .varint((labels.len() + 2 + DOUBLE_BYTES) as u64)
        .copy(labels)
        .bytes(&[kind, DOUBLE_BYTES as u8, tag::VALUE, a, b, c, d, e, f, g, h])
}

/// One of the NaNs tells Prometheus that the series is gone; text has only one.
#[inline(always)]
fn double(v: f64) -> [u8; 8] {
    let v = if v.is_nan() { f64::NAN } else { v };
    v.to_bits().to_le_bytes()
}

#[inline(always)]
fn write_histogram<'a>(
    cursor: Cursor<'a>,
    labels: Text<'_>,
    bounds: &[f64],
    counts: &[u64],
    sum: f64,
    created: Option<Text<'_>>,
) -> Cursor<'a> {
    let (mut count, mut buckets_len) = (0u64, 0);
    for (at, of_bucket) in counts.iter().enumerate() {
        count = count.saturating_add(*of_bucket);
        if at < bounds.len() {
            // Tag, length, tag; the count; tag and bound.
            buckets_len += 3 + varint_len(count) + DOUBLE_BYTES;
        }
    }
    let histogram_len =
        1 + varint_len(count) + DOUBLE_BYTES + buckets_len + created.map_or(0, Text::len);
    let metric_len = labels.len() + 1 + varint_len(histogram_len as u64) + histogram_len;
    let cursor = cursor.bytes(&[tag::METRIC]).varint(metric_len as u64).copy(labels);
    let cursor = cursor.bytes(&[tag::HISTOGRAM]).varint(histogram_len as u64);
    let cursor = cursor.bytes(&[tag::SAMPLE_COUNT]).varint(count);
    let cursor = cursor.bytes(&[tag::SAMPLE_SUM]).bytes(&sum.to_bits().to_le_bytes());
    let buckets = bounds.iter().copied().zip(counts);
    let cursor = if count == u64::MAX {
        write_many(cursor, buckets)
    } else {
        // The sum of all counts fits a word.
        write_buckets(cursor, buckets, u64::wrapping_add)
    };
    match created {
        Some(created) => cursor.copy_short(created),
        None => cursor,
    }
}

#[inline(always)]
fn write_buckets<'a, 'b>(
    cursor: Cursor<'a>,
    buckets: impl Iterator<Item = (f64, &'b u64)>,
    add: impl Fn(u64, u64) -> u64,
) -> Cursor<'a> {
    let mut cumulated = 0u64;
    buckets.fold(cursor, |cursor, (bound, of_bucket)| {
        cumulated = add(cumulated, *of_bucket);
        let len = 1 + varint_len(cumulated) + DOUBLE_BYTES;
        let [a, b, c, d, e, f, g, h] = bound.to_bits().to_le_bytes();
        cursor.bytes(&[tag::BUCKET, len as u8, tag::CUMULATIVE_COUNT]).varint(cumulated).bytes(&[
            tag::UPPER_BOUND,
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
        ])
    })
}

#[cold]
#[inline(never)]
fn write_many<'a, 'b>(
    cursor: Cursor<'a>,
    buckets: impl Iterator<Item = (f64, &'b u64)>,
) -> Cursor<'a> {
    write_buckets(cursor, buckets, u64::saturating_add)
}

fn padded_varint(v: usize) -> [u8; FAMILY_LENGTH_BYTES] {
    std::array::from_fn(|at| {
        let more = if at + 1 < FAMILY_LENGTH_BYTES { 0x80 } else { 0 };
        (v >> (7 * at)) as u8 & 0x7f | more
    })
}
