//! Errors of registration. Each names the metric, the reason and the remedy.
//!
//! All checks run once, when a metric is registered; recording returns no errors.

mod options;

pub use options::{BucketsError, NativeBucketsError, SummaryError};

use crate::escaping::Escaping;
use thiserror::Error;

/// The reason why a metric was not registered. Every variant names the metric, the reason and the remedy.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum RegisterError {
    /// The value of a constant or scope label is too long. It is not truncated, because two identifiers must not become one.
    #[error(
        "metric {name:?}: the value of label {label:?} has {bytes} bytes, more than {max}; use a shorter identifier"
    )]
    LabelValueTooLong {
        /// The metric, or `(scope)`.
        name: String,
        /// The label.
        label: String,
        /// Bytes of the value.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The name does not match `[a-zA-Z_:][a-zA-Z0-9_:]*`; or, with [`Opts::utf8_names`](crate::Opts::utf8_names),
    /// is empty or contains NUL.
    #[error("metric name {name:?} is not valid: {reason}")]
    InvalidName {
        /// The metric.
        name: String,
        /// The fault, and its remedy.
        reason: &'static str,
    },
    /// A label name does not match `[a-zA-Z_][a-zA-Z0-9_]*`, or is reserved. With
    /// [`Opts::utf8_names`](crate::Opts::utf8_names): it is empty, contains NUL, or is reserved once escaped.
    #[error("label name {label:?} of metric {name:?} is not usable: {reason}; choose another name")]
    InvalidLabel {
        /// The metric.
        name: String,
        /// The label.
        label: String,
        /// The fault.
        reason: &'static str,
    },
    /// A label name occurs twice, constant and scope labels included.
    #[error(
        "label {label:?} of metric {name:?} is given twice (labels of the metric's scope count); remove or rename one"
    )]
    DuplicateLabel {
        /// The metric.
        name: String,
        /// The label.
        label: String,
    },
    /// The name belongs to a metric with another property.
    #[error(
        "metric {name:?} is already registered with another {what}: {existing} is there, {requested} was asked for; use the registered one, or another name"
    )]
    Conflict {
        /// The metric.
        name: String,
        /// The property that differs.
        what: &'static str,
        /// The registered property.
        existing: String,
        /// The requested property.
        requested: String,
    },
    /// A sample name of one metric is a sample name of another, for example `x_count` of histogram `x`.
    #[error(
        "metric {name:?} would print samples named {sample:?}, which belong to metric {other:?}; rename one of them"
    )]
    SuffixClash {
        /// The metric.
        name: String,
        /// The registered metric.
        other: String,
        /// The name that both print.
        sample: String,
    },
    /// A sample name of one metric is a sample name of another for scrapers that ask for an escaping scheme.
    #[error(
        "metric {name:?} would print samples named {sample:?} for scrapers that ask for escaping={scheme}, which belong to metric {other:?}; rename one of them"
    )]
    EscapedClash {
        /// The metric.
        name: String,
        /// The registered metric.
        other: String,
        /// The scheme under which the names are equal.
        scheme: Escaping,
        /// The escaped name that both print.
        sample: String,
    },
    /// Two labels of one metric are one label for scrapers that ask for an escaping scheme.
    #[error(
        "labels {other:?} and {label:?} of metric {name:?} are both {escaped:?} for scrapers that ask for escaping={scheme} (labels of the metric's scope count); rename one of them"
    )]
    EscapedLabels {
        /// The metric.
        name: String,
        /// The label that comes later.
        label: String,
        /// The label that comes first.
        other: String,
        /// The scheme under which the names are equal.
        scheme: Escaping,
        /// The escaped name that both print.
        escaped: String,
    },
    /// Two scopes could print the same series.
    #[error(
        "metric {name:?} in scope {scope} could print the same series as in scope {other}: both can have the labels {labels}, of which none tells them apart (an empty value is the same as no label); give each a constant label with a value of its own, or register it once and share it"
    )]
    SameSeries {
        /// The metric.
        name: String,
        /// Constant labels of the new one.
        scope: String,
        /// Constant labels of the registered one.
        other: String,
        /// The label names of the new one.
        labels: String,
    },
    /// A callback is registered already. Closures cannot be compared, so registering twice is an error.
    #[error(
        "metric {name:?} already has a callback with these labels; unregister it first, or give the new one other constant labels"
    )]
    DuplicateCallback {
        /// The metric.
        name: String,
    },
    /// The name does not end in the unit.
    #[error(
        "metric {name:?} has unit {unit:?}, which must be the end of its name (before `_total` if it is a counter); rename it to end in \"_{unit}\""
    )]
    Unit {
        /// The metric.
        name: String,
        /// The unit.
        unit: String,
    },
    /// The unit has characters that no format can print.
    #[error("unit {unit:?} of metric {name:?} must match [a-zA-Z0-9_:]+, for example \"seconds\"")]
    InvalidUnit {
        /// The metric.
        name: String,
        /// The unit.
        unit: String,
    },
    /// An option does not exist for this kind of metric.
    #[error(
        "metric {name:?} is of kind {kind}, which cannot have {what}; leave that out of its options"
    )]
    Unsupported {
        /// The metric.
        name: String,
        /// Its kind.
        kind: &'static str,
        /// The property that the kind lacks.
        what: &'static str,
    },
    /// The name of an info metric does not end in `_info`.
    #[error(
        "info metric {name:?} needs a name that ends in \"_info\", as \"build_info\": OpenMetrics prints it with that suffix"
    )]
    InfoName {
        /// The metric.
        name: String,
    },
    /// The states of a state set are not usable.
    #[error("state set {name:?} cannot have these states: {reason}")]
    States {
        /// The metric.
        name: String,
        /// The fault, and its remedy.
        reason: String,
    },
    /// A label of a state set has the name of the state set, which is the label of its states.
    #[error(
        "state set {name:?} cannot have a label of its own name, which is the label that holds the state; rename one of them"
    )]
    StateLabel {
        /// The metric.
        name: String,
    },
    /// The bounds of a histogram are not usable.
    #[error("histogram {name:?}: {source}")]
    Buckets {
        /// The metric.
        name: String,
        /// The fault.
        source: BucketsError,
    },
    /// The buckets of a native histogram are not usable.
    #[error("native histogram {name:?}: {source}")]
    Native {
        /// The metric.
        name: String,
        /// The fault.
        source: NativeBucketsError,
    },
    /// The options of a summary are not usable.
    #[error("summary {name:?}: {source}")]
    Summary {
        /// The metric.
        name: String,
        /// The fault.
        source: SummaryError,
    },
    /// The process has no cells left, or no memory for more of them: see docs/limits.md.
    #[error(
        "no memory for metric {name:?}: the process has {max} cells for all metrics, of 8 bytes in each thread that records; register fewer series, or raise the limit that stands in the way (ulimit -v, ulimit -d, vm.overcommit_memory)"
    )]
    NoCells {
        /// The metric.
        name: String,
        /// The limit.
        max: u32,
    },
}

/// The reason why a trace or span identifier was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{what} {id:?} is not usable in an exemplar: it needs 1 to {max} characters of [A-Za-z0-9_-], because some scrapers do not take escapes there"
)]
#[non_exhaustive]
pub struct ExemplarError {
    /// `trace_id` or `span_id`.
    pub what: &'static str,
    /// The identifier as given, truncated to 128 bytes.
    pub id: String,
    /// The number of characters allowed.
    pub max: usize,
}

/// A state that its state set does not have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("state set {name:?} has no state {state:?}; its states are [{known}]")]
#[non_exhaustive]
pub struct UnknownState {
    /// The metric.
    pub name: String,
    /// The state as given.
    pub state: String,
    /// The states of the set.
    pub known: String,
}
