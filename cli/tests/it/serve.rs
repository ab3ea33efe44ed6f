//! `serve` as a user sees it: the document's requests, and what they move on both ports.

use crate::common;

use crate::common::{Program, eventually, get, open, post, read, scrape};
use dynamo_metrics_parser as strict;
use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

const MODEL: &str = "Qwen/Qwen3-0.6B";
const LABEL: [(&str, &str); 1] = [("model", MODEL)];

fn serve(arguments: &[&str]) -> Program {
    let mut all =
        vec!["serve", "--http-port", "0", "--token-time-ms", "2", "--prefill-base-ms", "2"];
    all.extend(arguments);
    Program::start(&all, &[], &["frontend", "worker"])
}

fn chat(stream: bool, tokens: u64) -> String {
    format!(
        r#"{{"model": "{MODEL}", "max_completion_tokens": {tokens}, "stream": {stream},
            "messages": [{{"role": "user", "content": "Hello"}}]}}"#
    )
}

#[test]
fn both_pages_are_compressed_for_who_asks() {
    let program = serve(&[]);
    for port in ["frontend", "worker"] {
        let mut stream = std::net::TcpStream::connect(program.address(port)).unwrap();
        let head = "GET /metrics HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
        let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
        assert!(head.to_ascii_lowercase().contains("content-encoding: gzip"), "{port}: {head}");
        assert_eq!(body[..2], [0x1f, 0x8b], "{port}: a gzip member (RFC 1952 section 2.3.1)");
    }
}

#[test]
fn a_slow_request_leads_to_its_trace() {
    let program = serve(&[]);
    let address = program.address("frontend");
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let body = chat(false, 3);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\n\
         traceparent: 00-{trace}-{span}-01\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read(stream).status, 200);

    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = "GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\
                Accept: application/openmetrics-text; version=1.0.0\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let page = read(stream).body;
    strict::openmetrics::parse(page.as_bytes()).unwrap();
    let exemplar = format!(" # {{trace_id=\"{trace}\",span_id=\"{span}\"}} ");
    let traced: Vec<&str> =
        page.lines().filter(|line| line.contains(&exemplar)).map(|line| &line[..30]).collect();
    assert_eq!(traced.len(), 2, "{page}");
    assert!(traced[0].starts_with("dynamo_frontend_request_durati"), "{traced:?}");
    assert!(traced[1].starts_with("dynamo_frontend_time_to_first_"), "{traced:?}");
}

