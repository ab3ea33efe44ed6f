//! The frontend's port under clients that mean no good, and the routes by which workers join.

use crate::common;

use crate::common::{Program, eventually, get, open, open_bare, read, scrape};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

fn frontend(arguments: &[&str]) -> Program {
    let mut all = vec!["frontend", "--http-port", "0"];
    all.extend(arguments);
    Program::start(&all, &[], &["frontend"])
}

fn registration(id: u64, models: usize) -> String {
    let models: Vec<String> =
        (0..models).map(|number| format!("\"model-{id}-{number}\"")).collect();
    format!(
        r#"{{"instance_id": {id}, "url": "http://127.0.0.1:1", "namespace": "n", "component": "c",
            "endpoint": "e", "models": [{}], "context_length": 1, "kv_cache_block_size": 16,
            "migration_limit": 0, "total_kv_blocks": 1, "max_num_seqs": 1, "max_num_batched_tokens": 1,
            "stats": {{"active_blocks": 0, "total_blocks": 1, "usage": 0, "hit_rate": 0}}}}"#,
        models.join(",")
    )
}

/// Sends bytes and reads to the end.
fn raw(address: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn with_token(address: &str, token: &str, body: &str) -> u16 {
    let length = body.len();
    let answer = raw(
        address,
        &format!(
            "POST /internal/workers HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    );
    answer[9..12].parse().unwrap()
}

#[test]
fn refused_requests_are_counted_on_the_page() {
    let arguments = ["frontend", "--http-port", "0"];
    let program = Program::start(&arguments, &[("DYN_METRICS_DETAILS", "true")], &["frontend"]);
    let address = program.address("frontend");
    for request in [
        "GET /v1/models HTTP/1.1\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
    ] {
        let answer = raw(address, request);
        assert!(answer.starts_with("HTTP/1.1 4"), "{request:?}: {answer}");
    }
    let page = eventually(address, "the refusals", |page| {
        let hits = |limit| {
            let labels = [("server", "frontend"), ("limit", limit)];
            page.value("dynamo_metrics_server_limit_hits_total", &labels)
        };
        (hits("host"), hits("body")) == (Some(2.0), Some(2.0))
    });
    let of_frontend = |name: &str| {
        page.value(&format!("dynamo_metrics_server_{name}"), &[("server", "frontend")])
    };
    assert!(of_frontend("connections_total") >= Some(5.0));
    assert!(of_frontend("open_connections") >= Some(1.0));
    assert!(of_frontend("gathers_total").is_some());
    assert!(of_frontend("password_checks_total").is_none(), "of which it knows nothing");
}

#[test]
fn a_registration_without_bound_is_refused() {
    let program = frontend(&[]);
    let address = program.address("frontend");
    let join = |body: &str| {
        read(open(address, "POST", "/internal/workers", "application/json", body)).status
    };
    let before = scrape(address).samples().count();
    assert_eq!(join(&registration(1, 1200)), 400);
    assert_eq!(join(&registration(1, 0)), 400);
    assert_eq!(join(&registration(1, 2).replace("model-1-1", &"m".repeat(5000))), 400);
    assert_eq!(join(&registration(1, 2).replace("http://", "file://")), 400);
    assert_eq!(scrape(address).samples().count(), before);
    assert_eq!(join(&registration(1, 2)), 204);
    assert_eq!(get(address, "/v1/models").json()["data"].as_array().unwrap().len(), 2);
}

#[test]
fn a_worker_needs_the_token_that_the_frontend_was_given() {
    let program = frontend(&["--host", "0.0.0.0", "--worker-token", "secret"]);
    let port = program.address("frontend").rsplit(':').next().unwrap().to_owned();
    let address = format!("127.0.0.1:{port}");
    let path = "/internal/workers";
    let body = registration(1, 1);
    assert_eq!(read(open(&address, "POST", path, "application/json", &body)).status, 401);
    assert_eq!(with_token(&address, "wrong", &body), 401);
    assert_eq!(with_token(&address, "secret", &body), 204);
    assert_eq!(read(open_bare(&address, "DELETE", "/internal/workers/1")).status, 401);
    let worker = |environment: &[(&str, &str)]| {
        let url = format!("http://{address}");
        let arguments = ["worker", "--frontend", &url, "--instance-id", "2", "--model", "tiny"];
        Program::start(&arguments, environment, &["requests"])
    };
    let _worker = worker(&[("DYN_METRICS_WORKER_TOKEN", "secret")]);
    eventually(&address, "the worker joined", |page| {
        page.value("dynamo_frontend_model_max_num_seqs", &[("model", "tiny")]).is_some()
    });
}

#[test]
fn without_a_token_only_this_machine_may_join() {
    let output = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .args(["frontend", "--http-port", "0", "--host", "0.0.0.0"])
        .env("DYN_SYSTEM_PORT", "0")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--worker-token") && text.contains("DYN_METRICS_WORKER_TOKEN"), "{text}");
    // `serve` has a worker of its own, so it starts, and no other may join.
    let serve = ["serve", "--http-port", "0", "--host", "0.0.0.0"];
    let program = Program::start(&serve, &[("DYN_SYSTEM_HOST", "127.0.0.1")], &["frontend"]);
    let port = program.address("frontend").rsplit(':').next().unwrap().to_owned();
    let address = format!("127.0.0.1:{port}");
    let body = registration(1, 1);
    let answer = read(open(&address, "POST", "/internal/workers", "application/json", &body));
    assert_eq!(answer.status, 404);
}

#[test]
fn a_body_above_the_limit_is_refused_as_the_api_refuses_and_counted() {
    let program = Program::start(&["serve", "--http-port", "0"], &[], &["frontend"]);
    let address = program.address("frontend");
    let head = "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Content-Length: 99999999\r\n\r\n";
    let answer = raw(address, head);
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let error: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(error["error"]["code"], 413, "{answer}");
    // Three megabytes are well within it.
    let long = format!(r#"{{"model": "none", "prompt": "{}"}}"#, "x".repeat(3 << 20));
    let answer = read(open(address, "POST", "/v1/completions", "application/json", &long));
    assert_eq!(answer.status, 404, "{}", answer.body);
    let labels = [("endpoint", "completions"), ("reason", "too_large")];
    let rejected = "dynamo_frontend_rejected_requests_total";
    assert_eq!(scrape(address).value(rejected, &labels), Some(1.0));
}

#[test]
fn paths_of_pages_are_compared_as_they_stand() {
    let environment = [("DYN_HTTP_SVC_LIVE_PATH", "/:x"), ("DYN_HTTP_SVC_HEALTH_PATH", "/*y/z")];
    let program = Program::start(&["serve", "--http-port", "0"], &environment[..1], &["frontend"]);
    let address = program.address("frontend");
    assert_eq!(get(address, "/:x").json()["status"], "live");
    assert_eq!(get(address, "/other").status, 404);
    assert_eq!(read(open(address, "POST", "/health", "text/plain", "")).status, 405);
    let stops = |environment: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
            .args(["serve", "--http-port", "0"])
            .env("DYN_SYSTEM_PORT", "0")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(stops(&environment[1..]).contains("DYN_HTTP_SVC_HEALTH_PATH"));
    let error = stops(&[("DYN_HTTP_SVC_METRICS_PATH", "/v1/models")]);
    assert!(error.contains("DYN_HTTP_SVC_METRICS_PATH") && error.contains("/v1"), "{error}");
}

#[test]
fn probes_see_the_shutdown_while_a_stream_ends_and_no_new_request_begins() {
    let arguments =
        ["serve", "--http-port", "0", "--token-time-ms", "20", "--prefill-base-ms", "2"];
    let mut program = Program::start(&arguments, &[], &["frontend"]);
    let address = program.address("frontend").to_owned();
    let body =
        r#"{"model": "Qwen/Qwen3-0.6B", "prompt": "Hello", "max_tokens": 150, "stream": true}"#;
    let mut stream = open(&address, "POST", "/v1/completions", "application/json", body);
    assert!(stream.read(&mut [0; 100]).unwrap() > 0);
    program.signal("-TERM");
    let start = std::time::Instant::now();
    while get(&address, "/live").status != 503 {
        assert!(start.elapsed() < common::PATIENCE, "it is not told");
    }
    assert_eq!(get(&address, "/live").json()["status"], "shutting_down");
    assert_eq!(get(&address, "/metrics").status, 200);
    let refused = read(open(&address, "POST", "/v1/completions", "application/json", body));
    assert_eq!(refused.status, 503, "{}", refused.body);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("data: [DONE]"), "{rest}");
    assert!(program.terminate().success());
}
