//! `dynamo-metrics`: an OpenAI-compatible frontend over a simulated engine, with all of Dynamo's metrics; a
//! replay of real LLM request traces through the same code; and a checker of expositions.
//!
//! ```text
//! serve      frontend and one worker in this process; what runs without a command
//! frontend   the frontend alone; workers register with it
//! worker     a worker with a simulated engine, for a frontend elsewhere
//! replay     a trace, in virtual or real time
//! check      the strict parser over a file, an address or standard input
//! ```

#![forbid(unsafe_code)]

/// `println!`, but that nobody reads it any more, as behind `| head`, is no reason to panic.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod check;
mod engine;
mod frontend;
mod http;
mod options;
mod protocol;
mod replay;
mod serve;
mod shutdown;
mod summary;
mod trace;
mod worker;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Dynamo's metrics under a simulated engine.
#[derive(Debug, Parser)]
#[command(name = "dynamo-metrics", version, about, args_override_self = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A frontend and one worker in this process (the default).
    Serve(serve::Options),
    /// The frontend alone; workers register with it.
    Frontend(frontend::Options),
    /// A worker with a simulated engine, for a frontend elsewhere.
    Worker(worker::Options),
    /// Replays a trace of LLM requests through the metrics.
    Replay(replay::Options),
    /// Checks an exposition, Prometheus text or OpenMetrics, forgiving nothing.
    Check(check::Options),
}

/// What a command ends with when it cannot go on; printed with its causes.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(log_filter())
        .with_ansi(takes_escapes())
        .with_writer(std::io::stderr)
        .init();
    let result = match arguments.command {
        None => serve::Options::from_arguments().and_then(serve::run),
        Some(Command::Serve(options)) => serve::run(options),
        Some(Command::Frontend(options)) => frontend::run(options),
        Some(Command::Worker(options)) => worker::run(options),
        Some(Command::Replay(options)) => replay::run(&options),
        Some(Command::Check(options)) => return check::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("dynamo-metrics: {failure}");
            let mut cause = failure.source();
            while let Some(reason) = cause {
                eprintln!("  because: {reason}");
                cause = reason.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Whether standard error is a terminal that takes escape sequences, and its user wants them: a pipe or a file gets plain text, and so
/// does a terminal with `NO_COLOR` (<https://no-color.org>) or `TERM=dumb`.
pub(crate) fn takes_escapes() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::IsTerminal::is_terminal(&std::io::stderr()) && !is_set("NO_COLOR") && !dumb
}

/// What is logged, by `DYN_LOG`. A value that makes no sense is said so, and nothing of it is used.
fn log_filter() -> EnvFilter {
    const DEFAULT: &str = "warn";
    let value = std::env::var_os("DYN_LOG").unwrap_or_default();
    let value = value.to_string_lossy();
    let value = value.trim();
    EnvFilter::try_new(if value.is_empty() { DEFAULT } else { value }).unwrap_or_else(|error| {
        eprintln!("dynamo-metrics: warning: DYN_LOG={value:?}: {error}; using {DEFAULT}");
        EnvFilter::new(DEFAULT)
    })
}
