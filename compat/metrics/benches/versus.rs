//! This recorder, `metrics-exporter-prometheus` and the core's own handles in one process, rounds interleaved, as a Markdown table:
//!
//! ```text
//! cargo bench --manifest-path compat/metrics/Cargo.toml [-- FILTER]
//! ```
//!
//! Clock, values and labels are those of the main workspace's benches. A time is the lower quartile of the rounds, because rounds in which
//! a loaded machine did something else are no figures of anything.

#[allow(unsafe_code, dead_code, unreachable_pub, unused_imports)]
#[path = "../../../benches/src/heap.rs"]
mod heap;
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../../benches/src/measure.rs"]
mod measure;
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../../benches/src/shape.rs"]
mod shape;
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../../benches/src/values.rs"]
mod values;

use dynamo_metrics_core::{Buckets, Family, Histogram, Registry};
use dynamo_metrics_exporter::MetricsExposition;
use dynamo_metrics_exporter::bytes::BytesMut;
use dynamo_metrics_facade::{Builder, DynamoRecorder, Handle};
use measure::{Case, Plan};
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, counter};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use shape::{ENDPOINTS, MODELS};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use values::{Data, LEN, Table, bounds, count};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

static METADATA: Metadata<'static> = Metadata::new("versus", Level::INFO, None);

/// Names of the counters that are rendered, and series of each.
const NAMES: usize = 10;
const SERIES_EACH: usize = 1_000;
const HISTOGRAMS: usize = 1_000;
/// Records between two upkeeps where they are measured together.
const UPKEEP: u32 = 4_096;

/// One of the two recorders of the facade. Leaked, so that threads may have it as theirs.
trait Contender: Recorder + Send + Sync + Sized + 'static {
    type Page: Clone + Send + Sync + 'static;
    fn new() -> Self;
    fn page(&self) -> Self::Page;
    fn render(page: &Self::Page) -> String;
    fn upkeep(page: &Self::Page);
}

impl Contender for DynamoRecorder {
    type Page = Handle;

    fn new() -> Self {
        Builder::new().buckets(&Buckets::new(bounds(11)).unwrap()).build().unwrap()
    }

    fn page(&self) -> Handle {
        self.handle()
    }

    fn render(page: &Handle) -> String {
        page.render()
    }

    fn upkeep(_: &Handle) {}
}

impl Contender for PrometheusRecorder {
    type Page = PrometheusHandle;

    fn new() -> Self {
        PrometheusBuilder::new().set_buckets(&bounds(11)).unwrap().build_recorder()
    }

    fn page(&self) -> PrometheusHandle {
        self.handle()
    }

    fn render(page: &PrometheusHandle) -> String {
        page.render()
    }

    fn upkeep(page: &PrometheusHandle) {
        page.run_upkeep();
    }
}

/// The rows: the operation, its largest number of threads, and its rounds.
const ROWS: [(&str, usize, usize); 11] = [
    ("`Counter::increment`, handle kept", 2, 100),
    ("`counter!(\"x\", \"l\" => \"v\").increment(1)`", 2, 100),
    ("`counter!` with 2 label values, 16 series in turn", 2, 100),
    ("`counter!` with a label value, 2,048 series in turn", 2, 100),
    ("`Counter::absolute`, handle kept", 1, 100),
    ("`Gauge::set`, handle kept", 2, 100),
    ("`Histogram::record`, 11 buckets, handle kept", 2, 100),
    ("the same, upkeep included", 2, 100),
    (RENDER, 1, 7),
    ("`render()`, 1,000 histograms of 11 buckets", 1, 7),
    ("`render()`, 10 counters", 1, 50),
];
const RENDER: &str = "`render()`, 10,000 counters";

fn strings() -> Arc<Table<&'static str>> {
    Arc::new(std::array::from_fn(|n| &*n.to_string().leak()))
}

fn key(name: usize, at: usize) -> Key {
    let labels = [
        ("model", MODELS[at % 4].to_string()),
        ("endpoint", ENDPOINTS[at % 5].to_string()),
        ("worker", at.to_string()),
    ];
    let labels: Vec<Label> = labels.into_iter().map(|(n, v)| Label::new(n, v)).collect();
    Key::from_parts(format!("requests_{name}_total"), labels)
}

fn counters(recorder: &impl Recorder, names: usize, series: usize) {
    for (name, at) in (0..names).flat_map(|name| (0..series).map(move |at| (name, at))) {
        recorder.register_counter(&key(name, at), &METADATA).increment(count(at as u64));
    }
}

