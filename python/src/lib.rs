//! `dynamo_metrics._native`: the Rust crate `dynamo-metrics` as Python classes.
//!
//! Each class is a shared handle of the crate, frozen, so that any thread may use it and a recording takes no lock. A recording is
//! one method call; conveniences that need none of this (timers, decorators) are Python files beside the extension. Errors of
//! the crate become `ValueError`, wrong types `TypeError`, and each names its metric.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use pyo3::prelude::*;
use pyo3::types::PyTuple;

mod beside;
mod bridge;
mod canary;
mod command;
mod errors;
mod family;
mod fork;
mod frontend;
mod hierarchy;
mod kinds;
mod metrics;
mod router;
mod server;
mod swap;
mod worker;

// An interpreter without its lock turns it on at the import: a fork must not come while a thread holds a lock of a registry, and
// `fork.rs` knows only of threads that run without the interpreter lock.
#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    let families = PyTuple::new(module.py(), beside::worker_families())?;
    module.add("DYNAMO_WORKER_FAMILIES", families)?;
    module.add_class::<hierarchy::DistributedRuntime>()?;
    module.add_class::<hierarchy::Namespace>()?;
    module.add_class::<hierarchy::Component>()?;
    module.add_class::<hierarchy::Endpoint>()?;
    module.add_class::<metrics::Metrics>()?;
    module.add_class::<kinds::Counter>()?;
    module.add_class::<kinds::IntCounter>()?;
    module.add_class::<kinds::Gauge>()?;
    module.add_class::<kinds::IntGauge>()?;
    module.add_class::<kinds::Histogram>()?;
    module.add_class::<family::CounterVec>()?;
    module.add_class::<family::IntCounterVec>()?;
    module.add_class::<family::GaugeVec>()?;
    module.add_class::<family::IntGaugeVec>()?;
    module.add_class::<family::HistogramVec>()?;
    module.add_class::<server::SystemServer>()?;
    module.add_class::<worker::WorkHandler>()?;
    module.add_class::<worker::WorkRequest>()?;
    module.add_class::<worker::KvStats>()?;
    module.add_class::<canary::Canary>()?;
    module.add_class::<router::KvRouter>()?;
    module.add_class::<frontend::Frontend>()?;
    module.add_class::<frontend::Request>()?;
    swap::add_to(module)?;
    module.add_class::<bridge::Answers>()?;
    module.add_function(wrap_pyfunction!(fork::_forked, module)?)?;
    module.add_function(wrap_pyfunction!(command::_command, module)?)?;
    Ok(())
}
