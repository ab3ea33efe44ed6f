//! A trace through the metrics, by a virtual clock: as fast as the machine allows, or paced.
//!
//! Every token takes the path that it takes in a running stack: the frontend's request, the worker's handler, the
//! router. Only the clock is another one.

mod summary;

pub use summary::Summary;

use crate::engine::EngineConfig;
use crate::engine::kv_cache::KvStats;
use crate::engine::observer::Observer;
use crate::engine::virtual_time::Simulation;
use crate::failure::Failure;
use crate::protocol::Stats;
use crate::trace::Trace;
use dynamo_metrics::{
    Clock, DistributedRuntime, Environment, FrontendConfig, FrontendMetrics, HttpEndpoint,
    KvRouter, KvStatsMetrics, MetricsExposition, ModelCard, Request, RequestType, RuntimeConfig,
    RuntimeOptions, Timestamp, VirtualClock, WorkHandlerMetrics, WorkRequest, dashboard_pages,
    new_registry,
};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::negotiate;
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{Health, HealthAnswer, RunningServer, Server, ServerBuilder};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use summary::Latencies;

/// Bytes of a request besides its prompt, and of a token of the prompt and of the answer: measured on `serve`, where they
/// are really sent.
const REQUEST_BYTES: u64 = 300;
const INPUT_TOKEN_BYTES: u64 = 2;
const OUTPUT_TOKEN_BYTES: u64 = 30;

/// Settings of a replay.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// The namespace of both roles.
    pub namespace: String,
    /// Name of the model.
    pub model: String,
    /// Simulated workers.
    pub workers: usize,
    /// Speed and size of each.
    pub engine: EngineConfig,
}

/// A replay under way.
pub struct Replay<'a> {
    simulation: Simulation<'a>,
    stage: Stage<'a>,
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("simulation", &self.simulation).finish_non_exhaustive()
    }
}

impl<'a> Replay<'a> {
    /// Prepares a replay of `trace`.
    ///
    /// # Errors
    /// A setting of the engine or the number of workers is out of bounds.
    pub fn new(
        trace: &'a Trace,
        options: &'a ReplayOptions,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        // First, since it checks the options, of which the stage makes as many workers as they say.
        let simulation = Simulation::new(trace, options.workers, options.engine)?;
        let stage = Stage::new(options, environment, trace)?;
        Ok(Self { simulation, stage })
    }

    /// Replays as fast as the machine allows.
    pub fn run(&mut self) {
        self.simulation.run_to_end(&mut self.stage);
    }

    /// Replays `speed` times as fast as the trace was. `progress` is called with the number of finished requests before
    /// each pause.
    pub fn run_paced(&mut self, speed: f64, mut progress: impl FnMut(u64)) {
        let started = Instant::now();
        while let Some(next_ns) = self.simulation.next_event_ns() {
            let due = Duration::try_from_secs_f64(next_ns as f64 / 1e9 / speed);
            // A time that has no representation never comes.
            let due = due.unwrap_or(Duration::MAX);
            if let Some(wait) = due.checked_sub(started.elapsed()) {
                progress(self.stage.finished);
                std::thread::sleep(wait);
            }
            self.simulation.step(&mut self.stage);
        }
    }

    /// Opens the ports of both roles, each with its live page: the frontend's at `address`, which comes from the setting `setting`, and the worker's
    /// where the environment has one.
    ///
    /// # Errors
    /// A port cannot be had.
    pub fn serve(
        &self,
        address: SocketAddr,
        setting: &'static str,
        environment: &Environment,
    ) -> Result<(RunningServer, Option<RunningServer>), Failure> {
        let frontend = Server::builder()
            .address(address)
            .address_source(setting)
            .metrics_path(environment.frontend.metrics_path.as_str())
            .health_path(environment.frontend.health_path.as_str())
            .live_path(environment.frontend.live_path.as_str())
            .exposition(self.stage.frontend_page.clone())
            .health(Live);
        let pages = dashboard_pages(&environment.frontend.metrics_path);
        let frontend = pages.into_iter().fold(frontend, ServerBuilder::page).spawn()?;
        let system = self.stage.runtime.system_server_builder(&environment.system)?;
        let pages = dashboard_pages("/metrics").into_iter();
        let system = system.map(|server| pages.fold(server, ServerBuilder::page).spawn());
        Ok((frontend, system.transpose()?))
    }