#[test]
fn the_documents_quick_start() {
    let program = serve(&[]);
    let (frontend, worker) = (program.address("frontend"), program.address("worker"));
    let before = scrape(frontend);
    assert_eq!(before.value("dynamo_frontend_disconnected_clients", &[]), Some(0.0));
    assert_eq!(before.value("dynamo_frontend_model_max_num_seqs", &LABEL), Some(3.0));

    let answer = post(frontend, "/v1/chat/completions", &chat(false, 100));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["usage"]["completion_tokens"], 100);
    assert_eq!(answer.json()["choices"][0]["message"]["role"], "assistant");

    let answer = post(frontend, "/v1/chat/completions", &chat(true, 10));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events: Vec<&str> =
        answer.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"));
    // A slow machine may put several tokens into one event.
    let text: String = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str::<serde_json::Value>(event).unwrap())
        .map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(text.split_whitespace().count(), 10, "{text}");

    let body = format!(r#"{{"model": "{MODEL}", "prompt": ["one", "two"], "max_tokens": 5}}"#);
    let answer = post(frontend, "/v1/completions", &body);
    assert_eq!(answer.json()["choices"].as_array().unwrap().len(), 2);

    let page = scrape(frontend);
    let value = |name: &str, labels: &[(&str, &str)]| page.value(name, labels);
    let requests = |endpoint: &str, request_type: &str| {
        let labels = [
            ("model", MODEL),
            ("endpoint", endpoint),
            ("request_type", request_type),
            ("status", "success"),
        ];
        value("dynamo_frontend_requests_total", &labels)
    };
    assert_eq!(requests("chat_completions", "unary"), Some(1.0));
    assert_eq!(requests("chat_completions", "stream"), Some(1.0));
    assert_eq!(requests("completions", "unary"), Some(1.0));
    assert_eq!(value("dynamo_frontend_output_tokens_total", &LABEL), Some(120.0));
    assert_eq!(value("dynamo_frontend_output_sequence_tokens_sum", &LABEL), Some(120.0));
    assert_eq!(value("dynamo_frontend_output_sequence_tokens_count", &LABEL), Some(3.0));
    assert_eq!(value("dynamo_frontend_request_duration_seconds_count", &LABEL), Some(3.0));
    assert_eq!(value("dynamo_frontend_time_to_first_token_seconds_count", &LABEL), Some(3.0));
    // One for each token but those of each request's first chunk, which is one token unless the machine is slow.
    let latencies = value("dynamo_frontend_inter_token_latency_seconds_count", &LABEL).unwrap();
    assert!((90.0..=117.0).contains(&latencies), "{latencies}");
    assert_eq!(value("dynamo_frontend_inflight_requests", &LABEL), Some(0.0));
    assert_eq!(value("dynamo_frontend_queued_requests", &LABEL), Some(0.0));
    assert!(value("dynamo_preprocessor_prompt_bytes_total", &[]).unwrap() > 0.0);
    assert!(value("dynamo_frontend_cached_tokens_count", &LABEL).unwrap() >= 3.0);

    let place = [
        ("dynamo_namespace", "dynamo"),
        ("dynamo_component", "backend"),
        ("dynamo_endpoint", "generate"),
        ("model", MODEL),
    ];
    // The worker ends its request when the last frame is out, which the frontend may read earlier.
    let page = eventually(worker, "4 requests", |page| {
        page.value("dynamo_component_request_duration_seconds_count", &place) == Some(4.0)
    });
    assert_eq!(
        page.value("dynamo_component_requests_total", &place),
        Some(4.0),
        "a batch of 2 is 2"
    );
    assert_eq!(page.value("dynamo_component_inflight_requests", &place), Some(0.0));
    assert!(page.value("dynamo_component_request_bytes_total", &place).unwrap() > 500.0);
    assert!(page.value("dynamo_component_response_bytes_total", &place).unwrap() > 1000.0);
    assert!(page.value("dynamo_component_uptime_seconds", &[]).unwrap() > 0.0);
    let component = [("dynamo_namespace", "dynamo"), ("dynamo_component", "backend")];
    let blocks = page.value("dynamo_component_kvstats_total_blocks", &component);
    assert_eq!(blocks, Some(16_384.0));
    let router = [("dynamo_namespace", "dynamo"), ("dynamo_component", "router")];
    assert_eq!(
        page.value("dynamo_component_kvstats_total_blocks", &router),
        None,
        "or a sum would count twice"
    );
    assert_eq!(page.sum("dynamo_component_kvstats_total_blocks"), Some(16_384.0));
    assert_eq!(page.sum("dynamo_component_router_worker_total_blocks"), Some(16_384.0));
}

#[test]
fn cached_tokens_of_a_batch_are_one_observation_of_all_its_prompts() {
    let program = serve(&[]);
    let frontend = program.address("frontend");
    let prompt = "tell me a story ".repeat(20); // 80 tokens, five blocks
    let body = format!(
        r#"{{"model": "{MODEL}", "prompt": ["{prompt}", "{prompt}", "{prompt}"], "max_tokens": 2}}"#
    );
    let usage = post(frontend, "/v1/completions", &body).json()["usage"].clone();
    assert_eq!(usage["prompt_tokens"], 240);
    // The first prompt is nowhere yet.
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 160);
    let page = scrape(frontend);
    let value = |name: &str| page.value(&format!("dynamo_frontend_{name}"), &LABEL);
    assert_eq!(value("cached_tokens_sum"), Some(160.0));
    assert_eq!(value("cached_tokens_count"), Some(1.0));
    assert_eq!(value("input_sequence_tokens_sum"), Some(240.0));
    assert_eq!(value("input_sequence_tokens_count"), Some(1.0));
}

