//! An engine's exposition text, filtered, repaired and merged into an exposition that every consumer takes, in
//! every format that scrapers ask for.
//!
//! Engines hand over whatever their Python client printed: names with `:`, `le` in the middle of the
//! labels, `_created` gauges, one family twice from two callbacks, OpenMetrics where text 0.0.4 was
//! asked for, a line cut off in the middle. One bad byte of it fails a whole scrape, ours included.
//! So nothing is passed on as it is. The one invariant: **whatever the bytes, what [`Foreign::merge`]
//! appends is valid in the format asked for**, text as [`strict::parse`](crate::strict::parse) judges it, and so is
//! our own exposition followed by it, if `reserved` knows our own names.
//!
//! ```text
//! for each source:  copy its text · read each line · settle which family each sample name is of
//!                   · find each family's place in the merge · put each sample into its group
//! then:             write family by family, group by group: text, OpenMetrics or protobuf
//! ```
//!
//! What is repaired silently: blanks, tabs, CR LF, blank lines, comments, `# EOF`, a missing last line
//! feed, empty labels, unknown escapes (kept as the two characters they are), number spellings,
//! timestamps (to milliseconds or seconds; negative ones are dropped), the order of lines, TYPE after samples,
//! OpenMetrics' types and counter names, `6.0` for a count of 6. What is withheld is counted in the [`Report`] of its
//! source: a syntax error costs its family, in that source. **Every sample that Prometheus would store is written**: what cannot be
//! said under its type, as a histogram without `+Inf`, is said without one (`weaker.rs`).
//!
//! UTF-8 names (`{"http.requests",route="/"} 1`) are read, and escaped as the scraper wants them; a name that itself
//! holds a quote or a backslash is not read.
//!
//! Cost: time linear in the text. All memory is kept for the next merge, so that a scrape of the same
//! size allocates nothing; it is bounded by [`TEXT_BYTES_MAX`] and [`SAMPLES_MAX`].

mod arena;
mod emit;
mod exemplar;
mod filter;
mod labels;
mod line;
mod merged;
mod openmetrics;
#[cfg(feature = "openmetrics2")]
mod openmetrics2;
mod protobuf;
mod report;
mod source;
mod store;
mod text;
mod weaker;

use std::fmt;

use bytes::BytesMut;

use crate::name_filter::NameFilter;
use crate::negotiate::Negotiated;

pub use filter::{Filter, InvalidPrefix, PREFIX_LEN_MAX};
pub use labels::{InvalidLabels, LABELS_ADDED_MAX, Labels};
pub use report::Report;

use arena::Span;
use emit::Wanted;
use line::Line;
use merged::{Merged, Refusal};
use source::{Declared, Names};
use store::Store;
use weaker::{ROUNDS_MAX, Weaker};

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

/// The text of one engine, and what to do with it.
///
/// ```
/// use dynamo_metrics_encoder::foreign::{Filter, Labels, Source};
///
/// let (filter, labels) = (Filter::vllm(), Labels::new([("worker_id", "7")])?);
/// let source = Source::new(&filter, b"vllm:a 1\n").labelled(&labels);
/// # let _ = source;
/// # Ok::<(), dynamo_metrics_encoder::foreign::InvalidLabels>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    filter: &'a Filter,
    labels: &'a Labels,
    text: &'a [u8],
}

impl<'a> Source<'a> {
    /// A text and the filter that says which of its families pass.
    ///
    /// ```
    /// use dynamo_metrics_encoder::foreign::{Filter, Source};
    ///
    /// let filter = Filter::all();
    /// let _ = Source::new(&filter, b"a 1\n");
    /// ```
    #[must_use]
    pub fn new(filter: &'a Filter, text: &'a [u8]) -> Source<'a> {
        Source { filter, labels: Labels::none(), text }
    }

    /// The same, with labels that are added to each sample.
    ///
    /// ```
    /// use dynamo_metrics_encoder::foreign::{Filter, Labels, Source};
    ///
    /// let filter = Filter::all();
    /// let _ = Source::new(&filter, b"a 1\n").labelled(Labels::none());
    /// ```
    #[must_use]
    pub fn labelled(self, labels: &'a Labels) -> Source<'a> {
        Source { labels, ..self }
    }
}

