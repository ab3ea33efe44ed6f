//! A family without its type: lookups in the table of its series, creation, removal, and what a scrape sees of them.
//!
//! Lookups take the read lock; creating and removing series takes the write lock. Two numbers are read without a lock, `key` and
//! `changes`, and written under the write lock: docs/orderings.md has the reason why that is enough.

use super::OVERFLOW_VALUE;
use super::list::SeriesList;
use super::table::Table;
use crate::arena;
use crate::clock::Millis;
use crate::family::lookup::Liveness;
use crate::label::truncate;
use crate::series::{FamilyMetadata, SeriesRef};
use crate::sync::{AtomicU64, Ordering, RwLock, Step, hand_over, left_out};
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, OnceLock};

/// Series that a removal looks at while it holds the table's lock: some 0.2 ms if all of them are removed, which is the time that
/// a lookup may have to wait for it.
const REMOVAL_BATCH: usize = 256;
/// A family without its type.
#[derive(Debug)]
pub(crate) struct FamilyCore {
    pub(crate) metadata: Arc<FamilyMetadata>,
    /// The key of the family's series in the threads' caches (`lookup.rs`); unique in the process. **A removal replaces it
    /// while it holds the table's lock.** So a thread that reads the new key and then searches the table cannot find a removed
    /// series: its search would have come before the removal, and its read before that.
    pub(super) key: AtomicU64,
    /// Grows, while the table's lock is held, with every change of the list. A scrape that has seen the number needs no lock
    /// and reads none of the table's memory.
    changes: AtomicU64,
    /// Largest number of bytes of a label value.
    value_bytes_max: usize,
    /// Tells threads that cache series of this family that it was dropped.
    pub(super) liveness: Arc<Liveness>,
    hasher: SeedableRandomState,
    table: RwLock<Table>,
}

impl Drop for FamilyCore {
    fn drop(&mut self) {
        self.liveness.end();
    }
}

/// The result of a lookup.
pub(super) enum Found {
    /// The series of these values.
    Own(SeriesRef),
    /// The overflow series. The lookup was counted.
    Overflow(SeriesRef),
}

