//! Families of series with variable labels.

use crate::desc::{Desc, Describer};
use crate::error::{Error, Result};
use crate::family::Family;
use crate::lazy::MetricFamily;
use crate::lookup;
use crate::metric::{Collector, Metric};
use crate::plan::Plan;
use crate::proto::MetricType;
use crate::series::AnySeries;
use crate::table::{LabelValues, Table};
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Makes the series of a [`MetricVec`].
pub trait MetricVecBuilder: Send + Sync + Clone {
    /// The series.
    type M: Metric;
    /// The options that they are made with.
    type P: Describer + Sync + Send + Clone;

    /// Returns a new series with these label values.
    ///
    /// # Errors
    /// Options or label values that do not fit.
    fn build<V: AsRef<str>>(&self, opts: &Self::P, values: &[V]) -> Result<Self::M>;

    /// Returns a new series that shares its family's descriptor and the key of its table.
    #[doc(hidden)]
    fn __build(
        &self,
        _family: &Arc<Family>,
        opts: &Self::P,
        values: &LabelValues,
    ) -> Result<Self::M> {
        self.build(opts, &values.iter().collect::<Vec<_>>())
    }

    /// Returns the series of a metric that registries can read without its message.
    #[doc(hidden)]
    fn __series(&self, _metric: &Self::M) -> Option<AnySeries> {
        None
    }

    /// Returns the calling thread's cached series of the family with this key.
    #[doc(hidden)]
    #[inline]
    fn __find<V: AsRef<str>>(&self, _key: u64, _values: &[V]) -> Option<Self::M> {
        None
    }

    /// Caches a series that was looked up when the family had this key.
    #[doc(hidden)]
    fn __remember(&self, _key: u64, _metric: &Self::M) {}
}

/// A family: series of one name that differ in the values of their labels. Clones are the same family.
#[derive(Clone)]
pub struct MetricVec<T: MetricVecBuilder> {
    core: Arc<Core<T>>,
}

struct Core<T: MetricVecBuilder> {
    series: RwLock<Table<T::M>>,
    /// The family's key in threads' caches, another one after each removal. Changed while the series are locked.
    key: AtomicU64,
    /// The plan of these series, taken away before changed series are unlocked.
    plan: Mutex<Option<Arc<Plan>>>,
    family: Arc<Family>,
    kind: MetricType,
    builder: T,
    opts: T::P,
}

impl<T: MetricVecBuilder> Core<T> {
    /// Returns the key of the series in threads' caches.
    #[inline]
    fn key(&self) -> u64 {
        // Relaxed: a removal that this thread knows of has changed the key that it reads.
        self.key.load(Ordering::Relaxed)
    }

    /// Returns the series with these values from the table; makes it if there is none. Caches it under this key.
    #[cold]
    fn get<V: AsRef<str>>(&self, key: u64, vals: &[V]) -> Result<T::M> {
        self.family.check(vals.len())?;
        let found = self.series.read().get(vals).cloned();
        let metric = match found {
            Some(found) => found,
            None => {
                let Self { family, builder, opts, .. } = self;
                let make = |values: &LabelValues| builder.__build(family, opts, values);
                self.change().get_or_insert(vals, make)?.clone()
            }
        };
        self.builder.__remember(key, &metric);
        Ok(metric)
    }

    /// Returns the series to be removed from, and changes the key, so that no cache finds them.
    fn remove(&self) -> RwLockWriteGuard<'_, Table<T::M>> {
        let series = self.change();
        self.key.store(lookup::key(), Ordering::Relaxed);
        series
    }

    /// Returns the series to be changed, and takes the plan away.
    fn change(&self) -> RwLockWriteGuard<'_, Table<T::M>> {
        let series = self.series.write();
        *self.plan.lock() = None;
        series
    }

    /// Returns the plan, if this crate made all series.
    fn plan(&self) -> Option<Arc<Plan>> {
        if let Some(plan) = &*self.plan.lock() {
            return Some(Arc::clone(plan));
        }
        let series = self.series.read();
        let all: Option<_> = series.iter().map(|metric| self.builder.__series(metric)).collect();
        let plan = Arc::new(Plan::new(&self.family, self.kind, all?));
        // The series are still locked, so the plan is theirs.
        *self.plan.lock() = Some(Arc::clone(&plan));
        Some(plan)
    }
}

impl<T: MetricVecBuilder> Drop for Core<T> {
    fn drop(&mut self) {
        lookup::family_dropped();
    }
}

impl<T: MetricVecBuilder> Debug for MetricVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricVec").field("family", &self.core.family).finish_non_exhaustive()
    }
}

