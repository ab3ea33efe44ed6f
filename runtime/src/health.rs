//! What the two servers answer to probes: plain values, no HTTP.
//!
//! The two roles differ, as they do in Dynamo 0.9.0. A worker's **system server** has one answer for `/health`
//! and `/live`: 200 or 503, JSON text of the content type `text/plain`. The **frontend** says `healthy` with 200
//! whether or not a worker is there, and `live` until it shuts down.

use crate::canary::Answers;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Whether a worker or one of its endpoints takes requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HealthStatus {
    /// It does.
    Ready,
    /// It does not, or not yet.
    #[default]
    NotReady,
}

impl HealthStatus {
    /// `ready` or `notready`, as probes and the environment spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "notready",
        }
    }
}

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

/// Health of a worker process: of itself and of its endpoints.
///
/// The rule, first match wins: where a list of endpoints was given at the start, all of them must be ready;
/// where endpoints have health checks, all of those; otherwise the process's own status counts, which is
/// `notready` until somebody sets it.
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
    /// From the environment: nobody else has a say when it is not empty.
    listed: Vec<String>,
    /// Endpoints with a health check.
    checked: Vec<String>,
    /// Those that are sent canaries, which say how they are.
    canaries: Vec<(String, Arc<Answers>)>,
}

impl SystemHealth {
    /// Health that starts with `starting`, for the process and for each of the `listed` endpoints.
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

    /// The status of an endpoint, if it is known.
    pub fn endpoint(&self, name: &str) -> Option<HealthStatus> {
        let mut state = self.state.lock();
        state.listen();
        state.endpoints.get(name).copied()
    }

    /// Declares that somebody checks the endpoint's health by sending it requests: from now on the process is
    /// ready only while the endpoint is. It is not ready until [`set_endpoint`](Self::set_endpoint) says so.
    pub fn add_health_check(&self, name: &str) {
        let mut state = self.state.lock();
        if !state.checked.iter().any(|known| known == name) {
            state.checked.push(name.into());
            state.endpoints.insert(name.into(), HealthStatus::NotReady);
        }
    }

    /// From now on what its canaries' answers say is the endpoint's status.
    pub(crate) fn follow(&self, name: &str, answers: Arc<Answers>) {
        self.add_health_check(name);
        let mut state = self.state.lock();
        state.canaries.retain(|(known, _)| known != name);
        state.canaries.push((name.into(), answers));
    }

    /// Whether the process is ready, by the rule of the type.
    pub fn status(&self) -> HealthStatus {
        let mut state = self.state.lock();
        state.listen();
        state.status()
    }

    /// What the system server answers to `/health` and to `/live`.
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
        // Written by hand, because the order of the keys is part of what probes have seen so far.
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
    /// Takes over what canaries say. Asked for and not told, so that one that hangs is noticed without a thread
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

/// How the frontend reaches an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// An address of the TCP request plane.
    Tcp(String),
    /// A URL of the HTTP request plane.
    Http(String),
    /// A NATS subject.
    Nats(String),
}

/// One worker instance as the frontend's `/health` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The namespace's original name.
    pub namespace: String,
    /// The component's original name.
    pub component: String,
    /// The endpoint's original name.
    pub endpoint: String,
    /// Number of the instance, unique in the fleet.
    pub instance_id: u64,
    /// How it is reached.
    pub transport: Transport,
}

/// Health of a frontend process: which instances it knows, and whether it is shutting down.
///
/// ```
/// use dynamo_metrics::FrontendHealth;
///
/// let health = FrontendHealth::new();
/// assert_eq!(health.health().body, r#"{"status":"healthy","endpoints":[],"instances":[]}"#);
/// assert_eq!(health.live().status, 200);
/// health.shut_down();
/// assert!(health.is_shutting_down());
/// assert_eq!(health.live().status, 503);
/// ```
#[derive(Debug, Default)]
pub struct FrontendHealth {
    state: Mutex<FrontendState>,
}

#[derive(Debug, Default)]
struct FrontendState {
    /// One for each number and endpoint.
    instances: BTreeMap<(String, u64), Instance>,
    shutting_down: bool,
}

impl FrontendHealth {
    /// A frontend that knows nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lists an instance, in place of an earlier one of the same number and endpoint.
    pub fn add(&self, instance: Instance) {
        let key = (instance.path(), instance.instance_id);
        self.state.lock().instances.insert(key, instance);
    }

