//! Judges pages of others: an error is what a consumer, which is named, refuses, leaves out or misreads; a warning is legal, and
//! against a rule of the format or of promtool's lint.
//!
//! `models` has the parser of each consumer, which reports each fault where that parser meets it; so a page has an error
//! exactly if one of them minds. Further faults that the strict parser finds are warnings. A page of text is put into the plainest
//! spelling first (`spelling`), so that the strict parser reads each line that has a meaning.

mod consumer;

mod models;
mod spelling;

use std::collections::{HashMap, HashSet};
use std::fmt;

pub use consumer::{Consumer, Effect};

use crate::exposition::Exposition;
use crate::fault::{Fault, Rule};
use crate::format::Format;
use crate::kind::Kind;
use crate::problem::{PROBLEMS_MAX, Problem};
use crate::strict::inspect;
use consumer::Complaint;
use models::complaints;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Legal, but against a rule of the format or of a lint.
    Warning,
    /// A consumer refuses the page, leaves the sample out, or reads something else.
    Error,
}

impl Level {
    /// `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The reason why a fault is a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum By {
    /// Consumers that refuse, drop or misread the input; never empty.
    Consumers(Vec<(Effect, Consumer)>),
    /// The text that has a rule against it: a format's specification, or promtool's lint.
    Text(&'static str),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Consumers(by) => consumer::write(f, by),
            By::Text(text) => f.write_str(text),
        }
    }
}

/// One finding about a page.
///
/// ```
/// use dynamo_metrics_parser::{Fault, Format, judge};
///
/// let judgement = judge(Format::Text, b"# TYPE a  gauge\na 1\n");
/// let finding = &judgement.findings[0];
/// assert_eq!((finding.line, finding.column), (1, Some(9)));
/// assert_eq!(finding.fault, Fault::ManyBlanks { before: "type" });
/// assert_eq!(
///     finding.to_string(),
///     "error: more than one blank before the type (refused by Prometheus)"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The line it is about, from 1.
    pub line: usize,
    /// The place in the line, in bytes from 1, if the fault is at one place.
    pub column: Option<usize>,
    /// The severity.
    pub level: Level,
    /// The fault.
    pub fault: Fault,
    /// The consumers that refuse, drop or misread the input, or the text that has the rule.
    pub by: By,
}

impl Finding {
    /// Returns the rule that is broken.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.fault.rule()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.level.as_str(), self.fault, self.by)
    }
}

/// The judgement over a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judgement {
    /// The findings, by line; at most [`PROBLEMS_MAX`] errors of each consumer, and as many warnings.
    pub findings: Vec<Finding>,
    /// Families that could be read.
    pub families: usize,
    /// Samples that could be read.
    pub samples: usize,
}

impl Judgement {
    /// Returns how many findings have this level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}

/// Judges a page. Time and memory are linear in the input.
///
/// ```
/// use dynamo_metrics_parser::{Format, Level, judge};
///
/// let judgement = judge(Format::Text, b"\n# TYPE   a_total counter\na_total { x = \"y\", } 3\n");
/// assert_eq!((judgement.count(Level::Error), judgement.samples), (0, 1));
/// assert_eq!(judgement.count(Level::Warning), 3);
/// let judgement = judge(Format::Text, b"a 1\na 2\n");
/// assert_eq!(
///     judgement.findings[0].to_string(),
///     "error: series of a is there twice (left out by Prometheus)"
/// );
/// ```
#[must_use]
pub fn judge(format: Format, page: &[u8]) -> Judgement {
    let mut findings = errors(complaints(format, page));
    let lines: HashSet<usize> = findings.iter().map(|finding| finding.line).collect();
    let (exposition, problems) = match (format.is_openmetrics(), std::str::from_utf8(page)) {
        (false, Ok(text)) => {
            let (spelled, mut found) = spelling::spell(text);
            let (exposition, problems) = inspect(format, spelled.as_bytes());
            found.extend(problems);
            (exposition, found)
        }
        _ => inspect(format, page),
    };
    let lint = without_total(format, &exposition);
    // Several points of one series are legal in OpenMetrics.
    let is_legal =
        |fault: &Fault| format.is_openmetrics() && matches!(fault, Fault::SeriesTwice { .. });
    let warnings = problems.into_iter().chain(lint);
    let warnings =
        warnings.filter(|problem| !lines.contains(&problem.line) && !is_legal(&problem.fault));
    findings.extend(warnings.take(PROBLEMS_MAX).map(|Problem { line, column, fault, .. }| {
        let by = By::Text(text_with_rule(format, &fault));
        Finding { line, column, level: Level::Warning, fault, by }
    }));
    findings.sort_by_key(|finding| {
        let column = finding.column.unwrap_or(usize::MAX);
        (finding.line, finding.level == Level::Warning, column)
    });
    let samples = exposition.samples().count();
    Judgement { findings, families: exposition.families.len(), samples }
}

/// Merges complaints into one finding for each fault of a line.
fn errors(complaints: Vec<Complaint>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut at: HashMap<(usize, Fault), usize> = HashMap::new();
    for Complaint { consumer, effect, line, column, fault } in complaints {
        let at = *at.entry((line, fault.clone())).or_insert_with(|| {
            let (level, by) = (Level::Error, By::Consumers(Vec::new()));
            findings.push(Finding { line, column, level, fault, by });
            findings.len() - 1
        });
        let finding = &mut findings[at];
        finding.column = finding.column.or(column);
        if let By::Consumers(by) = &mut finding.by
            && !by.contains(&(effect, consumer))
        {
            by.push((effect, consumer));
            by.sort_unstable();
        }
    }
    findings
}

/// Returns the counters of text whose names lack `_total`.
fn without_total(format: Format, exposition: &Exposition) -> Vec<Problem> {
    let counters = exposition.families.iter().filter(|family| family.kind == Kind::Counter);
    counters
        .filter(|family| !format.is_openmetrics() && !family.name.ends_with("_total"))
        .filter_map(|family| {
            let name = family.name.clone();
            family.samples.first().map(|sample| Problem::at(sample.line, Fault::NoTotal { name }))
        })
        .collect()
}

/// Returns the text with the rule that a legal page breaks.
fn text_with_rule(format: Format, fault: &Fault) -> &'static str {
    match fault {
        Fault::NoTotal { .. } => "promtool's lint",
        Fault::UnusualNumber { .. } => "the crate openmetrics-parser, which does not read it",
        Fault::NotSeconds { .. } => {
            "Python's prometheus_client, which compares plain decimals only"
        }
        Fault::CreatedFirst { .. } | Fault::CreatedAlone { .. } | Fault::CreatedTime { .. } => {
            "Prometheus 3, which finds no start time"
        }
        _ if format.is_openmetrics() => "OpenMetrics 1.0",
        _ => "the text format's rules",
    }
}

#[cfg(test)]
mod tests;