/// The merger. Holds only memory: no merge sees anything of an earlier one.
///
/// ```
/// use dynamo_metrics_encoder::foreign::{Filter, Foreign, Source};
/// use dynamo_metrics_encoder::name_filter::NameFilter;
/// use dynamo_metrics_encoder::negotiate::negotiate;
///
/// let first = b"# TYPE vllm:a gauge\nvllm:a{engine=\"0\"} 1.0\r\n";
/// let second = b"# TYPE vllm:a gauge\nvllm:a{engine=\"1\"} 2.0";
/// let (filter, mut body) = (Filter::vllm(), bytes::BytesMut::new());
/// let mut foreign = Foreign::new();
/// let sources = [Source::new(&filter, first), Source::new(&filter, second)];
/// let ours = |name: &str| name.starts_with("dynamo_");
/// let report = foreign.merge(sources, &ours, negotiate(None), &NameFilter::default(), &mut body);
/// assert_eq!(report.series, 2);
/// assert_eq!(
///     std::str::from_utf8(&body)?,
///     "# TYPE vllm:a gauge\nvllm:a{engine=\"0\"} 1.0\nvllm:a{engine=\"1\"} 2.0\n"
/// );
/// # Ok::<(), std::str::Utf8Error>(())
/// ```
#[derive(Default)]
pub struct Foreign {
    store: Store,
    names: Names,
    merged: Merged,
    reports: Vec<Report>,
    weaker: Weaker,
}

