//! `check`: the strict parser over a file, an address or standard input.

use clap::{Args, ValueEnum};
use dynamo_metrics::{EngineSource, Filter, engine::ENGINE_TIMEOUT_DEFAULT};
use dynamo_metrics_encoder::strict;
use std::io::Read;
use std::process::ExitCode;

/// Options of `check`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The format; without it OpenMetrics when the last line is `# EOF`, else text 0.0.4. An address is asked
    /// for text, whatever is said here.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// A file, an address as http://127.0.0.1:8000/metrics, or `-` for standard input; several are checked in
    /// turn.
    #[arg(required = true, value_name = "FILE|URL|-")]
    inputs: Vec<String>,
}

/// The formats by their names on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Prometheus text 0.0.4
    Text,
    /// Prometheus text 1.0.0, names in quotes included
    TextUtf8,
    /// OpenMetrics 1.0
    Openmetrics,
    /// OpenMetrics 1.0, names in quotes included
    OpenmetricsUtf8,
}

impl From<Format> for strict::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::TextUtf8 => Self::TextUtf8,
            Format::Openmetrics => Self::OpenMetrics,
            Format::OpenmetricsUtf8 => Self::OpenMetricsUtf8,
        }
    }
}

/// Prints `file:line: problem` for each problem. Exit 0 when there is none, 1 when there is one, 2 when an
/// input cannot be read.
pub(crate) fn run(options: &Options) -> ExitCode {
    let mut code = 0;
    for input in &options.inputs {
        match read(input) {
            Err(reason) => {
                eprintln!("{input}: cannot be read: {reason}");
                code = 2;
            }
            Ok(body) => {
                let format =
                    options.format.map_or_else(|| strict::Format::guess(&body), Into::into);
                match strict::parse_as(format, &body) {
                    Ok(exposition) => {
                        let samples = exposition.samples().count();
                        println!(
                            "{input}: ok, {} families, {samples} samples",
                            exposition.families.len()
                        );
                    }
                    Err(problems) => {
                        for problem in problems {
                            println!("{input}:{}: {}", problem.line, problem.message);
                        }
                        code = code.max(1);
                    }
                }
            }
        }
    }
    ExitCode::from(code)
}

fn read(input: &str) -> Result<Vec<u8>, String> {
    if input == "-" {
        let mut body = Vec::new();
        return std::io::stdin().read_to_end(&mut body).map(|_| body).map_err(|e| e.to_string());
    }
    if input.starts_with("http://") {
        let source = EngineSource::url("check", Filter::all(), input, ENGINE_TIMEOUT_DEFAULT);
        return source.and_then(|source| source.read()).map_err(|e| e.to_string());
    }
    if input.contains("://") {
        return Err("only http:// addresses can be read".into());
    }
    std::fs::read(input).map_err(|e| e.to_string())
}