#[test]
fn a_model_with_a_long_name_is_listed_as_it_is_asked_for() {
    let name = format!("org/{}", "m".repeat(150));
    let program = serve(&["--model", &name]);
    let frontend = program.address("frontend");
    let models = get(frontend, "/v1/models").json();
    assert_eq!(models["data"][0]["id"], name.as_str());
    let answer = post(frontend, "/v1/chat/completions", &chat(false, 1).replace(MODEL, &name));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn the_request_that_is_printed_to_try_names_a_model_that_is_served() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .args(["serve", "--http-port", "0", "--model", "it's/mine"])
        .env("DYN_SYSTEM_PORT", "-1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let hint = lines.map(Result::unwrap).find(|line| line.contains(" -d "));
    child.kill().unwrap();
    child.wait().unwrap();
    // As a shell reads it: it'\''s is it's.
    assert!(hint.as_ref().is_some_and(|line| line.contains(r"it'\''s/mine")), "{hint:?}");
}

#[test]
fn ten_clients_against_three_slots() {
    let program = serve(&["--token-time-ms", "15"]);
    let frontend = program.address("frontend");
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for _ in 0..3 {
                    assert_eq!(
                        post(frontend, "/v1/chat/completions", &chat(false, 20)).status,
                        200
                    );
                }
            });
        }
        let value = |page: &dynamo_metrics_parser::Exposition, name: &str| {
            page.value(&format!("dynamo_frontend_{name}_requests"), &LABEL).unwrap()
        };
        eventually(frontend, "10 in flight and 7 queued", |page| {
            (value(page, "inflight"), value(page, "queued")) == (10.0, 7.0)
        });
        // Whatever has ended by the time of a scrape, queued never exceeds inflight.
        for _ in 0..50 {
            let page = scrape(frontend);
            let (inflight, queued) = (value(&page, "inflight"), value(&page, "queued"));
            assert!(queued <= inflight, "{queued} queued of {inflight}");
            std::thread::sleep(Duration::from_millis(8));
        }
    });
    let page = scrape(frontend);
    assert_eq!(page.value("dynamo_frontend_inflight_requests", &LABEL), Some(0.0));
    assert_eq!(page.sum("dynamo_frontend_requests_total"), Some(30.0));
}

#[test]
fn refusals_are_counted_by_reason_and_leave_no_other_trace() {
    let program = serve(&[]);
    let frontend = program.address("frontend");
    let path = "/v1/chat/completions";
    assert_eq!(post(frontend, path, "{").status, 400);
    assert_eq!(post(frontend, path, r#"{"model": "m", "messages": []}"#).status, 400);
    let plain = read(open(frontend, "POST", path, "text/plain", &chat(false, 1)));
    assert_eq!(plain.status, 415);
    let unknown = chat(false, 1).replace(MODEL, "evil \\\"model\\n");
    let answer = post(frontend, path, &unknown);
    assert_eq!((answer.status, answer.json()["error"]["code"].as_u64()), (404, Some(404)));

    let page = scrape(frontend);
    let rejected = |reason: &str| {
        let labels = [("endpoint", "chat_completions"), ("reason", reason)];
        page.value("dynamo_frontend_rejected_requests_total", &labels)
    };
    assert_eq!(rejected("validation"), Some(2.0));
    assert_eq!(rejected("unsupported_media_type"), Some(1.0));
    assert_eq!(rejected("not_found"), Some(1.0));
    assert_eq!(page.sum("dynamo_frontend_requests_total").unwrap_or(0.0), 0.0);
    assert!(page.samples().all(|sample| sample.label("model").is_none_or(|m| !m.contains("evil"))));
    let unknown = [("model", "unknown_model")];
    assert_eq!(page.value("dynamo_frontend_inflight_requests", &unknown), Some(0.0));
}

#[test]
fn a_client_that_goes_away_is_an_error_streamed_or_not() {
    let program = serve(&["--token-time-ms", "20"]);
    let (frontend, worker) = (program.address("frontend"), program.address("worker"));
    for (stream, seen) in [(true, 1.0), (false, 2.0)] {
        let mut connection =
            open(frontend, "POST", "/v1/chat/completions", "application/json", &chat(stream, 1000));
        // At the worker too, or it would never hear of the request.
        eventually(worker, "at the worker", |page| {
            page.sum("dynamo_component_requests_total") == Some(seen)
        });
        if stream {
            let mut first = [0; 200];
            assert!(connection.read(&mut first).unwrap() > 0);
        }
        drop(connection);
        eventually(frontend, "disconnected", |page| {
            page.value("dynamo_frontend_disconnected_clients", &[]) == Some(seen)
                && page.value("dynamo_frontend_inflight_requests", &LABEL) == Some(0.0)
        });
    }
    let page = scrape(frontend);
    let errors: f64 = page
        .samples()
        .filter(|s| {
            s.name == "dynamo_frontend_requests_total" && s.label("status") == Some("error")
        })
        .map(|sample| sample.value)
        .sum();
    assert_eq!(errors, 2.0);
    eventually(worker, "the worker was told", |page| {
        page.samples()
            .filter(|s| s.name == "dynamo_component_errors_total")
            .filter(|s| s.label("error_type") == Some("publish_response"))
            .map(|sample| sample.value)
            .sum::<f64>()
            == 2.0
    });
}

#[test]
fn probes_and_other_paths() {
    let program = serve(&["--model", "a/b", "--model", "c"]);
    let (frontend, worker) = (program.address("frontend"), program.address("worker"));
    let models = get(frontend, "/v1/models").json();
    let names: Vec<_> =
        models["data"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect();
    assert_eq!(names, ["a/b", "c"]);
    let health = get(frontend, "/health");
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("healthy")));
    assert_eq!(health.json()["endpoints"][0], "dyn://dynamo.backend.generate");
    assert_eq!(get(frontend, "/live").json()["status"], "live");
    assert_eq!(get(frontend, "/metrics/").status, 404);
    let refused = read(open(frontend, "POST", "/metrics", "text/plain", ""));
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET,HEAD")));
    let metrics = get(frontend, "/metrics");
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
    );

    let health = get(worker, "/health");
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ready")));
    assert_eq!(health.json()["endpoints"]["generate"], "ready");
    assert_eq!(get(worker, "/live").status, 200);
    assert!(get(worker, "/").body.contains("<a href=\"/metrics\">"), "the landing page");
    let nowhere = get(worker, "/nowhere");
    assert_eq!((nowhere.status, nowhere.body.as_str()), (404, "Route not found"));
    let head = read(common::open_bare(worker, "HEAD", "/metrics"));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 1000);
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let start = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
            .args(arguments)
            .env("DYN_SYSTEM_PORT", "0")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = start(&["serve", "--http-port", &port], &[]);
    assert!(error.contains("--http-port") && error.contains(&port), "{error}");
    let error = start(&["serve"], &[("DYN_HTTP_PORT", &port)]);
    assert!(error.contains("DYN_HTTP_PORT"), "{error}");
    let error = start(&["serve", "--http-port", "0"], &[("DYN_SYSTEM_PORT", &port)]);
    assert!(error.contains("DYN_SYSTEM_PORT") && error.contains(&port), "{error}");
    let error = start(&["serve", "--http-port", &port], &[("DYN_LOG", "foo=bar=baz")]);
    assert!(error.contains("DYN_LOG=\"foo=bar=baz\""), "{error}");
    let engines = ["--engine-metrics", "vllm@a=http://127.0.0.1:1/"].repeat(2);
    let error = start(&[&["serve", "--http-port", "0"], &*engines].concat(), &[]);
    assert!(error.contains("vllm") && error.contains("told apart"), "{error}");
    let error = start(&["serve"], &[("DYN_SYSTEM_PORT", "lots")]);
    assert!(error.contains("DYN_SYSTEM_PORT") && error.contains("lots"), "{error}");
}

