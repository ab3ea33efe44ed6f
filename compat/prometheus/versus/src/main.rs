//! This crate and the published `prometheus` crate in one process, rounds interleaved, as a Markdown table:
//!
//! ```text
//! cargo run --release --manifest-path compat/prometheus/Cargo.toml -p prometheus-versus [-- FILTER]
//! ```
//!
//! Clock, values and labels are those of the main workspace's benches. A time is the lower quartile of the rounds, because rounds in
//! which a loaded machine did something else are no figures of either crate; a ratio is upstream's by ours. [`GOALS`] has every row.

#[allow(unsafe_code, dead_code)]
#[path = "../../../../benches/src/heap.rs"]
mod heap;
#[allow(dead_code)]
#[path = "../../../../benches/src/measure.rs"]
mod measure;
#[allow(dead_code)]
#[path = "../../../../benches/src/shape.rs"]
mod shape;
#[allow(dead_code)]
#[path = "../../../../benches/src/values.rs"]
mod values;

use measure::{Case, Plan};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// The comparison of a row's figures.
#[derive(Clone, Copy, PartialEq)]
enum Goal {
    /// Upstream's figure is at least so many times ours.
    Ratio(f64),
    /// Ours is at most this.
    AtMost(f64),
    /// Shown only.
    None,
}

/// A timed row: the operation, on how many threads, and its goal.
const GOALS: [(&str, usize, Goal); 11] = [
    ("`IntCounter::inc`", 1, Goal::Ratio(2.0)),
    ("`IntCounter::inc`", 2, Goal::Ratio(4.0)),
    ("`Counter::inc` (`f64`)", 1, Goal::Ratio(0.9)),
    ("`Counter::inc` (`f64`)", 2, Goal::None),
    ("`IntGauge::inc`", 1, Goal::Ratio(0.9)),
    ("`IntGauge::inc`", 2, Goal::Ratio(0.9)),
    ("`Histogram::observe`, 11 buckets", 1, Goal::Ratio(2.0)),
    ("`Histogram::observe`, 11 buckets", 2, Goal::Ratio(3.0)),
    ("`with_label_values(2).inc`", 1, Goal::Ratio(3.0)),
    ("`with_label_values(2).inc`", 2, Goal::Ratio(3.5)),
    ("the same, strings elsewhere each time", 1, Goal::None),
];
/// Those of gatherings, on one thread.
const GATHERING_GOALS: [(&str, Goal); 4] = [
    (ENCODE, Goal::Ratio(100.0)),
    ("`gather()` of them, each message read", Goal::Ratio(2.0)),
    ("`encode(&gather())`, 10 counters", Goal::None),
    ("`encode(&gather())`, 1,000 histograms", Goal::None),
];
/// Every tenth counts on before each.
const ENCODE: &str = "`encode(&gather())`, 10,000 counters";

/// Allocations in a gathering and encoding that do not depend on the number of series: for each of the families, and as many more.
const FAMILIES: usize = 10;
const ALLOCATIONS_MAX: f64 = (4 * FAMILIES) as f64;
const SERIES: usize = 10_000;
const BYTES_MAX: f64 = 150.0;

const LABELS: [&str; 3] = ["model", "endpoint", "worker"];

