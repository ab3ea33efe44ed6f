//! Why we refuse what Python's OpenMetrics parser takes: for each reason the consumer that minds, and a body.

use dynamo_metrics_encoder::strict::{Problem, Rule};

/// One thing that Python forgives.
pub(crate) struct Reason {
    /// What is wrong, and with whom.
    pub(crate) name: &'static str,
    rule: Rule,
    /// Part of our message.
    says: &'static str,
    /// A body that Python takes and we refuse for this reason.
    pub(crate) body: &'static str,
}

const fn reason(name: &'static str, rule: Rule, says: &'static str, body: &'static str) -> Reason {
    Reason { name, rule, says, body }
}

pub(crate) const REASONS: &[Reason] = &[
    reason(
        "number: VictoriaMetrics drops +5, openmetrics-parser refuses .5 and inf, Prometheus -NaN and 1e400",
        Rule::Value,
        "not a number that every consumer reads",
        "a +5\n# EOF\n",
    ),
    reason(
        "no value: Python takes a lone Inf for a name without its last letter, and again for the value",
        Rule::Value,
        "no value",
        "Inf\n# EOF\n",
    ),
    reason(
        "duplicate: Prometheus keeps the first of two, whatever their timestamps",
        Rule::Duplicate,
        "is there twice",
        "a 1 1\na 1 2\n# EOF\n",
    ),
    reason(
        "canonical: Prometheus 2 stores le and quantile as they are spelled",
        Rule::Canonical,
        "canonical form",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\n# EOF\n",
    ),
    reason(
        "created alone: Prometheus 3 takes it for the start time of a sample that does not come",
        Rule::Created,
        "nothing but _created",
        "# TYPE a counter\na_created 1\n# EOF\n",
    ),
    reason(
        "created first: Prometheus 3 looks for it behind the samples",
        Rule::Created,
        "comes after _created",
        "# TYPE a counter\na_created 1\na_total 1\n# EOF\n",
    ),
    reason(
        "created when: Prometheus 3 makes milliseconds of it",
        Rule::Created,
        "is not a time",
        "# TYPE a counter\na_total 1\na_created NaN\n# EOF\n",
    ),
    reason(
        "timestamp: Python reads -0.5 as 0.5, compares no exponents, and Prometheus has 64 bits of milliseconds",
        Rule::Timestamp,
        "is not plain decimal seconds",
        "a 1 -1\n# EOF\n",
    ),
    reason(
        "comment: the lexer of Prometheus refuses a line that starts with # and is not metadata",
        Rule::Comment,
        "has no comments",
        "#x TYPE a gauge\na 1\n# EOF\n",
    ),
    reason(
        "quote in HELP: the format's grammar wants it escaped",
        Rule::Escape,
        "a quote in HELP must be escaped",
        "# HELP a \"\na 1\n# EOF\n",
    ),
    reason(
        "escape: expfmt refuses unknown ones, and so does the format's grammar",
        Rule::Escape,
        "may not be escaped here",
        "a{x=\"\\t\"} 1\n# EOF\n",
    ),
    reason(
        "escape at the end: as above",
        Rule::Escape,
        "backslash at the end",
        "# HELP a \\\na 1\n# EOF\n",
    ),
    reason(
        "backslash in an exemplar: Prometheus does not unescape there",
        Rule::Escape,
        "an exemplar's labels",
        "# TYPE a counter\na_total 1 # {x=\"\\\\\"} 1\n# EOF\n",
    ),
    reason(
        "blank in metadata: the lexer of Prometheus knows single blanks, Python strips them",
        Rule::Name,
        "is not followed by a metric name",
        "# TYPE  a gauge\na 1\n# EOF\n",
    ),
    reason(
        "tab in metadata: as above",
        Rule::Name,
        "invalid character after the name",
        "# TYPE a\t gauge\na 1\n# EOF\n",
    ),
    reason(
        "name in quotes: the format's grammar has it first in the braces",
        Rule::Name,
        "line does not start with a metric name",
        "# TYPE a gauge\n{x=\"1\",\"a\"} 1\n# EOF\n",
    ),
    reason(
        "name in quotes: as above, behind a label in quotes",
        Rule::Name,
        "first entry of the braces",
        "# TYPE a gauge\n{\"x\"=\"1\",\"a\"} 1\n# EOF\n",
    ),
    reason(
        "white space after a name: the lexer of Prometheus knows none there",
        Rule::Label,
        "after the metric name",
        "# TYPE a gauge\n{\"a\"\r} 1\n# EOF\n",
    ),
    reason(
        "white space before a label: as above",
        Rule::Label,
        "expected a label name",
        "a{\rx=\"1\"} 1\n# EOF\n",
    ),
    reason(
        "colon or blank in a label name: the lexer of Prometheus refuses both",
        Rule::Label,
        "expected =\" after the label name",
        "a{x:y=\"1\"} 1\n# EOF\n",
    ),
    reason(
        "NUL in a name: the lexers of Prometheus end there",
        Rule::Name,
        "NUL",
        "# TYPE \"a\0\" gauge\n# EOF\n",
    ),
    reason("NUL in a label name: as above", Rule::Label, "NUL", "a{\"x\0\"=\"1\"} 1\n# EOF\n"),
    reason(
        "white space in a name: the lexer of Prometheus refuses it, Python strips it",
        Rule::Name,
        "in the metric name",
        "a\r{x=\"1\"} 1\n# EOF\n",
    ),
    reason(
        "CR at the end of HELP: openmetrics-parser refuses it, VictoriaMetrics drops it, the others keep it",
        Rule::LineEnd,
        "CR LF",
        "# HELP a x\r\na 1\n# EOF\n",
    ),
    reason(
        "no name: Prometheus refuses an empty one, and it is not the metric's",
        Rule::Name,
        "in quotes is empty",
        "# TYPE a gauge\n{\"\"=\"1\",\"a\"} 1\n# EOF\n",
    ),
    reason(
        "no label name: Prometheus refuses an empty one",
        Rule::Label,
        "in quotes is empty",
        "a{\"\"=\"1\"} 1\n# EOF\n",
    ),
    reason(
        "white space after a label: as above",
        Rule::Label,
        "expected , or } after label",
        "a{x=\"1\"\r} 1\n# EOF\n",
    ),
    reason(
        "blank: the lexer of Prometheus knows single ones, in a few places",
        Rule::Blank,
        "",
        "a{x=\"1\" } 1\n# EOF\n",
    ),
    reason(
        "exemplar beside its bucket: the format forbids it, and stores by bucket put it in another",
        Rule::Exemplar,
        "is not in the bucket",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {} 2\nh_bucket{le=\"+Inf\"} 1\n# EOF\n",
    ),
    reason(
        "quantile of a count: Prometheus 3 spells it anew, and the format reserves it",
        Rule::Summary,
        "must not have the label",
        "# TYPE s summary\ns_count{quantile=\"0.5\"} 1\n# EOF\n",
    ),
];

/// What a family lacks when one of its lines was left out, since it was reported.
const CONSEQUENCES: &[&str] = &[
    "lacks the +Inf bucket",
    "has one of sum and count",
    "nothing but _created",
    "the count differ",
];

/// The reason for the first problem that is no consequence. What comes after it may be one: a TYPE line that is reported
/// is left out too.
pub(crate) fn explain(problems: &[Problem]) -> Option<&'static str> {
    let is_consequence =
        |problem: &&Problem| CONSEQUENCES.iter().any(|says| problem.message.contains(says));
    let first = problems.iter().find(|problem| !is_consequence(problem)).or(problems.first())?;
    let holds = |reason: &&Reason| reason.rule == first.rule && first.message.contains(reason.says);
    REASONS.iter().find(holds).map(|reason| reason.name)
}
