//! Exemplars: the families that keep them, the one that is kept, and the ones that a scrape sees.

use dynamo_metrics_core::{
    Buckets, Counter, Exemplar, Opts, RegisterError, Registry, Snapshot,
    exemplar::ExemplarValue,
    snapshot::{SeriesSnapshot, Value},
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

fn trace(id: &str) -> Exemplar {
    Exemplar::new(id).unwrap()
}

fn series<'a>(snapshot: &'a Snapshot, name: &str, at: usize) -> SeriesSnapshot<'a> {
    let family = snapshot.families().find(|family| family.name() == name).unwrap();
    family.parts().next().unwrap().series(at).unwrap()
}

fn exemplar(registry: &Registry, name: &str, slot: usize) -> Option<ExemplarValue> {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    series(&snapshot, name, 0).exemplar(slot)
}

#[test]
fn a_counter_keeps_its_newest_exemplar() {
    let registry = Registry::new();
    let counter = registry.counter(Opts::new("c_total", "").exemplars()).unwrap();
    assert_eq!(exemplar(&registry, "c_total", 0), None);
    counter.inc_with_exemplar(&trace("first"));
    counter.inc();
    assert_eq!(exemplar(&registry, "c_total", 0).unwrap().trace_id(), "first");
    counter.add_with_exemplar(5, &trace("second").span_id("span").unwrap());
    let seen = exemplar(&registry, "c_total", 0).unwrap();
    assert_eq!((seen.trace_id(), seen.span_id(), seen.value), ("second", Some("span"), 5.0));
    assert_eq!((counter.get(), seen.timestamp), (7, None), "no clock, no time");
    counter.inc_with_exemplar(&trace("3"));
    assert_eq!(exemplar(&registry, "c_total", 0).unwrap().span_id(), None, "nothing is left over");
    assert_eq!(exemplar(&registry, "c_total", 1), None);
    assert_eq!(exemplar(&registry, "c_total", usize::MAX), None);

    let float = registry.float_counter(Opts::new("f_total", "").exemplars()).unwrap();
    float.add_with_exemplar(0.5, &trace("t"));
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        float.add_with_exemplar(bad, &trace("bad"));
    }
    let seen = exemplar(&registry, "f_total", 0).unwrap();
    assert_eq!((seen.trace_id(), seen.value, float.get()), ("t", 0.5, 0.5));
}

#[test]
fn each_bucket_keeps_an_exemplar_with_a_value_in_its_bounds() {
    let registry = Registry::new();
    let bounds = [0.5, 1.0, 2.0];
    let buckets = Buckets::new(bounds).unwrap();
    let histogram = registry.histogram(Opts::new("h", "").exemplars(), &buckets).unwrap();
    for v in [1.0, 1.5, 2.0, 1e300, 0.0, -0.0, 0.500_000_1] {
        histogram.observe_with_exemplar(v, &trace("t"));
    }
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        histogram.observe_with_exemplar(odd, &trace("odd"));
    }
    let seen: Vec<_> = (0..4).map(|slot| exemplar(&registry, "h", slot).unwrap()).collect();
    assert!(seen.iter().all(|seen| seen.trace_id() == "t"), "what is not counted leaves none");
    assert_eq!(
        seen.iter().map(|seen| seen.value).collect::<Vec<_>>(),
        [0.0, 0.5000001, 2.0, 1e300]
    );
    assert_eq!(exemplar(&registry, "h", 4), None);
    assert_eq!(histogram.get().counts, [2, 2, 2, 2], "counted with and without");

    let signed = Buckets::new([-1.0, 1.0]).unwrap();
    let signed = registry.histogram(Opts::new("s", "").exemplars(), &signed).unwrap();
    signed.observe_with_exemplar(-2.0, &trace("t"));
    assert_eq!(exemplar(&registry, "s", 0).unwrap().value, -2.0);
    assert_eq!(exemplar(&registry, "s", 1), None);
}

