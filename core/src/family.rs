//! Label values -> series, with a cap.
//!
//! A lookup hashes the values, with seeds that are the operating system's randomness and another one for each family,
//! and then **compares** them: two sets of values never share a series because their hashes, or their
//! concatenations, are equal. The hash is fast and not cryptographic: should a client find values whose hashes are equal,
//! a lookup costs a comparison for each of them, and the cap bounds how many there are. Resolve a handle once and keep
//! it; recording through a handle does no lookup.
//!
//! **The cap.** A family has at most `series_max` series. A set of values beyond it gets the handle of one
//! overflow series, whose values are all `other`, and `dynamo_metrics_series_overflow_total` counts the lookup. Such
//! values come from clients and in any number, so they leave nothing behind: no memory, no entry in a thread's cache, and
//! they take no lock that keeps others from looking up.

use crate::clock::Millis;
use crate::descriptor::Kind;
use crate::exemplar::{self, Words};
use crate::label::cut;
use crate::lookup::{self, AnyHandle};
use crate::series::{SeriesRef, Shape};
use crate::sync::{AtomicU64, Ordering, RwLock};
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// Each label value of the series that takes what lies beyond the cap.
pub const OVERFLOW_VALUE: &str = "other";

/// The list of a family's series grows by this part of its length: it is at most an eighth empty, where doubling leaves
/// up to half, and a series is still copied fewer than nine times on average.
const ORDER_SLACK: usize = 8;
/// Places that the list has at least once it has one.
const ORDER_MIN: usize = 4;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A kind of metric that a [`Family`] can hold: a handle to one series.
pub trait Metric: Clone + Send + Sync + sealed::Sealed + 'static {
    #[doc(hidden)]
    const KIND: Kind;
    #[doc(hidden)]
    fn bind(series: SeriesRef) -> Self;
    #[doc(hidden)]
    fn series(&self) -> &SeriesRef;
    #[doc(hidden)]
    fn into_any(self) -> AnyHandle;
    #[doc(hidden)]
    fn from_any(any: &AnyHandle) -> Option<&Self>;
}

/// All series of one metric, told apart by `N` label values.
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

    /// The handle of the series with these label values, in the order of the family's label names; made if it
    /// is not there. Values are cut to [`LABEL_VALUE_BYTES_MAX`](crate::LABEL_VALUE_BYTES_MAX) bytes.
    ///
    /// Cost: that of [`visit`](Self::visit) and an atomic increment of the series' reference count; the first call with new
    /// values allocates. Never fails: beyond the family's cap it is the handle of the overflow series.
    ///
    /// For a single recording [`visit`](Self::visit) is cheaper; for many, keep the handle.
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

    /// Calls `record` with the handle of the series with these label values, as [`with`](Self::with) would give it,
    /// and returns what it returns.
    ///
    /// Cost: a comparison, and a hash if the strings are not where they were when the thread visited this series last. A
    /// thread remembers the series that it visited last, and a visit to one of those touches no memory that another
    /// thread writes: it costs the same on any number of threads.
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
        let values = values.map(cut);
        // Relaxed: a lookup that races with a removal may come before it. See `FamilyCore::key` for those that do not.
        let key = self.core.key.load(Ordering::Relaxed);
        match lookup::find(key, &values, || self.core.hash(&values), record) {
            Ok(result) => result,
            Err(record) => record(&self.look_up(key, &values)),
        }
    }

    #[cold]
    fn look_up(&self, key: u64, values: &[&str]) -> M {
        let hash = self.core.hash(values);
        match self.core.get_or_create(hash, values) {
            Found::Own(series) => {
                let handle = M::bind(series);
                lookup::remember(key, hash, handle.clone().into_any());
                handle
            }
            // Not remembered: it would push out what is looked up again, and hide that there is room meanwhile.
            Found::Overflow(series) => M::bind(series),
        }
    }

    /// [`with`](Self::with), and whether the handle is that of the overflow series although the values are others.
    pub(crate) fn find_or_make(&self, values: [&str; N]) -> (M, bool) {
        let values = values.map(cut);
        match self.core.get_or_create(self.core.hash(&values), &values) {
            Found::Own(series) => (M::bind(series), false),
            Found::Overflow(series) => (M::bind(series), true),
        }
    }

    /// The handle of the series with these label values, if it is there.
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
        self.core.get(&values.map(cut)).map(M::bind)
    }

    /// Removes one series from the exposition; says whether it was there. Handles to it go on working, unseen.
    /// The same values later make a new series that starts at zero.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// # let requests = registry.counter_family(("requests_total", "Requests."), ["model"])?;
    /// let model = requests.with(["qwen3-0.6b"]);
    /// model.inc();
    /// assert!(requests.remove(["qwen3-0.6b"]) && !requests.remove(["qwen3-0.6b"]));
    /// model.inc(); // harmless, and seen by nobody
    /// assert_eq!(requests.with(["qwen3-0.6b"]).get(), 0);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn remove(&self, values: [&str; N]) -> bool {
        self.core.remove_one(&values.map(cut))
    }

    /// Removes every series whose labels have all the given values, as `[("model", "qwen3-0.6b")]`; returns how
    /// many. A name that is not a label of the family matches nothing.
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
        let names = &self.core.shape.descriptor.label_names;
        let mut wanted: Vec<(usize, &str)> = Vec::with_capacity(labels.len());
        for (label, value) in labels {
            match names.iter().position(|name| &**name == *label) {
                Some(place) => wanted.push((place, cut(value))),
                None => return 0,
            }
        }
        self.core.remove(|series| {
            wanted.iter().all(|&(place, value)| series.values().iter().nth(place) == Some(value))
        })
    }

    /// Removes all series.
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
        self.core.remove(|_| true);
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.core.table.read().index.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A family without its type.
#[derive(Debug)]
pub(crate) struct FamilyCore {
    pub(crate) shape: Arc<Shape>,
    /// Under which threads remember the family's series (`lookup.rs`); unique in the process. **A removal replaces it
    /// while it holds the table's lock.** So a thread that reads the new key and then searches the table cannot find
    /// what was removed: its search would have come before the removal, and its read before that.
    key: AtomicU64,
    /// Grows, while the table's lock is held, with whatever changes what a scrape lists. A scrape that has seen it needs
    /// no lock and none of the table's memory.
    changes: AtomicU64,
    hasher: SeedableRandomState,
    table: RwLock<Table>,
}

