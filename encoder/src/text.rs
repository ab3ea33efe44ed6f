//! Registry -> Prometheus text format 0.0.4.
//!
//! A scrape takes a snapshot of the registry, brings the layout up to date, reserves the whole body at once and
//! then only copies text and formats numbers. What it writes is the narrow subset of the format that every
//! consumer accepts: HELP before TYPE, no blank lines, no timestamps, one space before the value, buckets
//! ascending and cumulative, `+Inf` equal to `_count`, LF at the end.

use crate::layout::{HistogramLayout, Layout};
use crate::number::{write_u64, write_value};
use bytes::BytesMut;
use dynamo_metrics_core::{Registry, Snapshot, Value};

/// Longest number that is printed: `-1.7976931348623157e+308`.
const NUMBER_BYTES_MAX: usize = 24;

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
        body.reserve(self.bytes_max());
        for (layout, family) in self.layout.families.iter().zip(self.snapshot.families()) {
            if family.parts().all(|part| part.is_empty()) {
                continue;
            }
            let start = body.len();
            body.extend_from_slice(&layout.header);
            let values = body.len();
            for (layout, part) in layout.parts.iter().zip(family.parts()) {
                let series = (0..part.len()).filter_map(|at| part.series(at));
                for (text, series) in layout.texts().zip(series) {
                    match (series.value(), &layout.histogram) {
                        (Value::Unsigned(value), _) => {
                            line(body, text, |body| write_u64(body, value))
                        }
                        (Value::Signed(value), _) => line(body, text, |body| {
                            if value < 0 {
                                body.extend_from_slice(b"-");
                            }
                            write_u64(body, value.unsigned_abs());
                        }),
                        (Value::Float(value), _) => {
                            line(body, text, |body| write_value(body, value))
                        }
                        (Value::Histogram { counts, sum }, Some(histogram)) => {
                            write_histogram(body, histogram, text, counts, sum);
                        }
                        // A callback that panicked: its sample is left out, the registry counts it.
                        _ => {}
                    }
                }
            }
            if body.len() == values {
                body.truncate(start);
            }
        }
    }

    fn bytes_max(&self) -> usize {
        let families = self.layout.families.iter();
        families
            .map(|family| {
                let parts = family.parts.iter().map(|part| part.bytes_max(NUMBER_BYTES_MAX));
                family.header.len() + parts.sum::<usize>()
            })
            .sum()
    }
}

#[inline]
fn line(body: &mut BytesMut, text: &[u8], value: impl FnOnce(&mut BytesMut)) {
    body.extend_from_slice(text);
    value(body);
    body.extend_from_slice(b"\n");
}

fn write_histogram(
    body: &mut BytesMut,
    layout: &HistogramLayout,
    labels: &[u8],
    counts: &[u64],
    sum: f64,
) {
    let mut cumulated = 0u64;
    for (le, count) in layout.les.iter().zip(counts) {
        cumulated = cumulated.wrapping_add(*count);
        body.extend_from_slice(&layout.bucket);
        body.extend_from_slice(labels);
        line(body, le, |body| write_u64(body, cumulated));
    }
    let whole = |body: &mut BytesMut, name: &[u8]| {
        body.extend_from_slice(name);
        // The labels end with the comma that `le` follows.
        if let Some((_, labels)) = labels.split_last() {
            body.extend_from_slice(b"{");
            body.extend_from_slice(labels);
            body.extend_from_slice(b"}");
        }
    };
    whole(body, &layout.sum);
    line(body, b" ", |body| write_value(body, sum));
    whole(body, &layout.count);
    line(body, b" ", |body| write_u64(body, cumulated));
}
