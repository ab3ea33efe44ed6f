//! `check`: the strict parser over a file, an address or standard input.

mod fetch;

use clap::{Args, ValueEnum};
use dynamo_metrics_encoder::strict;
use std::io::Read;
use std::process::ExitCode;

/// Options of `check`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The format, which an address is asked for. Without it the Content-Type says; of a file or standard input,
    /// OpenMetrics when the last line is `# EOF`, else text 0.0.4.
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
        let read = read(input, options.format.map(Into::into));
        match read.map(|(body, format)| strict::parse_as(format, &body)) {
            Err(reason) => {
                eprintln!("{input}: cannot be read: {reason}");
                code = 2;
            }
            Ok(Ok(exposition)) => {
                let samples = exposition.samples().count();
                say!("{input}: ok, {} families, {samples} samples", exposition.families.len());
            }
            Ok(Err(problems)) => {
                for problem in problems {
                    say!("{input}:{}: {}", problem.line, problem.message);
                }
                code = code.max(1);
            }
        }
    }
    ExitCode::from(code)
}

/// The body, and what it is to be read as.
fn read(input: &str, asked: Option<strict::Format>) -> Result<(Vec<u8>, strict::Format), String> {
    if input.starts_with("http://") {
        return fetch::fetch(input, asked);
    }
    if input.contains("://") {
        return Err("only http:// addresses can be read".into());
    }
    let body = if input == "-" {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).map(|_| body)
    } else {
        std::fs::read(input)
    };
    let body = body.map_err(|error| error.to_string())?;
    let format = asked.unwrap_or_else(|| strict::Format::guess(&body));
    Ok((body, format))
}
