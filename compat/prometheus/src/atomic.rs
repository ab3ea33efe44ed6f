//! Numbers, and the atomic cells that hold them where there is no shard.

use crate::lookup::Cache;
use crate::series::AnySeries;
use crate::value::Value;
use dynamo_metrics_core::DetachedCounter;
use std::ops::{AddAssign, SubAssign};
use std::sync::atomic::{self, Ordering};
use triomphe::Arc;

/// A number that a counter or gauge can have.
pub trait Number:
    Sized + AddAssign + SubAssign + PartialOrd + PartialEq + Copy + Send + Sync
{
    /// Converts from `i64`.
    fn from_i64(v: i64) -> Self;
    /// Converts to `f64`, rounded above 2^53.
    fn into_f64(self) -> f64;
}

macro_rules! number {
    ($($number:ty)*) => {$(
        impl Number for $number {
            #[inline]
            fn from_i64(v: i64) -> Self {
                v as $number
            }
            #[inline]
            fn into_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}
number!(i64 u64 f64);

/// A number that threads change together.
pub trait Atomic: Send + Sync {
    /// The number.
    type T: Number;
    /// Returns a cell with this value.
    fn new(val: Self::T) -> Self;
    /// Replaces the value.
    fn set(&self, val: Self::T);
    /// Returns the value.
    fn get(&self) -> Self::T;
    /// Adds `delta`.
    fn inc_by(&self, delta: Self::T);
    /// Subtracts `delta`.
    fn dec_by(&self, delta: Self::T);

    /// Returns cells in the shards for a counter of this type; `None` for types without, and when no cells are left.
    #[doc(hidden)]
    fn __cells() -> Option<Cells> {
        None
    }
    /// Adds to cells that [`__cells`](Self::__cells) returned.
    #[doc(hidden)]
    fn __add(_cells: &Cells, _delta: Self::T) {}
    /// Returns the total of cells that [`__cells`](Self::__cells) returned, less `base`, an earlier total.
    #[doc(hidden)]
    fn __total(_cells: &Cells, _base: Self::T) -> Self::T {
        Self::T::from_i64(0)
    }
    /// Returns the series of a value that registries can read without its message.
    #[doc(hidden)]
    fn __series(_value: &Arc<Value<Self>>) -> Option<AnySeries>
    where
        Self: Sized,
    {
        None
    }
    /// Calls `f` with the calling thread's cache of values of this type.
    #[doc(hidden)]
    fn __cached<R>(_f: impl FnOnce(&Cache<Value<Self>>) -> R) -> Option<R>
    where
        Self: Sized,
    {
        None
    }
}

/// Defines the cache of a type of number.
macro_rules! cached {
    ($number:ty) => {
        #[inline]
        fn __cached<R>(f: impl FnOnce(&Cache<Value<Self>>) -> R) -> Option<R> {
            thread_local! {
                static CACHE: Cache<Value<$number>> = const { Cache::new() };
            }
            CACHE.try_with(f).ok()
        }
    };
}

/// A counter's cells in the shards.
#[doc(hidden)]
pub type Cells = DetachedCounter;

/// An atomic `f64`.
#[derive(Debug)]
pub struct AtomicF64 {
    bits: atomic::AtomicU64,
}

impl AtomicF64 {
    /// Replaces the value and returns the one before.
    pub fn swap(&self, val: f64, ordering: Ordering) -> f64 {
        f64::from_bits(self.bits.swap(val.to_bits(), ordering))
    }
}

impl Atomic for AtomicF64 {
    type T = f64;

    fn new(val: f64) -> Self {
        Self { bits: atomic::AtomicU64::new(val.to_bits()) }
    }

    #[inline]
    fn set(&self, val: f64) {
        self.bits.store(val.to_bits(), Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }

    #[inline]
    fn inc_by(&self, delta: f64) {
        let mut before = self.bits.load(Ordering::Relaxed);
        loop {
            let after = (f64::from_bits(before) + delta).to_bits();
            let swapped = self.bits.compare_exchange_weak(
                before,
                after,
                Ordering::Release,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return,
                Err(seen) => before = seen,
            }
        }
    }

    #[inline]
    fn dec_by(&self, delta: f64) {
        self.inc_by(-delta);
    }

    fn __series(value: &Arc<Value<Self>>) -> Option<AnySeries> {
        Some(AnySeries::Float(Arc::clone(value)))
    }

    cached!(AtomicF64);
}

/// An atomic `i64`. It wraps.
#[derive(Debug)]
pub struct AtomicI64 {
    inner: atomic::AtomicI64,
}

impl Atomic for AtomicI64 {
    type T = i64;

    fn new(val: i64) -> Self {
        Self { inner: atomic::AtomicI64::new(val) }
    }

    #[inline]
    fn set(&self, val: i64) {
        self.inner.store(val, Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> i64 {
        self.inner.load(Ordering::Relaxed)
    }

    #[inline]
    fn inc_by(&self, delta: i64) {
        self.inner.fetch_add(delta, Ordering::Relaxed);
    }

    #[inline]
    fn dec_by(&self, delta: i64) {
        self.inner.fetch_sub(delta, Ordering::Relaxed);
    }

    fn __series(value: &Arc<Value<Self>>) -> Option<AnySeries> {
        Some(AnySeries::Signed(Arc::clone(value)))
    }

    cached!(AtomicI64);
}

/// An atomic `u64`. It wraps.
#[derive(Debug)]
pub struct AtomicU64 {
    inner: atomic::AtomicU64,
}

impl AtomicU64 {
    /// Adds `delta` with this ordering.
    pub fn inc_by_with_ordering(&self, delta: u64, ordering: Ordering) {
        self.inner.fetch_add(delta, ordering);
    }

    /// Replaces the value and returns the one before.
    pub fn swap(&self, val: u64, ordering: Ordering) -> u64 {
        self.inner.swap(val, ordering)
    }
}

impl Atomic for AtomicU64 {
    type T = u64;

    fn new(val: u64) -> Self {
        Self { inner: atomic::AtomicU64::new(val) }
    }

    #[inline]
    fn set(&self, val: u64) {
        self.inner.store(val, Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> u64 {
        self.inner.load(Ordering::Relaxed)
    }

    #[inline]
    fn inc_by(&self, delta: u64) {
        self.inc_by_with_ordering(delta, Ordering::Relaxed);
    }

    #[inline]
    fn dec_by(&self, delta: u64) {
        self.inner.fetch_sub(delta, Ordering::Relaxed);
    }

    fn __cells() -> Option<Cells> {
        DetachedCounter::new()
    }

    #[inline]
    fn __add(cells: &Cells, delta: u64) {
        cells.add(delta);
    }

    fn __total(cells: &Cells, base: u64) -> u64 {
        // The total wraps, and may have done so since.
        cells.get().wrapping_sub(base)
    }

    fn __series(value: &Arc<Value<Self>>) -> Option<AnySeries> {
        Some(AnySeries::Unsigned(Arc::clone(value)))
    }

    cached!(AtomicU64);
}
