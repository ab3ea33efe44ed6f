//! The frontend: OpenAI's API in front of a fleet of workers, with `dynamo_frontend_*` on `/metrics`.
//!
//! ```text
//! api         handlers of /v1/*: from bytes to a Generation and from its pieces to bytes
//! message     a message of a chat
//! openai      the fields of requests and the form of answers
//! tokenize    the preprocessor
//! generation  one request's way through the fleet
//! fleet       the workers, and the choice of one for a request
//! workers     the routes by which workers join
//! ```

mod api;
pub(crate) mod fleet;
mod generation;
mod message;
mod openai;
mod tokenize;
mod workers;

use crate::failure::Failure;
use crate::http::client::Client;
use crate::http::listener::Port;
use crate::http::telemetry::Telemetry;
use crate::process::process_metrics;
use crate::protocol::STATS_PERIOD;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dynamo_metrics::environment::FrontendEnvironment;
use dynamo_metrics::{
    DistributedRuntime, Exporter, FrontendConfig, FrontendHealth, FrontendMetrics, KvRouter,
    PreprocessorMetrics, ProbeAnswer, Registry, register_mounted_telemetry,
};
use dynamo_metrics_server::{CorsOrigins, MetricsService, StaticPage};
use fleet::Fleet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use workers::Joining;

/// The label `server` of the counters of the frontend's port and page.
const SERVER: &str = "frontend";
/// Longest time that requests go on after the process was asked to stop (Dynamo's default).
pub const GRACE: Duration = Duration::from_secs(5);

/// Settings of a frontend.
#[derive(Clone, Debug)]
pub struct FrontendOptions {
    /// Namespace of the frontend's router.
    pub namespace: String,
    /// True if the port is reachable from this machine only.
    pub on_loopback: bool,
    /// The token that workers must show to join. Without one they may join on loopback only.
    pub worker_token: Option<String>,
    /// Model names without a worker that may be label values; the others are counted as `unknown_model`.
    pub unserved_models_max: usize,
    /// True if `process_*` metrics are on this page: where the process has a system port they are on that.
    pub process_metrics: bool,
    /// Pages that never change, beside the API.
    pub pages: Vec<StaticPage>,
}

impl FrontendOptions {
    /// Returns whether workers can join at all: they need a token, or a port on loopback.
    pub fn admits_workers(&self) -> bool {
        self.joining() != Joining::Closed
    }

    fn joining(&self) -> Joining {
        Joining::new(self.worker_token.as_deref(), self.on_loopback)
    }
}

/// A frontend: the state that all its handlers share.
#[derive(Debug)]
pub struct App {
    pub(crate) metrics: FrontendMetrics,
    pub(crate) preprocessor: PreprocessorMetrics,
    pub(crate) fleet: Fleet,
    pub(crate) client: Client,
    pub(crate) health: Arc<FrontendHealth>,
    exporter: Exporter,
    scrapes: MetricsService,
    joining: Joining,
    telemetry: Arc<Telemetry>,
    paths: Paths,
    cors_origins: CorsOrigins,
    pages: Vec<StaticPage>,
}

/// The paths of the frontend's own pages. They are compared as plain text; routes of the router have a syntax.
#[derive(Debug)]
struct Paths {
    metrics: String,
    health: String,
    live: String,
}

impl Paths {
    fn has(&self, path: &str) -> bool {
        [&self.metrics, &self.health, &self.live].into_iter().any(|known| known == path)
    }
}

impl App {
    /// Makes the frontend's metrics in `registry` and the router's in `runtime`.
    ///
    /// # Errors
    /// Metrics of these names exist already, or metrics or a probe have the path of one of the other pages.
    pub fn new(
        runtime: &DistributedRuntime,
        registry: &Registry,
        environment: &FrontendEnvironment,
        options: &FrontendOptions,
    ) -> Result<Arc<Self>, Failure> {
        let config = FrontendConfig {
            unserved_models_max: options.unserved_models_max,
            ..FrontendConfig::from(environment)
        };
        let paths = Paths {
            metrics: environment.metrics_path.clone(),
            health: environment.health_path.clone(),
            live: environment.live_path.clone(),
        };
        if let Some(page) = options.pages.iter().find(|page| paths.has(page.path())) {
            let path = page.path();
            return Err(format!(
                "the frontend has a page at {path}: give its metrics or probes another path"
            )
            .into());
        }
        registry.print_details(environment.details);
        let metrics = FrontendMetrics::new(registry, config)?;
        let preprocessor = PreprocessorMetrics::new(registry)?;
        let health = Arc::new(FrontendHealth::new());
        let router = runtime.namespace(&options.namespace)?.component("router")?;
        let router = match environment.router_workers {
            true => KvRouter::new(&router)?,
            false => KvRouter::without_worker_series(&router)?,
        };
        let fleet = Fleet::new(router, metrics.clone(), Arc::clone(&health));
        let exporter = Exporter::new(registry);
        if options.process_metrics {
            process_metrics(&exporter)?;
        }
        let scrapes = exporter.mount()?;
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
            exporter,
            scrapes,
            joining: options.joining(),
            telemetry,
            paths,
            cors_origins: environment.cors_origins.clone(),
            pages: options.pages.clone(),
        }))
    }

    /// Returns the exporter of the frontend's page.
    pub fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    fn has_page(&self, path: &str) -> bool {
        self.paths.has(path) || self.pages.iter().any(|page| page.path() == path)
    }

    /// Returns the names of the models that workers serve.
    pub fn models(&self) -> Vec<String> {
        self.fleet.models()
    }
}

/// Serves the API and the probes until `stop` returns, and then completes the answers that were begun, for [`GRACE`] at
/// most. Must be called within tokio.
pub async fn serve(app: Arc<App>, listener: TcpListener, stop: impl Future<Output = ()>) {
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
        stop.await;
        app.health.shut_down();
    };
    // Streams that outlive the grace are cut off, which counts as errors.
    port.serve(listener, stop, GRACE).await;
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

/// Metrics, probes and pages that never change, for pages of other origins if these are allowed; every other target, as `*` and the
/// authority of a `CONNECT`, is not there.
async fn page(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    if !app.has_page(head.uri.path()) {
        return api::not_found(&app, head.uri.path());
    }
    if let Some(preflight) = app.cors_origins.preflight(&head.method, &head.headers) {
        return preflight.map(axum::body::Body::from);
    }
    let mut response = known_page(&app, &head).await;
    app.cors_origins.allow(&head.headers, response.headers_mut());
    response
}

/// A page that there is. A scrape is gathered on a thread of its own, so it never delays a token.
async fn known_page(app: &App, head: &Parts) -> Response {
    let path = head.uri.path();
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return api::method_not_allowed(app, head, "GET,HEAD");
    }
    if let Some(page) = app.pages.iter().find(|page| page.path() == path) {
        return page.response().map(axum::body::Body::from);
    }
    if path == app.paths.health {
        let asks = |name: &str| name == "ready" || name.starts_with("ready=");
        let ready = head.uri.query().is_some_and(|query| query.split('&').any(asks));
        return probe(if ready { app.health.readiness() } else { app.health.health() });
    }
    if path == app.paths.live {
        return probe(app.health.live());
    }
    app.scrapes.respond(&head.headers, &head.uri).await.map(axum::body::Body::from)
}

fn probe(answer: ProbeAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}
