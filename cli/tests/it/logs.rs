//! Logs have no escape sequences where the output is not a terminal.

use crate::common::judge;
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dynamo-metrics");
const ESCAPE: char = '\u{1b}';

/// A replay in real time has a progress bar.
fn commands() -> Vec<(Vec<String>, &'static str)> {
    let trace =
        std::env::temp_dir().join(format!("dynamo-metrics-logs-{}.csv", std::process::id()));
    std::fs::write(&trace, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6,10,2\n")
        .unwrap();
    let replay = ["replay", trace.to_str().unwrap(), "--speed", "1000"].map(String::from).to_vec();
    vec![(replay, "requests")]
}

fn run(arguments: &[String], environment: &[(&str, &str)]) -> String {
    let run = Command::new(PROGRAM)
        .args(arguments)
        .env("DYN_LOG", "trace")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr)
}

#[test]
fn a_pipe_gets_plain_text() {
    for (arguments, word) in commands() {
        let out = run(&arguments, &[("TERM", "xterm-256color")]);
        assert!(out.contains(word), "{out}");
        assert!(!out.contains(ESCAPE), "{arguments:?}: {out:?}");
    }
    let mut frontend = Command::new(PROGRAM)
        .args(["frontend", "--http-port", "0"])
        .env("DYN_LOG", "info")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut errors = std::io::BufReader::new(frontend.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut errors, &mut line).unwrap();
    frontend.kill().unwrap();
    frontend.wait().unwrap();
    assert!(line.contains("INFO") && line.contains("listening"), "{line:?}");
    assert!(!line.contains(ESCAPE), "{line:?}");
}

#[test]
fn a_terminal_gets_colours_unless_it_says_no() {
    let Some(script) = judge("script") else { return };
    let on_a_terminal = |environment: &[(&str, &str)]| {
        // `timeout` ends the frontend, which would serve for ever.
        let command = format!("timeout 3 {PROGRAM} frontend --http-port 0");
        let run = Command::new(&script)
            .args(["-qec", &command, "/dev/null"])
            .env("DYN_LOG", "info")
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&run.stdout).into_owned()
    };
    let colourful = on_a_terminal(&[]);
    assert!(colourful.contains("INFO") && colourful.contains(ESCAPE), "{colourful:?}");
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let out = on_a_terminal(&[plain]);
        assert!(out.contains("INFO") && !out.contains(ESCAPE), "{plain:?}: {out:?}");
    }
}
