//! Guarantees whose tests need the operating system: a stopped writer, a fork, a signal handler, memory, hundreds of thousands
//! of threads.
//!
//! The tests run one at a time, because memory and the number of shards belong to the process. Each test that might hang runs
//! under a [`Watchdog`], so that a hang is a failure.
#![cfg(unix)]

use dynamo_metrics_core::{
    Buckets, Counter, Gauge, Histogram, Registry, Snapshot, UpDownCounter, shard_count,
    snapshot::Value,
};
use parking_lot::Mutex;
use std::os::unix::thread::JoinHandleExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn unit_buckets() -> Buckets {
    Buckets::new([1.0, 2.0, 4.0, 8.0]).unwrap()
}

/// A timer that aborts the process unless it is dropped in time.
struct Watchdog {
    _alive: mpsc::Sender<()>,
}

impl Watchdog {
    fn new(what: &'static str) -> Self {
        let (alive, dropped) = mpsc::channel();
        thread::spawn(move || {
            if dropped.recv_timeout(Duration::from_secs(120))
                == Err(mpsc::RecvTimeoutError::Timeout)
            {
                eprintln!("still not done after two minutes: {what}");
                std::process::abort();
            }
        });
        Self { _alive: alive }
    }
}

fn value<T>(snapshot: &Snapshot, name: &str, of: impl FnOnce(Value<'_>) -> T) -> T {
    let family = snapshot.families().find(|family| family.name() == name).unwrap();
    of(family.parts().next().unwrap().series(0).unwrap().value())
}

fn unsigned(snapshot: &Snapshot, name: &str) -> u64 {
    value(snapshot, name, |value| match value {
        Value::Unsigned(value) => value,
        other => panic!("{name} is {other:?}"),
    })
}

fn distribution(snapshot: &Snapshot, name: &str) -> (u64, f64) {
    value(snapshot, name, |value| match value {
        Value::Histogram { counts, sum } => (counts.iter().sum(), sum.to_f64()),
        other => panic!("{name} is {other:?}"),
    })
}

// ---- A stopped writer -----------------------------------------------------------------------------------------

static PARKED: AtomicBool = AtomicBool::new(false);
static RELEASED: AtomicBool = AtomicBool::new(false);

/// Stops the thread that gets the signal at any instruction, until it is released.
extern "C" fn park(_signal: libc::c_int) {
    PARKED.store(true, Ordering::Release);
    while !RELEASED.load(Ordering::Acquire) {
        std::hint::spin_loop();
    }
    PARKED.store(false, Ordering::Release);
}

/// A thread in a tight loop of observations is stopped between two instructions, some hundred times, and a scrape is
/// taken each time while it provably still stands. That some of the stops are between the store of a bucket and the
/// store of its sum shows in the scrape, and is asserted, so that the test is known to hit the window it is about.
#[test]
fn a_writer_stopped_in_the_middle_of_an_observation_delays_no_scrape() {
    let _serial = ONE_AT_A_TIME.lock();
    let _watchdog = Watchdog::new("a scrape beside a writer that stands still");
    handle(libc::SIGUSR1, park);
    let registry = Registry::new();
    let histogram = registry.histogram(("parked", ""), &unit_buckets()).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (histogram, done) = (histogram.clone(), Arc::clone(&done));
        thread::spawn(move || {
            let mut observations = 0u64;
            while !done.load(Ordering::Relaxed) {
                histogram.observe(1.0);
                observations += 1;
            }
            observations
        })
    };
    let mut snapshot = Snapshot::new();
    let (mut torn, mut last) = (0, (0, 0.0));
    let (mut fastest, mut slowest) = (Duration::MAX, Duration::ZERO);
    let mut stops = 0;
    while stops < 300 || (torn < 3 && stops < 10_000) {
        stops += 1;
        RELEASED.store(false, Ordering::Release);
        signal(writer.as_pthread_t(), libc::SIGUSR1);
        while !PARKED.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let start = Instant::now();
        snapshot.take(&registry);
        let took = start.elapsed();
        (fastest, slowest) = (fastest.min(took), slowest.max(took));
        let seen = distribution(&snapshot, "parked");
        snapshot.take(&registry);
        assert_eq!(distribution(&snapshot, "parked"), seen, "nobody else writes");
        assert!(PARKED.load(Ordering::Acquire), "the writer still stands");
        let missing = seen.0 as f64 - seen.1;
        assert!((0.0..=1.0).contains(&missing), "at most the one in flight: {seen:?}");
        assert!(seen.0 >= last.0 && seen.1 >= last.1, "{seen:?} after {last:?}");
        torn += u32::from(missing > 0.0);
        last = seen;
        RELEASED.store(true, Ordering::Release);
        while PARKED.load(Ordering::Acquire) {
            thread::yield_now();
        }
    }
    done.store(true, Ordering::Relaxed);
    let observations = writer.join().unwrap();
    println!(
        "{stops} stops, {torn} between bucket and sum; scrapes took {fastest:?} to {slowest:?}"
    );
    // Of the fastest, because the slowest may have waited for a processor; one that waits for the writer waits each time.
    assert!(fastest < Duration::from_millis(10), "{fastest:?} beside a writer that stands still");
    assert!(torn > 0, "no stop hit the middle of an observation");
    assert_eq!(histogram.get().counts, [observations, 0, 0, 0, 0]);
    assert_eq!(histogram.get().sum, observations as f64);
}

