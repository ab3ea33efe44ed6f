//! `replay`: a real trace through the metrics, in virtual time as fast as the machine allows, or in real time.
//!
//! Every token takes the path that it takes in `serve`: the frontend's request, the worker's handler, the
//! router. Only the clock is another one.

use crate::Failure;
use crate::engine::kv_cache::KvStats;
use crate::engine::model::EngineConfig;
use crate::engine::virtual_time::{Observer, Simulation};
use crate::protocol::Stats;
use crate::summary::{Latencies, Summary};
use crate::trace::{Reading, TimeUnit, Trace};
use crate::worker;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use dynamo_metrics::{
    Clock, DistributedRuntime, Environment, FrontendConfig, FrontendMetrics, HealthStatus,
    HttpEndpoint, KvRouter, KvStatsMetrics, MetricsExposition, ModelCard, Request, RequestType,
    RuntimeConfig, RuntimeOptions, Timestamp, VirtualClock, WorkHandlerMetrics, WorkRequest,
    new_registry,
};
use dynamo_metrics_encoder::foreign::{Filter, Foreign, Source};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::negotiate;
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{Health, HealthAnswer, RunningServer, Server};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a request costs on the wire besides its prompt, and a token of the prompt and of the answer, in bytes:
/// measured on `serve`, where they are really sent.
const REQUEST_BYTES: u64 = 300;
const INPUT_TOKEN_BYTES: u64 = 2;
const OUTPUT_TOKEN_BYTES: u64 = 30;

/// The document's system port, unless `DYN_SYSTEM_PORT` says otherwise.
const SYSTEM_PORT: u16 = 8081;

/// Options of `replay`.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    /// A trace: CSV of Azure or BurstGPT, JSON of Mooncake or Bailian, plain or by gzip, told apart by content.
    trace: PathBuf,
    /// Unit of the trace's timestamps where it does not say; told by its form unless given.
    #[arg(long, value_enum)]
    time_unit: Option<TimeUnit>,
    /// Tokens that one block id of the trace stands for; told by the number of ids unless given.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..))]
    block_size: Option<u64>,
    /// Simulated workers. With one, a prefix is reused whenever it was seen before.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Sequences that a worker runs at once.
    #[arg(long, default_value_t = EngineConfig::replay(None).slots)]
    max_num_seqs: u64,
    /// KV blocks of a worker. Unless given there is room for about a million tokens, or for every block of the
    /// trace at once if that is more.
    #[arg(long)]
    kv_blocks: Option<u64>,
    /// Never reuse blocks of earlier prompts.
    #[arg(long)]
    no_enable_prefix_caching: bool,
    /// Name of the model.
    #[arg(long, default_value = "Qwen/Qwen3-0.6B", value_parser = NonEmptyStringValueParser::new())]
    model: String,
    /// Writes the final exposition of both roles to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE|-")]
    exposition: Option<String>,
    /// Replays in real time, so many times faster than it was.
    #[arg(long, value_parser = parse_speed)]
    speed: Option<f64>,
    /// Keeps both roles' endpoints open during the replay and after it, until the process is stopped.
    #[arg(long)]
    serve: bool,
    /// Address of these endpoints.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port of the frontend's endpoint; DYN_HTTP_PORT unless given, else 8000.
    #[arg(long)]
    http_port: Option<u16>,
}

/// Replays, prints the summary, and serves if that was asked for.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let environment = worker::environment()?;
    let reading = Reading { time_unit: options.time_unit, block_tokens: options.block_size };
    let trace = Trace::read(&options.trace, &reading)?;
    let config = options.engine(&trace);
    // First, since it checks the options, of which the stage makes as many workers as they say.
    let mut simulation = Simulation::new(&trace, options.workers, config)?;
    let mut stage = Stage::new(options, &environment, &trace, config)?;
    let servers = if options.serve { Some(stage.serve(options, &environment)?) } else { None };

    let started = Instant::now();
    match options.speed {
        None => simulation.run_to_end(&mut stage),
        Some(speed) => in_real_time(&mut simulation, &mut stage, speed, &trace),
    }
    let wall = started.elapsed();

    if let Some(target) = &options.exposition {
        write_exposition(target, &stage.exposition())?;
    }
    let summary = stage.summary(options, wall);
    // The exposition may have standard output for itself.
    if options.exposition.as_deref() == Some("-") {
        eprintln!("{summary}");
    } else {
        say!("{summary}");
    }
    if let Some(servers) = servers {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio.block_on(async {
            let stopped = crate::shutdown::requested();
            say!("\nserving until stopped");
            stopped.await;
        });
        drop(servers);
    }
    Ok(())
}

impl Options {
    fn engine(&self, trace: &Trace) -> EngineConfig {
        let config = EngineConfig::replay(trace.block_tokens());
        EngineConfig {
            slots: self.max_num_seqs,
            kv_blocks: self.kv_blocks.unwrap_or_else(|| config.kv_blocks.max(blocks_of(trace))),
            prefix_caching: !self.no_enable_prefix_caching,
            ..config
        }
    }
}

