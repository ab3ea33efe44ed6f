//! Canaries: requests that nobody needs, sent to an endpoint that has been idle to see whether it still answers.
//!
//! ```text
//! good requests of others within the wait time   the endpoint is ready, no canary is sent
//! otherwise a canary: answered in time           ready
//!                     an error, a panic, late    not ready, until the next good one
//! ```
//!
//! As in Dynamo, canaries are off until [`HealthChecks::enabled`], and count as the requests that they are.
//! Each endpoint has one thread for them, and **one canary at a time**: where it hangs, it hangs alone. Nobody
//! watches it; a probe that asks looks how long it has been out, so `/health` costs what it always does.

use crate::component::WorkHandlerMetrics;
use crate::fence::fenced;
use crate::health::HealthStatus;
use crate::hierarchy::Endpoint;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const THREAD_NAME: &str = "health-canary"; // Linux cuts names at 15 bytes.

/// Whether and how often endpoints are sent canaries.
///
/// ```
/// use dynamo_metrics::HealthChecks;
/// use std::time::Duration;
///
/// let checks = HealthChecks { enabled: true, ..HealthChecks::default() };
/// assert_eq!((checks.wait_time, checks.request_timeout), (Duration::from_secs(10), Duration::from_secs(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthChecks {
    /// `DYN_HEALTH_CHECK_ENABLED`.
    pub enabled: bool,
    /// `DYN_CANARY_WAIT_TIME`: how long after the last good request a canary is sent.
    pub wait_time: Duration,
    /// `DYN_HEALTH_CHECK_REQUEST_TIMEOUT`: how long it may take.
    pub request_timeout: Duration,
}

impl Default for HealthChecks {
    fn default() -> Self {
        Self {
            enabled: false,
            wait_time: Duration::from_secs(10),
            request_timeout: Duration::from_secs(3),
        }
    }
}

impl Endpoint {
    /// Lets `/health` depend on whether the endpoint answers: `send` sends it a request and returns when it is
    /// answered, with an error where the answer is none. `work` is the endpoint's own, which tells whether
    /// requests of others have made a canary superfluous.
    ///
    /// The first canary is sent at once, and the endpoint is not ready before its answer. Does nothing where
    /// health checks are off. `send` may block and panic; if it holds the runtime, that lives until the canary
    /// ends.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, HealthChecks, RuntimeOptions};
    /// use std::time::{Duration, Instant};
    ///
    /// let health_checks = HealthChecks { enabled: true, ..HealthChecks::default() };
    /// let runtime = DistributedRuntime::with(RuntimeOptions { health_checks, ..RuntimeOptions::default() })?;
    /// let endpoint = runtime.namespace("ns")?.component("backend")?.endpoint("generate")?;
    /// let work = endpoint.serve(&[])?;
    /// let _canary = endpoint.canary(&work, || Ok(()))?;
    /// let start = Instant::now();
    /// while runtime.health_answer().status != 200 && start.elapsed() < Duration::from_secs(20) {}
    /// assert_eq!(runtime.health_answer().status, 200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn canary(
        &self,
        work: &WorkHandlerMetrics,
        send: impl Fn() -> Result<(), String> + Send + 'static,
    ) -> io::Result<Canary> {
        let checks = self.runtime().health_checks();
        let answers = Arc::new(Answers { checks, state: Mutex::default(), stop: Condvar::new() });
        let canary = Canary { answers: Arc::clone(&answers) };
        if !checks.enabled {
            return Ok(canary);
        }
        let (name, work) = (self.name().to_string(), work.clone());
        let thread = Arc::clone(&answers);
        thread::Builder::new()
            .name(THREAD_NAME.into())
            .spawn(move || thread.run(&name, &work, &send))?;
        self.runtime().health().follow(self.name(), answers);
        Ok(canary)
    }
}

