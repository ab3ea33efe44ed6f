//! The highest level: the runtime of a process, with its clock, its health and its engines.

use super::kv_page::KvPage;
use super::levels::Namespace;
use crate::clock::{Clock, MonotonicClock, Timestamp};
use crate::environment::SystemEnvironment;
use crate::error::MetricsError;
use crate::health::{HealthChecks, HealthStatus, ProbeAnswer, SystemHealth};
use crate::metrics::Metrics;
use crate::names::{distributed_runtime, name_prefix};
use dynamo_metrics_core::Registry;
#[cfg(unix)]
use dynamo_metrics_exporter::multiprocess::Processes;
use dynamo_metrics_exporter::{Engine, EngineSource, Exporter, MetricsExposition, new_registry};
use dynamo_metrics_server::ServerTelemetry;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Options of a [`DistributedRuntime`].
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// The registry of all metrics; a [new one](new_registry) unless given.
    pub registry: Registry,
    /// The clock of the uptime and of guards that are dropped; the monotonic clock unless given.
    pub clock: Arc<dyn Clock>,
    /// The status at `/health` before an endpoint has one; `notready` unless given.
    pub starting_health_status: HealthStatus,
    /// Endpoints that must be ready for `/health`, by their original names; none unless given.
    pub use_endpoint_health_status: Vec<String>,
    /// Canary requests to endpoints; off unless given.
    pub health_checks: HealthChecks,
    /// True if scrapes have all of `dynamo_metrics_*` ([`Registry::print_details`]); not unless given.
    pub details: bool,
    /// A directory of metrics that many processes share ([`multiprocess`](crate::multiprocess)): the page has those of all of them,
    /// and [`DistributedRuntime::processes`] records there. None unless given.
    #[cfg(unix)]
    pub multiprocess: Option<PathBuf>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            registry: new_registry(),
            clock: Arc::new(MonotonicClock::new()),
            starting_health_status: HealthStatus::NotReady,
            use_endpoint_health_status: Vec::new(),
            health_checks: HealthChecks::default(),
            details: false,
            #[cfg(unix)]
            multiprocess: None,
        }
    }
}

impl From<&SystemEnvironment> for RuntimeOptions {
    fn from(environment: &SystemEnvironment) -> Self {
        Self {
            starting_health_status: environment.starting_health_status,
            use_endpoint_health_status: environment.use_endpoint_health_status.clone(),
            health_checks: environment.health_checks,
            details: environment.details,
            ..Self::default()
        }
    }
}

/// The whole process: metrics without automatic labels, its uptime, its health and its engines. Cheap to
/// clone; clones are the same runtime.
///
/// ```
/// use dynamo_metrics::DistributedRuntime;
///
/// let runtime = DistributedRuntime::new()?;
/// let endpoint = runtime.namespace("default")?.component("worker")?.endpoint("generate")?;
/// let handler = endpoint.serve(&[("model", "Qwen/Qwen3-0.6B")])?;
/// let request = handler.begin(1146, runtime.now());
/// request.response_bytes(381);
/// request.finish(runtime.now());
/// assert_eq!(handler.requests(), 1);
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct DistributedRuntime {
    inner: Arc<Runtime>,
}

#[derive(Debug)]
struct Runtime {
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    started: Timestamp,
    health: SystemHealth,
    health_checks: HealthChecks,
    kv_page: KvPage,
    /// The metrics of the system servers, once the first one was made.
    telemetry: Mutex<Option<Arc<ServerTelemetry>>>,
    #[cfg(unix)]
    processes: Option<Processes>,
}

impl DistributedRuntime {
    /// Creates a runtime with its own registry, the monotonic clock and Dynamo's defaults.
    ///
    /// # Errors
    /// The operating system refuses address space for the metrics' cells.
    pub fn new() -> Result<Self, MetricsError> {
        Self::with_options(RuntimeOptions::default())
    }

    /// Creates a runtime with the given options.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, Environment, RuntimeOptions, VirtualClock};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// let (environment, _warnings) = Environment::read(|_| None)?;
    /// let clock = Arc::new(VirtualClock::new());
    /// let options = RuntimeOptions { clock: clock.clone(), ..(&environment.system).into() };
    /// let runtime = DistributedRuntime::with_options(options)?;
    /// clock.advance(Duration::from_secs(3));
    /// assert_eq!(runtime.uptime(), Duration::from_secs(3));
    /// assert_eq!(runtime.health_answer().status, 503, "not ready until it is set ready");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The registry has a runtime already; the operating system refuses address space for the cells; or, with the option
    /// `multiprocess`, the directory or this process's file in it cannot be made or mapped, or 4096 processes run there.
    pub fn with_options(options: RuntimeOptions) -> Result<Self, MetricsError> {
        let RuntimeOptions {
            registry,
            clock,
            starting_health_status,
            use_endpoint_health_status,
            health_checks,
            details,
            #[cfg(unix)]
            multiprocess,
        } = options;
        registry.print_details(details);
        let exporter = Exporter::new(&registry).engine_prefix(name_prefix::COMPONENT);
        let metrics = Metrics::new(exporter, name_prefix::COMPONENT.into());
        let started = clock.now();
        let ticking = Arc::clone(&clock);
        metrics.prompt_gauge_callback(
            (distributed_runtime::UPTIME_SECONDS, "Time since this runtime was made, in seconds."),
            move || ticking.now().seconds_since(started),
        )?;
        metrics.registry().info(
            (distributed_runtime::BUILD_INFO, "Which build of the metrics library runs."),
            &[(distributed_runtime::VERSION_LABEL, env!("CARGO_PKG_VERSION"))],
        )?;
        metrics.registry().process_metrics()?;
        #[cfg(unix)]
        let processes = multiprocess.map(|directory| join(&metrics, directory)).transpose()?;
        let health = SystemHealth::new(starting_health_status, use_endpoint_health_status);
        Ok(Self {
            inner: Arc::new(Runtime {
                metrics,
                clock,
                started,
                health,
                health_checks,
                kv_page: KvPage::default(),
                telemetry: Mutex::default(),
                #[cfg(unix)]
                processes,
            }),
        })
    }

