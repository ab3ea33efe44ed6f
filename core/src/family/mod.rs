//! Families: the map from label values to series, with a limit.
//!
//! A lookup hashes the values, with random seeds of the operating system that differ between families, and then **compares**
//! them: two sets of values never share a series because their hashes or concatenations are equal. The hash is fast and not
//! cryptographic: if a client finds values with equal hashes, a lookup costs a comparison for each of them, and the limit
//! bounds their number. Look up a handle once and keep it; recording through a handle needs no lookup.
//!
//! **The limit.** A family has at most `series_max` series. Further sets of values get the handle of one overflow series,
//! whose values are all `other`, and `dynamo_metrics_series_overflow_total` counts the lookup. Clients may send any number of
//! such values, so a lookup of them stores nothing: no memory, no entry in a thread's cache; and it takes no lock that delays
//! other lookups.

mod dynamic;
mod enumerated;
mod erased;
mod list;
pub(crate) mod lookup;
mod removals;
mod table;

pub use dynamic::{DynamicFamily, DynamicLookup};
pub use enumerated::EnumeratedFamily;
pub(crate) use erased::FamilyCore;
pub(crate) use list::SeriesList;

use crate::handle::Metric;
use crate::sync::{Ordering, Step, left_out};
use erased::Found;
use std::marker::PhantomData;
use std::sync::Arc;

/// The label value of the overflow series, which counts recordings beyond the limit of series.
pub const OVERFLOW_VALUE: &str = "other";

/// All series of one metric, one for each set of `N` label values.
///
/// ```
/// use dynamo_metrics_core::{Counter, Family, Registry};
///
/// let registry = Registry::new();
/// let requests: Family<Counter, 2> =
///     registry.counter_family(("requests_total", "Requests."), ["model", "status"])?;
/// let ok = requests.with(["qwen3-0.6b", "success"]);
/// ok.inc();
/// assert_eq!(requests.with(["qwen3-0.6b", "success"]).get(), 1);
/// assert_eq!(requests.with(["qwen3-0.6bsuccess", ""]).get(), 0, "compared, not only hashed");
/// assert_eq!(requests.len(), 2);
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Debug)]
pub struct Family<M, const N: usize> {
    core: Arc<FamilyCore>,
    metric: PhantomData<fn() -> M>,
}

impl<M, const N: usize> Clone for Family<M, N> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), metric: PhantomData }
    }
}

impl<M: Metric, const N: usize> Family<M, N> {
    pub(crate) fn new(core: Arc<FamilyCore>) -> Self {
        Self { core, metric: PhantomData }
    }

