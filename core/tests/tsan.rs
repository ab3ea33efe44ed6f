//! The whole crate under ThreadSanitizer: short-lived threads record into series that are created and removed, beside a
//! scrape. As a normal test it runs for a second; `ci/tsan.sh` runs it instrumented and longer.
//!
//! ThreadSanitizer works here without an instrumented standard library, under three rules: an own `main` (libtest's
//! channels look like races), `parking_lot`'s locks on every tested path (they are compiled with us), and plain
//! spawn and join over leaked data (the end of a `thread::scope` is not seen).
//!
//! * `TSAN_ROUNDS=N`: rounds of every lane, instead of 40; a round is a thread and 500 steps.
//! * `TSAN_SCRAPES=N`: so many scrapes at least, instead of 40, beside which lanes that are done begin anew.
//! * `TSAN_TWIN=1`: a race on purpose beside it, which ThreadSanitizer must report.

use dynamo_metrics_core::__private::{CellIndex, Shards, add, add_shared};
use dynamo_metrics_core::{
    Buckets, Counter, Family, Histogram, Opts, Registry, Snapshot, UpDownCounter, snapshot::Value,
};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const LANES: u64 = 8;
/// Series that all lanes create and remove.
const MODELS: [&str; 5] = ["a", "b", "c", "d", "e"];
const STEPS_PER_THREAD: u64 = 500;

struct World {
    registry: Registry,
    count: Counter,
    values: Histogram,
    outer: UpDownCounter,
    inner: UpDownCounter,
    churning: Family<Histogram, 1>,
    /// Series of this one are never removed, so they must add up.
    lasting: Family<Counter, 1>,
    done: AtomicBool,
    /// How many there were so far.
    scrapes: AtomicU64,
    planted: Planted,
    twin: bool,
}

/// A number that all threads write without synchronisation.
struct Planted(UnsafeCell<u64>);
// SAFETY: none; the race is the purpose. Used only in the twin.
unsafe impl Sync for Planted {}

impl Planted {
    fn touch(&self) {
        let number = self.0.get();
        // SAFETY: a race on purpose, on a number without another use.
        let before = unsafe { number.read_volatile() };
        // SAFETY: as above.
        unsafe { number.write_volatile(before + 1) };
    }
}

fn main() {
    publication();
    churn();
}

/// Shards of their own, so that the first shards and the fallback are made while others look for them.
fn publication() {
    const ROUNDS: usize = 8;
    const THREADS: u64 = 3;
    for _ in 0..ROUNDS {
        let shards: &'static Shards = Box::leak(Box::new(Shards::new()));
        let start: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        // Relaxed: starts the threads together and orders nothing, or it would hide what is missing.
        let wait = move || {
            while !start.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        let cell = CellIndex::new(0).unwrap();
        let total = move || shards.iter().map(|shard| shard.read(cell)).sum::<u64>();
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            threads.push(thread::spawn(move || {
                wait();
                add_shared(shards.fallback().expect("address space"), cell, 1);
            }));
            threads.push(thread::spawn(move || {
                wait();
                let shard = shards.lease().expect("address space");
                add(shard, cell, 1);
                shards.give_back(shard);
            }));
        }
        start.store(true, Ordering::Relaxed);
        threads.push(thread::spawn(move || {
            while total() < 2 * THREADS {
                thread::yield_now();
            }
        }));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(total(), 2 * THREADS);
        assert!(shards.count() <= THREADS as usize);
    }
}

