//! Two levels of judgement over pages of others: an error is what a named consumer refuses or misreads, a warning is legal and
//! against a rule of the format or of promtool's lint.
//!
//! [`parse`](super::parse) is the judge of our own pages, and knows one level: whatever any consumer minds. Text of others has
//! spellings that every consumer takes (blanks between tokens, empty lines, `{}`, a comma before the brace). Here each line is first
//! spelled as we would, with a warning, and then judged; so what is said of a line is about its meaning.

use super::grammar::{label_name_len, literal, metric_name_len};
use super::sample::closing_quote;
use super::{Format, Kind, PROBLEMS_MAX, Problem, Rule, openmetrics, points, reader};
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Legal, but against a rule of the format or of a lint.
    Warning,
    /// A consumer refuses the page or reads it differently.
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

/// One finding about a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The line it is about, from 1.
    pub line: usize,
    /// How bad it is.
    pub level: Level,
    /// The rule that is broken, for programs.
    pub rule: Rule,
    /// The message for people. The wording may change.
    pub message: String,
    /// The consumer that minds, or the text that has the rule.
    pub by: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.level.as_str(), self.message, self.by)
    }
}

/// The judgement over a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judgement {
    /// The findings, by line; at most [`PROBLEMS_MAX`] of each level.
    pub findings: Vec<Finding>,
    /// Families that could be read.
    pub families: usize,
    /// Samples that could be read.
    pub samples: usize,
}

