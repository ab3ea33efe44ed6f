//! The families of one collection, written as text that the page's merge takes.
//!
//! A sample that no scraper could take, with an invalid name or beyond the limits, is refused and counted, so that the rest
//! of the collection is printed.

use super::exemplar::CollectedExemplar;
use dynamo_metrics_core::escaping::{is_legacy_label_name, is_legacy_metric_name};
use dynamo_metrics_encoder::escape::{write_help, write_label_value};
use dynamo_metrics_encoder::number::{write_u64, write_value};

/// Largest number of bytes of the text of one collection: some 200,000 samples. Samples beyond are refused and counted.
pub const COLLECTION_BYTES_MAX: usize = 16 << 20;

/// The value of a sample. Converts from `u64`, `u32` and `f64`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum CollectedValue {
    /// An integer, printed exactly in text.
    Unsigned(u64),
    /// A float; `NaN` and infinities are printed as Prometheus spells them.
    Float(f64),
}

impl From<u64> for CollectedValue {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl From<u32> for CollectedValue {
    fn from(value: u32) -> Self {
        Self::Unsigned(value.into())
    }
}

impl From<f64> for CollectedValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// The families that a [`Collector`](super::Collector) adds to one page.
///
/// ```
/// use dynamo_metrics_exporter::Collected;
///
/// let mut collected = Collected::default();
/// collected.gauge("disk_free_bytes", "Free space.").sample(&[("disk", "sda")], 4096u64);
/// collected.counter("disk_reads_total", "Reads.").sample(&[("disk", "sda")], 7u64).sample(&[("disk", "sdb")], 9u64);
/// assert_eq!((collected.samples(), collected.refused()), (3, 0));
/// collected.gauge("not a name", "").sample(&[], 1.0);
/// assert_eq!((collected.samples(), collected.refused()), (3, 1));
/// ```
#[derive(Debug, Default)]
pub struct Collected {
    pub(super) text: Vec<u8>,
    samples: u64,
    refused: u64,
}

impl Collected {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Begins a family of counters. By convention the name ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> CollectedFamily<'_> {
        self.family(name, help, "counter")
    }

    /// Begins a family of gauges.
    pub fn gauge(&mut self, name: &str, help: &str) -> CollectedFamily<'_> {
        self.family(name, help, "gauge")
    }

    /// Begins a family of histograms.
    ///
    /// ```
    /// use dynamo_metrics_exporter::Collected;
    ///
    /// let mut collected = Collected::default();
    /// let mut waits = collected.histogram("wait_seconds", "Time in the queue.");
    /// waits.sample(&[("queue", "a")], &[0.1, 1.0], &[3, 2, 1], 4.5);
    /// assert_eq!(collected.samples(), 1);
    /// ```
    pub fn histogram(&mut self, name: &str, help: &str) -> CollectedHistogram<'_> {
        CollectedHistogram { family: self.family(name, help, "histogram") }
    }

    /// Begins a family of summaries without quantiles.
    ///
    /// ```
    /// use dynamo_metrics_exporter::Collected;
    ///
    /// let mut collected = Collected::default();
    /// collected.summary("size_bytes", "Sizes.").sample(&[("kind", "a")], 2, 4.5);
    /// assert_eq!(collected.samples(), 1);
    /// ```
    pub fn summary(&mut self, name: &str, help: &str) -> CollectedSummary<'_> {
        CollectedSummary { family: self.family(name, help, "summary") }
    }

    /// Returns the number of samples so far; a histogram or a summary is one.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Returns the number of samples that were refused: for an invalid name of the metric or of a label, for the counts of
    /// a histogram that do not fit its bounds, or for the limit of [`COLLECTION_BYTES_MAX`].
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) -> CollectedFamily<'_> {
        let is_valid = is_legacy_metric_name(name);
        if is_valid && self.text.len() < COLLECTION_BYTES_MAX {
            for part in ["# HELP ", name, " "] {
                self.text.extend_from_slice(part.as_bytes());
            }
            write_help(&mut self.text, help);
            for part in ["\n# TYPE ", name, " ", kind, "\n"] {
                self.text.extend_from_slice(part.as_bytes());
            }
        }
        CollectedFamily { name: if is_valid { Some(name.into()) } else { None }, collected: self }
    }

    /// Appends the lines that `write` writes, or nothing where the result is beyond the limit.
    fn sample(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.text.len();
        write(&mut self.text);
        if self.text.len() > COLLECTION_BYTES_MAX {
            self.text.truncate(before);
            self.refused += 1;
        } else {
            self.samples += 1;
        }
    }
}

