//! The growth of cost: recording with the number of threads, a snapshot with shards and series, memory with both, what comes
//! and goes with how much there is, and what a million threads leave behind. Memory is that of a process of its own for each
//! point, since a process never gives a shard back.
//!
//! `cargo run --release -p dynamo-metrics-benches --bin scaling [-- --svg FILE]`

#![forbid(unsafe_code)]

use dynamo_metrics_benches::growth;
use dynamo_metrics_core::{Buckets, Counter, Opts, Registry, Snapshot, shard_count};
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const THREADS: [usize; 5] = [1, 2, 4, 8, 64];
const SHARDS: [usize; 4] = [1, 8, 64, 256];
const SERIES: [usize; 3] = [1_000, 10_000, 100_000];
/// Recordings of one thread in one measurement.
const RECORDINGS: u64 = 20_000_000;
/// Threads that are born and gone.
const BORN: usize = 1_000_000;

/// The argument with which the program starts itself: `--memory SHARDS SERIES` prints the bytes of that point, and nothing
/// else.
const MEMORY: &str = "--memory";
/// `--growth` prints the table of what comes and goes.
const GROWTH: &str = "--growth";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some(GROWTH) {
        growth::print();
        return;
    }
    if first.as_deref() == Some(MEMORY) {
        let [shards, series] = [arguments.next(), arguments.next()]
            .map(|number| number.and_then(|number| number.parse().ok()).expect("a number"));
        println!("{}", grown(shards, series));
        return;
    }
    let svg = std::env::args().skip_while(|arg| arg != "--svg").nth(1);
    // First, while the process has few shards: each measurement adds some.
    let snapshots = snapshots();
    recording();
    growth_elsewhere();
    born_and_gone();
    if let Some(file) = svg {
        std::fs::write(&file, plot(&snapshots)).unwrap_or_else(|error| panic!("{file}: {error}"));
        println!("\nplot in {file}");
    }
}

/// Aggregate rate of recording with T threads on whatever cores there are.
fn recording() {
    let registry = Registry::new();
    let counter = registry.counter(("c_total", "")).expect("a new name");
    let buckets = Buckets::dynamo(0.001, 2.0, 13).expect("a range");
    let histogram = registry.histogram(("h", ""), &buckets).expect("a new name");
    println!("\n| threads | counter inc, million a second | histogram observe, million a second |");
    println!("|---|---|---|");
    for threads in THREADS {
        let rate = |record: &(dyn Fn(u64) + Sync)| {
            let best = (0..3).map(|_| in_parallel(threads, record)).min().unwrap_or_default();
            threads as f64 * RECORDINGS as f64 / best.as_secs_f64() / 1e6
        };
        let incs = rate(&|n| (0..n).for_each(|_| black_box(&counter).inc()));
        let observations =
            rate(&|n| (0..n).for_each(|i| black_box(&histogram).observe((i & 127) as f64 / 100.0)));
        println!("| {threads} | {incs:.0} | {observations:.0} |");
    }
}

/// From the first thread's start to the last one's end.
fn in_parallel(threads: usize, record: &(dyn Fn(u64) + Sync)) -> Duration {
    let ready = Barrier::new(threads);
    let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    ready.wait();
                    let started = Instant::now();
                    record(RECORDINGS);
                    (started, Instant::now())
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    let first = spans.iter().map(|span| span.0).min();
    let last = spans.iter().map(|span| span.1).max();
    last.zip(first).map_or(Duration::ZERO, |(last, first)| last - first)
}

/// One measured snapshot.
struct Point {
    shards: usize,
    series: usize,
    snapshot: Duration,
}

/// A registry of so many counters, and their handles.
fn counters(series: usize) -> (Registry, Vec<Counter>) {
    let registry = Registry::new();
    let opts = Opts::new("series_total", "").series_max(series);
    let family = registry.counter_family(opts, ["place"]).expect("a new name");
    let counters = (0..series).map(|place| family.with([&place.to_string()])).collect();
    (registry, counters)
}

/// So many threads, alive at once or they would share shards, move every counter; `meanwhile` runs before they end.
fn touch<R>(shards: usize, counters: &[&[Counter]], meanwhile: impl FnOnce() -> R) -> R {
    let alive = Barrier::new(shards + 1);
    thread::scope(|scope| {
        for _ in 0..shards {
            scope.spawn(|| {
                alive.wait();
                counters.iter().copied().flatten().for_each(|counter| counter.inc());
                alive.wait();
                alive.wait();
            });
        }
        alive.wait();
        alive.wait();
        let result = meanwhile();
        alive.wait();
        result
    })
}

