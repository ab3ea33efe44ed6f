//! Native histograms: what is counted where, what a scrape shows of it, and that nothing is lost or invented while
//! threads record, scrapes merge buckets and resets cut the past off.

use dynamo_metrics_core::{
    Exemplar, Kind, NativeBuckets, NativeHistogram, Opts, RegisterError, Registry, Snapshot,
    error::NativeBucketsError,
    limits::OPERATOR_LABEL_VALUE_BYTES_MAX,
    snapshot::{NativeValue, Value},
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn native(registry: &Registry, buckets: &NativeBuckets) -> NativeHistogram {
    registry.native_histogram(("n", "help"), buckets).unwrap()
}

fn value(snapshot: &Snapshot) -> NativeValue<'_> {
    let family = snapshot.families().find(|family| family.name() == "n").unwrap();
    assert_eq!(family.exposed_type(), "histogram");
    match family.parts().next().unwrap().series(0).unwrap().value() {
        Value::Native(value) => {
            check(&value);
            value
        }
        other => panic!("{other:?}"),
    }
}

/// Checks the rules that receivers enforce.
fn check(value: &NativeValue<'_>) {
    let total = |counts: &[u64]| counts.iter().sum::<u64>();
    let sides = [value.positive, value.negative];
    let buckets: u64 = sides.iter().map(|side| total(side.counts) + side.overflow).sum();
    assert_eq!(value.count, buckets + value.zero_count, "the count is the sum of the buckets");
    assert_eq!(value.count, total(value.classic), "in the classic form too");
    assert!((-4..=8).contains(&value.schema));
    for side in sides {
        assert_ne!(side.counts.first(), Some(&0), "empty ends are trimmed");
        assert_ne!(side.counts.last(), Some(&0), "empty ends are trimmed");
        let mut last = i32::MIN;
        for (index, count) in side.populated() {
            assert!(index > last && count > 0);
            last = index;
        }
    }
}

fn rejected(registry: &Registry, reason: &str) -> u64 {
    let name = "dynamo_metrics_rejected_observations_total";
    let help = "Observations that could not be recorded as given.";
    let opts = Opts::new(name, help).label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX);
    registry.counter_family(opts, ["family", "reason"]).unwrap().with(["n", reason]).get()
}

#[test]
fn odd_values_are_counted_where_the_documentation_says() {
    let registry = Registry::new();
    let histogram = native(&registry, &NativeBuckets::new().schema(0).range(0.25, 16.0));
    for v in [0.0, -0.0, 5e-324, 0.25, 0.25f64.next_up(), 16.0, 16f64.next_up(), f64::MAX] {
        histogram.observe(v);
    }
    histogram.observe(f64::INFINITY);
    histogram.observe_n(f64::MAX, 2); // Two of them are infinite, each is not.
    histogram.observe(f64::NAN);
    histogram.observe(-1.0);
    histogram.observe(f64::NEG_INFINITY);
    histogram.observe_n(1.0, 0);
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    let value = value(&snapshot);
    assert_eq!((value.schema, value.zero_threshold, value.zero_count), (0, 0.25, 4));
    assert_eq!(value.positive.populated().collect::<Vec<_>>(), [(-1, 1), (4, 1), (1025, 5)]);
    assert_eq!((value.positive.first, value.positive.counts), (-1, &[1, 0, 0, 0, 0, 1][..]));
    assert_eq!((value.negative.first, value.negative.counts), (0, &[][..]));
    assert_eq!(value.sum, f64::MAX);
    assert_eq!(value.count, 11);
    assert_eq!(value.start, None);
    assert_eq!(rejected(&registry, "nan"), 1);
    assert_eq!(rejected(&registry, "negative"), 2);
    assert_eq!(rejected(&registry, "infinite"), 3);
}

#[test]
fn negative_values_have_buckets_of_their_own_when_asked_for() {
    let registry = Registry::new();
    let buckets = NativeBuckets::new().schema(1).range(0.5, 8.0).signed().classic([1.0, 4.0]);
    let histogram = native(&registry, &buckets);
    for v in [-3.0, -3.0, 3.0, -0.25, -1e9, f64::NEG_INFINITY, 0.75, f64::INFINITY] {
        histogram.observe(v);
    }
    let get = histogram.get();
    assert_eq!(get.positive, [(0, 1), (4, 1), (2049, 1)]);
    assert_eq!(get.negative, [(4, 2), (2049, 2)]);
    assert_eq!(get.zero_count, 1);
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    let value = value(&snapshot);
    assert_eq!(value.negative.populated().collect::<Vec<_>>(), get.negative);
    assert_eq!(value.positive.populated().collect::<Vec<_>>(), get.positive);
    assert_eq!(value.classic, [6, 1, 1], "what is negative is below every classic bound");
    assert_eq!(value.sum, -3.0 - 3.0 + 3.0 - 0.25 - 1e9 + 0.75);
    assert_eq!(rejected(&registry, "infinite"), 2);
}

