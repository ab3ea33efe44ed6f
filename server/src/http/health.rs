//! The answers to `/health` and `/live`, which the program gives.
//!
//! Both are asked for on the network thread, for every probe anew. They must therefore come from values at hand (an
//! atomic, a short lock): code that blocks here blocks every connection.

use bytes::Bytes;
use http::StatusCode;

use crate::scrape::fence::{Panicked, fenced};
use crate::telemetry::ServerTelemetry;

/// The state of a program, for its orchestrator.
///
/// Both methods run on the network thread and must not block; a panic in one is answered 500 with a
/// fixed text, and the server lives on. They are called for `GET` and `HEAD`.
///
/// ```
/// use dynamo_metrics_server::{Health, HealthAnswer};
/// use dynamo_metrics_server::http::StatusCode;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// struct Worker {
///     ready: AtomicBool,
/// }
///
/// impl Health for Worker {
///     fn health(&self) -> HealthAnswer {
///         // Relaxed: the flag is the whole message.
///         match self.ready.load(Ordering::Relaxed) {
///             true => HealthAnswer::json(StatusCode::OK, r#"{"status":"ready"}"#),
///             false => HealthAnswer::json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"notready"}"#),
///         }
///     }
///     fn live(&self) -> HealthAnswer {
///         HealthAnswer::json(StatusCode::OK, r#"{"status":"live"}"#)
///     }
/// }
///
/// let worker = Worker { ready: AtomicBool::new(false) };
/// assert_eq!(worker.health().status, 503);
/// assert_eq!(worker.live().status, 200);
/// ```
pub trait Health: Send + Sync + 'static {
    /// Returns whether the program can take requests now; asked for at the health path.
    fn health(&self) -> HealthAnswer;

    /// Returns whether the program should be left running; asked for at the liveness path.
    fn live(&self) -> HealthAnswer;
}

/// The answer to a probe.
///
/// ```
/// use dynamo_metrics_server::HealthAnswer;
/// use dynamo_metrics_server::http::StatusCode;
///
/// let answer = HealthAnswer::text(StatusCode::OK, "ready");
/// assert_eq!(answer.content_type, "text/plain; charset=utf-8");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthAnswer {
    /// The status: 200 for yes, 503 for no.
    pub status: StatusCode,
    /// The media type (RFC 9110 section 8.3). One that is not a valid header value is sent as
    /// `text/plain; charset=utf-8`.
    pub content_type: &'static str,
    /// The body, sent as it is.
    pub body: Bytes,
}

impl HealthAnswer {
    /// An answer of type `application/json`; the body is not checked.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: "application/json", body: body.into() }
    }

    /// An answer of type `text/plain; charset=utf-8`.
    #[must_use]
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// Stands in when the program gives no [`Health`]: a server that answers is alive.
pub(crate) struct Unmonitored;

impl Health for Unmonitored {
    fn health(&self) -> HealthAnswer {
        HealthAnswer::json(StatusCode::OK, r#"{"status":"healthy"}"#)
    }

    fn live(&self) -> HealthAnswer {
        HealthAnswer::json(StatusCode::OK, r#"{"status":"live"}"#)
    }
}

/// The two kinds of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    Health,
    Live,
}

/// Calls the program's [`Health`]; a panic is answered 500 and leaves the network thread alive.
pub(crate) fn probe(
    health: &dyn Health,
    probe: Probe,
    telemetry: &ServerTelemetry,
) -> HealthAnswer {
    let asked = fenced(|| match probe {
        Probe::Health => health.health(),
        Probe::Live => health.live(),
    });
    asked.unwrap_or_else(|Panicked| {
        telemetry.health_panic();
        tracing::error!(?probe, "the health probe panicked; answered 500");
        HealthAnswer::text(StatusCode::INTERNAL_SERVER_ERROR, "Health probe failed")
    })
}
