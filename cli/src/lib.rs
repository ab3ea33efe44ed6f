//! `dynamo-metrics`: an OpenAI-compatible frontend over a simulated engine, with all of Dynamo's metrics; a
//! replay of real LLM request traces through the same code; and a checker of expositions.
//!
//! ```text
//! serve      frontend and one worker in this process; what runs without a command
//! frontend   the frontend alone; workers register with it
//! worker     a worker with a simulated engine, for a frontend elsewhere
//! replay     a trace, in virtual or real time
//! sd         a frontend's workers as targets of scrapers, in a file
//! check      the strict parser over a file, an address or standard input
//! ```
//!
//! A library, because the Python package has the same program in it; `main.rs` is the executable.

#![forbid(unsafe_code)]

mod arguments;
mod check;
#[cfg(test)]
mod coverage;
mod engine_metrics;
mod environment;
mod frontend;
mod options;
mod output;
#[cfg(feature = "otlp")]
mod push;
mod replay;
mod sd;
mod serve;
mod shutdown;
mod worker;

use arguments::{Arguments, Command};
use clap::Parser;
use output::takes_escapes;
use std::ffi::OsString;
use std::io::Write;
use tracing_subscriber::EnvFilter;

/// Runs the program with these arguments, the name of the program first, and returns its exit code: 0 for success, 1 for a
/// failure, 2 for arguments that are not valid; `check` has codes of its own.
///
/// Writes to the standard streams and listens to SIGINT and SIGTERM while a server runs; reads the environment. It returns when the
/// program has ended, with its output written out, and may leave threads behind that end with the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let code = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => run_command(arguments),
        Err(error) => {
            // Help and the version are such errors, too. A closed output is ignored.
            let _ = error.print();
            error.exit_code().try_into().unwrap_or(FAILURE)
        }
    };
    // Only the end of a Rust executable does this by itself.
    let _ = std::io::stdout().flush();
    code
}

/// The exit code of a failure.
const FAILURE: u8 = 1;

fn run_command(arguments: Arguments) -> u8 {
    // A second call in a process keeps the first one's log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(log_filter())
        .with_ansi(takes_escapes())
        .with_writer(std::io::stderr)
        .try_init();
    let result = match arguments.command {
        None => serve::Options::from_arguments().and_then(serve::run),
        Some(Command::Serve(options)) => serve::run(options),
        Some(Command::Frontend(options)) => frontend::run(options),
        Some(Command::Worker(options)) => worker::run(options),
        Some(Command::Replay(options)) => replay::run(&options),
        Some(Command::Sd(options)) => sd::run(&options),
        Some(Command::Check(options)) => return check::run(&options),
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            let mut said = failure.to_string();
            eprintln!("dynamo-metrics: {said}");
            let mut cause = failure.source();
            while let Some(reason) = cause {
                let reason_text = reason.to_string();
                // Some errors end in their cause.
                if !said.ends_with(&reason_text) {
                    eprintln!("  because: {reason_text}");
                }
                said = reason_text;
                cause = reason.source();
            }
            FAILURE
        }
    }
}

/// Reads the filter of the log from `DYN_LOG`. A value that cannot be read is reported, and the default is used.
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