impl<T: MetricVecBuilder> MetricVec<T> {
    /// Returns a family without series.
    ///
    /// # Errors
    /// As [`Desc::new`].
    pub fn create(metric_type: MetricType, new_metric: T, opts: T::P) -> Result<Self> {
        let core = Core {
            series: RwLock::default(),
            key: AtomicU64::new(lookup::key()),
            plan: Mutex::default(),
            family: Arc::new(Family::new(opts.describe()?)),
            kind: metric_type,
            builder: new_metric,
            opts,
        };
        Ok(Self { core: Arc::new(core) })
    }

    /// Returns the series with these values, in the order of the label names; makes it if there is none.
    ///
    /// # Errors
    /// More or fewer values than labels.
    ///
    /// ```
    /// use prometheus::{IntCounterVec, Opts};
    ///
    /// let requests = IntCounterVec::new(Opts::new("requests_total", "Requests."), &["model", "endpoint"])?;
    /// requests.get_metric_with_label_values(&["llama3", "8b/chat"])?.inc();
    /// // Together the values are the same text; the series are two.
    /// assert_eq!(requests.get_metric_with_label_values(&["llama38b", "/chat"])?.get(), 0);
    /// # Ok::<(), prometheus::Error>(())
    /// ```
    #[inline]
    pub fn get_metric_with_label_values<V: AsRef<str> + Debug>(&self, vals: &[V]) -> Result<T::M> {
        let key = self.core.key();
        match self.core.builder.__find(key, vals) {
            Some(found) => Ok(found),
            None => self.core.get(key, vals),
        }
    }

    /// Returns the series with these values by name; makes it if there is none.
    ///
    /// # Errors
    /// Labels that are not those of the family.
    pub fn get_metric_with<V, S>(&self, labels: &HashMap<&str, V, S>) -> Result<T::M>
    where
        V: AsRef<str> + Debug,
        S: BuildHasher,
    {
        self.get_metric_with_label_values(&self.values(labels)?)
    }

    /// Returns the series with these values, in the order of the label names; makes it if there is none.
    ///
    /// # Panics
    /// If there are more or fewer values than labels.
    #[inline]
    pub fn with_label_values<V: AsRef<str> + Debug>(&self, vals: &[V]) -> T::M {
        let key = self.core.key();
        match self.core.builder.__find(key, vals) {
            Some(found) => found,
            None => self.core.get(key, vals).unwrap(),
        }
    }

    /// Returns the series with these values by name; makes it if there is none.
    ///
    /// # Panics
    /// If the labels are not those of the family.
    pub fn with<V, S>(&self, labels: &HashMap<&str, V, S>) -> T::M
    where
        V: AsRef<str> + Debug,
        S: BuildHasher,
    {
        self.get_metric_with(labels).unwrap()
    }

    /// Removes the series with these values. Handles to it still record, and are seen no more.
    ///
    /// # Errors
    /// More or fewer values than labels, or no such series.
    pub fn remove_label_values<V: AsRef<str> + Debug>(&self, vals: &[V]) -> Result<()> {
        self.core.family.check(vals.len())?;
        match self.core.remove().remove(vals) {
            Some(_) => Ok(()),
            None => Err(Error::Msg(format!("missing label values {vals:?}"))),
        }
    }

    /// Removes the series with these values by name.
    ///
    /// # Errors
    /// Labels that are not those of the family, or no such series.
    pub fn remove<V, S>(&self, labels: &HashMap<&str, V, S>) -> Result<()>
    where
        V: AsRef<str> + Debug,
        S: BuildHasher,
    {
        match self.core.remove().remove(&self.values(labels)?) {
            Some(_) => Ok(()),
            None => Err(Error::Msg(format!("missing labels {labels:?}"))),
        }
    }

    /// Removes all series.
    pub fn reset(&self) {
        self.core.remove().clear();
    }

    pub(crate) fn check(&self, values: usize) -> Result<()> {
        self.core.family.check(values)
    }

    /// Returns the values in the order of the label names.
    fn values<'a, V, S>(&self, labels: &'a HashMap<&str, V, S>) -> Result<Vec<&'a str>>
    where
        V: AsRef<str>,
        S: BuildHasher,
    {
        self.check(labels.len())?;
        let names = self.core.family.desc.variable_labels.iter();
        let values = names.map(|name| match labels.get(name.as_str()) {
            Some(value) => Ok(value.as_ref()),
            None => Err(Error::Msg(format!("label name {name} missing in label map"))),
        });
        values.collect()
    }
}

impl<T: MetricVecBuilder> Collector for MetricVec<T> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.core.family.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(plan) = self.core.plan() {
            let mut numbers = vec![0; plan.words()];
            plan.read(&mut numbers);
            return vec![MetricFamily::read(plan, &Arc::new(numbers), 0)];
        }
        let metrics = self.core.series.read().iter().map(Metric::metric).collect();
        vec![self.core.family.collect(self.core.kind, metrics)]
    }

    fn __plan(&self, _kept: &OnceLock<Arc<Plan>>) -> Option<Arc<Plan>> {
        self.core.plan()
    }
}
