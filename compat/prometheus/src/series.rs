//! Series of this crate, which registries can read without their messages.

use crate::atomic::{AtomicF64, AtomicI64, AtomicU64};
use crate::buckets::Bounds;
use crate::family::Family;
use crate::histogram::HistogramCore;
use crate::table::LabelValues;
use crate::value::Value;
use dynamo_metrics_core::DetachedCell;
use std::ops::Deref;
use triomphe::Arc;

/// One series of this crate.
#[doc(hidden)]
pub trait Series: Send + Sync {
    /// Returns the descriptor that it shares.
    fn family(&self) -> &std::sync::Arc<Family>;
    /// Returns the values of the variable labels.
    fn values(&self) -> &LabelValues;
    /// Returns the cell of a counter in the shards.
    fn cell(&self) -> Option<DetachedCell> {
        None
    }
    /// Returns the bounds of a histogram.
    fn bounds(&self) -> Option<&Bounds> {
        None
    }
    /// Writes its numbers, as many as its family's plan has for it.
    fn read(&self, numbers: &mut [u64]);
}

/// A share of a series of any type. Series have no weak count, which would take eight bytes of each; so there is a variant a type in
/// place of a pointer to a trait.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum AnySeries {
    Float(Arc<Value<AtomicF64>>),
    Signed(Arc<Value<AtomicI64>>),
    Unsigned(Arc<Value<AtomicU64>>),
    Histogram(Arc<HistogramCore>),
}

impl Deref for AnySeries {
    type Target = dyn Series;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Float(value) => &**value,
            Self::Signed(value) => &**value,
            Self::Unsigned(value) => &**value,
            Self::Histogram(core) => &**core,
        }
    }
}
