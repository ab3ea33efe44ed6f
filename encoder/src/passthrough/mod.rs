//! An engine's exposition text, filtered, repaired and merged into an exposition that every consumer takes, in
//! every format that scrapers ask for.
//!
//! Engines hand over whatever their Python client printed: names with `:`, `le` in the middle of the
//! labels, `_created` gauges, one family twice from two callbacks, OpenMetrics where text 0.0.4 was
//! asked for, a line cut off in the middle. One bad byte of it fails a whole scrape, ours included.
//! So every line is read and written anew. The invariant: **whatever the bytes, what [`Passthrough::merge`]
//! appends is valid in the format asked for**, text as [`dynamo_metrics_parser::parse`] judges it, and so is
//! our own exposition followed by it, if `reserved` knows our own names.
//!
//! ```text
//! for each source:  copy its text · read each line                                            page
//! then, a round:    settle which family each sample name is of · find each family's           source, merged
//!                   place in the merge · put each sample into its group
//!                   judge each group · write family by family: text, OpenMetrics, protobuf    point, emit
//! and once more while a family had to give its type up                                        weaker
//! ```
//!
//! The files know each other in one direction: `arena`, `role`, `line`, `store`, `weaker`, `source`, `merged`, `point`, the writers
//! (`exemplar`, `text`, `openmetrics`, `openmetrics2`, `protobuf`), `emit`, `page`, this one.
//!
//! Repaired without a count are blanks, tabs, CR LF, blank lines, comments, `# EOF`, a missing last line
//! feed, empty labels (and with them all others of their name), unknown escapes (kept as the two characters they are), number spellings,
//! timestamps (to milliseconds or seconds; negative ones are dropped), the order of lines, TYPE after samples,
//! OpenMetrics' types and counter names, `6.0` for a count of 6. Samples that are withheld are counted in the [`Report`] of their
//! source: a syntax error costs its family, in that source. **Every sample that Prometheus would store is written**: a family that
//! cannot have its type, as a histogram without `+Inf`, is written under a weaker one (`weaker.rs`).
//!
//! UTF-8 names (`{"http.requests",route="/"} 1`) are read, and escaped as the scraper wants them. Tables keep a name as it is
//! spelled in quotes, backslashes included; only where it is compared with others' or escaped, it is what it stands for.
//!
//! Cost: time linear in the text. All memory is kept for the next merge, so that a scrape of the same
//! size allocates nothing; it is bounded by [`TEXT_BYTES_MAX`] and [`SAMPLES_MAX`].

mod alike;
mod arena;
mod bound;
mod cursor;
mod declarations;
mod emit;
mod exemplar;
mod filter;
mod label_sets;
mod labels;
mod line;
mod merged;
mod names;
mod openmetrics;
#[cfg(feature = "openmetrics2")]
mod openmetrics2;
mod page;
mod point;
mod protobuf;
mod report;
mod role;
mod store;
mod text;
mod weaker;
mod word;

use std::fmt;

use bytes::BytesMut;
use dynamo_metrics_core::Escaping;

use crate::name_filter::NameFilter;
use crate::negotiate::Negotiated;

pub use filter::{Filter, InvalidPrefix, PREFIX_LEN_MAX};
pub use labels::{InvalidLabels, LABELS_ADDED_MAX, Labels};
pub use page::SAMPLES_MAX;
pub use report::Report;

use emit::Wanted;
use merged::Merged;
use page::Page;
use store::Store;
use weaker::{ROUNDS_MAX, Weaker};

/// Most bytes of all sources of one merge together. A real vLLM worker has about 60 KB. A source that
/// would exceed this is dropped whole, and its lines are counted.
///
/// ```
/// assert!(dynamo_metrics_encoder::passthrough::TEXT_BYTES_MAX >= 1000 * 60_000);
/// ```
pub const TEXT_BYTES_MAX: usize = 64 << 20;

/// The text of one engine, with its filter and the labels that it gets.
///
/// ```
/// use dynamo_metrics_encoder::passthrough::{Filter, Labels, Source};
///
/// let (filter, labels) = (Filter::vllm(), Labels::new([("worker_id", "7")])?);
/// let source = Source::new(&filter, b"vllm:a 1\n").labelled(&labels);
/// # let _ = source;
/// # Ok::<(), dynamo_metrics_encoder::passthrough::InvalidLabels>(())
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
    /// use dynamo_metrics_encoder::passthrough::{Filter, Source};
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
    /// use dynamo_metrics_encoder::passthrough::{Filter, Labels, Source};
    ///
    /// let filter = Filter::all();
    /// let _ = Source::new(&filter, b"a 1\n").labelled(Labels::none());
    /// ```
    #[must_use]
    pub fn labelled(self, labels: &'a Labels) -> Source<'a> {
        Source { labels, ..self }
    }
}

