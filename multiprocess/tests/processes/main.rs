//! Processes that share a directory: this program, started again. It joins no directory itself.

mod child;
#[path = "../it/directory.rs"]
mod directory;
mod forks;
mod gauges;
mod kills;