#[test]
fn only_families_that_opted_in_keep_exemplars() {
    let registry = Registry::new();
    let counter = registry.counter(("c_total", "")).unwrap();
    let histogram = registry.histogram(("h", ""), &Buckets::new([1.0]).unwrap()).unwrap();
    counter.inc_with_exemplar(&trace("t"));
    histogram.observe_with_exemplar(0.5, &trace("t"));
    assert_eq!((counter.get(), histogram.get().counts[0]), (1, 1), "recorded all the same");
    assert_eq!(exemplar(&registry, "c_total", 0), None);
    assert_eq!(exemplar(&registry, "h", 0), None);
    let error = registry.counter(Opts::new("c_total", "").exemplars()).unwrap_err();
    assert!(matches!(error, RegisterError::Conflict { what: "exemplar setting", .. }), "{error}");
    let opts = || Opts::new("x_info", "").exemplars();
    for error in [
        registry.gauge(opts()).unwrap_err(),
        registry.up_down_counter(opts()).unwrap_err(),
        registry.info(opts(), &[]).unwrap_err(),
        registry.state_set(opts(), &["a"]).unwrap_err(),
        registry.counter_callback(opts(), || 1).unwrap_err(),
        registry.gauge_callback(opts(), || 1.0).unwrap_err(),
    ] {
        assert!(matches!(error, RegisterError::Unsupported { what: "exemplars", .. }), "{error}");
        assert!(error.to_string().contains("x_info"), "{error}");
    }
}

#[test]
fn the_time_of_an_exemplar_overrides_the_clock() {
    let registry = Registry::with_clock(|| Duration::from_micros(1_234_567_890));
    let counter = registry.counter(Opts::new("c_total", "").exemplars()).unwrap();
    counter.inc_with_exemplar(&trace("t"));
    let timestamp = || exemplar(&registry, "c_total", 0).unwrap().timestamp;
    assert_eq!(timestamp(), Some(Duration::from_millis(1_234_567)));
    counter.inc_with_exemplar(&trace("t").at(Duration::from_millis(5)));
    assert_eq!(timestamp(), Some(Duration::from_millis(5)));
}

#[test]
fn exemplars_stay_with_their_series() {
    let registry = Registry::new();
    let opts = Opts::new("h", "").exemplars();
    let buckets = Buckets::new([1.0]).unwrap();
    let family = registry.histogram_family(opts, ["model"], &buckets).unwrap();
    for model in ["a", "b", "c"] {
        family.with([model]).observe_with_exemplar(2.0, &trace(model));
    }
    let mut snapshot = Snapshot::new();
    let mut rows = || -> Vec<(String, Option<String>)> {
        snapshot.take(&registry);
        let row = |at| {
            let series = series(&snapshot, "h", at);
            let seen = series.exemplar(1).map(|seen| seen.trace_id().to_string());
            assert_eq!(series.exemplar(0), None);
            (series.label_values().next().unwrap().to_string(), seen)
        };
        (0..family.len()).map(row).collect()
    };
    let own = |model: &str| (model.to_string(), Some(model.to_string()));
    assert_eq!(rows(), [own("a"), own("b"), own("c")]);
    assert!(family.remove(["a"]));
    assert_eq!(rows(), [own("c"), own("b")]);
    family.with(["a"]);
    assert_eq!(rows(), [own("c"), own("b"), ("a".into(), None)], "begins anew, without one");
}

#[test]
fn a_snapshot_returns_the_same_exemplar_each_time() {
    let registry = Registry::new();
    let counter = registry.counter(Opts::new("c_total", "").exemplars()).unwrap();
    counter.inc_with_exemplar(&trace("before"));
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    counter.inc_with_exemplar(&trace("after"));
    assert_eq!(series(&snapshot, "c_total", 0).exemplar(0).unwrap().trace_id(), "before");
    snapshot.take(&registry);
    assert_eq!(series(&snapshot, "c_total", 0).exemplar(0).unwrap().trace_id(), "after");
}