/// The merger. Keeps its memory, and the names of families that could not have their type: a merge writes the same whether another
/// came before it or not.
///
/// ```
/// use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
/// use dynamo_metrics_encoder::name_filter::NameFilter;
/// use dynamo_metrics_encoder::negotiate::negotiate;
///
/// let first = b"# TYPE vllm:a gauge\nvllm:a{engine=\"0\"} 1.0\r\n";
/// let second = b"# TYPE vllm:a gauge\nvllm:a{engine=\"1\"} 2.0";
/// let (filter, mut body) = (Filter::vllm(), bytes::BytesMut::new());
/// let mut passthrough = Passthrough::new();
/// let sources = [Source::new(&filter, first), Source::new(&filter, second)];
/// let ours = |name: &str| name.starts_with("dynamo_");
/// let report = passthrough.merge(sources, &ours, negotiate(None), &NameFilter::default(), &mut body);
/// assert_eq!(report.series, 2);
/// assert_eq!(
///     std::str::from_utf8(&body)?,
///     "# TYPE vllm:a gauge\nvllm:a{engine=\"0\"} 1.0\nvllm:a{engine=\"1\"} 2.0\n"
/// );
/// # Ok::<(), std::str::Utf8Error>(())
/// ```
#[derive(Default)]
pub struct Passthrough {
    store: Store,
    /// One for each source of the largest merge so far.
    pages: Vec<Page>,
    merged: Merged,
    reports: Vec<Report>,
    /// Number of times that the last merge sorted its samples.
    rounds: usize,
    /// One for each format and escaping that was asked for, and for pages that are whole or not.
    weaker: Vec<((Negotiated, bool), Weaker)>,
}

impl Passthrough {
    /// A merger that holds no memory yet.
    ///
    /// ```
    /// assert!(dynamo_metrics_encoder::passthrough::Passthrough::new().reports().is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Passthrough {
        Passthrough::default()
    }

    /// Appends the families of the sources to `body`, each source through its filter, in the format `asked` for, as far as `names`
    /// asks for them, and returns the counts of all sources together.
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
    /// Never fails and never panics: a sample that cannot be passed on is counted. Allocates only when this
    /// merge is larger than all before it, or `body` must grow.
    ///
    /// ```
    /// use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    /// use dynamo_metrics_encoder::negotiate::negotiate;
    ///
    /// // A counter as text 0.0.4 has it, and a family that is ours.
    /// let text = b"# TYPE hits_total counter\nhits_total 5\n# TYPE up gauge\nup 1\n";
    /// let (filter, mut body) = (Filter::all(), bytes::BytesMut::new());
    /// let asked = negotiate(Some("application/openmetrics-text;version=1.0.0"));
    /// let report = Passthrough::new().merge(
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
        // Only names that stand in quotes can have escapes; others were escaped otherwise, without a backslash.
        let unescaping = |name: &str| reserved(&arena::unescaped(name));
        let reserved = match asked.escaping {
            Escaping::AllowUtf8 => &unescaping,
            _ => reserved,
        };
        let wanted = Wanted { asked, names, reserved };
        let page = self.read(sources.clone(), asked.escaping);
        // A scrape of some families sees only why these have no type, and so remembers nothing.
        let whole = names.admits_all();
        let at = self.variant((asked, whole));
        let start = body.len();
        self.rounds = 0;
        let mut settled = whole
            && self.weaker[at].1.recall(page)
            && self.round(sources.clone(), &wanted, at, body);
        if !settled {
            self.weaker[at].1.forget();
            for _ in 0..ROUNDS_MAX {
                body.truncate(start);
                settled = self.round(sources.clone(), &wanted, at, body);
                if settled {
                    break;
                }
            }
        }
        if whole && settled {
            self.weaker[at].1.remember(page);
        }
        let mut all = Report::default();
        self.reports.iter().for_each(|&report| all += report);
        all
    }

    /// Reads all texts, and returns a hash of all that decides which families there are.
    fn read<'a>(
        &mut self,
        sources: impl IntoIterator<Item = Source<'a>>,
        escaping: Escaping,
    ) -> u64 {
        let Passthrough { store, pages, .. } = self;
        store.clear(escaping);
        let (mut fingerprint, mut text_bytes) = (0, 0);
        for (number, Source { filter, labels, text }) in sources.into_iter().enumerate() {
            if number == pages.len() {
                pages.push(Page::default());
            }
            let page = &mut pages[number];
            store.add(labels);
            if text.len() > TEXT_BYTES_MAX - text_bytes {
                page.skip(text);
            } else {
                text_bytes += text.len();
                page.read(store, filter, text);
            }
            fingerprint = store.seed.fold(fingerprint ^ page.fingerprint(store, filter));
        }
        fingerprint
    }

    /// The place of the memory for this format and escaping, and for pages that are whole or not.
    fn variant(&mut self, variant: (Negotiated, bool)) -> usize {
        let known = self.weaker.iter().position(|(of, _)| *of == variant);
        known.unwrap_or_else(|| {
            self.weaker.push((variant, Weaker::default()));
            self.weaker.len() - 1
        })
    }

    /// Sorts all samples into families and writes these. Returns whether each could have its type, or has none; else the families
    /// that cannot are noted, for another round.
    fn round<'a>(
        &mut self,
        sources: impl IntoIterator<Item = Source<'a>> + Clone,
        wanted: &Wanted<'_>,
        variant: usize,
        body: &mut BytesMut,
    ) -> bool {
        let Passthrough { store, pages, merged, reports, weaker, rounds } = self;
        *rounds += 1;
        let weaker = &mut weaker[variant].1;
        weaker.begin_round();
        merged.clear();
        reports.clear();
        store.restore();
        // Names that are escaped come last, so that none takes the place of one that is spelled so.
        for escaped in [false, true] {
            for (number, Source { filter, .. }) in sources.clone().into_iter().enumerate() {
                let page = &mut pages[number];
                if !escaped {
                    page.settle(store, filter, wanted, weaker);
                    reports.push(page.counts());
                }
                if !escaped || page.has_escaped() {
                    let (whose, report) = ((number as u32, filter, escaped), &mut reports[number]);
                    page.sort((store, merged), whose, wanted, weaker, report);
                }
            }
        }
        if !weaker.is_as_remembered() {
            return false;
        }
        merged.write(store, wanted, body, reports, weaker);
        weaker.is_settled()
    }

    /// The counts of the last merge for each of its sources, in their order.
    ///
    /// ```
    /// use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    ///
    /// let (filter, mut body) = (Filter::all(), bytes::BytesMut::new());
    /// let sources = [b"a 1\n", b"a 2\n"].map(|text| Source::new(&filter, text));
    /// let mut passthrough = Passthrough::new();
    /// passthrough.merge(sources, &|_| false, Default::default(), &NameFilter::default(), &mut body);
    /// let duplicates: Vec<u64> = passthrough.reports().iter().map(|report| report.duplicates).collect();
    /// assert_eq!(duplicates, [0, 1]);
    /// ```
    #[must_use]
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }
}

