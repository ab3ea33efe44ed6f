//! Model names that only clients use: a million of them cost no more than the first few. A process of its own, whose memory is
//! measured.

#[path = "it/page/mod.rs"]
mod page;

use dynamo_metrics::{
    FrontendConfig, FrontendMetrics, HttpEndpoint, ModelCard, Registry, RequestType, RuntimeConfig,
    Timestamp,
};
use page::Page;
use std::time::Instant;

const JUNK: usize = 1_000_000;
const LET_IN: usize = 100;
const SERVED: &str = "Qwen/Qwen3-0.6B";
/// Requests for the served model, one in so many of junk.
const SERVED_EVERY: usize = 100;
/// The factor by which the median request may be slower among junk: far above noise, and below a search through it.
const SLOWER_MAX: u128 = 5;
/// Bytes that a million junk names may leave behind: the memory of an allocator's arena, not 128 bytes each.
const GROWTH_BYTES_MAX: usize = 4 << 20;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_nanos(ms * 1_000_000)
}

fn frontend(unserved_models_max: usize) -> (Registry, FrontendMetrics) {
    let registry = Registry::new();
    let config = FrontendConfig { unserved_models_max, ..FrontendConfig::default() };
    let frontend = FrontendMetrics::new(&registry, config).unwrap();
    let card = ModelCard::default();
    frontend.models().add(SERVED, 1, &card, &RuntimeConfig::default());
    (registry, frontend)
}

fn request(frontend: &FrontendMetrics, model: &str) {
    let mut request =
        frontend.begin(HttpEndpoint::ChatCompletions, RequestType::Unary, model, at(0));
    request.tokens(2, at(10));
    request.succeed(at(20));
}

fn requests(page: &Page, model: &str) -> Option<f64> {
    page.number(&format!(
        "dynamo_frontend_requests_total{{endpoint=\"chat_completions\",model=\"{model}\",\
         request_type=\"unary\",status=\"success\"}}"
    ))
}

fn gauge(page: &Page, name: &str, model: &str) -> Option<f64> {
    page.number(&format!("dynamo_frontend_{name}{{model=\"{model}\"}}"))
}

/// Resident bytes of this process; `None` where there is no `/proc`.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
}

/// The median and the 99th percentile of 10,000 requests for the served model, in nanoseconds.
fn median_and_p99(frontend: &FrontendMetrics) -> (u128, u128) {
    let mut nanos: Vec<u128> = (0..10_000)
        .map(|_| {
            let start = Instant::now();
            request(frontend, SERVED);
            start.elapsed().as_nanos()
        })
        .collect();
    nanos.sort_unstable();
    (nanos[nanos.len() / 2], nanos[nanos.len() * 99 / 100])
}

#[test]
fn a_million_junk_names_stop_at_the_cap_and_leave_the_served_model_exact() {
    let (registry, frontend) = frontend(LET_IN);
    let (median_before, p99_before) = median_and_p99(&frontend);
    let quiet = requests(&Page::of(&registry), SERVED).unwrap();
    (0..LET_IN).for_each(|number| request(&frontend, &format!("early-{number}")));
    let series = Page::of(&registry).series.len();
    let resident_before = resident();
    for number in 0..JUNK {
        // Each is new, longer than a label value may be, and differs only at the end of the part that is kept.
        request(&frontend, &format!("{number:0>128}{}", "x".repeat(128)));
        if number % SERVED_EVERY == 0 {
            request(&frontend, SERVED);
        }
    }
    let resident_after = resident();
    let page = Page::of(&registry);
    let served = requests(&page, SERVED).unwrap();
    assert_eq!(served - quiet, (JUNK / SERVED_EVERY) as f64);
    assert_eq!(requests(&page, "unknown_model"), Some(JUNK as f64));
    let durations = "dynamo_frontend_request_duration_seconds{model=\"unknown_model\"}";
    assert_eq!(page.count_and_sum(durations).map(|(count, _)| count), Some(JUNK as u64));
    let rejected = page.number("dynamo_metrics_rejected_label_values_total{label=\"model\"}");
    assert_eq!(rejected, Some(JUNK as f64));
    // The series of `unknown_model` and the counter of its requests; no more.
    let of_unknown = page.series.keys().filter(|key| key.contains("\"unknown_model\"")).count();
    assert_eq!(page.series.len(), series + of_unknown + 1);
    if let (Some(before), Some(after)) = (resident_before, resident_after) {
        let growth = after.saturating_sub(before);
        assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes more");
        println!("resident memory grew by {growth} bytes over {JUNK} junk names");
    }
    // A busy machine changes the tail much, and the least of several medians hardly.
    let after: Vec<(u128, u128)> = (0..5).map(|_| median_and_p99(&frontend)).collect();
    let median_after = after.iter().map(|(median, _)| *median).min().unwrap();
    println!("a request took {median_before} ns before and {median_after} ns after (medians)");
    println!("p99: {p99_before} ns before, {} ns after", after[0].1);
    assert!(median_after <= median_before * SLOWER_MAX, "{median_after} ns, not {median_before}");
}

#[test]
fn the_first_unserved_names_get_series_and_keep_them() {
    let (registry, frontend) = frontend(2);
    let begin = |model: &str| {
        frontend.begin(HttpEndpoint::ChatCompletions, RequestType::Unary, model, at(0))
    };
    let open = [begin("a"), begin("b"), begin("c"), begin("a")];
    let page = Page::of(&registry);
    assert_eq!(gauge(&page, "inflight_requests", "a"), Some(2.0));
    assert_eq!(gauge(&page, "inflight_requests", "unknown_model"), Some(1.0));
    assert_eq!(gauge(&page, "inflight_requests", "c"), None);
    for request in open {
        request.succeed(at(1));
    }
    let page = Page::of(&registry);
    for model in ["a", "b", "unknown_model"] {
        assert_eq!(gauge(&page, "inflight_requests", model), Some(0.0), "{model}");
        assert_eq!(gauge(&page, "queued_requests", model), Some(0.0), "{model}");
    }
    // One of them gets a worker and keeps its counts; another name takes its place.
    frontend.models().add("a", 7, &ModelCard::default(), &RuntimeConfig::default());
    request(&frontend, "a");
    request(&frontend, "c");
    request(&frontend, "d");
    let page = Page::of(&registry);
    assert_eq!(requests(&page, "a"), Some(3.0));
    assert_eq!(requests(&page, "c"), Some(1.0));
    assert_eq!(requests(&page, "d"), None);
    // The model loses its worker and keeps its series.
    frontend.models().remove("a", 7);
    request(&frontend, "a");
    assert_eq!(requests(&Page::of(&registry), "a"), Some(4.0));
}

#[test]
fn names_that_are_no_label_value_get_no_series_and_long_ones_are_cut() {
    let (registry, frontend) = frontend(2);
    request(&frontend, "");
    request(&frontend, "unknown_model");
    let long = "é".repeat(200);
    request(&frontend, &long);
    request(&frontend, &format!("{long}!"));
    let page = Page::of(&registry);
    assert_eq!(requests(&page, "unknown_model"), Some(2.0));
    assert_eq!(requests(&page, &"é".repeat(64)), Some(2.0));
    request(&frontend, "room for one more");
    assert_eq!(requests(&Page::of(&registry), "room for one more"), Some(1.0));
}
