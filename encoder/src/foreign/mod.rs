//! An engine's exposition text, filtered, repaired and merged into text that every consumer takes.
//!
//! Engines hand over whatever their Python client printed: names with `:`, `le` in the middle of the
//! labels, `_created` gauges, one family twice from two callbacks, OpenMetrics where text 0.0.4 was
//! asked for, a line cut off in the middle. One bad byte of it fails a whole scrape, ours included.
//! So nothing is passed on as it is. The one invariant: **whatever the bytes, what [`Foreign::merge`]
//! appends passes [`strict::parse`](crate::strict::parse)**, and so does our own text followed by it,
//! if `reserved` knows our own names.
//!
//! ```text
//! for each source:  copy its text · read each line · settle which family each sample name is of
//!                   · find each family's place in the merge · put each sample into its group
//! then:             write family by family, group by group
//! ```
//!
//! What is repaired silently: blanks, tabs, CR LF, blank lines, comments, `# EOF`, a missing last line
//! feed, empty labels, unknown escapes (kept as the two characters they are), number spellings,
//! exemplars, timestamps that are not whole milliseconds (in a source with `# EOF` all of them: there
//! they are seconds), the order of lines, TYPE after samples, OpenMetrics' types and counter names,
//! `6.0` for a count of 6. What is withheld is counted in the [`Report`]: a syntax error costs its
//! family, in that source; a value that makes no sense costs its series, histogram or summary.
//!
//! Cost: time linear in the text. All memory is kept for the next merge, so that a scrape of the same
//! size allocates nothing; it is bounded by [`TEXT_BYTES_MAX`] and [`SAMPLES_MAX`].

mod arena;
mod emit;
mod filter;
mod line;
mod merged;
mod source;
mod store;

use std::fmt;
use std::io::BufRead;

use bytes::BytesMut;

pub use filter::{Filter, InvalidPrefix, PREFIX_LEN_MAX};

use arena::Span;
use line::Line;
use merged::{Merged, Refusal};
use source::{Declared, Source};
use store::Store;

/// Most bytes of all sources of one merge together. A real vLLM worker has about 60 KB; what exceeds
/// this is dropped a source at a time, and its lines are counted.
///
/// ```
/// assert!(dynamo_metrics_encoder::foreign::TEXT_BYTES_MAX >= 1000 * 60_000);
/// ```
pub const TEXT_BYTES_MAX: usize = 64 << 20;

/// Most samples of one merge; further lines are dropped and counted. A record is about 100 bytes, so
/// this bounds them to some 100 MB.
///
/// ```
/// assert!(dynamo_metrics_encoder::foreign::SAMPLES_MAX >= 1_000_000);
/// ```
pub const SAMPLES_MAX: usize = 1_000_000;

/// What one merge did, in families, series and lines.
///
/// ```
/// use dynamo_metrics_encoder::foreign::{Filter, Foreign};
///
/// let text = b"# TYPE a counter\na 1\na 2\nb{x=\"1 5\n";
/// let (filter, mut out) = (Filter::all(), bytes::BytesMut::new());
/// let report = Foreign::new().merge([(&filter, &text[..])], &|_| false, &mut out);
/// assert_eq!((report.families, report.series), (1, 1));
/// assert_eq!((report.duplicates, report.quarantined, report.dropped_lines), (1, 1, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Families written.
    pub families: u64,
    /// Sample lines written.
    pub series: u64,
    /// Families withheld, once for each source, because their name is reserved, or another family
    /// has it or has a sample of that name, or they contradict an earlier TYPE.
    pub clashes: u64,
    /// Samples dropped because an earlier line has the same series.
    pub duplicates: u64,
    /// What was withheld because something about it is broken: a family of one source (a line of it
    /// could not be read), a histogram's or summary's label set (it does not add up), a counter's
    /// series (it is negative or NaN). Also families beyond a limit of 10,000.
    pub quarantined: u64,
    /// Lines that could not be read, or not be held.
    pub dropped_lines: u64,
}

/// The merger. Holds only memory: no merge sees anything of an earlier one.
///
/// ```
/// use dynamo_metrics_encoder::foreign::{Filter, Foreign};
///
/// let (first, second) = (b"# TYPE vllm:a gauge\nvllm:a{engine=\"0\"} 1.0\r\n", b"# TYPE vllm:a gauge\nvllm:a{engine=\"1\"} 2.0");
/// let (filter, mut out) = (Filter::vllm(), bytes::BytesMut::new());
/// let mut foreign = Foreign::new();
/// let sources = [(&filter, &first[..]), (&filter, &second[..])];
/// let report = foreign.merge(sources, &|name| name.starts_with("dynamo_"), &mut out);
/// assert_eq!(report.series, 2);
/// assert_eq!(
///     std::str::from_utf8(&out)?,
///     "# TYPE vllm:a gauge\nvllm:a{engine=\"0\"} 1.0\nvllm:a{engine=\"1\"} 2.0\n"
/// );
/// # Ok::<(), std::str::Utf8Error>(())
/// ```
#[derive(Default)]
pub struct Foreign {
    store: Store,
    source: Source,
    merged: Merged,
}

