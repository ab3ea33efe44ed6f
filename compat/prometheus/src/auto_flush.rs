//! Metrics of one thread that flush themselves, for code that prometheus-static-metric generates.

use crate::atomic::Atomic;
use crate::counter::{CounterWithValueType, GenericLocalCounter};
use crate::instant::Instant;
use crate::local_histogram::LocalHistogram;
use crate::metric::MayFlush;
use crate::timer;
use std::marker::PhantomData;
use std::sync::Mutex;
use std::thread::LocalKey;

/// Finds a counter of the thread.
pub trait CounterDelegator<T: 'static + MayFlush, V: CounterWithValueType> {
    /// Returns the thread-local that has all metrics.
    fn get_root_metric(&self) -> &'static LocalKey<T>;
    /// Returns the counter among them.
    fn get_local<'a>(&self, root_metric: &'a T) -> &'a GenericLocalCounter<V::ValueType>;
}

/// Finds a histogram of the thread.
pub trait HistogramDelegator<T: 'static + MayFlush> {
    /// Returns the thread-local that has all metrics.
    fn get_root_metric(&self) -> &'static LocalKey<T>;
    /// Returns the histogram among them.
    fn get_local<'a>(&self, root_metric: &'a T) -> &'a LocalHistogram;
}

/// A counter of the thread that flushes itself.
#[derive(Debug)]
pub struct AFLocalCounter<T: 'static + MayFlush, V: CounterWithValueType, D: CounterDelegator<T, V>>
{
    delegator: D,
    /// The mark that lets it be shared between threads, as each finds metrics of its own.
    shared: PhantomData<(Mutex<T>, Mutex<V>)>,
}

impl<T: 'static + MayFlush, V: CounterWithValueType, D: CounterDelegator<T, V>>
    AFLocalCounter<T, V, D>
{
    /// Returns a counter, and starts the clock by which it is flushed.
    pub fn new(delegator: D) -> Self {
        timer::ensure_updater();
        Self { delegator, shared: PhantomData }
    }

    /// Adds `v`.
    #[inline]
    pub fn inc_by(&self, v: <V::ValueType as Atomic>::T) {
        self.with(|root, counter| {
            counter.inc_by(v);
            root.may_flush();
        });
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.with(|root, counter| {
            counter.inc();
            root.may_flush();
        });
    }

    /// Returns what was added since the last flush.
    #[inline]
    pub fn get(&self) -> <V::ValueType as Atomic>::T {
        self.with(|_, counter| counter.get())
    }

    /// Forgets what was added since the last flush.
    #[inline]
    pub fn reset(&self) {
        self.with(|_, counter| counter.reset());
    }

    /// Flushes all metrics of the thread.
    #[inline]
    pub fn flush(&self) {
        self.delegator.get_root_metric().with(T::flush);
    }

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&T, &GenericLocalCounter<V::ValueType>) -> R) -> R {
        self.delegator.get_root_metric().with(|root| f(root, self.delegator.get_local(root)))
    }
}

/// A histogram of the thread that flushes itself.
#[derive(Debug)]
pub struct AFLocalHistogram<T: 'static + MayFlush, D: HistogramDelegator<T>> {
    delegator: D,
    shared: PhantomData<Mutex<T>>,
}

impl<M: 'static + MayFlush, D: HistogramDelegator<M>> AFLocalHistogram<M, D> {
    /// Returns a histogram, and starts the clock by which it is flushed.
    pub fn new(delegator: D) -> Self {
        timer::ensure_updater();
        Self { delegator, shared: PhantomData }
    }

    /// Adds one observation.
    pub fn observe(&self, v: f64) {
        self.with(|root, histogram| {
            histogram.observe(v);
            root.may_flush();
        });
    }

    /// Observes the seconds that a function takes.
    pub fn observe_closure_duration<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T,
    {
        let start = Instant::now();
        let result = f();
        self.observe(start.elapsed_sec());
        result
    }

    /// Observes the seconds that a function takes.
    #[cfg(feature = "nightly")]
    pub fn observe_closure_duration_coarse<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T,
    {
        self.observe_closure_duration(f)
    }

    /// Forgets the observations since the last flush.
    pub fn clear(&self) {
        self.with(|_, histogram| histogram.clear());
    }

    /// Adds the observations to the shared histogram.
    pub fn flush(&self) {
        self.with(|_, histogram| histogram.flush());
    }

    /// Returns the sum of the observations since the last flush.
    pub fn get_sample_sum(&self) -> f64 {
        self.with(|_, histogram| histogram.get_sample_sum())
    }

    /// Returns the number of observations since the last flush.
    pub fn get_sample_count(&self) -> u64 {
        self.with(|_, histogram| histogram.get_sample_count())
    }

    fn with<R>(&self, f: impl FnOnce(&M, &LocalHistogram) -> R) -> R {
        self.delegator.get_root_metric().with(|root| f(root, self.delegator.get_local(root)))
    }
}