impl Foreign {
    /// A merger that holds no memory yet.
    ///
    /// ```
    /// assert!(dynamo_metrics_encoder::foreign::Foreign::new().reports().is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Foreign {
        Foreign::default()
    }

    /// Appends to `body` what the sources say, each through its filter, in the format `asked` for, as far as `names`
    /// asks for it, and reports what it took of all of them.
    ///
    /// `reserved` is asked for each sample name of each family (`x`, and for a histogram also
    /// `x_bucket`, `x_sum`, `x_count`), as it would be written; it must say yes to every family *and* sample name that
    /// the caller's own exposition has. Where sources disagree the earlier wins. In OpenMetrics, `# EOF` is the
    /// caller's: see [`Encoder::encode_with`](crate::Encoder::encode_with).
    ///
    /// The same series are written in every format: a counter that is not named `_total` is `unknown` in OpenMetrics,
    /// as client_golang does it. `_created` gauges of text 0.0.4 are there part of their counter, histogram or
    /// summary.
    ///
    /// Never fails and never panics: what cannot be passed on is counted. Allocates only when this
    /// merge is larger than all before it, or `body` must grow.
    ///
    /// ```
    /// use dynamo_metrics_encoder::foreign::{Filter, Foreign, Source};
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    /// use dynamo_metrics_encoder::negotiate::negotiate;
    ///
    /// // A counter as text 0.0.4 has it, and a family that is ours.
    /// let text = b"# TYPE hits_total counter\nhits_total 5\n# TYPE up gauge\nup 1\n";
    /// let (filter, mut body) = (Filter::all(), bytes::BytesMut::new());
    /// let asked = negotiate(Some("application/openmetrics-text;version=1.0.0"));
    /// let report = Foreign::new().merge(
    ///     [Source::new(&filter, text)], &|name| name == "up", asked, &NameFilter::default(), &mut body,
    /// );
    /// assert_eq!(report.clashes, 1);
    /// assert_eq!(&body[..], b"# TYPE hits counter\nhits_total 5\n");
    /// ```
    pub fn merge<'a>(
        &mut self,
        sources: impl IntoIterator<Item = Source<'a>> + Clone,
        reserved: &dyn Fn(&str) -> bool,
        asked: Negotiated,
        names: &NameFilter,
        body: &mut BytesMut,
    ) -> Report {
        let wanted = Wanted { asked, names, reserved };
        let start = body.len();
        self.weaker.clear();
        for round in 1..=ROUNDS_MAX {
            self.weaker.begin_round();
            self.merge_once(sources.clone(), &wanted, body);
            if !self.weaker.has_grown() || round == ROUNDS_MAX {
                break;
            }
            body.truncate(start);
        }
        let mut all = Report::default();
        self.reports.iter().for_each(|&report| all += report);
        all
    }

    /// One round: everything is read, merged and written, and families that cannot have their type are noted.
    fn merge_once<'a>(
        &mut self,
        sources: impl IntoIterator<Item = Source<'a>>,
        wanted: &Wanted<'_>,
        body: &mut BytesMut,
    ) {
        self.store.clear(wanted.asked.escaping);
        self.merged.clear();
        self.reports.clear();
        let mut text_bytes = 0;
        for (number, source) in sources.into_iter().enumerate() {
            let Source { filter, labels, text } = source;
            let mut report = Report::default();
            if text.len() > TEXT_BYTES_MAX - text_bytes {
                report.dropped_lines += text.split_inclusive(|&byte| byte == b'\n').count() as u64;
                self.reports.push(report);
                continue;
            }
            text_bytes += text.len();
            self.names.clear();
            self.store.add(labels);
            let first = self.store.samples.len();
            self.read(filter, text, &mut report);
            let prefix = filter.added_prefix().as_bytes();
            self.names.settle(&self.store.arena, &self.store.seed, &mut self.weaker, prefix);
            self.bind(filter, wanted.reserved, &mut report);
            self.place(first, number as u32, &mut report);
            self.reports.push(report);
        }
        self.merged.write(&self.store, wanted, body, &mut self.reports, &mut self.weaker);
    }

    /// What the last merge did with each of its sources, in their order.
    ///
    /// ```
    /// use dynamo_metrics_encoder::foreign::{Filter, Foreign, Source};
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    ///
    /// let (filter, mut body) = (Filter::all(), bytes::BytesMut::new());
    /// let sources = [b"a 1\n", b"a 2\n"].map(|text| Source::new(&filter, text));
    /// let mut foreign = Foreign::new();
    /// foreign.merge(sources, &|_| false, Default::default(), &NameFilter::default(), &mut body);
    /// let duplicates: Vec<u64> = foreign.reports().iter().map(|report| report.duplicates).collect();
    /// assert_eq!(duplicates, [0, 1]);
    /// ```
    #[must_use]
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// Reads the lines of one source into the store and the source's tables.
    fn read(&mut self, filter: &Filter, text: &[u8], report: &mut Report) {
        let Foreign { store, names, .. } = self;
        let first = store.samples.len();
        let start = store.arena.push(text).start as usize;
        let utf8 = text.is_ascii() || std::str::from_utf8(text).is_ok();
        let mut openmetrics = false;
        let mut before = None;
        let mut at = 0;
        while at < text.len() {
            let line = first_line(&text[at..]);
            let from = start + at;
            at += line.len();
            let line = Span { start: from as u32, end: (from + trimmed_len(line)) as u32 };
            let (arena, seed) = (&store.arena, &store.seed);
            let first_label = store.labels.len();
            if let Some(last) = &before
                && store.samples.len() < SAMPLES_MAX
                && let Some((reading, which)) =
                    line::read_alike(arena, line, last, &mut store.labels)
            {
                store.push_alike(&reading, first_label, which);
                names.again(store.samples[store.samples.len() - 1].name);
                before = store.before(reading.name);
                continue;
            }
            match line::read(arena, line, utf8, filter, &mut store.labels) {
                Line::Nothing => {}
                Line::Eof => openmetrics = true,
                Line::Help { name, text } => names.help(arena, seed, name, text),
                Line::Type { name, word } => match names.kind(arena, seed, (name, word)) {
                    Declared::Fine => {}
                    Declared::Clash => report.clashes += 1,
                    Declared::Unreadable => report.dropped_lines += 1,
                },
                Line::Sample(reading) => {
                    let room = store.samples.len() < SAMPLES_MAX;
                    let name = names.sample(arena, seed, reading.name).filter(|_| room);
                    if name.is_none_or(|name| !store.push(&reading, name, first_label)) {
                        store.labels.truncate(first_label);
                        report.dropped_lines += 1;
                        if name.is_some() {
                            names.bad_sample(&store.arena, &store.seed, reading.name);
                        }
                    } else if utf8 {
                        before = store.before(reading.name);
                    }
                }
                Line::BadSample(name) => {
                    if let Some(name) = name {
                        names.bad_sample(arena, seed, name);
                    }
                    report.dropped_lines += 1;
                }
                Line::BadMetadata(name) => {
                    if let Some(name) = name {
                        names.bad_metadata(arena, seed, name);
                    }
                    report.dropped_lines += 1;
                }
            }
        }
        store.settle_timestamps(first, openmetrics);
    }

    /// Finds the place in the merge of each family of the source, or counts why there is none.
    fn bind(&mut self, filter: &Filter, reserved: &dyn Fn(&str) -> bool, report: &mut Report) {
        let prefix = filter.added_prefix().as_bytes();
        for part in self.names.parts() {
            if part.quarantined {
                report.quarantined += 1;
                continue;
            }
            if part.samples == 0 {
                continue;
            }
            match self.merged.bind(&mut self.store, part, prefix, reserved, &mut self.weaker) {
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
            if let Some(home) = self.names.settled(name) {
                let (store, weaker) = (&mut self.store, &mut self.weaker);
                if let Some(label) = self.names.bound_label(name) {
                    store.respell_number(at as u32, label);
                }
                self.merged.place(store, at as u32, home, number, report, weaker);
            }
        }
    }
}

/// The bytes up to and including the first line feed.
fn first_line(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1)]
}

/// The length of a line without its line end, be it LF, CR LF or worse.
fn trimmed_len(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.last() != Some(&b'\r') {
        return line.len();
    }
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