/// An endpoint's canaries. None is sent any more when this is dropped; one that is out is not waited for, and the
/// endpoint's status stays what it is.
#[derive(Debug)]
#[must_use = "no canary is sent when this is dropped"]
pub struct Canary {
    answers: Arc<Answers>,
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

/// What the canaries of one endpoint were answered.
#[derive(Debug)]
pub(crate) struct Answers {
    checks: HealthChecks,
    state: Mutex<State>,
    stop: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: bool,
    /// When the canary that is out was sent.
    sent: Option<Instant>,
    stopped: bool,
}

impl Answers {
    /// Now. A few instructions, whatever the canary does.
    pub(crate) fn status(&self) -> HealthStatus {
        let ready = self.is_ready(&self.state.lock());
        if ready { HealthStatus::Ready } else { HealthStatus::NotReady }
    }

    fn is_ready(&self, state: &State) -> bool {
        state.ready && state.sent.is_none_or(|sent| sent.elapsed() <= self.checks.request_timeout)
    }

    /// The thread.
    fn run(
        &self,
        endpoint: &str,
        work: &WorkHandlerMetrics,
        send: &dyn Fn() -> Result<(), String>,
    ) {
        let mut seen = None;
        loop {
            let now = work.finished_and_errors();
            // More requests ended than failed: somebody had an answer.
            let traffic = seen.is_some_and(|(finished, errors): (u64, u64)| {
                now.0.wrapping_sub(finished) > now.1.wrapping_sub(errors)
            });
            if !self.set(traffic.then_some(true), (!traffic).then(Instant::now)) {
                return;
            }
            if !traffic {
                let start = Instant::now();
                let answer =
                    fenced(send).unwrap_or_else(|panic| Err(format!("it panicked: {panic}")));
                let late = start.elapsed() > self.checks.request_timeout;
                match &answer {
                    Err(error) => tracing::warn!(endpoint, error, "a canary was not answered well"),
                    Ok(()) if late => tracing::warn!(endpoint, "a canary was answered late"),
                    Ok(()) => {}
                }
                if !self.set(Some(answer.is_ok() && !late), None) {
                    return;
                }
            }
            // The canary's own request is not the traffic that makes the next superfluous.
            seen = Some(work.finished_and_errors());
            let wait = Instant::now() + self.checks.wait_time;
            let mut state = self.state.lock();
            self.stop.wait_while_until(&mut state, |state| !state.stopped, wait);
        }
    }

