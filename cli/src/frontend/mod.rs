//! The frontend: OpenAI's API in front of a fleet of workers, with `dynamo_frontend_*` on `/metrics`.
//!
//! ```text
//! api         handlers of /v1/*: from bytes to a Generation and from its pieces to bytes
//! openai      what requests may say and how answers look
//! tokenize    the preprocessor
//! generation  one request's way through the fleet
//! fleet       the workers and who takes what
//! workers     how workers join, and whose word for it is taken
//! ```

mod api;
pub(crate) mod fleet;
mod generation;
mod openai;
mod tokenize;
mod workers;

use crate::Failure;
use crate::http::client::Client;
use crate::http::listener::{self, Port};
use crate::http::telemetry::Telemetry;
use crate::options::WebOptions;
use crate::protocol::STATS_PERIOD;
use crate::{shutdown, worker};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::Args;
use dynamo_metrics::environment::FrontendEnvironment;
use dynamo_metrics::{
    DistributedRuntime, FrontendConfig, FrontendHealth, FrontendMetrics, MetricsExposition,
    PreprocessorMetrics, ProbeAnswer, Registry, RuntimeOptions, UNSERVED_MODELS_MAX_DEFAULT,
    new_registry, register_mounted_telemetry,
};
use dynamo_metrics_server::{MetricsService, Server};
use fleet::Fleet;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use workers::Joining;

/// The label `server` of what the frontend's port and its page count of themselves.
const SERVER: &str = "frontend";
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
    /// What workers must show to join. Needed unless the frontend listens on loopback: whoever joins is sent prompts.
    #[arg(long, value_name = "TOKEN", env = "DYN_METRICS_WORKER_TOKEN", hide_env_values = true)]
    worker_token: Option<String>,
    /// How many model names that no worker serves may be label values, first come first served; the others are
    /// `unknown_model`.
    #[arg(long, value_name = "N", default_value_t = UNSERVED_MODELS_MAX_DEFAULT)]
    unserved_models_max: usize,
}

impl HttpOptions {
    /// Who may join, if anybody may.
    fn joining(&self) -> Joining {
        Joining::new(self.worker_token.as_deref(), self.host.is_loopback())
    }
}

/// Runs until it is asked to stop.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    if options.http.joining() == Joining::Nobody {
        return Err(format!(
            "--host {} lets strangers register workers, which are sent prompts: give --worker-token or \
             DYN_METRICS_WORKER_TOKEN, here and to the workers",
            options.http.host
        )
        .into());
    }
    let mut environment = worker::environment()?;
    options.web.apply(&mut environment.system);
    let runtime = DistributedRuntime::with(RuntimeOptions::from(&environment.system))?;
    let system = options.web.start(&runtime, &environment.system, "frontend")?;
    if let Some(system) = &system {
        say!("system   {}://{}/metrics", system.scheme(), system.local_addr());
    }
    // The router's statistics are on the system port, or where there is none on the frontend's page: never on both,
    // since who scrapes both would count them twice.
    let registry = if system.is_some() { new_registry() } else { runtime.registry().clone() };
    let app =
        App::new(&runtime, &registry, &environment.frontend, &options.namespace, &options.http)?;
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
    joining: Joining,
    telemetry: Arc<Telemetry>,
    paths: Paths,
}

/// Where the frontend's own pages are. They are compared as they stand and are not the router's, whose paths have a
/// syntax.
#[derive(Debug)]
struct Paths {
    metrics: String,
    health: String,
    live: String,
}

impl App {
    /// Makes the frontend's metrics in `registry` and the router's in `runtime`.
    pub(crate) fn new(
        runtime: &DistributedRuntime,
        registry: &Registry,
        environment: &FrontendEnvironment,
        namespace: &str,
        options: &HttpOptions,
    ) -> Result<Arc<Self>, Failure> {
        let config = FrontendConfig {
            unserved_models_max: options.unserved_models_max,
            ..FrontendConfig::from(environment)
        };
        let metrics = FrontendMetrics::new(registry, config)?;
        let preprocessor = PreprocessorMetrics::new(registry)?;
        let health = Arc::new(FrontendHealth::new());
        let router = runtime.namespace(namespace)?.component("router")?;
        let fleet = Fleet::new(&router, metrics.clone(), Arc::clone(&health))?;
        let exposition = MetricsExposition::of_registry(registry);
        let scrapes = Server::builder().exposition(exposition).mount()?;
        register_mounted_telemetry(registry, SERVER, scrapes.telemetry())?;
        let telemetry = Arc::new(Telemetry::default());
        telemetry.register(registry, SERVER)?;
        let client = Client::default();
        Ok(Arc::new(Self {
            metrics,
            preprocessor,
            fleet,
            client,
            health,
            scrapes,
            joining: options.joining(),
            telemetry,
            paths: Paths {
                metrics: environment.metrics_path.clone(),
                health: environment.health_path.clone(),
                live: environment.live_path.clone(),
            },
        }))
    }
}

/// Serves the API and the probes until the process is asked to stop.
pub(crate) async fn serve(
    app: Arc<App>,
    options: &HttpOptions,
    environment: &FrontendEnvironment,
) -> Result<(), Failure> {
    // Before anybody knows of the port.
    let asked = shutdown::requested();
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
    let port = Port::new(router(Arc::clone(&app)), Arc::clone(&app.telemetry));
    let counted = Arc::clone(&app);
    let refused = Arc::new(move |head: &Parts, refusal| api::refused(&counted, head, refusal));
    let port = Port { refused, ..port };
    let stop = async {
        asked.await;
        app.health.shut_down();
    };
    // Streams that outlive the grace are cut off, which counts as errors.
    port.serve(listener, stop, GRACE).await;
    Ok(())
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(api::CHAT_COMPLETIONS, post(api::chat_completions).fallback(api::wrong_method))
        .route(api::COMPLETIONS, post(api::completions).fallback(api::wrong_method))
        .route("/v1/models", get(api::models).fallback(api::wrong_method))
        // Names of models have slashes.
        .route("/v1/models/{*id}", get(api::model).fallback(api::wrong_method))
        .merge(workers::routes(&app))
        .fallback(page)
        .with_state(app)
}

/// Metrics and probes. A scrape is gathered on a thread of its own, so it never delays a token.
async fn page(State(app): State<Arc<App>>, request: Request) -> Response {
    let Paths { metrics, health, live } = &app.paths;
    let path = request.uri().path();
    if ![metrics, health, live].into_iter().any(|known| known == path) {
        return api::not_found(path);
    }
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET,HEAD")]).into_response();
    }
    if path == health {
        let asks = |name: &str| name == "ready" || name.starts_with("ready=");
        let ready = request.uri().query().is_some_and(|query| query.split('&').any(asks));
        return probe(if ready { app.health.readiness() } else { app.health.health() });
    }
    if path == live {
        return probe(app.health.live());
    }
    let (head, _) = request.into_parts();
    app.scrapes.respond(&head.headers, &head.uri).await.map(axum::body::Body::from)
}

fn probe(answer: ProbeAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}
