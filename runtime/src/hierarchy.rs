//! `DistributedRuntime > Namespace > Component > Endpoint`: where a metric is made says what it measures.
//!
//! Each level is a scope of one registry and adds one automatic label; a scrape of a level shows it and all
//! below. **A level is the same level whoever asks for it**: getting one twice gives the same metrics, so
//! nothing is ever registered twice. Two names that are the same label value, as `py-worker` and `py_worker`,
//! are one level and share their series.
//!
//! ```text
//! DistributedRuntime  (no label)                dynamo_component_uptime_seconds
//! └ Namespace         + dynamo_namespace
//!   └ Component       + dynamo_component        kvstats, engines
//!     └ Endpoint      + dynamo_endpoint         the work handler's metrics
//! ```

use crate::canary::HealthChecks;
use crate::clock::{Clock, MonotonicClock, Timestamp, new_registry};
use crate::engine::{Engine, EngineSource, Engines, GatheredEngines};
use crate::environment::SystemEnvironment;
use crate::error::MetricsError;
use crate::health::{HealthStatus, ProbeAnswer, SystemHealth};
use crate::kvstats::KvPage;
use crate::metrics::Metrics;
use crate::names::{distributed_runtime, labels, name_prefix, sanitize_label};
use dynamo_metrics_core::Registry;
use std::sync::Arc;
use std::time::Duration;

/// What a [`DistributedRuntime`] is made with.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// The registry that everything is made in; a [new one](new_registry) unless given.
    pub registry: Registry,
    /// Where uptime and the ends of dropped guards come from; the monotonic clock unless given.
    pub clock: Arc<dyn Clock>,
    /// What `/health` says while no endpoint has a say; `notready` unless given.
    pub starting_health_status: HealthStatus,
    /// Endpoints that `/health` waits for, by their original names; none unless given.
    pub use_endpoint_health_status: Vec<String>,
    /// Whether and how often endpoints are sent canary requests; not unless given.
    pub health_checks: HealthChecks,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            registry: new_registry(),
            clock: Arc::new(MonotonicClock::new()),
            starting_health_status: HealthStatus::NotReady,
            use_endpoint_health_status: Vec::new(),
            health_checks: HealthChecks::default(),
        }
    }
}

