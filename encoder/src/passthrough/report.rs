//! The counts of a merge: of one source, or of all of them.

use std::ops::AddAssign;

/// The families, series and lines that were taken from sources, and those that were withheld.
///
/// [`Passthrough::merge`](super::Passthrough::merge) returns the totals, [`Passthrough::reports`](super::Passthrough::reports) has
/// one for each source, which add up to them: an operator of several engines can tell which one to look at.
///
/// ```
/// use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
/// use dynamo_metrics_encoder::name_filter::NameFilter;
///
/// let text = b"# TYPE a counter\na 1\na 2\nb{x=\"1 5\n";
/// let (filter, mut body) = (Filter::all(), bytes::BytesMut::new());
/// let mut passthrough = Passthrough::new();
/// let sources = [Source::new(&filter, b"c 1\n"), Source::new(&filter, text)];
/// let all = passthrough.merge(
///     sources, &|_| false, Default::default(), &NameFilter::default(), &mut body,
/// );
/// assert_eq!((all.families, all.series), (2, 2));
/// let second = passthrough.reports()[1];
/// assert_eq!((second.families, second.series), (1, 1));
/// assert_eq!((second.duplicates, second.quarantined, second.dropped_lines), (1, 1, 1));
/// assert_eq!(passthrough.reports()[0].withheld(), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Families written; one that several sources have counts for the first.
    pub families: u64,
    /// Sample lines of text written, or in protobuf the samples that would be lines.
    pub series: u64,
    /// Families withheld because their name is reserved, or because another family has that name or a sample of that name.
    /// A family with two types is written as untyped, and not counted.
    pub clashes: u64,
    /// Samples dropped because an earlier line has the same series, or because an earlier source has the histogram or summary of
    /// these labels: a point is of one source.
    pub duplicates: u64,
    /// Families of one source of which a line could not be read, series that the format has no place for, and families beyond a
    /// limit of 10,000. (A histogram that lacks a part, or a counter below zero, is written without its type and not among
    /// these.)
    pub quarantined: u64,
    /// Lines that could not be read, or not be held.
    pub dropped_lines: u64,
    /// Exemplars left out because they are invalid or stand where none may. Not counted in text 0.0.4, which has
    /// none.
    pub exemplars: u64,
}

impl Report {
    /// The sum of everything that was counted and not written, in different units: above zero means that something is wrong
    /// with the source.
    ///
    /// ```
    /// assert_eq!(dynamo_metrics_encoder::passthrough::Report::default().withheld(), 0);
    /// ```
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.clashes + self.duplicates + self.quarantined + self.dropped_lines + self.exemplars
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Report) {
        self.families += other.families;
        self.series += other.series;
        self.clashes += other.clashes;
        self.duplicates += other.duplicates;
        self.quarantined += other.quarantined;
        self.dropped_lines += other.dropped_lines;
        self.exemplars += other.exemplars;
    }
}
