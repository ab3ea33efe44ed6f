//! Summaries: quantiles within the documented error, the window in the time of scrapes, and no count lost among threads.

use dynamo_metrics_core::{
    Kind, Opts, RegisterError, Registry, Snapshot, Summary, SummaryOpts, SummaryValue,
    error::SummaryError, limits::OPERATOR_LABEL_VALUE_BYTES_MAX, snapshot::Value,
};
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

fn summary(registry: &Registry, opts: &SummaryOpts) -> Summary {
    registry.summary(("s", "help"), opts).unwrap()
}

fn value(snapshot: &Snapshot) -> (u64, f64, &[f64]) {
    let family = snapshot.families().find(|family| family.name() == "s").unwrap();
    assert_eq!(family.exposed_type(), "summary");
    match family.parts().next().unwrap().series(0).unwrap().value() {
        Value::Summary { count, sum, quantiles } => (count, sum, quantiles),
        other => panic!("{other:?}"),
    }
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

#[test]
fn special_values_are_treated_as_by_histograms() {
    let registry = Registry::new();
    let summary =
        summary(&registry, &SummaryOpts::new().range(1.0, 100.0).quantiles([0.0, 0.5, 1.0]));
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    let (count, sum, quantiles) = value(&snapshot);
    assert_eq!((count, sum), (0, 0.0));
    assert!(quantiles.len() == 3 && quantiles.iter().all(|q| q.is_nan()), "{quantiles:?}");
    for v in [0.0, -0.0, 0.5, 1e9, f64::NAN, -1.0, f64::INFINITY, f64::NEG_INFINITY] {
        summary.observe(v);
    }
    summary.observe_n(10.0, 5);
    summary.observe_n(10.0, 0);
    assert_eq!(summary.get(), SummaryValue { count: 10, sum: 1e9 + 50.5 });
    snapshot.take(&registry);
    let (count, sum, quantiles) = value(&snapshot);
    assert_eq!((count, sum), (10, 1e9 + 50.5), "exact, though quantiles are of the range");
    assert!((quantiles[0] - 1.0).abs() <= 0.01 && quantiles[2] == 100.0, "{quantiles:?}");
    assert!((quantiles[1] - 10.0).abs() <= 0.1, "{quantiles:?}");
    let name = "dynamo_metrics_rejected_observations_total";
    let help = "Observations that could not be recorded as given.";
    let opts = Opts::new(name, help).label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX);
    let rejected = registry.counter_family(opts, ["family", "reason"]).unwrap();
    assert_eq!(rejected.with(["s", "nan"]).get(), 1);
    assert_eq!(rejected.with(["s", "negative"]).get(), 2);
    assert_eq!(rejected.with(["s", "infinite"]).get(), 1);
}

#[test]
fn counts_beyond_two_to_the_64_neither_panic_nor_bend_the_quantiles() {
    let registry = Registry::new();
    let summary = summary(&registry, &SummaryOpts::new().quantiles([0.0, 0.4, 0.6, 1.0]));
    summary.observe_n(1.0, u64::MAX);
    summary.observe_n(2.0, u64::MAX - 1);
    summary.observe(3.0);
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    let (count, _, quantiles) = value(&snapshot);
    assert_eq!(count, u64::MAX - 1, "modulo 2^64, as every counter");
    for (found, exact) in quantiles.iter().zip([1.0, 1.0, 2.0, 2.0]) {
        assert!((found - exact).abs() <= 0.01 * exact, "{quantiles:?}");
    }
}

#[test]
fn the_window_slides_with_the_scrapes() {
    let registry = Registry::new();
    let opts = SummaryOpts::new().quantiles([1.0]).window(minutes(10)).slices(5);
    let summary = summary(&registry, &opts);
    let mut snapshot = Snapshot::new();
    let mut take = |minute| {
        snapshot.take_at(&registry, minutes(minute));
        let (count, _, quantiles) = value(&snapshot);
        (count, quantiles[0].round())
    };
    assert_eq!(take(100).0, 0);
    // One large value, then a smaller one each minute: the maximum tells how far back the window reaches.
    for minute in 101..140u64 {
        summary.observe((1000 - minute) as f64);
        let (count, max) = take(minute);
        assert_eq!(count, minute - 100);
        // Values before scrape m were observed in minute m.
        let oldest = 1000 - max as u64;
        if minute > 112 {
            let reach = minute - oldest;
            // With two digits the error of 900 is at most 9.
            assert!((0..=10 + 9).contains(&reach), "minute {minute} reaches {reach} back");
        }
    }
    take(141); // Cuts, so that nothing old is in the open slice.
    assert!(take(150).1.is_nan(), "everything has left");
    summary.observe(5.0);
    assert_eq!(
        take(500),
        (40, 5.0),
        "a scrape later than the window covers all since the one before"
    );
    assert!(take(520).1.is_nan());
    // A clock that is set back neither stops the window nor panics.
    summary.observe(7.0);
    assert_eq!(take(50), (41, 7.0));
    summary.observe(6.0);
    assert_eq!(take(52), (42, 7.0));
    assert!(take(90).1.is_nan());
}

