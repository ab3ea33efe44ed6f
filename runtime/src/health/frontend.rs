//! The health of a frontend process: the instances that it knows, and whether it shuts down.

use super::ProbeAnswer;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;

/// The way to reach an instance.
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

/// A worker instance in the frontend's `/health`.
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
    /// The way to reach it.
    pub transport: Transport,
}

/// The health of a frontend process: the instances that it knows, and whether it shuts down.
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
    /// The instances, by endpoint and number.
    instances: BTreeMap<(String, u64), Instance>,
    shutting_down: bool,
}

impl FrontendHealth {
    /// Creates the health of a frontend without instances.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an instance, or replaces the one of the same number and endpoint.
    pub fn add(&self, instance: Instance) {
        let key = (instance.path(), instance.instance_id);
        self.state.lock().instances.insert(key, instance);
    }

    /// Removes an instance with all its endpoints; returns whether there was one.
    pub fn remove(&self, instance_id: u64) -> bool {
        let mut state = self.state.lock();
        let before = state.instances.len();
        state.instances.retain(|key, _| key.1 != instance_id);
        state.instances.len() < before
    }

    /// Lets `/live` answer 503 from now on.
    pub fn shut_down(&self) {
        self.state.lock().shutting_down = true;
    }

    /// Returns whether [`shut_down`](Self::shut_down) was called.
    pub fn is_shutting_down(&self) -> bool {
        self.state.lock().shutting_down
    }

    /// Returns the answer to `/health`: always 200, also without a single instance.
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

    /// Returns the answer to `/live`: 200 until the frontend shuts down, then 503.
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
    use serde_json::Value;

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
        assert_eq!(health.health().status, 200, "only `/live` tells of the shutdown");
        assert_eq!(health.live().status, 503);
    }
}
