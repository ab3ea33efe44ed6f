//! The system server: `/metrics`, `/health` and `/live` on threads of their own, which need no interpreter.

use crate::errors::{self, value_error};
use crate::fork::Running;
use dynamo_metrics::{DistributedRuntime, environment::SystemEnvironment};
use dynamo_metrics_exporter::RunningServer;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A running system server; stops when it is closed, dropped, or at the end of its `with` block.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct SystemServer {
    /// Locked only with the interpreter lock, so a fork never comes while it is locked.
    server: Mutex<Option<(RunningServer, Running)>>,
    address: std::net::SocketAddr,
}

pub(crate) fn serve(
    py: Python<'_>,
    runtime: &DistributedRuntime,
    host: String,
    port: u16,
) -> PyResult<SystemServer> {
    let mut environment = SystemEnvironment::default();
    environment.host = host;
    environment.port = Some(port);
    let threads = Running::begin(py);
    let started = py.detach(|| runtime.start_system_server(&environment));
    match started {
        Ok(Some(server)) => {
            let address = server.local_addr();
            Ok(SystemServer { server: Mutex::new(Some((server, threads))), address })
        }
        Ok(None) => Err(value_error("no port was given")),
        Err(error) => Err(PyOSError::new_err(error.to_string())),
    }
}

impl SystemServer {
    /// Takes the server, unless it is closed already or its threads are those of a process that forked this one.
    fn take(&self) -> Option<(RunningServer, Running)> {
        let (server, threads) =
            self.server.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if threads.is_here() {
            return Some((server, threads));
        }
        std::mem::forget(server); // dropping it would wait for these threads
        None
    }
}

impl Drop for SystemServer {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[pymethods]
impl SystemServer {
    /// The port that is listened on.
    #[getter]
    fn port(&self) -> u16 {
        self.address.port()
    }

    /// The address, for example `http://127.0.0.1:8081`.
    #[getter]
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops the server after the requests in progress, up to `grace` seconds, 0 to 3600.
    #[pyo3(signature = (grace=1.0))]
    fn close(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = errors::grace)] grace: f64,
    ) -> PyResult<()> {
        if !(0.0..=3600.0).contains(&grace) {
            return Err(value_error(format!("grace is {grace} s; it must be 0 to 3600")));
        }
        if let Some((server, _threads)) = self.take() {
            // Scrapes may wait for the interpreter, so it is released meanwhile.
            py.detach(|| server.shutdown(Duration::from_secs_f64(grace)));
        }
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py, 1.0)
    }
}
