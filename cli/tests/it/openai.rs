//! The API as OpenAI's clients use it, and what becomes of requests that are refused: an error in OpenAI's form, and a count.

use crate::common::{Program, eventually, get, judge, open, post, read, scrape};
use dynamo_metrics_parser::Exposition;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

const MODEL: &str = "Org/Model-7B";
const CONTEXT: &str = "256";

fn serve(arguments: &[&str]) -> Program {
    let mut all = vec![
        "serve",
        "--http-port",
        "0",
        "--model",
        MODEL,
        "--context-length",
        CONTEXT,
        "--token-time-ms",
        "2",
        "--prefill-base-ms",
        "1",
    ];
    all.extend(arguments);
    Program::start(&all, &[], &["frontend", "worker"])
}

fn rejected(page: &Exposition, endpoint: &str, reason: &str) -> f64 {
    let labels = [("endpoint", endpoint), ("reason", reason)];
    page.value("dynamo_frontend_rejected_requests_total", &labels).unwrap_or(0.0)
}

fn send(address: &str, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request).unwrap();
    stream
}

fn completion(fields: &str) -> String {
    format!(r#"{{"model": "{MODEL}", "prompt": "Hello", {fields}}}"#)
}

#[test]
fn the_official_python_client_works() {
    let Some(python) = judge("python") else { return };
    let has_client = Command::new(&python).args(["-c", "import openai"]).output().unwrap();
    if !has_client.status.success() {
        let required = std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|it| it == "required");
        assert!(!required, "Python's openai is required and not installed");
        eprintln!("SKIPPED: Python's openai is not installed (bash ci/test.sh installs it)");
        return;
    }
    let program = serve(&[]);
    let address = program.address("frontend");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/openai/client.py");
    let url = format!("http://{address}/v1");
    let run = Command::new(python).args([script, &url, MODEL]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(
        run.status.success(),
        "python cli/tests/it/openai/client.py URL MODEL said:\n{out}{err}"
    );
    assert_eq!(out.lines().filter(|line| line.starts_with("ok ")).count(), 13, "{out}");
    // The early close and the timeout are clients that left; both are errors, and told apart.
    let page = eventually(address, "two clients that left", |page| {
        page.sum("dynamo_frontend_cancelled_requests_total") == Some(2.0)
    });
    let errors: f64 = page
        .samples()
        .filter(|s| {
            s.name == "dynamo_frontend_requests_total" && s.label("status") == Some("error")
        })
        .map(|s| s.value)
        .sum();
    assert_eq!(errors, 2.0, "nothing else failed");
    assert_eq!(page.value("dynamo_frontend_disconnected_clients", &[]), Some(2.0));
    assert_eq!(rejected(&page, "chat_completions", "not_found"), 1.0);
    assert_eq!(rejected(&page, "completions", "too_large"), 1.0);
}

#[test]
fn many_small_bodies_at_once_are_all_served() {
    let program = serve(&["--token-time-ms", "5", "--max-num-seqs", "256"]);
    let address = program.address("frontend");
    let body = completion(r#""max_tokens": 100"#);
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let clients: Vec<TcpStream> = (0..200).map(|_| send(address, request.as_bytes())).collect();
    let statuses: Vec<u16> = clients.into_iter().map(|client| read(client).status).collect();
    assert!(statuses.iter().all(|&status| status == 200), "{statuses:?}");
}

#[test]
fn requests_beyond_the_context_are_refused_before_any_engine() {
    let program = serve(&[]);
    let address = program.address("frontend");
    let tokens: Vec<u32> = (0..200).collect();
    let ask = |prompt: &str, fields: &str| {
        let body = format!(r#"{{"model": "{MODEL}", "prompt": {prompt}{fields}}}"#);
        post(address, "/v1/completions", &body)
    };
    let long = format!("{tokens:?}");
    for (prompt, fields) in [
        (long.clone(), r#", "max_tokens": 57"#),
        (format!("[[1], {long}]"), r#", "max_tokens": 57"#),
        (format!("{:?}", (0..256).collect::<Vec<u32>>()), ""),
        (long.clone(), r#", "max_completion_tokens": 100"#),
        (format!("{:?}", "word ".repeat(2000)), r#", "max_tokens": 1"#),
    ] {
        let answer = ask(&prompt, fields);
        assert_eq!(answer.status, 400, "{fields}: {}", answer.body);
        assert_eq!(answer.json()["error"]["code"], "context_length_exceeded");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("256 tokens"));
    }
    assert_eq!(ask(&long, r#", "max_tokens": 56"#).status, 200);
    let answer = ask(&long, "");
    assert_eq!(answer.json()["usage"]["completion_tokens"], 56, "what is left of the context");
    let page = scrape(address);
    assert_eq!(rejected(&page, "completions", "validation"), 5.0);
    assert_eq!(page.sum("dynamo_frontend_requests_total"), Some(2.0));
    assert_eq!(page.sum("dynamo_frontend_inflight_requests"), Some(0.0));
    let worker = scrape(program.address("worker"));
    assert_eq!(worker.sum("dynamo_component_requests_total"), Some(2.0));
}

#[test]
fn every_refusal_is_an_error_in_openais_form_and_counted() {
    let program = serve(&[]);
    let address = program.address("frontend");
    let head = |line: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{more}\r\n")
    };
    let json = "Content-Type: application/json\r\n";
    let body = completion(r#""max_tokens": 1"#);
    let gzip = format!("{json}Content-Encoding: gzip\r\nContent-Length: {}\r\n", body.len());
    let huge = format!("{json}Content-Length: 99999999\r\n");
    let broken = format!("{json}Transfer-Encoding: chunked\r\n");
    let post_line = "POST /v1/completions";
    for (request, status, reason) in [
        (head("GET /v1/completions", ""), 405, "method_not_allowed"),
        (
            head(
                "OPTIONS /v1/completions",
                "Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n",
            ),
            405,
            "method_not_allowed",
        ),
        (head(post_line, "Content-Length: 0\r\n"), 415, "unsupported_media_type"),
        (head(post_line, &gzip) + &body, 415, "unsupported_media_type"),
        (head(post_line, &huge), 413, "too_large"),
        (head(post_line, &broken) + "z\r\n", 400, "validation"),
        (head(post_line, &format!("{json}Content-Length: 1\r\n")) + "{", 400, "validation"),
        (head("GET /v1/completions", "Content-Length: 1\r\n") + "x", 400, "validation"),
    ] {
        let before = rejected(&scrape(address), "completions", reason);
        let answer = read(send(address, request.as_bytes()));
        assert_eq!(answer.status, status, "{request}\n{}", answer.body);
        let error = &answer.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{}", answer.body);
        assert_eq!(rejected(&scrape(address), "completions", reason), before + 1.0, "{request}");
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    // Of no endpoint that is served: counted by the listener, and by endpoint where the vocabulary has it.
    let hits = |limit: &str| {
        let labels = [("server", "frontend"), ("limit", limit)];
        scrape(address).value("dynamo_metrics_server_limit_hits_total", &labels).unwrap_or(0.0)
    };
    let all = || scrape(address).sum("dynamo_frontend_rejected_requests_total").unwrap_or(0.0);
    for (line, status, limit, endpoint) in [
        ("GET /v1/embeddings", 404, "not_found", Some("embeddings")),
        ("POST /v1/images/generations", 404, "not_found", Some("images")),
        ("POST /v1/responses", 404, "not_found", Some("responses")),
        ("POST /v1/nope", 404, "not_found", None),
        ("GET /v1/models/a/b", 404, "not_found", None),
        ("GET /v1/models/%ff", 404, "not_found", None),
        ("POST //v1/chat/completions", 404, "not_found", None),
        ("GET /nothing", 404, "not_found", None),
        ("OPTIONS *", 404, "not_found", None),
        ("CONNECT t:443", 404, "not_found", None),
        ("DELETE /v1/models", 405, "method", None),
        ("POST /v1/models", 405, "method", None),
        ("POST /health", 405, "method", None),
        ("PUT /v1/chat/completions", 405, "method", Some("chat_completions")),
    ] {
        let before = (hits(limit), all());
        let answer = read(send(address, head(line, "").as_bytes()));
        assert_eq!(answer.status, status, "{line}");
        let code = &answer.json()["error"]["code"];
        assert!(*code == status || *code == "model_not_found", "{line}: {}", answer.body);
        assert!(answer.json()["error"]["message"].is_string(), "{line}: {}", answer.body);
        let counted = f64::from(u8::from(endpoint.is_some()));
        assert_eq!((hits(limit), all()), (before.0 + 1.0, before.1 + counted), "{line}");
        if let Some(endpoint) = endpoint {
            let reason = if status == 404 { "not_found" } else { "method_not_allowed" };
            assert_eq!(rejected(&scrape(address), endpoint, reason), 1.0, "{line}");
        }
    }
    // Heads that no handler and not even hyper is given.
    let lines = "X: y\r\n".repeat(150);
    let long = format!("X: {}\r\n", "y".repeat(40_000));
    let both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n";
    for (request, status, limit) in [
        (head(post_line, &lines), 431, "head_size"),
        (head(post_line, &long), 431, "head_size"),
        (head(post_line, "Content-Length: -1\r\n"), 400, "framing"),
        (head(post_line, "Content-Length: +5\r\n"), 400, "framing"),
        (head(post_line, both) + "0\r\n\r\n", 400, "framing"),
        (head(post_line, "no colon\r\n"), 400, "grammar"),
    ] {
        let before = (hits(limit), rejected(&scrape(address), "completions", "validation"));
        let answer = read(send(address, request.as_bytes()));
        assert_eq!(answer.status, status, "{limit}: {}", answer.body);
        assert_eq!(answer.json()["error"]["code"], status, "{limit}: {}", answer.body);
        assert_eq!(hits(limit), before.0 + 1.0, "{limit}");
        let counted = f64::from(u8::from(limit == "framing"));
        let rejected = rejected(&scrape(address), "completions", "validation");
        assert_eq!(rejected, before.1 + counted, "{limit}: its endpoint is known");
    }
    for id in ["Org/Model-7B", "Org%2FModel-7B"] {
        let answer = get(address, &format!("/v1/models/{id}"));
        assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some(MODEL)), "{id}");
    }
}

#[test]
fn clients_that_leave_are_counted_apart_wherever_they_leave() {
    let program = serve(&["--token-time-ms", "20", "--prefill-base-ms", "500"]);
    let address = program.address("frontend");
    // In the queue or the prefill, between tokens, and with an answer in one piece.
    let stream = completion(r#""max_tokens": 200, "stream": true"#);
    let unary = completion(r#""max_tokens": 200"#);
    let inflight = |page: &Exposition| page.sum("dynamo_frontend_inflight_requests");
    let post = |body: &str| open(address, "POST", "/v1/completions", "application/json", body);
    let before_the_first_token = post(&stream);
    let whole = post(&unary);
    eventually(address, "both are in progress", |page| inflight(page) == Some(2.0));
    drop((before_the_first_token, whole));
    let mut between_tokens = post(&stream);
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("data: ") {
        let mut block = [0; 256];
        let n = between_tokens.read(&mut block).unwrap();
        assert!(n > 0, "the stream ended");
        seen.extend_from_slice(&block[..n]);
    }
    drop(between_tokens);
    let page = eventually(address, "nothing is in progress", |page| {
        inflight(page) == Some(0.0)
            && page.sum("dynamo_frontend_cancelled_requests_total") == Some(3.0)
    });
    let cancelled = |kind: &str| {
        let labels = [("model", MODEL), ("endpoint", "completions"), ("request_type", kind)];
        page.value("dynamo_frontend_cancelled_requests_total", &labels)
    };
    assert_eq!((cancelled("stream"), cancelled("unary")), (Some(2.0), Some(1.0)));
    assert_eq!(page.sum("dynamo_frontend_requests_total"), Some(3.0), "as errors, as before");
    assert_eq!(page.value("dynamo_frontend_disconnected_clients", &[]), Some(3.0));
}
