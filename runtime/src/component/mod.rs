//! The metrics of components and endpoints: the work handler, KV caches, routers, specialized scopes, and canaries.

mod canary;
mod kv_stats;
mod router;
mod specialized;
mod work_handler;
mod workers;

pub use kv_stats::{KvStats, KvStatsMetrics};
pub use router::{KvRouter, WORKERS_MAX};
pub use specialized::{PreprocessorMetrics, SpecializedScope};
pub use work_handler::{ErrorType, WorkHandlerMetrics, WorkRequest};
