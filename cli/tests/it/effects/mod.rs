//! Effects of options and variables that no other test shows: with each of them the program does something else than without.
//!
//! `cli/src/coverage.rs` holds the list of all options and variables, and fails for one that has no case here or elsewhere.
//! Durations are bounded from below only: a loaded machine is slower, and never faster than the engine's clock.

use crate::common;

use crate::common::{Program, eventually, get, open, post, scrape};
use dynamo_metrics::environment::VARIABLES;
use dynamo_metrics_parser::Exposition;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const MODEL: &str = "Qwen/Qwen3-0.6B";
const LABEL: [(&str, &str); 1] = [("model", MODEL)];

/// `serve` with an engine that takes a millisecond a token and nothing else, and more options.
fn serve(more: &[&str]) -> Program {
    let base = ["serve", "--http-port", "0", "--token-time-ms", "1"];
    let fast = ["--prefill-base-ms", "0", "--prefill-token-ms", "0"];
    Program::start(&[&base[..], &fast, more].concat(), &[], &["frontend", "worker"])
}

/// A request with a prompt of `input` tokens.
fn completion(input: usize, output: u64, stream: bool) -> String {
    let prompt: Vec<usize> = (0..input).collect();
    format!(
        r#"{{"model": "{MODEL}", "prompt": {prompt:?}, "max_tokens": {output}, "stream": {stream}}}"#
    )
}

fn complete(program: &Program, input: usize, output: u64) -> common::Answer {
    post(program.address("frontend"), "/v1/completions", &completion(input, output, false))
}

/// A stream of which one event was read.
fn begun_stream(program: &Program, input: usize, output: u64) -> TcpStream {
    let (address, body) = (program.address("frontend"), completion(input, output, true));
    let stream = open(address, "POST", "/v1/completions", "application/json", &body);
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("data: {")));
    stream
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"));
    command.args(arguments).env("DYN_SYSTEM_PORT", "-1").envs(environment.iter().copied());
    command.output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn times_of_the_engine_pass() {
    for (arguments, output) in [
        (["--token-time-ms", "50"], 5),
        (["--prefill-base-ms", "200"], 1),
        (["--prefill-token-ms", "20"], 1),
    ] {
        let program = serve(&arguments);
        let started = Instant::now();
        assert_eq!(complete(&program, 10, output).status, 200);
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(200), "{arguments:?}: {took:?}");
    }
}

#[test]
fn a_prompt_above_the_budget_of_a_step_waits_for_further_steps() {
    let program = serve(&["--max-num-batched-tokens", "2", "--token-time-ms", "40"]);
    let _running = begun_stream(&program, 1, 20_000);
    let started = Instant::now();
    assert_eq!(complete(&program, 10, 1).status, 200);
    // One token of each step is the other sequence's, so ten tokens of a prompt need nine further steps.
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(9 * 40), "{took:?}");
}

#[test]
fn slots_queue_and_memory_are_limits() {
    let program = serve(&["--max-num-seqs", "1", "--max-waiting", "0"]);
    let _running = begun_stream(&program, 1, 20_000);
    assert_eq!(complete(&program, 1, 1).status, 429);

    // A sequence that is larger than the cache runs alone, whatever slots are free.
    let program = serve(&["--kv-blocks", "4"]);
    let _running = begun_stream(&program, 1, 20_000);
    let body = completion(1, 20_000, true);
    let _waiting =
        open(program.address("frontend"), "POST", "/v1/completions", "application/json", &body);
    eventually(program.address("frontend"), "one waits for memory", |page| {
        let value = |name: &str| page.value(&format!("dynamo_frontend_{name}_requests"), &LABEL);
        (value("inflight"), value("queued")) == (Some(2.0), Some(1.0))
    });
}

