//! Families whose label names are known at run time, and descriptions that come late.

use super::*;

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
