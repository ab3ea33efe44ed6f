//! `serve`: a frontend and a worker in one process, on the ports of the document.

use crate::environment;
use crate::frontend::{self, HttpOptions};
use crate::options::{ModelOptions, PlaceOptions, WebOptions};
use crate::output::print_stdout;
#[cfg(feature = "otlp")]
use crate::push;
use clap::{Args, Parser};
use dynamo_metrics::{DistributedRuntime, RuntimeOptions, new_registry};
use dynamo_metrics_sim::frontend::App;
use dynamo_metrics_sim::worker::Worker;
use dynamo_metrics_sim::{Failure, local};
use std::net::{IpAddr, Ipv4Addr};

/// The document's system port, which `serve` uses unless `DYN_SYSTEM_PORT` says otherwise.
const SYSTEM_PORT: u16 = 8081;
/// The worker's number in its fleet of one.
const INSTANCE_ID: u64 = 1;

/// Options of `serve`.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    #[command(flatten)]
    http: HttpOptions,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    web: WebOptions,
}

impl Options {
    /// Returns the options of a program that is started without any argument.
    pub(crate) fn from_arguments() -> Result<Self, Failure> {
        #[derive(Parser)]
        struct Bare {
            #[command(flatten)]
            options: Options,
        }
        Ok(Bare::try_parse_from(["serve"])?.options)
    }
}

/// Runs until it is asked to stop.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let mut settings = options.model.worker(&options.place)?;
    let mut environment = environment::read()?;
    if !environment::is_set("DYN_SYSTEM_PORT") {
        environment.system.port = Some(SYSTEM_PORT);
    }
    if !environment::is_set("DYN_SYSTEM_HOST") {
        environment.system.host = options.http.host.to_string();
    }
    options.web.apply(&mut environment);
    let runtime = DistributedRuntime::with_options(RuntimeOptions::from(&environment.system))?;
    let system = options.web.start(&runtime, &environment.system, "worker")?;
    if let Some(system) = &system {
        print_stdout(format_args!(
            "worker   {}://{}/metrics",
            system.scheme(),
            system.local_addr()
        ));
    }
    settings.system_url =
        system.as_ref().map(|system| format!("{}://{}", system.scheme(), system.local_addr()));
    let mut frontend = options
        .http
        .frontend(&options.place.namespace, options.web.pages(&environment.frontend.metrics_path));
    frontend.process_metrics = system.is_none();
    let app = App::new(&runtime, &new_registry(), &environment.frontend, &frontend)?;
    #[cfg(feature = "otlp")]
    let _pushers =
        [push::start(runtime.exporter(), "worker")?, push::start(app.exporter(), "frontend")?];
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = tokio.block_on(async {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let worker = Worker::start(&runtime, INSTANCE_ID, settings, loopback, 0).await?;
        environment::set_ready(&runtime);
        tokio::spawn(local::join(&app, worker));
        frontend::serve(app, &options.http, &options.web, &environment.frontend).await
    });
    tokio.shutdown_background();
    drop(system);
    result
}