#[test]
fn buckets_are_merged_until_they_fit() {
    let registry = Registry::new();
    let buckets = NativeBuckets::new().schema(2).range(2f64.powi(-9), 512.0).max_buckets(6);
    let histogram = native(&registry, &buckets);
    let mut snapshot = Snapshot::new();
    let mut schemas = Vec::new();
    for exponent in -8..8 {
        histogram.observe(2f64.powi(exponent));
        snapshot.take(&registry);
        schemas.push(value(&snapshot).schema);
    }
    assert!(schemas.is_sorted_by(|a, b| a >= b), "{schemas:?}");
    assert_eq!((schemas[5], schemas[6]), (2, -1), "seven powers of two do not fit at 2, 1 or 0");
    let value = value(&snapshot);
    // Bucket i of schema -2 is (16^(i-1), 16^i]: -8 is alone in its bucket, then four by four.
    assert_eq!(value.schema, -2);
    assert_eq!(
        value.positive.populated().collect::<Vec<_>>(),
        [(-2, 1), (-1, 4), (0, 4), (1, 4), (2, 3)]
    );
    assert_eq!(histogram.get().positive.len(), 16, "the cells keep the resolution");

    // One bucket of 16 octaves a bound is as coarse as it gets, whatever the limit.
    let coarse = Registry::new();
    let histogram = native(&coarse, &NativeBuckets::new().max_buckets(1));
    [1e-9, 1e-3, 1e3, 1e9, 1e300].into_iter().for_each(|v| histogram.observe(v));
    snapshot.take(&coarse);
    let value = self::value(&snapshot);
    assert_eq!((value.schema, value.positive.overflow_index), (-4, 65));
    assert_eq!(
        value.positive.populated().collect::<Vec<_>>(),
        [(-1, 1), (0, 1), (1, 1), (2, 1), (65, 1)]
    );
}

#[test]
fn a_reset_loses_nothing_and_wins_the_resolution_back() {
    let registry = Registry::new();
    let buckets = NativeBuckets::new().max_buckets(2).min_reset(Duration::from_secs(60));
    let histogram = native(&registry, &buckets);
    let at = Duration::from_secs;
    let (mut snapshot, mut other) = (Snapshot::new(), Snapshot::new());
    let mut take = |seconds| {
        snapshot.take_at(&registry, at(seconds));
        let value = value(&snapshot);
        (value.schema, value.count, value.sum, value.start)
    };
    for v in [1.0, 2.0, 4.0, 8.0] {
        histogram.observe(v);
    }
    let merged = take(1000);
    assert_eq!((merged.1, merged.2, merged.3), (4, 15.0, None));
    assert!(merged.0 < 3);
    assert_eq!(take(1059), merged, "not yet");
    histogram.observe(1.0);
    assert_eq!(take(1060), (merged.0, 5, 16.0, None), "the last scrape before the reset has all");
    assert_eq!(take(1061), (3, 0, 0.0, Some(at(1060))));
    histogram.observe(32.0);
    assert_eq!(take(1062), (3, 1, 32.0, Some(at(1060))));
    other.take_at(&registry, at(1063));
    assert_eq!(value(&other).count, 1, "the reset is the series', not the scraper's");
    other.take(&registry);
    assert_eq!(value(&other).count, 1, "and holds without a time");
    // Within the limit nothing is reset, however long it takes.
    assert_eq!(take(10_000), (3, 1, 32.0, Some(at(1060))));
    [1.0, 2.0, 4.0].into_iter().for_each(|v| histogram.observe(v));
    let merged = take(10_001);
    assert_eq!((merged.1, merged.2, merged.3), (4, 39.0, Some(at(1060))));
    assert_eq!(take(10_002), (3, 0, 0.0, Some(at(10_001))));
    assert_eq!(histogram.get().positive.iter().map(|(_, count)| count).sum::<u64>(), 9);
}