    /// Returns the pages of both roles as one valid body.
    pub fn exposition(&self) -> BytesMut {
        let runtime = self.stage.runtime.exposition();
        let pages = [self.stage.frontend_page.clone(), runtime].map(|page| {
            let mut body = BytesMut::new();
            page.write(&mut body);
            body
        });
        let (filter, mut body) = (Filter::all(), BytesMut::new());
        let sources = pages.iter().map(|page| Source::new(&filter, page));
        Passthrough::new().merge(
            sources,
            &|_| false,
            negotiate(None),
            &NameFilter::default(),
            &mut body,
        );
        body
    }

    /// Ends the replay. `trace` is the trace's name, `wall` the time that the replay took.
    pub fn summary(self, trace: String, wall: Duration) -> Summary {
        self.stage.summary(trace, wall)
    }
}

/// Returns the blocks that a cache needs so that nothing is ever evicted: each id once, and for every request those that
/// have no id, of its answer.
pub fn blocks_of(trace: &Trace) -> u64 {
    let Some(block_tokens) = trace.block_tokens() else { return 0 };
    let ids: HashSet<u64> =
        trace.requests().iter().flat_map(|request| trace.blocks(request)).copied().collect();
    let answers = trace.requests().iter().map(|request| request.output_tokens / block_tokens + 2);
    ids.len() as u64 + answers.sum::<u64>()
}

/// The two roles of the replay, and the state of each request.
struct Stage<'a> {
    trace: &'a Trace,
    model: &'a str,
    clock: Arc<VirtualClock>,
    runtime: DistributedRuntime,
    frontend: FrontendMetrics,
    handler: WorkHandlerMetrics,
    kv_stats: KvStatsMetrics,
    router: KvRouter,
    /// The page of the frontend alone, as the worker's port shows the runtime alone: a scraper of both counts nothing twice.
    frontend_page: MetricsExposition,
    requests: Vec<Option<Active>>,
    finished: u64,
    now_ns: u64,
    cached_tokens: u64,
    /// The number of reused blocks of each worker: its cache's own count of blocks that were found.
    reused_blocks: Vec<u64>,
    block_size: u64,
    input_tokens: u64,
    output_tokens: u64,
    first_token: Latencies,
    inter_token: Latencies,
    duration: Latencies,
}

struct Active {
    request: Request,
    work: Option<WorkRequest>,
    arrived_ns: u64,
    /// The time at which its last tokens came; `None` before the first.
    last_tokens_ns: Option<u64>,
}

impl<'a> Stage<'a> {
    fn new(
        options: &'a ReplayOptions,
        environment: &Environment,
        trace: &'a Trace,
    ) -> Result<Self, Failure> {
        let config = options.engine;
        let clock = Arc::new(VirtualClock::default());
        let runtime = DistributedRuntime::with_options(RuntimeOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..RuntimeOptions::from(&environment.system)
        })?;
        let frontend_config = FrontendConfig {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..FrontendConfig::from(&environment.frontend)
        };
        let registry = new_registry();
        let frontend = FrontendMetrics::new(&registry, frontend_config)?;
        let namespace = runtime.namespace(&options.namespace)?;
        let backend = namespace.component("backend")?;
        let handler = backend.endpoint("generate")?.serve(&[])?;
        let kv_stats = backend.kv_stats()?;
        let router = KvRouter::new(&namespace.component("router")?)?;
        let card = ModelCard {
            context_length: 131_072,
            kv_cache_block_size: config.block_size,
            migration_limit: 0,
        };
        let runtime_config = RuntimeConfig {
            total_kv_blocks: Some(config.kv_blocks),
            max_num_seqs: Some(config.slots),
            max_num_batched_tokens: Some(config.batched_tokens),
        };
        for worker in 0..options.workers {
            frontend.models().add(&options.model, worker as u64, &card, &runtime_config);
        }
        let mut requests = Vec::new();
        requests.resize_with(trace.requests().len(), || None);
        Ok(Self {
            trace,
            model: &options.model,
            clock,
            frontend_page: MetricsExposition::of_registry(&registry),
            runtime,
            frontend,
            handler,
            kv_stats,
            router,
            requests,
            finished: 0,
            now_ns: 0,
            cached_tokens: 0,
            reused_blocks: vec![0; options.workers],
            block_size: config.block_size,
            input_tokens: 0,
            output_tokens: 0,
            first_token: Latencies::new(),
            inter_token: Latencies::new(),
            duration: Latencies::new(),
        })
    }

    fn summary(self, trace: String, wall: Duration) -> Summary {
        Summary {
            trace,
            assumed: self.trace.assumed().to_vec(),
            requests: self.finished,
            input_tokens: self.input_tokens,
            cached_tokens: self.cached_tokens,
            reused_blocks: self.reused_blocks.iter().sum(),
            block_size: self.block_size,
            output_tokens: self.output_tokens,
            first_token: self.first_token,
            inter_token: self.inter_token,
            duration: self.duration,
            replayed: Duration::from_nanos(self.now_ns),
            wall,
        }
    }

    fn advance(&mut self, now_ns: u64) -> Timestamp {
        let now = Timestamp::from_nanos(now_ns);
        if now_ns > self.now_ns {
            self.now_ns = now_ns;
            self.clock.set(now);
        }
        now
    }
}