impl Foreign {
    /// A merger that holds no memory yet.
    ///
    /// ```
    /// let mut out = bytes::BytesMut::new();
    /// let report = dynamo_metrics_encoder::foreign::Foreign::new().merge([], &|_| false, &mut out);
    /// assert_eq!(report, Default::default());
    /// assert!(out.is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Foreign {
        Foreign::default()
    }

    /// Appends to `out` what the sources say, each through its filter, and reports what it took.
    ///
    /// `reserved` is asked once for each sample name of each family (`x`, and for a histogram also
    /// `x_bucket`, `x_sum`, `x_count`); it must say yes to every family *and* sample name that the
    /// caller's own text has. Where sources disagree the earlier wins.
    ///
    /// Never fails and never panics: what cannot be passed on is counted. Allocates only when this
    /// merge is larger than all before it, or `out` must grow.
    ///
    /// ```
    /// use dynamo_metrics_encoder::foreign::{Filter, Foreign};
    ///
    /// // An OpenMetrics counter, and a family that is ours.
    /// let text = b"# TYPE hits counter\nhits_total 5 # {id=\"1\"} 1\n# TYPE up gauge\nup 1\n# EOF\n";
    /// let (filter, mut out) = (Filter::all(), bytes::BytesMut::new());
    /// let report = Foreign::new().merge([(&filter, &text[..])], &|name| name == "up", &mut out);
    /// assert_eq!(report.clashes, 1);
    /// assert_eq!(&out[..], b"# TYPE hits_total counter\nhits_total 5\n");
    /// ```
    pub fn merge<'a>(
        &mut self,
        sources: impl IntoIterator<Item = (&'a Filter, &'a [u8])>,
        reserved: &dyn Fn(&str) -> bool,
        out: &mut BytesMut,
    ) -> Report {
        let mut report = Report::default();
        self.store.clear();
        self.merged.clear();
        let mut text_bytes = 0;
        for (number, (filter, text)) in sources.into_iter().enumerate() {
            if text.len() > TEXT_BYTES_MAX - text_bytes {
                report.dropped_lines += text.split_inclusive(|&byte| byte == b'\n').count() as u64;
                continue;
            }
            text_bytes += text.len();
            self.source.clear();
            let first = self.store.samples.len();
            self.read(filter, text, &mut report);
            self.source.settle(&self.store.arena, &self.store.seed);
            self.bind(filter, reserved, &mut report);
            self.place(first, number as u32, &mut report);
        }
        self.merged.write(&self.store, out, &mut report);
        report
    }

    /// Reads the lines of one source into the store and the source's tables.
    fn read(&mut self, filter: &Filter, text: &[u8], report: &mut Report) {
        let Foreign { store, source, .. } = self;
        let first = store.samples.len();
        let start = store.arena.push(text).start as usize;
        let utf8 = std::str::from_utf8(text).is_ok();
        let mut openmetrics = false;
        let mut at = 0;
        while at < text.len() {
            let line = first_line(&text[at..]);
            let from = start + at;
            at += line.len();
            let line = Span { start: from as u32, end: (from + trimmed_len(line)) as u32 };
            let (arena, seed) = (&store.arena, &store.seed);
            let first_label = store.labels.len();
            match line::read(arena, line, utf8, filter, &mut store.labels) {
                Line::Nothing => {}
                Line::Eof => openmetrics = true,
                Line::Help { name, text } => source.help(arena, seed, name, text),
                Line::Type { name, word } => {
                    let next = store.samples.len() as u32;
                    match source.kind(arena, seed, (name, word), next) {
                        Declared::Fine => {}
                        Declared::Clash => report.clashes += 1,
                        Declared::Unreadable => report.dropped_lines += 1,
                    }
                }
                Line::Sample(reading) => {
                    let room = store.samples.len() < SAMPLES_MAX;
                    match source.sample(arena, seed, reading.name).filter(|_| room) {
                        Some(name) => store.push(&reading, name, first_label),
                        None => {
                            store.labels.truncate(first_label);
                            report.dropped_lines += 1;
                        }
                    }
                }
                Line::BadSample(name) => {
                    if let Some(name) = name {
                        source.bad_sample(arena, seed, name);
                    }
                    report.dropped_lines += 1;
                }
                Line::BadMetadata(name) => {
                    if let Some(name) = name {
                        source.bad_metadata(arena, seed, name);
                    }
                    report.dropped_lines += 1;
                }
            }
        }
        if openmetrics {
            for sample in &mut store.samples[first..] {
                sample.timestamp = Span::default();
            }
        }
    }

    /// Finds the place in the merge of each family of the source, or counts why there is none.
    fn bind(&mut self, filter: &Filter, reserved: &dyn Fn(&str) -> bool, report: &mut Report) {
        let prefix = filter.added_prefix().as_bytes();
        for part in self.source.parts() {
            if part.quarantined {
                report.quarantined += 1;
                continue;
            }
            if part.samples == 0 {
                continue;
            }
            match self.merged.bind(&mut self.store, part, prefix, reserved) {
                Ok(family) => part.family = family,
                Err(Refusal::Clash) => report.clashes += 1,
                Err(Refusal::Full) => report.quarantined += 1,
            }
        }
    }

    /// Puts the samples from `first` on into their groups.
    fn place(&mut self, first: usize, number: u32, report: &mut Report) {
        for at in first..self.store.samples.len() {
            let name = self.store.samples[at].name;
            if let Some(home) = self.source.settled(name, at as u32) {
                self.merged.place(&mut self.store, at as u32, home, number, report);
            }
        }
    }
}

/// The bytes up to and including the first line feed. A slice read as a stream finds it with the C
/// library's vector code, where a plain search looks at one byte after the other.
fn first_line(mut text: &[u8]) -> &[u8] {
    let whole = text;
    let len = text.skip_until(b'\n').unwrap_or(whole.len());
    &whole[..len]
}

/// The length of a line without its line end, be it LF, CR LF or worse.
fn trimmed_len(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1)
}

impl fmt::Debug for Foreign {
    /// Sizes only: the text may be large and is not ours to print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign")
            .field("text_bytes", &self.store.arena.len())
            .field("samples", &self.store.samples.len())
            .finish_non_exhaustive()
    }
}
