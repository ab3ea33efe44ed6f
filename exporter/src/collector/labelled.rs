//! Callbacks that return several labelled values: a family of the registry that is set at the begin of each scrape.
//!
//! The series of the family are those of the callback's last result: a set of label values that is missing in it is
//! removed. A counter that falls begins anew, which scrapers see as a restart of the counter.

use super::{CollectorErrors, Update};
use crate::callback::{Callbacks, Called, Guard};
use dynamo_metrics_core::{Counter, Family, Gauge, Opts, RegisterError, Registry};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The label values and the value of each series.
type Values<V, const N: usize> = Arc<Vec<([String; N], V)>>;

/// A kind of metric that can be set to the values that a callback returns.
pub(crate) trait Settable: Sized {
    /// The value of one series.
    type Value: Copy + PartialEq + fmt::Debug + Send + Sync + 'static;

    /// Registers a family of this kind.
    fn family<const N: usize>(
        registry: &Registry,
        opts: Opts,
        label_names: [&str; N],
    ) -> Result<Family<Self, N>, RegisterError>
    where
        Self: dynamo_metrics_core::Metric;

    /// Sets the series to `now`, after `before`.
    fn set<const N: usize>(
        family: &Family<Self, N>,
        labels: [&str; N],
        before: Option<Self::Value>,
        now: Self::Value,
    ) where
        Self: dynamo_metrics_core::Metric;
}

impl Settable for Gauge {
    type Value = f64;

    fn family<const N: usize>(
        registry: &Registry,
        opts: Opts,
        label_names: [&str; N],
    ) -> Result<Family<Self, N>, RegisterError> {
        registry.gauge_family(opts, label_names)
    }

    fn set<const N: usize>(family: &Family<Self, N>, labels: [&str; N], _: Option<f64>, now: f64) {
        family.visit(labels, |gauge| gauge.set(now));
    }
}

impl Settable for Counter {
    type Value = u64;

    fn family<const N: usize>(
        registry: &Registry,
        opts: Opts,
        label_names: [&str; N],
    ) -> Result<Family<Self, N>, RegisterError> {
        registry.counter_family(opts, label_names)
    }

    fn set<const N: usize>(
        family: &Family<Self, N>,
        labels: [&str; N],
        before: Option<u64>,
        now: u64,
    ) {
        let before = before.unwrap_or(0);
        let added = now.checked_sub(before).unwrap_or_else(|| {
            family.remove(labels);
            now
        });
        family.visit(labels, |counter| counter.add(added));
    }
}

/// A callback that returns label values and values, and the family that has them.
pub(crate) struct LabelledCallback<M: Settable, const N: usize> {
    guard: Arc<Guard<Values<M::Value, N>>>,
    family: Family<M, N>,
    /// The present series, and their last values.
    series: Mutex<HashMap<[String; N], M::Value>>,
    errors: CollectorErrors,
}

impl<M: Settable + dynamo_metrics_core::Metric, const N: usize> LabelledCallback<M, N> {
    /// Registers a family, and a callback for it whose errors are counted as those of a collector of the family's name.
    pub(crate) fn new<L, I>(
        (registry, callbacks): (&Registry, &Callbacks),
        opts: Opts,
        label_names: [&str; N],
        callback: impl Fn() -> I + Send + Sync + 'static,
    ) -> Result<Self, RegisterError>
    where
        L: Into<String>,
        I: IntoIterator<Item = ([L; N], M::Value)>,
    {
        let name = opts.name().to_string();
        let family = M::family(registry, opts, label_names)?;
        let errors = CollectorErrors::new(&name, registry)?;
        let owned = |(labels, value): ([L; N], M::Value)| (labels.map(Into::into), value);
        let callback = move || Arc::new(callback().into_iter().map(owned).collect());
        Ok(Self { guard: callbacks.guard(callback), family, series: Mutex::default(), errors })
    }

    fn show(&self, values: &[([String; N], M::Value)]) {
        let mut series = self.series.lock();
        let mut gone = std::mem::take(&mut *series);
        for (labels, value) in values {
            let before = series.get(labels).copied().or_else(|| gone.remove(labels));
            M::set(&self.family, labels.each_ref().map(String::as_str), before, *value);
            series.insert(labels.clone(), *value);
        }
        for labels in gone.keys() {
            self.family.remove(labels.each_ref().map(String::as_str));
        }
    }
}

impl<M, const N: usize> Update for LabelledCallback<M, N>
where
    M: Settable + dynamo_metrics_core::Metric + Send + Sync,
{
    fn update(&self) {
        let Called { late, value } = self.guard.call();
        self.errors.count("late", late.into());
        match value {
            Ok(values) => {
                self.show(values.as_deref().map_or(&[], Vec::as_slice));
                if !late {
                    self.errors.succeeded();
                }
            }
            Err(panic) => {
                self.show(&[]);
                self.errors.failed("panicked", &panic);
            }
        }
    }
}

impl<M: Settable, const N: usize> fmt::Debug for LabelledCallback<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabelledCallback")
            .field("guard", &self.guard)
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}
