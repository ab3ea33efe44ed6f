//! Registrations that a registry accepts and refuses, and the errors.

mod dynamic;
mod names;

use dynamo_metrics_core::{
    Buckets, Counter, DynamicLookup, NativeBuckets, Opts, RegisterError, Registry, Snapshot,
    SummaryOpts, snapshot::Value,
};

fn buckets() -> Buckets {
    Buckets::new([1.0]).unwrap()
}

fn values(registry: &Registry, name: &str) -> Vec<(Vec<String>, f64)> {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    let family = snapshot.families().find(|family| family.name() == name);
    let parts = family.into_iter().flat_map(|family| family.parts());
    parts
        .flat_map(|part| (0..part.len()).map(move |at| part.series(at).unwrap()))
        .map(|series| {
            let value = match series.value() {
                Value::Unsigned(value) => value as f64,
                Value::Signed(value) => value as f64,
                Value::Float(value) => value,
                other => panic!("{other:?}"),
            };
            (series.label_values().map(Into::into).collect(), value)
        })
        .collect()
}

#[test]
fn lookups_beyond_the_limit_get_the_overflow_series_and_are_counted() {
    let registry = Registry::new();
    let opts = Opts::new("x_total", "").series_max(2);
    let family = registry.counter_family(opts, ["model", "status"]).unwrap();
    for model in ["a", "b", "c", "d"] {
        family.with([model, "ok"]).inc();
    }
    family.with(["a", "ok"]).inc();
    let all = values(&registry, "x_total");
    let row = |a: &str, b: &str, value| (vec![a.to_string(), b.to_string()], value);
    assert_eq!(all, [row("a", "ok", 2.0), row("b", "ok", 1.0), row("other", "other", 2.0)]);
    let counted = values(&registry, "dynamo_metrics_series_overflow_total");
    assert_eq!(counted, [(vec!["x_total".into()], 2.0)]);
}

#[test]
fn removed_series_start_at_zero_again_and_old_handles_change_no_other_series() {
    let registry = Registry::new();
    let family = registry.counter_family(("x_total", ""), ["model"]).unwrap();
    let old = family.with(["a"]);
    old.add(5);
    assert!(family.remove(["a"]));
    assert!(!family.remove(["a"]));
    let new = family.with(["a"]);
    old.add(100);
    new.inc();
    assert_eq!(values(&registry, "x_total"), [(vec!["a".into()], 1.0)]);
    // The cells of `old` may now be reused, and are zero in every shard.
    drop(old);
    assert_eq!(family.with(["b"]).get(), 0);
    family.clear();
    assert!(family.is_empty() && values(&registry, "x_total").is_empty());
    assert_eq!(family.remove_matching(&[("no_such_label", "a")]), 0);
}

#[test]
fn a_removed_series_is_not_found_in_caches_of_other_threads() {
    let registry = Registry::new();
    let family = registry.counter_family(("x_total", ""), ["model"]).unwrap();
    let neighbour = registry.counter_family(("y_total", ""), ["model"]).unwrap();
    let (to_removed, removed) = std::sync::mpsc::channel();
    let (to_seen, seen) = std::sync::mpsc::channel();
    let count = |counter: &Counter| {
        counter.inc();
        counter.get()
    };
    let counts =
        || ["a", "b"].map(|model| [&family, &neighbour].map(|each| each.visit([model], count)));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            assert_eq!(counts(), [[1, 1], [1, 1]]);
            assert_eq!(counts(), [[2, 2], [2, 2]], "now this thread remembers them");
            to_seen.send(()).unwrap();
            removed.recv().unwrap();
            assert_eq!(counts(), [[1, 3], [3, 3]], "`a` of one family began anew, nothing else");
        });
        seen.recv().unwrap();
        assert!(family.remove(["a"]));
        to_removed.send(()).unwrap();
    });
    assert_eq!(family.len(), 2);
}

#[test]
fn unregistering_frees_the_name() {
    let registry = Registry::new();
    let old = registry.counter(("x_total", "")).unwrap();
    assert!(registry.unregister("x_total"));
    assert!(!registry.unregister("x_total"));
    registry.gauge(("x_total", "")).unwrap().set(2.0);
    old.inc();
    assert_eq!(values(&registry, "x_total"), [(vec![], 2.0)]);
    assert!(registry.occupies("x_total") && !registry.occupies("x_created"));
}

