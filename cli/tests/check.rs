//! `check`: what it prints and how it exits.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn check(inputs: &[&str], stdin: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .arg("check")
        .args(inputs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code(), text)
}

#[test]
fn good_bad_and_unreadable_inputs() {
    let (code, text) = check(&["-"], "# TYPE a counter\na 1\n");
    assert_eq!((code, text.as_str()), (Some(0), "-: ok, 1 families, 1 samples\n"));

    let (code, text) = check(&["-"], "# TYPE a counter\na 1\na 1\nb {x=\"1\"} 2\n");
    assert_eq!(code, Some(1));
    assert!(text.contains("-:3: ") && text.contains("-:4: "), "{text}");

    let good = Path::new(env!("CARGO_TARGET_TMPDIR")).join("good.txt");
    std::fs::write(&good, "up 1\n").unwrap();
    let (code, text) = check(&[good.to_str().unwrap(), "/nonexistent"], "");
    assert_eq!(code, Some(2));
    assert!(
        text.contains("good.txt: ok") && text.contains("/nonexistent: cannot be read"),
        "{text}"
    );

    let (code, text) = check(&["https://localhost/metrics"], "");
    assert_eq!(code, Some(2));
    assert!(text.contains("http://"), "{text}");
    assert_eq!(check(&["http://127.0.0.1:1/metrics"], "").0, Some(2));
}

#[test]
fn openmetrics_is_guessed_or_named() {
    let body = "# TYPE a counter\na_total 1\n# EOF\n";
    assert_eq!(check(&["-"], body).1, "-: ok, 1 families, 1 samples\n");
    let (code, text) = check(&["-"], "# TYPE a counter\na 1\n# EOF\n");
    assert_eq!(code, Some(1));
    assert!(text.starts_with("-:2: "), "{text}");
    // As text, `# EOF` is a comment, and the counter is named as its sample.
    assert_eq!(check(&["--format", "text", "-"], "# TYPE a counter\na 1\n# EOF\n").0, Some(0));
    let (code, text) = check(&["--format", "openmetrics", "-"], "a 1\n");
    assert_eq!((code, text.as_str()), (Some(1), "-:1: the last line is not '# EOF'\n"));
    let quoted = "# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n# EOF\n";
    assert_eq!(check(&["-"], quoted).0, Some(1));
    assert_eq!(check(&["--format", "openmetrics-utf8", "-"], quoted).0, Some(0));
}
