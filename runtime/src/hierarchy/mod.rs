//! `DistributedRuntime > Namespace > Component > Endpoint`: the level of a metric sets its automatic labels.
//!
//! Each level is a scope of one registry and adds one automatic label; a scrape of a level shows its metrics and those of
//! all levels below. **Each name is one level**: two requests for it return the same metrics, so nothing is registered
//! twice. Two names with the same label value, as `py-worker` and `py_worker`, are one level and share their series.
//!
//! ```text
//! DistributedRuntime  (no label)                dynamo_component_uptime_seconds
//! └ Namespace         + dynamo_namespace
//!   └ Component       + dynamo_component        kvstats, engines
//!     └ Endpoint      + dynamo_endpoint         the work handler's metrics
//! ```

mod kv_page;
mod levels;
mod runtime;

pub use levels::{Component, Endpoint, Namespace};
pub use runtime::{DistributedRuntime, RuntimeOptions};