#[test]
fn a_status_of_notready_is_kept_and_the_landing_page_can_be_turned_off() {
    let arguments = ["serve", "--http-port", "0", "--landing-page=false"];
    let environment = [("DYN_SYSTEM_STARTING_HEALTH_STATUS", "notready")];
    let program = Program::start(&arguments, &environment, &["frontend", "worker"]);
    let worker = program.address("worker");
    assert_eq!((get(worker, "/health").status, get(worker, "/").status), (503, 404));
}

#[test]
fn the_system_pages_are_on_a_unix_socket_too() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("system.sock");
    let mut program = serve(&["--system-unix-socket", path.to_str().unwrap()]);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("dynamo_component_uptime_seconds"), "{page}");
    assert!(program.terminate().success());
    assert!(!path.exists());
}

#[test]
fn names_that_no_worker_serves_are_let_in_when_asked_for() {
    let program = serve(&["--unserved-models-max", "1"]);
    let frontend = program.address("frontend");
    for model in ["first", "second"] {
        let answer = post(frontend, "/v1/chat/completions", &chat(false, 1).replace(MODEL, model));
        assert_eq!(answer.status, 404);
    }
    let page = scrape(frontend);
    let inflight = |model| page.value("dynamo_frontend_inflight_requests", &[("model", model)]);
    assert_eq!((inflight("first"), inflight("second")), (Some(0.0), None));
}

#[test]
fn stopping_lets_a_stream_finish() {
    let mut program = serve(&["--token-time-ms", "20"]);
    let frontend = program.address("frontend").to_owned();
    let mut connection =
        open(&frontend, "POST", "/v1/chat/completions", "application/json", &chat(true, 40));
    let mut first = [0; 100];
    assert!(connection.read(&mut first).unwrap() > 0);
    assert!(program.terminate().success());
    let mut rest = String::new();
    connection.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("data: [DONE]"), "{rest}");
}
