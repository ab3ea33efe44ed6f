//! The command line: commands and their options.

use crate::{check, frontend, replay, sd, serve, worker};
use clap::{Parser, Subcommand};

/// Dynamo's metrics under a simulated engine.
#[derive(Debug, Parser)]
#[command(name = "dynamo-metrics", version, about, args_override_self = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A frontend and one worker in this process (the default).
    Serve(serve::Options),
    /// The frontend alone; workers register with it.
    Frontend(frontend::Options),
    /// A worker with a simulated engine, for a frontend elsewhere.
    Worker(worker::Options),
    /// Replays a trace of LLM requests through the metrics.
    Replay(replay::Options),
    /// Lists a frontend's workers as targets for scrapers, in the form of a file.
    Sd(sd::Options),
    /// Checks an exposition, Prometheus text or OpenMetrics, as its consumers' parsers read it.
    Check(check::Options),
}
