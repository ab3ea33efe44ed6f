//! The answers to probes of the two servers: plain values, no HTTP.
//!
//! The two roles differ, as they do in Dynamo 0.9.0. A worker's **system server** has one answer for `/health`
//! and `/live`: 200 or 503, JSON text of the content type `text/plain`. The **frontend** answers `healthy` with 200
//! whether or not there is a worker, and `live` until it shuts down.

mod canary;
mod config;
mod frontend;
mod system;

pub use canary::Canary;
pub(crate) use canary::{Traffic, start as start_canary};
pub use config::{HealthChecks, HealthStatus};
pub use frontend::{FrontendHealth, Instance, Transport};
pub use system::SystemHealth;

/// An answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeAnswer {
    /// The HTTP status: 200 or 503.
    pub status: u16,
    /// The value of the header `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}
