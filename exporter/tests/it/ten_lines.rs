//! The ten lines of the READMEs: they are the example, and the example serves.

use crate::{SOON, get};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

const EXAMPLE: &str = include_str!("../../examples/ten_lines.rs");

#[test]
fn the_block_of_each_readme_is_the_example() {
    for (file, readme) in [
        ("exporter/README.md", include_str!("../../README.md")),
        ("README.md", include_str!("../../../README.md")),
    ] {
        assert!(readme.contains(&format!("```rust,no_run\n{EXAMPLE}```\n")), "{file} differs");
    }
}

/// The program of the example, which cargo builds with the tests of this crate unless it is told to build one test alone.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program =
        profile.join("examples").join(format!("ten_lines{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        let target = profile.parent().unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--profile", "test", "--example", "ten_lines"])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(target)
            .status();
        assert!(built.unwrap().success(), "the example is not built");
        return target.join("debug/examples/ten_lines");
    }
    program
}

#[test]
fn the_example_serves_its_count_until_its_input_ends() {
    let mut child = Command::new(program())
        .arg("127.0.0.1:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics"));
    let address = address.unwrap_or_else(|| panic!("no URL: {line:?}")).parse().unwrap();

    input.write_all(b"one\ntwo\nthree\n").unwrap();
    let deadline = Instant::now() + SOON;
    loop {
        let answer = get(address, "/metrics", "");
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        if answer.contains("\nlines_total 3\n") {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}
