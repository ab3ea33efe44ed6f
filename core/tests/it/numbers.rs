//! Exactness of large numbers, and of `observe_n` compared with single observations. In a process of its own, because
//! `promises.rs` measures memory.

use dynamo_metrics_core::{
    Buckets, NativeBuckets, Registry, Snapshot, SummaryOpts, snapshot::Value,
};
use proptest::prelude::*;
use std::thread;

fn unit_buckets() -> Buckets {
    Buckets::new([1.0, 2.0, 4.0, 8.0]).unwrap()
}

fn unsigned(snapshot: &Snapshot, name: &str) -> u64 {
    let family = snapshot.families().find(|family| family.name() == name).unwrap();
    match family.parts().next().unwrap().series(0).unwrap().value() {
        Value::Unsigned(value) => value,
        other => panic!("{name} is {other:?}"),
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    let odd = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, -0.5, -3.0];
    prop_oneof![3 => 0.0..10.0f64, 1 => prop::sample::select(odd)]
}

/// Returns the number of rejected observations of a metric, by reason.
fn rejected(registry: &Registry, metric: &str) -> Vec<(String, u64)> {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    let name = "dynamo_metrics_rejected_observations_total";
    let family = snapshot.families().find(|family| family.name() == name).unwrap();
    let part = family.parts().next().unwrap();
    let series = (0..part.len()).filter_map(|at| part.series(at)).zip(part.counts());
    let mut counts: Vec<(String, u64)> = series
        .filter(|(series, _)| series.label_values().next() == Some(metric))
        .map(|(series, count)| (series.label_values().nth(1).unwrap().to_owned(), count))
        .collect();
    counts.sort();
    counts
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn observe_n_is_n_observations(values in prop::collection::vec((any_value(), 0..300u64), 1..20)) {
        let registry = Registry::new();
        let signed = Buckets::new([-1.0, 1.0, 4.0]).unwrap();
        for (kind, buckets) in [("plain", unit_buckets()), ("signed", signed)] {
            let make = |way| registry.histogram((format!("{way}_{kind}"), ""), &buckets).unwrap();
            let (at_once, one_by_one) = (make("at_once"), make("one_by_one"));
            for &(value, n) in &values {
                at_once.observe_n(value, n);
                (0..n).for_each(|_| one_by_one.observe(value));
            }
            let (at_once, one_by_one) = (at_once.get(), one_by_one.get());
            prop_assert_eq!(at_once.counts, one_by_one.counts);
            let error = (at_once.sum - one_by_one.sum).abs();
            prop_assert!(error <= 1e-9, "{} and {}", at_once.sum, one_by_one.sum);
        }
        let make = |way| registry.native_histogram((way, ""), &NativeBuckets::new()).unwrap();
        let (at_once, one_by_one) = (make("at_once_native"), make("one_by_one_native"));
        let make = |way| registry.summary((way, ""), &SummaryOpts::new()).unwrap();
        let (summary_at_once, summary_one_by_one) = (make("at_once_summary"), make("one_by_one_summary"));
        for &(value, n) in &values {
            at_once.observe_n(value, n);
            summary_at_once.observe_n(value, n);
            for _ in 0..n {
                one_by_one.observe(value);
                summary_one_by_one.observe(value);
            }
        }
        prop_assert_eq!(summary_at_once.get().count, summary_one_by_one.get().count);
        for kind in ["plain", "signed", "native", "summary"] {
            let rejected = |way| rejected(&registry, &format!("{way}_{kind}"));
            prop_assert_eq!(rejected("at_once"), rejected("one_by_one"), "{}", kind);
        }
    }

    /// The total is the sum of all increments modulo 2^64, on all threads; no float is involved.
    #[test]
    fn counters_are_exact_near_2_to_the_53_and_2_to_the_64(
        near in prop::sample::select(vec![1u64 << 53, 1 << 63, 0]),
        offset in -3i64..3,
        parts in prop::collection::vec(0..4u64, 1..4),
    ) {
        let registry = Registry::new();
        let counter = registry.counter(("large_total", "")).unwrap();
        let start = near.wrapping_add_signed(offset);
        counter.add(start);
        let threads: Vec<_> = parts
            .iter()
            .map(|&part| {
                let counter = counter.clone();
                thread::spawn(move || counter.add(part))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let expected = parts.iter().fold(start, |total, &part| total.wrapping_add(part));
        prop_assert_eq!(counter.get(), expected);
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        prop_assert_eq!(unsigned(&snapshot, "large_total"), expected);
    }
}

#[test]
fn buckets_and_up_down_counters_are_exact_to_the_last_unit() {
    let registry = Registry::new();
    let histogram = registry.histogram(("full", ""), &unit_buckets()).unwrap();
    let open = registry.up_down_counter(("open", "")).unwrap();
    let elsewhere = (histogram.clone(), open.clone());
    thread::spawn(move || {
        elsewhere.0.observe_n(0.0, u64::MAX - 1);
        elsewhere.1.add((1 << 53) + 1);
    })
    .join()
    .unwrap();
    histogram.observe(0.0);
    open.sub(1 << 53);
    assert_eq!(histogram.get().counts[0], u64::MAX);
    assert_eq!(open.get(), 1, "2^53 + 1 has no f64");
    // Rises and falls may each wrap; their difference stays right.
    open.add(u64::MAX);
    open.add(3);
    assert_eq!(open.get(), 3);
}
