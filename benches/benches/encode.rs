//! Cost of one scrape: the snapshot alone, and the snapshot with its text, by criterion.
//!
//! ```text
//! cargo bench -p dynamo-metrics-benches --bench encode [-- --quick] [FILTER]
//! ```
//!
//! Throughput is in sample lines. Caches are warm; `versus` also measures them cold, and beside others.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dynamo_metrics_benches::ours::{self, Scraper};
use dynamo_metrics_benches::scrape::Scrape;
use dynamo_metrics_benches::shape::{self, Shape};
use dynamo_metrics_core::Snapshot;

fn scrapes(c: &mut Criterion) {
    let shapes: [(&str, Shape); 3] = [
        ("realistic", shape::realistic()),
        ("hist-1000x12", shape::histograms(1000)),
        ("counters-10k", shape::counters(10_000)),
    ];
    for (name, shape) in shapes {
        let registry = ours::registry(&shape);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.lines() as u64));
        let mut snapshot = Snapshot::new();
        group.bench_function("snapshot", |b| b.iter(|| snapshot.take(&registry)));
        let mut scraper = Scraper::new(registry);
        group.bench_function("text", |b| b.iter(|| scraper.scrape()));
        group.finish();
    }
}

criterion_group!(all, scrapes);
criterion_main!(all);
