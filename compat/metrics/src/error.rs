//! The errors of building and installing a recorder.

use dynamo_metrics_core::RegisterError;
use dynamo_metrics_exporter::{ListenError, StartError};
use metrics::SetRecorderError;
use thiserror::Error;

/// The reason why a recorder was not built or not installed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A global label has a name or value that no metric can have, or a setting of a histogram is invalid.
    #[error("the recorder's settings are invalid: {0}")]
    Settings(#[from] RegisterError),
    /// The address to listen on is none, or is in use.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The server of the page could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The process has a recorder.
    #[error(
        "this process has a recorder already: install one, once, before the first metric is used"
    )]
    Installed,
}

impl<R> From<SetRecorderError<R>> for BuildError {
    fn from(_: SetRecorderError<R>) -> Self {
        Self::Installed
    }
}