fn facade<C: Contender>() -> Vec<Case> {
    let data = Data::new();
    let recorder: &'static C = Box::leak(Box::new(C::new()));
    let page = recorder.page();
    let key = |name: &'static str| Key::from_name(name);
    let (kept, set): (Counter, Gauge) = (
        recorder.register_counter(&key("kept"), &METADATA),
        recorder.register_gauge(&key("g"), &METADATA),
    );
    let absolute = recorder.register_counter(&key("absolute"), &METADATA);
    let record = recorder.register_histogram(&key("h"), &METADATA);
    let (drained, with_upkeep) = (page.clone(), page);
    let and_upkeep = record.clone();
    let rendered = |fill: &dyn Fn(&C)| {
        let recorder = C::new();
        fill(&recorder);
        let page = recorder.page();
        move || {
            let page = page.clone();
            move || drop(black_box(C::render(&page)))
        }
    };
    let many = rendered(&|recorder| counters(recorder, NAMES, SERIES_EACH));
    let few = rendered(&|recorder| counters(recorder, 1, 10));
    let histograms = rendered(&|recorder| {
        let latencies = Data::new().latencies;
        for at in 0..HISTOGRAMS {
            let labels = vec![Label::new("worker", at.to_string())];
            let key = Key::from_parts("latency_seconds", labels);
            let histogram = recorder.register_histogram(&key, &METADATA);
            latencies.iter().skip(at).take(100).for_each(|v| histogram.record(*v));
        }
    });
    vec![
        Case::op("kept", move || {
            let kept = kept.clone();
            move || kept.increment(1)
        }),
        Case::op("macro", move || {
            let own = metrics::set_default_local_recorder(recorder);
            move || {
                let _ = &own;
                counter!("x", "l" => "v").increment(1);
            }
        }),
        Case::over("macro of 2", &data.pairs, move || {
            let own = metrics::set_default_local_recorder(recorder);
            move |(model, endpoint)| {
                let _ = &own;
                counter!("two", "model" => model, "endpoint" => endpoint).increment(1);
            }
        }),
        Case::over("macro of many", &strings(), move || {
            let own = metrics::set_default_local_recorder(recorder);
            move |value| {
                let _ = &own;
                counter!("many", "n" => value).increment(1);
            }
        }),
        Case::op("absolute", move || {
            let (absolute, mut n) = (absolute.clone(), 0);
            move || {
                n += 1;
                absolute.absolute(n);
            }
        }),
        Case::op("gauge", move || {
            let set = set.clone();
            move || set.set(1.5)
        }),
        Case::over("record", &data.latencies, move || {
            C::upkeep(&drained);
            let record = record.clone();
            move |value| record.record(value)
        }),
        Case::over("upkeep", &data.latencies, move || {
            let (record, page, mut n) = (and_upkeep.clone(), with_upkeep.clone(), 0);
            move |value| {
                record.record(value);
                n += 1;
                if n == UPKEEP {
                    n = 0;
                    C::upkeep(&page);
                }
            }
        }),
        Case::op("render", many),
        Case::op("render histograms", histograms),
        Case::op("render few", few),
    ]
}

/// The same with the core's own handles.
fn core() -> Vec<Case> {
    let data = Data::new();
    let registry = Registry::new();
    let kept = registry.counter(("kept", "")).unwrap();
    let gauge = registry.gauge(("g", "")).unwrap();
    let one = registry.counter_family(("x", ""), ["l"]).unwrap();
    let two = registry.counter_family(("two", ""), ["model", "endpoint"]).unwrap();
    let many = registry.counter_family(("many", ""), ["n"]).unwrap();
    let buckets = Buckets::new(bounds(11)).unwrap();
    let record = registry.histogram(("h", ""), &buckets).unwrap();
    let observe = |histogram: &Histogram| {
        let histogram = histogram.clone();
        move || {
            let histogram = histogram.clone();
            move |value| histogram.observe(value)
        }
    };
    let rendered = |registry: &Registry| {
        let page = MetricsExposition::of_registry(registry);
        move || {
            let (page, mut body) = (page.clone(), BytesMut::new());
            move || {
                body.clear();
                page.write(&mut body);
            }
        }
    };
    let of_counters = |names: usize, series: usize| {
        let registry = Registry::new();
        (0..names).for_each(|name| drop(core_counters(&registry, name, series)));
        registry
    };
    let histograms = Registry::new();
    let family =
        histograms.histogram_family(("latency_seconds", ""), ["worker"], &buckets).unwrap();
    for at in 0..HISTOGRAMS {
        let histogram = family.with([&at.to_string()]);
        data.latencies.iter().skip(at).take(100).for_each(|v| histogram.observe(*v));
    }
    let counter = kept.clone();
    vec![
        Case::op("kept", move || {
            let kept = kept.clone();
            move || kept.inc()
        }),
        Case::op("visit", move || {
            let one = one.clone();
            move || one.visit(["v"], |counter| counter.inc())
        }),
        Case::over("visit of 2", &data.pairs, move || {
            let two = two.clone();
            move |(model, endpoint)| two.visit([model, endpoint], |counter| counter.inc())
        }),
        Case::over("visit of many", &strings(), move || {
            let many = many.clone();
            move |value| many.visit([value], |counter| counter.inc())
        }),
        // There is no such operation; this is what reads the total.
        Case::op("get", move || {
            let counter = counter.clone();
            move || _ = black_box(counter.get())
        }),
        Case::op("gauge", move || {
            let gauge = gauge.clone();
            move || gauge.set(1.5)
        }),
        Case::over("observe", &data.latencies, observe(&record)),
        Case::over("observe", &data.latencies, observe(&record)),
        Case::op("render", rendered(&of_counters(NAMES, SERIES_EACH))),
        Case::op("render histograms", rendered(&histograms)),
        Case::op("render few", rendered(&of_counters(1, 10))),
    ]
}

