//! `worker`: a component with a simulated engine, its system port, and its place in a frontend's fleet.

pub(crate) mod service;

use crate::Failure;
use crate::engine::real_time::Engine;
use crate::http::client::{Client, ClientError};
use crate::http::listener::{self, Port};
use crate::http::telemetry::Telemetry;
use crate::options::{ModelOptions, PlaceOptions, WebOptions, parse_time, say_ready};
use crate::protocol::{DRAIN_MAX, Register, STATS_PERIOD, WORKERS_PATH};
use crate::shutdown;
use clap::Args;
use dynamo_metrics::engine::ENGINE_TIMEOUT_DEFAULT;
use dynamo_metrics::{
    Canary, Component, DistributedRuntime, EngineLabels, EngineSource, Environment, Filter,
    HealthStatus, RuntimeOptions,
};
use hyper::{Method, Uri};
use service::WorkService;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a frontend may take to let the worker go. It answers at once or not at all.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// The label `server` of what the port for requests counts of itself.
const SERVER: &str = "worker";

/// Options of `worker`.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    /// The frontend to register with.
    #[arg(long, default_value = "http://127.0.0.1:8000", value_parser = parse_url)]
    frontend: String,
    /// What the frontend was told that workers must show.
    #[arg(long, value_name = "TOKEN", env = "DYN_METRICS_WORKER_TOKEN", hide_env_values = true)]
    worker_token: Option<String>,
    /// Address to take requests on, which the frontend must be able to reach.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to take requests on; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where the frontend reaches this worker, as http://worker-7:9000. Unless given it is the address to take
    /// requests on; if that is every address of this machine (0.0.0.0), the one that faces the frontend.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    advertise: Option<String>,
    /// The worker's number in the fleet; random unless given.
    #[arg(long)]
    instance_id: Option<u64>,
    /// Lets the engine die after so many seconds, in the middle of whatever it does, to see what that does to
    /// requests and metrics. The process ends with it.
    #[arg(long, value_name = "SECONDS", value_parser = parse_time)]
    die_after: Option<f64>,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    web: WebOptions,
}

/// Runs until it is asked to stop.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let client = Client::with_token(options.worker_token.as_deref())
        .map_err(|error| format!("--worker-token cannot be shown: {error}"))?;
    let mut environment = environment()?;
    options.web.apply(&mut environment.system);
    let runtime = DistributedRuntime::with(RuntimeOptions::from(&environment.system))?;
    let system = options.web.start(&runtime, &environment.system, "worker")?;
    if let Some(system) = &system {
        say!("system   {}://{}/metrics", system.scheme(), system.local_addr());
    } else {
        say!("system   off; set DYN_SYSTEM_PORT=8081 to see this worker's metrics");
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = tokio.block_on(async {
        let component =
            runtime.namespace(&options.place.namespace)?.component(&options.place.component)?;
        let id = options.instance_id.unwrap_or_else(random_id);
        let Options { model, place, host, port, frontend, .. } = &options;
        let worker = Worker::start(&component, id, model, place, *host, *port).await?;
        let stopped = shutdown::requested();
        say!("requests {}", worker.url);
        say_ready(&runtime);
        let mut registration = worker.registration(id, model, place);
        if let Some(url) = &options.advertise {
            registration.url.clone_from(url);
        }
        tokio::select! {
            result = stay_registered(&client, frontend, registration, &worker.engine) => result,
            () = stopped => {
                runtime.health().set_system(HealthStatus::NotReady);
                leave(&client, frontend, id).await;
                tokio::select! {
                    () = worker.drain() => {}
                    // Whoever asks twice does not want to wait.
                    () = shutdown::requested() => {}
                }
                Ok(())
            }
            () = death(options.die_after) => {
                worker.engine.kill();
                // Time for the streams to break and for a last scrape to show it.
                tokio::time::sleep(STATS_PERIOD).await;
                Err("the engine died, as --die-after asked".into())
            }
        }
    });
    tokio.shutdown_background();
    drop(system);
    result
}

