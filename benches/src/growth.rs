//! Costs of what comes and goes, each at `n` and at `2n`: one that is linear in all takes twice as long, one that does not hang on
//! `n` as long as before. A cost that grows with the square takes four times as long.

use bytes::BytesMut;
use dynamo_metrics_core::{Counter, Family, Opts, Registry};
use dynamo_metrics_encoder::Encoder;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// An operation, how many of what there are, and what it takes at so many.
type Cost = (&'static str, usize, fn(usize) -> Duration);

const COSTS: [Cost; 6] = [
    ("unregister all of `n` families", 4_000, unregister),
    ("register one name in `n` scopes", 4_000, scopes),
    ("scrape of `n` series", 100_000, |n| scrape(n, false)),
    ("scrape of `n` series after one was removed", 100_000, |n| scrape(n, true)),
    ("longest lookup beside `remove_matching` of `n` series", 75_000, longest_lookup),
    // The last one: it leaves shards, which scrapes read.
    ("first recordings of `n` threads that live on", 1_000, first_recordings),
];

/// Prints the table. In a process of its own: the last row leaves 2,000 shards.
pub fn print() {
    println!("\n| cost of | n | ms at n | ms at 2n | ratio |\n|---|---|---|---|---|");
    for (what, n, cost) in COSTS {
        // The shortest of three: what else the machine does only adds.
        let shortest = |n| (0..3).map(|_| cost(n)).min().unwrap_or_default().as_secs_f64() * 1e3;
        let (once, twice) = (shortest(n), shortest(2 * n));
        println!("| {what} | {n} | {once:.2} | {twice:.2} | {:.1} |", twice / once);
    }
}

fn unregister(families: usize) -> Duration {
    let registry = Registry::new();
    let names: Vec<String> = (0..families).map(|n| format!("family_{n}_total")).collect();
    for name in &names {
        registry.counter((name.as_str(), "")).expect("a new name");
    }
    let started = Instant::now();
    assert!(names.iter().all(|name| registry.unregister(name)));
    started.elapsed()
}

fn scopes(scopes: usize) -> Duration {
    let registry = Registry::new();
    let workers: Vec<String> = (0..scopes).map(|n| n.to_string()).collect();
    let started = Instant::now();
    for worker in &workers {
        let scope = registry.scope(&[("worker", worker)]).expect("a label");
        scope.counter_family(("requests_total", ""), ["model"]).expect("a scope of its own");
    }
    started.elapsed()
}

fn first_recordings(threads: usize) -> Duration {
    let counter = Registry::new().counter(("recorded_total", "")).expect("a new name");
    let end = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let started = Instant::now();
        for _ in 0..threads {
            scope.spawn(|| {
                counter.inc();
                end.wait();
            });
        }
        end.wait();
        started.elapsed()
    })
}

fn series(series: usize) -> (Registry, Family<Counter, 1>) {
    let registry = Registry::new();
    let opts = Opts::new("series_total", "").series_max(2 * series);
    let family = registry.counter_family(opts, ["place"]).expect("a new name");
    (0..series).for_each(|place| family.with([&place.to_string()]).inc());
    (registry, family)
}

fn scrape(of: usize, removal: bool) -> Duration {
    let (registry, family) = series(of);
    let (mut encoder, mut body) = (Encoder::new(), BytesMut::new());
    let times = (0..10).map(|round| {
        if removal {
            assert!(family.remove([&round.to_string()]));
        }
        body.clear();
        let started = Instant::now();
        encoder.encode(&registry, &mut body);
        started.elapsed()
    });
    // The first one renders everything.
    times.skip(1).min().unwrap_or_default()
}

fn longest_lookup(of: usize) -> Duration {
    let (_registry, family) = series(of);
    let done = AtomicBool::new(false);
    let looking = Barrier::new(2);
    thread::scope(|scope| {
        let longest = scope.spawn(|| {
            let (mut longest, mut place) = (Duration::ZERO, 0);
            looking.wait();
            while !done.load(Ordering::Relaxed) {
                let started = Instant::now();
                // Not one that the thread remembers: those need no lock.
                std::hint::black_box(family.get([&(place % of).to_string()]));
                longest = longest.max(started.elapsed());
                place += 7919;
            }
            longest
        });
        looking.wait();
        family.remove_matching(&[]);
        done.store(true, Ordering::Relaxed);
        longest.join().expect("no panic")
    })
}
