//! Independent readers read a live page: Debian's Prometheus, and Python's prometheus_client.

use crate::common::{Program, get, judge, post};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MODEL: &str = "Qwen/Qwen3-0.6B";

/// A process that is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve_with_traffic() -> Program {
    let program = Program::start(
        &["serve", "--http-port", "0", "--token-time-ms", "1"],
        &[],
        &["frontend", "worker"],
    );
    let body = format!(r#"{{"model": "{MODEL}", "prompt": "Hello", "max_tokens": 42}}"#);
    assert_eq!(post(program.address("frontend"), "/v1/completions", &body).status, 200);
    program
}

#[test]
fn prometheus_scrapes_both_roles_and_answers_a_query() {
    let Some(prometheus) = judge("prometheus") else { return };
    let program = serve_with_traffic();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: dynamo, static_configs: [{{targets: ['{}', '{}']}}]}}]\n",
        program.address("frontend"),
        program.address("worker"),
    );
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    // A free port, as good as certainly still free a moment later.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let _server = Killed(
        Command::new(prometheus)
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    // An answer that is not 200 is "not yet": while it replays its log, Prometheus says 503 in plain text.
    let query = |expression: &str| -> Option<f64> {
        let path = format!("/api/v1/query?query={expression}");
        // Until it listens no connection succeeds.
        std::net::TcpStream::connect(&address).ok()?;
        let answer = get(&address, &path);
        if answer.status != 200 {
            return None;
        }
        answer.json()["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    };
    let started = Instant::now();
    loop {
        let tokens = query("sum(dynamo_frontend_output_tokens_total)");
        let up = query("sum(up)");
        let bytes = query("sum(dynamo_component_response_bytes_total)");
        if tokens == Some(42.0) && up == Some(2.0) && bytes > Some(0.0) {
            break;
        }
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(60), "{tokens:?} tokens, {up:?} up after {waited:?}");
        std::thread::sleep(Duration::from_millis(250));
    }
    let blocks = query("sum(dynamo_component_kvstats_total_blocks)");
    assert_eq!(blocks, Some(16_384.0), "each block is counted once");
    // The document's share of errors that are not the clients' own.
    let errors = "(sum(dynamo_frontend_requests_total%7Bstatus=%22error%22%7D)%20or%20vector(0))-sum(dynamo_frontend_cancelled_requests_total)";
    assert_eq!(query(errors), Some(0.0), "it has both sides from the first request on");
    let quantile = "histogram_quantile(0.5,dynamo_frontend_time_to_first_token_seconds_bucket)";
    let first_token = query(quantile).unwrap();
    assert!(first_token > 0.0 && first_token < 10.0, "{first_token}");
}

#[test]
fn pythons_parser_reads_what_we_wrote() {
    let Some(python) = judge("python3") else { return };
    let has_client =
        Command::new(&python).args(["-c", "import prometheus_client"]).status().unwrap();
    if !has_client.success() {
        let required =
            std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
        assert!(!required, "Python's prometheus_client is required and not installed");
        eprintln!("SKIPPED: Python has no prometheus_client (bash ci/test.sh installs it)");
        return;
    }
    let program = serve_with_traffic();
    for role in ["frontend", "worker"] {
        let script = "
import sys, json
from prometheus_client.parser import text_string_to_metric_families as parse
samples = {}
for family in parse(sys.stdin.read()):
    assert family.type in ('counter', 'gauge', 'histogram'), family
    for s in family.samples:
        key = s.name + json.dumps(s.labels, sort_keys=True)
        assert key not in samples, key
        samples[key] = s.value
print(len(samples))";
        let body = get(program.address(role), "/metrics").body;
        let ours = dynamo_metrics_parser::parse(body.as_bytes()).unwrap().samples().count();
        let mut child = Command::new(&python)
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), body.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), ours.to_string(), "{role}");
    }
}
