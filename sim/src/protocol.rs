//! The messages between a frontend and its workers, as JSON over HTTP.
//!
//! ```text
//! worker -> frontend   POST   /internal/workers          Register       joins, and renews itself with the same
//!                      POST   /internal/workers/ID/stats Stats          every STATS_PERIOD, its sign of life
//!                      DELETE /internal/workers/ID                      leaves
//! frontend -> worker   POST   /generate                  Generate       answered by one Frame a line; or by 429
//!                                                                       when it is full, 503 when its engine is dead
//! ```

use crate::http::address;
use dynamo_metrics::MODEL_NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Time between two reports of a worker's figures.
pub const STATS_PERIOD: Duration = Duration::from_millis(250);
/// Time without a report after which a worker is taken for dead: a dozen missed reports.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Longest time that a worker which was asked to stop goes on with the answers that it has begun, after it left. Together with
/// the time of a deregistration this is below the 30 seconds that Kubernetes gives a process.
pub const DRAIN_MAX: Duration = Duration::from_secs(25);
/// Models of one worker. Each is a series in every family with the label `model`; real workers serve one or two.
pub(crate) const WORKER_MODELS_MAX: usize = 32;
/// Longest name of a registration, in bytes: the limit of an operator's label value, so that none is cut.
pub(crate) const NAME_BYTES_MAX: usize = MODEL_NAME_BYTES_MAX;
/// Bytes of a worker's URL: the longest host name, and room.
pub(crate) const URL_BYTES_MAX: usize = 512;
/// The path of registrations.
pub(crate) const WORKERS_PATH: &str = "/internal/workers";
/// The path of a worker's requests.
pub(crate) const GENERATE_PATH: &str = "/generate";

/// A worker's registration: its card and its runtime configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Register {
    pub(crate) instance_id: u64,
    /// `http://host:port` of the worker.
    pub(crate) url: String,
    /// `http://host:port` or `https://host:port` of its system port, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) system_url: Option<String>,
    pub(crate) namespace: String,
    pub(crate) component: String,
    pub(crate) endpoint: String,
    pub(crate) models: Vec<String>,
    pub(crate) context_length: u64,
    pub(crate) kv_cache_block_size: u64,
    pub(crate) migration_limit: u64,
    pub(crate) total_kv_blocks: Option<u64>,
    pub(crate) max_num_seqs: Option<u64>,
    pub(crate) max_num_batched_tokens: Option<u64>,
    pub(crate) stats: Stats,
}

impl Register {
    /// Checks a registration, which comes over the network; the error is the reason of a refusal.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.models.is_empty() || self.models.len() > WORKER_MODELS_MAX {
            let models = self.models.len();
            return Err(format!("a worker serves 1 to {WORKER_MODELS_MAX} models, not {models}"));
        }
        let names = [&self.namespace, &self.component, &self.endpoint];
        if names.into_iter().chain(&self.models).any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(format!(
                "a name of a namespace, component, endpoint or model has at most {NAME_BYTES_MAX} bytes"
            ));
        }
        if !is_plain(&self.url, &["http"]) {
            return Err(format!("url is http://host:port, of at most {URL_BYTES_MAX} bytes"));
        }
        if self.system_url.as_deref().is_some_and(|url| !is_plain(url, &["http", "https"])) {
            return Err(format!(
                "system_url is http://host:port or https://host:port, of at most {URL_BYTES_MAX} bytes"
            ));
        }
        Ok(())
    }
}

fn is_plain(url: &str, schemes: &[&str]) -> bool {
    url.len() <= URL_BYTES_MAX && address::parse(url, schemes).is_ok()
}

/// A worker's figures.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Stats {
    pub(crate) active_blocks: u64,
    pub(crate) total_blocks: u64,
    pub(crate) usage: f64,
    pub(crate) hit_rate: f64,
}

impl From<crate::engine::kv_cache::KvStats> for Stats {
    fn from(stats: crate::engine::kv_cache::KvStats) -> Self {
        Self {
            active_blocks: stats.active_blocks,
            total_blocks: stats.total_blocks,
            usage: stats.usage,
            hit_rate: stats.hit_rate,
        }
    }
}

impl From<Stats> for dynamo_metrics::KvStats {
    fn from(stats: Stats) -> Self {
        Self {
            active_blocks: stats.active_blocks,
            total_blocks: stats.total_blocks,
            gpu_cache_usage: stats.usage,
            gpu_prefix_cache_hit_rate: stats.hit_rate,
        }
    }
}

/// A request to a worker.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Generate {
    pub(crate) model: String,
    /// Hashes of the prompt's whole blocks.
    pub(crate) blocks: Vec<u64>,
    pub(crate) input_tokens: u64,
    pub(crate) max_tokens: u64,
    /// The seed of the answer, so that another worker can go on with it.
    #[serde(default)]
    pub(crate) seed: u64,
    /// Tokens of the answer that another worker gave; `input_tokens` has them too.
    #[serde(default)]
    pub(crate) answered_tokens: u64,
}

/// One line of a worker's answer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Frame {
    pub(crate) tokens: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cached_tokens: Option<u64>,
    /// The answer is complete. An answer that ends without such a frame broke.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) last: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_bounded() {
        let good = Register {
            instance_id: 1,
            url: "http://127.0.0.1:9000".into(),
            system_url: Some("https://127.0.0.1:9001".into()),
            namespace: "ns".into(),
            component: "backend".into(),
            endpoint: "generate".into(),
            models: vec!["m".into(); WORKER_MODELS_MAX],
            context_length: 1,
            kv_cache_block_size: 1,
            migration_limit: 1,
            total_kv_blocks: None,
            max_num_seqs: None,
            max_num_batched_tokens: None,
            stats: Stats::default(),
        };
        assert_eq!(good.check(), Ok(()));
        let with = |change: &dyn Fn(&mut Register)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.check().unwrap_err()
        };
        assert!(with(&|bad| bad.models.push("one more".into())).contains("32 models, not 33"));
        assert!(with(&|bad| bad.models.clear()).contains("not 0"));
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        assert!(with(&|bad| bad.models[3].clone_from(&long)).contains("4096 bytes"));
        assert!(with(&|bad| bad.endpoint.clone_from(&long)).contains("4096 bytes"));
        for url in [
            "",
            "ftp://a",
            "http://u:p@a:1",
            "/a",
            "http://a:99999",
            "http://a:1/?q",
            &long.repeat(2),
        ] {
            assert!(with(&|bad| bad.url = url.into()).contains("http://host:port"), "{url}");
            let error = with(&|bad| bad.system_url = Some(url.into()));
            assert!(error.starts_with("system_url is http://host:port or https"), "{url}: {error}");
        }
    }
}
