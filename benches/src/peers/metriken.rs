//! `metriken`: plain atomics, and sharded ones in groups of 16.
//!
//! Its histograms have base-2 buckets only, so it cannot hold the registries that are scraped here (its text
//! repeats `# TYPE` for each member of a group, besides).

use crate::measure::Case;
use crate::values::Data;
use metriken::{
    AtomicCounterHistogram, Counter, Gauge, ShardedCounterGroup, ShardedCounterHistogram,
};
use std::sync::Arc;

pub(crate) fn counter() -> Vec<Case> {
    let (plain, sharded) = (Arc::new(Counter::new()), Arc::new(ShardedCounterGroup::new(16)));
    vec![
        Case::op("metriken Counter", move || {
            let counter = Arc::clone(&plain);
            move || _ = counter.increment()
        }),
        Case::op("metriken ShardedCounterGroup", move || {
            let group = Arc::clone(&sharded);
            move || _ = group.increment(0)
        }),
    ]
}

pub(crate) fn updown() -> Vec<Case> {
    let shared = Arc::new(Gauge::new());
    let moved = Case::op("metriken Gauge", move || {
        let gauge = Arc::clone(&shared);
        move || {
            gauge.increment();
            gauge.decrement();
        }
    });
    vec![moved.ops(2)]
}

pub(crate) fn histogram(data: &Data) -> Vec<Case> {
    let plain = Arc::new(AtomicCounterHistogram::new(7, 64));
    let sharded = Arc::new(ShardedCounterHistogram::new(7, 64));
    vec![
        Case::over("metriken AtomicCounterHistogram(7, 64)", &data.latencies_micros, move || {
            let histogram = Arc::clone(&plain);
            move |value| _ = histogram.increment(value)
        }),
        Case::over("metriken ShardedCounterHistogram(7, 64)", &data.latencies_micros, move || {
            let histogram = Arc::clone(&sharded);
            move |value| _ = histogram.increment(value)
        }),
    ]
}
