//! Sums and float counters never decrease: two scrapers of one registry take turns, and each sees at least what the other one
//! saw. Values, threads and scrapers are random; nothing depends on timing.

use dynamo_metrics_core::{
    Buckets, FloatCounter, Histogram, IntegerHistogram, NativeBuckets, NativeHistogram, Registry,
    Scale, Snapshot, Summary, SummaryOpts, snapshot::Value,
};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

#[derive(Clone)]
struct Metrics {
    histogram: Histogram,
    native: NativeHistogram,
    reset: NativeHistogram,
    float: FloatCounter,
    summary: Summary,
    integer: IntegerHistogram,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        let natives = NativeBuckets::new();
        // A limit of one bucket is soon exceeded, so that every scrape after the first may reset.
        let resets = natives.clone().max_buckets(2).min_reset(Duration::from_secs(1));
        Self {
            histogram: registry.histogram(("h", ""), &Buckets::new([0.5]).unwrap()).unwrap(),
            native: registry.native_histogram(("native", ""), &natives).unwrap(),
            reset: registry.native_histogram(("reset", ""), &resets).unwrap(),
            float: registry.float_counter(("float_total", "")).unwrap(),
            summary: registry.summary(("s", ""), &SummaryOpts::new()).unwrap(),
            integer: registry
                .integer_histogram(("i", ""), &Buckets::new([0.5]).unwrap(), Scale::Nano)
                .unwrap(),
        }
    }

    /// Records in the kinds whose bits are set. A thread's observations of all metrics alternate between the two cells of a
    /// sum, so recording in all kinds each time would always use the same cell of a metric.
    fn record(&self, (kinds, v): (u8, f64)) {
        let has = |bit: u8| kinds & 1 << bit != 0;
        has(0).then(|| self.histogram.observe(v));
        has(1).then(|| self.native.observe(v));
        has(2).then(|| self.reset.observe(v));
        has(3).then(|| self.float.add(v));
        has(4).then(|| self.summary.observe(v));
        has(5).then(|| self.integer.observe(v as u64));
    }
}

/// A thread that lives as long as the test, so that it keeps a shard of its own.
struct Recorder {
    values: Sender<(u8, f64)>,
    done: Receiver<()>,
}

impl Recorder {
    fn start(metrics: Metrics) -> Self {
        let (values, taken) = channel();
        let (finished, done) = channel();
        thread::spawn(move || {
            for value in taken {
                metrics.record(value);
                finished.send(()).unwrap();
            }
        });
        Self { values, done }
    }

    fn record(&self, value: (u8, f64)) {
        self.values.send(value).unwrap();
        self.done.recv().unwrap();
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Record { thread: usize, kinds: u8, value: f64 },
    Scrape { scraper: usize },
}

const THREADS: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![0.0..1.0, 1e-9..1e9, Just(0.1), Just(1e15)];
    let step = prop_oneof![
        3 => (0..THREADS, any::<u8>(), value).prop_map(|(thread, kinds, value)| Step::Record { thread, kinds, value }),
        2 => (0..2usize).prop_map(|scraper| Step::Scrape { scraper }),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Returns the sum of each family with its start time, because a reset begins a new sum.
fn sums(snapshot: &Snapshot) -> Vec<(String, Option<Duration>, f64)> {
    let mut sums = Vec::new();
    for family in snapshot.families() {
        let Some(series) = family.parts().next().and_then(|part| part.series(0)) else { continue };
        let sum = match series.value() {
            Value::Histogram { sum, .. } => (None, sum.to_f64()),
            Value::Summary { sum, .. } => (None, sum),
            Value::Native(native) => (native.start, native.sum),
            Value::Float(value) => (None, value),
            _ => continue,
        };
        sums.push((family.name().to_owned(), sum.0, sum.1));
    }
    sums
}

proptest! {
    #[test]
    fn a_sum_never_falls_between_the_scrapes_of_two_scrapers(steps in steps()) {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let recorders: Vec<Recorder> =
            (0..THREADS).map(|_| Recorder::start(metrics.clone())).collect();
        let mut scrapers = [Snapshot::new(), Snapshot::new()];
        let mut last: HashMap<String, (Option<Duration>, f64)> = HashMap::new();
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Record { thread, kinds, value } => recorders[thread].record((kinds, value)),
                Step::Scrape { scraper } => {
                    let now = Duration::from_secs(10 * number as u64);
                    let snapshot = &mut scrapers[scraper];
                    snapshot.take_at(&registry, now);
                    let seen = sums(snapshot);
                    prop_assert!(seen.len() >= 6, "{seen:?}");
                    for (name, start, sum) in seen {
                        let before = last.insert(name.clone(), (start, sum));
                        if let Some((started, before)) = before && started == start {
                            prop_assert!(sum >= before, "{name}: {before} then {sum}");
                        }
                    }
                    // Handles add up in the same order.
                    let [mut h, mut n, mut f] = [0.0; 3];
                    for (name, _, sum) in sums(snapshot) {
                        match name.as_str() {
                            "h" => h = sum,
                            "native" => n = sum,
                            "float_total" => f = sum,
                            _ => {}
                        }
                    }
                    let read = (metrics.histogram.get().sum, metrics.native.get().sum, metrics.float.get());
                    prop_assert_eq!(read, (h, n, f));
                }
            }
        }
    }
}