impl Judgement {
    /// How many findings have this level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}

const PROMETHEUS: &str = "Prometheus refuses the page";
const EXPFMT: &str = "Go's expfmt refuses it: promtool, Pushgateway";
const STORED_ONCE: &str = "Prometheus stores one of them";
const TEXT_RULE: &str = "the text format's rules";
const LINT: &str = "promtool's lint";
const OPENMETRICS: &str = "OpenMetrics parsers refuse it: Python's, or Prometheus'";
const OPENMETRICS_RULE: &str = "OpenMetrics 1.0";

/// Judges a page. Time and memory are linear in the input.
///
/// ```
/// use dynamo_metrics_encoder::strict::{Format, Level, judge};
///
/// let judgement = judge(Format::Text, b"\n# TYPE   a_total   counter\na_total { x = \"y\", } 3\n");
/// assert_eq!((judgement.count(Level::Error), judgement.samples), (0, 1));
/// assert_eq!(judgement.count(Level::Warning), 3);
/// let judgement = judge(Format::Text, b"a 1\na 2\n");
/// assert_eq!(judgement.findings[0].to_string(), "error: series of a is there twice (Prometheus stores one of them)");
/// ```
#[must_use]
pub fn judge(format: Format, input: &[u8]) -> Judgement {
    let mut findings = Vec::new();
    let spelled = match (format.is_openmetrics(), std::str::from_utf8(input)) {
        (false, Ok(text)) => spell(text, &mut findings).into_bytes(),
        _ => input.to_vec(),
    };
    let check = if format.is_openmetrics() { openmetrics::check } else { points::check };
    let mut reader = reader::Reader::new(format);
    reader.read(&spelled);
    for family in &reader.families {
        if reader.problems.len() < PROBLEMS_MAX {
            check(family, &mut reader.problems);
        }
        if let (false, Kind::Counter, Some(sample)) =
            (format.is_openmetrics(), family.kind, family.samples.first())
            && !family.name.ends_with("_total")
        {
            warn(
                &mut findings,
                sample.line,
                Rule::Name,
                LINT,
                format!("counter {} does not end in _total", family.name),
            );
        }
    }
    findings.extend(reader.problems.drain(..).map(|problem| {
        let (level, by) = level(&problem, format);
        let Problem { line, rule, message } = problem;
        Finding { line, level, rule, message, by }
    }));
    findings.sort_by_key(|finding| finding.line);
    let samples = reader.families.iter().map(|family| family.samples.len()).sum();
    Judgement { findings, families: reader.families.len(), samples }
}

fn warn(findings: &mut Vec<Finding>, line: usize, rule: Rule, by: &'static str, message: String) {
    if findings.len() < PROBLEMS_MAX {
        findings.push(Finding { line, level: Level::Warning, rule, message, by });
    }
}

/// How bad a problem is that the strict parser has found, and for whom.
fn level(problem: &Problem, format: Format) -> (Level, &'static str) {
    let says = |text: &str| problem.message.contains(text);
    if format.is_openmetrics() {
        return match problem.rule {
            Rule::Canonical => (Level::Warning, OPENMETRICS_RULE),
            Rule::Exemplar if says("bucket") && !says("only") => (Level::Warning, OPENMETRICS_RULE),
            _ => (Level::Error, OPENMETRICS),
        };
    }
    match problem.rule {
        Rule::LineEnd if says("lacks its line feed") => (Level::Error, EXPFMT),
        Rule::Metadata if says("second") || says("after its samples") => (Level::Error, EXPFMT),
        Rule::Duplicate => (Level::Error, STORED_ONCE),
        Rule::Histogram | Rule::Summary if says("number") => (Level::Error, EXPFMT),
        Rule::Grouping
        | Rule::Clash
        | Rule::Counter
        | Rule::Histogram
        | Rule::Summary
        | Rule::SampleName => (Level::Warning, TEXT_RULE),
        _ => (Level::Error, PROMETHEUS),
    }
}

/// The text with each line spelled as we would, as far as it can be read; its lines keep their numbers.
fn spell(text: &str, findings: &mut Vec<Finding>) -> String {
    let mut spelled = String::with_capacity(text.len());
    let mut number = 0;
    for line in text.split_inclusive('\n') {
        number += 1;
        let (content, end) = match line.strip_suffix('\n') {
            Some(content) => (content, "\n"),
            None => (line, ""),
        };
        match respell(content) {
            Some((canonical, rule, what)) if canonical != content => {
                let ends_blank =
                    content.ends_with(is_blank) && !content.trim_matches(is_blank).is_empty();
                let (what, by) = if ends_blank { (END_BLANK, EXPFMT) } else { (what, TEXT_RULE) };
                warn(findings, number, rule, by, what.to_owned());
                spelled.push_str(&canonical);
            }
            _ => spelled.push_str(content),
        }
        spelled.push_str(end);
    }
    spelled
}

/// A line as we would spell it, and what is unusual about it if it is spelled otherwise; `None` for what cannot be read.
fn respell(line: &str) -> Option<(String, Rule, &'static str)> {
    let text = line.trim_matches(is_blank);
    if line.ends_with('\r') {
        return None;
    }
    if text.is_empty() {
        return Some(("#".into(), Rule::LineEnd, "an empty line"));
    }
    match text.strip_prefix('#') {
        Some(comment) => respell_comment(comment),
        None => respell_sample(text),
    }
}

fn respell_comment(comment: &str) -> Option<(String, Rule, &'static str)> {
    let (word, rest) = token(comment.trim_start_matches(is_blank));
    if !matches!(word, "HELP" | "TYPE") {
        let kept = comment.is_empty() || comment.starts_with(' ');
        let comment = if kept { format!("#{comment}") } else { "#".into() };
        return Some((comment, Rule::Blank, "a comment without a blank behind its #"));
    }
    let rest = rest.trim_start_matches(is_blank);
    let name = match rest.strip_prefix('"') {
        Some(quoted) => &rest[..closing_quote(quoted)? + 2],
        None => &rest[..metric_name_len(rest.as_bytes())],
    };
    let text = &rest[name.len()..];
    if name.is_empty() || !(text.is_empty() || text.starts_with(is_blank)) {
        return None;
    }
    let text = text.trim_start_matches(is_blank);
    match (word, text) {
        ("HELP", "") => Some(("#".into(), Rule::Metadata, "a HELP line that says nothing")),
        (_, "") => None,
        _ => {
            if word == "HELP" && (text.contains("# TYPE ") || text.contains("# HELP ")) {
                let line = format!("# {word} {name} {}", text.trim_end_matches(is_blank));
                return Some((line + " ", Rule::Metadata, SWALLOWED));
            }
            let text = if word == "TYPE" { text.trim_end_matches(is_blank) } else { text };
            Some((format!("# {word} {name} {text}"), Rule::Blank, BLANKS))
        }
    }
}

/// Ignored by the format's own words, and by Prometheus; a warning all the same, since nothing is lost but in Go's other parser.
const END_BLANK: &str = "a blank at the end of the line, which the format ignores";
const SWALLOWED: &str =
    "the help text holds another metadata line; is a line feed missing before it?";
const BLANKS: &str = "blanks that need not be there";

fn respell_sample(text: &str) -> Option<(String, Rule, &'static str)> {
    let name = &text[..metric_name_len(text.as_bytes())];
    let mut rest = text[name.len()..].trim_start_matches(is_blank);
    let (mut rule, mut what) = (Rule::Blank, BLANKS);
    let mut spelled = name.to_owned();
    if let Some(inside) = rest.strip_prefix('{') {
        let mut labels = Vec::new();
        rest = inside.trim_start_matches(is_blank);
        loop {
            if let Some(behind) = rest.strip_prefix('}') {
                rest = behind;
                break;
            }
            let label = match rest.strip_prefix('"') {
                Some(quoted) => &rest[..closing_quote(quoted)? + 2],
                None => &rest[..label_name_len(rest.as_bytes())],
            };
            if label.is_empty() {
                return None;
            }
            rest = rest[label.len()..].trim_start_matches(is_blank);
            let mut pair = label.to_owned();
            if let Some(value) = rest.strip_prefix('=') {
                let value = value.trim_start_matches(is_blank).strip_prefix('"')?;
                let end = closing_quote(value)?;
                pair = format!("{label}=\"{}\"", &value[..end]);
                rest = value[end + 1..].trim_start_matches(is_blank);
            } else if !label.starts_with('"') {
                return None;
            }
            labels.push(pair);
            if let Some(behind) = rest.strip_prefix(',') {
                rest = behind.trim_start_matches(is_blank);
                if rest.starts_with('}') {
                    (rule, what) = (Rule::Label, "a comma before the closing brace");
                }
            } else if !rest.starts_with('}') {
                return None;
            }
        }
        if labels.is_empty() {
            (rule, what) = (Rule::Label, "empty braces");
        } else {
            spelled.push_str(&format!("{{{}}}", labels.join(",")));
        }
    } else if name.is_empty() || rest.len() == text.len() - name.len() {
        // Nothing between name and value, or no name at all.
        return None;
    }
    let (value, rest) = token(rest.trim_start_matches(is_blank));
    let (time, rest) = token(rest.trim_start_matches(is_blank));
    if value.is_empty() || !rest.trim_matches(is_blank).is_empty() {
        return None;
    }
    spelled.push(' ');
    if literal(value.as_bytes()).is_some() {
        spelled.push_str(value);
    } else {
        // As Go reads it, with what is none too large.
        let number: f64 = value.parse().ok()?;
        if number.is_infinite() && value.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        (rule, what) = (Rule::Value, "a number that not every consumer spells so");
        match number {
            f64::INFINITY => spelled.push_str("+Inf"),
            f64::NEG_INFINITY => spelled.push_str("-Inf"),
            number if number.is_nan() => spelled.push_str("NaN"),
            number => spelled.push_str(&number.to_string()),
        }
    }
    if time.parse::<i64>().is_ok_and(|time| time < 0) {
        (rule, what) = (Rule::Timestamp, "a time before 1970");
    } else if !time.is_empty() {
        spelled.push(' ');
        spelled.push_str(time);
    }
    Some((spelled, rule, what))
}

fn token(text: &str) -> (&str, &str) {
    text.split_at(text.find(is_blank).unwrap_or(text.len()))
}

/// Whether the text format takes this character between tokens.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> Vec<(usize, Level)> {
        let judgement = judge(Format::Text, text.as_bytes());
        judgement.findings.iter().map(|finding| (finding.line, finding.level)).collect()
    }

    const E: Level = Level::Error;
    const W: Level = Level::Warning;

    #[test]
    fn legal_spellings_are_warnings_and_read() {
        let text = "\n# HELP a_total  counter with blanks\n# TYPE   a_total   counter\n\n\
                    a_total { x = \"y\" , } 3\na_total{} 4\n\tb\t5\t\nc 1e3\nd .5\ne inf\n#comment\n# HELP f \nf 2\n";
        let judgement = judge(Format::Text, text.as_bytes());
        assert_eq!(judgement.count(E), 0, "{:#?}", judgement.findings);
        assert_eq!(judgement.samples, 7);
        assert!(judgement.count(W) >= 8, "{:#?}", judgement.findings);
    }

    #[test]
    fn what_a_consumer_refuses_is_an_error_and_says_which() {
        for (text, expected) in [
            ("a 1\r\n", vec![(1, E)]),
            ("a 1", vec![(1, E)]),
            ("a 1\na 2\n", vec![(2, E)]),
            ("# TYPE a gauge\na 1\n# TYPE a gauge\na{x=\"1\"} 2\n", vec![(3, E)]),
            ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na{x=\"1\"} 2\n", vec![(5, W)]),
            ("a{x=1} 1\n", vec![(1, E)]),
            ("a 1e999\n", vec![(1, E)]),
            ("a 0x10\n", vec![(1, E)]),
            ("a one\n", vec![(1, E)]),
            ("# TYPE a counter\na -1\n", vec![(2, W)]),
            ("# TYPE a counter\na 1\n", vec![(2, W)]),
            ("# TYPE s summary\ns{quantile=\"0.5\"} 1\n", vec![(2, W), (2, W)]),
            ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 9\nh_count 4\n", vec![(4, W)]),
        ] {
            assert_eq!(
                levels(text),
                expected,
                "{text:?}: {:#?}",
                judge(Format::Text, text.as_bytes())
            );
        }
        let glued =
            judge(Format::Text, b"# HELP a A# TYPE a gaugea{x=\"y\"} 3\n# TYPE b gauge\nb 1\n");
        assert_eq!(glued.count(E), 0, "it is a help text: {:#?}", glued.findings);
        assert!(glued.findings[0].message.contains("line feed missing"), "{:#?}", glued.findings);
    }

    #[test]
    fn our_own_pages_have_no_findings() {
        let page = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"y\"} 3\n# TYPE g gauge\ng +Inf\n";
        assert_eq!(levels(page), []);
        let page = b"# TYPE a counter\na_total 3\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 1\n# EOF\n";
        let judgement = judge(Format::OpenMetrics, page);
        assert_eq!((judgement.count(E), judgement.count(W)), (0, 1), "{:#?}", judgement.findings);
    }
}
