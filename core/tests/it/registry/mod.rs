//! Registrations that a registry accepts and refuses, and the errors.

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
fn equal_descriptors_are_one_metric_and_different_ones_conflict() {
    let registry = Registry::new();
    let ask = |help: &str, labels: [&str; 1]| registry.counter_family(("a_total", help), labels);
    ask("help", ["model"]).unwrap().with(["x"]).inc();
    assert_eq!(ask("help", ["model"]).unwrap().with(["x"]).get(), 1);
    let what = |error: RegisterError| match error {
        RegisterError::Conflict { what, .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(what(ask("other help", ["model"]).unwrap_err()), "help");
    assert_eq!(what(ask("help", ["endpoint"]).unwrap_err()), "label names");
    assert_eq!(what(registry.gauge(("a_total", "help")).unwrap_err()), "type");
    assert_eq!(
        what(registry.float_counter_family(("a_total", "help"), ["model"]).unwrap_err()),
        "type"
    );
    registry.histogram(("h", "h"), &buckets()).unwrap();
    let error = registry.histogram(("h", "h"), &Buckets::new([2.0]).unwrap()).unwrap_err();
    assert_eq!(what(error.clone()), "bucket bounds");
    assert_eq!(
        error.to_string(),
        "metric \"h\" is already registered with another bucket bounds: [1.0] is there, [2.0] was asked for; \
         use the registered one, or another name"
    );
}

#[test]
fn sample_names_of_one_metric_are_not_names_of_another() {
    let clash = |first: fn(&Registry), second: fn(&Registry) -> Result<(), RegisterError>| {
        let registry = Registry::new();
        first(&registry);
        matches!(second(&registry), Err(RegisterError::SuffixClash { .. }))
    };
    let histogram: fn(&Registry) = |r| drop(r.histogram(("x", ""), &buckets()).unwrap());
    assert!(clash(histogram, |r| r.gauge(("x_sum", "")).map(drop)));
    assert!(clash(histogram, |r| r.counter(("x_count", "")).map(drop)));
    assert!(clash(histogram, |r| r.gauge(("x_bucket", "")).map(drop)));
    assert!(!clash(histogram, |r| r.gauge(("x_sums", "")).map(drop)));
    let counter: fn(&Registry) = |r| drop(r.counter(("x_total", "")).unwrap());
    assert!(clash(counter, |r| r.gauge(("x_created", "")).map(drop)));
    assert!(clash(counter, |r| r.gauge(("x", "")).map(drop)), "the family's name in OpenMetrics");
    let gauge: fn(&Registry) = |r| drop(r.gauge(("x_sum", "")).unwrap());
    assert!(clash(gauge, |r| r.histogram(("x", ""), &buckets()).map(drop)), "in either order");
}

#[test]
fn invalid_and_reserved_names_are_refused_with_a_reason() {
    let registry = Registry::new();
    for name in ["", "1a", "a-b", "a b", "ü"] {
        let error = registry.counter((name, "")).unwrap_err();
        assert!(matches!(error, RegisterError::InvalidName { .. }), "{error}");
    }
    for label in ["le", "quantile", "__x", "a:b", "", "0"] {
        let error = registry.counter_family(("a_total", ""), [label]).unwrap_err();
        assert!(matches!(error, RegisterError::InvalidLabel { .. }), "{error}");
        assert!(error.to_string().contains("a_total"), "{error}");
    }
    let twice = registry.counter_family(("a_total", ""), ["x", "x"]).unwrap_err();
    assert!(matches!(twice, RegisterError::DuplicateLabel { .. }));
    let constant = Opts::new("a_total", "").const_label("x", "1");
    let twice = registry.counter_family(constant, ["x"]).unwrap_err();
    assert!(matches!(twice, RegisterError::DuplicateLabel { .. }));
    let scope = registry.scope(&[("x", "1")]).unwrap();
    let twice = scope.counter_family(("a_total", ""), ["x"]).unwrap_err();
    assert!(matches!(twice, RegisterError::DuplicateLabel { .. }));
    let unit = registry.gauge(Opts::new("a_ms", "").unit("seconds")).unwrap_err();
    assert!(matches!(unit, RegisterError::Unit { .. }));
    registry.counter(Opts::new("a_seconds_total", "").unit("seconds")).unwrap();
}

#[test]
fn only_a_counter_has_its_unit_before_total() {
    let registry = Registry::new();
    let opts = || Opts::new("a_seconds_total", "").unit("seconds");
    let error = registry.gauge(opts()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metric \"a_seconds_total\" has unit \"seconds\", which must be the end of its name (before `_total` if it is \
         a counter); rename it to end in \"_seconds\""
    );
    let refused = [
        registry.up_down_counter(opts()).map(drop),
        registry.gauge_callback(opts(), || 0.0),
        registry.histogram(opts(), &buckets()).map(drop),
        registry.native_histogram(opts(), &NativeBuckets::new()).map(drop),
        registry.summary(opts(), &SummaryOpts::new()).map(drop),
    ];
    for result in refused {
        assert!(matches!(result, Err(RegisterError::Unit { .. })), "{result:?}");
    }
    registry.counter_callback(opts(), || 0).unwrap();
    registry.unregister("a_seconds_total");
    registry.float_counter(opts()).unwrap();
    // Any last word of a name may be a unit.
    registry.gauge(Opts::new("b_total", "").unit("total")).unwrap();
}

#[test]
fn scopes_share_names_but_never_series() {
    let registry = Registry::new();
    let [a, b] = ["a", "b"].map(|value| registry.scope(&[("component", value)]).unwrap());
    assert_eq!(
        registry.scope(&[("component", "a")]).unwrap().labels().next(),
        Some(("component", "a"))
    );
    // Other label names and other help under one name, in two scopes (Dynamo refused to start here).
    a.counter_family(("x_total", "one help"), ["model"]).unwrap().with(["m"]).inc();
    b.counter_family(("x_total", "another help"), ["lora"]).unwrap().with(["l"]).add(2);
    assert_eq!(values(&registry, "x_total"), [(vec!["m".into()], 1.0), (vec!["l".into()], 2.0)]);
    assert_eq!(values(&b, "x_total"), [(vec!["l".into()], 2.0)]);
    assert!(matches!(
        b.gauge(("x_total", "")).unwrap_err(),
        RegisterError::Conflict { what: "type", .. }
    ));
    // The same series in two scopes.
    let error = registry.counter_family(("x_total", ""), ["component", "model"]).unwrap_err();
    assert!(matches!(error, RegisterError::SameSeries { .. }), "{error}");
    // With empty values, which are the same as no labels.
    let error = registry.counter_family(("x_total", ""), ["component", "tenant"]).unwrap_err();
    assert!(matches!(error, RegisterError::SameSeries { .. }), "{error}");
    registry.counter_family(("x_total", ""), ["tenant"]).unwrap().with(["t"]).add(3);
    assert_eq!(values(&registry, "x_total").len(), 3);
}

#[test]
fn endpoints_of_one_component_may_have_labels_of_their_own() {
    let registry = Registry::new();
    let component = registry.scope(&[("component", "a")]).unwrap();
    for (endpoint, label) in [("generate", "model"), ("embed", "lora"), ("clear", "model")] {
        let endpoint = component.scope(&[("endpoint", endpoint)]).unwrap();
        let family = endpoint.counter_family(("x_total", ""), [label]).unwrap();
        ["", "m"].into_iter().for_each(|value| family.with([value]).inc());
    }
    assert_eq!(values(&registry, "x_total").len(), 6);
    // In the component itself it could be the series of an endpoint only with the label of the endpoint.
    component.counter_family(("x_total", ""), ["model"]).unwrap();
    let other = registry.counter_family(("x_total", ""), ["component", "endpoint"]).unwrap_err();
    assert!(matches!(other, RegisterError::SameSeries { .. }), "{other}");
}

#[test]
fn a_constant_label_with_an_empty_value_is_no_label() {
    let registry = Registry::new();
    let scope = registry.scope(&[("zone", "")]).unwrap();
    assert_eq!(scope.labels().count(), 0);
    scope.counter(("x_total", "")).unwrap().inc();
    assert_eq!(registry.counter(("x_total", "")).unwrap().get(), 1, "the scope is this level");
    let opts = Opts::new("x_total", "").const_label("rack", "");
    assert_eq!(registry.counter(opts).unwrap().get(), 1, "no constant label either");
    assert_eq!(values(&registry, "x_total").len(), 1);
    assert!(registry.scope(&[("__zone", "")]).is_err(), "names are checked all the same");
    let twice = Opts::new("y_total", "").const_label("zone", "");
    let twice = registry.counter_family(twice, ["zone"]).unwrap_err();
    assert!(matches!(twice, RegisterError::DuplicateLabel { .. }));
}

#[test]
fn one_list_of_labels_is_one_scope_on_every_path() {
    let registry = Registry::new();
    let at_once = registry.scope(&[("a", "1"), ("b", "2")]).unwrap();
    let in_steps = registry.scope(&[("a", "1")]).unwrap().scope(&[("b", "2")]).unwrap();
    at_once.counter(("x_total", "")).unwrap().inc();
    assert_eq!(in_steps.counter(("x_total", "")).unwrap().get(), 1);
    assert!(in_steps.unregister("x_total") && !at_once.unregister("x_total"));
    assert!(values(&registry, "x_total").is_empty());
    assert_eq!(registry.scope(&[]).unwrap().labels().count(), 0);
    registry.gauge(("x_total", "")).unwrap();
    assert!(registry.scope(&[]).unwrap().unregister("x_total"), "no labels: the level itself");
    // In another order it is another scope, with the same series.
    at_once.counter(("x_total", "")).unwrap();
    let turned = registry.scope(&[("b", "2"), ("a", "1")]).unwrap();
    assert!(matches!(turned.counter(("x_total", "")), Err(RegisterError::SameSeries { .. })));
}

#[test]
fn constant_labels_tell_metrics_of_one_scope_apart() {
    let registry = Registry::new();
    let ask = |value: &str| registry.counter(Opts::new("x_total", "h").const_label("shard", value));
    ask("0").unwrap().inc();
    ask("1").unwrap().add(2);
    assert_eq!(ask("0").unwrap().get(), 1);
    assert_eq!(values(&registry, "x_total").len(), 2);
    let other = registry.counter(Opts::new("x_total", "h").const_label("lane", "0")).unwrap_err();
    assert!(matches!(other, RegisterError::Conflict { what: "constant labels", .. }), "{other}");
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

/// The label names of each part of a family, and its help.
fn parts(registry: &Registry, name: &str) -> (Vec<Vec<String>>, String) {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    let family = snapshot.families().find(|family| family.name() == name).unwrap();
    let labels = family
        .parts()
        .map(|part| part.descriptor().label_names().map(String::from).collect())
        .collect();
    (labels, family.help().into())
}

#[test]
fn dynamic_families_of_one_name_differ_in_their_label_names_and_in_nothing_else() {
    let registry = Registry::new();
    let sets: [&[&str]; 4] = [&[], &["a"], &["b"], &["a", "b"]];
    for labels in sets {
        let family = registry.dynamic_gauge_family(("x", ""), labels).unwrap();
        let values = vec!["1"; labels.len()];
        family.find(&values).unwrap().into_handle().set(labels.len() as f64);
        let again = registry.dynamic_gauge_family(("x", "Help."), labels).unwrap();
        assert_eq!(again.find(&values).unwrap().into_handle().get(), labels.len() as f64);
    }
    assert_eq!(parts(&registry, "x").0, sets);
    let error = |result: Result<(), RegisterError>| result.unwrap_err().to_string();
    // The same labels in another order would print the same series.
    let swapped = error(registry.dynamic_gauge_family(("x", ""), &["b", "a"]).map(drop));
    assert!(swapped.contains("same series"), "{swapped}");
    let scope = registry.scope(&[("a", "1")]).unwrap();
    let scoped = error(scope.dynamic_gauge_family(("x", ""), &["b"]).map(drop));
    assert!(scoped.contains("same series"), "{scoped}");
    scope.dynamic_gauge_family(("x", ""), &["c"]).unwrap();
    // A label that varies in a fixed family may be missing.
    let fixed = error(registry.gauge_family(("x", ""), ["c"]).map(drop));
    assert!(fixed.contains("kind of label names"), "{fixed}");
    let beside = registry.scope(&[("b", "1")]).unwrap();
    let beside = error(beside.gauge_family(("x", ""), ["a"]).map(drop));
    assert!(beside.contains("same series"), "{beside}");
    let other = error(registry.dynamic_counter_family(("x", ""), &["d"]).map(drop));
    assert!(other.contains("type"), "{other}");
}

#[test]
fn dynamic_histograms_of_one_name_have_the_same_buckets() {
    let registry = Registry::new();
    let bounds = |bound| Buckets::new([bound]).unwrap();
    let family = registry.dynamic_histogram_family(("h", ""), &["a"], &bounds(1.0)).unwrap();
    family.find(&["1"]).unwrap().into_handle().observe(0.5);
    assert!(registry.dynamic_histogram_family(("h", ""), &["b"], &bounds(2.0)).is_err());
    assert!(registry.dynamic_histogram_family(("h", ""), &["b"], &bounds(1.0)).is_ok());
    assert!(registry.dynamic_counter_family(("h_count", ""), &[]).is_err());
    assert_eq!(family.find(&["1"]).unwrap().into_handle().get().counts, [1, 0]);
}

#[test]
fn a_dynamic_family_takes_no_empty_values_and_is_limited() {
    let registry = Registry::new();
    let opts = Opts::new("x_total", "").series_max(1);
    let family = registry.dynamic_counter_family(opts, &["a"]).unwrap();
    assert!(family.find(&[""]).is_none() && family.find(&[]).is_none() && family.is_empty());
    let own = |value: &str| matches!(family.find(&[value]), Some(DynamicLookup::Own(_)));
    assert!(own("1") && !own("2"));
    assert!(family.remove(&["1"]) && family.remove(&["other"]));
    assert!(own("2"));
    let long = "x".repeat(200);
    assert!(family.remove(&["2"]));
    family.find(&[&long]).unwrap().into_handle().inc();
    assert_eq!(family.find(&[&long[..128]]).unwrap().into_handle().get(), 1, "cut");
    assert!(family.remove(&[&long]));
}

#[test]
fn a_description_reaches_metrics_without_one_wherever_they_are() {
    let registry = Registry::new();
    assert!(!registry.describe("x", "Too early."));
    registry.gauge(("x", "")).unwrap();
    registry.scope(&[("a", "1")]).unwrap().gauge(("x", "Own.")).unwrap();
    assert_eq!(parts(&registry, "x").1, "Own.", "the first that there is");
    assert!(!registry.describe("x", ""));
    assert!(registry.describe("x", "Late.") && !registry.describe("x", "Later."));
    assert_eq!(parts(&registry, "x").1, "Late.");
}