/// Reads the environment, printing its warnings.
pub(crate) fn environment() -> Result<Environment, Failure> {
    let (environment, warnings) = Environment::from_process()?;
    for warning in warnings {
        eprintln!("dynamo-metrics: warning: {warning}");
    }
    Ok(environment)
}

/// A worker that takes requests.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) url: String,
    pub(crate) engine: Engine,
    /// Dropped when no more requests are to be taken.
    open: oneshot::Sender<()>,
    server: JoinHandle<()>,
    /// Sent until the worker ends.
    _canary: Canary,
}

impl Worker {
    /// Starts an engine on `component` and serves its endpoint `generate`. Must be called within tokio.
    pub(crate) async fn start(
        component: &Component,
        instance_id: u64,
        model: &ModelOptions,
        place: &PlaceOptions,
        host: IpAddr,
        port: u16,
    ) -> Result<Self, Failure> {
        add_engine_sources(component, instance_id, model, place)?;
        let engine = Engine::start(model.engine())?;
        let service = WorkService::new(component, engine.clone(), &model.models)?;
        let canary = service.canary(component)?;
        let listener = listener::bind(host, port, "--port").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let telemetry = Arc::new(Telemetry::default());
        telemetry.register(component.runtime().registry(), SERVER)?;
        let (open, closed) = oneshot::channel::<()>();
        let closed = async { drop(closed.await) };
        let port = Port::new(service.router(), telemetry);
        let server = tokio::spawn(port.serve(listener, closed, DRAIN_MAX));
        Ok(Self { url, engine, open, server, _canary: canary })
    }

    /// Waits until the requests that were taken are answered, for [`DRAIN_MAX`] at most.
    async fn drain(self) {
        drop(self.open);
        // It ends by itself; what it has not finished by then is cut off.
        let _ = self.server.await;
    }

    /// What the worker tells a frontend about itself.
    pub(crate) fn registration(
        &self,
        instance_id: u64,
        model: &ModelOptions,
        place: &PlaceOptions,
    ) -> Register {
        let config = model.runtime_config();
        let card = model.card();
        Register {
            instance_id,
            url: self.url.clone(),
            namespace: place.namespace.clone(),
            component: place.component.clone(),
            endpoint: service::ENDPOINT.into(),
            models: model.models.clone(),
            context_length: card.context_length,
            kv_cache_block_size: card.kv_cache_block_size,
            migration_limit: card.migration_limit,
            total_kv_blocks: config.total_kv_blocks,
            max_num_seqs: config.max_num_seqs,
            max_num_batched_tokens: config.max_num_batched_tokens,
            stats: self.engine.stats().into(),
        }
    }
}

/// Registers, then tells the figures for ever; registers again whenever the frontend does not know the worker.
async fn stay_registered(
    client: &Client,
    frontend: &str,
    mut registration: Register,
    engine: &Engine,
) -> Result<(), Failure> {
    let workers = format!("{frontend}{WORKERS_PATH}");
    let stats = format!("{workers}/{}/stats", registration.instance_id);
    let own_url = registration.url.clone();
    let mut registered = false;
    let mut told = false;
    loop {
        registration.stats = engine.stats().into();
        let result = if registered {
            client.send(Method::POST, &stats, Some(&registration.stats)).await
        } else {
            match reachable(client, &own_url, frontend).await {
                Ok(url) => {
                    registration.url = url;
                    client.send(Method::POST, &workers, Some(&registration)).await
                }
                Err(error) => Err(error),
            }
        };
        match result {
            Ok(_) if !registered => {
                say!("joined   {frontend} as {}", registration.instance_id);
                registered = true;
                told = false;
            }
            Ok(_) => {}
            Err(error) => {
                registered = false;
                if !std::mem::replace(&mut told, true) {
                    eprintln!("dynamo-metrics: {error}; trying again every {STATS_PERIOD:?}");
                }
            }
        }
        tokio::time::sleep(STATS_PERIOD).await;
    }
}