impl fmt::Debug for Passthrough {
    /// Sizes only: the text may be large and is not ours to print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passthrough")
            .field("text_bytes", &self.store.arena.len())
            .field("samples", &self.store.samples.len())
            .field("rounds", &self.rounds)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of times that each merge after the other sorts the samples of its page, which it reads once.
    fn rounds(pages: &[&str]) -> Vec<usize> {
        let (all, names) = (Filter::all(), NameFilter::default());
        let (mut passthrough, mut body) = (Passthrough::new(), BytesMut::new());
        let rounds = pages.iter().map(|page| {
            let source = Source::new(&all, page.as_bytes());
            passthrough.merge([source], &|_| false, Negotiated::default(), &names, &mut body);
            passthrough.rounds
        });
        rounds.collect()
    }

    #[test]
    fn families_without_a_type_are_remembered() {
        let partial = "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 2\n";
        let other_values = "# TYPE s summary\ns{quantile=\"0.5\"} 7\ns_count 9\n";
        let other_labels = "# TYPE s summary\ns{quantile=\"0.9\"} 7\ns_count 9\n";
        let whole = "# TYPE s summary\ns_sum 1\ns_count 2\n";
        assert_eq!(rounds(&[whole, whole]), [1, 1]);
        assert_eq!(rounds(&[partial, other_values, partial]), [2, 1, 1]);
        // The recalled families do not hold, and are found anew.
        assert_eq!(rounds(&[partial, other_labels, other_labels]), [2, 3, 1]);
        assert_eq!(rounds(&[partial, whole, partial, partial]), [2, 1, 2, 1]);
    }

    #[test]
    fn a_type_that_a_value_excludes_is_tried_again_by_each_merge() {
        let falling = "# TYPE c counter\nc -1\n";
        assert_eq!(rounds(&[falling, falling, "# TYPE c counter\nc 1\n"]), [2, 2, 1]);
    }
}
