//! A worker: a component with a simulated engine behind a port, and its place in a frontend's fleet.

mod membership;
mod service;

pub use membership::{Event, Membership};

use crate::engine::model::EngineConfig;
use crate::engine::real_time::Engine;
use crate::failure::Failure;
use crate::http::listener::{self, Port};
use crate::http::telemetry::Telemetry;
use crate::protocol::{DRAIN_MAX, Register, Stats};
use dynamo_metrics::engine::ENGINE_TIMEOUT_DEFAULT;
use dynamo_metrics::{Canary, Component, DistributedRuntime, EngineLabels, EngineSource, Filter};
use service::WorkService;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The label `server` of the counters of the port for requests.
const SERVER: &str = "worker";

/// Settings of a worker: its place in the hierarchy, its models and its engine.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The namespace.
    pub namespace: String,
    /// The component.
    pub component: String,
    /// Names under which the worker serves its model.
    pub models: Vec<String>,
    /// Speed and size of the engine.
    pub engine: EngineConfig,
    /// Tokens of the longest prompt and answer together.
    pub context_length: u64,
    /// Number of times that a request may move to another worker when its own dies.
    pub migration_limit: u64,
    /// Engines whose own metrics pass through on the system port.
    pub engine_metrics: Vec<EngineMetrics>,
    /// Adds the worker's labels to samples of these engines.
    pub label_engine_metrics: bool,
    /// The address of the process' system port, `http://HOST:PORT`, for scrapers that ask the frontend for it.
    pub system_url: Option<String>,
}

/// An engine whose own metrics pass through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineMetrics {
    /// `vllm`, `sglang`, `trtllm` or `lmcache`, which choose the metrics that pass; of any other kind all pass.
    pub kind: String,
    /// The name of this engine among those of the worker.
    pub name: String,
    /// Adds the label `engine_source` with the name to its samples.
    pub labelled: bool,
    /// The address of its metrics.
    pub url: String,
}

/// A worker that takes requests.
#[derive(Debug)]
pub struct Worker {
    options: WorkerOptions,
    instance_id: u64,
    url: String,
    engine: Engine,
    /// Dropped when no more requests are to be taken.
    open: oneshot::Sender<()>,
    server: JoinHandle<()>,
    /// Sent until the worker ends.
    _canary: Canary,
}

impl Worker {
    /// Starts an engine and serves the component's endpoint `generate` on `host:port`. Must be called within tokio.
    ///
    /// # Errors
    /// A setting of the engine is out of bounds, a name or label is not valid, or the port cannot be had.
    pub async fn start(
        runtime: &DistributedRuntime,
        instance_id: u64,
        options: WorkerOptions,
        host: IpAddr,
        port: u16,
    ) -> Result<Self, Failure> {
        let component = &runtime.namespace(&options.namespace)?.component(&options.component)?;
        add_engine_sources(component, instance_id, &options)?;
        let engine = Engine::start(options.engine)?;
        let service = WorkService::new(component, engine.clone(), &options.models)?;
        let canary = service.canary(component)?;
        let listener = listener::bind(host, port, "--port").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let telemetry = Arc::new(Telemetry::default());
        telemetry.register(runtime.registry(), SERVER)?;
        let (open, closed) = oneshot::channel::<()>();
        let closed = async { drop(closed.await) };
        let port = Port::new(service.router(), telemetry);
        let server = tokio::spawn(port.serve(listener, closed, DRAIN_MAX));
        Ok(Self { options, instance_id, url, engine, open, server, _canary: canary })
    }

    /// Returns the worker's number in the fleet.
    pub fn instance_id(&self) -> u64 {
        self.instance_id
    }

    /// Returns the address at which the worker takes requests, as `http://HOST:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets the engine die as a crash would: every answer breaks off, and every later request is refused.
    pub fn kill(&self) {
        self.engine.kill();
    }

    /// Takes no more requests and waits until those that were taken are answered, for [`DRAIN_MAX`] at most.
    pub async fn drain(self) {
        drop(self.open);
        // It ends by itself; answers that it has not completed by then are cut off.
        let _ = self.server.await;
    }

    pub(crate) fn stats(&self) -> Stats {
        self.engine.stats().into()
    }

    /// Returns the worker's registration at a frontend.
    pub(crate) fn registration(&self) -> Register {
        let Self { options, engine, .. } = self;
        Register {
            instance_id: self.instance_id,
            url: self.url.clone(),
            system_url: options.system_url.clone(),
            namespace: options.namespace.clone(),
            component: options.component.clone(),
            endpoint: service::ENDPOINT.into(),
            models: options.models.clone(),
            context_length: options.context_length,
            kv_cache_block_size: options.engine.block_size,
            migration_limit: options.migration_limit,
            total_kv_blocks: Some(options.engine.kv_blocks),
            max_num_seqs: Some(options.engine.slots),
            max_num_batched_tokens: Some(options.engine.batched_tokens),
            stats: engine.stats().into(),
        }
    }
}

/// Returns a random number for a worker. Not the process number, which is 1 in containers; of 53 bits, which every reader of JSON
/// keeps.
pub fn random_id() -> u64 {
    // Each `RandomState` is seeded at random; std has no other source.
    RandomState::new().build_hasher().finish() >> 11
}

fn add_engine_sources(
    component: &Component,
    instance_id: u64,
    options: &WorkerOptions,
) -> Result<(), Failure> {
    // As Dynamo spells it.
    let mut labels = vec![("worker_id", format!("{instance_id:x}"))];
    // With two models the engine's samples may be of either.
    if let [model] = &*options.models {
        labels.push(("model", model.clone()));
    }
    let labels = EngineLabels::new(labels)?;
    for EngineMetrics { kind, name, labelled, url } in &options.engine_metrics {
        let filter = match kind.as_str() {
            "vllm" => Filter::vllm(),
            "sglang" => Filter::sglang(),
            "trtllm" => Filter::trtllm(),
            "lmcache" => Filter::lmcache(),
            _ => Filter::all(),
        };
        let mut source = EngineSource::url(name.as_str(), filter, url, ENGINE_TIMEOUT_DEFAULT)?;
        if options.label_engine_metrics {
            source = source.scope_labels().labels(labels.clone());
        }
        if *labelled {
            source = source.source_label();
        }
        component.add_engine_source(source)?;
    }
    Ok(())
}
