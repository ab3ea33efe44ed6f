//! Registry -> text: the Prometheus format 0.0.4 and OpenMetrics 1.0.
//!
//! Text is copied and numbers are formatted, nothing else. The output is the narrow subset of each format that
//! every consumer accepts: one description a family and before its samples, no blank lines, no timestamps, one space
//! before the value, buckets ascending and cumulative, `+Inf` equal to `_count`, LF at the end.

mod dialect;
mod extras;
mod form;
#[cfg(feature = "openmetrics2")]
mod openmetrics2;

pub(crate) use dialect::{Dialect, Version, unit};
pub(crate) use form::TextForm;

use crate::cursor::{Cursor, Text, Texts};
use crate::layout::{FamilyLayout, PartLayout};
use dynamo_metrics_core::{
    Kind,
    snapshot::{FamilySnapshot, PartSnapshot, SeriesSnapshot, Sum, Value},
};
use extras::{write_created, write_exemplar};

/// The last line of an exposition in OpenMetrics.
pub(crate) const EOF: &[u8] = b"# EOF\n";

/// Appends one family, or nothing if it has no series with a value.
pub(crate) fn write_family<'a>(
    cursor: Cursor<'a>,
    layout: &FamilyLayout<TextForm>,
    family: FamilySnapshot<'_>,
) -> Cursor<'a> {
    let start = cursor.position();
    let mut cursor = cursor.bytes(&layout.header);
    let values = cursor.position();
    for (part_layout, part) in layout.parts.iter().zip(family.parts()) {
        let PartLayout { texts, form, .. } = part_layout;
        let has_extras = form.exemplars > 0 || form.created.is_some();
        #[cfg(feature = "openmetrics2")]
        if form.composite {
            cursor = openmetrics2::write_part(cursor, part_layout, part);
            continue;
        }
        cursor = match part.kind() {
            Kind::Counter if !has_extras => write_counts(cursor, texts, part),
            Kind::Gauge | Kind::FloatCounter if !has_extras => write_floats(cursor, texts, part),
            Kind::Histogram if !has_extras => write_histograms(cursor, texts, form, part),
            _ => write_values(cursor, texts, form, part),
        };
    }
    if cursor.position() == values { cursor.rewind(start) } else { cursor }
}

// The usual parts have a loop of their own, small enough for position and bounds to stay in registers. In one function with
// all the others a line waited for the store of the position by the line before.

#[inline(never)]
fn write_counts<'a>(cursor: Cursor<'a>, texts: &Texts, part: PartSnapshot<'_>) -> Cursor<'a> {
    let lines = texts.iter().zip(part.counts());
    lines.fold(cursor, |cursor, (text, count)| cursor.copy(text).last_number(count))
}

#[inline(never)]
fn write_floats<'a>(cursor: Cursor<'a>, texts: &Texts, part: PartSnapshot<'_>) -> Cursor<'a> {
    let lines = texts.iter().zip(part.floats());
    lines.fold(cursor, |cursor, (text, value)| cursor.copy(text).last_value(value))
}

#[inline(never)]
fn write_histograms<'a>(
    cursor: Cursor<'a>,
    texts: &Texts,
    form: &TextForm,
    part: PartSnapshot<'_>,
) -> Cursor<'a> {
    texts.iter().zip(part.histograms()).fold(cursor, |mut cursor, (text, (counts, sum))| {
        if let (Some(tails), Some(totals)) = (&form.short_tails, form.suffixed_totals)
            && totals.fit(text)
        {
            match cursor.cumulative_lines(text, tails, counts, Some((totals, sum))) {
                Ok((written, _)) => return written,
                Err(unwritten) => cursor = unwritten,
            }
        }
        let (cursor, count) = write_plain_buckets(cursor, form, text, counts);
        write_totals(cursor, form, text, sum, count)
    })
}