#[test]
fn prompts_are_reused_by_whole_blocks_unless_caching_is_off() {
    for (arguments, cached) in [
        (&[][..], 16),
        (&["--block-size", "8"], 24),
        (&["--block-size", "32"], 0),
        (&["--no-enable-prefix-caching"], 0),
    ] {
        let program = serve(arguments);
        complete(&program, 24, 1);
        let usage = complete(&program, 24, 1).json()["usage"].clone();
        let tokens = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
        assert_eq!(tokens, cached, "{arguments:?}: {usage}");
    }
}

#[test]
fn the_context_is_a_limit_and_the_card_is_shown() {
    let program = serve(&["--context-length", "20", "--migration-limit", "7"]);
    assert_eq!(complete(&program, 15, 6).status, 400);
    assert_eq!(complete(&program, 15, 5).status, 200);
    let page = scrape(program.address("frontend"));
    assert_eq!(page.value("dynamo_frontend_model_migration_limit", &LABEL), Some(7.0));
}

#[test]
fn a_request_moves_no_more_often_than_the_limit() {
    let frontend = Program::start(&["frontend", "--http-port", "0"], &[], &["frontend"]);
    let url = format!("http://{}", frontend.address("frontend"));
    let worker = |id: &str| {
        let options = ["--instance-id", id, "--migration-limit", "0", "--token-time-ms", "10"];
        let arguments = [&["worker", "--frontend", &url][..], &options].concat();
        let program = Program::start(&arguments, &[], &["system", "requests"]);
        eventually(frontend.address("system"), "the worker joined", |page| {
            page.samples().any(|sample| sample.label("worker_id") == Some(id))
        });
        program
    };
    let mut workers = [worker("1"), worker("2")];
    let stream = begun_stream(&frontend, 1, 20_000);
    let busy = |worker: &Program| {
        scrape(worker.address("system")).sum("dynamo_component_inflight_requests") == Some(1.0)
    };
    let its = workers.iter().position(busy).unwrap();
    workers[its].kill();
    let mut rest = String::new();
    BufReader::new(stream).read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"error\"") && !rest.contains("[DONE]"), "{rest}");
    let page = scrape(frontend.address("frontend"));
    assert_eq!(page.sum("dynamo_frontend_model_migration_total").unwrap_or(0.0), 0.0);
}

#[test]
fn places_are_named_on_every_page() {
    let endpoint = |address: &str| get(address, "/health").json()["endpoints"][0].clone();
    let placed = ["--namespace", "ns", "--component", "decoder"];
    let program = serve(&placed);
    assert_eq!(endpoint(program.address("frontend")), "dyn://ns.decoder.generate");
    let arguments = ["serve", "--http-port", "0"];
    let program = Program::start(&arguments, &[("DYN_NAMESPACE", "ns")], &["frontend"]);
    assert_eq!(endpoint(program.address("frontend")), "dyn://ns.backend.generate");

    let off = [("DYN_SYSTEM_PORT", "-1")];
    let arguments = ["frontend", "--http-port", "0", "--namespace", "front"];
    let frontend = Program::start(&arguments, &off, &["frontend"]);
    let url = format!("http://{}", frontend.address("frontend"));
    let arguments = [&["worker", "--frontend", &url, "--instance-id", "7"][..], &placed].concat();
    let _worker = Program::start(&arguments, &[], &["system"]);
    eventually(frontend.address("frontend"), "the router lists the worker", |page| {
        page.samples().any(|sample| {
            sample.label("worker_id") == Some("7")
                && sample.label("dynamo_namespace") == Some("front")
        })
    });
    assert_eq!(endpoint(frontend.address("frontend")), "dyn://ns.decoder.generate");
}