/// Returns a key that no family has had.
fn new_key() -> u64 {
    // std's: it orders nothing, so the models need not see it.
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Returns the hasher of a new family. foldhash's own seeds are addresses and the time, which a client may learn; these seeds
/// are std's, which come from the operating system.
fn new_hasher() -> SeedableRandomState {
    // One set of seeds a process, as foldhash has it: they are 48 bytes.
    static SEEDS: OnceLock<SharedSeed> = OnceLock::new();
    let random = || RandomState::new().hash_one(0u64);
    let seeds = SEEDS.get_or_init(|| SharedSeed::from_u64(random()));
    SeedableRandomState::with_seed(random(), seeds)
}

impl FamilyCore {
    /// Returns an empty family; `None` when there are no cells for its overflow series (which is the only series of a family
    /// without labels).
    pub(crate) fn new(metadata: FamilyMetadata) -> Option<Self> {
        let metadata = Arc::new(metadata);
        let values = vec![OVERFLOW_VALUE; metadata.descriptor.label_names.len()];
        let overflow = SeriesRef::new(&metadata, &values)?;
        Some(Self::with(metadata, Some(overflow)))
    }

    /// Returns a family whose only series is computed.
    pub(crate) fn computed(metadata: FamilyMetadata, callback: crate::series::Callback) -> Self {
        let core = Self::with(Arc::new(metadata), None);
        let series = SeriesRef::computed(&core.metadata, callback);
        core.table.write().insert(series, None, core.hash(&[]), |series| core.hash_of(series));
        core.changed();
        core
    }

    fn with(metadata: Arc<FamilyMetadata>, overflow: Option<SeriesRef>) -> Self {
        let table = Table::new(overflow);
        let (key, changes) = (AtomicU64::new(new_key()), AtomicU64::new(0));
        let (liveness, hasher, table) = (Arc::default(), new_hasher(), RwLock::new(table));
        let value_bytes_max = metadata.descriptor.label_value_bytes_max;
        Self { metadata, key, changes, value_bytes_max, liveness, hasher, table }
    }

    /// Returns the part of a label value that is kept.
    #[inline]
    pub(super) fn cut<'a>(&self, value: &'a str) -> &'a str {
        truncate(value, self.value_bytes_max)
    }

    /// Returns the parts of label values that are kept, for a lookup that creates a series; reports it if one is truncated.
    #[inline]
    pub(super) fn kept<'a, const N: usize>(&self, values: [&'a str; N]) -> [&'a str; N] {
        if self.cuts(&values) { self.cut_and_count(values) } else { values }
    }

    /// Returns whether one of these values is too long.
    #[inline]
    pub(super) fn cuts(&self, values: &[&str]) -> bool {
        values.iter().any(|value| value.len() > self.value_bytes_max)
    }

    #[cold]
    #[inline(never)]
    fn cut_and_count<'a, const N: usize>(&self, values: [&'a str; N]) -> [&'a str; N] {
        if let Some(reporter) = &self.metadata.reporter {
            reporter.truncated(self.metadata.descriptor.name());
        }
        values.map(|value| self.cut(value))
    }

    /// Returns the number of series.
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
        let overflow = table.full(self.metadata.descriptor.series_max).cloned();
        drop(table);
        match overflow {
            Some(overflow) => self.overflowed(overflow),
            None => self.create(hash, values),
        }
    }

    #[cold]
    fn create(&self, hash: u64, values: &[&str]) -> Found {
        // Before the lock, because the clock is the caller's code; and before the first recording.
        let created = self.now();
        let mut table = self.table.write();
        if let Some(series) = table.find(hash, values) {
            return Found::Own(series.clone());
        }
        let is_overflow = values.iter().all(|&value| value == OVERFLOW_VALUE);
        if !is_overflow && table.order.len() < self.metadata.descriptor.series_max {
            let returns = arena::returns();
            if let Some(series) = SeriesRef::new(&self.metadata, values) {
                table.insert(series.clone(), created, hash, |series| self.hash_of(series));
                self.changed();
                return Found::Own(series);
            }
            table.exhausted = Some(returns);
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
        if let Some(reporter) = &self.metadata.reporter {
            reporter.overflowed(self.metadata.descriptor.name());
        }
        Found::Overflow(overflow)
    }

    /// Removes the series that match, and returns their number. Between batches other threads look up, make and remove series. A series
    /// that was there at the beginning is looked at, wherever it was moved; one that is made meanwhile may be.
    pub(super) fn remove(&self, mut matches: impl FnMut(&SeriesRef) -> bool) -> usize {
        let (mut removed, mut rest) = (0, usize::MAX);
        while rest > 0 {
            // Series give their cells back when the last reference goes, which may be here: not under the lock.
            removed += self.remove_batch(&mut rest, &mut matches).len();
        }
        removed
    }

    /// Removes the matches among the last [`REMOVAL_BATCH`] of the first `rest` series; the others are the new rest.
    ///
    /// Starts at the end: a series that is moved into a gap has been looked at already, whichever thread left the gap. So the rest
    /// loses no series but those that are removed.
    fn remove_batch(
        &self,
        rest: &mut usize,
        matches: &mut impl FnMut(&SeriesRef) -> bool,
    ) -> Vec<SeriesRef> {
        let mut table = self.table.write();
        let end = table.order.len().min(*rest);
        *rest = end.saturating_sub(REMOVAL_BATCH);
        let mut gone = Vec::new();
        for place in (*rest..end).rev() {
            if matches(&table.order[place]) {
                gone.push(self.remove_at(&mut table, place));
            }
        }
        if !gone.is_empty() {
            self.removed();
        }
        hand_over(table);
        gone
    }

    /// Removes all series at one instant.
    pub(super) fn clear(&self) {
        let mut table = self.table.write();
        let gone = (std::mem::take(&mut table.index), std::mem::take(&mut table.order));
        table.created = Vec::new();
        table.removals.push_all();
        if table.overflow_listed {
            self.renew_overflow(&mut table);
        }
        self.removed();
        drop(table);
        drop(gone);
    }

    pub(super) fn remove_one(&self, values: &[&str]) -> bool {
        let hash = self.hash(values);
        let mut table = self.table.write();
        let Some(place) = table.place(hash, values) else { return false };
        let gone = self.remove_at(&mut table, place);
        self.removed();
        drop(table);
        drop(gone);
        true
    }

    /// Tells snapshots and the threads' caches that series are gone. The table's lock is held.
    fn removed(&self) {
        self.changed();
        // Relaxed: the lock puts it in order with the searches that come after, see `key`.
        if !left_out(Step::NewKey) {
            self.key.store(new_key(), Ordering::Relaxed);
        }
    }

    /// Tells snapshots that their lists are out of date. The table's lock is held.
    fn changed(&self) {
        // Relaxed, as is the load in `sync`: what it tells of is behind the lock.
        if !left_out(Step::Announce) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes a series; the last one moves into its place.
    fn remove_at(&self, table: &mut Table, place: usize) -> SeriesRef {
        let series = table.swap_remove(place, |series| self.hash_of(series));
        if table.overflow.as_ref().is_some_and(|overflow| overflow.is(&series)) {
            self.renew_overflow(table);
        }
        series
    }

    /// Makes another overflow series in place of one that is no longer listed: it starts at zero.
    fn renew_overflow(&self, table: &mut Table) {
        table.overflow_listed = false;
        let Some(former) = table.overflow.take() else { return };
        let values: Vec<&str> = former.values().iter().collect();
        // Without cells for a new series the old one stays in use.
        table.overflow = SeriesRef::new(&self.metadata, &values).or(Some(former));
    }

    /// Updates a scrape's copy. Allocates only when there are new series.
    #[inline]
    pub(crate) fn sync(&self, list: &mut SeriesList) {
        // Read before the list: a series that is created in between is listed now, and looked for again the next time.
        let changes = self.changes.load(Ordering::Relaxed);
        if list.changes != changes {
            self.relist(list);
            list.changes = if left_out(Step::NumberBeforeListing) {
                self.changes.load(Ordering::Relaxed)
            } else {
                changes
            };
        }
    }

    /// Copies the table in batches, since a thread that makes a series waits for the lock, and others then wait for that thread. A
    /// batch begins with the removals since the last one, so after the last batch the list is equal to the table at that instant.
    fn relist(&self, list: &mut SeriesList) {
        let mut gone = Vec::new();
        loop {
            let table = self.table.read();
            list.follow(&table, &mut gone);
            if list.append_batch(&table) {
                break;
            }
        }
        // They give their cells back if these are the last references: not under the lock.
        drop(gone);
        list.keeps_exemplars = self.metadata.descriptor.exemplar_slots() > 0;
    }

    /// Returns the time, if series of this family store the time of their creation.
    fn now(&self) -> Option<Millis> {
        let clock = self.metadata.clock.as_ref()?;
        self.metadata.descriptor.kind.accumulates().then(|| clock.now())
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Counter, Family, Opts, Registry};

    fn family(series: usize) -> Family<Counter, 1> {
        let opts = Opts::new("x_total", "").series_max(10 * series);
        let family = Registry::new().counter_family(opts, ["n"]).unwrap();
        (0..series).for_each(|n| drop(family.with([&n.to_string()])));
        family
    }

    fn number(series: &SeriesRef) -> Option<usize> {
        series.values().iter().next()?.parse().ok()
    }

    #[test]
    fn a_removal_holds_the_lock_for_a_batch_at_a_time() {
        const SERIES: usize = 10 * REMOVAL_BATCH + 1;
        let core = family(SERIES).core;
        let (mut rest, mut batches, mut removed) = (usize::MAX, 0, 0);
        while rest > 0 {
            let mut visits = 0;
            let gone = core.remove_batch(&mut rest, &mut |_: &SeriesRef| {
                visits += 1;
                true
            });
            assert!(visits <= REMOVAL_BATCH);
            assert!(core.table.try_write().is_some(), "free for others in between");
            batches += 1;
            removed += gone.len();
        }
        assert_eq!((batches, removed, core.len()), (11, SERIES, 0));
    }

    #[test]
    fn others_may_make_and_remove_series_in_the_middle_of_a_removal() {
        const SERIES: usize = 3000;
        let family = family(SERIES);
        let is_even = |series: &SeriesRef| number(series).is_some_and(|n| n % 2 == 0);
        let (mut rest, mut round) = (usize::MAX, 0);
        let mut removed_by_others = Vec::new();
        while rest > 0 {
            family.core.remove_batch(&mut rest, &mut { is_even });
            // Series at the beginning, in the middle and at the end change places.
            for n in [round, SERIES / 2 + round, SERIES - 1 - round] {
                removed_by_others.extend(family.remove([&n.to_string()]).then_some(n));
            }
            (0..7).for_each(|n| drop(family.with([&format!("new-{round}-{n}")])));
            round += 1;
        }
        for n in 0..SERIES {
            let is_there = family.get([&n.to_string()]).is_some();
            assert_eq!(is_there, n % 2 == 1 && !removed_by_others.contains(&n), "{n}");
        }
        assert_eq!(family.remove_matching(&[("n", "new-0-3")]), 1);
    }
}
