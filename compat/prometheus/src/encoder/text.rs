//! The text format 0.0.4.

use super::{Encoder, check};
use crate::buckets::BUCKET_LABEL;
use crate::error::Result;
use crate::proto::{Metric, MetricFamily, MetricType};
use std::fmt::Write as _;
use std::io::Write;

/// The content type of the text format.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4";

/// Bytes that are written at once, at least, if there are as many: they stay in the first-level cache until they are copied.
const CHUNK: usize = 8 << 10;

/// The encoder of the text format.
///
/// ```
/// use prometheus::core::Collector;
/// use prometheus::{IntGauge, TextEncoder};
///
/// let depth = IntGauge::new("queue_depth", "Requests that wait.")?;
/// depth.set(3);
/// let page = TextEncoder::new().encode_to_string(&depth.collect())?;
/// assert_eq!(page, "# HELP queue_depth Requests that wait.\n# TYPE queue_depth gauge\nqueue_depth 3\n");
/// # Ok::<(), prometheus::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct TextEncoder;

impl TextEncoder {
    /// Returns an encoder.
    pub fn new() -> Self {
        Self
    }

    /// Appends the families to a text.
    ///
    /// # Errors
    /// A family without a name or without metrics; the families before are written.
    pub fn encode_utf8(&self, metric_families: &[MetricFamily], buf: &mut String) -> Result<()> {
        metric_families.iter().try_for_each(|family| append(buf, family))
    }

    /// Returns the families as a text.
    ///
    /// # Errors
    /// A family without a name or without metrics.
    pub fn encode_to_string(&self, metric_families: &[MetricFamily]) -> Result<String> {
        let mut text = String::new();
        self.encode_utf8(metric_families, &mut text)?;
        Ok(text)
    }
}

impl Encoder for TextEncoder {
    fn encode<W: Write>(&self, metric_families: &[MetricFamily], writer: &mut W) -> Result<()> {
        let mut chunks = Chunks { text: String::new(), writer };
        let appended = metric_families.iter().try_for_each(|family| append(&mut chunks, family));
        // The families before one with an error are written, too.
        chunks.flush()?;
        appended
    }

    fn format_type(&self) -> &str {
        TEXT_FORMAT
    }
}

/// The destination of a text.
trait Sink {
    /// Returns the text to append to.
    fn text(&mut self) -> &mut String;

    /// Appends a whole page.
    fn push_page(&mut self, page: &str) -> Result<()> {
        self.text().push_str(page);
        Ok(())
    }

    /// Called after each series: the text may be taken away.
    fn end_series(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Sink for String {
    fn text(&mut self) -> &mut String {
        self
    }
}

/// A writer, and a text that it gets in chunks.
struct Chunks<'a, W> {
    text: String,
    writer: &'a mut W,
}

impl<W: Write> Chunks<'_, W> {
    fn flush(&mut self) -> Result<()> {
        self.writer.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

impl<W: Write> Sink for Chunks<'_, W> {
    fn text(&mut self) -> &mut String {
        &mut self.text
    }

    fn push_page(&mut self, page: &str) -> Result<()> {
        if page.len() < CHUNK {
            self.text.push_str(page);
            return self.end_series();
        }
        self.flush()?;
        Ok(self.writer.write_all(page.as_bytes())?)
    }

    fn end_series(&mut self) -> Result<()> {
        if self.text.len() < CHUNK { Ok(()) } else { self.flush() }
    }
}

/// Appends one family, or nothing if it cannot be written.
fn append(sink: &mut impl Sink, family: &MetricFamily) -> Result<()> {
    check(family)?;
    if let Some(reading) = family.reading() {
        return sink.push_page(reading.plan().page(reading.numbers()).text());
    }
    let text = sink.text();
    let (name, kind) = (family.name(), family.get_field_type());
    push_head(text, name, family.help(), kind);
    for metric in family.get_metric() {
        let text = sink.text();
        let mut sample = |suffix: &str, label, value| {
            push(text, &[name, suffix]);
            push_labels(text, metric, label);
            push_value(text, metric, value);
        };
        match kind {
            MetricType::COUNTER | MetricType::GAUGE | MetricType::UNTYPED => {
                sample("", None, metric.text_value(kind));
            }
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                let count = histogram.get_sample_count() as f64;
                let mut infinite = false;
                for bucket in histogram.get_bucket() {
                    let bound = bucket.upper_bound();
                    infinite |= bound == f64::INFINITY;
                    let label = (BUCKET_LABEL, bound.to_string());
                    sample("_bucket", Some(label), bucket.cumulative_count() as f64);
                }
                if !infinite {
                    sample("_bucket", Some((BUCKET_LABEL, "+Inf".to_owned())), count);
                }
                sample("_sum", None, histogram.get_sample_sum());
                sample("_count", None, count);
            }
            MetricType::SUMMARY => {
                let summary = metric.get_summary();
                for quantile in summary.get_quantile() {
                    let label = ("quantile", quantile.quantile().to_string());
                    sample("", Some(label), quantile.value());
                }
                sample("_sum", None, summary.sample_sum());
                sample("_count", None, summary.sample_count() as f64);
            }
        }
        sink.end_series()?;
    }
    Ok(())
}

/// Appends the lines of the help text and the type.
pub(crate) fn push_head(text: &mut String, name: &str, help: &str, kind: MetricType) {
    if !help.is_empty() {
        push(text, &["# HELP ", name, " "]);
        push_escaped(text, help, false);
        text.push('\n');
    }
    push(text, &["# TYPE ", name, " ", word(kind), "\n"]);
}

fn word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
        MetricType::HISTOGRAM => "histogram",
    }
}

fn push(text: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| text.push_str(part));
}

fn push_labels(text: &mut String, metric: &Metric, last: Option<(&str, String)>) {
    let mut separator = "{";
    let pairs = metric.get_label().iter().map(|pair| (pair.name(), pair.value()));
    for (name, value) in pairs.chain(last.as_ref().map(|(name, value)| (*name, value.as_str()))) {
        push(text, &[separator, name, "=\""]);
        push_escaped(text, value, true);
        text.push('"');
        separator = ",";
    }
    if separator == "," {
        text.push('}');
    }
}

/// Appends the value and, if there is one, the timestamp.
fn push_value(text: &mut String, metric: &Metric, value: f64) {
    text.push(' ');
    push_number(text, value);
    if metric.timestamp_ms() != 0 {
        // Writing to a `String` cannot fail.
        _ = write!(text, " {}", metric.timestamp_ms());
    }
    text.push('\n');
}

/// Appends a number as Rust prints it: the shortest decimals that read back to it, without an exponent.
#[inline]
pub(crate) fn push_number(text: &mut String, v: f64) {
    /// Integers up to here are exact, and printed without `std`'s search for the shortest decimals.
    const EXACT: u64 = 1 << 53;
    let whole = v as u64;
    if whole < EXACT && (whole as f64).to_bits() == v.to_bits() {
        text.push_str(itoa::Buffer::new().format(whole));
    } else {
        // Writing to a `String` cannot fail.
        _ = write!(text, "{v}");
    }
}

/// Appends a help text or the value of a label, in which quotes are escaped, too.
pub(crate) fn push_escaped(text: &mut String, raw: &str, quotes: bool) {
    let mut rest = raw;
    let special = |c| matches!(c, '\\' | '\n') || (quotes && c == '"');
    while let Some(at) = rest.find(special) {
        let (plain, tail) = rest.split_at(at);
        let escaped = match tail.as_bytes()[0] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        };
        push(text, &[plain, escaped]);
        rest = &tail[1..];
    }
    text.push_str(rest);
}
