//! Registry -> text: the Prometheus format 0.0.4 and OpenMetrics 1.0.
//!
//! Text is copied and numbers are formatted, nothing else. What is written is the narrow subset of each format that
//! every consumer accepts: one description a family and before its samples, no blank lines, no timestamps, one space
//! before the value, buckets ascending and cumulative, `+Inf` equal to `_count`, LF at the end.

mod dialect;
mod extras;
mod form;

pub(crate) use dialect::{Dialect, unit};
pub(crate) use form::TextForm;

use crate::cursor::{Cursor, Text};
use crate::layout::{FamilyLayout, PartLayout};
use dynamo_metrics_core::{FamilySnapshot, Kind, PartSnapshot, SeriesSnapshot, Value};
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
    for (layout, part) in layout.parts.iter().zip(family.parts()) {
        let PartLayout { texts, form, .. } = layout;
        let has_extras = form.exemplars > 0 || form.created.is_some();
        if part.descriptor().kind() == Kind::Counter && !has_extras {
            let series = texts.iter().zip(part.counts());
            cursor = series
                .fold(cursor, |cursor, (text, count)| cursor.copy(text).number(count).newline());
            continue;
        }
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
                    write_created(cursor, form, part, at, text)
                }
                // A callback that panicked: its sample is left out, the registry counts it.
                _ => continue,
            };
        }
    }
    if cursor.position() == values { cursor.rewind(start) } else { cursor }
}

/// Ends the only line of a series, with what may follow its value.
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
    write_created(cursor.newline(), form, part, at, text)
}

/// The bucket lines of a histogram, and how many observations there are; with the exemplars of `series`, if given.
#[inline(always)]
fn write_buckets<'a>(
    mut cursor: Cursor<'a>,
    form: &TextForm,
    text: Text<'_>,
    counts: &[u64],
    series: Option<SeriesSnapshot<'_>>,
) -> (Cursor<'a>, u64) {
    let mut cumulated = 0u64;
    for (slot, (tail, count)) in form.tails.iter().zip(counts).enumerate() {
        cumulated = cumulated.wrapping_add(*count);
        cursor = cursor.copy(text).copy(tail).number(cumulated);
        if let Some(series) = series {
            cursor = write_exemplar(cursor, series, slot);
        }
        cursor = cursor.newline();
    }
    (cursor, cumulated)
}

#[inline]
fn write_totals<'a>(
    cursor: Cursor<'a>,
    form: &TextForm,
    text: Text<'_>,
    sum: f64,
    count: u64,
) -> Cursor<'a> {
    let Some([sum_names, count_names]) = &form.totals else { return cursor };
    let cursor = form.write_sample(cursor, sum_names, text).value(sum).newline();
    form.write_sample(cursor, count_names, text).number(count).newline()
}

fn write_states<'a>(cursor: Cursor<'a>, form: &TextForm, text: Text<'_>, bits: u64) -> Cursor<'a> {
    form.tails.iter().enumerate().fold(cursor, |cursor, (state, tail)| {
        cursor.copy(text).copy(tail).number(bits >> state & 1).newline()
    })
}
