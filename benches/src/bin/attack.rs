//! Attacks our server and three peers in the same way, and shows what each attack did to each of them.
//!
//! ```text
//! cargo run --release -p dynamo-metrics-benches --features attack --bin attack -- [ATTACK...] [--quick]
//! cargo run --release -p dynamo-metrics-benches --features attack --bin attack -- throughput [--rounds N]
//! ```
//!
//! Markdown tables on the standard output, the same figures as JSON lines in `target/attack.jsonl` and
//! `target/throughput.jsonl`; see [`dynamo_metrics_benches::attack`] for the method. All attacks take about two
//! minutes, a round of `throughput` takes 13 s. Linux only: servers are weighed by `/proc`.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use dynamo_metrics_benches::attack::{self, Outcome, Plan, figures, load, servers};
use dynamo_metrics_benches::report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Attacks our server and three peers.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Attacks to make, all if none is given: heads, readers, descriptors, flood, requests
    #[arg(value_name = "ATTACK", value_parser = known)]
    attacks: Vec<String>,
    /// Only see whether everything works, in half a minute
    #[arg(long)]
    quick: bool,
    /// Where to write the figures
    #[arg(long, default_value = "target/attack.jsonl")]
    out: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Is attacked (the program starts itself so)
    #[command(hide = true)]
    Serve {
        name: String,
        #[arg(long)]
        descriptors: Option<u64>,
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// Counts scrapes a second: the server on processor 0, its clients on processor 1
    Throughput {
        /// How often every server gets its turn
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
        /// Where to write the figures
        #[arg(long, default_value = "target/throughput.jsonl")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Command::Serve { name, descriptors, cpu }) => servers::serve(name, *descriptors, *cpu),
        Some(Command::Throughput { rounds, out }) => throughput((*rounds).into(), out),
        None => attack(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn attack(arguments: &Arguments) -> Outcome<()> {
    let start = Instant::now();
    let mut all = Vec::new();
    attack::run(&arguments.attacks, Plan { quick: arguments.quick }, |name, figures| {
        println!("### {name}\n\n{}", figures::table(figures));
        all.extend_from_slice(figures);
    })?;
    eprintln!("{} figures in {:.0} s", all.len(), start.elapsed().as_secs_f64());
    Ok(report::write_json(&all, &arguments.out)?)
}

fn throughput(rounds: usize, out: &Path) -> Outcome<()> {
    let rows = load::throughput(rounds)?;
    print!("{}", load::table(&rows));
    Ok(report::write_json(&rows, out)?)
}

fn known(name: &str) -> Result<String, String> {
    if attack::names().any(|known| known == name) {
        return Ok(name.into());
    }
    Err(format!("no such attack; there are: {}", attack::names().collect::<Vec<_>>().join(" ")))
}