/// The operations of one of the two crates, in the order of [`GOALS`], each once.
macro_rules! operations {
    ($name:ident, $library:ident) => {
        mod $name {
            use super::{FAMILIES, LABELS, SERIES};
            use crate::heap::{Usage, measure};
            use crate::measure::Case;
            use crate::shape::{ENDPOINTS, MODELS};
            use crate::values::{Data, bounds, count};
            use $library::core::Collector;
            use $library::{
                Counter, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter,
                IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
            };

            pub fn operations() -> Vec<Case> {
                let data = Data::new();
                let int = IntCounter::new("bench", "bench").unwrap();
                let float = Counter::new("bench", "bench").unwrap();
                let gauge = IntGauge::new("bench", "bench").unwrap();
                let opts = HistogramOpts::new("bench", "bench").buckets(bounds(11));
                let histogram = Histogram::with_opts(opts).unwrap();
                let lookup = || {
                    let opts = Opts::new("bench", "bench");
                    IntCounterVec::new(opts, &["model", "endpoint"]).unwrap()
                };
                let (same, elsewhere) = (lookup(), lookup());
                vec![
                    Case::op("inc", move || {
                        let int = int.clone();
                        move || int.inc()
                    }),
                    Case::op("inc f64", move || {
                        let float = float.clone();
                        move || float.inc()
                    }),
                    Case::op("gauge", move || {
                        let gauge = gauge.clone();
                        move || gauge.inc()
                    }),
                    Case::over("observe", &data.latencies, move || {
                        let histogram = histogram.clone();
                        move |value| histogram.observe(value)
                    }),
                    Case::over("with_label_values", &data.pairs, move || {
                        let vec = same.clone();
                        move |(model, endpoint)| vec.with_label_values(&[model, endpoint]).inc()
                    }),
                    Case::over("elsewhere", &data.pairs, move || {
                        let vec = elsewhere.clone();
                        let mut text = String::new();
                        move |(model, endpoint)| {
                            // Another place of the same buffer each time.
                            if text.len() > 4_000 {
                                text.clear();
                            }
                            let start = text.len();
                            text.push_str(model);
                            vec.with_label_values(&[&text[start..], endpoint]).inc()
                        }
                    }),
                ]
            }

            /// Gatherings, in the order of their goals.
            pub fn gatherings() -> Vec<Box<dyn FnMut()>> {
                let (counters, counted) = counters(FAMILIES, SERIES / FAMILIES);
                let (few, _) = self::counters(1, 10);
                let read = counters.clone();
                let histograms = histograms(1_000);
                vec![
                    Box::new(move || {
                        counted.iter().for_each(IntCounter::inc);
                        _ = encode(&counters);
                    }),
                    Box::new(move || {
                        let families = read.gather();
                        let metrics = families.iter().map(|family| family.get_metric().len());
                        assert_eq!(metrics.sum::<usize>(), SERIES);
                    }),
                    Box::new(move || _ = encode(&few)),
                    Box::new(move || _ = encode(&histograms)),
                ]
            }

            /// A scrape, as programs write it.
            pub fn encode(registry: &Registry) -> Vec<u8> {
                let mut body = Vec::new();
                TextEncoder::new().encode(&registry.gather(), &mut body).unwrap();
                std::hint::black_box(body)
            }

            /// Counters with 3 labels of their own and 2 constant ones.
            fn vec(family: usize, series: usize) -> IntCounterVec {
                let opts = Opts::new(format!("requests_{family}_total"), "Requests.")
                    .const_label("dynamo_namespace", "default")
                    .const_label("dynamo_component", "backend");
                let vec = IntCounterVec::new(opts, &LABELS).unwrap();
                for at in 0..series {
                    let worker = at.to_string();
                    let (model, endpoint) = (MODELS[at % 4], ENDPOINTS[at % 5]);
                    vec.with_label_values(&[model, endpoint, &worker]).inc_by(count(at as u64));
                }
                vec
            }

            /// Returns a registry with these counters, and every tenth of them.
            fn counters(families: usize, series: usize) -> (Registry, Vec<IntCounter>) {
                let registry = Registry::new();
                let mut counted = Vec::new();
                for family in 0..families {
                    let vec = vec(family, series);
                    counted.extend((0..series).step_by(10).map(|at| {
                        let (model, endpoint) = (MODELS[at % 4], ENDPOINTS[at % 5]);
                        vec.with_label_values(&[model, endpoint, &at.to_string()])
                    }));
                    registry.register(Box::new(vec)).unwrap();
                }
                (registry, counted)
            }

            fn histograms(series: usize) -> Registry {
                let opts = HistogramOpts::new("latency_seconds", "Latency.").buckets(bounds(11));
                let vec = HistogramVec::new(opts, &LABELS).unwrap();
                let latencies = Data::new().latencies;
                for at in 0..series {
                    let worker = at.to_string();
                    let histogram = vec.with_label_values(&[MODELS[at % 4], "chat", &worker]);
                    latencies.iter().skip(at).take(100).for_each(|v| histogram.observe(*v));
                }
                let registry = Registry::new();
                registry.register(Box::new(vec)).unwrap();
                registry
            }

            /// Allocations of a gathering and encoding, after the first.
            pub fn encode_usage() -> Usage {
                let (registry, counted) = counters(FAMILIES, SERIES / FAMILIES);
                encode(&registry);
                counted.iter().for_each(IntCounter::inc);
                measure(|| encode(&registry)).1
            }

            /// Returns the bytes that a family of counters takes, before it is gathered and when it was.
            pub fn memory() -> [i64; 2] {
                // A thread leases its shard once, which belongs to no series.
                IntCounter::new("bench", "bench").unwrap().inc();
                let (vec, made) = measure(|| vec(0, SERIES));
                let (families, kept) = measure(|| {
                    let registry = Registry::new();
                    registry.register(Box::new(vec.clone())).unwrap();
                    encode(&registry);
                    registry
                });
                assert_eq!(vec.collect().len(), 1);
                drop(families);
                [made.bytes, made.bytes + kept.bytes]
            }
        }
    };
}

