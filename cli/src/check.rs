//! `check`: judges a file, an address or standard input, for people or for machines.

mod fetch;

use crate::output::print_stdout;
use clap::{Args, ValueEnum};
use dynamo_metrics_parser::{self as parser, Judgement, Level};
use serde_json::{Value, json};
use std::io::Read;

/// Options of `check`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The format of the input, which an address is asked for, or `json` for a report that machines read; may be given twice, for
    /// both. Without an input format the Content-Type says; of a file or standard input, OpenMetrics when the last line is
    /// `# EOF`, else text 0.0.4.
    #[arg(long, value_enum)]
    format: Vec<Format>,
    /// Exits with 1 for warnings, too.
    #[arg(long)]
    deny_warnings: bool,
    /// A file, an address as http://127.0.0.1:8000/metrics, or `-` for standard input; several are checked in
    /// turn.
    #[arg(required = true, value_name = "FILE|URL|-")]
    inputs: Vec<String>,
}

/// The formats by their names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Prometheus text 0.0.4
    Text,
    /// Prometheus text 1.0.0, names in quotes included
    TextUtf8,
    /// OpenMetrics 1.0
    Openmetrics,
    /// OpenMetrics 1.0, names in quotes included
    OpenmetricsUtf8,
    /// The report, as JSON
    Json,
}

impl Format {
    /// Returns the format of the input, if it is one.
    fn of_input(self) -> Option<parser::Format> {
        match self {
            Self::Text => Some(parser::Format::Text),
            Self::TextUtf8 => Some(parser::Format::TextUtf8),
            Self::Openmetrics => Some(parser::Format::OpenMetrics),
            Self::OpenmetricsUtf8 => Some(parser::Format::OpenMetricsUtf8),
            Self::Json => None,
        }
    }
}

/// Prints each finding with its line, and a summary of each input. Exits with 0 when there is no error, 1 when there is one (or a
/// warning, with `--deny-warnings`), 2 when an input cannot be read.
pub(crate) fn run(options: &Options) -> u8 {
    let asked = options.format.iter().rev().find_map(|format| format.of_input());
    let json = options.format.contains(&Format::Json);
    let mut code = 0;
    let mut reports = Vec::new();
    for input in &options.inputs {
        let judged = read(input, asked).map(|(body, format)| parser::judge(format, &body));
        code = code.max(match &judged {
            Err(_) => 2,
            Ok(judgement) if judgement.count(Level::Error) > 0 => 1,
            Ok(judgement) => u8::from(options.deny_warnings && judgement.count(Level::Warning) > 0),
        });
        if json {
            reports.push(report(input, &judged));
        } else {
            print(input, &judged);
        }
    }
    if json {
        print_stdout(json!({ "inputs": reports }));
    }
    code
}

/// Prints a report for people: `input:line: level: message (consumer or rule)` for each finding, then a summary line.
fn print(input: &str, judged: &Result<Judgement, String>) {
    let judgement = match judged {
        Ok(judgement) => judgement,
        Err(reason) => return eprintln!("{input}: cannot be read: {reason}"),
    };
    for finding in &judgement.findings {
        print_stdout(format_args!("{input}:{}: {finding}", finding.line));
    }
    let Judgement { families, samples, .. } = judgement;
    let whole = match (judgement.count(Level::Error), judgement.count(Level::Warning)) {
        (0, 0) => "ok".to_owned(),
        (0, warnings) => format!("ok with {warnings} warnings"),
        (errors, warnings) => format!("{errors} errors, {warnings} warnings"),
    };
    print_stdout(format_args!("{input}: {whole}, {families} families, {samples} samples"));
}

/// Returns the report for machines; docs/check.md has its form.
fn report(input: &str, judged: &Result<Judgement, String>) -> Value {
    let judgement = match judged {
        Ok(judgement) => judgement,
        Err(reason) => return json!({"input": input, "unreadable": reason}),
    };
    let findings: Vec<Value> = judgement
        .findings
        .iter()
        .map(|finding| {
            json!({"line": finding.line, "column": finding.column, "level": finding.level.as_str(),
                   "rule": format!("{:?}", finding.rule()), "fault": finding.fault.id(),
                   "message": finding.fault.to_string(), "by": finding.by.to_string()})
        })
        .collect();
    json!({"input": input, "errors": judgement.count(Level::Error), "warnings": judgement.count(Level::Warning),
           "families": judgement.families, "samples": judgement.samples, "findings": findings})
}

/// Returns the body, and the format in which it is to be read.
fn read(input: &str, asked: Option<parser::Format>) -> Result<(Vec<u8>, parser::Format), String> {
    if input.get(.."http://".len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")) {
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
    // An address says so in a header, and is unpacked; of a file each line would be a fault.
    if body.starts_with(b"\x1f\x8b") {
        return Err("it is compressed by gzip; unpack it first".into());
    }
    let format = asked.unwrap_or_else(|| parser::Format::guess(&body));
    Ok((body, format))
}