#[test]
fn a_reset_takes_exemplars_along() {
    let registry = Registry::new();
    let buckets = NativeBuckets::new().max_buckets(1).min_reset(Duration::ZERO).classic([1.0, 2.0]);
    let histogram = registry.native_histogram(Opts::new("n", "").exemplars(), &buckets).unwrap();
    let exemplar = Exemplar::new("t").unwrap();
    [1.0, 2.0].into_iter().for_each(|v| histogram.observe_with_exemplar(v, &exemplar));
    let mut snapshot = Snapshot::new();
    let mut take = |seconds| {
        snapshot.take_at(&registry, Duration::from_secs(seconds));
        let part = snapshot.families().find(|f| f.name() == "n").unwrap().parts().next().unwrap();
        let series = part.series(0).unwrap();
        [0, 1, 2].map(|slot| series.exemplar(slot).map(|seen| seen.value))
    };
    assert_eq!(take(10), [Some(1.0), Some(2.0), None]);
    assert_eq!(take(11), [None, None, None], "nothing is counted that they could stand for");
    histogram.observe(1.0);
    assert_eq!(take(12), [None, None, None], "the observations since then have no exemplar");
    histogram.observe_with_exemplar(1.5, &exemplar);
    assert_eq!(take(13), [None, Some(1.5), None]);
}

#[test]
fn registrations_that_differ_collide_and_bad_ones_are_named() {
    let registry = Registry::new();
    let new = NativeBuckets::new;
    native(&registry, &new().factor(1.1));
    native(&registry, &new().schema(3)).observe(1.0);
    let ask = |buckets: NativeBuckets| registry.native_histogram(("n", "help"), &buckets);
    for other in [
        new().schema(4),
        new().range(1.0, 2.0),
        new().signed(),
        new().max_buckets(10),
        new().min_reset(Duration::ZERO),
    ] {
        let error = ask(other).unwrap_err();
        assert!(
            matches!(error, RegisterError::Conflict { what, .. } if what.contains("bucket")),
            "{error}"
        );
    }
    let error = ask(new().classic([1.0])).unwrap_err();
    assert!(matches!(error, RegisterError::Conflict { what: "bucket bounds", .. }), "{error}");
    let error = registry.native_histogram(("m", ""), &new().classic([3.0])).unwrap_err();
    let RegisterError::Native { source: NativeBucketsError::OffGrid { nearest, .. }, .. } = error
    else {
        panic!("{error}")
    };
    assert!(registry.native_histogram(("m", ""), &new().classic([nearest])).is_ok());
    for taken in ["n_bucket", "n_sum", "n_count", "n_created"] {
        let error = registry.gauge((taken, "")).unwrap_err();
        assert!(matches!(error, RegisterError::SuffixClash { .. }), "{error}");
    }
    assert_eq!(Kind::NativeHistogram.exposed(), "histogram");
}

