//! Canaries: requests that are sent to an idle endpoint to see whether it still answers.
//!
//! ```text
//! good requests of clients within the wait time  the endpoint is ready, no canary is sent
//! otherwise a canary: answered in time           ready
//!                     an error, a panic, late    not ready, until the next good one
//! ```
//!
//! As in Dynamo, canaries are off until [`HealthChecks::enabled`], and count as requests in the endpoint's metrics.
//! Each endpoint has one thread for them, and **one canary at a time**: a canary that hangs holds this thread alone. A
//! probe compares the age of the canary in flight with its timeout, so `/health` never waits for a canary.

use super::config::{HealthChecks, HealthStatus};
use dynamo_metrics_exporter::__private::catch_panic;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

const THREAD_NAME: &str = "health-canary"; // Linux cuts names at 15 bytes.

/// The answer to a canary: an error where it is no good one.
type Answer = Result<(), String>;

/// The requests that an endpoint has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) finished: u64,
    pub(crate) errors: u64,
}

impl Traffic {
    /// Returns whether more requests ended than failed since `seen`.
    fn has_good_requests_since(self, seen: Self) -> bool {
        self.finished.wrapping_sub(seen.finished) > self.errors.wrapping_sub(seen.errors)
    }
}

/// Starts the canaries of an endpoint on a thread of their own. Returns them with the answers to follow, which there are
/// none of where canaries are off.
pub(crate) fn start(
    checks: HealthChecks,
    endpoint: &str,
    traffic: impl Fn() -> Traffic + Send + 'static,
    send: impl Fn() -> Answer + Send + 'static,
) -> io::Result<(Canary, Option<Arc<Answers>>)> {
    let answers = Arc::new(Answers { checks, state: Mutex::default(), stop: Condvar::new() });
    let canary = Canary { answers: Arc::clone(&answers) };
    if !checks.enabled {
        return Ok((canary, None));
    }
    let (thread, endpoint) = (Arc::clone(&answers), endpoint.to_string());
    thread::Builder::new()
        .name(THREAD_NAME.into())
        .spawn(move || thread.run(&endpoint, &traffic, &send))?;
    Ok((canary, Some(answers)))
}

/// The canary requests of one endpoint. Dropping it stops them, without a wait for the one in flight; the endpoint keeps
/// its status.
#[derive(Debug)]
#[must_use = "no canary is sent when this is dropped"]
pub struct Canary {
    answers: Arc<Answers>,
}

#[cfg(test)]
impl Canary {
    /// Sets the status as after a good answer.
    pub(crate) fn set_ready(&self) {
        self.answers.state.lock().ready = true;
    }

    pub(crate) fn has_thread(&self) -> bool {
        Arc::strong_count(&self.answers) > 1
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let mut state = self.answers.state.lock();
        state.ready = self.answers.is_ready(&state);
        state.sent = None;
        state.stopped = true;
        drop(state);
        self.answers.stop.notify_one();
    }
}

/// The answers to the canaries of one endpoint.
#[derive(Debug)]
pub(crate) struct Answers {
    checks: HealthChecks,
    state: Mutex<State>,
    stop: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: bool,
    /// The instant at which the canary in flight was sent.
    sent: Option<Instant>,
    stopped: bool,
}

impl Answers {
    /// Returns the present status, without a wait for a canary.
    pub(crate) fn status(&self) -> HealthStatus {
        let ready = self.is_ready(&self.state.lock());
        if ready { HealthStatus::Ready } else { HealthStatus::NotReady }
    }

    fn is_ready(&self, state: &State) -> bool {
        state.ready && state.sent.is_none_or(|sent| sent.elapsed() <= self.checks.request_timeout)
    }

    /// The thread's function: sends canaries until it is stopped.
    fn run(&self, endpoint: &str, traffic: &dyn Fn() -> Traffic, send: &dyn Fn() -> Answer) {
        let mut seen: Option<Traffic> = None;
        loop {
            let now = traffic();
            let is_served = seen.is_some_and(|seen| now.has_good_requests_since(seen));
            if !self.set(is_served.then_some(true), (!is_served).then(Instant::now)) {
                return;
            }
            if !is_served && !self.set(Some(self.is_answered(endpoint, send)), None) {
                return;
            }
            // Read again, so that the canary itself does not count as traffic that makes the next one superfluous.
            seen = Some(traffic());
            let wait = Instant::now() + self.checks.wait_time;
            let mut state = self.state.lock();
            self.stop.wait_while_until(&mut state, |state| !state.stopped, wait);
        }
    }

    /// Sends a canary; returns whether its answer was good and in time.
    fn is_answered(&self, endpoint: &str, send: &dyn Fn() -> Answer) -> bool {
        let start = Instant::now();
        let answer = catch_panic(send).unwrap_or_else(|panic| Err(format!("it panicked: {panic}")));
        let late = start.elapsed() > self.checks.request_timeout;
        match &answer {
            Err(error) => tracing::warn!(endpoint, error, "a canary failed"),
            Ok(()) if late => tracing::warn!(endpoint, "a canary was answered late"),
            Ok(()) => {}
        }
        answer.is_ok() && !late
    }

    /// Sets the status and the canary in flight; returns `false` after the stop.
    fn set(&self, ready: Option<bool>, sent: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        if !state.stopped {
            state.ready = ready.unwrap_or(state.ready);
            state.sent = sent;
        }
        !state.stopped
    }
}
