//! The strict parser: a page passes if every consumer reads it, and all read the same.
//!
//! Layers, each in its own file: `line` and `sample` know one line, `reader` families, `points` the histograms and summaries
//! of text, [`openmetrics`] the points of that format.

mod line;
pub mod openmetrics;
mod points;
mod reader;
mod sample;

use crate::exposition::Exposition;
use crate::format::Format;
use crate::problem::{PROBLEMS_MAX, Problem};

/// Reads a body of text 0.0.4, or returns its problems by line, at most [`PROBLEMS_MAX`].
///
/// # Errors
///
/// Returns at least one [`Problem`] when any consumer would refuse the body or read it differently.
///
/// ```
/// use dynamo_metrics_parser::parse;
///
/// assert!(parse(b"# TYPE up gauge\nup{job=\"x\"} 1\n").is_ok());
/// assert!(parse(b"").is_ok());
///
/// let problems = parse(b"up{job=\"x\",} 1\nup inf\n").unwrap_err();
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
/// use dynamo_metrics_parser::{Format, parse_as};
///
/// let body = b"# TYPE tokens counter\ntokens_total 7\n# EOF\n";
/// let exposition = parse_as(Format::OpenMetrics, body).unwrap();
/// assert_eq!(exposition.value("tokens_total", &[]), Some(7.0));
/// ```
pub fn parse_as(format: Format, input: &[u8]) -> Result<Exposition, Vec<Problem>> {
    match inspect(format, input) {
        (exposition, problems) if problems.is_empty() => Ok(exposition),
        (_, problems) => Err(problems),
    }
}

/// Reads a body as far as it can be read, and returns its problems by line, too.
pub(crate) fn inspect(format: Format, input: &[u8]) -> (Exposition, Vec<Problem>) {
    let check = if format.is_openmetrics() { openmetrics::check } else { points::check };
    let mut reader = reader::Reader::new(format);
    reader.read(input);
    for family in &reader.families {
        if reader.problems.len() < PROBLEMS_MAX {
            check(family, &mut reader.problems);
        }
    }
    reader.problems.sort_by_key(|problem| problem.line);
    reader.problems.truncate(PROBLEMS_MAX);
    (Exposition { families: reader.families }, reader.problems)
}
