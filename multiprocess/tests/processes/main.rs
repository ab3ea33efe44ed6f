//! Processes that share a directory: this program, started again. It joins directories of its own only (`pipes`).

mod child;
#[path = "../it/directory.rs"]
mod directory;
mod forks;
mod gauges;
mod kills;
mod pipes;