impl Observer for Stage<'_> {
    fn arrived(&mut self, request: usize, now_ns: u64) {
        let now = self.advance(now_ns);
        let input_tokens = self.trace.requests()[request].input_tokens;
        let mut active = self.frontend.begin(
            HttpEndpoint::ChatCompletions,
            RequestType::Stream,
            self.model,
            now,
        );
        active.input_tokens(input_tokens);
        self.input_tokens += input_tokens;
        self.requests[request] =
            Some(Active { request: active, work: None, arrived_ns: now_ns, last_tokens_ns: None });
    }

    fn routed(&mut self, request: usize, _worker: usize, now_ns: u64) {
        let now = self.advance(now_ns);
        let bytes = REQUEST_BYTES + INPUT_TOKEN_BYTES * self.trace.requests()[request].input_tokens;
        if let Some(active) = &mut self.requests[request] {
            active.work = Some(self.handler.begin(bytes, now));
        }
    }

    fn dispatched(
        &mut self,
        request: usize,
        _worker: usize,
        cached_tokens: Option<u64>,
        now_ns: u64,
    ) {
        self.advance(now_ns);
        if let (Some(active), Some(cached_tokens)) = (&mut self.requests[request], cached_tokens) {
            active.request.cached_tokens(cached_tokens);
            self.cached_tokens += cached_tokens;
        }
    }

    #[inline]
    fn tokens(&mut self, request: usize, n: u64, now_ns: u64) {
        let now = self.advance(now_ns);
        let Some(active) = &mut self.requests[request] else { return };
        active.request.tokens(n, now);
        if let Some(work) = &active.work {
            work.response_bytes(OUTPUT_TOKEN_BYTES * n);
        }
        self.output_tokens += n;
        match active.last_tokens_ns.replace(now_ns) {
            None => self.first_token.record_n(now_ns - active.arrived_ns, 1),
            Some(before_ns) => self.inter_token.record_n((now_ns - before_ns) / n, n),
        }
    }

    fn finished(&mut self, request: usize, now_ns: u64) {
        let now = self.advance(now_ns);
        let Some(active) = self.requests[request].take() else { return };
        if let Some(work) = active.work {
            work.finish(now);
        }
        active.request.succeed(now);
        self.duration.record_n(now_ns - active.arrived_ns, 1);
        self.finished += 1;
    }

    fn worker_state(&mut self, worker: usize, stats: &KvStats, _now_ns: u64) {
        self.reused_blocks[worker] = stats.hit_blocks;
        self.router.publish(worker as u64, &Stats::from(*stats).into());
        self.kv_stats.publish(&self.router.aggregate());
    }
}

/// The replay's frontend is alive as long as its process is.
struct Live;

impl Health for Live {
    fn health(&self) -> HealthAnswer {
        dynamo_metrics::FrontendHealth::new().health().into()
    }

    fn live(&self) -> HealthAnswer {
        dynamo_metrics::FrontendHealth::new().live().into()
    }
}
