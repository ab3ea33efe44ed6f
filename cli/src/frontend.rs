//! `frontend`: OpenAI's API in front of workers that register with it.

use crate::options::WebOptions;
use crate::output::print_stdout;
#[cfg(feature = "otlp")]
use crate::push;
use crate::{environment, shutdown};
use clap::Args;
use dynamo_metrics::environment::FrontendEnvironment;
use dynamo_metrics::{
    DistributedRuntime, RuntimeOptions, UNSERVED_MODELS_MAX_DEFAULT, new_registry,
};
use dynamo_metrics_server::StaticPage;
use dynamo_metrics_sim::Failure;
use dynamo_metrics_sim::frontend::{self, App, FrontendOptions};
use dynamo_metrics_sim::http::listener;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Options of `frontend`.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    #[command(flatten)]
    http: HttpOptions,
    /// Namespace of the frontend's router.
    #[arg(long, env = "DYN_NAMESPACE", default_value = "dynamo")]
    namespace: String,
    #[command(flatten)]
    web: WebOptions,
}

/// Options of the frontend's port and of its workers.
#[derive(Args, Debug)]
pub(crate) struct HttpOptions {
    /// Address to listen on; only this machine reaches it unless given.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// Port to listen on; DYN_HTTP_PORT unless given, else 8000. 0 takes any free one.
    #[arg(long)]
    http_port: Option<u16>,
    /// The token that workers must send to join. Needed unless the frontend listens on loopback: workers are sent prompts.
    #[arg(long, value_name = "TOKEN", env = "DYN_METRICS_WORKER_TOKEN", hide_env_values = true)]
    worker_token: Option<String>,
    /// Number of model names without a worker that may be label values, in the order in which they come; the others are
    /// `unknown_model`.
    #[arg(long, value_name = "N", default_value_t = UNSERVED_MODELS_MAX_DEFAULT)]
    unserved_models_max: usize,
}

impl HttpOptions {
    /// Settings of a frontend whose router is in this namespace, with pages beside its API.
    pub(crate) fn frontend(&self, namespace: &str, pages: Vec<StaticPage>) -> FrontendOptions {
        FrontendOptions {
            namespace: namespace.into(),
            on_loopback: self.host.is_loopback(),
            worker_token: self.worker_token.clone(),
            unserved_models_max: self.unserved_models_max,
            process_metrics: true,
            pages,
        }
    }

    /// The port, and the setting that it comes from.
    pub(crate) fn port(&self, environment: &FrontendEnvironment) -> (u16, &'static str) {
        port_or(self.http_port, environment)
    }
}

/// The port of the option, or else of the environment; and the setting that it comes from.
pub(crate) fn port_or(
    option: Option<u16>,
    environment: &FrontendEnvironment,
) -> (u16, &'static str) {
    match option {
        Some(port) => (port, "--http-port"),
        None => (environment.http_port, "DYN_HTTP_PORT"),
    }
}

/// Runs until it is asked to stop.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let mut environment = environment::read()?;
    let pages = options.web.pages(&environment.frontend.metrics_path);
    let mut settings = options.http.frontend(&options.namespace, pages);
    if !settings.admits_workers() {
        return Err(format!(
            "--host {} lets any program register as a worker, which is sent prompts: give --worker-token or \
             DYN_METRICS_WORKER_TOKEN, here and to the workers",
            options.http.host
        )
        .into());
    }
    options.web.apply(&mut environment);
    let runtime = DistributedRuntime::with_options(RuntimeOptions::from(&environment.system))?;
    let system = options.web.start(&runtime, &environment.system, "frontend")?;
    settings.process_metrics = system.is_none();
    if let Some(system) = &system {
        print_stdout(format_args!(
            "system   {}://{}/metrics",
            system.scheme(),
            system.local_addr()
        ));
    }
    // The router's statistics are on the system port, or where there is none on the frontend's page: never on both,
    // since a scraper of both would count them twice.
    let registry = if system.is_some() { new_registry() } else { runtime.registry().clone() };
    let app = App::new(&runtime, &registry, &environment.frontend, &settings)?;
    #[cfg(feature = "otlp")]
    let _pushers = [
        push::start(app.exporter(), "frontend")?,
        // The page of the system port is another one.
        system.is_some().then(|| push::start(runtime.exporter(), "router")).transpose()?.flatten(),
    ];
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = tokio.block_on(serve(app, &options.http, &options.web, &environment.frontend));
    tokio.shutdown_background();
    drop(system);
    result
}

/// Serves a frontend until the process is asked to stop, and prints its address and a request to try.
pub(crate) async fn serve(
    app: Arc<App>,
    options: &HttpOptions,
    web: &WebOptions,
    environment: &FrontendEnvironment,
) -> Result<(), Failure> {
    // Before the port is open: a signal that comes earlier would end the process at once.
    let stopped = shutdown::requested();
    let (port, setting) = options.port(environment);
    let listener = listener::bind(options.host, port, setting).await?;
    let address = listener.local_addr()?;
    print_stdout(format_args!("frontend http://{address}{}", environment.metrics_path));
    if web.has_dashboard() {
        print_stdout(format_args!("look     http://{address}/dashboard"));
    }
    print_stdout(format_args!(
        "try      curl http://{address}/v1/chat/completions -H 'Content-Type: application/json' \\"
    ));
    let model = app.models().into_iter().next().unwrap_or("Qwen/Qwen3-0.6B".into());
    let model = json!(model).to_string().replace('\'', "'\\''");
    print_stdout(format_args!(
        "           -d '{{\"model\": {model}, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'"
    ));
    frontend::serve(app, listener, stopped).await;
    Ok(())
}
