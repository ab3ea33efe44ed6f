//! Engines as they are in the field: Python's own client in each of its modes, behind a worker's system port.

use crate::common::{Program, eventually, get, judge, scrape, shared};
use dynamo_metrics_parser::Exposition;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// An engine's server, with the names that vLLM, SGLang and TensorRT-LLM have. Prints its port when it listens.
/// `single`: one process. `multi`: two children count into files that the parent merges. `openmetrics`: what a
/// server answers that knows only OpenMetrics, whatever it is asked for.
const ENGINE: &str = r#"
import os, sys, tempfile
mode, prefix = sys.argv[1], sys.argv[2]
if mode == 'multi':
    os.environ['PROMETHEUS_MULTIPROC_DIR'] = sys.argv[3]
import http.server
import prometheus_client as p
from prometheus_client import multiprocess, openmetrics
made = p.CollectorRegistry()
def name(n): return prefix + n
gauge = {'multiprocess_mode': 'livesum'} if mode == 'multi' else {}
running = p.Gauge(name('num_requests_running'), 'Requests; running = "now".', ['model_name'], registry=made, **gauge)
tokens = p.Counter(name('generation_tokens'), 'Tokens.', ['model_name', 'engine'], registry=made)
ttft = p.Histogram(name('time_to_first_token_seconds'), 'TTFT', ['model_name'], registry=made, buckets=[.001, .1, 1.0, 10])
odd = p.Histogram(name('iteration_tokens_total'), 'A histogram by this name', registry=made, buckets=[1, 8, 512])
e2e = p.Summary(name('e2e_seconds'), 'A summary', registry=made)
def work():
    running.labels('Org/"M\\\n').inc(3)
    tokens.labels('Org/"M\\\n', '0').inc(41)
    tokens.labels('Org/"M\\\n', '0').inc()
    ttft.labels('Org/"M\\\n').observe(0.05)
    ttft.labels('Org/"M\\\n').observe(20)
    odd.observe(8)
    e2e.observe(2.5)
served = made
if mode == 'multi':
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            work()
            os._exit(0)
        os.waitpid(pid, 0)
    work()
    served = p.CollectorRegistry()
    multiprocess.MultiProcessCollector(served)
else:
    work()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if mode == 'openmetrics':
            body, kind = openmetrics.exposition.generate_latest(served), openmetrics.exposition.CONTENT_TYPE_LATEST
        else:
            body, kind = p.generate_latest(served), p.CONTENT_TYPE_LATEST
        self.send_response(200)
        self.send_header('Content-Type', kind)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Answer)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// Reads a page with Python's parser and prints how many samples each engine has.
const READER: &str = r#"
import sys, collections
from prometheus_client.parser import text_string_to_metric_families as parse
seen, counts = set(), collections.Counter()
for family in parse(sys.stdin.read()):
    for s in family.samples:
        key = (s.name, tuple(sorted(s.labels.items())))
        assert key not in seen, key
        seen.add(key)
        for prefix in ('vllm:', 'sglang:', 'trtllm_'):
            counts[prefix] += s.name.startswith(prefix)
print(*(counts[prefix] for prefix in ('vllm:', 'sglang:', 'trtllm_')))
"#;

/// A process that is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Python that has prometheus_client: the project's own, or the system's.
fn python() -> Option<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let python = if own.exists() { own } else { judge("python3")? };
    let has = Command::new(&python).args(["-c", "import prometheus_client"]).status().unwrap();
    if !has.success() {
        let required =
            std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
        assert!(!required, "Python's prometheus_client is required and not installed");
        eprintln!("SKIPPED: Python has no prometheus_client (bash ci/test.sh installs it)");
        return None;
    }
    Some(python)
}

fn engine(python: &PathBuf, mode: &str, prefix: &str) -> (Killed, String) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("engine-{mode}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let mut child = Command::new(python)
        .args(["-c", ENGINE, mode, prefix])
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("{mode}: {line:?} is no port"));
    (Killed(child), format!("http://127.0.0.1:{port}/metrics"))
}

fn serve(engines: &[(&str, &str)]) -> Program {
    let sources: Vec<String> = engines.iter().map(|(name, url)| format!("{name}={url}")).collect();
    let mut arguments = vec!["serve", "--http-port", "0"];
    sources.iter().for_each(|source| arguments.extend(["--engine-metrics", source]));
    Program::start(&arguments, &[], &["frontend", "worker"])
}

/// Whether `source` is up on the page; its other labels are the component's.
fn up(page: &Exposition, source: &str) -> Option<f64> {
    let place = [("dynamo_namespace", "dynamo"), ("dynamo_component", "backend")];
    page.value("dynamo_engine_metrics_up", &[place[0], place[1], ("source", source)])
}

