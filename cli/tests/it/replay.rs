//! `replay` over the real traces, counted independently; and over small ones of our own.

use crate::common::{Program, judge, scrape, shared};
use dynamo_metrics_parser::{self as strict, Exposition};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const LABEL: [(&str, &str); 1] = [("model", "Qwen/Qwen3-0.6B")];

fn replay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .arg("replay")
        .args(arguments)
        .output()
        .unwrap()
}

fn exposition(trace: &Path, more: &[&str]) -> Exposition {
    let mut arguments = vec![trace.to_str().unwrap(), "--exposition", "-"];
    arguments.extend(more);
    let output = replay(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    strict::parse(&output.stdout).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Checks one histogram of the frontend against values that were read from the trace by other code than ours.
fn check_buckets(page: &Exposition, name: &str, values: &[u64]) {
    let name = format!("dynamo_frontend_{name}");
    let family = page.family(&name).unwrap();
    let buckets = family.samples.iter().filter(|sample| sample.name.ends_with("_bucket"));
    let mut checked = 0;
    for bucket in buckets {
        let le: f64 = bucket.label("le").unwrap().replace("+Inf", "inf").parse().unwrap();
        let expected = values.iter().filter(|&&value| value as f64 <= le).count();
        assert_eq!(bucket.value, expected as f64, "{name} le={le}");
        checked += 1;
    }
    assert!(checked >= 10);
    let sum: u64 = values.iter().sum();
    assert_eq!(page.value(&format!("{name}_sum"), &LABEL), Some(sum as f64));
    assert_eq!(page.value(&format!("{name}_count"), &LABEL), Some(values.len() as f64));
}

fn check_totals(page: &Exposition, inputs: &[u64], outputs: &[u64]) {
    let requests = outputs.len() as f64;
    let tokens: u64 = outputs.iter().sum();
    assert_eq!(page.sum("dynamo_frontend_requests_total"), Some(requests));
    assert_eq!(page.sum("dynamo_component_requests_total"), Some(requests));
    assert_eq!(page.value("dynamo_frontend_output_tokens_total", &LABEL), Some(tokens as f64));
    let later: u64 = outputs.iter().map(|tokens| tokens.saturating_sub(1)).sum();
    let latencies = page.value("dynamo_frontend_inter_token_latency_seconds_count", &LABEL);
    assert_eq!(latencies, Some(later as f64));
    let durations = page.value("dynamo_frontend_request_duration_seconds_count", &LABEL);
    assert_eq!(durations, Some(requests));
    for gauge in ["inflight", "queued"] {
        let name = format!("dynamo_frontend_{gauge}_requests");
        assert_eq!(page.value(&name, &LABEL), Some(0.0), "{gauge} at rest");
    }
    check_buckets(page, "input_sequence_tokens", inputs);
    check_buckets(page, "output_sequence_tokens", outputs);
}

#[test]
fn the_azure_trace_to_the_last_token() {
    let Some(trace) = shared("traces/azure-llm-2023-conv.csv") else { return };
    let text = std::fs::read_to_string(&trace).unwrap();
    let column = |at: usize| -> Vec<u64> {
        text.lines().skip(1).map(|line| line.split(',').nth(at).unwrap().parse().unwrap()).collect()
    };
    let (inputs, outputs) = (column(1), column(2));
    let (total_in, total_out) = (inputs.iter().sum::<u64>(), outputs.iter().sum::<u64>());
    assert_eq!((inputs.len(), total_in, total_out), (19_366, 22_361_870, 4_088_665));
    for workers in ["1", "4"] {
        check_totals(&exposition(&trace, &["--workers", workers]), &inputs, &outputs);
    }
}

#[test]
fn the_mooncake_trace_to_the_last_token_and_block() {
    let Some(trace) = shared("traces/mooncake-synthetic.jsonl") else { return };
    let text = std::fs::read_to_string(&trace).unwrap();
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let (mut seen, mut blocks, mut cached) = (BTreeSet::new(), 0, 0);
    for line in text.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        let input = request["input_length"].as_u64().unwrap();
        inputs.push(input);
        outputs.push(request["output_length"].as_u64().unwrap());
        let ids: Vec<u64> =
            request["hash_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let leading = ids.iter().take_while(|id| seen.contains(*id)).count() as u64;
        blocks += leading;
        // The last block of a prompt may be part-filled; no more is cached than the prompt has.
        cached += (leading * 512).min(input);
        seen.extend(ids);
    }
    assert_eq!((inputs.len(), blocks * 512), (3_993, 39_911_936));
    let page = exposition(&trace, &[]);
    check_totals(&page, &inputs, &outputs);
    assert_eq!(page.value("dynamo_frontend_cached_tokens_sum", &LABEL), Some(cached as f64));
    assert_eq!(page.value("dynamo_frontend_cached_tokens_count", &LABEL), Some(3_993.0));
}

/// Type, label names and bounds of every family of a real Dynamo 0.9.0 are in ours.
#[test]
fn everything_that_dynamo_0_9_0_printed_is_there() {
    type Shape = (String, BTreeSet<BTreeSet<String>>, BTreeSet<String>);
    fn shapes(page: &Exposition) -> BTreeMap<String, Shape> {
        let shape = |family: &strict::Family| {
            let names = |sample: &strict::Sample| {
                sample.labels.iter().map(|label| label.0.clone()).filter(|l| l != "le").collect()
            };
            let labels: BTreeSet<BTreeSet<String>> = family.samples.iter().map(names).collect();
            let les = family.samples.iter().filter_map(|s| s.label("le")).map(Into::into).collect();
            (family.kind.as_str().to_owned(), labels, les)
        };
        page.families.iter().map(|family| (family.name.clone(), shape(family))).collect()
    }
    let trace = file(
        "shapes.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n",
    );
    let ours = shapes(&exposition(&trace, &[]));
    for name in ["frontend-after-migration", "component-after-traffic"] {
        let Some(path) = shared(&format!("reference/dynamo-0.9.0/{name}.txt")) else { return };
        let text = std::fs::read_to_string(path).unwrap();
        let theirs = strict::parse(format!("{}\n", text.trim_end()).as_bytes()).unwrap();
        for (name, (kind, labels, les)) in shapes(&theirs) {
            let (our_kind, our_labels, our_les) =
                ours.get(&name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!((&kind, &les), (our_kind, our_les), "{name}");
            assert!(labels.is_subset(our_labels), "{name}: {labels:?} is not in {our_labels:?}");
        }
    }
    for suffix in
        ["active_blocks", "total_blocks", "gpu_cache_usage_percent", "gpu_prefix_cache_hit_rate"]
    {
        assert!(ours.contains_key(&format!("dynamo_component_kvstats_{suffix}")), "{suffix}");
    }
}

#[test]
fn promtool_accepts_the_exposition() {
    let Some(promtool) = judge("promtool") else { return };
    let trace = file(
        "promtool.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n",
    );
    let output = replay(&[trace.to_str().unwrap(), "--exposition", "-"]);
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &output.stdout).unwrap();
    let verdict = child.wait_with_output().unwrap();
    // 1 is a parse error; 3 would be a remark on style, as a unit in a name that Dynamo gave.
    assert_ne!(verdict.status.code(), Some(1), "{}", String::from_utf8_lossy(&verdict.stderr));
    assert!(verdict.status.code().is_some());
}

#[test]
fn a_bad_line_is_an_error_with_its_number() {
    let error = |name: &str, content: &str| {
        let output = replay(&[file(name, content).to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let header = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
    let row = "2023-11-16 18:15:46.6805900,374,44\n";
    let message = error("bad.csv", &format!("{header}{row}2023-11-16 18:15:47,many,1\n"));
    assert!(message.contains("bad.csv:3:") && message.contains("many"), "{message}");
    let message = error("bad.jsonl", "{\"timestamp\": 0, \"input_length\": -1}\n");
    assert!(message.contains("bad.jsonl:1:"), "{message}");
    assert!(error("empty.csv", "").contains("empty"));
    assert!(error("other.txt", "hello\n").contains("other.txt"));
    let missing = String::from_utf8(replay(&["/nonexistent/trace.csv"]).stderr).unwrap();
    assert!(missing.contains("/nonexistent/trace.csv"));
    assert_eq!(missing.matches("No such file").count(), 1, "{missing}");
}

#[test]
fn a_replay_is_the_same_every_time() {
    let rows: String = (0..200)
        .map(|i| {
            format!(
                "2023-11-16 18:15:{:02}.{:07},{},{}\n",
                i / 10,
                i % 10 * 1000,
                i * 7 % 900,
                i % 50
            )
        })
        .collect();
    let trace = file("twice.csv", &format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}"));
    let run = || replay(&[trace.to_str().unwrap(), "--exposition", "-", "--workers", "3"]).stdout;
    let first = run();
    assert!(!first.is_empty());
    assert_eq!(String::from_utf8(first).unwrap(), String::from_utf8(run()).unwrap());
}

#[test]
fn in_real_time_both_endpoints_can_be_watched() {
    // A minute of trace at twenty times its pace: 3 s, in which even a busy machine scrapes twice.
    let rows: String =
        (0..60).map(|i| format!("2023-11-16 18:15:{i:02}.0000000,100,5\n")).collect();
    let trace = file("live.csv", &format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}"));
    let arguments =
        ["replay", trace.to_str().unwrap(), "--speed", "20", "--serve", "--http-port", "0"];
    let mut program = Program::start(&arguments, &[], &["frontend", "worker"]);
    let requests =
        || scrape(program.address("frontend")).sum("dynamo_frontend_requests_total").unwrap_or(0.0);
    let mut seen = vec![requests()];
    while seen.last() != Some(&60.0) {
        std::thread::sleep(Duration::from_millis(20));
        let now = requests();
        assert!(now >= *seen.last().unwrap());
        seen.push(now);
        assert!(seen.len() < 3000, "{seen:?}"); // Each takes 20 ms at least.
    }
    assert!(seen.iter().any(|&n| n > 0.0 && n < 60.0), "watched on the way: {seen:?}");
    let worker = scrape(program.address("worker"));
    assert_eq!(worker.sum("dynamo_component_requests_total"), Some(60.0));
    let frontend = scrape(program.address("frontend"));
    let names = |page: &Exposition| -> BTreeSet<String> {
        page.samples().map(|sample| format!("{} {:?}", sample.name, sample.labels)).collect()
    };
    let (frontend, worker) = (names(&frontend), names(&worker));
    let twice: Vec<_> = frontend.intersection(&worker).collect();
    assert!(twice.is_empty(), "who scrapes both would count it twice: {twice:?}");
    assert!(program.terminate().success());
}

#[test]
fn options_beyond_all_measure_are_refused_or_endured() {
    let rows = "2023-11-16 18:15:00.0000000,100,5\n2023-11-16 18:15:01.0000000,100,5\n";
    let trace = file("absurd.csv", &format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}"));
    let trace = trace.to_str().unwrap();
    let output = replay(&[trace, "--workers", "1000000000000"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("--workers is 1000000000000; expected 1 to"), "{message}");
    let mut slow = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .args(["replay", trace, "--speed", "1e-300", "--serve", "--http-port", "0"])
        .env("DYN_SYSTEM_PORT", "-1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(slow.stdout.take().unwrap()).read_line(&mut line).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(slow.try_wait().unwrap(), None, "it waits for a token that is never due");
    slow.kill().unwrap();
    slow.wait().unwrap();
}

#[test]
fn the_environment_says_where_a_replay_serves() {
    let row = "2023-11-16 18:15:00.0000000,100,5\n";
    let trace = file("where.csv", &format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{row}"));
    let arguments = ["replay", trace.to_str().unwrap(), "--serve", "--http-port"];
    let mut off = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .args(arguments)
        .arg("0")
        .env("DYN_SYSTEM_PORT", "-1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(off.stdout.take().unwrap()).lines().map(Result::unwrap);
    let printed: Vec<String> =
        lines.by_ref().take_while(|line| !line.contains("serving")).collect();
    off.kill().unwrap();
    off.wait().unwrap();
    assert!(printed.iter().any(|line| line.starts_with("frontend http://")), "{printed:?}");
    assert!(printed.iter().all(|line| !line.starts_with("worker ")), "{printed:?}");

    let error = |http_port: &str, environment: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
            .args(arguments)
            .arg(http_port)
            .env("DYN_SYSTEM_PORT", "0")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let message = error(&taken.local_addr().unwrap().port().to_string(), &[]);
    assert!(message.contains("set by --http-port"), "{message}");
    let message = error("0", &[("DYN_SYSTEM_HOST", "no host")]);
    assert!(message.contains("DYN_SYSTEM_HOST=\"no host\""), "{message}");
}

/// Small traces as public tools write them; each says how many seconds pass, which prompts hit the cache, and what is assumed.
#[test]
fn public_tools_traces_are_read_in_their_own_units() {
    let run = |name: &str, more: &[&str]| {
        let trace = format!("{}/tests/it/traces/{name}", env!("CARGO_MANIFEST_DIR"));
        let output = replay(&[&[trace.as_str()], more].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (bailian, _) = run("bailian-two-turns.jsonl", &[]);
    assert!(bailian.contains("of them cached  320\n"), "{bailian}");
    assert!(bailian.contains("replayed          600."), "seconds, not milliseconds: {bailian}");
    assert!(bailian.contains("assumed         timestamps are seconds"), "{bailian}");
    assert!(bailian.contains("a block has 16 tokens"), "{bailian}");
    let (as_told, _) = run("bailian-two-turns.jsonl", &["--time-unit", "ms"]);
    assert!(as_told.contains("replayed          0."), "{as_told}");
    let (_, error) = run("bailian-two-turns.jsonl", &["--block-size", "512"]);
    assert!(error.contains("bailian-two-turns.jsonl:1: input_length 320 has 20"), "{error}");
    let (bare, _) = run("mooncake-no-hash.jsonl", &[]);
    assert!(bare.contains("requests          2\n"), "{bare}");
    let unit = "assumed         timestamps are milliseconds, as in Mooncake's traces; --time-unit overrides it\n";
    assert!(bare.contains(unit), "without blocks of 512 tokens it may be another form: {bare}");
    let (told, _) = run("mooncake-no-hash.jsonl", &["--time-unit", "ms"]);
    assert!(!told.contains("assumed"), "{told}");
    let (session, _) = run("mooncake-session-delay.jsonl", &[]);
    assert!(session.contains("2 requests have no timestamp"), "{session}");
    let (azure, _) = run("azure-2024.csv", &[]);
    assert!(azure.contains("requests          3\n") && !azure.contains("assumed"), "{azure}");
}