// ---- Signal handlers ------------------------------------------------------------------------------------------

struct Handled {
    calls: AtomicU64,
    count: Counter,
    values: Histogram,
    open: UpDownCounter,
    level: Gauge,
    shared_count: Counter,
    shared_values: Histogram,
}

static HANDLED: OnceLock<Handled> = OnceLock::new();

extern "C" fn record_in_handler(_signal: libc::c_int) {
    if let Some(handled) = HANDLED.get() {
        handled.calls.fetch_add(1, Ordering::Relaxed);
        handled.open.inc();
        handled.count.inc();
        handled.values.observe(2.0);
        handled.level.add(1.0);
        handled.shared_count.inc();
        handled.shared_values.observe(1.0);
        handled.open.dec();
    }
}

/// The guarantee of `docs/orderings.md` under "Signals": metrics that only the handler records are exact, so are those
/// that only the interrupted code records; of a metric that both record on one thread, the *handler's* recording may
/// be lost, never the interrupted one's.
#[test]
fn a_signal_handler_records_without_deadlock_and_loses_nothing_of_its_own() {
    let _serial = ONE_AT_A_TIME.lock();
    let _watchdog = Watchdog::new("recording from a signal handler");
    let registry = Registry::new();
    let histogram = |name| registry.histogram((name, ""), &unit_buckets()).unwrap();
    let handled = HANDLED.get_or_init(|| Handled {
        calls: AtomicU64::new(0),
        count: registry.counter(("handler_total", "")).unwrap(),
        values: histogram("handler_values"),
        open: registry.up_down_counter(("handler_open", "")).unwrap(),
        level: registry.gauge(("handler_level", "")).unwrap(),
        shared_count: registry.counter(("shared_total", "")).unwrap(),
        shared_values: histogram("shared_values"),
    });
    handle(libc::SIGUSR2, record_in_handler);
    let (count, values) = (registry.counter(("loop_total", "")).unwrap(), histogram("loop_values"));
    let (ready, is_ready) = mpsc::channel();
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (count, values, done) = (count.clone(), values.clone(), Arc::clone(&done));
        thread::spawn(move || {
            // The first recording leases the shard, which allocates: not for a handler to do.
            count.inc();
            ready.send(()).unwrap();
            let mut turns = 0u64;
            while !done.load(Ordering::Relaxed) {
                count.inc();
                values.observe(2.0);
                handled.shared_count.inc();
                handled.shared_values.observe(1.0);
                turns += 1;
            }
            turns
        })
    };
    let scraper = {
        let (registry, done) = (registry.clone(), Arc::clone(&done));
        thread::spawn(move || {
            let mut snapshot = Snapshot::new();
            let (mut scrapes, mut last) = (0u64, [0; 2]);
            while !done.load(Ordering::Relaxed) {
                snapshot.take(&registry);
                let now = ["handler_total", "loop_total"].map(|name| unsigned(&snapshot, name));
                assert!(now[0] >= last[0] && now[1] >= last[1], "{now:?} after {last:?}");
                for name in ["handler_values", "loop_values"] {
                    let (count, sum) = distribution(&snapshot, name);
                    assert!(sum <= 2.0 * count as f64, "{name}: {sum} of {count}");
                }
                let open = value(&snapshot, "handler_open", |value| match value {
                    Value::Signed(value) => value,
                    other => panic!("{other:?}"),
                });
                // More than one when handlers run between the reading of falls and of rises.
                assert!(open >= 0, "{open}");
                last = now;
                scrapes += 1;
                // Leave the processor to the writer: it is its handler that is waited for.
                thread::sleep(Duration::from_micros(100));
            }
            scrapes
        })
    };
    is_ready.recv().unwrap();
    let start = Instant::now();
    let mut calls = 0;
    while calls < 500 || start.elapsed() < Duration::from_secs(1) {
        signal(writer.as_pthread_t(), libc::SIGUSR2);
        // A signal that is sent while one is pending is dropped, so wait for each.
        while handled.calls.load(Ordering::Relaxed) == calls {
            thread::yield_now();
        }
        calls += 1;
    }
    done.store(true, Ordering::Relaxed);
    let (turns, scrapes) = (writer.join().unwrap(), scraper.join().unwrap());
    let calls = handled.calls.load(Ordering::Relaxed);
    let shared = (handled.shared_count.get(), handled.shared_values.get());
    let shared_observations: u64 = shared.1.counts.iter().sum();
    println!(
        "{calls} handlers in {turns} turns, {scrapes} scrapes; recordings of a handler lost in a shared metric: \
         counter {}, histogram {}",
        (turns + calls) - shared.0,
        (turns + calls) - shared_observations,
    );
    assert!(scrapes > 100, "only {scrapes} scrapes");
    assert_eq!(handled.count.get(), calls);
    assert_eq!(handled.values.get().counts, [0, calls, 0, 0, 0]);
    assert_eq!(handled.values.get().sum, 2.0 * calls as f64);
    assert_eq!(handled.open.get(), 0);
    assert_eq!(handled.level.get(), calls as f64, "a gauge is shared and exact");
    assert_eq!(count.get(), turns + 1);
    assert_eq!(values.get().counts, [0, turns, 0, 0, 0]);
    assert_eq!(values.get().sum, 2.0 * turns as f64);
    for shared in [shared.0, shared_observations] {
        assert!((turns..=turns + calls).contains(&shared), "{turns} <= {shared} <= +{calls}");
    }
}

