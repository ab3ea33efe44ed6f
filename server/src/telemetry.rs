//! The server's metrics about itself: plain counters that the program reads when it wants.
//!
//! All accesses are `Relaxed`: each counter stands alone, nothing is published through one, and a
//! reader that sees one counter a moment earlier than another draws no wrong conclusion from it.
//! The server does not expose them itself, since it knows no metric by name.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;

use crate::reason::Limit;

/// Counters of one server (or of several that share it).
///
/// All of them count from the creation of this value and wrap at 2^64. Reading one costs a load.
/// Give one to [`ServerBuilder::telemetry`](crate::ServerBuilder::telemetry) to have it before the
/// server runs, for example inside the exposition; otherwise
/// [`RunningServer::telemetry`](crate::RunningServer::telemetry) returns the server's own.
///
/// ```
/// use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, ServerTelemetry};
/// use dynamo_metrics_server::bytes::BytesMut;
/// use std::sync::Arc;
///
/// let telemetry = Arc::new(ServerTelemetry::default());
/// let seen = Arc::clone(&telemetry);
/// let server = Server::builder()
///     .telemetry(Arc::clone(&telemetry))
///     .exposition(move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
///         body.extend_from_slice(format!("gathers_total {}\n", seen.gathers()).as_bytes());
///         Ok(ContentType::TEXT_0_0_4)
///     })
///     .spawn()?;
/// assert_eq!(telemetry.connections_accepted(), 0);
/// # drop(server);
/// # Ok::<(), dynamo_metrics_server::StartError>(())
/// ```
#[derive(Debug, Default)]
pub struct ServerTelemetry {
    connections_accepted: AtomicU64,
    connections_open: AtomicU64,
    limit_hits: LimitHits,
    responses: [AtomicU64; 5],
    batches: AtomicU64,
    gathers: AtomicU64,
    gather_errors: AtomicU64,
    gather_panics: AtomicU64,
    gather_ns: AtomicU64,
    scrapes_shared: AtomicU64,
    buffers_allocated: AtomicU64,
    compressions: AtomicU64,
    compression_ns: AtomicU64,
    compression_bytes_in: AtomicU64,
    compression_bytes_out: AtomicU64,
    health_panics: AtomicU64,
    password_checks: AtomicU64,
    config_reloads: AtomicU64,
    config_reload_errors: AtomicU64,
    config_is_stale: AtomicBool,
}

#[derive(Debug)]
struct LimitHits([AtomicU64; Limit::ALL.len()]);

impl Default for LimitHits {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default())) // std derives it up to 32 only.
    }
}

impl ServerTelemetry {
    /// Connections accepted, those that were closed at the cap included.
    #[must_use]
    pub fn connections_accepted(&self) -> u64 {
        self.connections_accepted.load(Relaxed)
    }

    /// Connections that hold a slot now: a gauge, at most
    /// [`Limits::connections`](crate::Limits::connections).
    #[must_use]
    pub fn connections_open(&self) -> u64 {
        self.connections_open.load(Relaxed)
    }

    /// The number of times that a limit was hit.
    #[must_use]
    pub fn limit_hits(&self, limit: Limit) -> u64 {
        self.limit_hits.0[limit as usize].load(Relaxed)
    }

    /// Responses by class, 1 to 5 for 1xx to 5xx; 0 for any other class. Heads that were rejected
    /// before they became a request (400, 414, 431) count as 4xx.
    #[must_use]
    pub fn responses(&self, class: u16) -> u64 {
        match class {
            1..=5 => self.responses[usize::from(class) - 1].load(Relaxed),
            _ => 0,
        }
    }

    /// Collections: all scrapes that wait at one time share one, whatever they ask for.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }

    /// Pages written, or not written because of an error: one for each variant of a batch.
    #[must_use]
    pub fn gathers(&self) -> u64 {
        self.gathers.load(Relaxed)
    }

    /// Pages that the exposition failed to write. Scrapes that it refuses are no failure;
    /// [`Limit::ScrapeRefused`] counts them.
    #[must_use]
    pub fn gather_errors(&self) -> u64 {
        self.gather_errors.load(Relaxed)
    }

    /// Pages at which the exposition panicked.
    #[must_use]
    pub fn gather_panics(&self) -> u64 {
        self.gather_panics.load(Relaxed)
    }

    /// Time spent in the exposition, collecting and writing (nanosecond resolution; 584 years fit).
    #[must_use]
    pub fn gather_time(&self) -> Duration {
        Duration::from_nanos(self.gather_ns.load(Relaxed))
    }

    /// Scrapes that were answered with the page of another scrape.
    #[must_use]
    pub fn scrapes_shared(&self) -> u64 {
        self.scrapes_shared.load(Relaxed)
    }

