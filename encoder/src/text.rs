//! Registry -> Prometheus text format 0.0.4.
//!
//! A scrape takes a snapshot of the registry, brings the layout up to date, reserves the whole body at once and
//! then only copies text and formats numbers. What it writes is the narrow subset of the format that every
//! consumer accepts: HELP before TYPE, no blank lines, no timestamps, one space before the value, buckets
//! ascending and cumulative, `+Inf` equal to `_count`, LF at the end.

use crate::cursor::{Cursor, Text, append};
use crate::layout::{COUNT, Compound, FamilyLayout, Layout, SUM};
use bytes::BytesMut;
use dynamo_metrics_core::{FamilySnapshot, Kind, Registry, Snapshot, Value};

/// Encodes a registry again and again into the caller's buffer.
///
/// Keep one for each registry and scraper thread: it holds the snapshot and the rendered text. In steady state,
/// with no series added or removed since the last scrape, [`encode`](Self::encode) allocates nothing, provided
/// that the buffer has room for the last body.
///
/// ```
/// use bytes::BytesMut;
/// use dynamo_metrics_core::{Buckets, Registry};
/// use dynamo_metrics_encoder::TextEncoder;
///
/// let registry = Registry::new();
/// let requests = registry.counter_family(("requests_total", "Requests."), ["model"])?;
/// requests.with(["Qwen/Qwen3-0.6B"]).add(42);
/// registry.histogram(("wait_seconds", ""), &Buckets::new([0.5])?)?.observe(0.25);
///
/// let mut encoder = TextEncoder::new();
/// let mut body = BytesMut::new();
/// encoder.encode(&registry, &mut body);
/// let lines: Vec<&str> = std::str::from_utf8(&body)?.lines().collect();
/// assert_eq!(lines[..2], ["# HELP requests_total Requests.", "# TYPE requests_total counter"]);
/// assert_eq!(lines[2], "requests_total{model=\"Qwen/Qwen3-0.6B\"} 42");
/// assert_eq!(lines[3..6], [
///     "# TYPE wait_seconds histogram",
///     "wait_seconds_bucket{le=\"0.5\"} 1",
///     "wait_seconds_bucket{le=\"+Inf\"} 1",
/// ]);
/// assert_eq!(lines[6..], ["wait_seconds_sum 0.25", "wait_seconds_count 1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct TextEncoder {
    snapshot: Snapshot,
    layout: Layout,
}

impl TextEncoder {
    /// An encoder that has rendered nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the exposition of the registry and the scopes below it to `body`.
    ///
    /// Families come sorted by name, series in the order of their creation. A family without series prints
    /// nothing. Cost: linear in the bytes written, plus one pass over the shards of all threads.
    pub fn encode(&mut self, registry: &Registry, body: &mut BytesMut) {
        self.snapshot.take(registry);
        self.layout.sync(&self.snapshot);
        let families = self.layout.families.iter().zip(self.snapshot.families());
        append(body, self.layout.bytes_max(), |cursor| {
            families.fold(cursor, |cursor, (layout, family)| write_family(cursor, layout, family))
        });
    }
}

fn write_family<'a>(
    cursor: Cursor<'a>,
    layout: &FamilyLayout,
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
            cursor = match (value, &layout.compound) {
                (Value::Unsigned(value), _) => cursor.copy(text).number(value).newline(),
                (Value::Signed(value), _) => cursor.copy(text).signed(value).newline(),
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
    let cursor = compound.write_total(cursor, SUM, text).value(sum).newline();
    compound.write_total(cursor, COUNT, text).number(cumulated).newline()
}
