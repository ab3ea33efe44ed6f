//! Allocations of recordings, lookups and scrapes, counted by an allocator.

use dynamo_metrics_core::{
    Buckets, Exemplar, NativeBuckets, Opts, Registry, Snapshot, SummaryOpts,
};
use dynamo_metrics_test_support::{Counting, allocations};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn recording_lookups_and_steady_scrapes_allocate_nothing() {
    assert!(allocations(|| drop(std::hint::black_box(Box::new(1)))) > 0, "the allocator counts");

    let registry = Registry::with_clock(|| Duration::from_secs(1));
    let counter = registry.counter(("c_total", "")).unwrap();
    let histogram = registry.histogram(("h", ""), &Buckets::new([1.0, 2.0]).unwrap()).unwrap();
    let gauge = registry.gauge(("g", "")).unwrap();
    let updown = registry.up_down_counter(("u", "")).unwrap();
    let family = registry.counter_family(("f_total", ""), ["model", "endpoint"]).unwrap();
    registry.gauge_callback(("cb", ""), || 1.0).unwrap();
    let buckets = NativeBuckets::new().max_buckets(1).min_reset(Duration::from_secs(3600));
    let native = registry.native_histogram(("n", ""), &buckets).unwrap();
    let summary = registry.summary(("s", ""), &SummaryOpts::new()).unwrap();
    let record = || {
        counter.inc();
        histogram.observe(1.5);
        histogram.observe_n(3.0, 7);
        gauge.set(2.0);
        gauge.add(1.0);
        updown.inc();
        updown.dec();
        family.with(["m", "e"]).inc();
    };
    let exemplar = Exemplar::new("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
    let traced = registry.counter(Opts::new("t_total", "").exemplars()).unwrap();
    let timed = Opts::new("th", "").exemplars();
    let timed = registry.histogram_family(timed, ["model"], &Buckets::new([1.0]).unwrap()).unwrap();
    registry.info(("build_info", ""), &[("version", "1")]).unwrap();
    let health = registry.state_set(("health", ""), &["starting", "ready"]).unwrap();
    let record = || {
        record();
        traced.inc_with_exemplar(&exemplar.span_id("00f067aa0ba902b7").unwrap());
        timed.with(["m"]).observe_with_exemplar(0.5, &exemplar);
        health.only("ready").unwrap();
        native.observe(0.5);
        summary.observe(0.5);
    };
    let capped = Opts::new("capped_total", "").series_max(1);
    let capped = registry.counter_family(capped, ["model", "endpoint"]).unwrap();
    capped.with(["m", "e"]);
    let record = || {
        record();
        capped.with(["beyond", "the cap"]).inc();
        capped.visit(["beyond it", "too"], |counter| counter.inc());
    };
    record(); // leases the shard, makes the series
    assert_eq!(allocations(|| (0..1000).for_each(|_| record())), 0);

    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    assert_eq!(allocations(|| (0..100).for_each(|_| snapshot.take(&registry))), 0);
    record();
    assert_eq!(allocations(|| snapshot.take(&registry)), 0);
    // With time, slices of the summary's window are closed and the native histogram, whose limit is exceeded, is reset.
    // The first of each allocates buffers that later ones reuse.
    let mut at = (1u64..).map(|slice| Duration::from_secs(3600 * slice / 20));
    let mut scrape = |snapshot: &mut Snapshot| {
        record();
        native.observe(64.0);
        at.next().into_iter().for_each(|now| snapshot.take_at(&registry, now));
    };
    (0..50).for_each(|_| scrape(&mut snapshot));
    assert_eq!(allocations(|| (0..100).for_each(|_| scrape(&mut snapshot))), 0);
    // More than there is room for in lists that have grown for others.
    (0..100).for_each(|n| family.with([&n.to_string(), "series"]).inc());
    assert!(allocations(|| snapshot.take(&registry)) > 0, "new series may allocate once");
    assert_eq!(allocations(|| snapshot.take(&registry)), 0);
}
