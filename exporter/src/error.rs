//! The errors of an exporter: registration of a source, and the start of a server.

use dynamo_metrics_core::RegisterError;
use dynamo_metrics_encoder::passthrough::InvalidLabels;
use dynamo_metrics_server::StartError;
use thiserror::Error;

/// The reason why an engine, a callback or a collector was not registered.
///
/// ```
/// use dynamo_metrics_exporter::{EngineSource, Exporter, Filter, Registry, SourceError};
///
/// let exporter = Exporter::new(&Registry::new());
/// let engine = || EngineSource::new("vllm", Filter::vllm(), || Ok("vllm:running 3\n"));
/// exporter.engine(engine())?;
/// assert!(matches!(exporter.engine(engine()), Err(SourceError::EngineName { .. })));
/// # Ok::<(), SourceError>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum SourceError {
    /// One engine more than an exporter takes.
    #[error(
        "engine source {name:?} is one too many: an exporter takes {max}; each one is read in every scrape"
    )]
    EngineLimit {
        /// The engine.
        name: String,
        /// The limit.
        max: usize,
    },
    /// An engine of this name is registered already.
    #[error(
        "engine source {name:?} is there already: the metrics about two engines of one name could not be told apart; give each its own name"
    )]
    EngineName {
        /// The engine.
        name: String,
    },
    /// The labels for an engine's samples are not valid.
    #[error("engine source {name:?} cannot get these labels: {source}")]
    EngineLabels {
        /// The engine.
        name: String,
        /// The fault of the labels.
        source: InvalidLabels,
    },
    /// One collector more than an exporter takes.
    #[error(
        "collector {name:?} is one too many: an exporter takes {max}; each one runs in every scrape; let one collector print several families"
    )]
    CollectorLimit {
        /// The collector.
        name: String,
        /// The limit.
        max: usize,
    },
    /// A collector of this name is registered already.
    #[error(
        "collector {name:?} is there already: the errors of two collectors of one name could not be told apart; give each its own name"
    )]
    CollectorName {
        /// The collector.
        name: String,
    },
    /// The labels of the scope cannot be added to a collector's samples.
    #[error("collector {name:?} cannot get the labels of its scope: {source}")]
    CollectorLabels {
        /// The collector.
        name: String,
        /// The fault of the labels.
        source: InvalidLabels,
    },
    /// The registry refused: an invalid name or label, or a collision.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// The reason why [`Exporter::listen`](crate::Exporter::listen) started no server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The text is not an address of this machine.
    #[error(
        "{address:?} is not an address to listen on: {reason}; write host and port, as 0.0.0.0:9090 for all addresses or 127.0.0.1:9090 for this machine alone"
    )]
    Address {
        /// The text.
        address: String,
        /// The resolver's message.
        reason: String,
    },
    /// The socket or a thread could not be had.
    #[error(transparent)]
    Start(#[from] StartError),
}