#[test]
fn pythons_client_is_passed_through_in_each_of_its_modes() {
    let Some(python) = python() else { return };
    let (_vllm, vllm) = engine(&python, "single", "vllm:");
    let (_sglang, sglang) = engine(&python, "multi", "sglang:");
    let (_trtllm, trtllm) = engine(&python, "openmetrics", "trtllm_");
    let program = serve(&[("vllm", &vllm), ("sglang", &sglang), ("trtllm", &trtllm)]);
    let worker = program.address("worker");
    let page = eventually(worker, "all three engines are up", |page| {
        ["vllm", "sglang", "trtllm"].iter().all(|source| up(page, source) == Some(1.0))
    });
    let model = ("model_name", "Org/\"M\\\n");
    for (prefix, processes) in [("vllm:", 1.0), ("sglang:", 3.0), ("trtllm_", 1.0)] {
        let value = |name: &str, labels: &[(&str, &str)]| {
            let value = page.value(&format!("{prefix}{name}"), labels);
            value.unwrap_or_else(|| panic!("{prefix}{name} is not there: {page:#?}"))
        };
        assert_eq!(value("generation_tokens_total", &[model, ("engine", "0")]), 42.0 * processes);
        let ttft = "time_to_first_token_seconds";
        assert_eq!(value(&format!("{ttft}_count"), &[model]), 2.0 * processes);
        let bucket = [model, ("le", "0.1")];
        assert_eq!(value(&format!("{ttft}_bucket"), &bucket), processes);
        let ends_total = "iteration_tokens_total_bucket";
        assert_eq!(value(ends_total, &[("le", "8.0")]), processes);
        assert_eq!(value("e2e_seconds_sum", &[]), 2.5 * processes);
    }
    assert_eq!(page.value("vllm:num_requests_running", &[model]), Some(3.0));

    let body = get(worker, "/metrics").body;
    let mut reader = Command::new(&python)
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut reader.stdin.take().unwrap(), body.as_bytes()).unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "Python's parser refuses the page:\n{body}");
    let counts = String::from_utf8(output.stdout).unwrap();
    let counts: Vec<usize> =
        counts.split_whitespace().map(|count| count.parse().unwrap()).collect();
    assert!(counts.iter().all(|&count| count >= 14), "samples by engine: {counts:?}");
}

#[test]
fn an_engine_that_dies_is_down_and_the_page_goes_on() {
    let Some(python) = python() else { return };
    let (engine, url) = engine(&python, "single", "vllm:");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = format!("http://{}/metrics", silent.local_addr().unwrap());
    let program = serve(&[("vllm", &url), ("hangs", &hangs)]);
    let worker = program.address("worker");
    eventually(worker, "vllm is up", |page| up(page, "vllm") == Some(1.0));
    drop(engine);
    let page = eventually(worker, "vllm is down", |page| up(page, "vllm") == Some(0.0));
    assert_eq!(up(&page, "hangs"), Some(0.0));
    assert!(page.value("vllm:e2e_seconds_count", &[]).is_some(), "the last good copy");
    assert_eq!(
        page.value("dynamo_component_uptime_seconds", &[]).map(|uptime| uptime > 0.0),
        Some(true)
    );
}

/// The page of a Python worker of Dynamo 0.9.0, as another engine's text: the families that are ours by name are
/// left out, its own come through.
#[test]
fn a_page_of_a_real_worker_is_passed_through() {
    for file in ["component-with-engine-text.txt", "component-engine-duplicate-families.txt"] {
        let Some(path) = shared(&format!("reference/dynamo-0.9.0/{file}")) else { return };
        let text = std::fs::read(path).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while head.read_line(&mut line).unwrap_or(0) > 2 {
                    line.clear();
                }
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
                let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
                let _ = std::io::Write::write_all(&mut stream, &text);
            }
        });
        let program = serve(&[("worker", &url)]);
        let worker = program.address("worker");
        let page = eventually(worker, "it is up", |page| up(page, "worker") == Some(1.0));
        let labels = [("engine", "0"), ("model_name", "Py-Model")];
        let created = page.value("vllm:time_to_first_token_seconds_created", &labels);
        assert_eq!(created.map(|created| created > 1.7e9), Some(true), "{file}");
        let withheld = [
            ("dynamo_namespace", "dynamo"),
            ("dynamo_component", "backend"),
            ("source", "worker"),
            ("reason", "clash"),
        ];
        eventually(worker, "clashes are counted", |page| {
            page.value("dynamo_component_engine_withheld_total", &withheld) >= Some(1.0)
        });
        scrape(worker);
    }
}

#[test]
fn canaries_make_a_worker_ready_and_count_as_requests() {
    let environment = [("DYN_HEALTH_CHECK_ENABLED", "true"), ("DYN_CANARY_WAIT_TIME", "0.05")];
    let program = Program::start(&["serve", "--http-port", "0"], &environment, &["worker"]);
    let worker = program.address("worker");
    let place = [
        ("dynamo_namespace", "dynamo"),
        ("dynamo_component", "backend"),
        ("dynamo_endpoint", "generate"),
        ("model", "Qwen/Qwen3-0.6B"),
    ];
    eventually(worker, "three canaries", |page| {
        page.value("dynamo_component_requests_total", &place) >= Some(3.0)
    });
    let health = get(worker, "/health");
    assert_eq!(health.status, 200, "{}", health.body);
    assert_eq!(health.json()["endpoints"]["generate"], "ready");
}
