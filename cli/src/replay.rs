//! `replay`: a real trace through the metrics, in virtual time as fast as the machine allows, or in real time.

use crate::output::{print_stdout, takes_escapes};
use crate::{environment, frontend, shutdown};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use dynamo_metrics::{Environment, HealthStatus};
use dynamo_metrics_server::RunningServer;
use dynamo_metrics_sim::Failure;
use dynamo_metrics_sim::engine::EngineConfig;
use dynamo_metrics_sim::replay::{Replay, ReplayOptions, blocks_of};
use dynamo_metrics_sim::trace::{Reading, TimeUnit, Trace};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

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
    time_unit: Option<Unit>,
    /// Tokens of a KV block, for which one block id of the trace stands; told by the number of ids unless given, and 16 where a
    /// trace has none.
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
    /// The namespace.
    #[arg(long, env = "DYN_NAMESPACE", default_value = "dynamo")]
    namespace: String,
    /// Name of the model.
    #[arg(long, default_value = "Qwen/Qwen3-0.6B", value_parser = NonEmptyStringValueParser::new())]
    model: String,
    /// Writes the final exposition of both roles to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE|-")]
    exposition: Option<String>,
    /// Replays in real time, this many times faster than the trace was recorded.
    #[arg(long, value_parser = parse_speed)]
    speed: Option<f64>,
    /// Keeps both roles' endpoints open during the replay and after it, until the process is stopped.
    #[arg(long)]
    serve: bool,
    /// Address of these endpoints.
    #[arg(long, requires = "serve", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port of the frontend's endpoint; DYN_HTTP_PORT unless given, else 8000.
    #[arg(long, requires = "serve")]
    http_port: Option<u16>,
}

/// The units by their names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unit {
    /// Seconds
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

impl From<Unit> for TimeUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::S => Self::Seconds,
            Unit::Ms => Self::Milliseconds,
            Unit::Us => Self::Microseconds,
            Unit::Ns => Self::Nanoseconds,
        }
    }
}

/// Replays, prints the summary, and serves if that was asked for.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let environment = options.environment()?;
    let trace = Trace::read(&options.trace, &options.reading())?;
    let settings = options.replay(&trace);
    let mut replay = Replay::new(&trace, &settings, &environment)?;
    let servers = if options.serve { Some(options.serve(&replay, &environment)?) } else { None };

    let started = Instant::now();
    match options.speed {
        None => replay.run(),
        Some(speed) => run_with_progress(&mut replay, speed, &trace),
    }
    let wall = started.elapsed();

    if let Some(target) = &options.exposition {
        write_exposition(target, &replay.exposition())?;
    }
    let summary = replay.summary(options.trace.display().to_string(), wall);
    // The exposition may have standard output for itself.
    if options.exposition.as_deref() == Some("-") {
        eprintln!("{summary}");
    } else {
        print_stdout(summary);
    }
    if let Some(servers) = servers {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio.block_on(async {
            let stopped = shutdown::requested();
            print_stdout("\nserving until stopped");
            stopped.await;
        });
        drop(servers);
    }
    Ok(())
}

impl Options {
    /// The environment, with the document's system port and the option's host where it does not say.
    fn environment(&self) -> Result<Environment, Failure> {
        let mut environment = environment::read()?;
        if !environment::is_set("DYN_SYSTEM_PORT") {
            environment.system.port = Some(SYSTEM_PORT);
        }
        if !environment::is_set("DYN_SYSTEM_STARTING_HEALTH_STATUS") {
            environment.system.starting_health_status = HealthStatus::Ready;
        }
        if !environment::is_set("DYN_SYSTEM_HOST") {
            environment.system.host = self.host.to_string();
        }
        Ok(environment)
    }

    fn reading(&self) -> Reading {
        Reading { time_unit: self.time_unit.map(TimeUnit::from), block_tokens: self.block_size }
    }

    fn replay(&self, trace: &Trace) -> ReplayOptions {
        let config = EngineConfig::replay(trace.block_tokens().or(self.block_size));
        let engine = EngineConfig {
            slots: self.max_num_seqs,
            kv_blocks: self.kv_blocks.unwrap_or_else(|| config.kv_blocks.max(blocks_of(trace))),
            prefix_caching: !self.no_enable_prefix_caching,
            ..config
        };
        ReplayOptions {
            namespace: self.namespace.clone(),
            model: self.model.clone(),
            workers: self.workers,
            engine,
        }
    }

    /// Opens the ports of both roles and prints their addresses.
    fn serve(
        &self,
        replay: &Replay<'_>,
        environment: &Environment,
    ) -> Result<(RunningServer, Option<RunningServer>), Failure> {
        let (port, setting) = frontend::port_or(self.http_port, &environment.frontend);
        let address = SocketAddr::new(self.host, port);
        let (frontend, system) = replay.serve(address, setting, environment)?;
        let path = &environment.frontend.metrics_path;
        print_stdout(format_args!("frontend http://{}{path}", frontend.local_addr()));
        if let Some(system) = &system {
            print_stdout(format_args!(
                "worker   {}://{}/metrics",
                system.scheme(),
                system.local_addr()
            ));
        }
        Ok((frontend, system))
    }
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed.is_finite() => Ok(speed),
        _ => Err("a speed is a number above 0, as 1 for the trace's own pace or 60 for a minute a second".into()),
    }
}

fn run_with_progress(replay: &mut Replay<'_>, speed: f64, trace: &Trace) {
    let bar = match takes_escapes() {
        true => ProgressBar::new(trace.requests().len() as u64),
        false => ProgressBar::hidden(),
    };
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} requests, {elapsed} of {eta}")
    {
        bar.set_style(style);
    }
    replay.run_paced(speed, |finished| bar.set_position(finished));
    bar.finish_and_clear();
}

fn write_exposition(target: &str, body: &[u8]) -> Result<(), Failure> {
    if target == "-" {
        return Ok(std::io::stdout().lock().write_all(body)?);
    }
    std::fs::write(target, body).map_err(|error| format!("cannot write {target}: {error}").into())
}
