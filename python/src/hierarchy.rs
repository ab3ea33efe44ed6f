//! `DistributedRuntime > Namespace > Component > Endpoint`, as in the crate.

use crate::beside;
use crate::canary::{self, Canary};
use crate::errors::{self, callable, list, text, value_error};
use crate::family::const_labels;
use crate::fork::{Origin, Running};
use crate::metrics::Metrics;
use crate::server::{self, SystemServer};
use crate::swap::EMPTY_DIRECTORY;
use crate::worker::{KvStats, WorkHandler};
use bytes::BytesMut;
use dynamo_metrics as native;
use native::{HealthStatus, MetricsExposition, RuntimeOptions};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The whole process: metrics without automatic labels, health, engines, and its page.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct DistributedRuntime {
    pub(crate) native: native::DistributedRuntime,
    /// Keeps its memory from page to page.
    exposition: Mutex<MetricsExposition>,
    pub(crate) origin: Origin,
}

/// A namespace; its metrics have the label `dynamo_namespace`.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct Namespace(native::Namespace, Origin);

/// A component; its metrics have the labels `dynamo_namespace` and `dynamo_component`.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct Component(pub(crate) native::Component, pub(crate) Origin);

/// An endpoint; its metrics have all three automatic labels.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct Endpoint(native::Endpoint, Origin);

#[pymethods]
impl DistributedRuntime {
    /// Creates a runtime with a registry of its own. `use_endpoint_health_status` are the endpoints that must be ready for
    /// `/health`; `details` adds all of the library's own metrics to the page. `canary_wait_time` lets `Endpoint.canary` send
    /// requests so many seconds after the last good one; without an answer within `canary_timeout` seconds the endpoint is not ready.
    /// `multiprocess` is a directory, or `shm`, whose processes share the metrics of `dynamo_metrics.prometheus`: the page has all of
    /// them. The metrics of the hierarchy are those of this process.
    #[new]
    #[pyo3(signature = (*, starting_health_status="notready", use_endpoint_health_status=None, details=false,
        canary_wait_time=None, canary_timeout=3.0, multiprocess=None))]
    fn new(
        py: Python<'_>,
        starting_health_status: &str,
        #[pyo3(from_py_with = errors::use_endpoint_health_status)]
        use_endpoint_health_status: Option<Vec<String>>,
        details: bool,
        #[pyo3(from_py_with = errors::canary_wait_time)] canary_wait_time: Option<f64>,
        #[pyo3(from_py_with = errors::canary_timeout)] canary_timeout: f64,
        multiprocess: Option<PathBuf>,
    ) -> PyResult<Self> {
        let options = RuntimeOptions {
            starting_health_status: health_status(starting_health_status)?,
            use_endpoint_health_status: use_endpoint_health_status.unwrap_or_default(),
            health_checks: canary::settings(canary_wait_time, canary_timeout)?,
            details,
            ..RuntimeOptions::default()
        };
        let native = native::DistributedRuntime::with_options(options).map_err(value_error)?;
        if let Some(directory) = multiprocess {
            let directory = shared_directory(py, directory)?;
            let exporter = native.exporter();
            exporter.processes("multiprocess", directory).map_err(value_error)?;
        }
        let exposition = Mutex::new(native.exposition());
        Ok(Self { native, exposition, origin: Origin::here() })
    }

    /// Returns the namespace of this name.
    fn namespace(&self, name: &Bound<'_, PyAny>) -> PyResult<Namespace> {
        self.origin.check("the runtime")?;
        let namespace =
            self.native.namespace(&text("the name of a namespace", name)?).map_err(value_error)?;
        Ok(Namespace(namespace, self.origin))
    }

    /// The metrics of the process.
    #[getter]
    fn metrics(&self) -> Metrics {
        Metrics(self.native.metrics().clone(), self.origin)
    }

    /// Returns the page in Prometheus' text format: all levels, callbacks and engines. Other threads run meanwhile. `without` are
    /// names of families that are left out, because they are on the page that this text is appended to: for Dynamo's own page
    /// `DYNAMO_WORKER_FAMILIES`.
    #[pyo3(signature = (*, without=None))]
    fn exposition(&self, py: Python<'_>, without: Option<&Bound<'_, PyAny>>) -> PyResult<String> {
        self.origin.check("the runtime")?;
        let without: Vec<String> = without.map_or(Ok(Vec::new()), |names| {
            list("without: names of families must be str", names)
        })?;
        let _running = Running::begin(py);
        // Engines' callbacks need the interpreter, so it is released before the lock is taken.
        let page = py.detach(|| {
            let mut body = BytesMut::new();
            self.exposition.lock().unwrap_or_else(PoisonError::into_inner).write(&mut body);
            beside::without(body, &without)
        });
        String::from_utf8(page.into()).map_err(value_error)
    }

    /// Starts the system server, `/metrics`, `/health` and `/live`; port 0 takes a free one. Raises `OSError` where the address
    /// cannot be listened on. Another server may follow one that was closed or did not start, and several run at a time.
    #[pyo3(signature = (port, host="0.0.0.0"))]
    fn serve(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = errors::port)] port: u16,
        host: &str,
    ) -> PyResult<SystemServer> {
        self.origin.check("the runtime")?;
        server::serve(py, &self.native, host.into(), port)
    }

    /// Sets the health of the process: `ready` or `notready`.
    fn set_health_status(&self, status: &str) -> PyResult<()> {
        self.origin.check("the runtime")?;
        self.native.health().set_system(health_status(status)?);
        Ok(())
    }

    /// Returns the answer of `/health`: the HTTP status and the body.
    fn health(&self) -> PyResult<(u16, String)> {
        self.origin.check("the runtime")?;
        let answer = self.native.health_answer();
        Ok((answer.status, answer.body))
    }

    /// Removes the engines of this name; returns their number.
    fn remove_engine(&self, name: &str) -> PyResult<usize> {
        self.origin.check("the runtime")?;
        Ok(self.native.remove_engine_source(name))
    }
}

