//! Families of counters and gauges, which differ by the kind of their values alone.

use crate::atomic::Atomic;
use crate::desc::Describer;
use crate::error::Result;
use crate::family::Family;
use crate::lookup::{self, Lease};
use crate::metric::{Metric, Opts};
use crate::plan::Plan;
use crate::proto::MetricType;
use crate::series::AnySeries;
use crate::table::LabelValues;
use crate::value::Value;
use crate::vec::{MetricVec, MetricVecBuilder};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// A counter or a gauge.
#[doc(hidden)]
pub trait ValueMetric: Metric + Sized {
    type Number: Atomic;
    const TYPE: MetricType;

    fn of(family: &Arc<Family>, values: &LabelValues) -> Result<Self>;
    fn of_value(value: Lease<Value<Self::Number>>) -> Self;
    fn value(&self) -> &Lease<Value<Self::Number>>;
}

/// Returns the plan of a metric that is a family of its own.
pub(crate) fn plan<M: ValueMetric>(metric: &M, kept: &OnceLock<Arc<Plan>>) -> Option<Arc<Plan>> {
    let value = metric.value();
    let series = M::Number::__series(value.shared())?;
    let plan = || Arc::new(Plan::new(&value.family, value.metric_type(), vec![series]));
    Some(Arc::clone(kept.get_or_init(plan)))
}

/// Makes the series of a family of counters or gauges.
pub struct ValueVecBuilder<M> {
    metric: PhantomData<fn() -> M>,
}

impl<M> Clone for ValueVecBuilder<M> {
    fn clone(&self) -> Self {
        Self { metric: PhantomData }
    }
}

impl<M> fmt::Debug for ValueVecBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueVecBuilder")
    }
}

impl<M: ValueMetric> MetricVecBuilder for ValueVecBuilder<M> {
    type M = M;
    type P = Opts;

    fn build<V: AsRef<str>>(&self, opts: &Opts, values: &[V]) -> Result<M> {
        let family = Arc::new(Family::new(opts.describe()?));
        M::of(&family, &LabelValues::new(values))
    }

    fn __build(&self, family: &Arc<Family>, _: &Opts, values: &LabelValues) -> Result<M> {
        M::of(family, values)
    }

    fn __series(&self, metric: &M) -> Option<AnySeries> {
        M::Number::__series(metric.value().shared())
    }

    #[inline]
    fn __find<V: AsRef<str>>(&self, key: u64, values: &[V]) -> Option<M> {
        Some(M::of_value(lookup::find(key, values)?))
    }

    fn __remember(&self, key: u64, metric: &M) {
        lookup::remember(key, metric.value());
    }
}

impl<M: ValueMetric> MetricVec<ValueVecBuilder<M>> {
    /// Returns a family without series.
    ///
    /// # Errors
    /// As [`Desc::new`](crate::core::Desc::new).
    pub fn new(opts: Opts, label_names: &[&str]) -> Result<Self> {
        let names = label_names.iter().map(ToString::to_string).collect();
        let builder = ValueVecBuilder { metric: PhantomData };
        Self::create(M::TYPE, builder, opts.variable_labels(names))
    }
}
