//! Exemplars that a collector adds, written behind their sample as OpenMetrics has it. The page's merge passes them on where the format
//! has a place for them.

use super::collected::{are_valid, write_labels};
use dynamo_metrics_encoder::number::{write_u64, write_value};

/// The begin of that year, in seconds since 1970: no clock shows more.
const YEAR_10000: f64 = 253_402_300_800.0;

/// The trace of one increment of a counter, or of one observation. It is shown in formats that have exemplars; one that no
/// scraper takes is left out.
///
/// ```
/// use dynamo_metrics_encoder::{name_filter::NameFilter, negotiate::negotiate};
/// use dynamo_metrics_exporter::{
///     Collected, CollectedExemplar, Exporter, Registry, ScrapeDeadline, bytes::BytesMut,
/// };
/// use std::time::Duration;
///
/// let exporter = Exporter::new(&Registry::new());
/// exporter.collector("reads", |families: &mut Collected| {
///     let exemplar = CollectedExemplar { labels: &[("trace_id", "4bf9")], value: 2.0, seconds: Some(1.5) };
///     families.counter("reads_total", "Reads.").sample_with_exemplar(&[], 7u64, exemplar);
///     Ok(())
/// })?;
/// let mut body = BytesMut::new();
/// let openmetrics = negotiate(Some("application/openmetrics-text"));
/// let deadline = ScrapeDeadline::after(Duration::from_secs(10));
/// exporter.exposition().write_as(openmetrics, &NameFilter::default(), deadline, &mut body);
/// let line = "reads_total 7 # {trace_id=\"4bf9\"} 2 1.500\n";
/// assert!(std::str::from_utf8(&body)?.contains(line));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CollectedExemplar<'a> {
    /// Names and values, 128 characters in all; the exemplar is left out beyond that, and if a name is invalid or repeated.
    pub labels: &'a [(&'a str, &'a str)],
    /// The value that was added or observed.
    pub value: f64,
    /// Its time in seconds since 1970, if it is known, printed to the millisecond. The exemplar is left out if this is below 0,
    /// NaN, or in the year 10000 or later.
    pub seconds: Option<f64>,
}

impl CollectedExemplar<'_> {
    /// Appends it to the line of its sample, unless no scraper takes it.
    pub(super) fn write(self, text: &mut Vec<u8>) {
        let is_time = |seconds: f64| (0.0..YEAR_10000).contains(&seconds);
        if !are_valid(self.labels, None) || !self.seconds.is_none_or(is_time) {
            return;
        }
        text.extend_from_slice(b" # ");
        if write_labels(text, self.labels) == b'{' {
            text.push(b'{');
        }
        text.extend_from_slice(b"} ");
        write_value(text, self.value);
        if let Some(seconds) = self.seconds {
            // Digits, never an exponent.
            let milliseconds = (seconds * 1000.0).round() as u64;
            text.push(b' ');
            write_u64(text, milliseconds / 1000);
            let digit = |unit| b'0' + (milliseconds / unit % 10) as u8;
            text.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Collected;
    use super::*;

    #[test]
    fn exemplars_follow_the_lines_of_counters_and_buckets_unless_no_scraper_takes_them() {
        let mut collected = Collected::default();
        let labels = [("trace_id", "4bf9")];
        let exemplar = CollectedExemplar { labels: &labels, value: 0.5, seconds: None };
        let late = CollectedExemplar { seconds: Some(1_764_486_000.062_5), ..exemplar };
        let bare = CollectedExemplar { labels: &[], ..exemplar };
        let named = CollectedExemplar { labels: &[("a b", "")], ..exemplar };
        let timed = |seconds| CollectedExemplar { seconds: Some(seconds), ..exemplar };
        let mut counter = collected.counter("c_total", "");
        for one in [exemplar, late, bare, named, timed(-1.0), timed(f64::NAN), timed(1e12)] {
            counter.sample_with_exemplar(&[("n", "1")], 1u64, one);
        }
        let of = |bucket: usize| (bucket == 1).then_some(exemplar);
        collected.histogram("h", "").sample_with_exemplars(&[], &[0.1], &[2, 1], 0.75, of);
        assert_eq!((collected.samples(), collected.refused()), (8, 0));
        let text = String::from_utf8(collected.text).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("# ")).collect();
        let plain = "c_total{n=\"1\"} 1";
        let expected = [
            "c_total{n=\"1\"} 1 # {trace_id=\"4bf9\"} 0.5",
            "c_total{n=\"1\"} 1 # {trace_id=\"4bf9\"} 0.5 1764486000.063",
            "c_total{n=\"1\"} 1 # {} 0.5",
            plain,
            plain,
            plain,
            plain,
            "h_bucket{le=\"0.1\"} 2",
            "h_bucket{le=\"+Inf\"} 3 # {trace_id=\"4bf9\"} 0.5",
            "h_sum 0.75",
            "h_count 3",
        ];
        assert_eq!(lines, expected);
    }
}
