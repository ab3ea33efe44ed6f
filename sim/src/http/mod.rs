//! HTTP for the commands: a client for JSON and for answers that come line by line, and a listener.
//!
//! ```text
//! listener   accept, places, hyper, shutdown      limits     every limit, its reason and its name
//! table      open connections, eviction           heads      heads that cannot be read, ambiguous lengths
//! stalls     clients that read nothing            chunks     ends of chunked bodies
//! telemetry  the counters                         guard      hosts, bodies
//! ```

pub mod address;
mod chunks;
pub(crate) mod client;
pub(crate) mod guard;
mod heads;
pub(crate) mod limits;
pub mod listener;
mod stalls;
mod table;
pub(crate) mod telemetry;
