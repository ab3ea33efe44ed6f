//! A family's series: the table that label values are looked up in, and what a scrape copies of it.
//!
//! Lookups take the read lock, and only what makes or removes a series takes the other. Both numbers of the family that are
//! read without a lock, `key` and `changes`, are written under it: docs/orderings.md says why that is enough.

use super::OVERFLOW_VALUE;
use crate::clock::Millis;
use crate::exemplar::{self, Words};
use crate::label::cut;
use crate::lookup::Liveness;
use crate::series::{SeriesRef, Shape};
use crate::sync::{AtomicU64, Ordering, RwLock};
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, OnceLock};

/// The list of a family's series grows by this part of its length: it is at most an eighth empty, where doubling leaves
/// up to half, and a series is still copied fewer than nine times on average.
const ORDER_SLACK: usize = 8;
/// Places that the list has at least once it has one.
const ORDER_MIN: usize = 4;

/// A family without its type.
#[derive(Debug)]
pub(crate) struct FamilyCore {
    pub(crate) shape: Arc<Shape>,
    /// Under which threads remember the family's series (`lookup.rs`); unique in the process. **A removal replaces it
    /// while it holds the table's lock.** So a thread that reads the new key and then searches the table cannot find
    /// what was removed: its search would have come before the removal, and its read before that.
    pub(super) key: AtomicU64,
    /// Grows, while the table's lock is held, with whatever changes what a scrape lists. A scrape that has seen it needs
    /// no lock and none of the table's memory.
    changes: AtomicU64,
    /// Bytes of a label value that are kept.
    value_bytes_max: usize,
    /// Tells threads that remember series of this family when it is gone.
    pub(super) liveness: Arc<Liveness>,
    hasher: SeedableRandomState,
    table: RwLock<Table>,
}

impl Drop for FamilyCore {
    fn drop(&mut self) {
        self.liveness.end();
    }
}

/// What a lookup finds, or makes.
pub(super) enum Found {
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
        let (liveness, hasher, table) = (Arc::default(), new_hasher(), RwLock::new(table));
        let value_bytes_max = shape.descriptor.label_value_bytes_max;
        Self { shape, key, changes, value_bytes_max, liveness, hasher, table }
    }

    /// The part of a label value that is kept.
    #[inline]
    pub(super) fn cut<'a>(&self, value: &'a str) -> &'a str {
        cut(value, self.value_bytes_max)
    }

    /// The parts of label values that are kept, for a lookup that makes a series; it is counted if one is cut.
    #[inline]
    pub(super) fn kept<'a, const N: usize>(&self, values: [&'a str; N]) -> [&'a str; N] {
        if self.cuts(&values) { self.cut_and_count(values) } else { values }
    }

    /// Whether one of these values is longer than what is kept.
    #[inline]
    pub(super) fn cuts(&self, values: &[&str]) -> bool {
        values.iter().any(|value| value.len() > self.value_bytes_max)
    }

    #[cold]
    #[inline(never)]
    fn cut_and_count<'a, const N: usize>(&self, values: [&'a str; N]) -> [&'a str; N] {
        if let Some(telemetry) = &self.shape.telemetry {
            telemetry.cut.with([self.shape.descriptor.name()]).inc();
        }
        values.map(|value| self.cut(value))
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.table.read().index.len()
    }

    pub(super) fn get(&self, values: &[&str]) -> Option<SeriesRef> {
        let hash = self.hash(values);
        self.table.read().find(hash, values).cloned()
    }

    pub(super) fn get_or_create(&self, hash: u64, values: &[&str]) -> Found {
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

    pub(super) fn remove(&self, mut matches: impl FnMut(&SeriesRef) -> bool) -> usize {
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

    pub(super) fn remove_one(&self, values: &[&str]) -> bool {
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
    pub(super) fn hash(&self, values: &[&str]) -> u64 {
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