#[test]
fn a_slice_leaves_the_window_exactly_on_time() {
    let registry = Registry::new();
    let opts = SummaryOpts::new().quantiles([1.0]).window(minutes(10)).slices(5);
    let summary = summary(&registry, &opts);
    let (mut snapshot, mut other) = (Snapshot::new(), Snapshot::new());
    snapshot.take_at(&registry, minutes(0));
    summary.observe(3.0);
    snapshot.take_at(&registry, minutes(2)); // Closes the slice 0..2.
    summary.observe(2.0);
    for (minute, max) in [(2, 3.0), (4, 3.0), (10, 3.0), (11, 2.0), (12, 2.0)] {
        other.take_at(&registry, minutes(minute));
        assert!((value(&other).2[0] - max).abs() <= 0.03, "minute {minute}: {:?}", value(&other));
    }
}

#[test]
fn without_a_time_the_quantiles_cover_all_observations() {
    let registry = Registry::new();
    let opts = SummaryOpts::new().quantiles([0.5]);
    summary(&registry, &opts).observe(2.0);
    let mut snapshot = Snapshot::new();
    for _ in 0..3 {
        snapshot.take(&registry);
        assert!((value(&snapshot).2[0] - 2.0).abs() <= 0.02);
    }
    static NOW: AtomicU64 = AtomicU64::new(0);
    let registry = Registry::with_clock(|| minutes(NOW.load(Ordering::Relaxed)));
    summary(&registry, &opts).observe(2.0);
    snapshot.take(&registry);
    assert!(!value(&snapshot).2[0].is_nan());
    for minute in [11, 22] {
        NOW.store(minute, Ordering::Relaxed);
        snapshot.take(&registry);
    }
    assert!(value(&snapshot).2[0].is_nan());
    assert_eq!(value(&snapshot).0, 1);
}

#[test]
fn conflicting_and_invalid_registrations_are_refused_by_name() {
    let registry = Registry::new();
    let new = SummaryOpts::new;
    summary(&registry, &new());
    summary(&registry, &new());
    for other in [
        new().quantiles([0.5]),
        new().window(minutes(1)),
        new().slices(2),
        new().range(1.0, 2.0),
        new().digits(1),
    ] {
        let error = registry.summary(("s", "help"), &other).unwrap_err();
        assert!(
            matches!(error, RegisterError::Conflict { what: "summary options", .. }),
            "{error}"
        );
    }
    let source = |opts: SummaryOpts| match registry.summary(("t", ""), &opts).unwrap_err() {
        RegisterError::Summary { source, .. } => source,
        other => panic!("{other}"),
    };
    assert!(matches!(source(new().quantiles([1.1])), SummaryError::Quantile { .. }));
    assert!(matches!(source(new().quantiles([f64::NAN])), SummaryError::Quantile { .. }));
    assert!(matches!(source(new().quantiles([0.5, 0.5])), SummaryError::NotIncreasing { .. }));
    assert!(matches!(source(new().quantiles([0.5; 33])), SummaryError::TooMany { .. }));
    for short in [Duration::ZERO, Duration::from_nanos(10), Duration::from_micros(4999)] {
        assert!(matches!(source(new().window(short)), SummaryError::Window { .. }), "{short:?}");
    }
    assert!(matches!(source(new().slices(0)), SummaryError::Window { .. }));
    assert!(matches!(source(new().slices(65)), SummaryError::Window { .. }));
    assert!(matches!(source(new().digits(0)), SummaryError::Digits { .. }));
    assert!(matches!(source(new().digits(4)), SummaryError::Digits { .. }));
    for (min, max) in [(0.0, 1.0), (2.0, 1.0), (5e-324, 1.0), (1.0, f64::INFINITY), (1e-10, 1e10)] {
        assert!(matches!(source(new().range(min, max)), SummaryError::Range { .. }), "{min} {max}");
    }
    let exemplars = Opts::new("t", "").exemplars();
    let error = registry.summary(exemplars, &new()).unwrap_err();
    assert!(matches!(error, RegisterError::Unsupported { .. }), "{error}");
    for taken in ["s_sum", "s_count", "s_created"] {
        let error = registry.gauge((taken, "")).unwrap_err();
        assert!(matches!(error, RegisterError::SuffixClash { .. }), "{error}");
    }
    assert!(registry.gauge(("s_bucket", "")).is_ok());
    assert_eq!(Kind::Summary.exposed(), "summary");
    assert!(registry.summary(("empty", ""), &new().quantiles([])).is_ok(), "count and sum alone");
}

