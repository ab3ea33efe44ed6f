//! Snapshots: every accessor returns the same values each time, and no value is left from an earlier scrape.

use dynamo_metrics_core::{
    Buckets, Opts, Registry, Snapshot,
    snapshot::{PartSnapshot, Value},
};

fn with_part<R>(
    snapshot: &Snapshot,
    name: &str,
    read: impl FnOnce(PartSnapshot<'_>) -> R,
) -> Option<R> {
    let family = snapshot.families().find(|family| family.name() == name)?;
    family.parts().next().map(read)
}

#[test]
fn a_snapshot_does_not_change_when_gauges_do() {
    let registry = Registry::new();
    let gauge = registry.gauge(("temperature", "")).unwrap();
    gauge.set(1.0);
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    gauge.set(2.0);
    fn read(part: PartSnapshot<'_>) -> (Option<Value<'_>>, Option<f64>) {
        (part.series(0).map(|series| series.value()), part.floats().next())
    }
    let seen = |snapshot: &Snapshot, value| {
        with_part(snapshot, "temperature", |part| {
            assert_eq!(read(part), (Some(Value::Float(value)), Some(value)));
        })
    };
    assert!(seen(&snapshot, 1.0).is_some());
    snapshot.take(&registry);
    assert!(seen(&snapshot, 2.0).is_some());
}

#[test]
fn typed_iterators_agree_with_values_and_are_empty_for_other_kinds() {
    let registry = Registry::new();
    registry.counter(("c_total", "")).unwrap().add(7);
    registry.float_counter(("f_total", "")).unwrap().add(0.5);
    registry.gauge(("g", "")).unwrap().set(-2.5);
    registry.up_down_counter(("u", "")).unwrap().inc();
    registry.histogram(("h", ""), &Buckets::new([1.0]).unwrap()).unwrap().observe(3.0);
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    let mut asked = 0;
    for part in snapshot.families().flat_map(|family| family.parts()) {
        assert_eq!(part.kind(), part.descriptor().kind());
        let by_kind: Vec<Value<'_>> = part
            .counts()
            .map(Value::Unsigned)
            .chain(part.floats().map(Value::Float))
            .chain(part.histograms().map(|(counts, sum)| Value::Histogram { counts, sum }))
            .collect();
        if !by_kind.is_empty() {
            asked += 1;
            assert_eq!(by_kind, part.values().collect::<Vec<_>>(), "{:?}", part.kind());
        }
    }
    assert!(asked >= 4, "{asked} parts");
}

#[test]
fn every_number_of_shards_is_summed_in_every_scrape() {
    const THREADS: usize = 5;
    let mut seen = Vec::new();
    let registry = Registry::new();
    let counter = registry.counter(("c_total", "")).unwrap();
    let sum = registry.float_counter(("f_total", "")).unwrap();
    let mut snapshot = Snapshot::new();
    // All threads are alive at the same time, so each has a shard; other tests of this process have some, too.
    let all_scraped = std::sync::Barrier::new(THREADS + 1);
    let (recorded, was_recorded) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for threads in 1..=THREADS {
            let (counter, sum, all_scraped) = (&counter, &sum, &all_scraped);
            let recorded = recorded.clone();
            scope.spawn(move || {
                counter.inc();
                sum.add(0.25);
                recorded.send(()).unwrap();
                all_scraped.wait();
            });
            was_recorded.recv().unwrap();
            for _ in 0..2 {
                snapshot.take(&registry);
                let count = with_part(&snapshot, "c_total", |part| part.counts().next());
                let sum = with_part(&snapshot, "f_total", |part| part.floats().next());
                seen.push((threads, count.flatten(), sum.flatten()));
            }
        }
        all_scraped.wait();
    });
    let expected = |threads: usize| (threads, Some(threads as u64), Some(threads as f64 / 4.0));
    let expected: Vec<_> =
        (1..=THREADS).flat_map(|threads| [expected(threads), expected(threads)]).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_family_that_changed_between_two_scrapes_is_listed_again() {
    let registry = Registry::new();
    let family =
        registry.counter_family(Opts::new("x_total", "").series_max(2), ["model"]).unwrap();
    let mut snapshot = Snapshot::new();
    let mut listed = || {
        snapshot.take(&registry);
        let read = |part: PartSnapshot<'_>| {
            let label =
                |at| part.series(at).and_then(|s| s.label_values().next()).map(String::from);
            (0..part.len()).filter_map(label).zip(part.counts()).collect::<Vec<_>>()
        };
        with_part(&snapshot, "x_total", read).unwrap()
    };
    let row = |model: &str, count| (model.to_string(), count);
    assert_eq!(listed(), []);
    family.with(["a"]).inc();
    assert_eq!(listed(), [row("a", 1)]);
    family.with(["a"]).inc();
    assert_eq!(listed(), [row("a", 2)]);
    family.with(["b"]).add(3);
    family.with(["c"]).add(4);
    assert_eq!(listed(), [row("a", 2), row("b", 3), row("other", 4)]);
    family.remove(["a"]);
    family.with(["a"]);
    assert_eq!(listed(), [row("other", 4), row("b", 3)]);
    family.clear();
    assert_eq!(listed(), []);
}

#[test]
fn a_sum_of_two_finite_cells_stays_finite() {
    let registry = Registry::new();
    let histogram = registry.histogram(("large", ""), &Buckets::new([1.0]).unwrap()).unwrap();
    // One value in each of the two cells, each of which is finite.
    histogram.observe(f64::MAX);
    histogram.observe(f64::MAX);
    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    let family = snapshot.families().find(|family| family.name() == "large").unwrap();
    let part = family.parts().next().unwrap();
    assert_eq!(
        part.series(0).unwrap().value(),
        Value::Histogram { counts: &[0, 2], sum: f64::MAX.into() }
    );
    assert_eq!(part.histograms().next().unwrap().1, f64::MAX);
}