// ---- Fork -----------------------------------------------------------------------------------------------------

/// Handles that a program has before it forks.
struct Forked {
    registry: Registry,
    counter: Counter,
    values: Histogram,
    /// Recorded by the forking thread only, once before each fork.
    own: Counter,
}

/// Other threads record and scrape while this one forks; `child` runs in each child, and says whether all is well.
/// `quiet_scrapes`: no scrape is under way at the instant of a fork.
fn fork_under_load(quiet_scrapes: bool, child: fn(&Forked, u64) -> bool) {
    const FORKS: u64 = 20;
    let registry = Registry::new();
    let counter = registry.counter(("fork_total", "")).unwrap();
    let values = registry.histogram(("fork_values", ""), &unit_buckets()).unwrap();
    let own = registry.counter(("fork_own_total", "")).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let scraping = Arc::new(Mutex::new(()));
    let mut threads = Vec::new();
    for _ in 0..2 {
        let (counter, values, done) = (counter.clone(), values.clone(), Arc::clone(&done));
        threads.push(thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                counter.inc();
                values.observe(1.0);
            }
        }));
    }
    let (scraped, done_too, between) = (registry.clone(), Arc::clone(&done), Arc::clone(&scraping));
    threads.push(thread::spawn(move || {
        let mut snapshot = Snapshot::new();
        while !done_too.load(Ordering::Relaxed) {
            let _quiet = between.lock();
            snapshot.take(&scraped);
        }
    }));
    let handles = Forked { registry, counter, values, own };
    for forked in 1..=FORKS {
        handles.own.inc();
        let quiet = quiet_scrapes.then(|| scraping.lock());
        let status = in_child(|| child(&handles, forked));
        drop(quiet);
        assert_eq!(status, 0, "wait status of child {forked}");
    }
    done.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(handles.own.get(), FORKS, "what a child records stays in the child");
}

#[test]
fn a_child_forked_in_the_middle_of_recordings_and_scrapes_records_and_reads_on() {
    let _serial = ONE_AT_A_TIME.lock();
    let _watchdog = Watchdog::new("recording in a forked child");
    fork_under_load(false, |Forked { counter, values, own, .. }, forked| {
        let (before, observed) = (counter.get(), values.get().counts[0]);
        assert_eq!(own.get(), forked, "inherited");
        for _ in 0..1_000_000 {
            counter.inc();
            values.observe(1.0);
        }
        let elsewhere = counter.clone();
        thread::spawn(move || (0..1000).for_each(|_| elsewhere.inc())).join().unwrap();
        // Threads of the parent do not exist here, so what they had recorded stands still.
        counter.get() == before + 1_001_000 && values.get().counts[0] == observed + 1_000_000
    });
}