    /// Notes an answer, and what is out; `false` when it is over.
    fn set(&self, ready: Option<bool>, sent: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        if !state.stopped {
            state.ready = ready.unwrap_or(state.ready);
            state.sent = sent;
        }
        !state.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::{DistributedRuntime, RuntimeOptions};
    use crate::{ErrorType, Timestamp};
    use std::sync::mpsc::{Receiver, Sender, channel};

    const SOON: Duration = Duration::from_secs(20);

    fn served(checks: HealthChecks) -> (Endpoint, WorkHandlerMetrics) {
        let options = RuntimeOptions { health_checks: checks, ..RuntimeOptions::default() };
        let runtime = DistributedRuntime::with(options).unwrap();
        let component = runtime.namespace("ns").unwrap().component("backend").unwrap();
        let endpoint = component.endpoint("generate").unwrap();
        let work = endpoint.serve(&[]).unwrap();
        (endpoint, work)
    }

    fn quick() -> HealthChecks {
        let wait_time = Duration::from_millis(1);
        HealthChecks { enabled: true, wait_time, request_timeout: SOON }
    }

    fn eventually(endpoint: &Endpoint, status: u16) {
        let deadline = Instant::now() + SOON;
        while endpoint.runtime().health_answer().status != status {
            assert!(Instant::now() < deadline, "never {status}");
            thread::yield_now();
        }
    }

    /// A canary that is answered what the test says, when it says so.
    type Word = Result<(), String>;
    fn told() -> (Sender<Word>, impl Fn() -> Word, Receiver<()>) {
        let (say, hear) = channel::<Word>();
        let (sent, sends) = channel();
        let send = move || {
            let _ = sent.send(());
            hear.recv().unwrap_or(Err("the test is over".into()))
        };
        (say, send, sends)
    }

    #[test]
    fn an_endpoint_is_what_its_last_canary_says() {
        let (endpoint, work) = served(quick());
        let (say, send, sends) = told();
        let _canary = endpoint.canary(&work, send).unwrap();
        assert_eq!(endpoint.runtime().health_answer().status, 503, "no answer yet");
        say.send(Ok(())).unwrap();
        eventually(&endpoint, 200);
        say.send(Err("no".into())).unwrap();
        eventually(&endpoint, 503);
        assert_eq!(endpoint.runtime().health().endpoint("generate"), Some(HealthStatus::NotReady));
        say.send(Ok(())).unwrap();
        eventually(&endpoint, 200);
        assert!(sends.try_iter().count() >= 3);
    }

    #[test]
    fn a_canary_that_hangs_or_panics_makes_its_endpoint_not_ready() {
        let checks = HealthChecks { request_timeout: Duration::from_millis(20), ..quick() };
        let (endpoint, work) = served(checks);
        let (_say, send, _sends) = told();
        let canary = endpoint.canary(&work, send).unwrap();
        // As if the one before had been answered.
        canary.answers.state.lock().ready = true;
        eventually(&endpoint, 503);
        let start = Instant::now();
        (0..1000).for_each(|_| assert_eq!(endpoint.runtime().health_answer().status, 503));
        assert!(start.elapsed() < SOON);
        drop(canary);

        let (endpoint, work) = served(quick());
        let (sent, sends) = channel();
        let panics = move || {
            let _ = sent.send(());
            panic!("on purpose")
        };
        let _canary = endpoint.canary(&work, panics).unwrap();
        for _ in 0..3 {
            sends.recv_timeout(SOON).unwrap();
            assert_eq!(endpoint.runtime().health_answer().status, 503);
        }
    }

    #[test]
    fn good_requests_make_canaries_superfluous_and_bad_ones_do_not() {
        let (endpoint, work) = served(quick());
        let (say, send, sends) = told();
        let request = |error: Option<ErrorType>| {
            let request = work.begin(1, Timestamp::default());
            error.into_iter().for_each(|error| request.error(error));
            request.finish(Timestamp::default());
        };
        let _canary = endpoint.canary(&work, send).unwrap();
        say.send(Ok(())).unwrap();
        eventually(&endpoint, 200);
        sends.recv_timeout(SOON).unwrap();
        // One is out again; its answer is bad, and then nothing but bad requests come.
        sends.recv_timeout(SOON).unwrap();
        request(Some(ErrorType::Generate));
        say.send(Err("no".into())).unwrap();
        sends.recv_timeout(SOON).unwrap();
        assert_eq!(endpoint.runtime().health_answer().status, 503);
        // While good requests come, the endpoint is ready without an answer to a canary.
        say.send(Err("no".into())).unwrap();
        let deadline = Instant::now() + SOON;
        while endpoint.runtime().health_answer().status != 200 {
            assert!(Instant::now() < deadline);
            request(None);
            let _ = say.send(Err("no".into()));
        }
    }

    #[test]
    fn nothing_is_sent_when_checks_are_off_or_the_canary_is_dropped() {
        let (endpoint, work) = served(HealthChecks::default());
        let canary = endpoint.canary(&work, || panic!("nobody sends this")).unwrap();
        assert_eq!(Arc::strong_count(&canary.answers), 1, "no thread");
        endpoint.runtime().health().set_system(HealthStatus::Ready);
        assert_eq!(endpoint.runtime().health_answer().status, 200);

        let (endpoint, work) = served(quick());
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let canary = endpoint.canary(&work, move || {
            let _held = &held;
            Ok(())
        });
        eventually(&endpoint, 200);
        drop(canary);
        let deadline = Instant::now() + SOON;
        while Arc::strong_count(&alive) > 1 {
            assert!(Instant::now() < deadline, "the thread goes on");
            thread::yield_now();
        }
        assert_eq!(endpoint.runtime().health_answer().status, 200, "what it was");
    }
}
