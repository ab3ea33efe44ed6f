//! What can be wrong with making a metric, and what to do about it.
//!
//! Everything fails when a metric is made, once; recording is infallible by type.

use crate::names::NameError;
use dynamo_metrics_core::RegisterError;
use dynamo_metrics_encoder::foreign::InvalidLabels;
use thiserror::Error;

/// Why a level of the hierarchy or a metric was not made.
///
/// ```
/// use dynamo_metrics::{DistributedRuntime, MetricsError};
///
/// let runtime = DistributedRuntime::new()?;
/// let error = runtime.metrics().gauge(("depth", "")).unwrap_err();
/// assert!(matches!(error, MetricsError::EmptyHelp { .. }));
/// assert!(matches!(runtime.namespace("___"), Err(MetricsError::Name(_))));
/// # Ok::<(), MetricsError>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum MetricsError {
    /// Nothing is left of a name when what scrapers refuse is taken out.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A metric without help text.
    #[error("metric {name:?} has no help text; say in one sentence what it counts")]
    EmptyHelp {
        /// The metric.
        name: String,
    },
    /// A label that the hierarchy sets itself.
    #[error(
        "metric {name:?} may not have label {label:?}: the hierarchy sets it; make the metric at the level it belongs to, or rename the label"
    )]
    ReservedLabel {
        /// The metric.
        name: String,
        /// The label.
        label: String,
    },
    /// More engines than a runtime takes.
    #[error(
        "engine source {name:?} is one too many: a runtime takes {max}; each one is read in every scrape"
    )]
    EngineLimit {
        /// The source.
        name: String,
        /// The limit.
        max: usize,
    },
    /// Two engines of one name.
    #[error(
        "engine source {name:?} is there already: what is measured of two engines of one name could not be told apart; give each its own name"
    )]
    EngineName {
        /// The source.
        name: String,
    },
    /// The labels that an engine's samples should get cannot be added.
    #[error("engine source {name:?} cannot get these labels: {source}")]
    EngineLabels {
        /// The source.
        name: String,
        /// What is wrong with them.
        source: InvalidLabels,
    },
    /// The registry refused: an invalid name or label, or a collision.
    #[error(transparent)]
    Register(#[from] RegisterError),
}
