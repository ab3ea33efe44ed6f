//! The examples run: each asks itself for its metrics and checks the answer.

use std::path::PathBuf;
use std::process::Command;

#[test]
fn embed() {
    run("embed");
}

#[test]
fn axum_mount() {
    run("axum_mount");
}

fn run(example: &str) {
    let Some(program) = program(example) else {
        // `cargo test` builds the examples; a run of this test alone does not.
        eprintln!("skipped: {example} is not built");
        return;
    };
    let output = Command::new(program).arg("--once").output().expect("an example that starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("200 OK"), "{text}");
}

/// Examples are built next to the folder that this test is built in.
fn program(example: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    let program = test.parent()?.parent()?.join("examples").join(name);
    program.exists().then_some(program)
}
