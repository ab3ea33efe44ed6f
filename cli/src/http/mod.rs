//! HTTP for the commands: a client for JSON and for answers that come line by line, and ports of our own.
//!
//! ```text
//! listener   accept, places, hyper, shutdown      limits     every bound, its reason and its name
//! table      who gives way                        guard      ambiguous requests, bodies
//! stalls     clients that take nothing            telemetry  the counters
//! ```

pub(crate) mod client;
pub(crate) mod guard;
pub(crate) mod limits;
pub(crate) mod listener;
mod stalls;
mod table;
pub(crate) mod telemetry;
