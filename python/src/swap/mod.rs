//! The native half of `dynamo_metrics.prometheus`: the recording, the values and the text of its metrics.
//!
//! Each class here is the base of a Python class of `dynamo_metrics/prometheus/metrics.py`, which has the constructor, the names
//! and everything rare. Thus the object that a program holds records by a native method. A metric with label names and its series
//! are objects of one class, as in `prometheus_client`; only the series have cells.

use pyo3::prelude::*;

pub(crate) use processes::{EMPTY_DIRECTORY, rejoin};

mod cells;
mod kinds;
mod labelled;
mod number;
mod processes;
mod text;

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<labelled::Labelled>()?;
    module.add_class::<kinds::SwapCounter>()?;
    module.add_class::<kinds::SwapGauge>()?;
    module.add_class::<kinds::SwapHistogram>()?;
    module.add_class::<kinds::SwapSummary>()?;
    module.add_class::<cells::Bounds>()?;
    module.add_function(wrap_pyfunction!(number::go_string, module)?)?;
    module.add_function(wrap_pyfunction!(processes::_share, module)?)?;
    module.add_function(wrap_pyfunction!(processes::_shared_directory, module)?)?;
    module.add_function(wrap_pyfunction!(processes::_shared_families, module)?)?;
    module.add_function(wrap_pyfunction!(processes::_shared_text, module)?)?;
    Ok(())
}