#[test]
fn callbacks_run_at_the_scrape_and_their_panics_are_caught() {
    let registry = Registry::new();
    registry.gauge_callback(("up_seconds", ""), || 1.5).unwrap();
    registry.counter_callback(("seen_total", ""), || u64::MAX).unwrap();
    registry.gauge_callback(("bad", ""), || panic!("on purpose")).unwrap();
    let again = registry.gauge_callback(("up_seconds", ""), || 2.5).unwrap_err();
    assert!(matches!(again, RegisterError::DuplicateCallback { .. }));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    snapshot.take(&registry);
    std::panic::set_hook(hook);
    let value = |name: &str| {
        let family = snapshot.families().find(|family| family.name() == name).unwrap();
        family.parts().next().unwrap().series(0).unwrap().value()
    };
    assert_eq!(value("up_seconds"), Value::Float(1.5));
    assert_eq!(value("seen_total"), Value::Unsigned(u64::MAX));
    assert_eq!(value("bad"), Value::Missing);
    assert_eq!(value("dynamo_metrics_callback_panics_total"), Value::Unsigned(2));
}

#[test]
fn rejected_observations_are_counted_by_reason() {
    let registry = Registry::new();
    let histogram = registry.histogram(("h", ""), &Buckets::new([0.0, 1.0]).unwrap()).unwrap();
    histogram.observe(f64::NAN);
    histogram.observe_n(-1.0, 3);
    histogram.observe(f64::INFINITY);
    histogram.observe(f64::NEG_INFINITY);
    histogram.observe(-0.0);
    assert_eq!(histogram.get().counts, [1, 0, 1]);
    assert_eq!(histogram.get().sum, 0.0);
    let signed = registry.histogram(("s", ""), &Buckets::new([-1.0, 1.0]).unwrap()).unwrap();
    signed.observe(-2.0);
    signed.observe(0.5);
    assert_eq!(signed.get().counts, [1, 1, 0]);
    assert_eq!(signed.get().sum, -1.5);
    let mut rejected = values(&registry, "dynamo_metrics_rejected_observations_total");
    rejected.sort_by(|a, b| a.0.cmp(&b.0));
    let row = |reason: &str, n| (vec!["h".to_string(), reason.to_string()], n);
    assert_eq!(rejected, [row("infinite", 1.0), row("nan", 1.0), row("negative", 4.0)]);
}

#[test]
fn counts_are_exact_to_the_last_unit() {
    let registry = Registry::new();
    let counter = registry.counter(("x_total", "")).unwrap();
    counter.add((1 << 53) + 1);
    assert_eq!(counter.get(), 9_007_199_254_740_993);
    counter.add(u64::MAX - counter.get());
    assert_eq!(counter.get(), u64::MAX);
    counter.inc();
    assert_eq!(counter.get(), 0, "wraps, which scrapers take for a restart");
}

#[test]
fn sums_stay_finite_for_all_values() {
    let registry = Registry::new();
    let histogram = registry.histogram(("h", ""), &buckets()).unwrap();
    histogram.observe_n(1e308, 100);
    assert_eq!((histogram.get().sum, histogram.get().counts[1]), (0.0, 100), "counted, not summed");
    for _ in 0..4 {
        histogram.observe(1.7e308);
    }
    assert_eq!(histogram.get().sum, f64::MAX);
    let signed = registry.histogram(("s", ""), &Buckets::new([-1.0, 1.0]).unwrap()).unwrap();
    for value in [f64::MAX, f64::MAX, f64::MAX, f64::MIN, f64::MIN, f64::MIN] {
        signed.observe(value);
    }
    assert!(signed.get().sum.is_finite());
    let counter = registry.float_counter(("c_total", "")).unwrap();
    counter.add(1e308);
    counter.add(1e308);
    assert_eq!(counter.get(), f64::MAX);
    assert_eq!(values(&registry, "c_total"), [(vec![], f64::MAX)]);
}

#[test]
fn a_removed_overflow_series_starts_at_zero_again() {
    let registry = Registry::new();
    let opts = Opts::new("x_total", "").series_max(1);
    let family = registry.counter_family(opts, ["model"]).unwrap();
    family.with(["a"]);
    family.with(["b"]).add(7);
    assert!(family.remove(["other"]));
    family.with(["c"]).inc();
    let row = |model: &str, value| (vec![model.to_string()], value);
    assert_eq!(values(&registry, "x_total"), [row("a", 0.0), row("other", 1.0)]);
}

#[test]
fn a_callback_may_use_the_registry_when_it_ends() {
    struct Guard(Registry);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.unregister("other");
            self.0.counter(("left_total", "")).unwrap().inc();
        }
    }
    let registry = Registry::new();
    let guard = Guard(registry.clone());
    registry
        .gauge_callback(("x", ""), move || {
            let _keeps = &guard;
            1.0
        })
        .unwrap();
    assert!(registry.unregister("x"));
    assert_eq!(registry.counter(("left_total", "")).unwrap().get(), 1);
}