#[test]
fn families_clocks_and_exemplars_work_as_with_classic_histograms() {
    let registry = Registry::with_clock(|| Duration::from_secs(7));
    let opts = Opts::new("n", "").exemplars();
    let family = registry
        .native_histogram_family(opts, ["model"], &NativeBuckets::new().classic([1.0]))
        .unwrap();
    family.with(["a"]).observe(0.5);
    family.visit(["b"], |b| b.observe_with_exemplar(2.0, &Exemplar::new("t").unwrap()));
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    let part = snapshot.families().find(|f| f.name() == "n").unwrap().parts().next().unwrap();
    assert_eq!(part.descriptor().buckets().unwrap().bounds(), [1.0]);
    let b = part.series(1).unwrap();
    assert_eq!(b.created(), Some(Duration::from_secs(7)));
    assert_eq!(b.exemplar(0), None);
    assert_eq!(b.exemplar(1).unwrap().value, 2.0);
    let sums: Vec<f64> = part
        .values()
        .map(|value| match value {
            Value::Native(value) => value.sum,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sums, [0.5, 2.0]);
    assert!(family.remove(["a"]));
    assert_eq!(family.with(["a"]).get().positive, []);
}

fn merged(full: &[(i32, u64)], steps: u32) -> Vec<(i32, u64)> {
    let mut by_index = BTreeMap::new();
    for &(index, count) in full {
        // The format's rule, applied again and again, and not the code's arithmetic.
        let index = (0..steps).fold(index, |index, _| (f64::from(index) / 2.0).ceil() as i32);
        *by_index.entry(index).or_default() += count;
    }
    by_index.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_shown_is_what_was_counted_merged_by_the_formats_rule(
        schema in -4..=8i8,
        max in 1..20u32,
        exponents in (-20..0i32, 1..20i32),
        values in proptest::collection::vec((-25.0..25.0f64, any::<bool>()), 1..100),
    ) {
        let registry = Registry::new();
        let (min, end) = (2f64.powi(exponents.0), 2f64.powi(exponents.1));
        let buckets = NativeBuckets::new().schema(schema).range(min, end).signed().max_buckets(max);
        let histogram = native(&registry, &buckets);
        for &(exponent, negative) in &values {
            let v = exponent.exp2();
            histogram.observe(if negative { -v } else { v });
        }
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        let (shown, full) = (value(&snapshot), histogram.get());
        prop_assert_eq!(shown.count, values.len() as u64);
        prop_assert_eq!(shown.zero_count, full.zero_count);
        let steps = (schema - shown.schema) as u32;
        prop_assert_eq!(shown.positive.populated().collect::<Vec<_>>(), merged(&full.positive, steps));
        prop_assert_eq!(shown.negative.populated().collect::<Vec<_>>(), merged(&full.negative, steps));
        let shown_buckets = shown.positive.populated().count() + shown.negative.populated().count();
        prop_assert!(shown_buckets <= max as usize || shown.schema == -4);
        if steps > 0 {
            let finer = merged(&full.positive, steps - 1).len() + merged(&full.negative, steps - 1).len();
            prop_assert!(finer > max as usize, "no coarser than needed");
        }
    }

    #[test]
    fn the_classic_form_counts_what_a_classic_histogram_counts(
        schema in -4..=6i8, values in proptest::collection::vec(1e-6..1e6f64, 1..50)
    ) {
        let registry = Registry::new();
        let buckets = NativeBuckets::new().schema(schema).range(1e-4, 1e4);
        let histogram = native(&registry, &buckets);
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        let part = snapshot.families().find(|f| f.name() == "n").unwrap().parts().next().unwrap();
        let bounds = part.descriptor().buckets().unwrap().clone();
        let classic = registry.histogram(("c", ""), &bounds).unwrap();
        for v in values.iter().chain(bounds.bounds()) {
            for v in [v.next_down(), *v, v.next_up()] {
                classic.observe(v);
                histogram.observe(v);
            }
        }
        snapshot.take(&registry);
        prop_assert_eq!(value(&snapshot).classic, classic.get().counts);
    }
}

/// Threads record small whole values while two scrapers merge and reset. Every scrape is consistent; between resets
/// nothing falls; and what all resets cut off plus what is left is what was recorded.
#[test]
fn nothing_is_lost_between_recordings_scrapes_and_resets() {
    const THREADS: u64 = 4;
    const EACH: u64 = 3_000_000;
    let registry = Registry::new();
    let buckets = NativeBuckets::new().range(0.5, 64.0).max_buckets(4).min_reset(Duration::ZERO);
    let histogram = native(&registry, &buckets);
    let done = AtomicBool::new(false);
    let ticks = std::sync::atomic::AtomicU64::new(1);
    // The last that each era showed, by whichever scraper saw most of it.
    let eras = parking_lot::Mutex::new(BTreeMap::<Option<Duration>, (u64, f64)>::new());
    thread::scope(|scope| {
        let scrape = || {
            let mut snapshot = Snapshot::new();
            let mut last = (None, 0, 0.0);
            loop {
                let finished = done.load(Ordering::Acquire);
                let now = Duration::from_millis(ticks.fetch_add(1, Ordering::Relaxed));
                snapshot.take_at(&registry, now);
                let value = value(&snapshot);
                // A reset keeps sum and cells as they were read, the sum a little earlier: see native/scrape.rs.
                let ahead = value.sum > 64.0 * value.count as f64;
                assert!(!ahead || value.start.is_some(), "the sum is ahead: {value:?}");
                assert!(value.sum >= 0.0);
                if value.start == last.0 {
                    assert!(
                        value.count >= last.1 && value.sum >= last.2,
                        "{value:?} after {last:?}"
                    );
                }
                last = (value.start, value.count, value.sum);
                let mut eras = eras.lock();
                let era = eras.entry(value.start).or_insert((0, 0.0));
                *era = (era.0.max(value.count), era.1.max(value.sum));
                if finished {
                    break;
                }
            }
        };
        let scrapers = [scope.spawn(scrape), scope.spawn(scrape)];
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let histogram = &histogram;
                scope.spawn(move || {
                    for i in 0..EACH {
                        histogram.observe(((thread + i) % 64 + 1) as f64);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
        scrapers.into_iter().for_each(|scraper| scraper.join().unwrap());
    });
    let eras = eras.into_inner();
    let total = eras.values().fold((0, 0.0), |sum, era| (sum.0 + era.0, sum.1 + era.1));
    assert_eq!(total.0, THREADS * EACH, "over {} eras", eras.len());
    let exact: u64 = (0..THREADS).flat_map(|t| (0..EACH).map(move |i| (t + i) % 64 + 1)).sum();
    assert_eq!(total.1, exact as f64);
    assert!(eras.len() > 1, "the limit was exceeded, so there were resets");
}
