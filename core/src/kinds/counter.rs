//! Counters, which only grow: `u64` and `f64`. Recording is a load, an add and a store in the thread's own shard.

use crate::arena::sum::cell_over_shards;
use crate::series::Exemplar;
use crate::series::{SeriesRef, Storage};
use crate::shard::{CellIndex, LocalLease, Writer, add_f64_release_first, add_first, add_own, own};
use crate::sync::AtomicU64;

/// A count that only grows. Exact up to 2^64 - 1; then it wraps to 0, which scrapers take for a restart.
///
/// Cost of [`inc`](Self::inc): a plain addition in memory that only this thread writes; the first recording of
/// a thread leases its shard.
///
/// ```
/// use dynamo_metrics_core::Registry;
///
/// let registry = Registry::new();
/// let tokens = registry.counter(("tokens_total", "Tokens produced."))?;
/// tokens.inc();
/// tokens.add(41);
/// assert_eq!(tokens.get(), 42);
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Counter {
    cell: CellIndex,
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        match own() {
            Some(base) => self.write(Writer::Own(base), n),
            None => add_first(self.cell, n),
        }
    }

    #[inline(always)]
    pub(super) fn write(&self, writer: Writer, n: u64) {
        writer.add(self.cell, n);
    }

    /// Adds one and stores an exemplar; see [`add_with_exemplar`](Self::add_with_exemplar).
    pub fn inc_with_exemplar(&self, exemplar: &Exemplar) {
        self.add_with_exemplar(1, exemplar);
    }

    /// Adds `n` and stores an exemplar of value `n` in place of the previous one. In a family without
    /// [`Opts::exemplars`](crate::Opts::exemplars) it only adds. It never waits: while another thread is writing the
    /// series' exemplar, this one is dropped.
    ///
    /// Cost: that of [`add`](Self::add), a compare-and-swap and eight stores in memory that all threads share.
    ///
    /// ```
    /// use dynamo_metrics_core::{Exemplar, Opts, Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// let requests = registry.counter(Opts::new("requests_total", "Requests.").exemplars())?;
    /// requests.inc_with_exemplar(&Exemplar::new("4bf92f3577b34da6a3ce929d0e0e4736")?);
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "requests_total").unwrap();
    /// let exemplar = family.parts().next().unwrap().series(0).unwrap().exemplar(0).unwrap();
    /// assert_eq!((exemplar.trace_id(), exemplar.value), ("4bf92f3577b34da6a3ce929d0e0e4736", 1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_with_exemplar(&self, n: u64, exemplar: &Exemplar) {
        // The count first, so that a scrape that sees the exemplar has counted its value.
        self.add(n);
        self.series.exemplify(0, n as f64, exemplar);
    }

    /// Returns the counter's cell.
    #[cfg(loom)]
    pub(crate) fn cell(&self) -> CellIndex {
        self.cell
    }

    /// Returns the sum over all threads. For tests and displays, because it reads every shard.
    pub fn get(&self) -> u64 {
        crate::shard::shards().iter().map(|shard| shard.read(self.cell)).fold(0, u64::wrapping_add)
    }

    /// Returns a handle pinned to the calling thread, whose recording is the addition without the lookup of the shard. `None` for a
    /// thread without a shard, because the operating system refuses the address space or the thread's locals are being
    /// destroyed; the shared handle still [records](Self::add).
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// # let tokens = registry.counter(("tokens_total", "Tokens produced."))?;
    /// let local = tokens.local().expect("address space");
    /// for _ in 0..1000 {
    ///     local.inc();
    /// }
    /// assert_eq!(tokens.get(), 1000);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// It cannot leave the thread:
    ///
    /// ```compile_fail
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// # let tokens = registry.counter(("tokens_total", "Tokens produced.")).unwrap();
    /// let local = tokens.local().unwrap();
    /// std::thread::spawn(move || local.inc());
    /// ```
    pub fn local(&self) -> Option<LocalCounter> {
        let (lease, base) = LocalLease::take()?;
        let cell = base.cell(self.cell);
        Some(LocalCounter { cell, _series: self.series.clone(), _lease: lease })
    }

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        let Storage::Word(span) = *series.storage() else { unreachable!("a counter has one word") };
        Self { cell: span.cell(), series }
    }
}

/// A [`Counter`] pinned to one thread; see [`Counter::local`].
#[derive(Debug)]
pub struct LocalCounter {
    /// An address, and not a block and an index: Intel's processors forward a store to the next load without delay only if
    /// the address is one register (0.45 instead of 2.4 ns for back-to-back increments).
    cell: &'static AtomicU64,
    /// Keeps the cells from being reused.
    _series: SeriesRef,
    /// Keeps the shard from being adopted by another thread.
    _lease: LocalLease,
}

impl LocalCounter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`. The count wraps at 2^64, as that of [`Counter`].
    #[inline]
    pub fn add(&self, n: u64) {
        add_own(self.cell, n);
    }
}

/// A count of fractions, for example of seconds, that only grows. A negative, NaN or infinite value is not added but
/// counted in `dynamo_metrics_rejected_observations_total`. The count saturates at the largest `f64`.
///
/// ```
/// use dynamo_metrics_core::Registry;
///
/// let registry = Registry::new();
/// let busy = registry.float_counter(("busy_seconds_total", "Time spent working."))?;
/// busy.add(0.5);
/// busy.add(-1.0);
/// assert_eq!(busy.get(), 0.5);
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FloatCounter {
    cell: CellIndex,
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

impl FloatCounter {
    /// Adds `v` if it is finite and not negative.
    #[inline]
    pub fn add(&self, v: f64) {
        if !(v >= 0.0 && v.is_finite()) {
            return self.reject(v);
        }
        match own() {
            Some(base) => Writer::Own(base).add_f64_release(self.cell, v),
            None => add_f64_release_first(self.cell, v),
        }
    }

    /// Adds `v` and stores an exemplar, as [`Counter::add_with_exemplar`] does. A value that is rejected stores no
    /// exemplar.
    pub fn add_with_exemplar(&self, v: f64, exemplar: &Exemplar) {
        // The sum first, so that a scrape that sees the exemplar has added its value.
        self.add(v);
        if v >= 0.0 && v.is_finite() {
            self.series.exemplify(0, v, exemplar);
        }
    }

    /// Returns the sum over all threads. For tests and displays, because it reads every shard.
    pub fn get(&self) -> f64 {
        f64::from_bits(cell_over_shards(self.cell))
    }

    #[cold]
    fn reject(&self, v: f64) {
        let reason = if v.is_nan() {
            "nan"
        } else if v < 0.0 {
            "negative"
        } else {
            "infinite"
        };
        self.series.reject(reason, 1);
    }

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        let Storage::Float(span) = *series.storage() else {
            unreachable!("a float counter has one float")
        };
        Self { cell: span.cell(), series }
    }
}
