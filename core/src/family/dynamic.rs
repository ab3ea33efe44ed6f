//! Families whose label names are known only at run time, as those of a recorder for programs that name labels where they count.
//!
//! A [`Family`](crate::Family) has its label names in its type, and a label whose value is empty is none. So two families of one
//! name and scope could print the same series unless they are the same family. **No label value of a dynamic family is empty.**
//! So dynamic families of one name and scope that differ in their label names have no series in common, and a page shows them as one
//! family.
//!
//! Lookups take the table's lock and are not cached by thread: the callers have tables of their own.

use super::{FamilyCore, Found};
use crate::handle::Metric;
use std::marker::PhantomData;
use std::sync::Arc;

/// All series of one metric with the same label names, which are known only at run time. Made by
/// [`Registry::dynamic_counter_family`](crate::Registry::dynamic_counter_family) and its siblings.
///
/// ```
/// use dynamo_metrics_core::{DynamicLookup, Registry};
///
/// let registry = Registry::new();
/// let by_model = registry.dynamic_counter_family(("requests_total", "Requests."), &["model"])?;
/// let Some(DynamicLookup::Own(requests)) = by_model.find(&["qwen3-0.6b"]) else { panic!() };
/// requests.inc();
/// assert!(by_model.find(&[""]).is_none(), "no value is empty");
/// assert!(by_model.find(&["qwen3-0.6b", "error"]).is_none(), "one value for each label");
/// // Another set of labels under the same name.
/// registry.dynamic_counter_family(("requests_total", "Requests."), &["model", "status"])?;
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Debug)]
pub struct DynamicFamily<M> {
    core: Arc<FamilyCore>,
    metric: PhantomData<fn() -> M>,
}

/// The result of a lookup in a [`DynamicFamily`].
#[derive(Clone, Debug)]
pub enum DynamicLookup<M> {
    /// The handle of the series with these label values.
    Own(M),
    /// The handle of the overflow series, because the family has as many series as it may have, or no cells are left.
    /// `dynamo_metrics_series_overflow_total` counts the lookup.
    Overflow(M),
}

impl<M> Clone for DynamicFamily<M> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), metric: PhantomData }
    }
}

impl<M: Metric> DynamicFamily<M> {
    pub(crate) fn new(core: Arc<FamilyCore>) -> Self {
        Self { core, metric: PhantomData }
    }

    /// Returns the handle of the series with these label values, in the order of the family's label names; creates the series if it
    /// does not exist. Values are truncated as by [`Family::with`](crate::Family::with). `None` for an empty value, and for more
    /// or fewer values than the family has labels.
    ///
    /// Cost: a hash, the table's lock and a comparison of the values. Keep the handle.
    pub fn find(&self, values: &[&str]) -> Option<DynamicLookup<M>> {
        let labels = self.core.metadata.descriptor.label_names.len();
        if values.len() != labels || values.iter().any(|value| value.is_empty()) {
            return None;
        }
        let kept: Vec<&str>;
        let values = if self.core.cuts(values) {
            if let Some(reporter) = &self.core.metadata.reporter {
                reporter.truncated(self.core.metadata.descriptor.name());
            }
            kept = self.cut(values);
            &kept
        } else {
            values
        };
        Some(match self.core.get_or_create(self.core.hash(values), values) {
            Found::Own(series) => DynamicLookup::Own(M::bind(series)),
            Found::Overflow(series) => DynamicLookup::Overflow(M::bind(series)),
        })
    }

    /// Removes one series from later scrapes, as [`Family::remove`](crate::Family::remove) does; returns whether it existed.
    ///
    /// ```
    /// # use dynamo_metrics_core::Registry;
    /// # let registry = Registry::new();
    /// let depth = registry.dynamic_gauge_family(("depth", "Entries."), &["queue"])?;
    /// depth.find(&["prefill"]);
    /// assert!(depth.remove(&["prefill"]) && !depth.remove(&["prefill"]));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn remove(&self, values: &[&str]) -> bool {
        self.core.remove_one(&self.cut(values))
    }

    /// Returns the number of series.
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// Returns whether the family has no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn cut<'a>(&self, values: &[&'a str]) -> Vec<&'a str> {
        values.iter().map(|value| self.core.cut(value)).collect()
    }
}

impl<M> DynamicLookup<M> {
    /// Returns the handle, whichever series it is of.
    pub fn into_handle(self) -> M {
        match self {
            Self::Own(handle) | Self::Overflow(handle) => handle,
        }
    }
}
