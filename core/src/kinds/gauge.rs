//! Values that go up and down: a gauge that is set, and a sharded counter of things in progress.

use crate::series::{SeriesRef, Storage};
use crate::shard::{CellIndex, Writer, add_release_first, own};
use crate::sync::{AtomicU64, Ordering};

/// A value that is set: a temperature, a size, a ratio. It is one `f64` that all threads share, because the last `set`
/// wins on any thread. [`UpDownCounter`] is cheaper for counts of things in progress.
///
/// Cost: one store for `set`, a compare-and-swap for `add`, `sub`, `inc` and `dec`.
///
/// ```
/// use dynamo_metrics_core::Registry;
///
/// let registry = Registry::new();
/// let usage = registry.gauge(("cache_usage_ratio", "Used share of the cache."))?;
/// usage.set(0.25);
/// usage.add(0.5);
/// usage.sub(0.25);
/// assert_eq!(usage.get(), 0.5);
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gauge {
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

impl Gauge {
    /// Sets the value. NaN and infinities are valid values of a gauge.
    #[inline]
    pub fn set(&self, v: f64) {
        // Relaxed: a single number; no other memory depends on it.
        self.cell().store(v.to_bits(), Ordering::Relaxed);
    }

    /// Adds `v`, which may be negative.
    #[inline]
    pub fn add(&self, v: f64) {
        crate::shard::add_f64_shared(self.cell(), v);
    }

    /// Subtracts `v`.
    #[inline]
    pub fn sub(&self, v: f64) {
        self.add(-v);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Subtracts one.
    #[inline]
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// Returns the value.
    #[inline]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.cell().load(Ordering::Relaxed))
    }

    #[inline]
    fn cell(&self) -> &AtomicU64 {
        match &self.series.storage {
            Storage::Shared(cell) => cell,
            _ => unreachable!("a gauge has one shared value"),
        }
    }

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        Self { series }
    }
}

/// A count of things in progress, exposed as a gauge. Any thread may subtract what another thread added; each step costs
/// a plain addition in the thread's own shard.
///
/// Each thread has two cells that only grow, rises and falls, and a scrape reads all falls before all rises. So no scrape
/// shows a negative count, as long as every fall comes after its rise. With [`Opts::nested`](crate::Opts::nested) no scrape
/// shows it above the counter that it is a part of either.
///
/// ```
/// use dynamo_metrics_core::Registry;
///
/// let registry = Registry::new();
/// let inflight = registry.up_down_counter(("inflight_requests", "Requests in progress."))?;
/// inflight.inc();
/// let elsewhere = inflight.clone();
/// std::thread::spawn(move || elsewhere.dec()).join().unwrap();
/// assert_eq!(inflight.get(), 0);
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct UpDownCounter {
    rise: CellIndex,
    fall: CellIndex,
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

impl UpDownCounter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Subtracts one.
    #[inline]
    pub fn dec(&self) {
        self.sub(1);
    }

    /// Adds `n`. The rises wrap at 2^64, which leaves the difference from the falls right.
    #[inline]
    pub fn add(&self, n: u64) {
        record(self.rise, n);
    }

    /// Subtracts `n`. The falls wrap at 2^64, as the rises do. A subtraction that comes before its addition shows a negative
    /// gauge until the addition.
    #[inline]
    pub fn sub(&self, n: u64) {
        record(self.fall, n);
    }

    /// Returns rises minus falls over all threads, modulo 2^64 as an `i64`: a difference above `i64::MAX` is negative. For
    /// tests and displays, because it reads every shard.
    pub fn get(&self) -> i64 {
        let sum = |cell| {
            crate::shard::shards().iter().map(|shard| shard.read(cell)).fold(0, u64::wrapping_add)
        };
        // Falls first, so that the result is not negative; see the type's documentation.
        let falls = sum(self.fall);
        sum(self.rise).wrapping_sub(falls).cast_signed()
    }

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        let Storage::UpDown { rise, fall, .. } = series.storage else {
            unreachable!("an up/down counter has rises and falls")
        };
        Self { rise: rise.cell(), fall: fall.cell(), series }
    }
}

#[inline]
fn record(cell: CellIndex, n: u64) {
    // Release, so that a scrape that sees this step also sees the steps before it in other cells.
    match own() {
        Some(base) => Writer::Own(base).add_release(cell, n),
        None => add_release_first(cell, n),
    }
}