#[pymethods]
impl Namespace {
    /// Returns the component of this name.
    fn component(&self, name: &Bound<'_, PyAny>) -> PyResult<Component> {
        self.1.check("the namespace")?;
        Ok(Component(
            self.0.component(&text("the name of a component", name)?).map_err(value_error)?,
            self.1,
        ))
    }

    /// The metrics of the namespace.
    #[getter]
    fn metrics(&self) -> Metrics {
        Metrics(self.0.metrics().clone(), self.1)
    }

    /// The name as it was given.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }
}

#[pymethods]
impl Component {
    /// Returns the endpoint of this name.
    fn endpoint(&self, name: &Bound<'_, PyAny>) -> PyResult<Endpoint> {
        self.1.check("the component")?;
        Ok(Endpoint(
            self.0.endpoint(&text("the name of an endpoint", name)?).map_err(value_error)?,
            self.1,
        ))
    }

    /// Returns the component's KV cache statistics, zero until published.
    fn kv_stats(&self) -> PyResult<KvStats> {
        self.1.check("the component")?;
        self.0.kv_stats().map(KvStats).map_err(value_error)
    }

    /// The metrics of the component.
    #[getter]
    fn metrics(&self) -> Metrics {
        Metrics(self.0.metrics().clone(), self.1)
    }

    /// The name as it was given.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }
}

#[pymethods]
impl Endpoint {
    /// Registers the work handler's metrics, and sets the endpoint ready. `labels` are constant, for example the model.
    #[pyo3(signature = (labels=None))]
    fn serve(&self, labels: Option<&Bound<'_, PyAny>>) -> PyResult<WorkHandler> {
        self.1.check("the endpoint")?;
        let labels = labels.map_or(Ok(Vec::new()), |labels| const_labels(self.0.name(), labels))?;
        let labels: Vec<(&str, &str)> =
            labels.iter().map(|(l, v)| (l.as_str(), v.as_str())).collect();
        let metrics = self.0.serve(&labels).map_err(value_error)?;
        Ok(WorkHandler { metrics, runtime: self.0.runtime().clone() })
    }

    /// Sends canary requests while the endpoint has no good ones of clients; `/health` follows their answers. `send` sends one and
    /// waits for its answer; an exception, or `False`, is no good answer. It runs on a thread of its own, once at first and then
    /// `canary_wait_time` seconds after the last good request. Sends nothing where the runtime has no such time.
    ///
    /// >>> from dynamo_metrics import DistributedRuntime
    /// >>> runtime = DistributedRuntime(canary_wait_time=10)
    /// >>> endpoint = runtime.namespace("ns").component("backend").endpoint("generate")
    /// >>> with endpoint.canary(endpoint.serve(), lambda: None):
    /// ...     while runtime.health()[0] != 200:
    /// ...         pass  # until the first answer
    #[pyo3(signature = (handler, send))]
    fn canary(&self, py: Python<'_>, handler: &WorkHandler, send: Py<PyAny>) -> PyResult<Canary> {
        self.1.check("the endpoint")?;
        let what = format_args!("endpoint {:?}: the canary's send", self.0.name());
        callable(what, send.bind(py))?;
        canary::start(py, &self.0, &handler.metrics, send)
    }

    /// Sets the health of the endpoint: `ready` or `notready`.
    fn set_health_status(&self, status: &str) -> PyResult<()> {
        self.1.check("the endpoint")?;
        self.0.runtime().health().set_endpoint(self.0.name(), health_status(status)?);
        Ok(())
    }

    /// The metrics of the endpoint.
    #[getter]
    fn metrics(&self) -> Metrics {
        Metrics(self.0.metrics().clone(), self.1)
    }

    /// The name as it was given.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }
}

fn health_status(status: &str) -> PyResult<HealthStatus> {
    [HealthStatus::Ready, HealthStatus::NotReady]
        .into_iter()
        .find(|s| s.as_str() == status)
        .ok_or_else(|| {
            value_error(format!("health status {status:?} is not \"ready\" or \"notready\""))
        })
}

/// Joins the processes of a directory, as `dynamo_metrics.prometheus.multiprocess.share` does; returns the directory.
fn shared_directory(py: Python<'_>, directory: PathBuf) -> PyResult<PathBuf> {
    // As an object of `pathlib` it would be the present directory.
    if directory.as_os_str().is_empty() {
        return Err(value_error(EMPTY_DIRECTORY));
    }
    let module = py.import("dynamo_metrics.prometheus.multiprocess")?;
    module.call_method1("share", (directory,))?.extract()
}