/// The worker's URL as the frontend can use it: 0.0.0.0 stands for every address of this machine and leads whoever
/// connects to it back to itself, so the address that faces the frontend takes its place.
async fn reachable(client: &Client, url: &str, frontend: &str) -> Result<String, ClientError> {
    let address = url.strip_prefix("http://").and_then(|rest| rest.parse::<SocketAddr>().ok());
    match address.filter(|address| address.ip().is_unspecified()) {
        None => Ok(url.into()),
        Some(address) => {
            let facing = client.local_address(frontend).await?;
            Ok(format!("http://{}", SocketAddr::new(facing, address.port())))
        }
    }
}

/// A number that no other worker has. Not the process number: in containers that is 1. Of 53 bits, which every reader
/// of JSON keeps.
fn random_id() -> u64 {
    // Each `RandomState` is seeded at random; std has no other source.
    RandomState::new().build_hasher().finish() >> 11
}

/// An address that paths can be put behind.
fn parse_url(text: &str) -> Result<String, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}; give http://HOST:PORT"))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
        return Err("it is not http://HOST:PORT".into());
    }
    if uri.query().is_some() {
        return Err("it has a query; give http://HOST:PORT".into());
    }
    Ok(text.trim_end_matches('/').into())
}

/// Never, unless it was asked for.
async fn death(after_seconds: Option<f64>) {
    match after_seconds.map(Duration::try_from_secs_f64) {
        Some(Ok(after)) => tokio::time::sleep(after).await,
        // Longer than can be told is never.
        _ => std::future::pending().await,
    }
}

async fn leave(client: &Client, frontend: &str, instance_id: u64) {
    let url = format!("{frontend}{WORKERS_PATH}/{instance_id}");
    // A frontend that is gone needs no farewell.
    let farewell = client.send::<()>(Method::DELETE, &url, None);
    let _ = tokio::time::timeout(FAREWELL_MAX, farewell).await;
}

fn add_engine_sources(
    component: &Component,
    instance_id: u64,
    model: &ModelOptions,
    place: &PlaceOptions,
) -> Result<(), Failure> {
    // As Dynamo spells it.
    let mut labels = vec![("worker_id", format!("{instance_id:x}"))];
    // Whose a sample is of two models nobody can tell.
    if let [model] = &*model.models {
        labels.push(("model", model.clone()));
    }
    let labels = EngineLabels::new(labels)?;
    for EngineOption { kind, name, labelled, url } in engine_options(&place.engine_metrics)? {
        let filter = match kind {
            "vllm" => Filter::vllm(),
            "sglang" => Filter::sglang(),
            "trtllm" => Filter::trtllm(),
            "lmcache" => Filter::lmcache(),
            _ => Filter::all(),
        };
        let mut source = EngineSource::url(name, filter, url, ENGINE_TIMEOUT_DEFAULT)?;
        if place.label_engine_metrics {
            source = source.level_labels().labels(labels.clone());
        }
        if labelled {
            source = source.source_label();
        }
        component.add_engine_source(source)?;
    }
    Ok(())
}

/// One `--engine-metrics`.
#[derive(Debug, PartialEq, Eq)]
struct EngineOption<'a> {
    kind: &'a str,
    name: String,
    /// Whether its samples get the label `engine_source`: where the kind is given several times, or the name beside the kind.
    labelled: bool,
    url: &'a str,
}

