//! An engine's own metrics, passed through on a worker's system port: repaired, and never at the cost of the page.

use crate::common;

use crate::common::{Program, get, scrape};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Serves `body` to whoever asks, until the test ends.
fn engine(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
    format!("http://{address}/metrics")
}

fn worker(sources: &[String]) -> Program {
    let mut arguments = vec!["worker", "--frontend", "http://127.0.0.1:1"];
    for source in sources {
        arguments.extend(["--engine-metrics", source]);
    }
    Program::start(&arguments, &[], &["system", "requests"])
}

#[test]
fn engine_text_is_repaired_and_merged() {
    // Carriage returns, an `# EOF` in the middle, a family of ours, garbage, no final newline: all seen upstream.
    let first = engine(
        "# TYPE vllm:num_requests_running gauge\r\nvllm:num_requests_running{engine=\"0\"} 2.0\r\n# EOF\r\n\
         # TYPE dynamo_component_uptime_seconds gauge\ndynamo_component_uptime_seconds 7\n\
         # TYPE python_info gauge\npython_info 1\ngarbage !!! {\n\
         # TYPE vllm:ttft_seconds histogram\nvllm:ttft_seconds_bucket{le=\"1.0\",engine=\"0\"} 6.0\n\
         vllm:ttft_seconds_bucket{le=\"+Inf\",engine=\"0\"} 6.0\nvllm:ttft_seconds_count{engine=\"0\"} 6.0\n\
         vllm:ttft_seconds_sum{engine=\"0\"} 0.06",
    );
    // A second engine with the same family, as two engines in one process print it.
    let second = engine(
        "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"1\"} 3.0\n",
    );
    let worker =
        worker(&[format!("vllm={first}"), format!("lmcache={second}"), format!("second={second}")]);
    let body = get(worker.address("system"), "/metrics").body;
    assert_eq!(body.matches("# TYPE vllm:num_requests_running gauge\n").count(), 1, "{body}");
    let page = scrape(worker.address("system"));
    let running = |engine| page.value("vllm:num_requests_running", &[("engine", engine)]);
    assert_eq!((running("0"), running("1")), (Some(2.0), Some(3.0)));
    assert_eq!(page.value("vllm:ttft_seconds_count", &[("engine", "0")]), Some(6.0));
    assert!(page.family("python_info").is_none(), "not a family that the filter admits");
    assert_ne!(page.value("dynamo_component_uptime_seconds", &[]), Some(7.0), "ours stays ours");
}

#[test]
fn an_engines_samples_get_the_workers_labels_if_asked() {
    let first = engine("# TYPE vllm:running gauge\nvllm:running{engine=\"0\"} 2.0\n");
    let source = format!("vllm={first}");
    let arguments = [
        "worker",
        "--frontend",
        "http://127.0.0.1:1",
        "--engine-metrics",
        &source,
        "--label-engine-metrics",
        "--instance-id",
        "255",
        "--model",
        "tiny",
    ];
    let worker = Program::start(&arguments, &[], &["system", "requests"]);
    let body = get(worker.address("system"), "/metrics").body;
    let line = "vllm:running{engine=\"0\",dynamo_namespace=\"dynamo\",dynamo_component=\"backend\",\
                worker_id=\"ff\",model=\"tiny\"} 2.0\n";
    assert!(body.contains(line), "{body}");
}

#[test]
fn an_engine_that_cannot_be_read_costs_only_its_own_families() {
    let worker = worker(&["vllm=http://127.0.0.1:1/metrics".into()]);
    // The first scrape counts the error while it reads, so the page shows it at once.
    let page = scrape(worker.address("system"));
    assert_eq!(page.sum("dynamo_component_engine_errors_total"), Some(1.0));
    assert!(page.value("dynamo_component_uptime_seconds", &[]).is_some());
    // The worker serves `/metrics` a moment before it is ready.
    let started = Instant::now();
    while get(worker.address("system"), "/health").status != 200 {
        assert!(started.elapsed() < common::PATIENCE, "an engine's error is not the worker's");
        std::thread::sleep(Duration::from_millis(20));
    }
}