    /// Body buffers that were created. In steady state it stands still: bodies reuse memory.
    #[must_use]
    pub fn buffers_allocated(&self) -> u64 {
        self.buffers_allocated.load(Relaxed)
    }

    /// Bodies that were compressed, each once for all scrapes that shared it.
    #[must_use]
    pub fn compressions(&self) -> u64 {
        self.compressions.load(Relaxed)
    }

    /// Time spent in all compressions (nanosecond resolution; 584 years fit).
    #[must_use]
    pub fn compression_time(&self) -> Duration {
        Duration::from_nanos(self.compression_ns.load(Relaxed))
    }

    /// Bytes of all bodies before and after their compression.
    #[must_use]
    pub fn compression_bytes(&self) -> (u64, u64) {
        (self.compression_bytes_in.load(Relaxed), self.compression_bytes_out.load(Relaxed))
    }

    /// Calls of [`Health`](crate::Health) that panicked.
    #[must_use]
    pub fn health_panics(&self) -> u64 {
        self.health_panics.load(Relaxed)
    }

    /// bcrypt computations; credentials that were right before cost none.
    #[must_use]
    pub fn password_checks(&self) -> u64 {
        self.password_checks.load(Relaxed)
    }

    /// The number of times that a changed web configuration was taken.
    #[must_use]
    pub fn config_reloads(&self) -> u64 {
        self.config_reloads.load(Relaxed)
    }

    /// The number of times that a changed web configuration was invalid; the log has the reason, and the old
    /// configuration stays in force.
    #[must_use]
    pub fn config_reload_errors(&self) -> u64 {
        self.config_reload_errors.load(Relaxed)
    }

    /// Returns whether the web configuration in force is that of its files, as last looked at.
    #[must_use]
    pub fn config_is_current(&self) -> bool {
        !self.config_is_stale.load(Relaxed)
    }

    #[cfg(feature = "auth")]
    pub(crate) fn password_checked(&self) {
        self.password_checks.fetch_add(1, Relaxed);
    }

    #[cfg(feature = "auth")]
    pub(crate) fn config_reloaded(&self, taken: bool) {
        let count = if taken { &self.config_reloads } else { &self.config_reload_errors };
        count.fetch_add(1, Relaxed);
        self.config_is_stale.store(!taken, Relaxed);
    }

    /// Forgets the configuration of a server that ended: the next one with this telemetry has read its own.
    #[cfg(feature = "auth")]
    pub(crate) fn config_unwatched(&self) {
        self.config_is_stale.store(false, Relaxed);
    }

    pub(crate) fn connection_accepted(&self) {
        self.connections_accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_opened(&self) {
        self.connections_open.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_closed(&self) {
        self.connections_open.fetch_sub(1, Relaxed);
    }

    pub(crate) fn limit_hit(&self, limit: Limit) {
        self.limit_hits.0[limit as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn response(&self, status: StatusCode) {
        // `StatusCode` allows 100..=999; a class beyond 5 does not exist and is not counted.
        if let Some(count) = self.responses.get(usize::from(status.as_u16() / 100) - 1) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn batch(&self) {
        self.batches.fetch_add(1, Relaxed);
    }

    pub(crate) fn gather(&self, duration: Duration, waiters: usize) {
        self.gathers.fetch_add(1, Relaxed);
        self.gather_ns.fetch_add(saturated_ns(duration), Relaxed);
        self.scrapes_shared.fetch_add(waiters.saturating_sub(1) as u64, Relaxed);
    }

    pub(crate) fn compressed(&self, duration: Duration, before: usize, after: usize) {
        self.compressions.fetch_add(1, Relaxed);
        self.compression_ns.fetch_add(saturated_ns(duration), Relaxed);
        self.compression_bytes_in.fetch_add(before as u64, Relaxed);
        self.compression_bytes_out.fetch_add(after as u64, Relaxed);
    }

    pub(crate) fn gather_failed(&self, panicked: bool) {
        let count = if panicked { &self.gather_panics } else { &self.gather_errors };
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn buffer_allocated(&self) {
        self.buffers_allocated.fetch_add(1, Relaxed);
    }

    pub(crate) fn health_panic(&self) {
        self.health_panics.fetch_add(1, Relaxed);
    }
}

fn saturated_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_by_class_and_odd_codes_by_none() {
        let telemetry = ServerTelemetry::default();
        for code in [200, 204, 404, 503, 999] {
            telemetry.response(StatusCode::from_u16(code).expect("three digits"));
        }
        let by_class: Vec<u64> = (0..=9).map(|class| telemetry.responses(class)).collect();
        assert_eq!(by_class, [0, 0, 2, 0, 1, 1, 0, 0, 0, 0]);
    }
}