operations!(ours, prometheus);
operations!(upstream, prometheus_upstream);

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let (ours, upstream) = (ours::operations(), upstream::operations());
    println!("| operation | threads | ours | upstream | ratio | goal |");
    println!("|---|---:|---:|---:|---:|---|");
    let mut at = usize::MAX;
    let mut before = "";
    for (what, threads, goal) in GOALS {
        at = if what == before { at } else { at.wrapping_add(1) };
        before = what;
        if what.contains(&filter) {
            timed(what, [&ours[at], &upstream[at]], threads, goal);
        }
    }
    assert_eq!(at + 1, ours.len(), "each operation has its row");
    let all = ours::gatherings().into_iter().zip(upstream::gatherings());
    for ((what, goal), (ours, upstream)) in GATHERING_GOALS.into_iter().zip(all) {
        if what.contains(&filter) {
            gathered(what, [ours, upstream], goal);
        }
    }
    if "allocations".contains(&filter) || "bytes".contains(&filter) {
        let usage =
            [ours::encode_usage(), upstream::encode_usage()].map(|usage| usage.allocations as f64);
        row(&format!("allocations in {ENCODE}"), 1, usage, "", Goal::AtMost(ALLOCATIONS_MAX));
        // On threads of their own, so that nothing is in the allocator's caches.
        let [ours, upstream] = [ours::memory, upstream::memory]
            .map(|memory| std::thread::spawn(memory).join().unwrap());
        for (at, what) in ["made", "and gathered once"].into_iter().enumerate() {
            let bytes = [ours[at], upstream[at]].map(|bytes| bytes as f64 / SERIES as f64);
            let goal = if at == 0 { Goal::AtMost(BYTES_MAX) } else { Goal::None };
            row(&format!("heap of a counter with 3 + 2 labels, {what}"), 1, bytes, " B", goal);
        }
    }
}

fn timed(what: &str, cases: [&Case; 2], threads: usize, goal: Goal) {
    // Two threads have to run at the same time for most of a round, also on a loaded machine.
    let (rounds, millis) = if threads == 1 { (100, 1) } else { (25, 20) };
    let plan = Plan { rounds, slice: Duration::from_millis(millis) };
    let times = measure::run(&cases, threads, plan);
    row(what, threads, [quartile(&times[0]), quartile(&times[1])], " ns", goal);
}

/// Each call is timed by itself: it takes longer than a look at the clock, and those in which the thread was preempted are the
/// upper half.
fn gathered(what: &str, mut cases: [Box<dyn FnMut()>; 2], goal: Goal) {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..15 {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            case();
            for _ in 0..4 {
                let start = Instant::now();
                case();
                times.push(start.elapsed().as_nanos() as f64);
            }
        }
    }
    row(what, 1, times.map(|times| quartile(&times)), " ns", goal);
}

fn row(what: &str, threads: usize, figures: [f64; 2], unit: &str, goal: Goal) {
    let ratio = figures[1] / figures[0];
    let (words, met) = match goal {
        Goal::Ratio(least) => (format!("at least {least}"), ratio >= least),
        Goal::AtMost(most) => (format!("ours at most {most}{unit}"), figures[0] <= most),
        Goal::None => ("".to_owned(), true),
    };
    let missed = if met { "" } else { ", **missed**" };
    let [ours, upstream] = figures.map(|figure| match figure {
        0.0..100.0 => format!("{figure:.1}{unit}"),
        1e5.. if unit == " ns" => format!("{:.0} µs", figure / 1e3),
        _ => format!("{figure:.0}{unit}"),
    });
    println!("| {what} | {threads} | {ours} | {upstream} | {ratio:.1} | {words}{missed} |");
}

fn quartile(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 4]
}