/// Bytes by which this process grows by a registry of so many series that so many threads have touched.
fn grown(shards: usize, series: usize) -> u64 {
    // The threads' own memory is not the registry's: as many have lived before.
    touch(shards, &[], || ());
    let before = touch(shards, &[], resident_bytes);
    let (_registry, counters) = counters(series);
    touch(shards, &[&counters], resident_bytes).saturating_sub(before)
}

/// [`grown`] in a process of its own.
fn grown_elsewhere(shards: usize, series: usize) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let arguments = [MEMORY, &shards.to_string(), &series.to_string()];
    let output = Command::new(program).args(arguments).output().expect("this program starts");
    let bytes = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>();
    bytes.expect("it prints a number")
}

/// [`growth::print`] in a process of its own.
fn growth_elsewhere() {
    let program = std::env::current_exe().expect("this program");
    let status = Command::new(program).arg(GROWTH).status().expect("this program starts");
    assert!(status.success(), "{status}");
}

/// Time of a snapshot, and memory, by shards and series. Every thread touches every series.
fn snapshots() -> Vec<Point> {
    let registries = SERIES.map(counters);
    println!(
        "| shards | series | snapshot, us | ns a cell and shard | memory, KiB | bytes a series |"
    );
    println!("|---|---|---|---|---|---|");
    let mut points = Vec::new();
    for shards in SHARDS {
        let all: Vec<&[Counter]> = registries.iter().map(|(_, counters)| &counters[..]).collect();
        touch(shards, &all, || ());
        for (registry, counters) in &registries {
            let mut snapshot = Snapshot::new();
            snapshot.take(registry);
            let time = (0..20)
                .map(|_| {
                    let started = Instant::now();
                    snapshot.take(registry);
                    started.elapsed()
                })
                .min()
                .unwrap_or_default();
            let (shards, series) = (shard_count(), counters.len());
            let cell = time.as_nanos() as f64 / (shards * series) as f64;
            let bytes = grown_elsewhere(shards, series);
            println!(
                "| {shards} | {series} | {:.1} | {cell:.2} | {:.0} | {:.0} |",
                time.as_secs_f64() * 1e6,
                bytes / 1024.0,
                bytes / series as f64,
            );
            points.push(Point { shards, series, snapshot: time });
        }
    }
    points
}

fn born_and_gone() {
    let registry = Registry::new();
    let counter = registry.counter(("born_total", "")).expect("a new name");
    let (shards, before) = (shard_count(), resident_bytes());
    let started = Instant::now();
    for _ in 0..BORN / 4 {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| counter.inc());
            }
        });
    }
    assert_eq!(counter.get(), BORN as u64, "every thread's count is there");
    println!(
        "\n{BORN} threads born and gone in {:.1} s: total exact, {} more shards, {} KiB more memory",
        started.elapsed().as_secs_f64(),
        shard_count() - shards,
        resident_bytes().saturating_sub(before) / 1024,
    );
}

/// Memory of the process that is in use, by Linux's count; 0 elsewhere.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Snapshot time over shards, both logarithmic, a line for each number of series.
fn plot(points: &[Point]) -> String {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 420.0;
    const MARGIN: f64 = 64.0;
    let x = |shards: usize| MARGIN + (shards as f64).log2() / 8.0 * (WIDTH - 2.0 * MARGIN);
    // From 1 us to 100 ms.
    let y = |time: Duration| {
        HEIGHT
            - MARGIN
            - (time.as_secs_f64() * 1e6).max(1.0).log10() / 5.0 * (HEIGHT - 2.0 * MARGIN)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\"><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let _ =
            writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{text}</text>");
    };
    text(WIDTH / 2.0, 28.0, "middle", "One snapshot, every series touched in every shard");
    text(WIDTH / 2.0, HEIGHT - 16.0, "middle", "shards (threads that recorded at the same time)");
    for (label, time) in [
        ("1 us", 1),
        ("10 us", 10),
        ("100 us", 100),
        ("1 ms", 1_000),
        ("10 ms", 10_000),
        ("100 ms", 100_000),
    ] {
        text(MARGIN - 8.0, y(Duration::from_micros(time)) + 4.0, "end", label);
    }
    for shards in SHARDS {
        text(x(shards), HEIGHT - MARGIN + 20.0, "middle", &shards.to_string());
    }
    for (series, colour) in SERIES.into_iter().zip(["#1b6ca8", "#c8553d", "#3a7d44"]) {
        let line: Vec<&Point> = points.iter().filter(|point| point.series == series).collect();
        let path: Vec<String> =
            line.iter().map(|p| format!("{:.0},{:.0}", x(p.shards), y(p.snapshot))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        if let Some(last) = line.last() {
            let (x, y) = (x(last.shards) - 4.0, y(last.snapshot) - 8.0);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"end\" fill=\"{colour}\">{series} series</text>"
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
