//! The frontend's metrics: one object a request, one call a chunk.

use crate::errors::{self, count, text, value_error};
use crate::fork::Origin;
use crate::hierarchy::DistributedRuntime;
use crate::worker::is_cancellation;
use dynamo_metrics as native;
use native::{
    FrontendConfig, FrontendMetrics, HttpEndpoint, MigrationType, ModelCard, RejectionReason,
    RequestType, RuntimeConfig,
};
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};

/// The `dynamo_frontend_*` metrics, on the page of a runtime.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct Frontend(FrontendMetrics, Origin);

/// A request in progress: succeeds with its `with` block, fails with an exception, and is cancelled by a cancellation.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct Request {
    request: Mutex<Option<native::Request>>,
    metrics: FrontendMetrics,
}

#[pymethods]
impl Frontend {
    /// Registers the frontend's metrics on the runtime's page.
    #[new]
    fn new(runtime: &DistributedRuntime) -> PyResult<Self> {
        runtime.origin.check("the runtime")?;
        FrontendMetrics::new(runtime.native.registry(), FrontendConfig::default())
            .map(|metrics| Self(metrics, runtime.origin))
            .map_err(value_error)
    }

    /// Registers a worker of a model. Requests for models without a worker are counted as `unknown_model`.
    ///
    /// `context_length` is in tokens, `kv_cache_block_size` in tokens a block, and `migration_limit` the number of times that a
    /// request may be moved: integers from 0 to 2**64 - 1, which gauges show; 0 unless given. Raises `ValueError` if 1,000
    /// models have workers already, or if the name has more than 4,096 bytes.
    #[pyo3(signature = (model, instance_id=0, *, context_length=0, kv_cache_block_size=0, migration_limit=0))]
    fn add_model(
        &self,
        model: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = errors::instance_id)] instance_id: u64,
        #[pyo3(from_py_with = errors::context_length)] context_length: u64,
        #[pyo3(from_py_with = errors::kv_cache_block_size)] kv_cache_block_size: u64,
        #[pyo3(from_py_with = errors::migration_limit)] migration_limit: u64,
    ) -> PyResult<()> {
        self.1.check("the frontend")?;
        let model = &text("the model", model)?;
        let card = ModelCard { context_length, kv_cache_block_size, migration_limit };
        match self.0.models().add(model, instance_id, &card, &RuntimeConfig::default()) {
            native::Registration::First | native::Registration::Later => Ok(()),
            native::Registration::BeyondLimit => Err(value_error(format!(
                "model {model:?}: {} models have workers already",
                native::MODELS_MAX
            ))),
            _ => Err(value_error(format!(
                "the model's name has {} bytes; {} is the limit",
                model.len(),
                native::MODEL_NAME_BYTES_MAX
            ))),
        }
    }

    /// Removes a worker of a model; returns whether there was one.
    #[pyo3(signature = (model, instance_id=0))]
    fn remove_model(
        &self,
        model: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = errors::instance_id)] instance_id: u64,
    ) -> PyResult<bool> {
        let model = &text("the model", model)?;
        self.1.check("the frontend")?;
        Ok(self.0.models().remove(model, instance_id))
    }

    /// Begins a request. `endpoint` is `completions`, `chat_completions`, `embeddings`, `images`, `responses` or `tensor`;
    /// `ValueError` is raised for any other name.
    #[pyo3(signature = (*, model, endpoint="chat_completions", stream=true))]
    fn request(&self, model: &Bound<'_, PyAny>, endpoint: &str, stream: bool) -> PyResult<Request> {
        let model = &text("the model", model)?;
        self.1.check("the frontend")?;
        let kind = if stream { RequestType::Stream } else { RequestType::Unary };
        let request = self.0.begin(http_endpoint(endpoint)?, kind, model, self.0.now());
        Ok(Request { request: Mutex::new(Some(request)), metrics: self.0.clone() })
    }

    /// Counts a request that is rejected before its model is known. `endpoint` is one of those of `request`, and `reason` one
    /// of those of `Request.reject`; `ValueError` is raised for any other name.
    fn reject(&self, endpoint: &str, reason: &str) -> PyResult<()> {
        self.1.check("the frontend")?;
        self.0.reject(http_endpoint(endpoint)?, rejection_reason(reason)?);
        Ok(())
    }
}

impl Request {
    #[inline]
    fn with(&self, record: impl FnOnce(&mut native::Request)) -> PyResult<()> {
        match &mut *self.request.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(request) => {
                record(request);
                Ok(())
            }
            None => Err(value_error("the request has ended")),
        }
    }

    /// Ends the request; a second end does nothing.
    fn end(&self, end: impl FnOnce(native::Request)) {
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(request) = request {
            end(request);
        }
    }
}

