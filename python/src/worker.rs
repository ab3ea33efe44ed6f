//! A worker's requests and its KV cache.

use crate::errors::{count, number, text, value_error};
use dynamo_metrics as native;
use native::ErrorType;
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};

/// The `dynamo_component_kvstats_*` gauges of a component.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct KvStats(pub(crate) native::KvStatsMetrics);

/// The metrics of an endpoint's requests.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct WorkHandler {
    pub(crate) metrics: native::WorkHandlerMetrics,
    pub(crate) runtime: native::DistributedRuntime,
}

/// A request in progress: ends with its `with` block, with `finish()`, or when it is dropped.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct WorkRequest {
    request: Mutex<Option<native::WorkRequest>>,
    runtime: native::DistributedRuntime,
}

#[pymethods]
impl KvStats {
    /// Sets the gauges: blocks are counts, shares run from 0 to 1 and are limited to that range.
    #[pyo3(signature = (*, active_blocks, total_blocks, gpu_cache_usage, gpu_prefix_cache_hit_rate=None))]
    fn publish(
        &self,
        active_blocks: &Bound<'_, PyAny>,
        total_blocks: &Bound<'_, PyAny>,
        gpu_cache_usage: &Bound<'_, PyAny>,
        gpu_prefix_cache_hit_rate: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let stats =
            kv_stats(active_blocks, total_blocks, gpu_cache_usage, gpu_prefix_cache_hit_rate)?;
        self.0.publish(&stats);
        Ok(())
    }
}

pub(crate) fn kv_stats(
    active_blocks: &Bound<'_, PyAny>,
    total_blocks: &Bound<'_, PyAny>,
    gpu_cache_usage: &Bound<'_, PyAny>,
    gpu_prefix_cache_hit_rate: Option<&Bound<'_, PyAny>>,
) -> PyResult<native::KvStats> {
    Ok(native::KvStats {
        active_blocks: count("active_blocks", active_blocks)?,
        total_blocks: count("total_blocks", total_blocks)?,
        gpu_cache_usage: number("gpu_cache_usage", gpu_cache_usage)?,
        gpu_prefix_cache_hit_rate: gpu_prefix_cache_hit_rate
            .map_or(Ok(0.0), |rate| number("gpu_prefix_cache_hit_rate", rate))?,
    })
}

#[pymethods]
impl WorkHandler {
    /// Begins a request of `request_bytes` bytes.
    #[pyo3(signature = (request_bytes, /))]
    fn begin(&self, request_bytes: &Bound<'_, PyAny>) -> PyResult<WorkRequest> {
        let bytes = count("request_bytes", request_bytes)?;
        let request = self.metrics.begin(bytes, self.runtime.now());
        Ok(WorkRequest { request: Mutex::new(Some(request)), runtime: self.runtime.clone() })
    }

    /// The number of requests that have begun.
    #[getter]
    fn requests(&self) -> u64 {
        self.metrics.requests()
    }

    /// The number of requests in progress.
    #[getter]
    fn inflight(&self) -> i64 {
        self.metrics.inflight()
    }
}

impl WorkRequest {
    fn with(&self, record: impl FnOnce(&native::WorkRequest)) -> PyResult<()> {
        match &*self.request.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(request) => {
                record(request);
                Ok(())
            }
            None => Err(value_error("the request has finished")),
        }
    }
}

#[pymethods]
impl WorkRequest {
    /// Counts bytes of the response.
    #[pyo3(signature = (n, /))]
    fn response_bytes(&self, n: &Bound<'_, PyAny>) -> PyResult<()> {
        let n = count("response_bytes", n)?;
        self.with(|request| request.response_bytes(n))
    }

    /// Counts an error. `error_type` is `deserialization`, `invalid_message`, `response_stream`, `generate`, `publish_response`
    /// or `publish_final`; `ValueError` is raised for any other name, and after the end of the request.
    #[pyo3(signature = (error_type, /))]
    fn error(&self, error_type: &Bound<'_, PyAny>) -> PyResult<()> {
        let error_type = &text("the error type", error_type)?;
        let error = ErrorType::ALL.into_iter().find(|error| error.as_str() == error_type);
        let error = error.ok_or_else(|| {
            let all = ErrorType::ALL.map(ErrorType::as_str).join(", ");
            value_error(format!("error type {error_type:?} is not one of {all}"))
        })?;
        self.with(|request| request.error(error))
    }

    /// Ends the request; a second call does nothing.
    fn finish(&self) {
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(request) = request {
            request.finish(self.runtime.now());
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Ends the request; an exception, unless it is a cancellation, counts as the error `generate`.
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !kind.is_none() && !is_cancellation(py, kind)? {
            // A request that was finished inside the block has no error to count.
            let _ = self.with(|request| request.error(ErrorType::Generate));
        }
        self.finish();
        Ok(())
    }
}

/// Returns whether the exception's class is a cancellation: of a task, or of a generator that is closed.
pub(crate) fn is_cancellation(py: Python<'_>, kind: &Bound<'_, PyAny>) -> PyResult<bool> {
    py.import("dynamo_metrics._timing")?.call_method1("is_cancellation", (kind,))?.extract()
}
