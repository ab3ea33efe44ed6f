//! The program as its users run it, over its command line and its ports.

mod check;
mod common;
mod discovery;
mod effects;
mod engine;
mod engines;
mod fleet;
mod logs;
mod native;
mod openai;
#[cfg(feature = "otlp")]
mod otlp;
mod port;
mod prometheus;
mod replay;
mod scale;
mod serve;
mod web;
