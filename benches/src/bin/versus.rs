//! Measures every peer beside us, in one process.
//!
//! ```text
//! cargo run --release -p dynamo-metrics-benches --features peers --bin versus [-- GROUP...] [--rounds N] [--quick]
//! ```
//!
//! One Markdown table a group on the standard output, and the same rows as JSON lines in `target/versus.jsonl`;
//! see [`report`] for their fields and
//! `measure` for the method. Run it on a machine that does nothing else, and
//! several times: where the allocator puts a handle can matter.

use clap::Parser;
use dynamo_metrics_benches::groups::{self, NAMES, Options};
use dynamo_metrics_benches::heap::Counting;
use dynamo_metrics_benches::measure::Plan;
use dynamo_metrics_benches::report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Measures every peer beside us, in one process.
#[derive(Debug, Parser)]
#[command(after_help = format!("Groups: {}", NAMES.join(" ")))]
struct Arguments {
    /// Groups to measure, all if none is given; `encode` stands for every `encode-...`
    #[arg(value_name = "GROUP", value_parser = known)]
    groups: Vec<String>,
    /// How often every row gets its turn
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Only see whether everything works, in some seconds
    #[arg(long)]
    quick: bool,
    /// Where to write the rows
    #[arg(long, default_value = "target/versus.jsonl")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = if arguments.quick {
        Plan { rounds: 1, slice: Duration::from_micros(500) }
    } else {
        Plan { rounds: arguments.rounds.into(), slice: Duration::from_millis(10) }
    };
    let options = Options { plan, quick: arguments.quick };
    let start = Instant::now();
    let rows = groups::run(&arguments.groups, options, |table| println!("{table}"));
    eprintln!("{} rows in {:.1} s", rows.len(), start.elapsed().as_secs_f64());
    match report::write_json(&rows, &arguments.out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", arguments.out.display());
            ExitCode::FAILURE
        }
    }
}

fn known(name: &str) -> Result<String, String> {
    if groups::is_known(name) {
        Ok(name.into())
    } else {
        Err(format!("no such group; there are {}", NAMES.join(", ")))
    }
}
