//! A frontend and workers as processes of their own: they join, share the load, die and leave.

use crate::common;

use crate::common::{Program, eventually, get, open, post, scrape};
use dynamo_metrics_parser::Exposition;
use std::io::{BufRead, BufReader};
use std::process::Command;

const MODEL: &str = "tiny";
const LABEL: [(&str, &str); 1] = [("model", MODEL)];

/// Without a system port the frontend's own page shows the router's statistics.
fn frontend() -> Program {
    Program::start(&["frontend", "--http-port", "0"], &[("DYN_SYSTEM_PORT", "-1")], &["frontend"])
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

    let undisturbed = post(address, "/v1/completions", &body(200, false)).json();
    let undisturbed = undisturbed["choices"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(undisturbed.split(' ').count(), 200);

    let mut stream = Stream::open(address, 200);
    stream.read(5);
    let busy = workers.iter().position(is_busy).unwrap();
    workers[busy].kill();
    assert_eq!(stream.finish(), undisturbed, "the next worker goes on where the first one was");

    let page = scrape(address);
    assert_eq!(migrated(&page, "ongoing_request"), Some(1.0));
    assert_eq!(page.value("dynamo_frontend_output_tokens_total", &LABEL), Some(400.0));
    assert_eq!(requests(&page, "stream", "success"), Some(1.0));
    // The cached tokens that the first worker reported count once.
    let count = page.value("dynamo_frontend_cached_tokens_count", &LABEL);
    assert_eq!(count, Some(2.0));
}

#[test]
fn a_request_survives_that_its_worker_freezes() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let workers = [worker(&frontend, "1", &[]), worker(&frontend, "2", &[])];
    let mut stream = Stream::open(address, 300);
    stream.read(3);
    let busy = workers.iter().position(is_busy).unwrap();
    // It keeps its connections and says nothing any more, as a process does whose machine is gone.
    workers[busy].signal("-STOP");
    assert_eq!(stream.finish().split(' ').count(), 300);
    let page = scrape(address);
    assert_eq!(migrated(&page, "ongoing_request"), Some(1.0));
    assert_eq!(requests(&page, "stream", "success"), Some(1.0));
    // It goes on and is welcome.
    workers[busy].signal("-CONT");
    eventually(address, "both workers", |page| {
        ["1", "2"].iter().all(|id| {
            let labels = router_labels(id);
            page.value("dynamo_component_router_worker_total_blocks", &labels).is_some()
        })
    });
}

#[test]
fn a_worker_that_is_asked_to_stop_finishes_what_it_began() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let mut worker = worker(&frontend, "1", &[]);
    let mut stream = Stream::open(address, 100);
    stream.read(3);
    assert!(worker.terminate().success());
    assert_eq!(stream.finish().split(' ').count(), 100);
    let page = scrape(address);
    assert_eq!(requests(&page, "stream", "success"), Some(1.0));
    assert_eq!(migrated(&page, "ongoing_request"), Some(0.0));
    assert_eq!(post(address, "/v1/completions", &body(1, false)).status, 503, "it left at once");
}

#[test]
fn full_workers_turn_requests_away_with_429() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    // One runs and none waits.
    let small = ["--max-num-seqs", "1", "--max-waiting", "0"];
    let workers = [worker(&frontend, "1", &small), worker(&frontend, "2", &small)];
    let mut first = Stream::open(address, 10_000);
    let mut second = Stream::open(address, 10_000);
    first.read(1);
    second.read(1);
    for stream in [false, true] {
        let answer = post(address, "/v1/completions", &body(1, stream));
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")), "{answer:?}");
        assert_eq!(answer.json()["error"]["code"], 429);
    }
    let page = scrape(address);
    let labels = [("endpoint", "completions"), ("reason", "overload")];
    assert_eq!(page.value("dynamo_frontend_rejected_requests_total", &labels), Some(2.0));
    assert_eq!(page.sum("dynamo_frontend_requests_total").unwrap_or(0.0), 0.0);
    assert_eq!(page.sum("dynamo_frontend_model_migration_total"), Some(0.0));
    assert_eq!(page.value("dynamo_frontend_inflight_requests", &LABEL), Some(2.0));
    assert_eq!(page.value("dynamo_frontend_model_max_num_seqs", &LABEL), Some(1.0), "still there");
    for worker in &workers {
        let page = scrape(worker.address("system"));
        let refused: f64 = page
            .samples()
            .filter(|s| s.name == "dynamo_component_errors_total")
            .filter(|s| s.label("error_type") == Some("generate"))
            .map(|sample| sample.value)
            .sum();
        assert_eq!(refused, 2.0, "each was asked");
    }
    // As soon as one is free it is used, whichever the router would rather have.
    drop(first);
    eventually(address, "one left", |page| {
        page.value("dynamo_frontend_inflight_requests", &LABEL) == Some(1.0)
    });
    let start = std::time::Instant::now();
    while post(address, "/v1/completions", &body(1, false)).status != 200 {
        assert!(start.elapsed() < common::PATIENCE, "the free worker is not used");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_request_that_has_tokens_waits_for_room_when_it_must_move() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let small = ["--max-num-seqs", "1", "--max-waiting", "0"];
    let mut workers = [worker(&frontend, "1", &small), worker(&frontend, "2", &small)];
    let mut moves = Stream::open(address, 300);
    moves.read(1);
    let its = workers.iter().position(is_busy).unwrap();
    let mut stays = Stream::open(address, 100);
    stays.read(1);
    workers[its].kill();
    // Its only other place is taken for a while.
    assert_eq!(moves.finish().split(' ').count(), 300);
    assert_eq!(stays.finish().split(' ').count(), 100);
    let page = scrape(address);
    assert_eq!(requests(&page, "stream", "success"), Some(2.0));
    assert_eq!(migrated(&page, "ongoing_request"), Some(1.0));
}

