//! HTTP for the commands: a client for JSON and for answers that come line by line, and a listener.
//!
//! ```text
//! listener   accept, places, hyper, shutdown      limits     every limit, its reason and its name
//! table      open connections, eviction           guard      ambiguous requests, bodies
//! stalls     clients that read nothing            telemetry  the counters
//! ```

pub(crate) mod client;
pub(crate) mod guard;
pub(crate) mod limits;
pub mod listener;
mod stalls;
mod table;
pub(crate) mod telemetry;
