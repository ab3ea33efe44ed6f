//! Service discovery: the registered workers as targets of a scraper, in the form of Prometheus' `http_sd_config` and
//! `file_sd_config`.
//!
//! ```text
//! [{"targets": ["10.0.0.7:8081"],
//!   "labels": {"namespace": "dynamo", "component": "backend", "model": "Qwen/Qwen3-0.6B", "instance": "10.0.0.7:8081",
//!              "__meta_dynamo_worker_id": "7"}}]
//! ```
//!
//! A worker's number is a label for relabelling alone: it is another one after each restart, and would make every series of
//! the worker a new one. So is the list of the models of a worker that has several.

use crate::failure::Failure;
use crate::http::client::Client;
use crate::protocol::Register;
use hyper::{Method, Uri};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The path of the list on a frontend.
pub(crate) const SD_PATH: &str = "/sd";

/// Targets of a scraper that share their labels; here always one.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct TargetGroup {
    /// Addresses, as `host:port`.
    pub targets: Vec<String>,
    /// Labels of the targets; those that begin with `__` are gone after relabelling.
    pub labels: BTreeMap<String, String>,
}

impl TargetGroup {
    /// Returns the target of a worker; `None` for a worker without a system port, or with an address that is none.
    pub(crate) fn of(worker: &Register) -> Option<Self> {
        let url: Uri = worker.system_url.as_deref()?.parse().ok()?;
        let address = url.authority()?.as_str();
        let mut labels = BTreeMap::new();
        let mut label = |name: &str, value: String| labels.insert(name.to_string(), value);
        label("namespace", worker.namespace.clone());
        label("component", worker.component.clone());
        label("instance", address.into());
        label("__meta_dynamo_worker_id", worker.instance_id.to_string());
        match &*worker.models {
            [model] => label("model", model.clone()),
            // Prometheus' own form of a list in a label.
            several => label("__meta_dynamo_models", format!(",{},", several.join(","))),
        };
        if url.scheme_str() == Some("https") {
            label("__scheme__", "https".into());
        }
        let below = url.path().trim_end_matches('/');
        if !below.is_empty() {
            label("__metrics_path__", format!("{below}/metrics"));
        }
        Some(Self { targets: vec![address.into()], labels })
    }

    /// Puts `host` in the place of an address that is every address of a machine, which no scraper can use.
    pub(crate) fn at(&self, host: Option<&str>) -> Self {
        let mut group = self.clone();
        let Some(host) = host else { return group };
        for target in &mut group.targets {
            let Some((unspecified, port)) = target.rsplit_once(':') else { continue };
            let ip = unspecified.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            if ip.is_ok_and(|ip| ip.is_unspecified()) {
                *target = format!("{host}:{port}");
                group.labels.insert("instance".into(), target.clone());
            }
        }
        group
    }
}

/// Asks a frontend, `http://HOST:PORT`, for its workers' targets. An empty token is none.
///
/// # Errors
/// The frontend cannot be reached or refuses, or its answer is not a list of targets.
pub async fn targets(frontend: &str, token: Option<&str>) -> Result<Vec<TargetGroup>, Failure> {
    let client = Client::with_token(token)
        .map_err(|error| format!("the worker token cannot be sent in a header: {error}"))?;
    let url = format!("{frontend}{SD_PATH}");
    let body = client.send::<()>(Method::GET, &url, None).await?;
    Ok(serde_json::from_slice(&body)
        .map_err(|error| format!("the answer of {url} is not a list of targets: {error}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(system_url: Option<&str>, models: &[&str]) -> Option<TargetGroup> {
        TargetGroup::of(&Register {
            instance_id: 7,
            url: "http://10.0.0.7:9000".into(),
            system_url: system_url.map(Into::into),
            namespace: "ns".into(),
            component: "backend".into(),
            endpoint: "generate".into(),
            models: models.iter().map(|&model| model.into()).collect(),
            context_length: 1,
            kv_cache_block_size: 1,
            migration_limit: 0,
            total_kv_blocks: None,
            max_num_seqs: None,
            max_num_batched_tokens: None,
            stats: Default::default(),
        })
    }

    #[test]
    fn a_target_has_the_labels_of_its_worker() {
        assert_eq!(target(None, &["m"]), None, "a worker without a system port");
        let group = target(Some("http://10.0.0.7:8081"), &["m"]).unwrap();
        let label = |group: &TargetGroup, name: &str| group.labels.get(name).cloned();
        assert_eq!(group.targets, ["10.0.0.7:8081"]);
        assert_eq!(
            serde_json::to_value(&group.labels).unwrap(),
            serde_json::json!({"namespace": "ns", "component": "backend", "model": "m",
                "instance": "10.0.0.7:8081", "__meta_dynamo_worker_id": "7"})
        );
        let group = target(Some("https://proxy/worker-7/"), &["a", "b"]).unwrap();
        assert_eq!(group.targets, ["proxy"]);
        assert_eq!(label(&group, "__scheme__").as_deref(), Some("https"));
        assert_eq!(label(&group, "__metrics_path__").as_deref(), Some("/worker-7/metrics"));
        assert_eq!(label(&group, "__meta_dynamo_models").as_deref(), Some(",a,b,"));
        assert_eq!(label(&group, "model"), None);
    }

    #[test]
    fn every_address_becomes_the_host_that_the_scraper_asked() {
        for url in ["http://0.0.0.0:8081", "http://[::]:8081"] {
            let group = target(Some(url), &["m"]).unwrap();
            assert_eq!(group.at(Some("node-1")).targets, ["node-1:8081"]);
            assert_eq!(group.at(Some("node-1")).labels["instance"], "node-1:8081");
            assert_eq!(group.at(None), group);
        }
        let group = target(Some("http://10.0.0.7:8081"), &["m"]).unwrap();
        assert_eq!(group.at(Some("node-1")), group);
    }
}
