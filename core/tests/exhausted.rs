//! When the process has no more cells, new series fold into the overflow series as beyond a cap, at the same cost; and once cells
//! come back, there are new series again. A process of its own, because it takes all cells.

use dynamo_metrics_core::limits::BOUNDS_MAX;
use dynamo_metrics_core::{Buckets, Family, Metric, Opts, Registry};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// More series than there can be, so that the cap does not come first.
const CAP: usize = 1 << 22;

/// Makes series until one finds no cells.
fn fill<M: Metric>(family: &Family<M, 1>, prefix: &str) {
    let made = |n: usize| {
        let name = format!("{prefix}-{n}");
        family.with([&name]);
        family.get([&name]).is_some()
    };
    assert!((0..CAP).any(|n| !made(n)), "there are more cells than series");
}

#[test]
fn without_cells_a_lookup_of_new_values_costs_what_one_beyond_the_cap_costs() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    // The clock is read before the lock of the family is taken for a new series, and for nothing else.
    let registry = Registry::with_clock(|| {
        CALLS.fetch_add(1, Ordering::Relaxed);
        Duration::from_secs(1)
    });
    let buckets = Buckets::new((0..BOUNDS_MAX).map(|bound| bound as f64)).unwrap();
    let opts = |name: &str| Opts::new(name, "").series_max(CAP);
    let small = registry.counter_family(opts("small_total"), ["n"]).unwrap();
    let pair =
        registry.histogram_family(opts("pair"), ["n"], &Buckets::new([1.0]).unwrap()).unwrap();
    let hogs = Registry::new();
    let hog = hogs.histogram_family(opts("hog"), ["n"], &buckets).unwrap();
    fill(&hog, "hog");
    fill(&small, "small");
    fill(&pair, "pair");

    let (calls, made) = (CALLS.load(Ordering::Relaxed), (small.len(), pair.len()));
    for n in 0..100 {
        small.with([&format!("new-{n}")]).inc();
        pair.with([&format!("new-{n}")]).observe(0.5);
    }
    assert_eq!(CALLS.load(Ordering::Relaxed), calls, "no attempt to make a series");
    assert_eq!((small.len(), pair.len()), made);
    assert_eq!(small.with(["other"]).get(), 100);
    assert_eq!(pair.with(["other"]).get().counts.iter().sum::<u64>(), 100, "nothing is lost");

    drop((hogs, hog));
    small.with(["late"]).inc();
    pair.with(["late"]).observe(0.5);
    assert_eq!(small.get(["late"]).map(|late| late.get()), Some(1));
    assert_eq!(pair.get(["late"]).map(|late| late.get().counts.iter().sum::<u64>()), Some(1));
}