#[test]
fn hosts_and_ports_are_listened_on() {
    let trace = csv("hosts.csv", &[(0, 10, 1)]);
    let trace = trace.to_str().unwrap();
    for (arguments, word) in [
        (&["serve", "--http-port", "0"][..], "frontend"),
        (&["frontend", "--http-port", "0", "--worker-token", "t"], "frontend"),
        (&["worker"], "requests"),
        (&["replay", trace, "--serve", "--http-port", "0"], "frontend"),
    ] {
        let arguments = [arguments, &["--host", "127.0.0.2"]].concat();
        let program = Program::start(&arguments, &[], &[word]);
        assert!(program.address(word).starts_with("127.0.0.2:"), "{arguments:?}");
    }
    let program = Program::start(&["worker"], &[("DYN_SYSTEM_HOST", "127.0.0.3")], &["system"]);
    assert!(program.address("system").starts_with("127.0.0.3:"));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = errors(&run(&["worker", "--port", &port], &[]));
    assert!(error.contains(&format!("127.0.0.1:{port} (--port)")), "{error}");
    let error = errors(&run(&["worker"], &[("DYN_SYSTEM_PORT", &port)]));
    assert!(error.contains("DYN_SYSTEM_PORT") && error.contains(&port), "{error}");
}

#[test]
fn a_token_is_asked_of_workers() {
    for command in ["serve", "frontend"] {
        for (token, status) in [(&[][..], 422), (&["--worker-token", "secret"], 401)] {
            let arguments = [&[command, "--http-port", "0"], token].concat();
            let program = Program::start(&arguments, &[], &["frontend"]);
            let answer = post(program.address("frontend"), "/internal/workers", "{}");
            assert_eq!(answer.status, status, "{arguments:?}");
        }
    }
}

#[test]
fn an_engine_that_is_to_die_ends_the_process() {
    let output = run(&["worker", "--die-after", "0.1"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("--die-after"), "{}", errors(&output));
}

#[test]
fn names_of_models_without_a_worker_are_label_values_up_to_the_limit() {
    for command in ["serve", "frontend"] {
        let arguments = [command, "--http-port", "0", "--unserved-models-max", "1"];
        let program = Program::start(&arguments, &[], &["frontend"]);
        let address = program.address("frontend");
        for model in ["first", "second"] {
            let body = completion(1, 1, false).replace(MODEL, model);
            assert_eq!(post(address, "/v1/completions", &body).status, 404);
        }
        let page = scrape(address);
        let inflight = |model| page.value("dynamo_frontend_inflight_requests", &[("model", model)]);
        assert_eq!((inflight("first"), inflight("second")), (Some(0.0), None), "{command}");
    }
}

#[test]
fn the_system_port_has_a_landing_page_and_a_socket_on_request() {
    for (command, word) in [("serve", "worker"), ("frontend", "system"), ("worker", "system")] {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{command}-effects.sock"));
        let socket = ["--system-unix-socket", path.to_str().unwrap()];
        let port: &[&str] = if command == "worker" { &[] } else { &["--http-port", "0"] };
        let start = |more: &[&str]| {
            // A process that was killed leaves its socket behind.
            let _ = std::fs::remove_file(&path);
            Program::start(&[&[command], port, &socket, more].concat(), &[], &[word])
        };
        let program = start(&[]);
        assert_eq!(get(program.address(word), "/").status, 200, "{command}");
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(page.contains("\r\n\r\n# HELP"), "{command}: {page}");
        drop(program);
        let program = start(&["--landing-page=false"]);
        assert_eq!(get(program.address(word), "/").status, 404, "{command}");
    }
}

#[test]
fn the_live_page_is_there_unless_it_is_turned_off() {
    for (command, words) in [
        ("serve", &["frontend", "worker"][..]),
        ("frontend", &["frontend", "system"]),
        ("worker", &["system"]),
    ] {
        let port: &[&str] = if command == "worker" { &[] } else { &["--http-port", "0"] };
        let program = Program::start(&[&[command], port].concat(), &[], words);
        for word in words {
            let page = get(program.address(word), "/dashboard");
            assert_eq!(page.status, 200, "{command} {word}");
            assert!(
                page.body.contains("data-metrics=\"/metrics\""),
                "{command} {word}: {}",
                page.body
            );
            assert_eq!(
                get(program.address(word), "/dashboard/main.js").status,
                200,
                "{command} {word}"
            );
        }
        drop(program);
        let off = Program::start(&[&[command], port, &["--dashboard=false"]].concat(), &[], words);
        for word in words {
            assert_eq!(get(off.address(word), "/dashboard").status, 404, "{command} {word}");
        }
    }
}

#[test]
fn options_of_a_system_port_that_is_off_are_refused() {
    for command in ["frontend", "worker", "serve"] {
        for option in
            ["--system-unix-socket=/tmp/x", "--web-config-file=/tmp/x", "--landing-page=true"]
        {
            let error = errors(&run(&[command, option], &[("DYN_HTTP_PORT", "0")]));
            let name = option.split('=').next().unwrap();
            assert!(
                error.contains(name) && error.contains("DYN_SYSTEM_PORT"),
                "{command}: {error}"
            );
        }
    }
    let trace = csv("unserved.csv", &[(0, 10, 1)]);
    for option in ["--host=127.0.0.1", "--http-port=0"] {
        let error = errors(&run(&["replay", trace.to_str().unwrap(), option], &[]));
        assert!(error.contains("--serve"), "{option}: {error}");
    }
}

#[test]
fn engines_get_the_workers_labels_on_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nengine_up 1\n");
        }
    });
    let engine = format!("mine={url}");
    for (command, word) in [("serve", "worker"), ("worker", "system")] {
        let arguments = [command, "--engine-metrics", &engine, "--label-engine-metrics"];
        let environment = [("DYN_HTTP_PORT", "0")];
        let program = Program::start(&arguments, &environment, &[word]);
        eventually(program.address(word), "the engine's sample has labels", |page| {
            page.samples().any(|sample| {
                sample.name == "engine_up" && sample.label("dynamo_component") == Some("backend")
            })
        });
    }
}

