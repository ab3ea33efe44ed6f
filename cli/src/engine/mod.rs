//! A simulated LLM engine: what a GPU worker does to time and memory, without the GPU.
//!
//! ```text
//! model         how fast: slots, prefill, decode, cache size; the words of an answer
//! prompt        a prompt as a chain of block hashes
//! block_table   which blocks are in memory, who uses them, which goes first
//! kv_cache      who is admitted, and what a new prompt can reuse
//! batch         one worker in virtual time: queue, slots, steps of continuous batching
//! router        which worker takes a request
//! virtual_time  a whole fleet replaying a trace, event by event, as fast as the machine allows
//! real_time     one engine on tokio, for `serve` and `worker`
//! token_stream  its answer to one request, as it comes
//! ```
//!
//! Both engines share the model and the cache. They differ in what time costs: in virtual time
//! every step of every batch is simulated, so prefill slows decoding down as it does on a GPU; in
//! real time each sequence follows its own clock, so an idle engine costs nothing and a busy one
//! only wakes the stream whose token is due.
//!
//! Nothing here knows of metrics: figures leave through [`virtual_time::Observer`],
//! [`kv_cache::KvStats`] and the stream of chunks.

mod batch;
mod block_table;
pub(crate) mod kv_cache;
pub(crate) mod model;
pub(crate) mod prompt;
pub(crate) mod real_time;
mod router;
pub(crate) mod token_stream;
pub(crate) mod virtual_time;
