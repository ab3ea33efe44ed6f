//! The text format 0.0.4.

use super::{Encoder, check};
use crate::buckets::BUCKET_LABEL;
use crate::error::Result;
use crate::page::Page;
use crate::proto::{Metric, MetricFamily, MetricType};
use std::fmt::Write as _;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;

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
        let mut chunks = Chunks { pages: Vec::new(), text: String::new(), writer };
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
    fn push_page(&mut self, page: Arc<Page>) -> Result<()> {
        self.text().push_str(page.text());
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

/// A writer, and the pages and then the text that it gets next.
struct Chunks<'a, W> {
    pages: Vec<Arc<Page>>,
    text: String,
    writer: &'a mut W,
}

impl<W: Write> Chunks<'_, W> {
    fn flush(&mut self) -> Result<()> {
        if self.pages.is_empty() {
            self.writer.write_all(self.text.as_bytes())?;
        } else {
            // In one call, so that a `Vec` makes room for all of them at once.
            let texts = self.pages.iter().map(|page| page.text()).chain([&self.text[..]]);
            let mut slices: Vec<_> = texts.map(|text| IoSlice::new(text.as_bytes())).collect();
            write_all_vectored(self.writer, &mut slices)?;
        }
        self.pages.clear();
        self.text.clear();
        Ok(())
    }
}

/// Writes all slices, as [`Write::write_all`] writes one.
fn write_all_vectored(writer: &mut impl Write, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Without the empty ones in front, of which nothing can be written.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match writer.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<W: Write> Sink for Chunks<'_, W> {
    fn text(&mut self) -> &mut String {
        &mut self.text
    }

    fn push_page(&mut self, page: Arc<Page>) -> Result<()> {
        if page.text().len() < CHUNK {
            self.text.push_str(page.text());
            return self.end_series();
        }
        if !self.text.is_empty() {
            self.flush()?;
        }
        self.pages.push(page);
        Ok(())
    }

    fn end_series(&mut self) -> Result<()> {
        if self.text.len() < CHUNK { Ok(()) } else { self.flush() }
    }
}

/// Appends one family, or nothing if it cannot be written.
fn append(sink: &mut impl Sink, family: &MetricFamily) -> Result<()> {
    check(family)?;
    if let Some(reading) = family.reading() {
        return sink.push_page(reading.plan().page(reading.numbers()));
    }
    let text = sink.text();
    let (name, kind) = (family.name(), family.get_field_type());
    push_head(text, name, family.help(), kind);
    // Once for all lines of a series: in a histogram they are most of what is written.
    let (mut labels, mut bound) = (String::new(), String::new());
    for metric in family.get_metric() {
        labels.clear();
        push_labels(&mut labels, metric);
        let text = sink.text();
        let mut sample = |suffix: &str, last: Option<(&str, &str)>, value| {
            push(text, &[name, suffix, &labels]);
            if let Some((name, value)) = last {
                let separator = if labels.is_empty() { "{" } else { "," };
                push(text, &[separator, name, "=\"", value, "\""]);
            }
            if last.is_some() || !labels.is_empty() {
                text.push('}');
            }
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
                    infinite |= bucket.upper_bound() == f64::INFINITY;
                    bound.clear();
                    push_number(&mut bound, bucket.upper_bound());
                    let label = (BUCKET_LABEL, &*bound);
                    sample("_bucket", Some(label), bucket.cumulative_count() as f64);
                }
                if !infinite {
                    sample("_bucket", Some((BUCKET_LABEL, "+Inf")), count);
                }
                sample("_sum", None, histogram.get_sample_sum());
                sample("_count", None, count);
            }
            MetricType::SUMMARY => {
                let summary = metric.get_summary();
                for quantile in summary.get_quantile() {
                    bound.clear();
                    push_number(&mut bound, quantile.quantile());
                    sample("", Some(("quantile", &bound)), quantile.value());
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

/// Appends the labels of a series without the closing brace, or nothing if it has none.
fn push_labels(text: &mut String, metric: &Metric) {
    let mut separator = "{";
    for pair in metric.get_label() {
        push(text, &[separator, pair.name(), "=\""]);
        push_escaped(text, pair.value(), true);
        text.push('"');
        separator = ",";
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
    let special = |byte: &u8| matches!(byte, b'\\' | b'\n') || (quotes && *byte == b'"');
    // Few texts have one, and a test of all bytes without an early exit takes several at once.
    if !raw.as_bytes().iter().fold(false, |found, byte| found | special(byte)) {
        return text.push_str(raw);
    }
    // All of them are ASCII, so they begin where a character does.
    let mut rest = raw;
    while let Some(at) = rest.as_bytes().iter().position(special) {
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