#[test]
fn paths_of_the_system_port_are_moved() {
    let environment = [("DYN_SYSTEM_HEALTH_PATH", "/healthz"), ("DYN_SYSTEM_LIVE_PATH", "/livez")];
    let program = Program::start(&["worker"], &environment, &["system"]);
    let status = |path: &str| get(program.address("system"), path).status;
    eventually(program.address("system"), "the worker is ready", |_| status("/healthz") == 200);
    assert_eq!((status("/livez"), status("/health"), status("/live")), (200, 404, 404));
}

#[test]
fn paths_and_names_of_the_frontend_are_moved() {
    let environment = [
        ("DYN_HTTP_SVC_METRICS_PATH", "/m"),
        ("DYN_HTTP_SVC_HEALTH_PATH", "/h"),
        ("DYN_HTTP_SVC_LIVE_PATH", "/l"),
        ("DYN_METRICS_PREFIX", "my_llm"),
    ];
    let program = Program::start(&["frontend", "--http-port", "0"], &environment, &["frontend"]);
    let answer = |path: &str| get(program.address("frontend"), path);
    for (path, status) in [("/h", 200), ("/l", 200), ("/metrics", 404), ("/health", 404)] {
        assert_eq!(answer(path).status, status, "{path}");
    }
    let page = answer("/m").body;
    assert!(page.contains("\nmy_llm_") && !page.contains("dynamo_frontend_"), "{page}");
}