#[test]
fn a_request_for_which_no_worker_is_left_is_turned_away_with_503() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let mut worker = worker(&frontend, "1", &[]);
    worker.kill();
    // Until the silence is noticed the model counts as served.
    let answer = post(address, "/v1/completions", &body(1, false));
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert!(!answer.body.contains("127.0.0.1"), "addresses are not for clients: {}", answer.body);
    let page = scrape(address);
    let labels = [("endpoint", "completions"), ("reason", "unavailable")];
    assert_eq!(page.value("dynamo_frontend_rejected_requests_total", &labels), Some(1.0));
    assert_eq!(page.sum("dynamo_frontend_requests_total").unwrap_or(0.0), 0.0);
    assert_eq!(page.value("dynamo_frontend_inflight_requests", &LABEL), Some(0.0));
}

#[test]
fn a_stream_that_cannot_be_moved_ends_with_an_error_that_names_no_worker() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let mut worker = worker(&frontend, "1", &[]);
    let mut stream = Stream::open(address, 10_000);
    stream.read(3);
    worker.kill();
    let error = stream.lines().find(|line| line.contains("error")).unwrap();
    assert!(error.contains("no worker of the model is left"), "{error}");
    assert!(!error.contains("127.0.0.1"), "{error}");
    assert_eq!(requests(&scrape(address), "stream", "error"), Some(1.0));
}

#[test]
fn workers_join_over_ipv6_behind_a_slash_and_from_every_address() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let slash = format!("http://{address}/");
    let start = |arguments: &[&str]| {
        let mut all = vec!["worker", "--frontend", &slash];
        all.extend(arguments);
        Program::start(&all, &[], &["system", "requests"])
    };
    let mut joined = vec![("one", start(&["--host", "0.0.0.0", "--model", "one"]))];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        joined.push(("two", start(&["--host", "::1", "--model", "two"])));
    } else {
        eprintln!("SKIPPED: this machine has no IPv6");
    }
    for (model, _worker) in &joined {
        eventually(address, model, |page| {
            page.value("dynamo_frontend_model_context_length", &[("model", model)]).is_some()
        });
        let body = body(2, false).replace(MODEL, model);
        assert_eq!(post(address, "/v1/completions", &body).status, 200, "{model}");
    }
    let instances = get(address, "/health").body;
    assert!(!instances.contains("0.0.0.0"), "it leads nowhere: {instances}");
}

#[test]
fn an_advertised_address_is_what_the_frontend_uses() {
    let frontend = frontend();
    let address = frontend.address("frontend");
    let _worker = worker(&frontend, "1", &["--advertise", "http://worker-7.invalid:9000/"]);
    let health = get(address, "/health").body;
    assert!(health.contains("worker-7.invalid:9000"), "{health}");
}

