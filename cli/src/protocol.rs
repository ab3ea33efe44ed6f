//! What a frontend and its workers say to each other, as JSON over HTTP.
//!
//! ```text
//! worker -> frontend   POST   /internal/workers          Register       joins, and renews itself with the same
//!                      POST   /internal/workers/ID/stats Stats          every STATS_PERIOD, its sign of life
//!                      DELETE /internal/workers/ID                      leaves
//! frontend -> worker   POST   /generate                  Generate       answered by one Frame a line; or by 429
//!                                                                       when it is full, 503 when its engine is dead
//! ```

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often a worker tells its figures.
pub(crate) const STATS_PERIOD: Duration = Duration::from_millis(250);
/// A worker that said nothing for so long is taken for dead: a dozen missed figures.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How long a worker that was asked to stop goes on with the answers that it has begun, after it left. With what a
/// farewell takes this stays below the 30 seconds that Kubernetes gives a process.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(25);
/// Where workers register.
pub(crate) const WORKERS_PATH: &str = "/internal/workers";
/// Where a worker takes requests.
pub(crate) const GENERATE_PATH: &str = "/generate";

/// A worker's registration: its card and its runtime configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Register {
    pub(crate) instance_id: u64,
    /// `http://host:port` of the worker.
    pub(crate) url: String,
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
    /// What the answer is about, so that another worker can go on with it.
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
