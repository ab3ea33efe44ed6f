//! A simulated LLM-serving stack that moves all of Dynamo's metrics: the parts behind the commands of `dynamo-metrics`.
//!
//! ```text
//! local      a frontend and a worker in one process, which talk over loopback HTTP
//! frontend   an OpenAI-compatible HTTP frontend over a fleet of workers
//! worker     a component with a simulated engine, and its place in a frontend's fleet
//! replay     a trace through the same metrics, by a virtual clock
//! discovery  registered workers as targets of scrapers
//! protocol   messages between a frontend and its workers
//! engine     a simulated LLM engine: slots, prefill, decoding, a KV cache with prefix reuse
//! trace      real request traces, read into one shape
//! http       an HTTP client and server under deadlines and limits
//! json       objects that are read from JSON objects alone
//! ```
//!
//! A module uses those below it, never those above. The crate serves the command line program and its tests; it is not
//! published, and its interface changes with the program.

#![forbid(unsafe_code)]

pub mod discovery;
pub mod engine;
mod failure;
pub mod frontend;
pub mod http;
mod json;
pub mod local;
mod process;
mod protocol;
pub mod replay;
pub mod trace;
pub mod worker;

pub use failure::Failure;
pub use process::process_metrics;
pub use protocol::{DRAIN_MAX, STATS_PERIOD};