/// A whole scrape takes locks, which a scrape of the parent may hold at the fork: see "Fork" in `docs/orderings.md`.
#[test]
fn a_child_can_scrape_if_no_scrape_ran_at_the_fork() {
    let _serial = ONE_AT_A_TIME.lock();
    let _watchdog = Watchdog::new("a scrape in a forked child");
    fork_under_load(true, |Forked { registry, counter, .. }, forked| {
        let mut snapshot = Snapshot::new();
        snapshot.take(registry);
        assert_eq!(unsigned(&snapshot, "fork_own_total"), forked, "inherited");
        let before = unsigned(&snapshot, "fork_total");
        let elsewhere = counter.clone();
        thread::spawn(move || (0..1000).for_each(|_| elsewhere.inc())).join().unwrap();
        counter.inc();
        registry.counter(("fork_child_total", "")).unwrap().inc();
        snapshot.take(registry);
        unsigned(&snapshot, "fork_total") == before + 1001
            && unsigned(&snapshot, "fork_child_total") == 1
    });
}

// ---- Memory and threads ---------------------------------------------------------------------------------------

/// Without scrapes memory does not grow, unlike in peers that queue samples until a scrape (metrics#245, #465).
#[cfg(target_os = "linux")]
#[test]
fn a_hundred_million_observations_without_a_scrape_take_no_memory() {
    let _serial = ONE_AT_A_TIME.lock();
    let registry = Registry::new();
    let histogram = registry.histogram(("unscraped", ""), &unit_buckets()).unwrap();
    let observe = |times: u64| (0..times).for_each(|i| histogram.observe((i & 15) as f64));
    observe(1_000_000);
    let before = resident_kib();
    observe(100_000_000);
    let after = resident_kib();
    println!("resident: {before} KiB before, {after} KiB after");
    assert!(after < before + 64, "grew from {before} to {after} KiB");
    assert_eq!(histogram.get().counts.iter().sum::<u64>(), 101_000_000);
}

#[cfg(target_os = "linux")]
#[test]
fn two_hundred_thousand_threads_leave_only_their_counts() {
    const LANES: u64 = 2;
    let _serial = ONE_AT_A_TIME.lock();
    let registry = Registry::new();
    let counter = registry.counter(("born_total", "")).unwrap();
    let born_and_gone = |threads: u64| {
        let lanes: Vec<_> = (0..LANES)
            .map(|_| {
                let counter = counter.clone();
                thread::spawn(move || {
                    for _ in 0..threads / LANES {
                        let counter = counter.clone();
                        thread::spawn(move || counter.inc()).join().unwrap();
                    }
                })
            })
            .collect();
        lanes.into_iter().for_each(|lane| lane.join().unwrap());
    };
    born_and_gone(2000);
    let (before, shards) = (resident_kib(), shard_count());
    born_and_gone(198_000);
    let after = resident_kib();
    println!("resident: {before} KiB before, {after} KiB after; {} shards", shard_count());
    assert_eq!(counter.get(), 200_000);
    assert_eq!(shard_count(), shards, "shards are adopted, not made");
    assert!(after < before + 512, "grew from {before} to {after} KiB");
}

// ---- The operating system -------------------------------------------------------------------------------------

fn handle(number: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: both handlers touch only atomics and recordings, which are async-signal-safe (that is the promise).
    let before = unsafe { libc::signal(number, handler as *const () as libc::sighandler_t) };
    assert_ne!(before, libc::SIG_ERR);
}

fn signal(thread: libc::pthread_t, number: libc::c_int) {
    // SAFETY: the caller joins the thread later, so the thread's id is still its own.
    let error = unsafe { libc::pthread_kill(thread, number) };
    assert_eq!(error, 0, "pthread_kill");
}

/// Runs `work` in a forked child and returns its wait status: 0 when it said `true`. A child that hangs is ended by
/// an alarm, which shows in the status.
fn in_child(work: impl FnOnce() -> bool) -> libc::c_int {
    // SAFETY: the child runs `work` and leaves by `_exit`: it never returns into the harness, whose threads it lacks.
    // glibc makes its allocator usable in the child of a process with threads.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        // SAFETY: no handler is installed for the alarm, so it ends the process.
        unsafe { libc::alarm(20) };
        let good = catch_unwind(AssertUnwindSafe(work)).unwrap_or(false);
        // SAFETY: ends the process at once, without the harness's exit handlers.
        unsafe { libc::_exit(i32::from(!good)) }
    }
    let mut status = -1;
    // SAFETY: `status` lives on this stack, and the child is ours.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(waited, pid, "waitpid");
    status
}

/// Resident memory. `smaps_rollup` counts pages; the cheaper `statm` may be off by 64 pages a thread.
#[cfg(target_os = "linux")]
fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
