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
mod tests {
    use super::*;

    const E: Level = Level::Error;
    const W: Level = Level::Warning;

    fn levels(format: Format, text: &str) -> Vec<(usize, Level)> {
        let judgement = judge(format, text.as_bytes());
        judgement.findings.iter().map(|finding| (finding.line, finding.level)).collect()
    }

    /// The first finding, as it is printed.
    fn first(format: Format, text: &str) -> String {
        let judgement = judge(format, text.as_bytes());
        judgement.findings.first().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn legal_spellings_of_text_are_warnings_and_their_samples_are_read() {
        let text = "\n# HELP a_total  counter with blanks\n# TYPE   a_total counter\n\n\
                    a_total { x = \"y\" , } 3\na_total{} 4\nb\t5\nc  1e3\nd .5\ne inf\n#comment\n# HELP f\nf 2\n";
        let judgement = judge(Format::Text, text.as_bytes());
        assert_eq!(judgement.count(E), 0, "{:#?}", judgement.findings);
        assert_eq!(judgement.samples, 7);
        let lines: Vec<usize> = judgement.findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "{:#?}", judgement.findings);
    }

    #[test]
    fn an_error_names_each_consumer_and_what_it_does() {
        for (text, says) in [
            (
                "\ta 1\n",
                "blank before the metric name (refused by Prometheus 2; misread by Prometheus 3)",
            ),
            (
                "# TYPE a  gauge\na 1\n",
                "more than one blank before the type (refused by Prometheus)",
            ),
            ("a 1 \n", "blank at the end of the line (refused by promtool)"),
            ("a 1", "the last line lacks its line feed (refused by promtool)"),
            ("a 1 -5\n", "timestamp \"-5\" is not a plain whole number (refused by Prometheus)"),
            ("a{x=\"\\t\"} 1\n", "'t' may not be escaped here (refused by promtool)"),
            (
                "a{x=\"1\" y=\"2\"} 1\n",
                "expected , or } after label x (refused by promtool and Python's prometheus_client; left out by VictoriaMetrics)",
            ),
            (
                "# TYPE a gauge\na 1\n# TYPE a gauge\na{x=\"1\"} 2\n",
                "second TYPE of a (refused by promtool)",
            ),
            ("a 1\n# TYPE a gauge\n", "TYPE of a after its samples (refused by promtool)"),
            (
                "# TYPE s summary\n# TYPE s_sum gauge\n",
                "summary s claims the samples of the family s_sum (refused by promtool)",
            ),
            (
                "a +5\n",
                "\"+5\" is not a number that every consumer reads (left out by VictoriaMetrics)",
            ),
            (
                "{\"a.b\"} 1\n",
                "a name in quotes, which was not asked for (refused by Prometheus 2 and promtool 2)",
            ),
            (
                "\0b 2\n",
                "a NUL byte (refused by promtool and Python's prometheus_client; misread by Prometheus)",
            ),
            ("a 1\na 2\n", "series of a is there twice (left out by Prometheus)"),
        ] {
            assert_eq!(first(Format::Text, text), format!("error: {says}"), "{text:?}");
        }
    }

    #[test]
    fn a_fault_that_no_consumer_of_text_minds_is_a_warning() {
        for (text, line) in [
            ("# TYPE a gauge\na 1\n# HELP a x\n", 3),
            ("# TYPE a_total counter\na_total -1\n", 2),
            ("# TYPE a counter\na 1\n", 2),
            ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 9\nh_count 4\n", 4),
            ("a 1 1700000000000\na 2 1700000000001\n", 2),
            ("a{x=\"1\"}1\n", 1),
            ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na{x=\"1\"} 2\n", 5),
        ] {
            assert_eq!(levels(Format::Text, text), [(line, W)], "{text:?}");
        }
    }

    #[test]
    fn a_help_text_with_another_metadata_line_in_it_is_a_warning() {
        let text = "# HELP a A# TYPE a gaugea{x=\"y\"} 3\n# TYPE b gauge\nb 1\n";
        assert_eq!(levels(Format::Text, text), [(1, W)]);
        assert!(first(Format::Text, text).contains("line feed missing"));
    }

