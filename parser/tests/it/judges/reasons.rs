//! The reasons why the strict parser refuses bodies that Python's OpenMetrics parser accepts: for each the consumer that minds,
//! and a body.

use dynamo_metrics_parser::{Fault, Problem, Rule};

/// A fault that Python accepts.
pub(crate) struct Reason {
    /// The fault, and the consumer that minds.
    pub(crate) name: &'static str,
    /// The faults that it explains.
    explains: fn(&Fault) -> bool,
    /// A body that Python takes and we refuse for this reason.
    pub(crate) body: &'static str,
}

const fn reason(name: &'static str, explains: fn(&Fault) -> bool, body: &'static str) -> Reason {
    Reason { name, explains, body }
}

pub(crate) const REASONS: &[Reason] = &[
    reason(
        "number: VictoriaMetrics drops +5, openmetrics-parser refuses .5 and inf, Prometheus -NaN and 1e400",
        |fault| {
            matches!(
                fault,
                Fault::UnusualNumber { .. } | Fault::NotANumber { .. } | Fault::NumberRange { .. }
            )
        },
        "a +5\n# EOF\n",
    ),
    reason(
        "no value: Python takes a lone Inf for a name without its last letter, and again for the value",
        |fault| matches!(fault, Fault::NoValue),
        "Inf\n# EOF\n",
    ),
    reason(
        "duplicate: Prometheus keeps the first of two, whatever their timestamps",
        |fault| matches!(fault, Fault::SeriesTwice { .. }),
        "a 1 1\na 1 2\n# EOF\n",
    ),
    reason(
        "canonical: Prometheus 2 stores le and quantile as they are spelled",
        |fault| matches!(fault, Fault::NotCanonical { .. }),
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\n# EOF\n",
    ),
    reason(
        "created alone: Prometheus 3 takes it for the start time of a sample that does not come",
        |fault| matches!(fault, Fault::CreatedAlone { .. }),
        "# TYPE a counter\na_created 1\n# EOF\n",
    ),
    reason(
        "created first: Prometheus 3 looks for it behind the samples",
        |fault| matches!(fault, Fault::CreatedFirst { .. }),
        "# TYPE a counter\na_created 1\na_total 1\n# EOF\n",
    ),
    reason(
        "created when: Prometheus 3 makes milliseconds of it",
        |fault| matches!(fault, Fault::CreatedTime { .. }),
        "# TYPE a counter\na_total 1\na_created NaN\n# EOF\n",
    ),
    reason(
        "timestamp: Python reads -0.5 as 0.5, compares no exponents, and Prometheus has 64 bits of milliseconds",
        |fault| matches!(fault, Fault::NotSeconds { .. }),
        "a 1 -1\n# EOF\n",
    ),
    reason(
        "comment: the lexer of Prometheus refuses a line that starts with # and is not metadata",
        |fault| matches!(fault, Fault::Comment),
        "#x TYPE a gauge\na 1\n# EOF\n",
    ),
    reason(
        "quote in HELP: the format's grammar wants it escaped",
        |fault| matches!(fault, Fault::QuoteInHelp),
        "# HELP a \"\na 1\n# EOF\n",
    ),
    reason(
        "escape: expfmt refuses unknown ones, and so does the format's grammar",
        |fault| matches!(fault, Fault::UnknownEscape { .. }),
        "a{x=\"\\t\"} 1\n# EOF\n",
    ),
    reason(
        "escape at the end: as above",
        |fault| matches!(fault, Fault::EscapeAtEnd),
        "# HELP a \\\na 1\n# EOF\n",
    ),
    reason(
        "backslash in an exemplar: Prometheus does not unescape there",
        |fault| matches!(fault, Fault::EscapeInExemplar),
        "# TYPE a counter\na_total 1 # {x=\"\\\\\"} 1\n# EOF\n",
    ),
    reason(
        "blank in metadata: the lexer of Prometheus knows single blanks, Python strips them",
        |fault| matches!(fault, Fault::NoMetadataName { .. }),
        "# TYPE  a gauge\na 1\n# EOF\n",
    ),
    reason(
        "tab in metadata: as above",
        |fault| matches!(fault, Fault::MetadataName { .. }),
        "# TYPE a\t gauge\na 1\n# EOF\n",
    ),
    reason(
        "name in quotes: the format's grammar has it first in the braces",
        |fault| matches!(fault, Fault::NoName),
        "# TYPE a gauge\n{x=\"1\",\"a\"} 1\n# EOF\n",
    ),
    reason(
        "name in quotes: as above, behind a label in quotes",
        |fault| matches!(fault, Fault::NameNotFirst),
        "# TYPE a gauge\n{\"x\"=\"1\",\"a\"} 1\n# EOF\n",
    ),
    reason(
        "white space after a name: the lexer of Prometheus knows none there",
        |fault| matches!(fault, Fault::NoCommaAfterName),
        "# TYPE a gauge\n{\"a\"\r} 1\n# EOF\n",
    ),
    reason(
        "white space before a label: as above",
        |fault| matches!(fault, Fault::NoLabelName),
        "a{\rx=\"1\"} 1\n# EOF\n",
    ),
    reason(
        "colon or blank in a label name: the lexer of Prometheus refuses both",
        |fault| matches!(fault, Fault::NoEqual { .. }),
        "a{x:y=\"1\"} 1\n# EOF\n",
    ),
    reason(
        "NUL in a name: the lexers of Prometheus end there",
        |fault| matches!(fault, Fault::NulInName),
        "# TYPE \"a\0\" gauge\n# EOF\n",
    ),
    reason(
        "NUL in a label name: as above",
        |fault| matches!(fault, Fault::NulInLabel),
        "a{\"x\0\"=\"1\"} 1\n# EOF\n",
    ),
    reason(
        "white space in a name: the lexer of Prometheus refuses it, Python strips it",
        |fault| matches!(fault, Fault::NameCharacter { .. }),
        "a\r{x=\"1\"} 1\n# EOF\n",
    ),
    reason(
        "CR at the end of HELP: openmetrics-parser refuses it, VictoriaMetrics drops it, the others keep it",
        |fault| matches!(fault, Fault::CarriageReturn),
        "# HELP a x\r\na 1\n# EOF\n",
    ),
    reason(
        "no name: Prometheus refuses an empty one, and it is not the metric's",
        |fault| matches!(fault, Fault::QuotedName),
        "# TYPE a gauge\n{\"\"=\"1\",\"a\"} 1\n# EOF\n",
    ),
    reason(
        "no label name: Prometheus refuses an empty one",
        |fault| matches!(fault, Fault::QuotedLabel),
        "a{\"\"=\"1\"} 1\n# EOF\n",
    ),
    reason(
        "white space after a label: as above",
        |fault| matches!(fault, Fault::NoComma { .. }),
        "a{x=\"1\"\r} 1\n# EOF\n",
    ),
    reason(
        "blank: the lexer of Prometheus knows single ones, in a few places",
        |fault| fault.rule() == Rule::Blank,
        "a{x=\"1\" } 1\n# EOF\n",
    ),
    reason(
        "exemplar beside its bucket: the format forbids it, and stores by bucket put it in another",
        |fault| matches!(fault, Fault::ExemplarOutside { .. }),
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {} 2\nh_bucket{le=\"+Inf\"} 1\n# EOF\n",
    ),
    reason(
        "quantile of a count: Prometheus 3 spells it anew, and the format reserves it",
        |fault| matches!(fault, Fault::HasLabel { .. }),
        "# TYPE s summary\ns_count{quantile=\"0.5\"} 1\n# EOF\n",
    ),
];

/// Whether a fault may follow from a reported line, which is left out of its family.
fn is_consequence(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::NoInf { .. }
            | Fault::SumOrCount { .. }
            | Fault::CreatedAlone { .. }
            | Fault::CountDiffers { .. }
    )
}

/// The reason for the first problem that is no consequence. Later problems may follow from it: a reported TYPE
/// line is left out, too.
pub(crate) fn explain(problems: &[Problem]) -> Option<&'static str> {
    let first = problems.iter().find(|problem| !is_consequence(&problem.fault));
    let first = first.or(problems.first())?;
    let holds = |reason: &&Reason| (reason.explains)(&first.fault);
    REASONS.iter().find(holds).map(|reason| reason.name)
}
