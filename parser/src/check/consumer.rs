//! The programs that read expositions, and the effects that a fault has in one of them.

use std::fmt;

use crate::fault::Fault;
use crate::problem::PROBLEMS_MAX;

/// A program that reads expositions, as far as this crate knows its parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Consumer {
    /// Prometheus 2, which reads no names in quotes.
    Prometheus2,
    /// Prometheus 3.
    Prometheus3,
    /// promtool 2 and whatever else uses Go's `expfmt` before 0.60, as Pushgateway and exporters; text only.
    Promtool2,
    /// promtool 3 and whatever else uses Go's `expfmt` from 0.60 on; text only.
    Promtool3,
    /// The parser of Python's `prometheus_client` for the format in question.
    PrometheusClient,
    /// VictoriaMetrics and vmagent, which leave out lines that they cannot read.
    VictoriaMetrics,
}

/// The effect of a fault in a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// The consumer refuses the whole page.
    Refused,
    /// The consumer leaves out the sample.
    Dropped,
    /// The consumer stores something else than the page says.
    Misread,
}

impl Effect {
    fn as_str(self) -> &'static str {
        match self {
            Effect::Refused => "refused",
            Effect::Dropped => "left out",
            Effect::Misread => "misread",
        }
    }
}

/// One fault, as one consumer meets it.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    pub(crate) consumer: Consumer,
    pub(crate) effect: Effect,
    pub(crate) line: usize,
    pub(crate) column: Option<usize>,
    pub(crate) fault: Fault,
}

/// The list to which the model of one consumer reports.
pub(crate) struct Complaints<'a> {
    consumer: Consumer,
    left: usize,
    found: &'a mut Vec<Complaint>,
}

impl<'a> Complaints<'a> {
    pub(crate) fn of(consumer: Consumer, found: &'a mut Vec<Complaint>) -> Complaints<'a> {
        Complaints { consumer, left: PROBLEMS_MAX, found }
    }

    /// Returns whether the consumer has complained as often as is listed.
    pub(crate) fn is_full(&self) -> bool {
        self.left == 0
    }

    pub(crate) fn add(&mut self, effect: Effect, line: usize, column: Option<usize>, fault: Fault) {
        if self.left > 0 {
            self.left -= 1;
            self.found.push(Complaint { consumer: self.consumer, effect, line, column, fault });
        }
    }
}

/// Writes consumers by their effects: `refused by Prometheus and promtool 2; left out by VictoriaMetrics`. The pairs are in
/// their order.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, by: &[(Effect, Consumer)]) -> fmt::Result {
    for (at, group) in by.chunk_by(|a, b| a.0 == b.0).enumerate() {
        let names = names(group);
        write!(f, "{}{} by ", if at > 0 { "; " } else { "" }, group[0].0.as_str())?;
        for (at, name) in names.iter().enumerate() {
            let glue = match at {
                0 => "",
                _ if at + 1 == names.len() => " and ",
                _ => ", ",
            };
            write!(f, "{glue}{name}")?;
        }
    }
    Ok(())
}

/// Returns the names of consumers; two versions of a program are one name.
fn names(by: &[(Effect, Consumer)]) -> Vec<&'static str> {
    let has = |consumer| by.iter().any(|(_, own)| *own == consumer);
    let versions = |two, three, both, only_two, only_three| match (has(two), has(three)) {
        (true, true) => Some(both),
        (true, false) => Some(only_two),
        (false, true) => Some(only_three),
        (false, false) => None,
    };
    use Consumer::{
        Prometheus2, Prometheus3, PrometheusClient, Promtool2, Promtool3, VictoriaMetrics,
    };
    [
        versions(Prometheus2, Prometheus3, "Prometheus", "Prometheus 2", "Prometheus 3"),
        versions(Promtool2, Promtool3, "promtool", "promtool 2", "promtool 3"),
        has(PrometheusClient).then_some("Python's prometheus_client"),
        has(VictoriaMetrics).then_some("VictoriaMetrics"),
    ]
    .into_iter()
    .flatten()
    .collect()
}
