//! `serve`: both roles in one process, on the ports of the document.
//!
//! The worker takes its requests over loopback HTTP, as it does in a fleet: one path for every token, and bytes
//! that are really sent.

use crate::Failure;
use crate::frontend::{self, App, HttpOptions};
use crate::options::{ModelOptions, PlaceOptions, WebOptions, is_set, say_ready};
use crate::protocol::STATS_PERIOD;
use crate::worker::{self, Worker};
use clap::{Args, Parser};
use dynamo_metrics::{DistributedRuntime, RuntimeOptions, new_registry};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

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
    /// What `serve` does when the program is started without any argument.
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
    let mut environment = worker::environment()?;
    if !is_set("DYN_SYSTEM_PORT") {
        environment.system.port = Some(SYSTEM_PORT);
    }
    if !is_set("DYN_SYSTEM_HOST") {
        environment.system.host = options.http.host.to_string();
    }
    options.web.apply(&mut environment.system);
    let runtime = DistributedRuntime::with(RuntimeOptions::from(&environment.system))?;
    let system = options.web.start(&runtime, &environment.system, "worker")?;
    if let Some(system) = &system {
        say!("worker   {}://{}/metrics", system.scheme(), system.local_addr());
    }
    let registry = new_registry();
    let namespace = &options.place.namespace;
    let app = App::new(&runtime, &registry, &environment.frontend, namespace, &options.http)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = tokio.block_on(async {
        let component =
            runtime.namespace(&options.place.namespace)?.component(&options.place.component)?;
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let Options { model, place, .. } = &options;
        let worker = Worker::start(&component, INSTANCE_ID, model, place, loopback, 0).await?;
        say_ready(&runtime);
        join(&app, &worker, &options.model, &options.place);
        let member = Arc::clone(&app);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(STATS_PERIOD).await;
                if !member.fleet.heard(INSTANCE_ID, worker.engine.stats().into()) {
                    join(&member, &worker, &options.model, &options.place);
                }
            }
        });
        frontend::serve(app, &options.http, &environment.frontend).await
    });
    tokio.shutdown_background();
    drop(system);
    result
}

/// Puts the worker into the fleet, at the start and after a broken stream made the fleet drop it.
fn join(app: &App, worker: &Worker, model: &ModelOptions, place: &PlaceOptions) {
    if let Err(reason) = app.fleet.join(worker.registration(INSTANCE_ID, model, place)) {
        tracing::error!(reason, "the worker cannot join");
    }
}