/// Reads `KIND=URL` and `KIND@NAME=URL`. Engines of one kind without names are numbered in their order. All of that hangs on the
/// options alone, so no series changes its labels while engines come and go.
fn engine_options(options: &[String]) -> Result<Vec<EngineOption<'_>>, String> {
    let mut read = Vec::with_capacity(options.len());
    for option in options {
        let (kind, url) = option.split_once('=').unwrap_or_default();
        let (kind, name) = match kind.split_once('@') {
            Some((kind, name)) => (kind, Some(name)),
            None => (kind, None),
        };
        if kind.is_empty() || url.is_empty() || name.is_some_and(str::is_empty) {
            return Err(format!("--engine-metrics {option:?} is not KIND=URL or KIND@NAME=URL"));
        }
        read.push((option, kind, name, url));
    }
    let mut engines: Vec<EngineOption<'_>> = Vec::with_capacity(read.len());
    for (at, &(option, kind, name, url)) in read.iter().enumerate() {
        let of_kind = |(_, other, ..): &&(&String, &str, Option<&str>, &str)| *other == kind;
        let several = read.iter().filter(of_kind).count() > 1;
        let name = match name {
            Some(name) => name.to_string(),
            None if several => format!("{kind}-{}", read[..at].iter().filter(of_kind).count()),
            None => kind.to_string(),
        };
        if engines.iter().any(|other| other.name == name) {
            let reason = "two engines of one name could not be told apart; give each its own";
            return Err(format!("--engine-metrics {option:?}: {reason}"));
        }
        let labelled = several || read[at].2.is_some();
        engines.push(EngineOption { kind, name, labelled, url });
    }
    Ok(engines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_of_one_kind_are_numbered_or_named_and_labelled() {
        let read = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|&option| option.into()).collect();
            let engines = engine_options(&options)?;
            Ok::<_, String>(
                engines
                    .into_iter()
                    .map(|e| (e.kind.to_owned(), e.name, e.labelled))
                    .collect::<Vec<_>>(),
            )
        };
        let told = |kind: &str, name: &str, labelled| (kind.to_owned(), name.to_owned(), labelled);
        assert_eq!(read(&["vllm=http://a"]), Ok(vec![told("vllm", "vllm", false)]));
        assert_eq!(
            read(&["vllm=http://a", "lmcache=http://c", "vllm=http://b"]),
            Ok(vec![
                told("vllm", "vllm-0", true),
                told("lmcache", "lmcache", false),
                told("vllm", "vllm-1", true)
            ])
        );
        assert_eq!(
            read(&["vllm@left=http://u@a/?x=1", "vllm=http://b"]),
            Ok(vec![told("vllm", "left", true), told("vllm", "vllm-1", true)])
        );
        for bad in ["vllm", "=http://a", "vllm=", "vllm@=http://a", "@x=http://a"] {
            assert!(read(&[bad]).unwrap_err().contains("KIND@NAME=URL"), "{bad}");
        }
        let twice = read(&["vllm@a=http://a", "sglang@a=http://b"]).unwrap_err();
        assert!(twice.contains("one name"), "{twice}");
    }

    #[test]
    fn addresses_are_taken_with_and_without_a_slash_and_nothing_else_is() {
        for (given, taken) in [
            ("http://h:8000/", "http://h:8000"),
            ("http://[::1]:8000", "http://[::1]:8000"),
            ("http://h/under/", "http://h/under"),
        ] {
            assert_eq!(parse_url(given).as_deref(), Ok(taken));
        }
        for given in ["", "h:8000", "https://h:8000", "http://h:8000/?a=1", "http://"] {
            assert!(parse_url(given).unwrap_err().contains("http://HOST:PORT"), "{given}");
        }
    }

    #[tokio::test]
    async fn every_address_is_advertised_as_the_one_that_faces_the_frontend() {
        let client = Client::default();
        let frontend = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let frontend = format!("http://{}", frontend.local_addr().expect("its address"));
        let url = reachable(&client, "http://0.0.0.0:9000", &frontend).await.expect("it listens");
        assert_eq!(url, "http://127.0.0.1:9000");
        for url in ["http://10.0.0.7:9000", "http://worker-7:9000"] {
            assert_eq!(reachable(&client, url, "http://nowhere:1").await.expect("not asked"), url);
        }
    }
}
