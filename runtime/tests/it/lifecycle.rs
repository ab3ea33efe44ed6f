//! The rules of a request's metrics, one test each, by the values that a scrape shows.

use crate::page::Page;
use dynamo_metrics::{
    FrontendConfig, FrontendMetrics, HttpEndpoint, MigrationType, ModelCard, Registry,
    RejectionReason, Request, RequestType, RuntimeConfig, Snapshot, Timestamp, VirtualClock,
    parse_traceparent,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const MODEL: &str = "Qwen/Qwen3-0.6B";
const CARD: ModelCard =
    ModelCard { context_length: 4096, kv_cache_block_size: 16, migration_limit: 3 };

struct Frontend {
    registry: Registry,
    metrics: FrontendMetrics,
    clock: Arc<VirtualClock>,
}

impl Frontend {
    fn new() -> Self {
        let registry = Registry::new();
        let clock = Arc::new(VirtualClock::new());
        let config = FrontendConfig { clock: clock.clone(), ..FrontendConfig::default() };
        let metrics = FrontendMetrics::new(&registry, config).unwrap();
        metrics.models().add(MODEL, 1, &CARD, &RuntimeConfig::default());
        Self { registry, metrics, clock }
    }

    fn begin(&self, now: Timestamp) -> Request {
        self.metrics.begin(HttpEndpoint::ChatCompletions, RequestType::Stream, MODEL, now)
    }

    fn page(&self) -> Page {
        Page::of(&self.registry)
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_nanos(ms * 1_000_000)
}

/// A series of the model: `name{model="..."}`.
fn of_model(name: &str) -> String {
    format!("dynamo_frontend_{name}{{model=\"{MODEL}\"}}")
}

fn requests(status: &str) -> String {
    format!(
        "dynamo_frontend_requests_total{{endpoint=\"chat_completions\",model=\"{MODEL}\",\
         request_type=\"stream\",status=\"{status}\"}}"
    )
}

fn about(value: Option<(u64, f64)>, count: u64, sum: f64) {
    let (n, total) = value.expect("the histogram is shown");
    assert_eq!(n, count);
    assert!((total - sum).abs() < 1e-9, "{total} is not {sum}");
}

#[test]
fn a_traced_request_leaves_exemplars_of_what_it_observed_as_a_whole() {
    let frontend = Frontend::new();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut request = frontend.begin(at(0));
    request.trace(parse_traceparent(&format!("00-{trace}-00f067aa0ba902b7-01")).unwrap());
    request.tokens(1, at(30));
    request.tokens(1, at(50));
    request.succeed(at(1200));
    frontend.begin(at(2000)).succeed(at(2001)); // Not traced: it leaves none, and takes none away.

    let mut snapshot = Snapshot::new();
    snapshot.take(&frontend.registry);
    let exemplars: Vec<(&str, f64)> = snapshot
        .families()
        .flat_map(|family| family.parts().map(move |part| (family.name(), part)))
        .filter_map(|(name, part)| Some((name, part.series(0)?)))
        .flat_map(|(name, series)| {
            (0..64).filter_map(move |slot| Some((name, series.exemplar(slot)?)))
        })
        .inspect(|(_, exemplar)| assert_eq!(exemplar.trace_id(), trace))
        .map(|(name, exemplar)| (name, exemplar.value))
        .collect();
    let expected = [
        ("dynamo_frontend_request_duration_seconds", 1.2),
        ("dynamo_frontend_time_to_first_token_seconds", 0.03),
    ];
    assert_eq!(exemplars, expected);
}

#[test]
fn a_stream_from_begin_to_success() {
    let frontend = Frontend::new();
    let mut request = frontend.begin(at(100));
    let page = frontend.page();
    assert_eq!(page.number(&of_model("inflight_requests")), Some(1.0));
    assert_eq!(page.number(&of_model("queued_requests")), Some(1.0));

    request.input_tokens(24);
    request.tokens(0, at(110)); // nothing
    assert_eq!(frontend.page().number(&of_model("queued_requests")), Some(1.0));
    about(frontend.page().count_and_sum(&of_model("input_sequence_tokens")), 0, 0.0);

    request.tokens(2, at(130)); // first chunk: no inter-token latency, whatever its size
    let page = frontend.page();
    assert_eq!(page.number(&of_model("queued_requests")), Some(0.0));
    assert_eq!(page.number(&of_model("inflight_requests")), Some(1.0));
    assert_eq!(page.number(&of_model("output_tokens_total")), Some(2.0), "in real time");
    about(page.count_and_sum(&of_model("time_to_first_token_seconds")), 1, 0.030);
    about(page.count_and_sum(&of_model("input_sequence_tokens")), 1, 24.0);
    about(page.count_and_sum(&of_model("inter_token_latency_seconds")), 0, 0.0);

    request.tokens(3, at(160)); // 10 ms each
    request.tokens(1, at(165));
    request.tokens(0, at(500));
    request.tokens(1, at(167));
    assert_eq!(request.output_tokens(), 7);
    request.succeed(at(200));

    let page = frontend.page();
    about(page.count_and_sum(&of_model("inter_token_latency_seconds")), 5, 0.037);
    about(page.count_and_sum(&of_model("request_duration_seconds")), 1, 0.1);
    about(page.count_and_sum(&of_model("output_sequence_tokens")), 1, 7.0);
    about(page.count_and_sum(&of_model("time_to_first_token_seconds")), 1, 0.030);
    assert_eq!(page.number(&requests("success")), Some(1.0));
    assert_eq!(page.number(&requests("error")), None);
    assert_eq!(page.number(&of_model("inflight_requests")), Some(0.0));
}

#[test]
fn there_is_one_latency_for_each_token_after_the_first_chunk() {
    for chunks in [&[1][..], &[300], &[1, 1, 1], &[4, 1, 7], &[1, 299]] {
        let frontend = Frontend::new();
        let mut request = frontend.begin(at(0));
        for (number, &n) in (1..).zip(chunks) {
            request.tokens(n, at(number * 10));
        }
        request.succeed(at(1000));
        let tokens: u64 = chunks.iter().sum();
        let page = frontend.page();
        let (count, sum) = page.count_and_sum(&of_model("inter_token_latency_seconds")).unwrap();
        assert_eq!(count, tokens - chunks[0]);
        // n parts of each gap: together the gaps.
        assert!((sum - 0.010 * (chunks.len() - 1) as f64).abs() < 1e-9);
        assert_eq!(page.number(&of_model("output_tokens_total")), Some(tokens as f64));
    }
}

#[test]
fn a_request_that_does_not_succeed_is_an_error() {
    let frontend = Frontend::new();
    frontend.begin(at(0)).fail(at(50));
    let mut dropped = frontend.begin(at(0));
    dropped.tokens(84, at(10));
    frontend.clock.set(at(2000));
    drop(dropped);
    let panicked = frontend.begin(at(1000));
    thread::spawn(move || {
        let _request = panicked;
        panic!("a handler's bug, on purpose");
    })
    .join()
    .unwrap_err();
    let page = frontend.page();
    assert_eq!(page.number(&requests("error")), Some(3.0));
    about(page.count_and_sum(&of_model("request_duration_seconds")), 3, 3.05);
    about(page.count_and_sum(&of_model("output_sequence_tokens")), 3, 84.0);
    about(page.count_and_sum(&of_model("time_to_first_token_seconds")), 1, 0.01);
    assert_eq!(page.number(&of_model("queued_requests")), Some(0.0));
    assert_eq!(page.number(&of_model("inflight_requests")), Some(0.0));
}

#[test]
fn a_rejected_request_leaves_only_its_rejection() {
    let frontend = Frontend::new();
    let before = frontend.page();
    frontend.begin(at(0)).reject(RejectionReason::Validation);
    frontend.metrics.reject(HttpEndpoint::Completions, RejectionReason::UnsupportedMediaType);
    let page = frontend.page();
    let rejected = |endpoint, reason| {
        page.number(&format!(
            "dynamo_frontend_rejected_requests_total{{endpoint=\"{endpoint}\",reason=\"{reason}\"}}"
        ))
    };
    assert_eq!(rejected("chat_completions", "validation"), Some(1.0));
    assert_eq!(rejected("completions", "unsupported_media_type"), Some(1.0));
    assert_eq!(page.series.len(), before.series.len() + 2);
    for (series, value) in &before.series {
        assert_eq!(&page.series[series], value);
    }
}

#[test]
fn a_request_with_tokens_cannot_be_rejected_any_more() {
    let frontend = Frontend::new();
    let mut request = frontend.begin(at(0));
    request.tokens(5, at(10));
    frontend.clock.set(at(20));
    request.reject(RejectionReason::Overload);
    let page = frontend.page();
    assert_eq!(page.number(&requests("error")), Some(1.0));
    about(page.count_and_sum(&of_model("output_sequence_tokens")), 1, 5.0);
    about(page.count_and_sum(&of_model("request_duration_seconds")), 1, 0.02);
}

#[test]
fn cached_tokens_and_migrations_count_from_zero() {
    let frontend = Frontend::new();
    let migrations = |page: &Page, kind: &str| {
        page.number(&format!(
            "dynamo_frontend_model_migration_total{{migration_type=\"{kind}\",model=\"{MODEL}\"}}"
        ))
    };
    let page = frontend.page();
    about(page.count_and_sum(&of_model("cached_tokens")), 0, 0.0);
    assert_eq!(migrations(&page, "new_request"), Some(0.0));

    let mut request = frontend.begin(at(0));
    request.migration(MigrationType::NewRequest);
    request.tokens(1, at(10));
    request.cached_tokens(16);
    request.cached_tokens(32);
    request.migration(MigrationType::OngoingRequest);
    request.migration(MigrationType::OngoingRequest);
    request.tokens(1, at(20));
    request.succeed(at(30));
    let page = frontend.page();
    about(page.count_and_sum(&of_model("cached_tokens")), 1, 16.0);
    assert_eq!(migrations(&page, "new_request"), Some(1.0));
    assert_eq!(migrations(&page, "ongoing_request"), Some(2.0));
    about(page.count_and_sum(&of_model("inter_token_latency_seconds")), 1, 0.01);
}

#[test]
fn input_tokens_are_observed_once_and_only_with_a_token() {
    let frontend = Frontend::new();
    let mut early = frontend.begin(at(0));
    early.input_tokens(10);
    early.input_tokens(20);
    early.tokens(1, at(1));
    early.input_tokens(99);
    early.succeed(at(2));
    let mut late = frontend.begin(at(0));
    late.tokens(1, at(1));
    late.input_tokens(3);
    late.input_tokens(4);
    late.succeed(at(2));
    let mut none = frontend.begin(at(0));
    none.input_tokens(1000);
    none.fail(at(1));
    about(frontend.page().count_and_sum(&of_model("input_sequence_tokens")), 2, 23.0);
}

#[test]
fn a_name_that_only_clients_use_becomes_no_series() {
    let frontend = Frontend::new();
    for number in 0..1000 {
        let model = format!("evil-{number}");
        let request =
            frontend.metrics.begin(HttpEndpoint::Completions, RequestType::Unary, &model, at(0));
        if number == 0 {
            let page = frontend.page();
            let gauge =
                |name| page.number(&format!("dynamo_frontend_{name}{{model=\"unknown_model\"}}"));
            assert_eq!(gauge("inflight_requests"), Some(1.0));
            assert_eq!(gauge("queued_requests"), Some(1.0));
        }
        request.reject(RejectionReason::NotFound);
    }
    // Another case is another name.
    let lower = MODEL.to_lowercase();
    frontend
        .metrics
        .begin(HttpEndpoint::Completions, RequestType::Unary, &lower, at(0))
        .reject(RejectionReason::NotFound);
    let page = frontend.page();
    assert!(!page.series.keys().any(|key| key.contains("evil") || key.contains(&lower)));
    let unknown: Vec<&String> =
        page.series.keys().filter(|key| key.contains("unknown_model")).collect();
    assert_eq!(unknown.len(), 2, "the two gauges: {unknown:?}");
    let rejected =
        "dynamo_frontend_rejected_requests_total{endpoint=\"completions\",reason=\"not_found\"}";
    assert_eq!(page.number(rejected), Some(1001.0));
}

#[test]
fn a_request_outlives_its_model() {
    let frontend = Frontend::new();
    let mut request = frontend.begin(at(0));
    frontend.metrics.models().remove(MODEL, 1);
    request.tokens(2, at(1));
    request.succeed(at(2));
    let page = frontend.page();
    assert_eq!(page.number(&requests("success")), Some(1.0));
    assert_eq!(page.number(&of_model("model_context_length")), None);
}

#[test]
fn time_that_goes_backwards_counts_as_zero() {
    let frontend = Frontend::new();
    let mut request = frontend.begin(at(1000));
    request.tokens(1, at(500));
    request.tokens(1, at(1010));
    request.tokens(2, at(200));
    request.tokens(1, at(1020));
    request.succeed(at(0));
    let page = frontend.page();
    about(page.count_and_sum(&of_model("time_to_first_token_seconds")), 1, 0.0);
    about(page.count_and_sum(&of_model("inter_token_latency_seconds")), 4, 0.02);
    about(page.count_and_sum(&of_model("request_duration_seconds")), 1, 0.0);
}

#[test]
fn disconnected_clients_are_shown_from_the_start_and_only_rise() {
    let frontend = Frontend::new();
    let disconnected = "dynamo_frontend_disconnected_clients{}";
    assert_eq!(frontend.page().number(disconnected), Some(0.0));
    frontend.metrics.client_disconnected();
    frontend.metrics.client_disconnected();
    assert_eq!(frontend.page().number(disconnected), Some(2.0));
}

#[test]
fn ten_clients_and_three_slots_are_ten_inflight_and_seven_queued() {
    let frontend = Frontend::new();
    let mut requests: Vec<Request> = (0..10).map(|_| frontend.begin(at(0))).collect();
    requests.iter_mut().take(3).for_each(|request| request.tokens(1, at(20)));
    let page = frontend.page();
    assert_eq!(page.number(&of_model("inflight_requests")), Some(10.0));
    assert_eq!(page.number(&of_model("queued_requests")), Some(7.0));
}

/// Ends the writers also when an assertion of the scraper fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn parts_nest_in_every_scrape_and_everything_adds_up_at_rest() {
    const SCRAPES: u64 = 500;
    const REQUESTS: u64 = 1000;
    let frontend = Frontend::new();
    let stop = AtomicBool::new(false);
    // Requests that begin on one thread and end on another, as in an async runtime.
    let moving: Mutex<Vec<Request>> = Mutex::default();
    let cancelled = requests("error")
        .replace("requests_total", "cancelled_requests_total")
        .replace(",status=\"error\"", "");
    let done = thread::scope(|scope| {
        let stopping = StopOnDrop(&stop);
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (frontend, stop, moving) = (&frontend, &stop, &moving);
                scope.spawn(move || {
                    let mut done = 0;
                    while done < REQUESTS || !stop.load(Ordering::Relaxed) {
                        done += 1;
                        let mut request = frontend.begin(at(done));
                        match (done + writer) % 6 {
                            0 => request.fail(at(done + 1)),
                            1 => request.reject(RejectionReason::Overload),
                            2 => drop(request),
                            4 => request.cancel(at(done + 1)),
                            3 => {
                                let mut moving = moving.lock().unwrap();
                                moving.push(request);
                                let other =
                                    if moving.len() > 8 { Some(moving.remove(0)) } else { None };
                                drop(moving);
                                if let Some(mut other) = other {
                                    other.tokens(2, at(done + 1));
                                    other.succeed(at(done + 1));
                                }
                            }
                            _ => {
                                request.tokens(1, at(done + 1));
                                request.tokens(3, at(done + 2));
                                request.succeed(at(done + 3));
                            }
                        }
                    }
                    done
                })
            })
            .collect();
        let mut snapshot = Snapshot::new();
        for _ in 0..SCRAPES {
            snapshot.take(&frontend.registry);
            let page = Page::read(&snapshot);
            let inflight = page.number(&of_model("inflight_requests")).unwrap();
            let queued = page.number(&of_model("queued_requests")).unwrap();
            assert!(0.0 <= queued && queued <= inflight, "{queued} queued of {inflight}");
            let cancelled = page.number(&cancelled).unwrap_or(0.0);
            let errors = page.number(&requests("error")).unwrap_or(0.0);
            assert!(cancelled <= errors, "{cancelled} cancelled of {errors} errors");
        }
        drop(stopping);
        writers.into_iter().map(|writer| writer.join().unwrap()).sum::<u64>()
    });
    moving.into_inner().unwrap().clear();

    let page = frontend.page();
    let rejected = page
        .number(
            "dynamo_frontend_rejected_requests_total{endpoint=\"chat_completions\",\
             reason=\"overload\"}",
        )
        .unwrap();
    let finished =
        page.number(&requests("success")).unwrap() + page.number(&requests("error")).unwrap();
    assert_eq!(finished + rejected, done as f64);
    let (durations, _) = page.count_and_sum(&of_model("request_duration_seconds")).unwrap();
    let (outputs, tokens) = page.count_and_sum(&of_model("output_sequence_tokens")).unwrap();
    assert_eq!((durations as f64, outputs as f64), (finished, finished));
    assert_eq!(page.number(&of_model("output_tokens_total")), Some(tokens));
    assert_eq!(page.number(&of_model("inflight_requests")), Some(0.0));
    assert_eq!(page.number(&of_model("queued_requests")), Some(0.0));
    assert!(page.number(&cancelled).unwrap() > 0.0);
}
