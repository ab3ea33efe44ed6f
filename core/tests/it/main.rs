//! The core from outside. Suites that need a process of their own, and the models for loom, are beside this folder.

mod exemplars;
mod flood;
mod native;
mod numbers;
mod one_page;
mod panics;
mod registry;
mod snapshot;
mod summary;
mod sums;
mod types;
mod utf8_names;