#[test]
fn variables_of_health_decide_it() {
    let worker = |environment: &[(&str, &str)]| {
        Program::start(
            &["worker", "--prefill-base-ms", "300"],
            environment,
            &["system", "requests"],
        )
    };
    let health = |environment: &[(&str, &str)], status: u16| {
        let program = worker(environment);
        let address = program.address("system");
        eventually(address, "the status", |_| get(address, "/health").status == status);
    };
    health(&[], 200);
    health(&[("DYN_SYSTEM_STARTING_HEALTH_STATUS", "notready")], 503);
    health(&[("DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", r#"["absent"]"#)], 503);
    // The engine answers a canary after 0.3 s.
    let checks = [("DYN_HEALTH_CHECK_ENABLED", "true"), ("DYN_CANARY_WAIT_TIME", "0.05")];
    health(&[&checks[..], &[("DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "60")]].concat(), 200);
    let late = [&checks[..], &[("DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "0.05")]].concat();
    let program = worker(&late);
    eventually(program.address("system"), "two canaries were answered", |page| {
        page.sum("dynamo_component_requests_total") >= Some(2.0)
    });
    assert_eq!(get(program.address("system"), "/health").status, 503);
    let error = errors(&run(&["worker", "--die-after", "0"], &[("DYN_SYSTEM_ENABLED", "true")]));
    assert!(error.contains("DYN_SYSTEM_ENABLED=\"true\": it is deprecated"), "{error}");
}

#[test]
fn probes_pass_without_a_password_on_request() {
    let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    let path = file("effects-web.yml", &format!("basic_auth_users:\n  prometheus: {hash}\n"));
    for (value, status) in [("false", 401), ("true", 200)] {
        let environment = [
            ("DYN_METRICS_WEB_CONFIG_FILE", path.to_str().unwrap()),
            ("DYN_METRICS_PROBES_WITHOUT_AUTH", value),
        ];
        let program =
            Program::start(&["serve", "--http-port", "0"], &environment, &["worker", "frontend"]);
        let answer = |path: &str| get(program.address("worker"), path).status;
        assert_eq!((answer("/health"), answer("/metrics")), (status, 401), "{value}");
    }
}

/// A trace with rows of second, prompt and answer.
fn csv(name: &str, rows: &[(u32, u32, u32)]) -> PathBuf {
    let row = |(second, input, output)| format!("{second},{input},{output}\n");
    let rows: String = rows.iter().copied().map(row).collect();
    file(name, &format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}"))
}

/// The final exposition of a replay.
fn replay(trace: &Path, more: &[&str], environment: &[(&str, &str)]) -> Exposition {
    let arguments = [&["replay", trace.to_str().unwrap(), "--exposition", "-"][..], more].concat();
    let output = run(&arguments, environment);
    assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
    dynamo_metrics_parser::parse(&output.stdout).unwrap_or_else(|e| panic!("{}", e[0]))
}

#[test]
fn options_of_a_replay_change_what_it_shows() {
    // Two requests at once, whose prompts share 1,024 tokens of 2,048.
    let row = |ids: &str| {
        format!(r#"{{"timestamp":0,"input_length":2048,"output_length":100,"hash_ids":[{ids}]}}"#)
            + "\n"
    };
    let trace = file("effects.jsonl", &(row("1,2,3,4") + &row("1,2,5,6")));
    let run = |more: &[&str]| replay(&trace, more, &[]);
    let waited =
        |page: &Exposition| page.sum("dynamo_frontend_time_to_first_token_seconds_sum").unwrap();
    let plain = run(&[]);
    assert_eq!(plain.sum("dynamo_frontend_cached_tokens_sum"), Some(1024.0));
    let uncached = run(&["--no-enable-prefix-caching"]);
    assert_eq!(uncached.sum("dynamo_frontend_cached_tokens_sum").unwrap_or(0.0), 0.0);
    assert!(waited(&run(&["--max-num-seqs", "1"])) > waited(&plain));
    assert!(waited(&run(&["--kv-blocks", "5"])) > waited(&plain));
    assert!(waited(&run(&["--workers", "2", "--no-enable-prefix-caching"])) < waited(&uncached));
    let named = run(&["--model", "m", "--namespace", "ns"]);
    let value = |name: &str, label| named.value(name, &[label]);
    assert_eq!(value("dynamo_frontend_output_tokens_total", ("model", "m")), Some(200.0));
    assert!(named.samples().any(|sample| sample.label("dynamo_namespace") == Some("ns")));

    // A trace without ids has blocks too, whose size is the user's.
    let trace = csv("effects.csv", &[(0, 10, 1), (1, 10, 1)]);
    let block_size =
        |more: &[&str]| replay(&trace, more, &[]).sum("dynamo_frontend_model_kv_cache_block_size");
    assert_eq!((block_size(&[]), block_size(&["--block-size", "64"])), (Some(16.0), Some(64.0)));
    let dated = file(
        "effects-dates.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,1\n",
    );
    let output = self::run(&["replay", dated.to_str().unwrap(), "--time-unit", "s"], &[]);
    assert!(errors(&output).contains(":2: TIMESTAMP is `2023-11-16"), "{}", errors(&output));
}

#[test]
fn a_replays_port_and_health_are_those_of_the_environment() {
    let trace = csv("ports.csv", &[(0, 10, 1)]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = ["replay", trace.to_str().unwrap(), "--serve"];
    let error = errors(&run(&arguments, &[("DYN_HTTP_PORT", &port)]));
    assert!(error.contains("DYN_HTTP_PORT") && error.contains(&port), "{error}");
    for (status, code) in [("", 200), ("notready", 503)] {
        let environment = [("DYN_HTTP_PORT", "0"), ("DYN_SYSTEM_STARTING_HEALTH_STATUS", status)];
        let program = Program::start(&arguments, &environment, &["worker"]);
        assert_eq!(get(program.address("worker"), "/health").status, code, "{status:?}");
    }
}

/// Each variable of bounds moves the least bound, the last or their number, under both of its names.
#[test]
fn variables_of_bounds_move_them() {
    let trace = csv("bounds.csv", &[(0, 10, 3)]);
    let families = [
        ("REQUEST_DURATION", "request_duration_seconds"),
        ("INPUT_SEQUENCE", "input_sequence_tokens"),
        ("OUTPUT_SEQUENCE", "output_sequence_tokens"),
        ("TTFT", "time_to_first_token_seconds"),
        ("ITL", "inter_token_latency_seconds"),
    ];
    let bounds = |environment: &[(&str, &str)], family: &str| -> Vec<f64> {
        let page = replay(&trace, &[], environment);
        let name = format!("dynamo_frontend_{family}_bucket");
        let samples = page.samples().filter(|sample| sample.name == name);
        let bounds = samples.filter_map(|sample| sample.label("le")?.parse().ok());
        bounds.filter(|bound: &f64| bound.is_finite()).collect()
    };
    let mut seen = BTreeSet::new();
    for (set, family) in families {
        let before = bounds(&[], family);
        for variable in VARIABLES.iter().map(|variable| variable.name) {
            let Some((prefix, part)) = variable.rsplit_once('_') else { continue };
            if !matches!(part, "MIN" | "MAX" | "COUNT")
                || !prefix.ends_with(&format!("DYN_METRICS_{set}"))
            {
                continue;
            }
            seen.insert(variable);
            let last = |bounds: &[f64]| *bounds.last().unwrap();
            let value = match part {
                "MIN" => before[1] * 1.5,
                "MAX" => last(&before) * 2.0,
                _ => 4.0,
            };
            let after = bounds(&[(variable, &value.to_string())], family);
            let moved = match part {
                "MIN" => after[1] > before[1] && after[1] >= value,
                // Bounds have two significant figures.
                "MAX" => (last(&after) / value - 1.0).abs() < 0.05,
                _ => after.len() == 4,
            };
            assert!(moved, "{variable}={value}: {before:?}, {after:?}");
        }
    }
    assert_eq!(seen.len(), 5 * 3 * 2, "{seen:?}");
}

#[test]
fn the_log_is_as_detailed_as_asked() {
    let log = |level: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
            .args(["worker", "--die-after", "0.1"])
            .envs([("DYN_LOG", level), ("DYN_SYSTEM_PORT", "-1")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        text
    };
    assert!(log("info").contains("listening"));
    assert!(!log("error").contains("listening"));
}