fn churn() {
    let number = |name| std::env::var(name).map_or(40, |n| n.parse().expect("a number"));
    let (rounds, scrapes_min): (u64, u64) = (number("TSAN_ROUNDS"), number("TSAN_SCRAPES"));
    let registry = Registry::new();
    let buckets = Buckets::new([1.0, 2.0, 3.0]).unwrap();
    let world: &'static World = Box::leak(Box::new(World {
        count: registry.counter(("tsan_total", "")).unwrap(),
        values: registry.histogram(("tsan_values", ""), &buckets).unwrap(),
        outer: registry.up_down_counter(("tsan_outer", "")).unwrap(),
        inner: registry.up_down_counter(Opts::new("tsan_inner", "").nested()).unwrap(),
        churning: registry.histogram_family(("tsan_churning", ""), ["model"], &buckets).unwrap(),
        lasting: registry.counter_family(("tsan_lasting_total", ""), ["model"]).unwrap(),
        registry,
        done: AtomicBool::new(false),
        scrapes: AtomicU64::new(0),
        planted: Planted(UnsafeCell::new(0)),
        twin: std::env::var_os("TSAN_TWIN").is_some(),
    }));
    let scraper = thread::spawn(move || scrape(world));
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            thread::spawn(move || {
                let mut done = 0;
                // Relaxed: only a hint; the assertion below uses the scraper's own count.
                while done < rounds || world.scrapes.load(Ordering::Relaxed) < scrapes_min {
                    run(world, lane, done);
                    done += 1;
                }
                done
            })
        })
        .collect();
    let rounds: u64 = lanes.into_iter().map(|lane| lane.join().unwrap()).sum();
    world.done.store(true, Ordering::Relaxed);
    let scrapes = scraper.join().unwrap();

    assert!(scrapes >= scrapes_min, "only {scrapes} scrapes");
    let steps = rounds * STEPS_PER_THREAD;
    assert_eq!(world.count.get(), steps);
    assert_eq!(world.values.get().counts.iter().sum::<u64>(), steps);
    assert_eq!((world.outer.get(), world.inner.get()), (0, 0));
    let lasting: u64 = MODELS.iter().map(|model| world.lasting.with([model]).get()).sum();
    assert_eq!(lasting, steps);
    println!(
        "{steps} steps by {} threads beside {scrapes} scrapes; {} shards",
        rounds,
        dynamo_metrics_core::shard_count()
    );
}

/// A round of a lane: a thread, which ends what the lane began.
fn run(world: &'static World, lane: u64, round: u64) {
    world.outer.inc();
    world.inner.inc();
    thread::spawn(move || work(world, lane + round)).join().unwrap();
    // Names of one registry are registered and unregistered as well.
    if round.is_multiple_of(8) {
        let name = format!("tsan_lane_{lane}_total");
        let fresh = world.registry.counter((&*name, "")).unwrap();
        fresh.inc();
        assert_eq!(fresh.get(), 1, "cells are zero when they are handed out");
        assert!(world.registry.unregister(&name));
    }
}

fn work(world: &'static World, seed: u64) {
    for step in 0..STEPS_PER_THREAD {
        let model = MODELS[(seed + step / 16) as usize % MODELS.len()];
        world.count.inc();
        world.values.observe((step % 5) as f64);
        world.lasting.visit([model], Counter::inc);
        match step % 16 {
            0 => drop(world.churning.remove([model])),
            // A late writer: records into a series that it removed itself.
            1 => {
                let late = world.churning.with([model]);
                world.churning.remove([model]);
                late.observe(1.0);
            }
            _ => world.churning.visit([model], |values| values.observe(1.0)),
        }
        if world.twin {
            world.planted.touch();
        }
    }
    world.inner.dec();
    world.outer.dec();
}

fn scrape(world: &'static World) -> u64 {
    let mut snapshot = Snapshot::new();
    let (mut scrapes, mut last) = (0, 0);
    while !world.done.load(Ordering::Relaxed) {
        snapshot.take(&world.registry);
        scrapes += 1;
        world.scrapes.store(scrapes, Ordering::Relaxed);
        let (mut outer, mut inner) = (0, 0);
        for family in snapshot.families() {
            let part = family.parts().next().unwrap();
            for series in (0..part.len()).filter_map(|at| part.series(at)) {
                match (family.name(), series.value()) {
                    ("tsan_total", Value::Unsigned(total)) => {
                        assert!(total >= last, "{total} after {last}");
                        last = total;
                    }
                    ("tsan_churning", Value::Histogram { counts, sum }) => {
                        // Every observation of it is 1.
                        assert_eq!(counts[1..], [0; 3], "another series' numbers");
                        let sum = sum.to_f64();
                        assert!(sum <= counts[0] as f64, "{sum} of {counts:?}");
                    }
                    ("tsan_outer", Value::Signed(value)) => outer = value,
                    ("tsan_inner", Value::Signed(value)) => inner = value,
                    _ => {}
                }
            }
        }
        assert!(0 <= inner && inner <= outer, "0 <= {inner} <= {outer}");
    }
    scrapes
}
