//! A frontend and workers as processes of their own: they join, share the load, die and leave.

mod common;

use common::{Program, eventually, get, open, post, scrape};
use std::io::{BufRead, BufReader};

const MODEL: &str = "tiny";
const LABEL: [(&str, &str); 1] = [("model", MODEL)];

fn frontend() -> Program {
    Program::start(&["frontend", "--http-port", "0"], &[], &["frontend"])
}

fn worker(frontend: &Program, id: &str, more: &[&str]) -> Program {
    let url = format!("http://{}", frontend.address("frontend"));
    let mut arguments = vec!["worker", "--frontend", &url, "--instance-id", id, "--model", MODEL];
    arguments.extend(["--token-time-ms", "10", "--prefill-base-ms", "2"]);
    arguments.extend(more);
    let program = Program::start(&arguments, &[], &["system", "requests"]);
    eventually(frontend.address("frontend"), "the worker joined", |page| {
        page.value("dynamo_component_router_worker_total_blocks", &router_labels(id)).is_some()
    });
    program
}

fn router_labels(id: &str) -> [(&str, &str); 3] {
    [("dynamo_namespace", "dynamo"), ("dynamo_component", "router"), ("worker_id", id)]
}

fn body(tokens: u64, stream: bool) -> String {
    format!(
        r#"{{"model": "{MODEL}", "prompt": "Hello", "max_tokens": {tokens}, "stream": {stream}}}"#
    )
}

#[test]
fn a_request_survives_the_death_of_its_worker() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let mut workers = [worker(&frontend, "1", &[]), worker(&frontend, "2", &[])];

    let stream = open(address, "POST", "/v1/completions", "application/json", &body(100, true));
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let events = |line: &String| line.starts_with("data: {");
    assert_eq!(lines.by_ref().filter(events).take(5).count(), 5);
    // Kill the one that works on it.
    let busy = workers
        .iter()
        .position(|worker| {
            let page = scrape(worker.address("system"));
            page.sum("dynamo_component_inflight_requests") == Some(1.0)
        })
        .unwrap();
    workers[busy].kill();
    let rest: Vec<String> = lines.filter(|line| line.starts_with("data: ")).collect();
    assert_eq!(rest.last().map(String::as_str), Some("data: [DONE]"), "{rest:?}");

    let page = scrape(address);
    let migrated = |kind| {
        page.value("dynamo_frontend_model_migration_total", &[LABEL[0], ("migration_type", kind)])
    };
    assert_eq!(migrated("ongoing_request"), Some(1.0));
    assert_eq!(page.value("dynamo_frontend_output_tokens_total", &LABEL), Some(100.0));
    let success =
        [LABEL[0], ("endpoint", "completions"), ("request_type", "stream"), ("status", "success")];
    assert_eq!(page.value("dynamo_frontend_requests_total", &success), Some(1.0));
}

#[test]
fn load_is_spread_and_a_model_goes_with_its_last_worker() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let mut workers =
        [worker(&frontend, "1", &[]), worker(&frontend, "2", &["--max-num-seqs", "9"])];
    assert_eq!(
        scrape(address).value("dynamo_frontend_model_max_num_seqs", &LABEL),
        Some(3.0),
        "the first worker's configuration counts"
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(post(address, "/v1/completions", &body(30, false)).status, 200)
            });
        }
    });
    for worker in &workers {
        let page = scrape(worker.address("system"));
        assert_eq!(page.sum("dynamo_component_requests_total"), Some(2.0), "half of the load");
    }
    assert!(workers[0].terminate().success());
    eventually(address, "worker 1 left", |page| {
        page.value("dynamo_component_router_worker_total_blocks", &router_labels("1")).is_none()
            && page.value("dynamo_frontend_model_max_num_seqs", &LABEL) == Some(3.0)
    });
    workers[1].kill();
    // A dead worker says nothing any more; it is forgotten, and its model with it.
    eventually(address, "worker 2 is forgotten", |page| {
        page.value("dynamo_frontend_model_max_num_seqs", &LABEL).is_none()
    });
    assert_eq!(post(address, "/v1/completions", &body(1, false)).status, 404);
    assert_eq!(get(address, "/health").json()["instances"].as_array().unwrap().len(), 0);
}

#[test]
fn a_worker_that_cannot_be_reached_costs_a_migration_not_a_request() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let mut workers = [worker(&frontend, "1", &[]), worker(&frontend, "2", &[])];
    workers[0].kill();
    workers[1].address("requests");
    // Until the silence is noticed both are in the fleet; the dead one is as good a choice as the other.
    let mut migrated = 0.0;
    for _ in 0..4 {
        assert_eq!(post(address, "/v1/completions", &body(2, false)).status, 200);
        migrated = scrape(address)
            .value(
                "dynamo_frontend_model_migration_total",
                &[LABEL[0], ("migration_type", "new_request")],
            )
            .unwrap_or(0.0);
    }
    assert_eq!(migrated, 1.0, "once, then the dead worker is known");
}
