//! The program `dynamo-metrics`, which the wheel brings.

use pyo3::prelude::*;
use std::ffi::OsString;

/// Runs the program with these arguments, its name first, and returns its exit code. Other threads of Python run meanwhile.
///
/// SIGINT must have its default action: the handler of Python would only note the signal. While a server runs, the program
/// handles SIGINT and SIGTERM itself.
#[pyfunction]
pub(crate) fn _command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| dynamo_metrics_cli::run(arguments))
}
