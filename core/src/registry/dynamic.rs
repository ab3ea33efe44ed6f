//! Registration of [dynamic families](DynamicFamily), and descriptions that come after the first registration.
//!
//! Dynamic families of one name and scope agree in type, unit and buckets, and differ in their label names.

use super::Registry;
use crate::descriptor::{Kind, Opts};
use crate::error::RegisterError;
use crate::family::{DynamicFamily, FamilyCore};
use crate::handle::Metric;
use crate::kinds::{Counter, Gauge, Histogram, NativeHistogram, Summary};
use crate::layout::{Buckets, NativeBuckets, SummaryOpts};
use std::sync::Arc;

impl Registry {
    /// Registers a family of counters whose label names are known only at run time. The scope may have others of the same name with
    /// other label names.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// for labels in [&[][..], &["model"], &["model", "status"]] {
    ///     let requests = registry.dynamic_counter_family(("requests_total", "Requests."), labels)?;
    ///     requests.find(&vec!["x"; labels.len()]).unwrap().into_handle().inc();
    /// }
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "requests_total").unwrap();
    /// assert_eq!(family.parts().len(), 3);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`]; a [`Family`](crate::Family) of this name in the scope is a conflict.
    pub fn dynamic_counter_family(
        &self,
        opts: impl Into<Opts>,
        label_names: &[&str],
    ) -> Result<DynamicFamily<Counter>, RegisterError> {
        self.dynamic(opts.into(), label_names, None)
    }

    /// Registers a family of gauges, as [`dynamic_counter_family`](Self::dynamic_counter_family) does of counters.
    ///
    /// # Errors
    /// See [`dynamic_counter_family`](Self::dynamic_counter_family).
    pub fn dynamic_gauge_family(
        &self,
        opts: impl Into<Opts>,
        label_names: &[&str],
    ) -> Result<DynamicFamily<Gauge>, RegisterError> {
        self.dynamic(opts.into(), label_names, None)
    }

    /// Registers a family of histograms, as [`dynamic_counter_family`](Self::dynamic_counter_family) does of counters.
    ///
    /// # Errors
    /// See [`dynamic_counter_family`](Self::dynamic_counter_family).
    pub fn dynamic_histogram_family(
        &self,
        opts: impl Into<Opts>,
        label_names: &[&str],
        buckets: &Buckets,
    ) -> Result<DynamicFamily<Histogram>, RegisterError> {
        self.dynamic(opts.into(), label_names, Some(Arc::new(buckets.clone())))
    }

    /// Registers a family of native histograms, as [`dynamic_counter_family`](Self::dynamic_counter_family) does of counters.
    ///
    /// # Errors
    /// See [`dynamic_counter_family`](Self::dynamic_counter_family); [`RegisterError::Native`] for invalid buckets.
    pub fn dynamic_native_histogram_family(
        &self,
        opts: impl Into<Opts>,
        label_names: &[&str],
        buckets: &NativeBuckets,
    ) -> Result<DynamicFamily<NativeHistogram>, RegisterError> {
        let opts = opts.into();
        let (layout, classic) = buckets
            .layout()
            .map_err(|source| RegisterError::Native { name: opts.name.clone(), source })?;
        let classic = Some(Arc::new(classic));
        let mut asked = self.descriptor(opts, Kind::NativeHistogram, label_names, classic)?;
        (asked.native, asked.dynamic) = (Some(Arc::new(layout)), true);
        Ok(DynamicFamily::new(self.core_of(asked)?))
    }

    /// Registers a family of summaries, as [`dynamic_counter_family`](Self::dynamic_counter_family) does of counters.
    ///
    /// # Errors
    /// See [`dynamic_counter_family`](Self::dynamic_counter_family); [`RegisterError::Summary`] for invalid options.
    pub fn dynamic_summary_family(
        &self,
        opts: impl Into<Opts>,
        label_names: &[&str],
        summary: &SummaryOpts,
    ) -> Result<DynamicFamily<Summary>, RegisterError> {
        let opts = opts.into();
        let layout = summary
            .layout()
            .map_err(|source| RegisterError::Summary { name: opts.name.clone(), source })?;
        let mut asked = self.descriptor(opts, Kind::Summary, label_names, None)?;
        (asked.summary, asked.dynamic) = (Some(Arc::new(layout)), true);
        Ok(DynamicFamily::new(self.core_of(asked)?))
    }

    /// Gives every registered metric of this name a help text, in all scopes of the tree, if it has an empty one. Returns whether
    /// any took it. It serves programs that describe metrics after they have used them.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// registry.counter(("requests_total", ""))?;
    /// assert!(registry.describe("requests_total", "Requests."));
    /// assert!(!registry.describe("requests_total", "Something else."), "the first one stays");
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "requests_total").unwrap();
    /// assert_eq!(family.help(), "Requests.");
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn describe(&self, name: &str, help: &str) -> bool {
        if help.is_empty() {
            return false;
        }
        let mut index = self.root.index.lock();
        let takes = |family: &&Arc<FamilyCore>| {
            let metadata = &family.metadata;
            metadata.descriptor.help.is_empty() && metadata.late_help.set(help.into()).is_ok()
        };
        // Not `any`: every family takes it.
        let taken = index.named(name).filter(takes).count();
        if taken > 0 {
            index.descriptions += 1;
            self.root.changed();
        }
        taken > 0
    }

    fn dynamic<M: Metric>(
        &self,
        opts: Opts,
        label_names: &[&str],
        buckets: Option<Arc<Buckets>>,
    ) -> Result<DynamicFamily<M>, RegisterError> {
        let mut asked = self.descriptor(opts, M::KIND, label_names, buckets)?;
        asked.dynamic = true;
        Ok(DynamicFamily::new(self.core_of(asked)?))
    }
}
