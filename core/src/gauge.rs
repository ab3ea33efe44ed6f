//! Values that go up and down: a gauge that is set, and a sharded up/down counter that is only moved.

use crate::descriptor::Kind;
use crate::family::{Metric, sealed};
use crate::lookup::AnyHandle;
use crate::series::{Numbers, SeriesRef};
use crate::shard::{CellIndex, Writer, add_release_first, own};
use crate::sync::{AtomicU64, Ordering};

/// A value that is set: a temperature, a size, a share. `f64`, shared by all threads, because the last `set`
/// wins whoever made it. For counts of things in progress [`UpDownCounter`] is cheaper.
///
/// Cost: `set` is one store; `add` and its kin a compare-and-swap.
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
    series: SeriesRef,
}

impl Gauge {
    /// Sets the value. NaN and infinities are legal values of a gauge.
    #[inline]
    pub fn set(&self, v: f64) {
        // Relaxed: a single number that orders nothing else.
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

    /// The value.
    #[inline]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.cell().load(Ordering::Relaxed))
    }

    #[inline]
    fn cell(&self) -> &AtomicU64 {
        match &self.series.numbers {
            Numbers::Shared(cell) => cell,
            _ => unreachable!("a gauge has one shared value"),
        }
    }
}

impl sealed::Sealed for Gauge {}
impl Metric for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn into_any(self) -> AnyHandle {
        AnyHandle::Gauge(self)
    }

    #[inline]
    fn from_any(any: &AnyHandle) -> Option<&Self> {
        match any {
            AnyHandle::Gauge(handle) => Some(handle),
            _ => None,
        }
    }

    #[inline]
    fn series(&self) -> &SeriesRef {
        &self.series
    }

    fn bind(series: SeriesRef) -> Self {
        Self { series }
    }
}

/// A count of things in progress, exposed as a gauge. Sharded: any thread may take back what another one
/// added, at the cost of a plain addition.
///
/// It is kept as two monotone cells a thread, rises and falls, and a scrape reads all falls before all rises.
/// So it is never negative in a scrape, as long as every fall follows its rise. With
/// [`Opts::nested`](crate::Opts::nested) it also never exceeds the one around it.
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
    // Keeps the cells from being reused.
    _series: SeriesRef,
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

    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        record(self.rise, n);
    }

    /// Subtracts `n`.
    #[inline]
    pub fn sub(&self, n: u64) {
        record(self.fall, n);
    }

    /// Rises minus falls over all threads. For tests and displays: it reads every shard.
    pub fn get(&self) -> i64 {
        let sum = |cell| {
            crate::shard::shards().iter().map(|shard| shard.read(cell)).fold(0, u64::wrapping_add)
        };
        // Falls first: never negative, see the type's documentation.
        let falls = sum(self.fall);
        sum(self.rise).wrapping_sub(falls).cast_signed()
    }
}

#[inline]
fn record(cell: CellIndex, n: u64) {
    // Release, so that a scrape which sees this step also sees the steps before it in other cells.
    match own() {
        Some(base) => Writer::Own(base).add_release(cell, n),
        None => add_release_first(cell, n),
    }
}

impl sealed::Sealed for UpDownCounter {}
impl Metric for UpDownCounter {
    const KIND: Kind = Kind::UpDownCounter;

    fn into_any(self) -> AnyHandle {
        AnyHandle::UpDownCounter(self)
    }

    #[inline]
    fn from_any(any: &AnyHandle) -> Option<&Self> {
        match any {
            AnyHandle::UpDownCounter(handle) => Some(handle),
            _ => None,
        }
    }

    #[inline]
    fn series(&self) -> &SeriesRef {
        &self._series
    }

    fn bind(series: SeriesRef) -> Self {
        let Numbers::UpDown { rise, fall, .. } = series.numbers else {
            unreachable!("an up/down counter has rises and falls")
        };
        Self { rise: rise.cell(), fall: fall.cell(), _series: series }
    }
}
