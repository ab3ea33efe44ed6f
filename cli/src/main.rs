//! The executable `dynamo-metrics`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(dynamo_metrics_cli::run(std::env::args_os()))
}