    /// Returns the handle of the series with these label values, in the order of the family's label names; creates the
    /// series if it does not exist. Values are truncated to
    /// [`LABEL_VALUE_BYTES_MAX`](crate::limits::LABEL_VALUE_BYTES_MAX) bytes, or as
    /// [`Opts::label_value_bytes_max`](crate::Opts::label_value_bytes_max) says.
    ///
    /// Never fails: beyond the family's limit it returns the handle of the overflow series.
    ///
    /// Cost: that of [`visit`](Self::visit) and an atomic increment of the series' reference count; the first call with new
    /// values allocates. For a single recording [`visit`](Self::visit) is cheaper; for many, keep the handle.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// # let requests = registry.counter_family(("requests_total", "Requests."), ["model"])?;
    /// let model = requests.with(["qwen3-0.6b"]); // once
    /// (0..1000).for_each(|_| model.inc()); // and often
    /// assert_eq!(requests.with(["qwen3-0.6b"]).get(), 1000);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn with(&self, values: [&str; N]) -> M {
        self.visit(values, M::clone)
    }

    /// Calls `record` with the handle that [`with`](Self::with) would return, and returns its result.
    ///
    /// Cost: a comparison of the values, and a hash if the strings have other addresses than in the thread's last visit of
    /// this series. Each thread caches the series of its last visits. A visit that finds its series there writes no memory that
    /// other threads use, so it costs the same on any number of threads.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let requests = registry.counter_family(("requests_total", "Requests."), ["model", "status"])?;
    /// requests.visit(["qwen3-0.6b", "success"], |requests| requests.inc());
    /// assert_eq!(requests.visit(["qwen3-0.6b", "success"], |requests| requests.get()), 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    #[inline]
    pub fn visit<R>(&self, values: [&str; N], record: impl FnOnce(&M) -> R) -> R {
        // Relaxed: a lookup that races with a removal may come before it. See `FamilyCore::key` for those that do not.
        let key = self.core.key.load(Ordering::Relaxed);
        // A value that is too long equals no cached one, so only a miss checks lengths. The hash is always that of the truncated
        // value, which bounds its cost.
        let hash = || self.core.hash(&values.map(|value| self.core.cut(value)));
        match lookup::find(key, &values, hash, record) {
            Ok(result) => result,
            Err(record) => record(&self.look_up(key, values)),
        }
    }

    #[cold]
    fn look_up(&self, key: u64, values: [&str; N]) -> M {
        if self.core.cuts(&values) {
            let kept = self.core.kept(values);
            let found = lookup::find(key, &kept, || self.core.hash(&kept), M::clone);
            return found.unwrap_or_else(|_| self.make(key, &kept));
        }
        self.make(key, &values)
    }

    fn make(&self, key: u64, values: &[&str]) -> M {
        let hash = self.core.hash(values);
        match self.core.get_or_create(hash, values) {
            Found::Own(series) => {
                let key = if left_out(Step::KeyBeforeSearch) { self.key() } else { key };
                let handle = M::bind(series);
                lookup::remember(key, hash, &self.core.liveness, handle.clone().into_any());
                handle
            }
            // Not cached: it would evict series that are looked up again, and hide that the family has room again.
            Found::Overflow(series) => M::bind(series),
        }
    }

    /// Returns the family without its type, for models.
    #[cfg(loom)]
    pub(crate) fn core(&self) -> &FamilyCore {
        &self.core
    }

    /// Returns a number that each removal of a series replaces.
    #[inline]
    pub(crate) fn key(&self) -> u64 {
        // Relaxed: as in `visit`.
        self.core.key.load(Ordering::Relaxed)
    }

    /// Returns the handle of [`with`](Self::with), and whether it is the overflow series in place of one of its own.
    pub(crate) fn find_or_make(&self, values: [&str; N]) -> (M, bool) {
        let values = self.core.kept(values);
        match self.core.get_or_create(self.core.hash(&values), &values) {
            Found::Own(series) => (M::bind(series), false),
            Found::Overflow(series) => (M::bind(series), true),
        }
    }

    /// Returns the handle of the series with these label values, if it exists.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// # let requests = registry.counter_family(("requests_total", "Requests."), ["model"])?;
    /// assert!(requests.get(["qwen3-0.6b"]).is_none() && requests.is_empty());
    /// requests.with(["qwen3-0.6b"]).inc();
    /// assert_eq!(requests.get(["qwen3-0.6b"]).map(|model| model.get()), Some(1));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn get(&self, values: [&str; N]) -> Option<M> {
        self.core.get(&values.map(|value| self.core.cut(value))).map(M::bind)
    }

    /// Removes one series from later scrapes; returns whether it existed. Handles to it still work, but no scrape shows
    /// their recordings. A later lookup of the same values creates a new series that starts at zero.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// # let requests = registry.counter_family(("requests_total", "Requests."), ["model"])?;
    /// let model = requests.with(["qwen3-0.6b"]);
    /// model.inc();
    /// assert!(requests.remove(["qwen3-0.6b"]) && !requests.remove(["qwen3-0.6b"]));
    /// model.inc(); // harmless, and in no scrape
    /// assert_eq!(requests.with(["qwen3-0.6b"]).get(), 0);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn remove(&self, values: [&str; N]) -> bool {
        self.core.remove_one(&values.map(|value| self.core.cut(value)))
    }

    /// Removes every series that has all the given labels, for example `[("model", "qwen3-0.6b")]`; returns their number.
    /// A name that is not a label of the family matches no series.
    ///
    /// Every series that is there when the call begins is gone when it returns, if it matches. Lookups go on meanwhile, in
    /// between batches of some hundred series: one that makes a series which matches, for the first time or anew, may find it
    /// removed or not, and a scrape may see some of the batches. Cost: one look at each series of the family.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let requests = registry.counter_family(("requests_total", "Requests."), ["model", "status"])?;
    /// requests.with(["a", "success"]);
    /// requests.with(["a", "error"]);
    /// requests.with(["b", "success"]);
    /// assert_eq!(requests.remove_matching(&[("model", "a")]), 2);
    /// assert_eq!(requests.len(), 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn remove_matching(&self, labels: &[(&str, &str)]) -> usize {
        let names = &self.core.metadata.descriptor.label_names;
        let mut wanted: Vec<(usize, &str)> = Vec::with_capacity(labels.len());
        for (label, value) in labels {
            match names.iter().position(|name| &**name == *label) {
                Some(place) => wanted.push((place, self.core.cut(value))),
                None => return 0,
            }
        }
        self.core.remove(|series| {
            wanted.iter().all(|&(place, value)| series.values().iter().nth(place) == Some(value))
        })
    }

    /// Removes all series at one instant, whatever others look up: those that they make afterwards stay.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// # let requests = registry.counter_family(("requests_total", "Requests."), ["model"])?;
    /// ["a", "b"].into_iter().for_each(|model| requests.with([model]).inc());
    /// assert_eq!(requests.len(), 2);
    /// requests.clear();
    /// assert!(requests.is_empty());
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn clear(&self) {
        self.core.clear();
    }

    /// Returns the number of series.
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// Returns whether the family has no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Counter, Opts, Registry};
    use std::sync::atomic::AtomicU64 as Calls;
    use std::time::Duration;

    fn family(registry: &Registry, name: &str, series_max: usize) -> Family<Counter, 1> {
        registry.counter_family(Opts::new(name, "").series_max(series_max), ["model"]).unwrap()
    }

    fn overflows(registry: &Registry) -> u64 {
        let name = crate::telemetry::OVERFLOWED;
        let opts = Opts::new(name.0, name.1)
            .label_value_bytes_max(crate::limits::OPERATOR_LABEL_VALUE_BYTES_MAX);
        let overflowed = registry.counter_family(opts, name.2).unwrap();
        overflowed.with(["x_total"]).get()
    }

    #[test]
    fn families_hash_the_same_strings_differently() {
        let registry = Registry::new();
        let families: Vec<_> =
            (0..8).map(|at| family(&registry, &format!("x{at}_total"), 10)).collect();
        for values in [&["a"][..], &["qwen3-0.6b"], &["a", "b"], &[]] {
            let mut hashes: Vec<u64> = families.iter().map(|f| f.core.hash(values)).collect();
            hashes.sort_unstable();
            hashes.dedup();
            assert_eq!(hashes.len(), families.len(), "{values:?}");
        }
    }

    #[test]
    fn lookups_beyond_the_limit_evict_no_series_from_the_threads_cache() {
        let registry = Registry::new();
        let family = family(&registry, "x_total", 16);
        let models: Vec<String> = (0..16).map(|i| format!("model-{i}")).collect();
        family.with(["junk"]); // creates the counter of such lookups, which is looked up as well
        models.iter().for_each(|model| drop(family.with([model])));
        family.with(["junk"]);
        let cached = || {
            let key = family.core.key.load(Ordering::Relaxed);
            let is_cached = |model: &&String| {
                let values = [model.as_str()];
                lookup::find(key, &values, || family.core.hash(&values), |_: &Counter| ()).is_ok()
            };
            models.iter().filter(is_cached).count()
        };
        let before = cached();
        assert!(before > 8, "{before}");
        let counted = overflows(&registry);
        (0..1000).for_each(|i| family.with([&format!("junk-{i}")]).inc());
        assert_eq!(cached(), before);
        assert_eq!(overflows(&registry), counted + 1000);
        assert_eq!(family.with([OVERFLOW_VALUE]).get(), 1000);
    }

    #[test]
    fn the_clock_is_read_for_a_new_series_only() {
        static CALLS: Calls = Calls::new(0);
        let registry = Registry::with_clock(|| {
            CALLS.fetch_add(1, Ordering::Relaxed);
            Duration::from_secs(1)
        });
        let family = family(&registry, "x_total", 1);
        ["a", "b", "b"].into_iter().for_each(|model| family.with([model]).inc());
        let calls = CALLS.load(Ordering::Relaxed);
        ["b", "c", "a"].into_iter().for_each(|model| family.with([model]).inc());
        assert_eq!(CALLS.load(Ordering::Relaxed), calls);
    }

    #[test]
    fn values_beyond_the_limit_get_a_series_when_there_is_room() {
        let registry = Registry::new();
        let family = family(&registry, "x_total", 2);
        ["a", "b", "c"].into_iter().for_each(|model| family.with([model]).inc());
        assert_eq!((family.len(), family.with(["c"]).get()), (3, 1), "a, b and other");
        assert!(family.remove(["a"]) && family.remove([OVERFLOW_VALUE]));
        family.with(["c"]).add(5);
        assert_eq!(family.get(["c"]).unwrap().get(), 5);
        family.with(["d"]).add(7);
        assert_eq!(family.get([OVERFLOW_VALUE]).unwrap().get(), 7, "the next one starts at zero");
    }
}
