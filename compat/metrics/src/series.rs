//! One series: the core's handle, when it was last recorded, and the facade's handles over it.

use crate::family::Family;
use crate::handles::{CounterHandle, GaugeHandle, HistogramHandle, Tracked};
use crate::kinds::MetricKind;
use crate::recency::Recency;
use dynamo_metrics_core as core;
use metrics::{Counter, Gauge, Histogram};
use std::sync::Arc;
use std::time::Duration;

/// One series that keys lead to. A program may have tens of thousands, so its name and values are left to the family and the keys.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) cell: Cell,
    pub(crate) family: Arc<Family>,
    /// `None` where series of its kind do not become idle.
    pub(crate) recency: Option<Arc<Recency>>,
}

/// The handle of the core.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Counter(core::Counter),
    Gauge(core::Gauge),
    Histogram(core::Histogram),
    Native(core::NativeHistogram),
    Summary(core::Summary),
}

/// A kind of handle of the facade, made of a handle of the core.
pub(crate) trait OverCell: Sized {
    const KIND: MetricKind;
    fn noop() -> Self;
    fn over(cell: CellRef<'_>) -> Self;
}

/// A handle of the core, with the flag of its series.
pub(crate) struct CellRef<'a> {
    pub(crate) cell: &'a Cell,
    pub(crate) recency: Option<&'a Arc<Recency>>,
}

impl Series {
    pub(crate) fn cell(&self) -> CellRef<'_> {
        CellRef { cell: &self.cell, recency: self.recency.as_ref() }
    }

    /// Notes the time if the series is new, or was recorded since the last sweep.
    pub(crate) fn look(&self, now: Duration) {
        if let Some(recency) = &self.recency {
            recency.look(now);
        }
    }

    pub(crate) fn is_idle(&self, now: Duration, timeout: Duration) -> bool {
        self.recency.as_ref().is_some_and(|recency| recency.is_idle(now, timeout))
    }
}

/// Returns the handle itself, or one that also sets the flag of its series.
macro_rules! tracked {
    ($facade:ident, $handle:expr, $recency:expr) => {
        match $recency {
            None => $facade::from_arc(Arc::new($handle)),
            Some(recency) => {
                let (inner, recency) = ($handle, Arc::clone(recency));
                $facade::from_arc(Arc::new(Tracked { inner, recency }))
            }
        }
    };
}

impl OverCell for Counter {
    const KIND: MetricKind = MetricKind::Counter;

    fn noop() -> Self {
        Self::noop()
    }

    fn over(cell: CellRef<'_>) -> Self {
        match cell.cell {
            Cell::Counter(counter) => {
                tracked!(Counter, CounterHandle(counter.clone()), cell.recency)
            }
            _ => Self::noop(),
        }
    }
}

impl OverCell for Gauge {
    const KIND: MetricKind = MetricKind::Gauge;

    fn noop() -> Self {
        Self::noop()
    }

    fn over(cell: CellRef<'_>) -> Self {
        match cell.cell {
            Cell::Gauge(gauge) => tracked!(Gauge, GaugeHandle(gauge.clone()), cell.recency),
            _ => Self::noop(),
        }
    }
}

impl OverCell for Histogram {
    const KIND: MetricKind = MetricKind::Histogram;

    fn noop() -> Self {
        Self::noop()
    }

    fn over(cell: CellRef<'_>) -> Self {
        match cell.cell {
            Cell::Histogram(of) => tracked!(Histogram, HistogramHandle(of.clone()), cell.recency),
            Cell::Native(of) => tracked!(Histogram, HistogramHandle(of.clone()), cell.recency),
            Cell::Summary(of) => tracked!(Histogram, HistogramHandle(of.clone()), cell.recency),
            _ => Self::noop(),
        }
    }
}
