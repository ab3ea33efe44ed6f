//! The parser that forgives nothing: text 0.0.4 and OpenMetrics 1.0 as their narrowest consumer reads them.
//!
//! Prometheus, promtool, Python's parser, VictoriaMetrics and the Rust parsers each forgive something
//! that another one refuses. A body that passes here is taken by all of them, with the same meaning:
//! this is the judge of everything that the encoder and the foreign text merge write, in unit tests,
//! property tests, fuzzing and `dynamo-metrics check`.
//!
//! Layers, each in its own file: `grammar` knows words, `line` and `sample` one line, `reader` families,
//! `points` the histograms and summaries of text, [`openmetrics`] the points of that format.
//!
//! In text, what is accepted although it is not the subset we emit, because no consumer minds: plain comments
//! (`# EOF` and `# UNIT` are such here), samples without TYPE (an untyped family of their own), families
//! without samples, HELP after TYPE, `_count` before `_sum`, timestamps in digits, `007`, `5.`, `1E5`,
//! an empty body, and control bytes inside label values.
//!
//! Never panics, whatever the bytes. Time and memory are linear in the input, but for the sorting of
//! each line's labels. A line that is reported is left out, so a broken bucket may also be
//! reported as a missing one.

mod exposition;
mod format;
pub(crate) mod grammar;
mod kind;
mod levels;
mod line;
pub mod openmetrics;
mod points;
mod problem;
mod reader;
mod sample;

pub use exposition::{Exemplar, Exposition, Family, Sample};
pub use format::Format;
pub use kind::Kind;
pub use levels::{Finding, Judgement, Level, judge};
pub use problem::{Problem, Rule};

/// Most problems that [`parse`] reports before it gives up: enough to see what is wrong, few enough
/// that a megabyte of garbage does not become a megabyte of complaints.
///
/// ```
/// use dynamo_metrics_encoder::strict::{self, PROBLEMS_MAX};
///
/// let problems = strict::parse("?\n".repeat(2 * PROBLEMS_MAX).as_bytes()).unwrap_err();
/// assert_eq!(problems.len(), PROBLEMS_MAX);
/// ```
pub const PROBLEMS_MAX: usize = 100;

/// Reads a body, or says everything that is wrong with it, by line, at most [`PROBLEMS_MAX`] problems.
///
/// # Errors
///
/// Returns at least one [`Problem`] when any consumer would refuse the body or read it differently.
///
/// ```
/// use dynamo_metrics_encoder::strict;
///
/// assert!(strict::parse(b"# TYPE up gauge\nup{job=\"x\"} 1\n").is_ok());
/// assert!(strict::parse(b"").is_ok());
///
/// let problems = strict::parse(b"up{job=\"x\",} 1\nup inf\n").unwrap_err();
/// assert_eq!(problems.len(), 2);
/// assert_eq!(problems[0].to_string(), "line 1: comma before the closing brace");
/// ```
pub fn parse(input: &[u8]) -> Result<Exposition, Vec<Problem>> {
    parse_as(Format::Text, input)
}

/// Reads a body of any [`Format`]; [`parse`] is this with [`Format::Text`].
///
/// # Errors
///
/// Returns at least one [`Problem`] when any consumer would refuse the body or read it differently.
///
/// ```
/// use dynamo_metrics_encoder::strict::{Format, parse_as};
///
/// let body = b"# TYPE tokens counter\ntokens_total 7\n# EOF\n";
/// let exposition = parse_as(Format::OpenMetrics, body).unwrap();
/// assert_eq!(exposition.value("tokens_total", &[]), Some(7.0));
/// ```
pub fn parse_as(format: Format, input: &[u8]) -> Result<Exposition, Vec<Problem>> {
    let check = if format.is_openmetrics() { openmetrics::check } else { points::check };
    let mut reader = reader::Reader::new(format);
    reader.read(input);
    for family in &reader.families {
        if reader.problems.len() < PROBLEMS_MAX {
            check(family, &mut reader.problems);
        }
    }
    if reader.problems.is_empty() {
        return Ok(Exposition { families: reader.families });
    }
    reader.problems.sort_by_key(|problem| problem.line);
    reader.problems.truncate(PROBLEMS_MAX);
    Err(reader.problems)
}

/// One series as bytes: name and labels in one order, whatever the order of the line. Empty values
/// are left out, since Prometheus drops them. The separators never occur in UTF-8.
fn series_key<'a>(name: &str, labels: impl Iterator<Item = &'a (String, String)>) -> Vec<u8> {
    let mut labels: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
    labels.sort_unstable();
    let mut key = name.as_bytes().to_vec();
    for (name, value) in labels {
        key.push(0xfe);
        key.extend_from_slice(name.as_bytes());
        key.push(0xff);
        key.extend_from_slice(value.as_bytes());
    }
    key
}