#[test]
fn two_pages_of_one_frontend_show_nothing_twice() {
    let frontend = Program::start(&["frontend", "--http-port", "0"], &[], &["frontend", "system"]);
    let names = |word: &str| {
        let page = scrape(frontend.address(word));
        let series = page.samples().map(|sample| format!("{} {:?}", sample.name, sample.labels));
        series.collect::<Vec<_>>()
    };
    let system = names("system");
    assert!(system.iter().any(|name| name.starts_with("dynamo_component_kvstats")));
    let twice: Vec<_> =
        names("frontend").into_iter().filter(|name| system.contains(name)).collect();
    assert!(twice.is_empty(), "who scrapes both would count it twice: {twice:?}");
}

#[test]
fn values_that_an_option_cannot_have_are_errors_that_name_it() {
    let error = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
            .args(arguments)
            .env("DYN_SYSTEM_PORT", "-1")
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    for (arguments, said) in [
        (&["worker", "--max-num-seqs", "0"][..], "--max-num-seqs is 0; expected 1 to"),
        (&["worker", "--context-length", "0"], "0 is not in 1.."),
        (&["worker", "--token-time-ms", "nan"], "--token-time-ms"),
        (&["worker", "--token-time-ms", "0"], "--token-time-ms is 0; expected 0.000001 to"),
        (&["worker", "--die-after", "nan"], "--die-after"),
        (&["worker", "--die-after=-1"], "--die-after"),
        (&["worker", "--model="], "--model"),
        (&["worker", "--frontend", "nowhere"], "--frontend"),
        (&["worker", "--advertise", "10.0.0.7:9000"], "http://HOST:PORT"),
    ] {
        let error = error(arguments);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

/// A streamed answer, as it comes.
struct Stream {
    lines: std::io::Lines<BufReader<std::net::TcpStream>>,
    text: String,
}

impl Stream {
    fn open(address: &str, tokens: u64) -> Self {
        let body = body(tokens, true);
        let stream = open(address, "POST", "/v1/completions", "application/json", &body);
        Self { lines: BufReader::new(stream).lines(), text: String::new() }
    }

    fn lines(&mut self) -> impl Iterator<Item = String> {
        self.lines.by_ref().map(Result::unwrap)
    }

    /// Reads so many events.
    fn read(&mut self, events: usize) {
        let events: Vec<String> =
            self.lines().filter(|line| line.starts_with("data: {")).take(events).collect();
        events.iter().for_each(|event| self.take(event));
    }

    fn take(&mut self, event: &str) {
        let event: serde_json::Value = serde_json::from_str(&event["data: ".len()..]).unwrap();
        let text = event["choices"][0]["text"].as_str();
        self.text += text.unwrap_or_else(|| panic!("no text in {event}"));
    }

    /// The whole text.
    fn finish(mut self) -> String {
        let rest: Vec<String> = self.lines().filter(|line| line.starts_with("data: ")).collect();
        let (done, events) = rest.split_last().unwrap();
        events.iter().for_each(|event| self.take(event));
        assert_eq!(done, "data: [DONE]");
        self.text
    }
}

/// Whether a worker has one request.
fn is_busy(worker: &Program) -> bool {
    let page = scrape(worker.address("system"));
    page.sum("dynamo_component_inflight_requests") == Some(1.0)
}

fn migrated(page: &Exposition, kind: &str) -> Option<f64> {
    page.value("dynamo_frontend_model_migration_total", &[LABEL[0], ("migration_type", kind)])
}

fn requests(page: &Exposition, request_type: &str, status: &str) -> Option<f64> {
    let labels =
        [LABEL[0], ("endpoint", "completions"), ("request_type", request_type), ("status", status)];
    page.value("dynamo_frontend_requests_total", &labels)
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
    let rejected = |page: &Exposition| {
        let labels = [("endpoint", "completions"), ("reason", "unavailable")];
        page.value("dynamo_frontend_rejected_requests_total", &labels)
    };
    let before = rejected(&scrape(address)).unwrap_or(0.0);
    for _ in 0..3 {
        let answer = post(address, "/v1/completions", &body(1, false));
        assert_eq!(answer.status, 503, "an outage is no typo");
        assert!(answer.head.to_ascii_lowercase().contains("retry-after: 1"), "{}", answer.head);
        assert_eq!(answer.json()["error"]["type"], "service_unavailable_error");
    }
    let page = scrape(address);
    assert_eq!(rejected(&page), Some(before + 3.0));
    assert_eq!(page.value("dynamo_frontend_model_ready", &LABEL), Some(0.0));
    assert_eq!(get(address, "/health").json()["instances"].as_array().unwrap().len(), 0);
    assert_eq!((get(address, "/health").status, get(address, "/health?ready").status), (200, 503));
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