/// What a lookup finds, or makes.
enum Found {
    /// The series of these values.
    Own(SeriesRef),
    /// The one that takes what lies beyond the cap. The lookup is counted.
    Overflow(SeriesRef),
}

/// A key that no family has had.
fn new_key() -> u64 {
    // std's: it orders nothing, so the models need not see it.
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// A hash of its own for a family. foldhash's own seeds are addresses and the time, which a client may learn; these are
/// std's, which are the operating system's randomness.
fn new_hasher() -> SeedableRandomState {
    // One set of seeds a process, as foldhash has it: they are 48 bytes.
    static SEEDS: OnceLock<SharedSeed> = OnceLock::new();
    let random = || RandomState::new().hash_one(0u64);
    let seeds = SEEDS.get_or_init(|| SharedSeed::from_u64(random()));
    SeedableRandomState::with_seed(random(), seeds)
}

#[derive(Debug)]
struct Table {
    /// Places in `order`.
    index: HashTable<u32>,
    /// In order of creation, but that the last one takes the place of a removed one: what a scrape prints.
    order: Vec<SeriesRef>,
    /// When each of `order` was made; empty without a clock, or for what has no start.
    created: Vec<Millis>,
    /// Grows with every removal, so that a snapshot knows whether its copy of `order` was only appended to.
    removals: u64,
    /// Made with the family, so that a lookup never fails; listed from its first use on. `None` for callbacks.
    overflow: Option<SeriesRef>,
    /// Whether it is in `order`.
    overflow_listed: bool,
}

/// A scrape's copy of a family's series, brought up to date by [`FamilyCore::sync`].
#[derive(Debug, Default)]
pub(crate) struct SeriesList {
    pub(crate) series: Vec<SeriesRef>,
    /// Of each series, where its numbers are in a snapshot: a scrape that had to look into every series for that
    /// would miss the cache once a series.
    pub(crate) places: Vec<[u32; 2]>,
    pub(crate) created: Vec<Millis>,
    /// [`exemplar_slots`](crate::Descriptor::exemplar_slots) for each series, all read anew by each scrape.
    pub(crate) exemplars: Vec<Words>,
    pub(crate) removals: u64,
    /// [`FamilyCore::changes`] when it was brought up to date.
    changes: u64,
}

impl FamilyCore {
    /// An empty family. `None` when there are no cells for its overflow series (which, in a family without
    /// labels, is its only one).
    pub(crate) fn new(shape: Shape) -> Option<Self> {
        let shape = Arc::new(shape);
        let values = vec![OVERFLOW_VALUE; shape.descriptor.label_names.len()];
        let overflow = SeriesRef::new(&shape, &values)?;
        Some(Self::with(shape, Some(overflow)))
    }

    /// A family whose only series is computed.
    pub(crate) fn computed(shape: Shape, callback: crate::series::Callback) -> Self {
        let core = Self::with(Arc::new(shape), None);
        let series = SeriesRef::computed(&core.shape, callback);
        core.table.write().insert(series, None, core.hash(&[]), |series| core.hash_of(series));
        core.changed();
        core
    }

    fn with(shape: Arc<Shape>, overflow: Option<SeriesRef>) -> Self {
        let (index, order, created) = (HashTable::new(), Vec::new(), Vec::new());
        let table = Table { index, order, created, removals: 0, overflow, overflow_listed: false };
        let (key, changes) = (AtomicU64::new(new_key()), AtomicU64::new(0));
        Self { shape, key, changes, hasher: new_hasher(), table: RwLock::new(table) }
    }

    fn get(&self, values: &[&str]) -> Option<SeriesRef> {
        let hash = self.hash(values);
        self.table.read().find(hash, values).cloned()
    }

    fn get_or_create(&self, hash: u64, values: &[&str]) -> Found {
        let table = self.table.read();
        if let Some(series) = table.find(hash, values) {
            return Found::Own(series.clone());
        }
        let overflow = table.full(self.shape.descriptor.series_max).cloned();
        drop(table);
        match overflow {
            Some(overflow) => self.overflowed(overflow),
            None => self.create(hash, values),
        }
    }

    #[cold]
    fn create(&self, hash: u64, values: &[&str]) -> Found {
        // Before the lock, since the clock is the caller's code; and before the first recording.
        let created = self.now();
        let mut table = self.table.write();
        if let Some(series) = table.find(hash, values) {
            return Found::Own(series.clone());
        }
        let is_overflow = values.iter().all(|&value| value == OVERFLOW_VALUE);
        if !is_overflow
            && table.order.len() < self.shape.descriptor.series_max
            && let Some(series) = SeriesRef::new(&self.shape, values)
        {
            table.insert(series.clone(), created, hash, |series| self.hash_of(series));
            self.changed();
            return Found::Own(series);
        }
        let Some(overflow) = table.overflow.clone() else {
            unreachable!("nobody looks a callback up")
        };
        if !table.overflow_listed {
            table.overflow_listed = true;
            let hash = self.hash_of(&overflow);
            table.insert(overflow.clone(), created, hash, |series| self.hash_of(series));
            self.changed();
        }
        drop(table);
        if is_overflow { Found::Own(overflow) } else { self.overflowed(overflow) }
    }

    /// Counts a lookup that ends in the overflow series. Not under the table's lock: this is a lookup in a table of its own.
    fn overflowed(&self, overflow: SeriesRef) -> Found {
        if let Some(telemetry) = &self.shape.telemetry {
            telemetry.overflowed.with([self.shape.descriptor.name()]).inc();
        }
        Found::Overflow(overflow)
    }

    fn remove(&self, mut matches: impl FnMut(&SeriesRef) -> bool) -> usize {
        let mut table = self.table.write();
        let mut gone = Vec::new();
        // From the end, so that what is moved into a gap has been looked at already.
        for place in (0..table.order.len()).rev() {
            if matches(&table.order[place]) {
                gone.push(self.remove_at(&mut table, place));
            }
        }
        if !gone.is_empty() {
            self.removed(&mut table);
        }
        drop(table);
        // Series give their cells back when the last reference goes, which may be here: not under the lock.
        gone.len()
    }

    fn remove_one(&self, values: &[&str]) -> bool {
        let hash = self.hash(values);
        let mut table = self.table.write();
        let Some(place) = table.place(hash, values) else { return false };
        let gone = self.remove_at(&mut table, place);
        self.removed(&mut table);
        drop(table);
        drop(gone);
        true
    }

    /// Tells snapshots and the threads' caches that series are gone.
    fn removed(&self, table: &mut Table) {
        table.removals += 1;
        self.changed();
        // Relaxed: the lock puts it in order with the searches that come after, see `key`.
        self.key.store(new_key(), Ordering::Relaxed);
    }

    /// Tells snapshots that their lists are out of date. The table's lock is held.
    fn changed(&self) {
        // Relaxed, as is the load in `sync`: what it tells of is behind the lock.
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a series out; the last one moves into its place.
    fn remove_at(&self, table: &mut Table, place: usize) -> SeriesRef {
        let last = table.order.len() - 1;
        let Table { index, order, created, .. } = table;
        if let Ok(entry) = index.find_entry(self.hash_of(&order[place]), |&at| at as usize == place)
        {
            entry.remove();
        }
        if place != last
            && let Some(moved) =
                index.find_mut(self.hash_of(&order[last]), |&at| at as usize == last)
        {
            *moved = place as u32;
        }
        let series = order.swap_remove(place);
        if place < created.len() {
            created.swap_remove(place);
        }
        if table.overflow.as_ref().is_some_and(|overflow| overflow.is(&series)) {
            table.overflow_listed = false;
            // The next overflow starts at zero. Without cells for a new series the old one has to go on.
            let values: Vec<&str> = series.values().iter().collect();
            table.overflow = SeriesRef::new(&self.shape, &values).or(table.overflow.take());
        }
        series
    }

    /// Brings a scrape's copy up to date. Allocates only when there are new series.
    #[inline]
    pub(crate) fn sync(&self, list: &mut SeriesList) {
        // Before the list: what comes in between is listed now, and looked for once more the next time.
        let changes = self.changes.load(Ordering::Relaxed);
        if list.changes != changes {
            list.changes = changes;
            self.relist(list);
        } else if !list.exemplars.is_empty() {
            // Slots are there for as long as series are, filled or not.
            exemplar::copy(&list.series, &mut list.exemplars);
        }
    }

    fn relist(&self, list: &mut SeriesList) {
        let table = self.table.read();
        if list.removals != table.removals {
            list.series.clear();
            list.places.clear();
            list.created.clear();
            list.removals = table.removals;
        }
        let known = list.series.len();
        list.series.extend(table.order[known..].iter().cloned());
        list.places.extend(table.order[known..].iter().map(|series| series.numbers.places()));
        list.created.extend_from_slice(table.created.get(known..).unwrap_or_default());
        drop(table);
        exemplar::copy(&list.series, &mut list.exemplars);
    }

    /// The time, if series of this family remember when they were made.
    fn now(&self) -> Option<Millis> {
        let clock = self.shape.clock.as_ref()?;
        self.shape.descriptor.kind.accumulates().then(|| clock.now())
    }

    #[inline]
    fn hash(&self, values: &[&str]) -> u64 {
        // Each `write` mixes in its length, so ("ab", "c") and ("a", "bc") differ already here.
        let mut hasher = self.hasher.build_hasher();
        values.iter().for_each(|value| hasher.write(value.as_bytes()));
        hasher.finish()
    }

    fn hash_of(&self, series: &SeriesRef) -> u64 {
        let values: Vec<&str> = series.values().iter().collect();
        self.hash(&values)
    }
}

impl Table {
    fn place(&self, hash: u64, values: &[&str]) -> Option<usize> {
        let found = self.index.find(hash, |&place| self.order[place as usize].values().are(values));
        found.map(|&place| place as usize)
    }

    fn find(&self, hash: u64, values: &[&str]) -> Option<&SeriesRef> {
        self.place(hash, values).map(|place| &self.order[place])
    }

    /// The overflow series, if there is no room for another one and it is listed already.
    fn full(&self, series_max: usize) -> Option<&SeriesRef> {
        let full = self.overflow_listed && self.order.len() >= series_max;
        self.overflow.as_ref().filter(|_| full)
    }

    fn insert(
        &mut self,
        series: SeriesRef,
        created: Option<Millis>,
        hash: u64,
        hash_of: impl Fn(&SeriesRef) -> u64,
    ) {
        let Self { index, order, .. } = self;
        let place = order.len() as u32;
        if order.len() == order.capacity() {
            order.reserve_exact((order.len() / ORDER_SLACK).max(ORDER_MIN));
        }
        order.push(series);
        self.created.extend(created);
        index.insert_unique(hash, place, |&place| hash_of(&order[place as usize]));
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
        let overflowed = registry.counter_family((name.0, name.1), name.2).unwrap();
        overflowed.with(["x_total"]).get()
    }

    #[test]
    fn two_families_hash_the_same_strings_differently() {
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
    fn lookups_beyond_the_cap_leave_neighbours_in_the_threads_cache() {
        let registry = Registry::new();
        let family = family(&registry, "x_total", 16);
        let models: Vec<String> = (0..16).map(|i| format!("model-{i}")).collect();
        family.with(["junk"]); // makes the counter of such lookups, which is looked up as well
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
    fn values_beyond_the_cap_get_a_series_once_there_is_room() {
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
