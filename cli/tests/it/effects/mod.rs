//! Effects of options and variables that no other test shows: with each of them the program does something else than without.
//!
//! `cli/src/coverage.rs` holds the list of all options and variables, and fails for one that has no case here or elsewhere.
//! Durations are bounded from below only: a loaded machine is slower, and never faster than the engine's clock.

mod engine;
mod ports;
mod replays;

use crate::common;

use crate::common::{Program, eventually, get, open, post, scrape};
use dynamo_metrics::environment::VARIABLES;
use dynamo_metrics_parser::Exposition;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const MODEL: &str = "Qwen/Qwen3-0.6B";
const LABEL: [(&str, &str); 1] = [("model", MODEL)];

/// `serve` with an engine that takes a millisecond a token and nothing else, and more options.
fn serve(more: &[&str]) -> Program {
    let base = ["serve", "--http-port", "0", "--token-time-ms", "1"];
    let fast = ["--prefill-base-ms", "0", "--prefill-token-ms", "0"];
    Program::start(&[&base[..], &fast, more].concat(), &[], &["frontend", "worker"])
}

/// A request with a prompt of `input` tokens.
fn completion(input: usize, output: u64, stream: bool) -> String {
    let prompt: Vec<usize> = (0..input).collect();
    format!(
        r#"{{"model": "{MODEL}", "prompt": {prompt:?}, "max_tokens": {output}, "stream": {stream}}}"#
    )
}

fn complete(program: &Program, input: usize, output: u64) -> common::Answer {
    post(program.address("frontend"), "/v1/completions", &completion(input, output, false))
}

/// A stream of which one event was read.
fn begun_stream(program: &Program, input: usize, output: u64) -> TcpStream {
    let (address, body) = (program.address("frontend"), completion(input, output, true));
    let stream = open(address, "POST", "/v1/completions", "application/json", &body);
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("data: {")));
    stream
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"));
    command.args(arguments).env("DYN_SYSTEM_PORT", "-1").envs(environment.iter().copied());
    command.output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A trace with rows of second, prompt and answer.
fn csv(name: &str, rows: &[(u32, u32, u32)]) -> PathBuf {
    let row = |(second, input, output)| format!("{second},{input},{output}\n");
    let rows: String = rows.iter().copied().map(row).collect();
    file(name, &format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}"))
}

/// The final exposition of a replay.
fn replay(trace: &Path, more: &[&str], environment: &[(&str, &str)]) -> Exposition {
    let arguments = [&["replay", trace.to_str().unwrap(), "--exposition", "-"][..], more].concat();
    let output = run(&arguments, environment);
    assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
    dynamo_metrics_parser::parse(&output.stdout).unwrap_or_else(|e| panic!("{}", e[0]))
}

/// Each variable of bounds moves the least bound, the last or their number, under both of its names.
#[test]
fn variables_of_bounds_move_them() {
    let trace = csv("bounds.csv", &[(0, 10, 3)]);
    let families = [
        ("REQUEST_DURATION", "request_duration_seconds"),
        ("INPUT_SEQUENCE", "input_sequence_tokens"),
        ("OUTPUT_SEQUENCE", "output_sequence_tokens"),
        ("TTFT", "time_to_first_token_seconds"),
        ("ITL", "inter_token_latency_seconds"),
    ];
    let bounds = |environment: &[(&str, &str)], family: &str| -> Vec<f64> {
        let page = replay(&trace, &[], environment);
        let name = format!("dynamo_frontend_{family}_bucket");
        let samples = page.samples().filter(|sample| sample.name == name);
        let bounds = samples.filter_map(|sample| sample.label("le")?.parse().ok());
        bounds.filter(|bound: &f64| bound.is_finite()).collect()
    };
    let mut seen = BTreeSet::new();
    for (set, family) in families {
        let before = bounds(&[], family);
        for variable in VARIABLES.iter().map(|variable| variable.name) {
            let Some((prefix, part)) = variable.rsplit_once('_') else { continue };
            if !matches!(part, "MIN" | "MAX" | "COUNT")
                || !prefix.ends_with(&format!("DYN_METRICS_{set}"))
            {
                continue;
            }
            seen.insert(variable);
            let last = |bounds: &[f64]| *bounds.last().unwrap();
            let value = match part {
                "MIN" => before[1] * 1.5,
                "MAX" => last(&before) * 2.0,
                _ => 4.0,
            };
            let after = bounds(&[(variable, &value.to_string())], family);
            let moved = match part {
                "MIN" => after[1] > before[1] && after[1] >= value,
                // Bounds have two significant figures.
                "MAX" => (last(&after) / value - 1.0).abs() < 0.05,
                _ => after.len() == 4,
            };
            assert!(moved, "{variable}={value}: {before:?}, {after:?}");
        }
    }
    assert_eq!(seen.len(), 5 * 3 * 2, "{seen:?}");
}

#[test]
fn the_log_is_as_detailed_as_asked() {
    let log = |level: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
            .args(["worker", "--die-after", "0.1"])
            .envs([("DYN_LOG", level), ("DYN_SYSTEM_PORT", "-1")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        text
    };
    assert!(log("info").contains("listening"));
    assert!(!log("error").contains("listening"));
}