#[test]
fn extreme_times_neither_panic_nor_add_slices_without_bound() {
    for window in [Duration::from_millis(5), minutes(10), Duration::MAX] {
        let registry = Registry::new();
        let summary = summary(&registry, &SummaryOpts::new().window(window));
        let mut snapshot = Snapshot::new();
        let (zero, max) = (Duration::ZERO, Duration::MAX);
        for now in [zero, minutes(1), max, max, max, zero, max, max, zero] {
            summary.observe(1.0);
            snapshot.take_at(&registry, now);
            assert!(value(&snapshot).2.iter().all(|q| (q - 1.0).abs() <= 0.01), "{now:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn quantiles_are_within_the_promised_digits(
        digits in 1..=3u8,
        edges in (-18.0..0.0f64, 0.1..18.0f64),
        exponents in proptest::collection::vec(0.0..=1.0f64, 1..300),
    ) {
        let quantiles = [0.0, 0.1, 0.5, 0.9, 0.99, 1.0];
        let registry = Registry::new();
        let (min, max) = (edges.0.exp2(), edges.1.exp2());
        let opts = SummaryOpts::new().quantiles(quantiles).range(min, max).digits(digits);
        let summary = summary(&registry, &opts);
        let mut values: Vec<f64> =
            exponents.iter().map(|at| (min * (max / min).powf(*at)).clamp(min, max)).collect();
        values.iter().for_each(|v| summary.observe(*v));
        values.sort_by(f64::total_cmp);
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        for (quantile, found) in quantiles.iter().zip(value(&snapshot).2) {
            // hdrhistogram's definition: the smallest value that at least so many values do not exceed.
            let rank = ((quantile * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1];
            let error = (found - exact).abs() / exact;
            prop_assert!(error <= 10f64.powi(-i32::from(digits)), "{} instead of {}", found, exact);
        }
    }
}

/// Threads record while two scrapers close slices: count and sum never decrease, no scrape misses an observation that was
/// in the window for certain, and in the end all are counted.
#[test]
fn no_count_is_lost_between_recordings_and_closed_slices() {
    const THREADS: u64 = 4;
    const EACH: u64 = 3_000_000;
    let registry = Registry::new();
    let opts =
        SummaryOpts::new().quantiles([0.0, 1.0]).range(1.0, 64.0).window(Duration::from_millis(50));
    let summary = summary(&registry, &opts);
    let (done, ticks) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let scrape = || {
            let mut snapshot = Snapshot::new();
            let mut last = (0, 0.0);
            while !done.load(Ordering::Acquire) {
                let now = Duration::from_millis(ticks.fetch_add(1, Ordering::Relaxed));
                snapshot.take_at(&registry, now);
                let (count, sum, quantiles) = value(&snapshot);
                assert!(count >= last.0 && sum >= last.1, "{count} {sum} after {last:?}");
                assert!(sum <= 64.0 * count as f64, "the sum is ahead of the count");
                // A stale total would make a cell wrap, and so show a value that was never recorded.
                for quantile in quantiles.iter().filter(|q| !q.is_nan()) {
                    assert!((15.0..=33.0).contains(quantile), "{quantile}");
                }
                last = (count, sum);
            }
        };
        let scrapers = [scope.spawn(scrape), scope.spawn(scrape)];
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let summary = &summary;
                scope.spawn(move || {
                    (0..EACH).for_each(|i| summary.observe(((thread + i) % 17 + 16) as f64));
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
        scrapers.into_iter().for_each(|scraper| scraper.join().unwrap());
    });
    let exact: u64 = (0..THREADS).flat_map(|t| (0..EACH).map(move |i| (t + i) % 17 + 16)).sum();
    assert_eq!(summary.get(), SummaryValue { count: THREADS * EACH, sum: exact as f64 });
}
