//! HTTP for the commands: a client for JSON and for answers that come line by line, and a listener.

pub(crate) mod client;
pub(crate) mod listener;
