//! The health of a worker process, and the answer of its system server to probes.

use super::canary::Answers;
use super::{HealthStatus, ProbeAnswer};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The health of a worker process: its own status and those of its endpoints.
///
/// The process is ready by the first rule that applies: where a list of endpoints was given at the start, all of them must
/// be ready; where endpoints have health checks, all of those; otherwise its own status counts, which is `notready` until
/// it is set.
///
/// ```
/// use dynamo_metrics::{HealthStatus, SystemHealth};
/// use std::time::Duration;
///
/// let health = SystemHealth::new(HealthStatus::NotReady, vec!["generate".into()]);
/// assert_eq!(health.answer(Duration::ZERO).status, 503);
/// health.set_endpoint("generate", HealthStatus::Ready);
/// let answer = health.answer(Duration::new(25, 517));
/// assert_eq!(answer.status, 200);
/// assert_eq!(
///     answer.body,
///     r#"{"status":"ready","uptime":{"secs":25,"nanos":517},"endpoints":{"generate":"ready"}}"#
/// );
/// ```
#[derive(Debug)]
pub struct SystemHealth {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    system: HealthStatus,
    endpoints: BTreeMap<String, HealthStatus>,
    /// From the environment. Where it is not empty, no other endpoint counts.
    listed: Vec<String>,
    /// Endpoints with a health check.
    checked: Vec<String>,
    /// Endpoints with canaries, whose answers are their status.
    canaries: Vec<(String, Arc<Answers>)>,
}

impl SystemHealth {
    /// Creates health with the status `starting` for the process and for each of the `listed` endpoints.
    pub fn new(starting: HealthStatus, listed: Vec<String>) -> Self {
        let endpoints = listed.iter().map(|name| (name.clone(), starting)).collect();
        let state = State {
            system: starting,
            endpoints,
            listed,
            checked: Vec::new(),
            canaries: Vec::new(),
        };
        Self { state: Mutex::new(state) }
    }

    /// Sets the status of the process itself.
    pub fn set_system(&self, status: HealthStatus) {
        self.state.lock().system = status;
    }

    /// Sets the status of an endpoint, by its original name. [`serve`](crate::Endpoint::serve) sets it ready.
    pub fn set_endpoint(&self, name: &str, status: HealthStatus) {
        self.state.lock().endpoints.insert(name.into(), status);
    }

    /// Returns the status of an endpoint, if it has one.
    pub fn endpoint(&self, name: &str) -> Option<HealthStatus> {
        let mut state = self.state.lock();
        state.listen();
        state.endpoints.get(name).copied()
    }

    /// Declares a health check of the endpoint: from now on the process is ready only while the endpoint is. It is not
    /// ready until [`set_endpoint`](Self::set_endpoint) sets it ready.
    pub fn add_health_check(&self, name: &str) {
        let mut state = self.state.lock();
        if !state.checked.iter().any(|known| known == name) {
            state.checked.push(name.into());
            state.endpoints.insert(name.into(), HealthStatus::NotReady);
        }
    }

    /// Takes the endpoint's status from the answers to its canaries from now on.
    pub(crate) fn follow(&self, name: &str, answers: Arc<Answers>) {
        self.add_health_check(name);
        let mut state = self.state.lock();
        state.canaries.retain(|(known, _)| known != name);
        state.canaries.push((name.into(), answers));
    }

    /// Returns whether the process is ready, by the rules of the type.
    pub fn status(&self) -> HealthStatus {
        let mut state = self.state.lock();
        state.listen();
        state.status()
    }

    /// Returns the answer of the system server to `/health` and `/live`.
    pub fn answer(&self, uptime: Duration) -> ProbeAnswer {
        let mut state = self.state.lock();
        state.listen();
        let status = state.status();
        let endpoints: Vec<String> = state
            .endpoints
            .iter()
            .map(|(name, status)| format!("{}:\"{}\"", Value::from(name.as_str()), status.as_str()))
            .collect();
        drop(state);
        // Written by hand, because some probes depend on the order of the keys.
        let body = format!(
            r#"{{"status":"{}","uptime":{{"secs":{},"nanos":{}}},"endpoints":{{{}}}}}"#,
            status.as_str(),
            uptime.as_secs(),
            uptime.subsec_nanos(),
            endpoints.join(","),
        );
        ProbeAnswer {
            status: if status == HealthStatus::Ready { 200 } else { 503 },
            content_type: "text/plain; charset=utf-8",
            body,
        }
    }
}

impl State {
    /// Takes over the statuses of canaries. Read at each probe, so that a canary that hangs is noticed without a thread
    /// that watches it.
    fn listen(&mut self) {
        for (name, answers) in &self.canaries {
            self.endpoints.insert(name.clone(), answers.status());
        }
    }

    fn status(&self) -> HealthStatus {
        let all_ready = |names: &[String]| {
            names.iter().all(|name| self.endpoints.get(name) == Some(&HealthStatus::Ready))
        };
        match (&self.listed, &self.checked) {
            (listed, _) if !listed.is_empty() && all_ready(listed) => HealthStatus::Ready,
            (listed, _) if !listed.is_empty() => HealthStatus::NotReady,
            (_, checked) if !checked.is_empty() && all_ready(checked) => HealthStatus::Ready,
            (_, checked) if !checked.is_empty() => HealthStatus::NotReady,
            _ => self.system,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthStatus::{NotReady, Ready};
    use serde_json::json;

    #[test]
    fn without_health_checks_the_process_status_counts() {
        let health = SystemHealth::new(NotReady, Vec::new());
        health.set_endpoint("generate", Ready);
        assert_eq!(health.status(), NotReady, "as a 0.9.0 worker with default settings");
        health.set_system(Ready);
        assert_eq!(health.answer(Duration::ZERO).status, 200);
        assert_eq!(SystemHealth::new(Ready, Vec::new()).status(), Ready);
    }

    #[test]
    fn the_list_comes_before_checks_and_checks_before_the_process() {
        let health = SystemHealth::new(Ready, Vec::new());
        health.add_health_check("generate");
        assert_eq!(health.status(), NotReady);
        health.set_endpoint("generate", Ready);
        health.add_health_check("generate");
        assert_eq!(health.status(), Ready);

        let health = SystemHealth::new(NotReady, vec!["generate".into(), "no-such".into()]);
        health.add_health_check("other");
        health.set_system(Ready);
        health.set_endpoint("generate", Ready);
        assert_eq!(health.status(), NotReady, "one of the list never came");
        health.set_endpoint("no-such", Ready);
        assert_eq!(health.status(), Ready);
    }

    #[test]
    fn the_answer_is_valid_json_with_any_names() {
        let health = SystemHealth::new(NotReady, Vec::new());
        health.set_endpoint("gen.erate", Ready);
        health.set_endpoint("a\"b\\\n", NotReady);
        let answer = health.answer(Duration::from_millis(1500));
        assert_eq!((answer.status, answer.content_type), (503, "text/plain; charset=utf-8"));
        let parsed: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(parsed["endpoints"]["gen.erate"], "ready");
        assert_eq!(parsed["endpoints"]["a\"b\\\n"], "notready");
        assert_eq!(parsed["uptime"], json!({"secs": 1, "nanos": 500_000_000}));
    }
}
