//! The keys that are not recorded, and the reasons.
//!
//! The first ones are kept for [`Handle::problems`](crate::Handle::problems) and logged; all are counted on the page.

use crate::kinds::MetricKind;
use dynamo_metrics_core::{DynamicFamily, DynamicLookup, RegisterError, Registry};
use parking_lot::Mutex;
use thiserror::Error;

/// The problems that are kept and logged. A program that makes keys from its clients' texts could make any number of them.
pub const PROBLEMS_MAX: usize = 100;

/// The counter on the page of keys that are not recorded, by `reason`.
pub const REFUSED_TOTAL: &str = "dynamo_metrics_facade_refused_total";

const REFUSED_HELP: &str = "Keys of the metrics facade that are not recorded, by reason.";

/// The reason why a key of the facade is not recorded as it was meant.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// Two keys would be one series.
    #[error(
        "{kind} {key} is not recorded: it would be the same series as {other}, which was there first; give one of them another name or label"
    )]
    SameSeries {
        /// The kind of both.
        kind: MetricKind,
        /// The key that is not recorded.
        key: String,
        /// The key that is.
        other: String,
    },
    /// The registry refuses the metric: another kind of metric has its name or prints one of its samples, or a label is invalid.
    #[error("{kind} {key} is not recorded: {source}")]
    Register {
        /// The kind of the metric.
        kind: MetricKind,
        /// Its key.
        key: String,
        /// The error of the registry.
        source: RegisterError,
    },
    /// The recorder has as many families as it may have.
    #[error(
        "{kind} {key} is not recorded: there are {max} families of names and label names already; names should be few, and label names of one metric the same"
    )]
    Families {
        /// The kind of the metric.
        kind: MetricKind,
        /// Its key.
        key: String,
        /// The limit.
        max: usize,
    },
    /// A metric was described after its first use, and its name should have had the suffix of its unit.
    #[error(
        "the name {name:?} stays without its unit {unit:?}: the metric was used before it was described; describe it first"
    )]
    LateUnit {
        /// The name on the page.
        name: String,
        /// The unit.
        unit: &'static str,
    },
}

impl Problem {
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::SameSeries { .. } => Some("same_series"),
            Self::Register { .. } => Some("register"),
            Self::Families { .. } => Some("families"),
            Self::LateUnit { .. } => None,
        }
    }
}

/// All problems of one recorder.
#[derive(Debug)]
pub(crate) struct Problems {
    kept: Mutex<Vec<Problem>>,
    refused: DynamicFamily<dynamo_metrics_core::Counter>,
}

impl Problems {
    pub(crate) fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let refused =
            registry.dynamic_counter_family((REFUSED_TOTAL, REFUSED_HELP), &["reason"])?;
        Ok(Self { kept: Mutex::default(), refused })
    }

    pub(crate) fn report(&self, problem: Problem) {
        if let Some(reason) = problem.reason()
            && let Some(counter) = self.refused.find(&[reason]).map(DynamicLookup::into_handle)
        {
            counter.inc();
        }
        let mut kept = self.kept.lock();
        if kept.len() < PROBLEMS_MAX && !kept.contains(&problem) {
            kept.push(problem.clone());
            drop(kept);
            // Not under the lock: a subscriber of tracing may use metrics itself.
            tracing::warn!("{problem}");
        }
    }

    pub(crate) fn list(&self) -> Vec<Problem> {
        self.kept.lock().clone()
    }
}