    /// Returns the namespace of this name, which is created by the first call. An empty name adds no label.
    ///
    /// # Errors
    /// The name consists of underscores alone, once characters that scrapers refuse are replaced.
    pub fn namespace(&self, name: &str) -> Result<Namespace, MetricsError> {
        Namespace::new(self, name)
    }

    /// Returns the metrics of the whole runtime.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Returns the registry of all metrics.
    pub fn registry(&self) -> &Registry {
        self.inner.metrics.registry()
    }

    /// Returns the present instant of the runtime's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Returns the runtime's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Returns the time since the runtime was created.
    pub fn uptime(&self) -> Duration {
        self.now().since(self.inner.started)
    }

    /// Returns the health of the process and of its endpoints.
    pub fn health(&self) -> &SystemHealth {
        &self.inner.health
    }

    /// Returns this process among those that share a directory, if [`RuntimeOptions::multiprocess`] has one: its counters, gauges and
    /// histograms are on the page of every process. All other metrics are those of this process alone.
    ///
    /// ```
    /// use dynamo_metrics::multiprocess::Opts;
    /// use dynamo_metrics::{DistributedRuntime, RuntimeOptions};
    /// use dynamo_metrics_server::bytes::BytesMut;
    ///
    /// let directory = std::env::temp_dir().join(format!("doc-runtime-{}", std::process::id()));
    /// let options = RuntimeOptions { multiprocess: Some(directory.clone()), ..Default::default() };
    /// let runtime = DistributedRuntime::with_options(options)?;
    /// let processes = runtime.processes().expect("the options have a directory");
    /// processes.counter(&Opts::new("steps_total", "Steps of all ranks.").label("rank", "0"))?.inc();
    /// let mut body = BytesMut::new();
    /// runtime.exposition().write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("steps_total{rank=\"0\"} 1\n"));
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    pub fn processes(&self) -> Option<&Processes> {
        self.inner.processes.as_ref()
    }

    pub(crate) fn kv_page(&self) -> &KvPage {
        &self.inner.kv_page
    }

    pub(crate) fn kept_telemetry(&self) -> MutexGuard<'_, Option<Arc<ServerTelemetry>>> {
        self.inner.telemetry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health_checks(&self) -> HealthChecks {
        self.inner.health_checks
    }

    /// Returns the system server's present answer to `/health` and `/live`.
    pub fn health_answer(&self) -> ProbeAnswer {
        self.inner.health.answer(self.uptime())
    }

    /// Registers an engine, whose page is merged into this process's page.
    ///
    /// # Errors
    /// The runtime has an engine of this name, or [`ENGINES_MAX`](crate::engine::ENGINES_MAX) of them; the name is too long for
    /// a label value; the labels that the source asks for cannot be added; or the registry refuses the metrics about the
    /// engine. See [`Exporter::engine`].
    pub fn add_engine_source(&self, source: EngineSource) -> Result<Arc<Engine>, MetricsError> {
        Ok(self.exporter().engine(source)?)
    }

    /// Removes the engines of this name, at whatever level they were registered; returns their number.
    pub fn remove_engine_source(&self, name: &str) -> usize {
        self.exporter().remove_engine(name)
    }

    /// Returns the exporter of the runtime's page: a server or a service of it, collectors, and metrics of the process.
    ///
    /// ```
    /// use dynamo_metrics::DistributedRuntime;
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let server = runtime.exporter().listen("127.0.0.1:0")?;
    /// assert_ne!(server.local_addr().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exporter(&self) -> &Exporter {
        self.inner.metrics.exporter()
    }

    /// Returns the runtime's page: all levels, callbacks, collectors and engines. It keeps memory from scrape to scrape,
    /// so make one and keep it.
    pub fn exposition(&self) -> MetricsExposition {
        self.exporter().exposition()
    }

    /// Returns the engines of all levels, in the order of registration.
    pub fn engine_sources(&self) -> Vec<Arc<Engine>> {
        self.exporter().engines()
    }
}

/// Joins the processes of a directory, and puts their metrics on the page.
#[cfg(unix)]
fn join(metrics: &Metrics, directory: PathBuf) -> Result<Processes, MetricsError> {
    let processes = Processes::join(&directory)
        .map_err(|error| MetricsError::Multiprocess(error.to_string()))?;
    metrics.exporter().processes("multiprocess", processes.directory())?;
    Ok(processes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::{Snapshot, snapshot::Value};

    #[test]
    fn uptime_has_no_labels_and_is_computed_at_the_scrape() {
        let clock = Arc::new(crate::VirtualClock::new());
        let options = RuntimeOptions { clock: clock.clone(), ..RuntimeOptions::default() };
        let runtime = DistributedRuntime::with_options(options).unwrap();
        clock.advance(Duration::from_millis(1500));
        let mut snapshot = Snapshot::new();
        snapshot.take(runtime.registry());
        let family = snapshot.families().next().unwrap();
        assert_eq!(family.name(), "dynamo_component_uptime_seconds");
        let part = family.parts().next().unwrap();
        assert_eq!(part.descriptor().const_labels().count(), 0);
        assert_eq!(part.series(0).unwrap().value(), Value::Float(1.5));
    }
}
