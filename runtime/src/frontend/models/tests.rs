use super::super::{FrontendConfig, FrontendMetrics, HttpEndpoint, RequestType};
use super::*;
use crate::clock::Timestamp;
use dynamo_metrics_core::{Registry, Snapshot, snapshot::Value};

const CARD: ModelCard =
    ModelCard { context_length: 4096, kv_cache_block_size: 16, migration_limit: 3 };

fn frontend() -> (Registry, FrontendMetrics) {
    let registry = Registry::new();
    let frontend = FrontendMetrics::new(&registry, FrontendConfig::default()).unwrap();
    (registry, frontend)
}

/// `(suffix, model, value)` of every gauge whose name begins with `model_`.
fn cards(registry: &Registry) -> Vec<(String, String, f64)> {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    let mut cards = Vec::new();
    for family in snapshot.families() {
        let Some(name) = family.name().strip_prefix("dynamo_frontend_model_") else { continue };
        if matches!(name, "migration_total" | "ready") {
            continue;
        }
        for part in family.parts() {
            for series in (0..part.len()).filter_map(|at| part.series(at)) {
                let model = series.label_values().next().unwrap_or_default();
                let Value::Float(value) = series.value() else { panic!("{name} is a gauge") };
                cards.push((name.into(), model.into(), value));
            }
        }
    }
    cards
}

fn request(frontend: &FrontendMetrics, model: &str) {
    let at = Timestamp::from_nanos;
    frontend
        .begin(HttpEndpoint::Completions, RequestType::Unary, model, at(0))
        .succeed(at(1_000_000));
}

/// The models of `requests_total`, sorted, with their sums.
fn requests(registry: &Registry) -> Vec<(String, u64)> {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    let family =
        snapshot.families().find(|f| f.name() == "dynamo_frontend_requests_total").unwrap();
    let part = family.parts().next().unwrap();
    let mut requests: Vec<(String, u64)> = (0..part.len())
        .filter_map(|at| part.series(at))
        .map(|series| {
            let Value::Unsigned(value) = series.value() else { panic!("a counter") };
            (series.label_values().next().unwrap().to_string(), value)
        })
        .collect();
    requests.sort();
    requests
}

#[test]
fn the_first_card_is_shown_until_the_last_worker_leaves() {
    let (registry, frontend) = frontend();
    let models = frontend.models();
    let first = RuntimeConfig { max_num_seqs: Some(3), ..RuntimeConfig::default() };
    let later = RuntimeConfig { max_num_seqs: Some(9), total_kv_blocks: Some(9), ..first };
    assert_eq!(models.add("Org/M", 1, &CARD, &first), Registration::First);
    assert_eq!(models.add("Org/M", 2, &ModelCard::default(), &later), Registration::Later);
    assert_eq!(models.add("Org/M", 1, &ModelCard::default(), &later), Registration::Later);
    let shown = |registry| {
        cards(registry).into_iter().map(|(name, model, value)| {
            assert_eq!(model, "Org/M", "the case is kept");
            (name, value)
        })
    };
    let expected = [
        ("context_length".to_string(), 4096.0),
        ("kv_cache_block_size".into(), 16.0),
        ("max_num_seqs".into(), 3.0),
        ("migration_limit".into(), 3.0),
    ];
    assert!(shown(&registry).eq(expected.clone()));
    assert!(models.remove("Org/M", 1));
    assert!(shown(&registry).eq(expected));
    assert!(!models.remove("Org/M", 7) && !models.remove("other", 2));
    assert!(models.remove("Org/M", 2));
    assert_eq!(cards(&registry), []);
    assert_eq!(models.add("Org/M", 3, &CARD, &later), Registration::First);
    assert_eq!(cards(&registry).len(), 5);
    assert_eq!(models.served(), ["Org/M"]);
}

#[test]
fn the_only_worker_renews_its_card_without_leaving() {
    let (registry, frontend) = frontend();
    let models = frontend.models();
    let seqs = |n| RuntimeConfig { max_num_seqs: n, ..RuntimeConfig::default() };
    let shown = || {
        let cards = cards(&registry);
        cards.iter().find(|card| card.0 == "max_num_seqs").map(|card| card.2)
    };
    models.add("m", 1, &CARD, &seqs(Some(3)));
    assert_eq!(models.add("m", 1, &CARD, &seqs(Some(5))), Registration::First);
    assert_eq!(shown(), Some(5.0));
    assert_eq!(models.add("m", 1, &CARD, &seqs(None)), Registration::First);
    assert_eq!(shown(), None, "what it no longer says");
    models.add("m", 1, &CARD, &seqs(Some(6)));
    models.add("m", 2, &CARD, &seqs(Some(7)));
    models.remove("m", 1);
    assert_eq!(models.add("m", 2, &CARD, &seqs(Some(7))), Registration::Later);
    assert_eq!(shown(), Some(6.0), "the first card stays until the last worker has left");
}

#[test]
fn a_model_that_comes_back_goes_on_counting() {
    let (registry, frontend) = frontend();
    let models = frontend.models();
    for instance in 0..3 {
        models.add("m", instance, &CARD, &RuntimeConfig::default());
        request(&frontend, "m");
        models.remove("m", instance);
        request(&frontend, "m");
    }
    assert_eq!(requests(&registry), [("m".into(), 6)]);
}

#[test]
fn beyond_the_limit_the_model_that_left_first_makes_room() {
    let (registry, frontend) = frontend();
    let models = frontend.models();
    let add = |model: &str| models.add(model, 1, &CARD, &RuntimeConfig::default());
    for number in 0..MODELS_MAX {
        assert_eq!(add(&format!("m{number}")), Registration::First);
    }
    assert_eq!(add("late"), Registration::BeyondLimit);
    request(&frontend, "late");
    request(&frontend, "m5");
    request(&frontend, "m7");
    let open = frontend.begin(HttpEndpoint::Tensor, RequestType::Unary, "m7", Timestamp::default());
    models.remove("m7", 1);
    assert_eq!(add("late"), Registration::BeyondLimit, "m7 has a request in progress");
    models.remove("m5", 1);
    models.remove("m6", 1);
    assert_eq!(add("late"), Registration::First);
    open.succeed(Timestamp::default());
    request(&frontend, "late");
    // m5 is gone, which left before m6.
    let left =
        [("late".into(), 1), ("m7".into(), 1), ("m7".into(), 1), ("unknown_model".into(), 1)];
    assert_eq!(requests(&registry), left);
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    let series = |family: &str| {
        let family = snapshot.families().find(|f| f.name() == family);
        family.map_or(0, |f| f.parts().map(|part| part.len()).sum())
    };
    assert_eq!(series("dynamo_frontend_inflight_requests"), MODELS_MAX + 1);
    assert_eq!(series("dynamo_metrics_series_overflow_total"), 0, "the cap is never met");
}