    #[test]
    fn a_label_value_across_lines_is_one_fault_where_it_begins() {
        let judgement = judge(Format::Text, b"a{x=\"1} 1\nb{y=\"2\"} 1\nc 1\n");
        let finding = &judgement.findings[0];
        assert_eq!((finding.line, finding.column), (1, Some(5)));
        assert_eq!(finding.fault, Fault::OpenValue { label: "x".into() });
        assert_eq!(judgement.count(E), 1, "{:#?}", judgement.findings);
    }

    #[test]
    fn openmetrics_has_errors_and_warnings_of_its_own() {
        for (body, expected) in [
            (
                "# TYPE a counter\na_total 3\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n\
                 h_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 1\n",
                vec![(4, W)],
            ),
            ("# TYPE a counter\na 1\n", vec![(2, E)]),
            ("a{ x=\"1\"} 1\n", vec![(1, E)]),
            ("a 1 1700000001\na 2 1700000002\n", vec![]),
            // Left out by Prometheus; for Python the time went backwards.
            ("a 1 1700000002\na 2 1700000001\n", vec![(2, E), (2, E)]),
            ("a 1\na 1\n", vec![(2, E)]),
            ("a .5\n", vec![(1, W)]),
        ] {
            assert_eq!(levels(Format::OpenMetrics, &format!("{body}# EOF\n")), expected, "{body}");
        }
    }

    #[test]
    fn a_plain_page_has_no_findings() {
        let page = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"y\"} 3\n# TYPE g gauge\ng +Inf\n";
        assert_eq!(levels(Format::Text, page), []);
    }

    #[test]
    fn consumers_that_refuse_a_line_for_one_reason_are_in_one_finding() {
        for value in ["0x10", "1_000", "NULL", "-", "1,5", "\"1\"", "1e", "0b11"] {
            let not_a_number = Fault::NotANumber { text: value.to_owned() };
            for line in
                [format!("a {value}\n"), format!("a{{}} {value}\n"), format!("a{{}}{value}\n")]
            {
                let judgement = judge(Format::Text, line.as_bytes());
                let faults: Vec<_> = judgement.findings.iter().map(|it| &it.fault).collect();
                assert_eq!(faults, [&not_a_number], "{line}");
            }
        }
        for (text, expected) in [
            ("a 1e400\n", "1e400 is beyond the range of a 64-bit float"),
            ("a-b 1\n", "'-' in the metric name"),
            ("a{x=1} 1\n", "expected =\" after the label name x"),
            ("a{x:\"1\"} 1\n# EOF\n", "expected =\" after the label name x"),
            ("a{} 1\n", "empty braces"),
            ("a{,} 1\n", "expected a label name"),
            ("a{\n", "expected a label name"),
        ] {
            let judgement = judge(Format::Text, text.as_bytes());
            let first = judgement.findings[0].fault.to_string();
            assert_eq!(first, expected, "{text}");
        }
        for line in ["a{x=\"1\"}1", "a{x=\"1\"}} 1", "a{x=\"1\"}"] {
            let judgement = judge(Format::OpenMetrics, format!("{line}\n# EOF\n").as_bytes());
            let text = judgement.findings.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert!(text[0].contains("refused by Prometheus and Python's"), "{line}: {text:?}");
        }
    }

    #[test]
    fn a_part_with_a_wrong_value_is_not_called_absent() {
        let page = "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1.5\nh_bucket{le=\"+Inf\"} 1.5\n\
                    h_count 1.5\nh_sum 1\n";
        assert_eq!(levels(Format::Text, page), [(2, W), (3, W), (4, W)]);
        let page = format!("{page}# EOF\n");
        assert_eq!(levels(Format::OpenMetrics, &page), [(2, E), (3, E), (4, E)]);
        let page = page.replace("1.5", "x");
        let judgement = judge(Format::OpenMetrics, page.as_bytes());
        assert!(judgement.findings.iter().all(|it| it.line < 5 || it.level == W), "{page}");
    }

    #[test]
    fn findings_are_bounded() {
        let page = "a{x=1} 1\n".repeat(20_000);
        let judgement = judge(Format::Text, page.as_bytes());
        assert!(judgement.findings.len() <= 6 * PROBLEMS_MAX, "{}", judgement.findings.len());
    }
}
