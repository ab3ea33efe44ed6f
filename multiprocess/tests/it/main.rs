//! Processes that share a directory: this program, started again.

mod child;
mod forks;
mod gauges;
mod kills;
mod merge;
mod page;
mod takeover;
