//! The values of counters and gauges.

use crate::atomic::{Atomic, Cells, Number};
use crate::error::Result;
use crate::family::Family;
use crate::lookup::{Cache, Cached};
use crate::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};
use crate::series::Series;
use crate::table::LabelValues;
use dynamo_metrics_core::DetachedCell;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// One series of a counter or gauge.
#[doc(hidden)]
#[derive(Debug)]
pub struct Value<P> {
    pub(crate) family: Arc<Family>,
    values: LabelValues,
    store: Store<P>,
}

/// The place of the number.
#[derive(Debug)]
enum Store<P> {
    /// A counter in the shards. `base` is what they held at the last reset.
    Shards {
        cells: Cells,
        base: P,
    },
    /// A counter in one place, when no cells are left or the type has none.
    Counter(P),
    Gauge(P),
}

impl<P: Atomic> Value<P> {
    pub(crate) fn counter(family: &Arc<Family>, values: &LabelValues) -> Result<Self> {
        let zero = || P::new(P::T::from_i64(0));
        Self::with(family, values, || match P::__cells() {
            Some(cells) => Store::Shards { cells, base: zero() },
            None => Store::Counter(zero()),
        })
    }

    pub(crate) fn gauge(family: &Arc<Family>, values: &LabelValues) -> Result<Self> {
        Self::with(family, values, || Store::Gauge(P::new(P::T::from_i64(0))))
    }

    fn with(
        family: &Arc<Family>,
        values: &LabelValues,
        store: impl FnOnce() -> Store<P>,
    ) -> Result<Self> {
        family.check(values.len())?;
        Ok(Self { family: Arc::clone(family), values: values.clone(), store: store() })
    }

    #[inline]
    pub(crate) fn get(&self) -> P::T {
        match &self.store {
            Store::Shards { cells, base } => {
                let base = base.get();
                // Acquire pairs with the Release in `set`: the cells are no older than those that the base was read from.
                fence(Ordering::Acquire);
                P::__total(cells, base)
            }
            Store::Counter(value) | Store::Gauge(value) => value.get(),
        }
    }

    /// Sets a gauge, or resets a counter, whose `value` is zero.
    #[inline]
    pub(crate) fn set(&self, value: P::T) {
        match &self.store {
            Store::Shards { cells, base } => {
                self.family.note_reset();
                let total = P::__total(cells, P::T::from_i64(0));
                // Release pairs with the Acquire in `get`.
                fence(Ordering::Release);
                base.set(total);
            }
            Store::Counter(store) | Store::Gauge(store) => store.set(value),
        }
    }

    #[inline]
    pub(crate) fn inc_by(&self, delta: P::T) {
        match &self.store {
            Store::Shards { cells, .. } => P::__add(cells, delta),
            Store::Counter(value) | Store::Gauge(value) => value.inc_by(delta),
        }
    }

    /// Subtracts from a gauge.
    #[inline]
    pub(crate) fn dec_by(&self, delta: P::T) {
        if let Store::Counter(value) | Store::Gauge(value) = &self.store {
            value.dec_by(delta);
        }
    }

    pub(crate) fn metric(&self) -> Metric {
        let mut metric = Metric::from_label(self.family.labels(&self.values, &[]));
        let value = self.get().into_f64();
        if let Store::Gauge(_) = self.store {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        } else {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        metric
    }

    pub(crate) fn collect(&self) -> MetricFamily {
        self.family.collect(self.metric_type(), vec![self.metric()])
    }

    pub(crate) fn metric_type(&self) -> MetricType {
        if let Store::Gauge(_) = self.store { MetricType::GAUGE } else { MetricType::COUNTER }
    }
}

impl<P: Atomic> Cached for Value<P> {
    #[inline]
    fn with<R>(f: impl FnOnce(&Cache<Self>) -> R) -> Option<R> {
        P::__cached(f)
    }

    #[inline]
    fn label_values(&self) -> &LabelValues {
        &self.values
    }
}

impl<P: Atomic> Series for Value<P> {
    fn family(&self) -> &Arc<Family> {
        &self.family
    }

    fn values(&self) -> &LabelValues {
        &self.values
    }

    fn cell(&self) -> Option<DetachedCell> {
        match &self.store {
            Store::Shards { cells, .. } => Some(cells.cell()),
            _ => None,
        }
    }

    fn read(&self, numbers: &mut [u64]) {
        numbers.fill(self.get().into_f64().to_bits());
    }
}
