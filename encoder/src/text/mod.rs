//! Registry -> text: the Prometheus format 0.0.4 and OpenMetrics 1.0.
//!
//! Text is copied and numbers are formatted, nothing else. What is written is the narrow subset of each format that
//! every consumer accepts: one description a family and before its samples, no blank lines, no timestamps, one space
//! before the value, buckets ascending and cumulative, `+Inf` equal to `_count`, LF at the end.

mod dialect;
mod form;

pub(crate) use dialect::Dialect;
pub(crate) use form::TextForm;

use crate::cursor::{Cursor, Text};
use crate::layout::FamilyLayout;
use dynamo_metrics_core::{FamilySnapshot, Kind, Value};
use form::{COUNT, Compound, SUM};

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
        if part.descriptor().kind() == Kind::Counter {
            let series = layout.texts.iter().zip(part.counts());
            cursor = series
                .fold(cursor, |cursor, (text, count)| cursor.copy(text).number(count).newline());
            continue;
        }
        for (text, value) in layout.texts.iter().zip(part.values()) {
            cursor = match (value, &layout.form.compound) {
                (Value::Unsigned(value), _) => cursor.copy(text).number(value).newline(),
                (Value::Signed(value), _) => cursor.copy(text).signed_number(value).newline(),
                (Value::Float(value), _) => cursor.copy(text).value(value).newline(),
                (Value::Histogram { counts, sum }, Some(compound)) => {
                    write_histogram(cursor, compound, text, counts, sum)
                }
                // A callback that panicked: its sample is left out, the registry counts it.
                _ => cursor,
            };
        }
    }
    if cursor.position() == values { cursor.rewind(start) } else { cursor }
}

#[inline(always)]
fn write_histogram<'a>(
    mut cursor: Cursor<'a>,
    compound: &Compound,
    text: Text<'_>,
    counts: &[u64],
    sum: f64,
) -> Cursor<'a> {
    let mut cumulated = 0u64;
    for (tail, count) in compound.tails.iter().zip(counts) {
        cumulated = cumulated.wrapping_add(*count);
        cursor = cursor.copy(text).copy(tail).number(cumulated).newline();
    }
    if !compound.has_totals {
        return cursor;
    }
    let cursor = compound.write_total(cursor, SUM, text).value(sum).newline();
    compound.write_total(cursor, COUNT, text).number(cumulated).newline()
}