impl From<&SystemEnvironment> for RuntimeOptions {
    fn from(environment: &SystemEnvironment) -> Self {
        Self {
            starting_health_status: environment.starting_health_status,
            use_endpoint_health_status: environment.use_endpoint_health_status.clone(),
            health_checks: environment.health_checks,
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
    engines: Engines,
    kv_page: KvPage,
}

impl DistributedRuntime {
    /// A runtime with a registry of its own, the monotonic clock and Dynamo's defaults.
    ///
    /// # Errors
    /// The operating system refuses address space for the metrics' cells.
    pub fn new() -> Result<Self, MetricsError> {
        Self::with(RuntimeOptions::default())
    }

    /// A runtime made with the given options.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, Environment, RuntimeOptions, VirtualClock};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// let (environment, _warnings) = Environment::read(|_| None)?;
    /// let clock = Arc::new(VirtualClock::new());
    /// let options = RuntimeOptions { clock: clock.clone(), ..(&environment.system).into() };
    /// let runtime = DistributedRuntime::with(options)?;
    /// clock.advance(Duration::from_secs(3));
    /// assert_eq!(runtime.uptime(), Duration::from_secs(3));
    /// assert_eq!(runtime.health_answer().status, 503, "not ready until somebody says so");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The registry has a runtime already, or the operating system refuses address space for the cells.
    pub fn with(options: RuntimeOptions) -> Result<Self, MetricsError> {
        let RuntimeOptions {
            registry,
            clock,
            starting_health_status,
            use_endpoint_health_status,
            health_checks,
        } = options;
        let metrics = Metrics::new(registry, name_prefix::COMPONENT.into());
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
        let health = SystemHealth::new(starting_health_status, use_endpoint_health_status);
        let engines = Engines::default();
        Ok(Self {
            inner: Arc::new(Runtime {
                metrics,
                clock,
                started,
                health,
                health_checks,
                engines,
                kv_page: KvPage::default(),
            }),
        })
    }

    /// The namespace of this name; made if it is not there. An empty name adds no label.
    ///
    /// # Errors
    /// Nothing but underscores is left of the name when it is made a label value.
    pub fn namespace(&self, name: &str) -> Result<Namespace, MetricsError> {
        let metrics = below(&self.inner.metrics, labels::NAMESPACE, name)?;
        Ok(Namespace { runtime: self.clone(), name: name.into(), metrics })
    }

    /// Makes metrics of the whole runtime.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The registry that everything is in.
    pub fn registry(&self) -> &Registry {
        self.inner.metrics.registry()
    }

    /// The instant now, by the runtime's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The runtime's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Time since the runtime was made.
    pub fn uptime(&self) -> Duration {
        self.now().since(self.inner.started)
    }

    /// What `/health` and `/live` of the system server depend on.
    pub fn health(&self) -> &SystemHealth {
        &self.inner.health
    }

    pub(crate) fn kv_page(&self) -> &KvPage {
        &self.inner.kv_page
    }

    pub(crate) fn health_checks(&self) -> HealthChecks {
        self.inner.health_checks
    }

    /// What the system server answers to `/health` and to `/live` now.
    pub fn health_answer(&self) -> ProbeAnswer {
        self.inner.health.answer(self.uptime())
    }

    /// Registers an engine whose metrics are passed through beside this process's own.
    ///
    /// # Errors
    /// The runtime has [`ENGINES_MAX`](crate::engine::ENGINES_MAX) already.
    pub fn add_engine_source(&self, source: EngineSource) -> Result<Arc<Engine>, MetricsError> {
        self.inner.engines.add(source, &self.inner.metrics)
    }

    /// Forgets every engine of this name, at whatever level it was registered; returns how many.
    pub fn remove_engine_source(&self, name: &str) -> usize {
        self.inner.engines.remove(name)
    }

    /// Asks every engine for its text, all at once, and waits for them: the first time each up to its own timeout,
    /// then [a moment](crate::engine::ENGINE_PATIENCE), and all of them no longer than a scraper that gives up after `scrape_timeout` waits for the page. What is there by
    /// then is in `gathered`, whose memory is reused.
    ///
    /// ```
    /// use dynamo_metrics::engine::GatheredEngines;
    /// use dynamo_metrics::{DistributedRuntime, EngineSource, Filter};
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// runtime.add_engine_source(EngineSource::new("vllm", Filter::vllm(), || Ok("vllm:running 3\n")))?;
    /// let mut gathered = GatheredEngines::default();
    /// runtime.gather_engines(None, &mut gathered);
    /// let (engine, text) = gathered.iter().next().expect("it answered");
    /// assert_eq!((engine.name(), text), ("vllm", &b"vllm:running 3\n"[..]));
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    pub fn gather_engines(&self, scrape_timeout: Option<Duration>, gathered: &mut GatheredEngines) {
        self.inner.engines.gather(scrape_timeout, gathered);
    }

    /// Every registered engine, of all levels, in the order of registration.
    pub fn engine_sources(&self) -> Vec<Arc<Engine>> {
        self.inner.engines.list()
    }
}

/// A namespace of the runtime. Metrics made here have the label `dynamo_namespace`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Namespace {
    runtime: DistributedRuntime,
    name: Arc<str>,
    metrics: Metrics,
}

impl Namespace {
    /// The component of this name; made if it is not there. An empty name adds no label.
    ///
    /// # Errors
    /// Nothing but underscores is left of the name when it is made a label value.
    pub fn component(&self, name: &str) -> Result<Component, MetricsError> {
        let metrics = below(&self.metrics, labels::COMPONENT, name)?;
        Ok(Component { namespace: self.clone(), name: name.into(), metrics })
    }

    /// Makes metrics of the namespace.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The name as it was given; its label value may differ.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The runtime it belongs to.
    pub fn runtime(&self) -> &DistributedRuntime {
        &self.runtime
    }
}

/// A component of a namespace. Metrics made here have the labels `dynamo_namespace` and `dynamo_component`.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Component {
    namespace: Namespace,
    name: Arc<str>,
    metrics: Metrics,
}

impl Component {
    /// The endpoint of this name; made if it is not there. An empty name adds no label.
    ///
    /// # Errors
    /// Nothing but underscores is left of the name when it is made a label value.
    pub fn endpoint(&self, name: &str) -> Result<Endpoint, MetricsError> {
        let metrics = below(&self.metrics, labels::ENDPOINT, name)?;
        Ok(Endpoint { component: self.clone(), name: name.into(), metrics })
    }

    /// Makes metrics of the component.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The name as it was given; its label value may differ.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace it belongs to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The runtime it belongs to.
    pub fn runtime(&self) -> &DistributedRuntime {
        &self.namespace.runtime
    }

    /// Registers an engine of this component; its errors are counted with the component's labels.
    ///
    /// # Errors
    /// The runtime has [`ENGINES_MAX`](crate::engine::ENGINES_MAX) already.
    pub fn add_engine_source(&self, source: EngineSource) -> Result<Arc<Engine>, MetricsError> {
        self.runtime().inner.engines.add(source, &self.metrics)
    }
}