/// A family of counters or gauges in a collection.
#[derive(Debug)]
pub struct CollectedFamily<'a> {
    /// `None` where it is not valid.
    name: Option<Box<str>>,
    collected: &'a mut Collected,
}

impl CollectedFamily<'_> {
    /// Adds a series with these labels and its value.
    ///
    /// A sample with an invalid label name, or with one label name twice, is [refused](Collected::refused). Of two samples of
    /// one family with the same labels the page has the first; the other is counted in `dynamo_metrics_collector_errors_total`
    /// with the reason `duplicate`.
    pub fn sample(
        &mut self,
        labels: &[(&str, &str)],
        value: impl Into<CollectedValue>,
    ) -> &mut Self {
        self.add(labels, value.into(), None)
    }

    /// Adds a series of a counter with its newest exemplar. The exemplar of another kind is not shown.
    pub fn sample_with_exemplar(
        &mut self,
        labels: &[(&str, &str)],
        value: impl Into<CollectedValue>,
        exemplar: CollectedExemplar<'_>,
    ) -> &mut Self {
        self.add(labels, value.into(), Some(exemplar))
    }

    fn add(
        &mut self,
        labels: &[(&str, &str)],
        value: CollectedValue,
        exemplar: Option<CollectedExemplar<'_>>,
    ) -> &mut Self {
        match &self.name {
            Some(name) if are_valid(labels, None) => self.collected.sample(|text| {
                line(text, [name, ""], labels, None, value, exemplar);
            }),
            _ => self.collected.refused += 1,
        }
        self
    }
}

/// A family of histograms in a collection.
#[derive(Debug)]
pub struct CollectedHistogram<'a> {
    family: CollectedFamily<'a>,
}

impl CollectedHistogram<'_> {
    /// Adds a histogram with these labels. `counts` has the observations of each bucket, not those of the buckets below, and
    /// one number more than there are `bounds`: the observations above the last bound. `sum` is the sum of all observations, in
    /// the unit of the bounds.
    ///
    /// `bounds` are upper bounds in strictly increasing order, without `+Inf`. A histogram whose bounds or counts are not as
    /// said, or with the label `le`, is [refused](Collected::refused), as is one with invalid or repeated label names.
    pub fn sample(
        &mut self,
        labels: &[(&str, &str)],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) -> &mut Self {
        self.sample_with_exemplars(labels, bounds, counts, sum, |_| None)
    }

    /// Adds a histogram as [`sample`](Self::sample) does, with the newest exemplar of each bucket that has one: `exemplar` is
    /// called with the index of each bucket.
    pub fn sample_with_exemplars<'e>(
        &mut self,
        labels: &[(&str, &str)],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
        exemplar: impl Fn(usize) -> Option<CollectedExemplar<'e>>,
    ) -> &mut Self {
        let ascend = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        let fit = counts.len() == bounds.len() + 1 && ascend && !bounds.contains(&f64::INFINITY);
        let CollectedFamily { name, collected } = &mut self.family;
        match name {
            Some(name) if fit && are_valid(labels, Some("le")) => {
                collected.sample(|text| {
                    histogram(text, name, labels, (bounds, counts), sum, exemplar);
                });
            }
            _ => collected.refused += 1,
        }
        self
    }
}

/// A family of summaries in a collection.
#[derive(Debug)]
pub struct CollectedSummary<'a> {
    family: CollectedFamily<'a>,
}

impl CollectedSummary<'_> {
    /// Adds a summary with these labels: the number of observations and their sum.
    pub fn sample(&mut self, labels: &[(&str, &str)], count: u64, sum: f64) -> &mut Self {
        let CollectedFamily { name, collected } = &mut self.family;
        match name {
            Some(name) if are_valid(labels, Some("quantile")) => collected.sample(|text| {
                line(text, [name, "_sum"], labels, None, sum.into(), None);
                line(text, [name, "_count"], labels, None, count.into(), None);
            }),
            _ => collected.refused += 1,
        }
        self
    }
}

fn histogram<'e>(
    text: &mut Vec<u8>,
    name: &str,
    labels: &[(&str, &str)],
    (bounds, counts): (&[f64], &[u64]),
    sum: f64,
    exemplar: impl Fn(usize) -> Option<CollectedExemplar<'e>>,
) {
    let mut total = 0u64;
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    for (bucket, (bound, count)) in bounds.zip(counts).enumerate() {
        total = total.saturating_add(*count);
        line(text, [name, "_bucket"], labels, Some(bound), total.into(), exemplar(bucket));
    }
    line(text, [name, "_sum"], labels, None, sum.into(), None);
    line(text, [name, "_count"], labels, None, total.into(), None);
}

