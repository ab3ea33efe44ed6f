//! What the strict parser has to say about a body: which line, which rule, in words.

use std::fmt;

/// One thing that some consumer would refuse.
///
/// ```
/// use dynamo_metrics_encoder::strict::{self, Rule};
///
/// let problems = strict::parse(b"a 1\na .5\n").unwrap_err();
/// assert_eq!(problems[0].line, 2);
/// assert_eq!(problems[0].rule, Rule::Value);
/// assert!(problems[0].to_string().starts_with("line 2: "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The line it is about, from 1. A family that lacks something is reported at its last line.
    pub line: usize,
    /// The rule that is broken, for programs.
    pub rule: Rule,
    /// What is wrong, for people. The wording may change.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for Problem {}

/// The rules of both parsers, one for each thing a consumer can trip over.
///
/// ```
/// use dynamo_metrics_encoder::strict::{self, Rule};
///
/// let problems = strict::parse(b"a 1\r\n").unwrap_err();
/// assert_eq!(problems[0].rule, Rule::LineEnd);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A line is not valid UTF-8.
    Utf8,
    /// A line ends in CR LF, is empty, or the last one lacks its LF.
    LineEnd,
    /// A blank too many, or one that is missing.
    Blank,
    /// A HELP or TYPE line is malformed, comes twice, or comes after the family's samples.
    Metadata,
    /// A metric name is not `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    Name,
    /// A label is malformed, named twice, or may not be named so.
    Label,
    /// A backslash before anything but what may be escaped there.
    Escape,
    /// A number is not spelled in a way that every consumer reads.
    Value,
    /// A timestamp is not a plain whole number of milliseconds (text) or a plain decimal number of seconds
    /// (OpenMetrics), or does not fit the other timestamps of its metric.
    Timestamp,
    /// An exemplar, which text 0.0.4 does not have; in OpenMetrics one that is malformed, misplaced, too
    /// long, or outside of its bucket.
    Exemplar,
    /// A sample's name does not fit the type of its family.
    SampleName,
    /// A family's, histogram's or summary's lines do not stand together.
    Grouping,
    /// Two families claim one sample name.
    Clash,
    /// One series is there twice.
    Duplicate,
    /// A counter is negative or not a number.
    Counter,
    /// A histogram's buckets, sum and count do not fit together.
    Histogram,
    /// A summary's quantiles, sum and count do not fit together.
    Summary,
    /// OpenMetrics: `# EOF` is missing, misspelt, or not the end.
    Eof,
    /// OpenMetrics: a comment, which it does not have.
    Comment,
    /// OpenMetrics: a unit is not the end of the family's name, or the type may have none.
    Unit,
    /// OpenMetrics: `le` or `quantile` is a number, but not in canonical form.
    Canonical,
    /// OpenMetrics: a `_created` sample comes before what it is about, stands alone, or is no time.
    Created,
    /// OpenMetrics: an info sample is not 1.
    Info,
    /// OpenMetrics: a state set's sample lacks the label that names the state, or is not 0 or 1.
    StateSet,
}