/// An endpoint of a component. Metrics made here have all three automatic labels. Cheap to clone.
///
/// Two endpoints of one component may have a metric of the same name with other labels and another help text:
///
/// ```
/// # use dynamo_metrics::DistributedRuntime;
/// let worker = DistributedRuntime::new()?.namespace("default")?.component("worker")?;
/// let generate = worker.endpoint("generate")?;
/// let clear = worker.endpoint("clear_kv_blocks")?;
/// generate.metrics().counter_family(("calls_total", "Calls by model."), ["model"])?;
/// clear.metrics().counter(("calls_total", "Calls."))?.inc();
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Endpoint {
    component: Component,
    name: Arc<str>,
    metrics: Metrics,
}

impl Endpoint {
    /// Makes metrics of the endpoint.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The name as it was given, which is the one that `/health` lists; its label value may differ.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The component it belongs to.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// The runtime it belongs to.
    pub fn runtime(&self) -> &DistributedRuntime {
        self.component.runtime()
    }

    /// Registers an engine of this endpoint; its errors are counted with the endpoint's labels.
    ///
    /// # Errors
    /// The runtime has [`ENGINES_MAX`](crate::engine::ENGINES_MAX) already.
    pub fn add_engine_source(&self, source: EngineSource) -> Result<Arc<Engine>, MetricsError> {
        self.runtime().inner.engines.add(source, &self.metrics)
    }
}

fn below(metrics: &Metrics, label: &str, name: &str) -> Result<Metrics, MetricsError> {
    // Dynamo leaves an automatic label out when its part of the path is empty.
    let value = if name.is_empty() { None } else { Some(sanitize_label(name)?) };
    metrics.below(label, value.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::{Snapshot, Value};

    fn labels_of(metrics: &Metrics) -> Vec<(&str, &str)> {
        metrics.registry().labels().collect()
    }

    #[test]
    fn each_level_adds_its_label_and_values_are_sanitized() {
        let runtime = DistributedRuntime::new().unwrap();
        let namespace = runtime.namespace("my-ns.v1").unwrap();
        let component = namespace.component("back-end").unwrap();
        let endpoint = component.endpoint("gen.erate").unwrap();
        assert_eq!(labels_of(runtime.metrics()), []);
        assert_eq!(
            labels_of(endpoint.metrics()),
            [
                ("dynamo_namespace", "my_ns_v1"),
                ("dynamo_component", "back_end"),
                ("dynamo_endpoint", "gen_erate"),
            ]
        );
        assert_eq!(endpoint.name(), "gen.erate");
        let bare = runtime.namespace("").unwrap().component("worker").unwrap();
        assert_eq!(labels_of(bare.metrics()), [("dynamo_component", "worker")]);
        assert!(matches!(namespace.component("--"), Err(MetricsError::Name(_))));
    }

    #[test]
    fn a_level_is_the_same_whoever_asks() {
        let runtime = DistributedRuntime::new().unwrap();
        for _ in 0..2 {
            let component = runtime.namespace("ns").unwrap().component("worker").unwrap();
            component.metrics().counter(("steps_total", "Steps.")).unwrap().inc();
        }
        let component = runtime.namespace("ns").unwrap().component("worker").unwrap();
        let steps = component.metrics().counter(("steps_total", "Steps.")).unwrap();
        assert_eq!(steps.get(), 2);
    }

    #[test]
    fn endpoints_of_one_component_may_differ_in_labels_and_help() {
        let runtime = DistributedRuntime::new().unwrap();
        let component = runtime.namespace("ns").unwrap().component("worker").unwrap();
        let a = component.endpoint("a").unwrap();
        let b = component.endpoint("b").unwrap();
        a.metrics().counter_family(("x_total", "One help."), ["model"]).unwrap().with(["m"]).inc();
        b.metrics().counter(("x_total", "Another help.")).unwrap().add(2);
        // What dynamo 0.8 refused to start with.
        a.serve(&[("model", "m")]).unwrap();
        b.serve(&[]).unwrap();
        let mut snapshot = Snapshot::new();
        snapshot.take(component.metrics().registry());
        let family = snapshot.families().find(|f| f.name() == "dynamo_component_x_total").unwrap();
        let values: Vec<Value> =
            family.parts().map(|part| part.series(0).unwrap().value()).collect();
        assert_eq!(values, [Value::Unsigned(1), Value::Unsigned(2)]);
    }

    #[test]
    fn uptime_has_no_labels_and_is_computed_at_the_scrape() {
        let clock = Arc::new(crate::VirtualClock::new());
        let options = RuntimeOptions { clock: clock.clone(), ..RuntimeOptions::default() };
        let runtime = DistributedRuntime::with(options).unwrap();
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
