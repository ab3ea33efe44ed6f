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
    reason("number: VictoriaMetrics drops +5, openmetrics-parser refuses .5 and inf, Prometheus -NaN and 1e400", Rule::Value,
        "not a number that every consumer reads", "a +5\n# EOF\n"),
    reason("duplicate: Prometheus keeps the first of two, whatever their timestamps", Rule::Duplicate, "is there twice", "a 1 1\na 1 2\n# EOF\n"),
    reason("canonical: Prometheus 2 stores le and quantile as they are spelled", Rule::Canonical, "canonical form",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\n# EOF\n"),
];

/// The reason for the first problem. Later ones may be its consequence, since a line that is reported is left out.
pub(crate) fn explain(_body: &[u8], problems: &[Problem]) -> Option<&'static str> {
    let first = problems.first()?;
    let holds = |reason: &&Reason| reason.rule == first.rule && first.message.contains(reason.says);
    REASONS.iter().find(holds).map(|reason| reason.name)
}
