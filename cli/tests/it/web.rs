//! `--web-config-file`: the system port asks for a password, and a bad file stops the program.

use crate::common::Program;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_system_port_asks_for_the_password_of_the_file() {
    // The hash is that of `fakepassword`.
    let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    let path = file("web.yml", &format!("basic_auth_users:\n  prometheus: {hash}\n"));
    let path = path.to_str().unwrap();
    // Given by an option here and by a variable there; the option comes first.
    for (arguments, environment) in [
        (
            vec!["worker", "--web-config-file", path],
            ("DYN_METRICS_WEB_CONFIG_FILE", "/nonexistent"),
        ),
        (vec!["frontend", "--http-port", "0"], ("DYN_METRICS_WEB_CONFIG_FILE", path)),
    ] {
        let program = Program::start(
            &arguments,
            &[environment, ("DYN_METRICS_DETAILS", "true")],
            &["system"],
        );
        let answer = |head: &str| {
            let mut stream = TcpStream::connect(program.address("system")).unwrap();
            write!(stream, "GET /metrics HTTP/1.0\r\n{head}\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        assert!(answer("").starts_with("HTTP/1.0 401 "));
        // base64 of `prometheus:fakepassword`
        let served = answer("Authorization: Basic cHJvbWV0aGV1czpmYWtlcGFzc3dvcmQ=\r\n");
        assert!(served.starts_with("HTTP/1.0 200 "), "{served}");
        assert!(
            served.contains("dynamo_metrics_server_password_checks_total{server=\"system\"} 1\n")
        );
        assert!(served.contains(
            "dynamo_metrics_server_config_last_reload_successful{server=\"system\"} 1\n"
        ));
    }
}

#[test]
fn a_bad_file_stops_the_program_with_its_line() {
    let path = file("bad.yml", "# passwords\nbasic_auth_user:\n  a: b\n");
    let output = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .args(["serve", "--http-port", "0", "--web-config-file", path.to_str().unwrap()])
        .env("DYN_SYSTEM_PORT", "0")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(text.contains("bad.yml:2: `basic_auth_user`: unknown key"), "{text}");
}

/// The head of the answer to a request of this method, from a page of this origin.
fn head_for_origin(address: &str, method: &str, path: &str, origin: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase()
}

#[test]
fn pages_of_other_origins_may_read_only_where_they_were_named() {
    const VARIABLE: &str = "DYN_METRICS_CORS_ORIGINS";
    const ALLOW: &str = "access-control-allow-origin";
    let (a, b) = ("https://a.example", "http://b.example:3000");
    for (command, words) in [
        ("serve", &["frontend"][..]),
        ("frontend", &["frontend", "system"]),
        ("worker", &["system"]),
    ] {
        let port: &[&str] = if command == "worker" { &[] } else { &["--http-port", "0"] };
        // Given by options here and by the variable there; options come first.
        for (options, variable, allowed) in [
            (&[][..], "", &[][..]),
            (&[], "https://a.example", &[a]),
            (&["--cors-origin", a, "--cors-origin", b], "https://c.example", &[a, b]),
        ] {
            let arguments = [&[command], port, options].concat();
            let program = Program::start(&arguments, &[(VARIABLE, variable)], words);
            for word in words {
                let address = program.address(word);
                for origin in [a, b, "https://c.example"] {
                    let allow = format!("{ALLOW}: {origin}");
                    for path in ["/metrics", "/live", "/dashboard"] {
                        let head = head_for_origin(address, "GET", path, origin);
                        let what = format!("{command} {word} {path}: {head}");
                        // A system port without an endpoint is not live, and says so to these pages too.
                        assert!(head.starts_with("http/1.0 200") || path == "/live", "{what}");
                        let is_allowed = allowed.contains(&origin);
                        assert_eq!(head.contains(&allow), is_allowed, "{what}");
                        assert_eq!(head.contains(ALLOW), is_allowed, "{what}");
                    }
                    let head = head_for_origin(address, "OPTIONS", "/metrics", origin);
                    let status = if allowed.contains(&origin) { "204" } else { "405" };
                    assert!(head.starts_with(&format!("http/1.0 {status}")), "{word}: {head}");
                }
                if *word == "frontend" {
                    let head = head_for_origin(address, "OPTIONS", "/v1/chat/completions", a);
                    assert!(head.starts_with("http/1.0 405") && !head.contains(ALLOW), "{head}");
                }
            }
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .args(["serve", "--cors-origin", "https://a.example/"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("browsers write https://a.example"), "{error}");
}
