//! Counters, shared and of one thread.

use crate::atomic::{Atomic, AtomicF64, AtomicU64, Number};
use crate::desc::{Desc, Describer};
use crate::error::Result;
use crate::family::Family;
use crate::lookup::Lease;
use crate::metric::{Collector, LocalMetric, Metric, Opts};
use crate::plan::Plan;
use crate::proto::{self, MetricType};
use crate::table::{LabelValues, Table};
use crate::value::Value;
use crate::value_vec::{self, ValueMetric, ValueVecBuilder};
use crate::vec::MetricVec;
use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A counter of any type of number. Clones are the same counter.
///
/// Counters of [`AtomicU64`] record in the calling thread's shard; reading one adds up the shards. Those of [`AtomicF64`] are one
/// number that threads share, so that a reset is exact.
#[derive(Debug)]
pub struct GenericCounter<P: Atomic> {
    value: Lease<Value<P>>,
}

/// A counter of `f64`.
pub type Counter = GenericCounter<AtomicF64>;

/// A counter of `u64`, the faster one.
pub type IntCounter = GenericCounter<AtomicU64>;

impl<P: Atomic> Clone for GenericCounter<P> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone() }
    }
}

impl<P: Atomic> GenericCounter<P> {
    /// Returns a counter at zero.
    ///
    /// # Errors
    /// As [`Desc::new`].
    pub fn new<S1: Into<String>, S2: Into<String>>(name: S1, help: S2) -> Result<Self> {
        Self::with_opts(Opts::new(name, help))
    }

    /// Returns a counter at zero.
    ///
    /// # Errors
    /// As [`Desc::new`]; variable labels, which have no values here.
    pub fn with_opts(opts: Opts) -> Result<Self> {
        Self::of(&Arc::new(Family::new(opts.describe()?)), &LabelValues::default())
    }

    /// Adds `v`.
    ///
    /// # Panics
    /// If `v` is negative, in builds with debug assertions.
    #[inline]
    pub fn inc_by(&self, v: P::T) {
        debug_assert!(v >= P::T::from_i64(0));
        self.value.inc_by(v);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.value.inc_by(P::T::from_i64(1));
    }

    /// Returns the value: the sum over all threads.
    #[inline]
    pub fn get(&self) -> P::T {
        self.value.get()
    }

    /// Sets the value to zero.
    #[inline]
    pub fn reset(&self) {
        self.value.set(P::T::from_i64(0));
    }

    /// Returns a counter of this thread, which is added to this one when it is flushed.
    pub fn local(&self) -> GenericLocalCounter<P> {
        GenericLocalCounter { counter: self.clone(), value: Cell::new(P::T::from_i64(0)) }
    }
}

impl<P: Atomic> Collector for GenericCounter<P> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.value.family.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        vec![self.value.collect()]
    }

    fn __plan(&self, kept: &OnceLock<Arc<Plan>>) -> Option<Arc<Plan>> {
        value_vec::plan(self, kept)
    }
}

impl<P: Atomic> Metric for GenericCounter<P> {
    fn metric(&self) -> proto::Metric {
        self.value.metric()
    }
}

impl<P: Atomic> ValueMetric for GenericCounter<P> {
    type Number = P;
    const TYPE: MetricType = MetricType::COUNTER;

    fn of(family: &Arc<Family>, values: &LabelValues) -> Result<Self> {
        Ok(Self { value: Lease::new(Value::counter(family, values)?) })
    }

    #[inline]
    fn of_value(value: Lease<Value<P>>) -> Self {
        Self { value }
    }

    fn value(&self) -> &Lease<Value<P>> {
        &self.value
    }
}

/// A family of counters of any type of number.
pub type GenericCounterVec<P> = MetricVec<ValueVecBuilder<GenericCounter<P>>>;

/// A family of counters of `f64`.
pub type CounterVec = GenericCounterVec<AtomicF64>;

/// A family of counters of `u64`, the faster ones.
pub type IntCounterVec = GenericCounterVec<AtomicU64>;

impl<P: Atomic> GenericCounterVec<P> {
    /// Returns a family of this thread, which is added to this one when it is flushed.
    pub fn local(&self) -> GenericLocalCounterVec<P> {
        GenericLocalCounterVec { vec: self.clone(), local: Table::default() }
    }
}

