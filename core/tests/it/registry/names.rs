//! Names and scopes that are accepted and refused.

use super::*;

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
    for label in ["__x", "a:b", "", "0"] {
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
fn a_label_of_some_kinds_samples_is_refused_for_those_kinds_and_scopes() {
    let registry = Registry::new();
    let (buckets, native) = (buckets(), NativeBuckets::new());
    let refused = [
        registry.histogram_family(("h", ""), ["le"], &buckets).map(drop),
        registry.native_histogram_family(("n", ""), ["le"], &native).map(drop),
        registry.dynamic_histogram_family(("d", ""), &["le"], &buckets).map(drop),
        registry.histogram(Opts::new("c", "").const_label("le", "1"), &buckets).map(drop),
        registry.histogram_family(Opts::new("u", "").utf8_names(), ["le"], &buckets).map(drop),
        registry.summary_family(("s", ""), ["quantile"], &SummaryOpts::new()).map(drop),
        registry.scope(&[("le", "1")]).map(drop),
        registry.scope(&[("quantile", "1")]).map(drop),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert!(matches!(error, RegisterError::InvalidLabel { .. }), "{error}");
    }
    registry.gauge_family(("g", ""), ["quantile", "le"]).unwrap().with(["0.5", "1"]).set(2.0);
    registry.counter_family(("c_total", ""), ["le"]).unwrap().with(["1"]).inc();
    registry.histogram_family(("q", ""), ["quantile"], &buckets).unwrap().with(["1"]).observe(1.0);
    registry
        .summary_family(("l", ""), ["le"], &SummaryOpts::new())
        .unwrap()
        .with(["1"])
        .observe(1.0);
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
