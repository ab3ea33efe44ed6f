//! Canary requests to an idle endpoint: a callback of Python that sends one and waits for its answer.

use crate::bridge;
use crate::errors::value_error;
use crate::fork::Running;
use dynamo_metrics as native;
use native::{Endpoint, HealthChecks, WorkHandlerMetrics};
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest wait time and timeout, a day.
const SECONDS_MAX: f64 = 86_400.0;

/// The canary requests of one endpoint; they end when it is closed, dropped, or at the end of its `with` block.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct Canary {
    /// Locked only with the interpreter lock, so a fork never comes while it is locked.
    canary: Mutex<Option<(native::Canary, Running)>>,
}

/// Returns the settings of a runtime's canaries, which are off unless there is a wait time.
pub(crate) fn settings(wait_time: Option<f64>, timeout: f64) -> PyResult<HealthChecks> {
    let Some(wait_time) = wait_time else { return Ok(HealthChecks::default()) };
    let seconds = |name: &str, value: f64| {
        if !(0.0..=SECONDS_MAX).contains(&value) {
            let limits = format!("{name} is {value} s; it must be 0 to {SECONDS_MAX}");
            return Err(value_error(limits));
        }
        Ok(Duration::from_secs_f64(value))
    };
    Ok(HealthChecks {
        enabled: true,
        wait_time: seconds("canary_wait_time", wait_time)?,
        request_timeout: seconds("canary_timeout", timeout)?,
    })
}

pub(crate) fn start(
    py: Python<'_>,
    endpoint: &Endpoint,
    work: &WorkHandlerMetrics,
    send: Py<PyAny>,
) -> PyResult<Canary> {
    let probe = py.import("dynamo_metrics._engine")?.call_method1("probe", (send,))?;
    let name = format!("canary {}", endpoint.name());
    let ask = bridge::asker(py, &name, probe.unbind())?;
    let thread = Running::begin(py);
    let canary = endpoint.canary(work, move || ask().map(drop))?;
    Ok(Canary { canary: Mutex::new(Some((canary, thread))) })
}

impl Canary {
    /// Stops the canaries, unless they are stopped already or their thread is one of a process that forked this one.
    fn stop(&self) {
        let canary = self.canary.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((canary, thread)) = canary
            && !thread.is_here()
        {
            std::mem::forget(canary); // its lock may be held by that thread
        }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.stop();
    }
}

#[pymethods]
impl Canary {
    /// Stops the canaries, without a wait for the one in flight; the endpoint keeps its status. A second call does nothing.
    fn close(&self) {
        self.stop();
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) {
        self.stop();
    }
}
