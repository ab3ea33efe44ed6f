//! The two parsers of Python's `prometheus_client`, and the words that they share.

mod family;
pub(super) mod openmetrics;
mod points;
mod sample;
pub(super) mod text;
mod words;
