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