#[test]
fn a_recording_counts_before_it_stores_the_exemplar() {
    // The clock returns the count at the instant at which the exemplar's time is read.
    let counted = Arc::new(OnceLock::<Counter>::new());
    let clock = {
        let counted = Arc::clone(&counted);
        move || Duration::from_millis(counted.get().map_or(0, Counter::get))
    };
    let registry = Registry::with_clock(clock);
    let counter = registry.counter(Opts::new("c_total", "").exemplars()).unwrap();
    counted.set(counter.clone()).unwrap();
    for n in [1, 10, 100] {
        counter.add_with_exemplar(n, &trace("t"));
        let seen = exemplar(&registry, "c_total", 0).unwrap();
        assert_eq!(seen.timestamp, Some(Duration::from_millis(counter.get())));
    }
}

/// Scrapes while `work` repeats, until enough exemplars were seen or a minute has passed.
fn scrape_beside(
    registry: &Registry,
    look: impl Fn(SeriesSnapshot<'_>, ExemplarValue) + Sync,
    work: impl Fn(),
) {
    const ENOUGH: u64 = 50_000;
    const PATIENCE: Duration = Duration::from_secs(60);
    let (done, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut snapshot = Snapshot::new();
            while !done.load(Ordering::Relaxed) {
                snapshot.take(registry);
                let family = snapshot.families().find(|family| family.name() == "c_total").unwrap();
                let series = family.parts().next().unwrap().series(0);
                let Some(series) = series else { continue };
                let Some(exemplar) = series.exemplar(0) else { continue };
                look(series, exemplar);
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
        let start = Instant::now();
        let enough = || seen.load(Ordering::Relaxed) >= ENOUGH || scraper.is_finished();
        while !enough() && start.elapsed() < PATIENCE {
            work();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(seen.into_inner() >= ENOUGH, "scrapes see exemplars");
}

/// Trace, span, value and time of each exemplar encode the same number, so a mixture of two would show.
#[test]
fn scrapes_see_only_whole_exemplars() {
    const ROUNDS: usize = 100_000;
    let registry = Registry::new();
    let counter = registry.counter(Opts::new("c_total", "").exemplars()).unwrap();
    let of = |n: u64| {
        let exemplar = trace(&format!("{n:032}")).span_id(&format!("{n:016}")).unwrap();
        (n, exemplar.at(Duration::from_millis(n)))
    };
    let whole = |_: SeriesSnapshot<'_>, seen: ExemplarValue| {
        let n = seen.value as u64;
        assert_eq!(seen.trace_id(), format!("{n:032}"));
        assert_eq!(seen.span_id(), Some(&*format!("{n:016}")));
        assert_eq!(seen.timestamp, Some(Duration::from_millis(n)));
    };
    scrape_beside(&registry, whole, || {
        thread::scope(|scope| {
            for own in [[of(1), of(2)], [of(3), of(4)]] {
                let counter = &counter;
                scope.spawn(move || {
                    for (n, exemplar) in own.iter().cycle().take(ROUNDS) {
                        counter.add_with_exemplar(*n, exemplar);
                    }
                });
            }
        });
    });
    let round = ROUNDS as u64 / 2 * (1 + 2 + 3 + 4);
    assert_eq!(counter.get() % round, 0, "an exemplar may be lost to another, an increment is not");
}

/// Each increment is larger than the sum of all before it, so the count tells whether it is included.
#[test]
fn the_value_of_a_scraped_exemplar_is_counted() {
    const ROUNDS: u64 = 1_000;
    let registry = Registry::new();
    let opts = Opts::new("c_total", "").exemplars();
    let family = registry.counter_family(opts, ["round"]).unwrap();
    let counted = |series: SeriesSnapshot<'_>, seen: ExemplarValue| {
        let Value::Unsigned(count) = series.value() else { panic!("a counter") };
        assert!(count >= seen.value as u64, "{} is not in {count}", seen.value);
    };
    scrape_beside(&registry, counted, || {
        for _ in 0..ROUNDS {
            let counter = family.with(["x"]);
            (0..50).for_each(|power| counter.add_with_exemplar(1 << power, &trace("t")));
            assert!(family.remove(["x"]));
        }
    });
}
