//! The number of series: of a worker's page, and of a frontend's with more and more workers.

use crate::common::{Program, eventually, get, open, post, read, scrape};

/// The most series of a worker's page as it comes; 10,000 workers are then 400,000 series.
const WORKER_SERIES_MAX: usize = 40;

#[test]
fn a_workers_page_has_40_series_unless_details_are_asked_for() {
    let frontend = Program::start(&["frontend", "--http-port", "0"], &[], &["frontend"]);
    let frontend = frontend.address("frontend");
    let url = format!("http://{frontend}");
    let arguments = ["worker", "--frontend", &url, "--token-time-ms", "1"];
    let series = |details: &str| {
        let environment = [("DYN_METRICS_DETAILS", details)];
        let worker = Program::start(&arguments, &environment, &["joined", "system"]);
        let body = r#"{"model": "Qwen/Qwen3-0.6B", "prompt": "Hello", "max_tokens": 5}"#;
        // The frontend may know a former worker that is gone by now.
        eventually(worker.address("system"), "an answer", |page| {
            post(frontend, "/v1/completions", body).status == 200
                && page.sum("dynamo_component_requests_total") > Some(0.0)
        });
        let page = scrape(worker.address("system"));
        let ours = page.samples().filter(|sample| sample.name.starts_with("dynamo_metrics_"));
        (page.samples().count(), ours.map(|sample| sample.name.to_string()).collect::<Vec<_>>())
    };
    let (few, ours) = series("false");
    assert!(few <= WORKER_SERIES_MAX, "{few} series, of which {ours:?}");
    assert_eq!(ours.len(), 4, "{ours:?}");
    let (all, ours) = series("true");
    assert!(all > 2 * few, "{all} series with details");
    for name in ["server_limit_hits_total", "server_connections_total", "cells_limit"] {
        assert!(ours.contains(&format!("dynamo_metrics_{name}")), "{name} of {ours:?}");
    }
}

#[test]
fn a_limit_that_was_hit_stays_on_the_page() {
    let program = Program::start(&["serve", "--http-port", "0"], &[], &["worker"]);
    let address = program.address("worker");
    let labels = [("server", "system"), ("limit", "grammar")];
    let hits = || scrape(address).value("dynamo_metrics_server_limit_hits_total", &labels);
    assert_eq!(hits(), None);
    let mut refused = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut refused, b"GET /metrics HTTP/1.1 x\r\n\r\n").unwrap();
    assert_eq!(read(refused).status, 400);
    assert_eq!((hits(), hits()), (Some(1.0), Some(1.0)));
}

#[test]
fn a_frontends_series_do_not_grow_with_its_workers() {
    let series = |router_workers: &str, workers: u64| {
        let environment =
            [("DYN_SYSTEM_PORT", "-1"), ("DYN_METRICS_ROUTER_WORKERS", router_workers)];
        let frontend = ["frontend", "--http-port", "0", "--namespace", "n"];
        let frontend = Program::start(&frontend, &environment, &["frontend"]);
        let address = frontend.address("frontend");
        // They give no further sign of life and are forgotten soon, so they join until a page has them all.
        let page = eventually(address, "every worker", |page| {
            if page.sum("dynamo_component_kvstats_total_blocks") == Some(workers as f64) {
                return true;
            }
            (1..=workers).for_each(|id| join(address, id));
            false
        });
        assert_eq!(get(address, "/v1/models").json()["data"].as_array().unwrap().len(), 1);
        page.samples().count()
    };
    assert_eq!(series("false", 1), series("false", 40));
    assert_eq!(series("true", 1) + 39 * 4, series("true", 40));
    assert_eq!(series("false", 1) + 4, series("true", 1));
}

fn join(frontend: &str, id: u64) {
    let registration = format!(
        r#"{{"instance_id": {id}, "url": "http://127.0.0.1:{id}", "namespace": "n", "component": "c",
            "endpoint": "e", "models": ["m"], "context_length": 1, "kv_cache_block_size": 16,
            "migration_limit": 0, "total_kv_blocks": 1, "max_num_seqs": 1, "max_num_batched_tokens": 1,
            "stats": {{"active_blocks": 0, "total_blocks": 1, "usage": 0, "hit_rate": 0}}}}"#
    );
    let path = "/internal/workers";
    assert_eq!(read(open(frontend, "POST", path, "application/json", &registration)).status, 204);
}
