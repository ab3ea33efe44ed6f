//! Cost of one recording: our own operations, by criterion, for profiles and regressions.
//!
//! ```text
//! cargo bench -p dynamo-metrics-benches --bench record [-- --quick] [FILTER]
//! ```
//!
//! How others compare is the business of `versus`; this needs none of them.

use criterion::{Criterion, criterion_group, criterion_main};
use dynamo_metrics_benches::ours;
use dynamo_metrics_benches::values::{Data, LEN, Table, bounds};
use dynamo_metrics_core::Counter;
use std::hint::black_box;

fn counters(c: &mut Criterion) {
    let mut group = c.benchmark_group("counter");
    let counter = ours::counter();
    group.bench_function("inc", |b| b.iter(|| counter.inc()));
    let many = ours::counters::<16>();
    group.bench_function("inc, 16 of them", |b| b.iter(|| many.iter().for_each(Counter::inc)));
    let local = counter.local().expect("address space for a shard");
    group.bench_function("local inc", |b| b.iter(|| local.inc()));
    let float = ours::float_counter();
    group.bench_function("float add", |b| b.iter(|| float.add(black_box(0.5))));
    group.finish();
}

fn gauges(c: &mut Criterion) {
    let mut group = c.benchmark_group("gauge");
    let inflight = ours::up_down_counter();
    group.bench_function("up/down inc + dec", |b| {
        b.iter(|| {
            inflight.inc();
            inflight.dec();
        });
    });
    let gauge = ours::gauge();
    group.bench_function("set", |b| b.iter(|| gauge.set(black_box(0.5))));
    group.bench_function("add", |b| b.iter(|| gauge.add(black_box(0.5))));
    group.finish();
}

fn histograms(c: &mut Criterion) {
    let values = Data::new().latencies;
    let mut group = c.benchmark_group("histogram observe");
    for count in [11, 20, 64] {
        let histogram = ours::histogram(&bounds(count));
        let mut next = in_turn(&values);
        group.bench_function(format!("{count} bounds"), |b| {
            b.iter(|| histogram.observe(next()));
        });
    }
    let many = ours::histograms::<16>(&bounds(20));
    let mut next = in_turn(&values);
    group.bench_function("20 bounds, 16 of them", |b| {
        b.iter(|| many.iter().for_each(|histogram| histogram.observe(next())));
    });
    let histogram = ours::histogram(&bounds(20));
    let mut next = in_turn(&values);
    group.bench_function("20 bounds, observe_n", |b| {
        b.iter(|| histogram.observe_n(next(), black_box(4)));
    });
    group.finish();
}

fn bucket_lookups(c: &mut Criterion) {
    let values = Data::new().latencies;
    let mut group = c.benchmark_group("bucket lookup");
    for count in [11, 20, 64] {
        let buckets = ours::buckets(&bounds(count));
        let mut next = in_turn(&values);
        group.bench_function(format!("{count} bounds"), |b| b.iter(|| buckets.index(next())));
    }
    group.finish();
}

fn families(c: &mut Criterion) {
    let data = Data::new();
    let mut group = c.benchmark_group("family, 2 labels, 16 series");
    let family = ours::family();
    let mut next = in_turn(&data.pairs);
    group.bench_function("visit + inc", |b| {
        b.iter(|| {
            let (model, endpoint) = next();
            family.visit([model, endpoint], Counter::inc);
        });
    });
    let mut next = in_turn(&data.pairs);
    group.bench_function("with + inc", |b| {
        b.iter(|| {
            let (model, endpoint) = next();
            family.with([model, endpoint]).inc();
        });
    });
    group.finish();
}

/// The values of a table one after the other, for ever.
fn in_turn<T: Copy>(values: &Table<T>) -> impl FnMut() -> T {
    let mut at = 0;
    move || {
        at = (at + 1) % LEN;
        values[at]
    }
}

criterion_group!(all, counters, gauges, histograms, bucket_lookups, families);
criterion_main!(all);