/// Returns whether all names are valid, different from each other, and none is the `reserved` one.
pub(super) fn are_valid(labels: &[(&str, &str)], reserved: Option<&str>) -> bool {
    labels.iter().enumerate().all(|(at, (name, _))| {
        is_legacy_label_name(name)
            && Some(*name) != reserved
            && labels[..at].iter().all(|(other, _)| other != name)
    })
}

fn line(
    text: &mut Vec<u8>,
    name: [&str; 2],
    labels: &[(&str, &str)],
    bound: Option<f64>,
    value: CollectedValue,
    exemplar: Option<CollectedExemplar<'_>>,
) {
    name.iter().for_each(|part| text.extend_from_slice(part.as_bytes()));
    let mut separator = write_labels(text, labels);
    if let Some(bound) = bound {
        text.push(separator);
        text.extend_from_slice(b"le=\"");
        write_value(text, bound);
        text.push(b'"');
        separator = b',';
    }
    text.extend_from_slice(if separator == b',' { b"} " } else { b" " });
    match value {
        CollectedValue::Unsigned(value) => write_u64(text, value),
        CollectedValue::Float(value) => write_value(text, value),
    }
    if let Some(exemplar) = exemplar {
        exemplar.write(text);
    }
    text.push(b'\n');
}

/// Writes labels without the closing brace; returns the byte before a further one.
pub(super) fn write_labels(text: &mut Vec<u8>, labels: &[(&str, &str)]) -> u8 {
    let mut separator = b'{';
    for (label, value) in labels {
        text.push(separator);
        text.extend_from_slice(label.as_bytes());
        text.extend_from_slice(b"=\"");
        write_label_value(text, value);
        text.push(b'"');
        separator = b',';
    }
    separator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_text_with_escaped_values() {
        let mut collected = Collected::default();
        let mut gauge = collected.gauge("free_bytes", "Free\nspace.");
        gauge.sample(&[], f64::INFINITY).sample(&[("path", "a\"b\\c\nd")], 0.5);
        collected.counter("reads_total", "Reads.").sample(&[], u64::MAX);
        collected.histogram("wait", "W.").sample(&[("q", "a")], &[1.0], &[2, 1], 4.5);
        collected.summary("size", "S.").sample(&[("q", "a")], 2, 4.5);
        let text = String::from_utf8(collected.text).unwrap();
        let expected = "# HELP free_bytes Free\\nspace.\n# TYPE free_bytes gauge\nfree_bytes +Inf\n\
            free_bytes{path=\"a\\\"b\\\\c\\nd\"} 0.5\n\
            # HELP reads_total Reads.\n# TYPE reads_total counter\nreads_total 18446744073709551615\n\
            # HELP wait W.\n# TYPE wait histogram\nwait_bucket{q=\"a\",le=\"1\"} 2\n\
            wait_bucket{q=\"a\",le=\"+Inf\"} 3\nwait_sum{q=\"a\"} 4.5\nwait_count{q=\"a\"} 3\n\
            # HELP size S.\n# TYPE size summary\nsize_sum{q=\"a\"} 4.5\nsize_count{q=\"a\"} 2\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn samples_that_no_scraper_takes_are_refused_and_counted() {
        let mut collected = Collected::default();
        collected.gauge("a\nb 1", "").sample(&[], 1.0);
        collected.gauge("a", "").sample(&[("b\"} 1\nc{d", "e")], 1.0);
        collected.gauge("a", "").sample(&[("b", "1"), ("b", "2")], 1.0);
        let mut histogram = collected.histogram("h", "");
        histogram.sample(&[("le", "1")], &[1.0], &[1, 1], 1.0);
        histogram.sample(&[], &[1.0], &[1], 1.0);
        histogram.sample(&[], &[2.0, 1.0], &[1, 1, 1], 1.0);
        histogram.sample(&[], &[f64::NAN, 1.0], &[1, 1, 1], 1.0);
        collected.summary("s", "").sample(&[("quantile", "1")], 1, 1.0);
        assert_eq!((collected.samples(), collected.refused()), (0, 8));
    }

    #[test]
    fn a_collection_without_end_stays_within_its_limit() {
        let mut collected = Collected::default();
        let value = "x".repeat(1 << 20);
        for _ in 0..40 {
            collected.gauge("a", "").sample(&[("b", &value)], 1.0);
        }
        assert!(collected.text.len() <= COLLECTION_BYTES_MAX);
        assert_eq!(collected.samples() + collected.refused(), 40);
        assert!(collected.refused() >= 24, "{}", collected.refused());
    }
}
