//! The frontend: OpenAI's API in front of a fleet of workers, with `dynamo_frontend_*` on `/metrics`.
//!
//! ```text
//! api         handlers of /v1/*: from bytes to a Generation and from its pieces to bytes
//! openai      what requests may say and how answers look
//! tokenize    the preprocessor
//! generation  one request's way through the fleet
//! fleet       the workers and who takes what
//! ```

mod api;
pub(crate) mod fleet;
mod generation;
mod openai;
mod tokenize;

use crate::Failure;
use crate::http::client::Client;
use crate::http::listener;
use crate::options::WebOptions;
use crate::protocol::{Register, STATS_PERIOD, Stats, WORKERS_PATH};
use crate::{shutdown, worker};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use clap::Args;
use dynamo_metrics::environment::FrontendEnvironment;
use dynamo_metrics::{
    DistributedRuntime, FrontendConfig, FrontendHealth, FrontendMetrics, MetricsExposition,
    PreprocessorMetrics, ProbeAnswer, Registry, RuntimeOptions, new_registry,
};
use dynamo_metrics_server::{MetricsService, Server};
use fleet::Fleet;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// How long requests may go on after the process was asked to stop (Dynamo's default).
const GRACE: Duration = Duration::from_secs(5);

/// Options of `frontend`.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) http: HttpOptions,
    /// Namespace of the frontend's router.
    #[arg(long, env = "DYN_NAMESPACE", default_value = "dynamo")]
    namespace: String,
    #[command(flatten)]
    web: WebOptions,
}

/// Where the frontend listens.
#[derive(Args, Debug)]
pub(crate) struct HttpOptions {
    /// Address to listen on; everything but this machine is shut out unless given.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// Port to listen on; DYN_HTTP_PORT unless given, else 8000. 0 takes any free one.
    #[arg(long)]
    pub(crate) http_port: Option<u16>,
}

/// Runs until it is asked to stop.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let mut environment = worker::environment()?;
    options.web.apply(&mut environment.system);
    let runtime = DistributedRuntime::with(RuntimeOptions::from(&environment.system))?;
    let system = runtime.start_system_server(&environment.system)?;
    if let Some(system) = &system {
        say!("system   {}://{}/metrics", system.scheme(), system.local_addr());
    }
    // The router's statistics are on the system port, or where there is none on the frontend's page: never on both,
    // since who scrapes both would count them twice.
    let registry = if system.is_some() { new_registry() } else { runtime.registry().clone() };
    let app = App::new(&runtime, &registry, &environment.frontend, &options.namespace)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = tokio.block_on(serve(app, &options.http, &environment.frontend));
    tokio.shutdown_background();
    drop(system);
    result
}

/// What all handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) metrics: FrontendMetrics,
    pub(crate) preprocessor: PreprocessorMetrics,
    pub(crate) fleet: Fleet,
    pub(crate) client: Client,
    pub(crate) health: Arc<FrontendHealth>,
    scrapes: MetricsService,
}

impl App {
    /// Makes the frontend's metrics in `registry` and the router's in `runtime`.
    pub(crate) fn new(
        runtime: &DistributedRuntime,
        registry: &Registry,
        environment: &FrontendEnvironment,
        namespace: &str,
    ) -> Result<Arc<Self>, Failure> {
        let metrics = FrontendMetrics::new(registry, FrontendConfig::from(environment))?;
        let preprocessor = PreprocessorMetrics::new(registry)?;
        let health = Arc::new(FrontendHealth::new());
        let router = runtime.namespace(namespace)?.component("router")?;
        let fleet = Fleet::new(&router, metrics.clone(), Arc::clone(&health))?;
        let exposition = MetricsExposition::of_registry(registry);
        let scrapes = Server::builder().exposition(exposition).mount()?;
        let client = Client;
        Ok(Arc::new(Self { metrics, preprocessor, fleet, client, health, scrapes }))
    }
}

/// Serves the API and the probes until the process is asked to stop.
pub(crate) async fn serve(
    app: Arc<App>,
    options: &HttpOptions,
    environment: &FrontendEnvironment,
) -> Result<(), Failure> {
    let (port, setting) = match options.http_port {
        Some(port) => (port, "--http-port"),
        None => (environment.http_port, "DYN_HTTP_PORT"),
    };
    let listener = listener::bind(options.host, port, setting).await?;
    let address = listener.local_addr()?;
    say!("frontend http://{address}{}", environment.metrics_path);
    say!(
        "try      curl http://{address}/v1/chat/completions -H 'Content-Type: application/json' \\"
    );
    let model = app.fleet.models().into_iter().next().unwrap_or("Qwen/Qwen3-0.6B".into());
    let model = json!(model).to_string().replace('\'', "'\\''");
    say!(
        "           -d '{{\"model\": {model}, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'"
    );
    let sweeper = Arc::clone(&app);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(STATS_PERIOD).await;
            sweeper.fleet.sweep();
        }
    });
    let router = router(Arc::clone(&app), environment);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown::requested().await;
        app.health.shut_down();
        let _ = stop.send(());
    });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        result = &mut server => return Ok(result?),
        _ = stopped => {}
    }
    // Streams that outlive the grace are cut off, which counts as errors.
    let _ = tokio::time::timeout(GRACE, server).await;
    Ok(())
}

fn router(app: Arc<App>, environment: &FrontendEnvironment) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(api::chat_completions))
        .route("/v1/completions", post(api::completions))
        .route("/v1/models", get(api::models))
        .route(WORKERS_PATH, post(join))
        .route(&format!("{WORKERS_PATH}/{{id}}/stats"), post(heard))
        .route(&format!("{WORKERS_PATH}/{{id}}"), axum::routing::delete(leave))
        .route(&environment.metrics_path, any(metrics))
        .route(
            &environment.health_path,
            get(|State(app): State<Arc<App>>| async move { probe(app.health.health()) }),
        )
        .route(
            &environment.live_path,
            get(|State(app): State<Arc<App>>| async move { probe(app.health.live()) }),
        )
        .with_state(app)
}

/// Gathered on a thread of its own: a scrape never delays a token.
async fn metrics(State(app): State<Arc<App>>, request: Request) -> Response {
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let (head, _) = request.into_parts();
    app.scrapes.respond(&head.headers, &head.uri).await.map(axum::body::Body::from)
}

fn probe(answer: ProbeAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}

async fn join(State(app): State<Arc<App>>, Json(registration): Json<Register>) -> Response {
    match app.fleet.join(registration) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

async fn heard(
    State(app): State<Arc<App>>,
    Path(id): Path<u64>,
    Json(stats): Json<Stats>,
) -> StatusCode {
    if app.fleet.heard(id, stats) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn leave(State(app): State<Arc<App>>, Path(id): Path<u64>) -> StatusCode {
    if app.fleet.leave(id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}
