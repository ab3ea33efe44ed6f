//! `check`: what it prints and how it exits.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

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
fn the_exit_code_tells_errors_from_unreadable_inputs() {
    let (code, text) = check(&["-"], "# TYPE a gauge\na 1\n");
    assert_eq!((code, text.as_str()), (Some(0), "-: ok, 1 families, 1 samples\n"));

    let (code, text) = check(&["-"], "# TYPE a gauge\na 1\na 1\nb {x=\"1\"} 2\n");
    assert_eq!(code, Some(1));
    assert!(text.contains("-:3: error: ") && text.contains("-:4: warning: "), "{text}");
    assert!(text.ends_with("-: 1 errors, 1 warnings, 2 families, 2 samples\n"), "{text}");

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
    let (_, text) = check(&["HTTP://127.0.0.1:1/metrics"], "");
    assert!(text.contains("cannot connect"), "{text}");

    let packed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packed.txt.gz");
    std::fs::write(&packed, b"\x1f\x8b\x08\0\0\0\0\0").unwrap();
    let (code, text) = check(&[packed.to_str().unwrap()], "");
    assert_eq!(code, Some(2));
    assert!(
        text.ends_with("cannot be read: it is compressed by gzip; unpack it first\n"),
        "{text}"
    );
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
    assert_eq!(code, Some(1));
    assert!(text.starts_with("-:1: error: the last line is not '# EOF' ("), "{text}");
    let quoted = "# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n# EOF\n";
    assert_eq!(check(&["-"], quoted).0, Some(1));
    assert_eq!(check(&["--format", "openmetrics-utf8", "-"], quoted).0, Some(0));
}

/// A server that gives one answer, and then the head of the request.
fn serve_once(status: &str, content_type: &str, body: &str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics?x=1", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    });
    (url, server)
}

#[test]
fn an_address_is_read_in_the_format_that_its_answer_announces() {
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (url, server) = serve_once("200 OK", openmetrics, "a 1\n");
    let (code, text) = check(&[&url], "");
    assert_eq!(code, Some(1));
    assert!(text.starts_with(&format!("{url}:1: error: the last line is not '# EOF'")), "{text}");
    let head = server.join().unwrap();
    assert!(head.starts_with("get /metrics?x=1 http/1.1\r\n"), "{head}");
    assert!(head.contains("accept: application/openmetrics-text;version=1.0.0;q=0.8,"), "{head}");

    let (url, server) = serve_once("200 OK", "text/plain; version=0.0.4", "# EOF\n");
    assert_eq!(check(&[&url], "").0, Some(0), "in text it is a comment");
    server.join().unwrap();

    let (url, server) = serve_once("200 OK", openmetrics, "# EOF\n");
    assert_eq!(check(&["--format", "openmetrics-utf8", &url], "").0, Some(0));
    assert!(server.join().unwrap().contains("version=1.0.0;escaping=allow-utf-8\r\n"));
}

#[test]
fn an_answer_that_is_no_exposition_cannot_be_read() {
    for (status, content_type, arguments, says) in [
        ("404 Not Found", "text/plain", &[][..], "404"),
        ("200 OK", "text/html", &[], "--format"),
        ("200 OK", "text/plain", &["--format", "openmetrics"], "not asked for"),
    ] {
        let (url, server) = serve_once(status, content_type, "a 1\n");
        let (code, text) = check(&[arguments, &[&url]].concat(), "");
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("cannot be read") && text.contains(says), "{text}");
        server.join().unwrap();
    }
}

#[test]
fn a_closed_pipe_does_not_make_check_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // Only now does it have something to say.
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"a 1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn legal_spellings_are_warnings_which_can_be_denied() {
    // As engines and exporters print them, and every consumer takes them.
    let page = "\n# HELP a_total  counter with blanks\n# TYPE   a_total counter\n\na_total { x = \"y\" , } 3\na_total{} 4\nb\t5\n";
    let (code, text) = check(&["-"], page);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("-: ok with 7 warnings, 2 families, 3 samples\n"), "{text}");
    assert!(!text.contains("error") && !text.contains("every consumer reads"), "{text}");
    assert_eq!(check(&["--deny-warnings", "-"], page).0, Some(1));
    assert_eq!(check(&["--deny-warnings", "-"], "a 1\n").0, Some(0));
}

#[test]
fn a_report_for_machines() {
    let (code, text) =
        check(&["--format", "json", "--format", "text", "-", "/nonexistent"], "a 1\na 2\nb{} 1\n");
    assert_eq!(code, Some(2));
    let report: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let page = &report["inputs"][0];
    assert_eq!(
        (&page["errors"], &page["warnings"], &page["samples"]),
        (&1.into(), &1.into(), &2.into())
    );
    let finding = &page["findings"][0];
    assert_eq!(
        (&finding["line"], &finding["level"], &finding["rule"]),
        (&2.into(), &"error".into(), &"Duplicate".into())
    );
    assert!(finding["message"].is_string() && finding["by"].is_string());
    let whole_line = serde_json::Value::Null;
    assert_eq!((&finding["column"], &finding["fault"]), (&whole_line, &"SeriesTwice".into()));
    assert!(report["inputs"][1]["unreadable"].as_str().unwrap().contains("No such file"));
}
