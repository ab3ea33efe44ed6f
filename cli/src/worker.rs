//! `worker`: a component with a simulated engine, its system port, and its place in a frontend's fleet.

use crate::options::{ModelOptions, PlaceOptions, WebOptions, parse_time};
use crate::output::print_stdout;
#[cfg(feature = "otlp")]
use crate::push;
use crate::{environment, shutdown};
use clap::Args;
use dynamo_metrics::{DistributedRuntime, HealthStatus, RuntimeOptions};
use dynamo_metrics_sim::http::address;
use dynamo_metrics_sim::worker::{Event, Membership, Worker, random_id};
use dynamo_metrics_sim::{Failure, STATS_PERIOD};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Options of `worker`.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    /// The frontend to register with.
    #[arg(long, default_value = "http://127.0.0.1:8000", value_parser = parse_url)]
    frontend: String,
    /// The token that the frontend asks of workers.
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
    /// Where scrapers reach this worker's system port, as http://worker-7:8081, which the frontend's /sd tells them. Unless given
    /// it is the address of the system port, as with --advertise.
    #[arg(long, value_name = "URL", value_parser = parse_system_url)]
    advertise_system: Option<String>,
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
    let frontend = &options.frontend;
    let membership = Membership::new(frontend, options.worker_token.as_deref())
        .map_err(|error| format!("--worker-token: {error}"))?;
    let mut settings = options.model.worker(&options.place)?;
    let mut environment = environment::read()?;
    options.web.apply(&mut environment);
    let runtime = DistributedRuntime::with_options(RuntimeOptions::from(&environment.system))?;
    let system = options.web.start(&runtime, &environment.system, "worker")?;
    match &system {
        Some(system) => print_stdout(format_args!(
            "system   {}://{}/metrics",
            system.scheme(),
            system.local_addr()
        )),
        None => print_stdout("system   off; set DYN_SYSTEM_PORT=8081 to see this worker's metrics"),
    }
    let own =
        system.as_ref().map(|system| format!("{}://{}", system.scheme(), system.local_addr()));
    settings.system_url = options.advertise_system.or(own);
    #[cfg(feature = "otlp")]
    let _pusher = push::start(runtime.exporter(), "worker")?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = tokio.block_on(async {
        let id = options.instance_id.unwrap_or_else(random_id);
        let worker = Worker::start(&runtime, id, settings, options.host, options.port).await?;
        let stopped = shutdown::requested();
        print_stdout(format_args!("requests {}", worker.url()));
        environment::set_ready(&runtime);
        let report = |event| match event {
            Event::Registered => print_stdout(format_args!("joined   {frontend} as {id}")),
            Event::Failed(error) => {
                eprintln!("dynamo-metrics: {error}; trying again every {STATS_PERIOD:?}");
            }
        };
        tokio::select! {
            () = membership.keep(&worker, options.advertise.as_deref(), report) => Ok(()),
            () = stopped => {
                runtime.health().set_system(HealthStatus::NotReady);
                membership.deregister(id).await;
                tokio::select! {
                    () = worker.drain() => {}
                    // A second signal ends the process at once.
                    () = shutdown::requested() => {}
                }
                Ok(())
            }
            () = death(options.die_after) => {
                worker.kill();
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

pub(crate) fn parse_url(text: &str) -> Result<String, String> {
    address::parse(text, &["http"])
}

fn parse_system_url(text: &str) -> Result<String, String> {
    address::parse(text, &["http", "https"])
}

/// Returns after this many seconds, or never.
async fn death(after_seconds: Option<f64>) {
    match after_seconds.map(Duration::try_from_secs_f64) {
        Some(Ok(after)) => tokio::time::sleep(after).await,
        // A time that has no representation never comes.
        _ => std::future::pending().await,
    }
}