#[pymethods]
impl Request {
    /// Sets the tokens of the prompt.
    #[pyo3(signature = (n, /))]
    fn input_tokens(&self, n: &Bound<'_, PyAny>) -> PyResult<()> {
        let n = count("input_tokens", n)?;
        self.with(|request| request.input_tokens(n))
    }

    /// Sets the tokens of the prompt that were found in the cache.
    #[pyo3(signature = (n, /))]
    fn cached_tokens(&self, n: &Bound<'_, PyAny>) -> PyResult<()> {
        let n = count("cached_tokens", n)?;
        self.with(|request| request.cached_tokens(n))
    }

    /// Records a chunk of `n` tokens that is sent now: tokens, time to the first, latency between tokens.
    #[pyo3(signature = (n, /))]
    fn tokens(&self, n: &Bound<'_, PyAny>) -> PyResult<()> {
        let n = count("output_tokens", n)?;
        let now = self.metrics.now();
        self.with(|request| request.tokens(n, now))
    }

    /// Sets the trace of the request from its `traceparent` header (W3C Trace Context): its time to first token and its duration
    /// keep it as an exemplar. Returns whether the header is valid and the trace is sampled; otherwise there is no exemplar.
    ///
    /// >>> from dynamo_metrics import DistributedRuntime, Frontend
    /// >>> with Frontend(DistributedRuntime()).request(model="m") as request:
    /// ...     request.trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    /// True
    #[pyo3(signature = (traceparent, /))]
    fn trace(&self, traceparent: &Bound<'_, PyAny>) -> PyResult<bool> {
        let exemplar = native::parse_traceparent(&text("traceparent", traceparent)?);
        if let Some(exemplar) = &exemplar {
            self.with(|request| request.trace(*exemplar))?;
        }
        Ok(exemplar.is_some())
    }

    /// Counts that the request moved to another worker, for each move: `new_request` where its stream could not be opened,
    /// `ongoing_request` where its open stream broke. `ValueError` is raised for any other name.
    ///
    /// >>> from dynamo_metrics import DistributedRuntime, Frontend
    /// >>> runtime = DistributedRuntime()
    /// >>> with Frontend(runtime).request(model="m") as request:
    /// ...     request.migration("ongoing_request")
    /// >>> 'migration_type="ongoing_request"} 1' in runtime.exposition()
    /// True
    #[pyo3(signature = (migration_type, /))]
    fn migration(&self, migration_type: &str) -> PyResult<()> {
        let kind = kind_of_migration(migration_type)?;
        self.with(|request| request.migration(kind))
    }

    /// Ends the request as a success.
    fn ok(&self) {
        self.end(|request| request.succeed(self.metrics.now()));
    }

    /// Ends the request as an error.
    fn fail(&self) {
        self.end(|request| request.fail(self.metrics.now()));
    }

    /// Ends the request as cancelled by its client.
    fn cancel(&self) {
        self.end(|request| request.cancel(self.metrics.now()));
    }

    /// Ends the request as rejected. `reason` is `validation`, `not_found`, `method_not_allowed`, `timeout`, `too_large`,
    /// `unsupported_media_type`, `overload` or `unavailable`; `ValueError` is raised for any other name.
    fn reject(&self, reason: &str) -> PyResult<()> {
        let reason = rejection_reason(reason)?;
        self.end(|request| request.reject(reason));
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if kind.is_none() {
            self.ok();
        } else if is_cancellation(py, kind)? {
            self.cancel();
        } else {
            self.fail();
        }
        Ok(())
    }
}

fn http_endpoint(name: &str) -> PyResult<HttpEndpoint> {
    HttpEndpoint::ALL.into_iter().find(|endpoint| endpoint.as_str() == name).ok_or_else(|| {
        let all = HttpEndpoint::ALL.map(HttpEndpoint::as_str).join(", ");
        value_error(format!("endpoint {name:?} is not one of {all}"))
    })
}

fn kind_of_migration(name: &str) -> PyResult<MigrationType> {
    MigrationType::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
        let all = MigrationType::ALL.map(MigrationType::as_str).join(", ");
        value_error(format!("migration type {name:?} is not one of {all}"))
    })
}

fn rejection_reason(name: &str) -> PyResult<RejectionReason> {
    RejectionReason::ALL.into_iter().find(|reason| reason.as_str() == name).ok_or_else(|| {
        let all = RejectionReason::ALL.map(RejectionReason::as_str).join(", ");
        value_error(format!("reason {name:?} is not one of {all}"))
    })
}