/// Blocks that a cache needs so that nothing is ever evicted: each id once, and for every request those that
/// have no id, of its answer.
fn blocks_of(trace: &Trace) -> u64 {
    let Some(block_tokens) = trace.block_tokens() else { return 0 };
    let ids: HashSet<u64> =
        trace.requests().iter().flat_map(|request| trace.blocks(request)).copied().collect();
    let answers = trace.requests().iter().map(|request| request.output_tokens / block_tokens + 2);
    ids.len() as u64 + answers.sum::<u64>()
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed.is_finite() => Ok(speed),
        _ => Err("a speed is a number above 0, as 1 for the trace's own pace or 60 for a minute a second".into()),
    }
}

/// Whether the environment leaves this to us; empty counts as unset.
fn unset(variable: &str) -> bool {
    std::env::var_os(variable).is_none_or(|value| value.is_empty())
}

fn in_real_time(simulation: &mut Simulation<'_>, stage: &mut Stage<'_>, speed: f64, trace: &Trace) {
    let bar = match crate::takes_escapes() {
        true => ProgressBar::new(trace.requests().len() as u64),
        false => ProgressBar::hidden(),
    };
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} requests, {elapsed} of {eta}")
    {
        bar.set_style(style);
    }
    let started = Instant::now();
    while let Some(next_ns) = simulation.next_event_ns() {
        let due = Duration::try_from_secs_f64(next_ns as f64 / 1e9 / speed);
        // Slower than can be told never gets there.
        let due = due.unwrap_or(Duration::MAX);
        if let Some(wait) = due.checked_sub(started.elapsed()) {
            bar.set_position(stage.finished);
            std::thread::sleep(wait);
        }
        simulation.step(stage);
    }
    bar.finish_and_clear();
}

fn write_exposition(target: &str, body: &[u8]) -> Result<(), Failure> {
    if target == "-" {
        return Ok(std::io::stdout().lock().write_all(body)?);
    }
    std::fs::write(target, body).map_err(|error| format!("cannot write {target}: {error}").into())
}

/// Both roles of the replay, and where each request stands.
struct Stage<'a> {
    trace: &'a Trace,
    model: &'a str,
    clock: Arc<VirtualClock>,
    runtime: DistributedRuntime,
    frontend: FrontendMetrics,
    handler: WorkHandlerMetrics,
    kv_stats: KvStatsMetrics,
    router: KvRouter,
    /// Of the frontend alone, as the worker's port shows the runtime alone: who scrapes both counts nothing twice.
    frontend_page: MetricsExposition,
    requests: Vec<Option<Active>>,
    finished: u64,
    now_ns: u64,
    cached_tokens: u64,
    /// By worker: its cache's own count of blocks that were found.
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
    /// When its last tokens came; `None` before the first.
    last_tokens_ns: Option<u64>,
}

impl<'a> Stage<'a> {
    fn new(
        options: &'a Options,
        environment: &Environment,
        trace: &'a Trace,
        config: EngineConfig,
    ) -> Result<Self, Failure> {
        let clock = Arc::new(VirtualClock::default());
        let runtime = DistributedRuntime::with(RuntimeOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            starting_health_status: HealthStatus::Ready,
            ..RuntimeOptions::from(&environment.system)
        })?;
        let frontend_config = FrontendConfig {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..FrontendConfig::from(&environment.frontend)
        };
        let registry = new_registry();
        let frontend = FrontendMetrics::new(&registry, frontend_config)?;
        let namespace = runtime.namespace("dynamo")?;
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

    /// Opens both roles' ports.
    fn serve(
        &self,
        options: &Options,
        environment: &Environment,
    ) -> Result<(RunningServer, Option<RunningServer>), Failure> {
        let mut system = environment.system.clone();
        if unset("DYN_SYSTEM_PORT") {
            system.port = Some(SYSTEM_PORT);
        }
        if unset("DYN_SYSTEM_HOST") {
            system.host = options.host.to_string();
        }
        let (port, setting) = match options.http_port {
            Some(port) => (port, "--http-port"),
            None => (environment.frontend.http_port, "DYN_HTTP_PORT"),
        };
        let frontend = Server::builder()
            .address(SocketAddr::new(options.host, port))
            .address_source(setting)
            .metrics_path(environment.frontend.metrics_path.as_str())
            .health_path(environment.frontend.health_path.as_str())
            .live_path(environment.frontend.live_path.as_str())
            .exposition(self.frontend_page.clone())
            .health(Live)
            .spawn()?;
        say!("frontend http://{}{}", frontend.local_addr(), environment.frontend.metrics_path);
        let system = self.runtime.start_system_server(&system)?;
        if let Some(system) = &system {
            say!("worker   {}://{}/metrics", system.scheme(), system.local_addr());
        }
        Ok((frontend, system))
    }

    /// Both roles' pages as one valid body.
    fn exposition(&self) -> BytesMut {
        let pages = [self.frontend_page.clone(), MetricsExposition::of_runtime(&self.runtime)].map(
            |page| {
                let mut body = BytesMut::new();
                page.write(&mut body);
                body
            },
        );
        let (filter, mut body) = (Filter::all(), BytesMut::new());
        let sources = pages.iter().map(|page| Source::new(&filter, page));
        Foreign::new().merge(
            sources,
            &|_| false,
            negotiate(None),
            &NameFilter::default(),
            &mut body,
        );
        body
    }

    fn summary(self, options: &Options, wall: Duration) -> Summary {
        Summary {
            trace: options.trace.display().to_string(),
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
