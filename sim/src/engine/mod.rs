//! A simulated LLM engine: what a GPU worker does to time and memory, without the GPU.
//!
//! ```text
//! model         how fast: slots, prefill, decode, cache size; the words of an answer
//! prompt        a prompt as a chain of block hashes
//! block_table   which blocks are in memory, who uses them, which goes first
//! kv_cache      who is admitted, and what a new prompt can reuse
//! sequences     the requests that have a slot: steps of prefill and decode
//! batch         one engine: queue, slots, continuous batching; has no clock
//! observer      the events of requests
//! router        which worker takes a request
//! virtual_time  its virtual clock: a whole fleet replaying a trace, event by event, as fast as the machine allows
//! keeper        its wall clock: sleeps until a step ends, and hands tokens out
//! real_time     one engine by that clock, on tokio, for `serve` and `worker`
//! token_stream  its answer to one request, as it comes
//! ```
//!
//! There is one engine, `batch`, and two clocks that drive it: a replay jumps from event to event, a worker sleeps until
//! the step under way ends. So prefill slows decoding down in both, as it does on a GPU, and an idle engine costs nothing.
//!
//! Nothing here knows of metrics: figures leave through `observer::Observer`,
//! `kv_cache::KvStats` and the stream of chunks.

mod batch;
mod block_table;
mod keeper;
pub(crate) mod kv_cache;
pub(crate) mod model;
pub(crate) mod observer;
pub(crate) mod prompt;
pub(crate) mod real_time;
mod router;
mod sequences;
pub(crate) mod token_stream;
pub(crate) mod virtual_time;

pub use model::{ConfigError, EngineConfig};
