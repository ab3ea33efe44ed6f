//! One family of the core: the series of one name, one scope and one set of label names.

use crate::series::Cell;
use dynamo_metrics_core as core;
use dynamo_metrics_core::{DynamicFamily, DynamicLookup, Metric, Registry};
use std::sync::Arc;

/// One family of the core, and its scope.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: Arc<str>,
    pub(crate) scope: Registry,
    pub(crate) kind: FamilyKind,
}

#[derive(Debug)]
pub(crate) enum FamilyKind {
    Counter(DynamicFamily<core::Counter>),
    Gauge(DynamicFamily<core::Gauge>),
    Histogram(DynamicFamily<core::Histogram>),
    Native(DynamicFamily<core::NativeHistogram>),
    Summary(DynamicFamily<core::Summary>),
}

impl Family {
    /// Returns the handle of the series with these values, and whether it is its own.
    pub(crate) fn find(&self, values: &[&str]) -> Option<(Cell, bool)> {
        fn find<M: Metric>(
            family: &DynamicFamily<M>,
            values: &[&str],
            cell: impl Fn(M) -> Cell,
        ) -> Option<(Cell, bool)> {
            Some(match family.find(values)? {
                DynamicLookup::Own(handle) => (cell(handle), true),
                DynamicLookup::Overflow(handle) => (cell(handle), false),
            })
        }
        match &self.kind {
            FamilyKind::Counter(family) => find(family, values, Cell::Counter),
            FamilyKind::Gauge(family) => find(family, values, Cell::Gauge),
            FamilyKind::Histogram(family) => find(family, values, Cell::Histogram),
            FamilyKind::Native(family) => find(family, values, Cell::Native),
            FamilyKind::Summary(family) => find(family, values, Cell::Summary),
        }
    }

    pub(crate) fn remove(&self, values: &[&str]) -> bool {
        match &self.kind {
            FamilyKind::Counter(family) => family.remove(values),
            FamilyKind::Gauge(family) => family.remove(values),
            FamilyKind::Histogram(family) => family.remove(values),
            FamilyKind::Native(family) => family.remove(values),
            FamilyKind::Summary(family) => family.remove(values),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.kind {
            FamilyKind::Counter(family) => family.len(),
            FamilyKind::Gauge(family) => family.len(),
            FamilyKind::Histogram(family) => family.len(),
            FamilyKind::Native(family) => family.len(),
            FamilyKind::Summary(family) => family.len(),
        }
    }
}