    /// Forgets an instance with all its endpoints; says whether it was there.
    pub fn remove(&self, instance_id: u64) -> bool {
        let mut state = self.state.lock();
        let before = state.instances.len();
        state.instances.retain(|key, _| key.1 != instance_id);
        state.instances.len() < before
    }

    /// From now on `/live` answers 503.
    pub fn shut_down(&self) {
        self.state.lock().shutting_down = true;
    }

    /// Whether it does.
    pub fn is_shutting_down(&self) -> bool {
        self.state.lock().shutting_down
    }

    /// What the frontend answers to `/health`: always 200, also without a single instance.
    pub fn health(&self) -> ProbeAnswer {
        let state = self.state.lock();
        let mut endpoints: Vec<String> =
            state.instances.keys().map(|(path, _)| json!(path).to_string()).collect();
        endpoints.dedup();
        let instances: Vec<String> = state.instances.values().map(Instance::json).collect();
        drop(state);
        json_answer(
            200,
            format!(
                r#"{{"status":"healthy","endpoints":[{}],"instances":[{}]}}"#,
                endpoints.join(","),
                instances.join(",")
            ),
        )
    }

    /// Returns the answer to a readiness probe, `/health?ready`: 200 while an instance is registered, 503 when none is or the
    /// frontend shuts down. The list of instances is that of [`health`](Self::health), whose status is always `healthy`, as in
    /// Dynamo 0.9.0.
    ///
    /// ```
    /// use dynamo_metrics::FrontendHealth;
    ///
    /// let health = FrontendHealth::new();
    /// assert_eq!((health.health().status, health.readiness().status), (200, 503));
    /// ```
    pub fn readiness(&self) -> ProbeAnswer {
        let (ready, shutting_down) = {
            let state = self.state.lock();
            (!state.instances.is_empty() && !state.shutting_down, state.shutting_down)
        };
        let mut answer = self.health();
        if !ready {
            let status = if shutting_down { "shutting_down" } else { "notready" };
            answer.status = 503;
            answer.body = answer.body.replacen("healthy", status, 1);
        }
        answer
    }

    /// What the frontend answers to `/live`: 200 until it shuts down.
    pub fn live(&self) -> ProbeAnswer {
        if self.state.lock().shutting_down {
            let body = r#"{"message":"Service is shutting down","status":"shutting_down"}"#;
            json_answer(503, body.into())
        } else {
            json_answer(200, r#"{"status":"live","message":"Service is live"}"#.into())
        }
    }
}

impl Instance {
    fn path(&self) -> String {
        format!("dyn://{}.{}.{}", self.namespace, self.component, self.endpoint)
    }

    fn json(&self) -> String {
        let transport = match &self.transport {
            Transport::Tcp(address) => json!({ "tcp": address }),
            Transport::Http(url) => json!({ "http": url }),
            Transport::Nats(subject) => json!({ "nats_tcp": subject }),
        };
        format!(
            r#"{{"component":{},"endpoint":{},"namespace":{},"instance_id":{},"transport":{}}}"#,
            json!(self.component),
            json!(self.endpoint),
            json!(self.namespace),
            self.instance_id,
            transport,
        )
    }
}

fn json_answer(status: u16, body: String) -> ProbeAnswer {
    ProbeAnswer { status, content_type: "application/json", body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthStatus::{NotReady, Ready};

    #[test]
    fn without_a_say_of_endpoints_the_process_status_counts() {
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
    fn the_answer_is_json_whatever_the_names() {
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

    #[test]
    fn the_frontend_lists_each_endpoint_once() {
        let health = FrontendHealth::new();
        let instance = |instance_id| Instance {
            namespace: "dynamo".into(),
            component: "backend".into(),
            endpoint: "generate".into(),
            instance_id,
            transport: Transport::Tcp("10.0.0.1:4000".into()),
        };
        health.add(instance(7));
        health.add(instance(9));
        health.add(instance(9));
        let parsed: Value = serde_json::from_str(&health.health().body).unwrap();
        assert_eq!(parsed["endpoints"], json!(["dyn://dynamo.backend.generate"]));
        assert_eq!(parsed["instances"].as_array().unwrap().len(), 2);
        assert_eq!(parsed["instances"][0]["transport"], json!({"tcp": "10.0.0.1:4000"}));
        assert!(health.remove(7) && health.remove(9) && !health.remove(9));
        assert_eq!(health.health().body, r#"{"status":"healthy","endpoints":[],"instances":[]}"#);
        health.shut_down();
        assert_eq!(health.health().status, 200, "health stays, life goes");
        assert_eq!(health.live().status, 503);
    }
}
