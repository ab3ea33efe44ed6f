//! A dropped registry frees its memory at once: a job that creates a registry, fills it and drops it can run any number of times
//! on one thread. The test has a process of its own, because it measures the resident memory of the process.

use dynamo_metrics_core::{Buckets, Counter, Opts, Registry};

const REGISTRIES: u64 = 10_000;
const SERIES: u64 = 200;
/// The limit of series of a family, so that a series without cells shows in the overflow series.
const CAP: usize = 1000;
/// Allowed growth, for pages that the allocator keeps. One registry that is not freed is 100 KiB, all of them 1 GB.
const GROWTH_KIB_MAX: u64 = 8 * 1024;

fn job() {
    let registry = Registry::new();
    let opts = Opts::new("items_total", "").series_max(CAP);
    let family = registry.counter_family(opts, ["item"]).unwrap();
    let wait = registry
        .histogram_family(("wait_seconds", ""), ["item"], &Buckets::new([0.1, 1.0]).unwrap())
        .unwrap();
    for item in 0..SERIES {
        let item = item.to_string();
        family.visit([&item], Counter::inc);
        wait.visit([&item], |wait| wait.observe(0.5));
    }
    let total: u64 =
        (0..SERIES).filter_map(|item| family.get([&item.to_string()])).map(|c| c.get()).sum();
    assert_eq!((family.len() as u64, total), (SERIES, SERIES), "each series has cells of its own");
    assert_eq!(wait.len() as u64, SERIES);
}

#[test]
fn ten_thousand_registries_on_one_thread_leave_nothing_behind() {
    (0..100).for_each(|_| job());
    let before = resident_kib();
    (0..REGISTRIES).for_each(|_| job());
    let after = resident_kib();
    println!("resident KiB: {before:?} after 100 registries, {after:?} after {REGISTRIES} more");
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + GROWTH_KIB_MAX, "{before} KiB became {after} KiB");
    }
}

/// Returns the resident memory of this process; prints that it is skipped and returns `None` without `/proc`.
fn resident_kib() -> Option<u64> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        println!("SKIPPED the look at resident memory: there is no /proc here");
        return None;
    };
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