/// Appends any part, with exemplars, start times and native histograms.
#[inline(never)]
fn write_values<'a>(
    mut cursor: Cursor<'a>,
    texts: &Texts,
    form: &TextForm,
    part: PartSnapshot<'_>,
) -> Cursor<'a> {
    for (at, (text, value)) in texts.iter().zip(part.values()).enumerate() {
        let end = |cursor| end_line(cursor, form, part, at, text);
        cursor = match value {
            Value::Unsigned(value) => end(cursor.copy(text).number(value)),
            Value::Signed(value) => end(cursor.copy(text).signed_number(value)),
            Value::Float(value) => end(cursor.copy(text).value(value)),
            Value::Info => end(cursor.copy(text).number(1)),
            Value::States(bits) => write_states(cursor, form, text, bits),
            Value::Histogram { counts, sum } => {
                let series = part.series(at).filter(|_| form.exemplars > 0);
                let (cursor, count) = write_buckets(cursor, form, text, counts, series);
                let cursor = write_totals(cursor, form, text, sum, count);
                write_created(cursor, form, part, at, text, None)
            }
            // Written as a classic histogram: no text format before OpenMetrics 2 has native ones.
            Value::Native(native) => {
                let series = part.series(at).filter(|_| form.exemplars > 0);
                let (cursor, count) = write_buckets(cursor, form, text, native.classic, series);
                let cursor = write_totals(cursor, form, text, native.sum, count);
                write_created(cursor, form, part, at, text, native.start)
            }
            Value::Summary { count, sum, quantiles } => {
                let lines = form.tails.iter().zip(quantiles);
                let cursor = lines.fold(cursor, |cursor, (tail, quantile)| {
                    cursor.copy(text).copy_short(tail).last_value(*quantile)
                });
                let cursor = write_totals(cursor, form, text, sum, count);
                write_created(cursor, form, part, at, text, None)
            }
            // A callback that panicked: its sample is left out, the registry counts it.
            _ => continue,
        };
    }
    cursor
}

/// Ends the only line of a series, with the exemplar or start time that may follow its value.
#[inline(always)]
fn end_line<'a>(
    cursor: Cursor<'a>,
    form: &TextForm,
    part: PartSnapshot<'_>,
    at: usize,
    text: Text<'_>,
) -> Cursor<'a> {
    let cursor = match part.series(at).filter(|_| form.exemplars > 0) {
        Some(series) => write_exemplar(cursor, series, 0),
        None => cursor,
    };
    write_created(cursor.newline(), form, part, at, text, None)
}

/// The bucket lines of a histogram, and how many observations there are; with the exemplars of `series`, if given.
fn write_buckets<'a>(
    mut cursor: Cursor<'a>,
    form: &TextForm,
    text: Text<'_>,
    counts: &[u64],
    series: Option<SeriesSnapshot<'_>>,
) -> (Cursor<'a>, u64) {
    let Some(series) = series else { return write_plain_buckets(cursor, form, text, counts) };
    let mut cumulated = 0u64;
    for (slot, (tail, count)) in form.tails.iter().zip(counts).enumerate() {
        cumulated = cumulated.saturating_add(*count);
        cursor = cursor.copy(text).copy_short(tail).number(cumulated);
        cursor = write_exemplar(cursor, series, slot).newline();
    }
    (cursor, cumulated)
}

#[inline(always)]
fn write_plain_buckets<'a>(
    mut cursor: Cursor<'a>,
    form: &TextForm,
    text: Text<'_>,
    counts: &[u64],
) -> (Cursor<'a>, u64) {
    if let Some(tails) = &form.short_tails {
        match cursor.cumulative_lines(text, tails, counts, None) {
            Ok(written) => return written,
            Err(unwritten) => cursor = unwritten,
        }
    }
    let mut cumulated = 0u64;
    for (tail, count) in form.tails.iter().zip(counts) {
        cumulated = cumulated.saturating_add(*count);
        cursor = cursor.copy(text).copy_short(tail).last_number(cumulated);
    }
    (cursor, cumulated)
}

#[inline(always)]
fn write_totals<'a>(
    cursor: Cursor<'a>,
    form: &TextForm,
    text: Text<'_>,
    sum: impl Into<Sum>,
    count: u64,
) -> Cursor<'a> {
    let Some([sum_name, count_name]) = form.totals else { return cursor };
    let cursor = form.write_sample(cursor, sum_name, text).sum(sum.into()).newline();
    form.write_sample(cursor, count_name, text).last_number(count)
}

fn write_states<'a>(cursor: Cursor<'a>, form: &TextForm, text: Text<'_>, bits: u64) -> Cursor<'a> {
    form.tails.iter().enumerate().fold(cursor, |cursor, (state, tail)| {
        cursor.copy(text).copy_short(tail).last_number(bits >> state & 1)
    })
}
