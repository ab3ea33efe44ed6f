//! Gauges. All threads share one number: `set` has to replace what others added.

use crate::atomic::{Atomic, AtomicF64, AtomicI64, Number};
use crate::desc::{Desc, Describer};
use crate::error::Result;
use crate::family::Family;
use crate::lookup::Lease;
use crate::metric::{Collector, Metric, Opts};
use crate::plan::Plan;
use crate::proto::{self, MetricType};
use crate::table::LabelValues;
use crate::value::Value;
use crate::value_vec::{self, ValueMetric, ValueVecBuilder};
use crate::vec::MetricVec;
use std::sync::{Arc, OnceLock};

/// A gauge of any type of number. Clones are the same gauge.
#[derive(Debug)]
pub struct GenericGauge<P: Atomic> {
    value: Lease<Value<P>>,
}

/// A gauge of `f64`.
pub type Gauge = GenericGauge<AtomicF64>;

/// A gauge of `i64`, the faster one.
pub type IntGauge = GenericGauge<AtomicI64>;

impl<P: Atomic> Clone for GenericGauge<P> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone() }
    }
}

impl<P: Atomic> GenericGauge<P> {
    /// Returns a gauge at zero.
    ///
    /// # Errors
    /// As [`Desc::new`].
    pub fn new<S1: Into<String>, S2: Into<String>>(name: S1, help: S2) -> Result<Self> {
        Self::with_opts(Opts::new(name, help))
    }

    /// Returns a gauge at zero.
    ///
    /// # Errors
    /// As [`Desc::new`]; variable labels, which have no values here.
    pub fn with_opts(opts: Opts) -> Result<Self> {
        Self::of(&Arc::new(Family::new(opts.describe()?)), &LabelValues::default())
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, v: P::T) {
        self.value.set(v);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.value.inc_by(P::T::from_i64(1));
    }

    /// Subtracts one.
    #[inline]
    pub fn dec(&self) {
        self.value.dec_by(P::T::from_i64(1));
    }

    /// Adds `v`.
    #[inline]
    pub fn add(&self, v: P::T) {
        self.value.inc_by(v);
    }

    /// Subtracts `v`.
    #[inline]
    pub fn sub(&self, v: P::T) {
        self.value.dec_by(v);
    }

    /// Returns the value.
    #[inline]
    pub fn get(&self) -> P::T {
        self.value.get()
    }
}

impl<P: Atomic> Collector for GenericGauge<P> {
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

impl<P: Atomic> Metric for GenericGauge<P> {
    fn metric(&self) -> proto::Metric {
        self.value.metric()
    }
}

impl<P: Atomic> ValueMetric for GenericGauge<P> {
    type Number = P;
    const TYPE: MetricType = MetricType::GAUGE;

    fn of(family: &Arc<Family>, values: &LabelValues) -> Result<Self> {
        Ok(Self { value: Lease::new(Value::gauge(family, values)?) })
    }

    #[inline]
    fn of_value(value: Lease<Value<P>>) -> Self {
        Self { value }
    }

    fn value(&self) -> &Lease<Value<P>> {
        &self.value
    }
}

/// A family of gauges of any type of number.
pub type GenericGaugeVec<P> = MetricVec<ValueVecBuilder<GenericGauge<P>>>;

/// A family of gauges of `f64`.
pub type GaugeVec = GenericGaugeVec<AtomicF64>;

/// A family of gauges of `i64`, the faster ones.
pub type IntGaugeVec = GenericGaugeVec<AtomicI64>;
