//! Canary requests to an endpoint.

use super::work_handler::WorkHandlerMetrics;
use crate::health::{Canary, start_canary};
use crate::hierarchy::Endpoint;
use std::io;

impl Endpoint {
    /// Sends canary requests to the endpoint while it is idle, and lets `/health` depend on their answers. `send` sends
    /// one, waits for its answer, and returns an error where the answer is not a good one. `work` has the endpoint's
    /// requests: good ones of clients make a canary superfluous.
    ///
    /// The first canary is sent at once, and the endpoint is not ready before its answer. Does nothing where
    /// health checks are off. `send` may block and panic; a runtime that it holds lives until the canary ends.
    ///
    /// A second canary of one endpoint takes the place of the first one: `/health` follows its answers alone. The first sends
    /// requests until it is dropped.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, HealthChecks, RuntimeOptions};
    /// use std::time::{Duration, Instant};
    ///
    /// let health_checks = HealthChecks { enabled: true, ..HealthChecks::default() };
    /// let runtime = DistributedRuntime::with_options(RuntimeOptions { health_checks, ..RuntimeOptions::default() })?;
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
    /// A thread could not be started.
    pub fn canary(
        &self,
        work: &WorkHandlerMetrics,
        send: impl Fn() -> Result<(), String> + Send + 'static,
    ) -> io::Result<Canary> {
        let (checks, work) = (self.runtime().health_checks(), work.clone());
        let (canary, answers) = start_canary(checks, self.name(), move || work.traffic(), send)?;
        if let Some(answers) = answers {
            self.runtime().health().follow(self.name(), answers);
        }
        Ok(canary)
    }
}

#[cfg(test)]
mod tests {
    use super::super::work_handler::ErrorType;
    use super::*;
    use crate::clock::Timestamp;
    use crate::health::{HealthChecks, HealthStatus};
    use crate::hierarchy::{DistributedRuntime, RuntimeOptions};
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;
    use std::time::{Duration, Instant};

    const SOON: Duration = Duration::from_secs(20);

    fn served(checks: HealthChecks) -> (Endpoint, WorkHandlerMetrics) {
        let options = RuntimeOptions { health_checks: checks, ..RuntimeOptions::default() };
        let runtime = DistributedRuntime::with_options(options).unwrap();
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

    /// A canary whose answers the test sends; the receiver gets a message for each canary.
    type Answer = Result<(), String>;
    fn answered_by_test() -> (Sender<Answer>, impl Fn() -> Answer, Receiver<()>) {
        let (say, hear) = channel::<Answer>();
        let (sent, sends) = channel();
        let send = move || {
            let _ = sent.send(());
            hear.recv().unwrap_or(Err("the test is over".into()))
        };
        (say, send, sends)
    }

    #[test]
    fn an_endpoint_has_the_status_of_its_last_canary() {
        let (endpoint, work) = served(quick());
        let (say, send, sends) = answered_by_test();
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
        let (_say, send, _sends) = answered_by_test();
        let canary = endpoint.canary(&work, send).unwrap();
        // The state after a canary that was answered.
        canary.set_ready();
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
        let (say, send, sends) = answered_by_test();
        let request = |error: Option<ErrorType>| {
            let request = work.begin(1, Timestamp::default());
            error.into_iter().for_each(|error| request.error(error));
            request.finish(Timestamp::default());
        };
        let _canary = endpoint.canary(&work, send).unwrap();
        say.send(Ok(())).unwrap();
        eventually(&endpoint, 200);
        sends.recv_timeout(SOON).unwrap();
        // Another canary is in flight; its answer is bad, and then all requests are bad.
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
        let canary = endpoint.canary(&work, || panic!("it is never sent")).unwrap();
        assert!(!canary.has_thread());
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
            assert!(Instant::now() < deadline, "the thread does not end");
            thread::yield_now();
        }
        assert_eq!(endpoint.runtime().health_answer().status, 200, "the status stays");
    }
}