fn core_counters(
    registry: &Registry,
    name: usize,
    series: usize,
) -> Family<dynamo_metrics_core::Counter, 3> {
    let labels = ["model", "endpoint", "worker"];
    let family = registry.counter_family((format!("requests_{name}_total"), ""), labels).unwrap();
    for at in 0..series {
        let values = [MODELS[at % 4], ENDPOINTS[at % 5], &at.to_string()];
        family.with(values).add(count(at as u64));
    }
    family
}

/// Heap bytes of a counter with three labels, after it was made and rendered once.
fn bytes(make: impl FnOnce() -> Box<dyn std::any::Any> + Send + 'static) -> f64 {
    let usage = std::thread::spawn(|| {
        let (made, usage) = heap::measure(make);
        drop(made);
        usage.bytes
    });
    usage.join().unwrap() as f64 / (NAMES * SERIES_EACH) as f64
}

fn recorder_bytes<C: Contender>() -> f64 {
    bytes(|| {
        let recorder = C::new();
        counters(&recorder, NAMES, SERIES_EACH);
        let page = recorder.page();
        drop(C::render(&page));
        Box::new((recorder, page))
    })
}

fn core_bytes() -> f64 {
    bytes(|| {
        let registry = Registry::new();
        let families: Vec<_> =
            (0..NAMES).map(|name| core_counters(&registry, name, SERIES_EACH)).collect();
        let (page, mut body) = (MetricsExposition::of_registry(&registry), BytesMut::new());
        page.write(&mut body);
        Box::new((families, page))
    })
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let filter = arguments.next_back().unwrap_or_default();
    let (ours, theirs, core) = (facade::<DynamoRecorder>(), facade::<PrometheusRecorder>(), core());
    println!("| operation | threads | here | metrics-exporter-prometheus | ratio | core alone |");
    println!("|---|---:|---:|---:|---:|---:|");
    assert!(
        [ours.len(), theirs.len(), core.len()] == [ROWS.len(); 3],
        "each operation has its row"
    );
    for (at, (what, threads, rounds)) in ROWS.into_iter().enumerate() {
        for threads in (1..=threads).filter(|_| what.contains(&filter)) {
            let plan = Plan { rounds, slice: Duration::from_millis(1) };
            let times = measure::run(&[&ours[at], &theirs[at], &core[at]], threads, plan);
            let [ours, theirs, core] = [0, 1, 2].map(|of: usize| quartile(&times[of]));
            row(what, &threads.to_string(), [ours, theirs, core], nanos);
        }
    }
    if "heap bytes".contains(&filter) {
        let figures = [
            recorder_bytes::<DynamoRecorder>(),
            recorder_bytes::<PrometheusRecorder>(),
            core_bytes(),
        ];
        row("heap of a counter with 3 labels, rendered once", "", figures, |b| format!("{b:.0} B"));
    }
}

fn row(what: &str, threads: &str, figures: [f64; 3], text: impl Fn(f64) -> String) {
    let ratio = figures[1] / figures[0];
    let [ours, theirs, core] = figures.map(text);
    println!("| {what} | {threads} | {ours} | {theirs} | {ratio:.1} | {core} |");
}

fn nanos(figure: f64) -> String {
    match figure {
        0.0..100.0 => format!("{figure:.1} ns"),
        1e5.. => format!("{:.0} µs", figure / 1e3),
        _ => format!("{figure:.0} ns"),
    }
}

fn quartile(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 4]
}

const _: () = assert!(LEN >= 2_048, "as many series as the row says");