/// A counter of one thread. Dropping it loses the value since the last flush.
#[derive(Debug)]
pub struct GenericLocalCounter<P: Atomic> {
    counter: GenericCounter<P>,
    value: Cell<P::T>,
}

/// The number that a counter of one thread has.
pub trait CounterWithValueType {
    /// The number's atomic type.
    type ValueType: Atomic;
}

impl<P: Atomic> CounterWithValueType for GenericLocalCounter<P> {
    type ValueType = P;
}

/// A counter of `f64` of one thread.
pub type LocalCounter = GenericLocalCounter<AtomicF64>;

/// A counter of `u64` of one thread.
pub type LocalIntCounter = GenericLocalCounter<AtomicU64>;

impl<P: Atomic> GenericLocalCounter<P> {
    /// Adds `v`.
    ///
    /// # Panics
    /// If `v` is negative, in builds with debug assertions.
    #[inline]
    pub fn inc_by(&self, v: P::T) {
        debug_assert!(v >= P::T::from_i64(0));
        let mut value = self.value.get();
        value += v;
        self.value.set(value);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(P::T::from_i64(1));
    }

    /// Returns what was added since the last flush.
    #[inline]
    pub fn get(&self) -> P::T {
        self.value.get()
    }

    /// Forgets what was added since the last flush.
    #[inline]
    pub fn reset(&self) {
        self.value.set(P::T::from_i64(0));
    }

    /// Adds the value to the shared counter.
    #[inline]
    pub fn flush(&self) {
        let value = self.value.replace(P::T::from_i64(0));
        if value != P::T::from_i64(0) {
            self.counter.inc_by(value);
        }
    }
}

impl<P: Atomic> LocalMetric for GenericLocalCounter<P> {
    #[inline]
    fn flush(&self) {
        GenericLocalCounter::flush(self);
    }
}

impl<P: Atomic> Clone for GenericLocalCounter<P> {
    /// Returns another local counter of the same shared one, at zero.
    fn clone(&self) -> Self {
        self.counter.local()
    }
}

/// A family of counters of one thread.
pub struct GenericLocalCounterVec<P: Atomic> {
    vec: GenericCounterVec<P>,
    local: Table<GenericLocalCounter<P>>,
}

impl<P: Atomic> fmt::Debug for GenericLocalCounterVec<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GenericLocalCounterVec ({} locals)", self.local.len())
    }
}

/// A family of counters of `f64` of one thread.
pub type LocalCounterVec = GenericLocalCounterVec<AtomicF64>;

/// A family of counters of `u64` of one thread.
pub type LocalIntCounterVec = GenericLocalCounterVec<AtomicU64>;

impl<P: Atomic> GenericLocalCounterVec<P> {
    /// Returns this thread's counter with these values; makes it if there is none.
    ///
    /// # Panics
    /// If there are more or fewer values than labels.
    pub fn with_label_values<'a>(&'a mut self, vals: &[&str]) -> &'a mut GenericLocalCounter<P> {
        let vec = &self.vec;
        let make = |_: &LabelValues| Ok(vec.get_metric_with_label_values(vals)?.local());
        self.local.get_or_insert(vals, make).unwrap_or_else(|error: crate::Error| panic!("{error}"))
    }

    /// Removes the counter here and in the shared family.
    ///
    /// # Errors
    /// More or fewer values than labels, or no such series.
    pub fn remove_label_values(&mut self, vals: &[&str]) -> Result<()> {
        self.vec.check(vals.len())?;
        self.local.remove(vals);
        self.vec.remove_label_values(vals)
    }

    /// Adds all counters to the shared ones.
    pub fn flush(&self) {
        self.local.iter().for_each(GenericLocalCounter::flush);
    }
}

impl<P: Atomic> LocalMetric for GenericLocalCounterVec<P> {
    fn flush(&self) {
        GenericLocalCounterVec::flush(self);
    }
}

impl<P: Atomic> Clone for GenericLocalCounterVec<P> {
    /// Returns another local family of the same shared one, without series.
    fn clone(&self) -> Self {
        self.vec.local()
    }
}
