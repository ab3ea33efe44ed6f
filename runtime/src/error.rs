//! The errors of registration, each with a remedy. Only registration can fail: recording has no error.

use crate::names::NameError;
use dynamo_metrics_core::RegisterError;
use dynamo_metrics_exporter::SourceError;
use thiserror::Error;

/// The reason why a level of the hierarchy or a metric was not created.
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
    /// A name without a character that scrapers take.
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
    /// An engine, a callback or a collector was not registered.
    #[error(transparent)]
    Source(SourceError),
    /// The metrics of many processes cannot be shared.
    #[error("{0}")]
    Multiprocess(String),
    /// The registry refused: an invalid name or label, or a collision.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl From<SourceError> for MetricsError {
    fn from(error: SourceError) -> Self {
        match error {
            // One variant for all refusals of the registry.
            SourceError::Register(error) => Self::Register(error),
            error => Self::Source(error),
        }
    }
}
