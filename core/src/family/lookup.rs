//! A small cache of handles in each thread, in front of the tables of all families.
//!
//! A lookup that hits uses only memory of this thread and the series itself: no lock and no shared counter. So two threads
//! that look up the same series do not slow each other down, as they would on the table's lock and on the reference count of
//! a returned handle (measured: 28 ns on one thread, a multiple of that with two).
//!
//! ```text
//! mixed = mix(key, addresses and lengths of the values)
//! entry = entries[hints[mixed]], if family and values are equal    the same strings led there last time
//!         else search by the seeded hash of the values              and correct the hint
//! ```
//!
//! A hint is only a guess: **values are always compared**, so a string that was changed, or replaced at the same address,
//! costs the search by hash and is never taken for another one. Clients do not choose addresses, and the search uses a hash
//! with random seeds (`family/erased.rs`). A collision costs a comparison and then the search in the table, as much as a lookup
//! without this cache.
//!
//! A hint also stores some bits of its mixture. Without them every string at a new address followed the hint of another
//! string, and found that out by a comparison that no branch predictor foresees (14 ns on top of 16).
//!
//! The cache holds handles, so a removed series is kept until its entry is overwritten or its thread ends: at most 128 series
//! a thread. **The entries of a dropped family are removed**, or their handles would keep the cells of its whole registry:
//! the thread that drops the family [sweeps](sweep) its own cache at once, every other thread at its next lookup that misses.
//! A removed series is never *found* here: entries have the key of their family, and every removal gives the family a new key
//! (`family/erased.rs`). So a removal costs each thread one search in the table for each series of that family, and series need
//! no mark of their own.

use crate::handle::{AnyHandle, Metric};
use std::cell::{Cell, Ref, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Number of sets of a thread's cache, and of entries of a set: 128 entries in 7 KiB, enough for the frontend's families with
/// four models. With one entry a set, 16 series would mostly have two that evict each other (measured: 7 or 20 ns a lookup,
/// depending on the hash's seed). Each series may be in two sets: with one set each, five of 16 would share a set of four on
/// one thread of 250 (measured: 374 instructions a lookup instead of 108).
const SETS: usize = if cfg!(loom) { 1 } else { 32 };
const WAYS: usize = 4;

/// Number of hints of a thread: 4 KiB. Two series whose strings share a hint correct it in turns and are found by hash; among
/// 16 series there is such a pair on one thread of nine.
const HINTS: usize = 1 << HINTS_BITS;
const HINTS_BITS: u32 = if cfg!(loom) { 1 } else { 10 };

#[cfg(not(loom))]
thread_local! {
    static CACHE: Cache = const { Cache::new() };
}
#[cfg(loom)]
loom::thread_local! {
    static CACHE: Cache = Cache::new();
}

struct Cache {
    hints: [Cell<Hint>; HINTS],
    /// One for each entry; those of a set together.
    tags: [[Cell<u64>; WAYS]; SETS],
    /// The entry to overwrite next for series whose first set this is, in turn: the entries of that set, then those of the second.
    next: [Cell<u8>; SETS],
    /// [`DROPPED`] at the last sweep.
    swept: Cell<u64>,
    entries: [RefCell<Option<Entry>>; SETS * WAYS],
}

struct Entry {
    /// The family's key when the series was looked up.
    key: u64,
    family: Arc<Liveness>,
    handle: AnyHandle,
}

/// The mark that a family was dropped. Shared by the family and the entries of all threads' caches.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    dropped: AtomicBool,
}

impl Liveness {
    /// Marks the family as dropped, and drops the calling thread's handles to its series.
    pub(crate) fn end(&self) {
        // Relaxed: before the Release.
        self.dropped.store(true, Ordering::Relaxed);
        // Release pairs with the Acquire in `sweep`: a thread that counts this family finds it dropped.
        DROPPED.fetch_add(1, Ordering::Release);
        sweep();
    }
}

/// Families dropped so far, in all threads.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Drops the calling thread's handles to series of families that were dropped.
fn sweep() {
    let gone = CACHE.try_with(|cache| {
        // Acquire pairs with the Release in `end`.
        let dropped = DROPPED.load(Ordering::Acquire);
        let is_gone = |entry: &mut Entry| entry.family.dropped.load(Ordering::Relaxed);
        let mut gone = Vec::new();
        let mut all = true;
        for entry in &cache.entries {
            match entry.try_borrow_mut() {
                Ok(mut entry) => gone.extend(entry.take_if(is_gone)),
                // In use further up the call stack: it stays until the next sweep.
                Err(_) => all = false,
            }
        }
        if all {
            cache.swept.set(dropped);
        }
        gone
    });
    // Dropping the last handle of a series takes locks and may drop another family, so nothing is borrowed here.
    drop(gone);
}

/// Drops every handle that the calling thread remembers.
#[cfg(loom)]
pub(crate) fn forget() {
    let all = CACHE.with(|cache| cache.entries.each_ref().map(RefCell::take));
    drop(all);
}

/// The index of an entry in `entries`.
#[derive(Clone, Copy)]
struct Place(u8);

const _: () = assert!(SETS * WAYS - 1 <= u8::MAX as usize, "a place is one byte");

/// The place that strings led to, in the low byte; above it, bits of their mixture.
#[derive(Clone, Copy)]
struct Hint(u32);

impl Hint {
    #[inline(always)]
    fn new(mixed: u64, place: Place) -> Self {
        Self(mixed as u32 & !0xff | u32::from(place.0))
    }

    /// Returns the place, if the bits are those of these strings.
    #[inline(always)]
    fn place(self, mixed: u64) -> Option<Place> {
        ((mixed as u32 ^ self.0) <= 0xff).then_some(Place(self.0 as u8))
    }
}

impl Cache {
    const fn new() -> Self {
        Self {
            hints: [const { Cell::new(Hint(0)) }; HINTS],
            tags: [const { [const { Cell::new(0) }; WAYS] }; SETS],
            next: [const { Cell::new(0) }; SETS],
            swept: Cell::new(0),
            entries: [const { RefCell::new(None) }; SETS * WAYS],
        }
    }

    /// Returns the hint for strings with this mixture, by its high bits; the hint itself stores the low bits.
    #[inline(always)]
    fn hint(&self, mixed: u64) -> &Cell<Hint> {
        &self.hints[(mixed >> (u64::BITS - HINTS_BITS)) as usize]
    }

    /// Returns an entry; `None` while it is being replaced.
    #[inline(always)]
    fn entry(&self, place: Place) -> Option<Ref<'_, Option<Entry>>> {
        self.entries[usize::from(place.0) % (SETS * WAYS)].try_borrow().ok()
    }

    /// Returns the first entry with the tag of this hash; the caller compares its family and values. (A second entry with this
    /// tag is looked up in the table.)
    #[inline(always)]
    fn search(&self, key: u64, hash: u64) -> Option<Place> {
        let [first, second] = sets(hash);
        let tag = tag(key, hash);
        self.search_set(first, tag).or_else(|| self.search_set(second, tag))
    }

    /// Returns the first entry of a set with this tag. All tags are compared without a branch, because a predictor cannot foresee
    /// which one is equal.
    #[inline(always)]
    fn search_set(&self, set: usize, tag: u64) -> Option<Place> {
        let equal = |way: usize| u32::from(self.tags[set][way].get() == tag) << way;
        let way = (0..WAYS).fold(0, |all, way| all | equal(way)).trailing_zeros() as usize;
        (way < WAYS).then_some(Place((set * WAYS + way) as u8))
    }

    /// Stores an entry in an empty place of its two sets, or else in place of another one, which it returns.
    fn replace(&self, hash: u64, entry: Entry) -> Option<Entry> {
        let sets = sets(hash);
        let place = |turn: usize| sets[turn / WAYS] * WAYS + turn % WAYS;
        let is_empty = |turn: &usize| {
            self.entries[place(*turn)].try_borrow().is_ok_and(|entry| entry.is_none())
        };
        let turn = (0..2 * WAYS).find(is_empty).unwrap_or_else(|| {
            let next = &self.next[sets[0]];
            let turn = usize::from(next.get());
            next.set(((turn + 1) % (2 * WAYS)) as u8);
            turn
        });
        // An entry that is in use further up the call stack is not replaced.
        let mut place = self.entries[place(turn)].try_borrow_mut().ok()?;
        self.tags[sets[turn / WAYS]][turn % WAYS].set(tag(entry.key, hash));
        place.replace(entry)
    }
}

/// Returns the entry's handle, if its family and values are equal to these.
#[inline(always)]
fn handle<'a, M: Metric>(entry: &'a Option<Entry>, key: u64, values: &[&str]) -> Option<&'a M> {
    let Entry { key: of, handle, .. } = entry.as_ref()?;
    M::from_any(handle).filter(|m| *of == key && m.series().values().are(values))
}

/// Returns a number that depends on the family and on addresses and lengths of the strings. Lengths, because two strings may
/// begin at the same address.
#[inline(always)]
fn mix(key: u64, values: &[&str]) -> u64 {
    let mixed = values.iter().fold(key, |mixed, value| {
        let (start, length) = (value.as_ptr().addr() as u64, value.len() as u64);
        (mixed ^ start ^ length.rotate_right(LENGTH_ROTATION)).wrapping_mul(MIX)
    });
    // The high bits of a product depend on all bits of its factors.
    mixed ^ mixed >> 32
}

/// Returns the two sets of a hash, by its low bits and by those in its middle; one hash of 32 has the same set twice.
#[inline(always)]
fn sets(hash: u64) -> [usize; 2] {
    [hash as usize % SETS, (hash >> SECOND_SET) as usize % SETS]
}

/// Position in a hash of the bits that choose the second set: apart from those of the first one.
const SECOND_SET: u32 = 32;

/// Returns a hash of key and values, so that entries of a family's former key are not found.
#[inline(always)]
fn tag(key: u64, hash: u64) -> u64 {
    hash.wrapping_add(key.rotate_left(TAG_ROTATION))
}

/// Rotation of a key in a tag: keys are small numbers, and the set already uses the low bits of the hash.
const TAG_ROTATION: u32 = 40;

/// Rotation of a length in a mixture: lengths are small, and no address has the high bits.
const LENGTH_ROTATION: u32 = 8;

/// An odd number without a pattern in its bits: the fraction of the golden ratio, as in Fibonacci hashing.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Calls `hit` with the cached handle of this key of a family and these values. `hash` is called if the hint is wrong. Returns
/// `hit` as an error when there is no such handle, when its entry is being replaced, and after the thread's end.
#[inline]
pub(crate) fn find<M: Metric, R, F: FnOnce(&M) -> R>(
    key: u64,
    values: &[&str],
    hash: impl FnOnce() -> u64,
    hit: F,
) -> Result<R, F> {
    let mut hit = Some(hit);
    let found = CACHE.try_with(|cache| {
        let mixed = mix(key, values);
        let hint = cache.hint(mixed);
        if let Some(place) = hint.get().place(mixed)
            && let Some(found) = handle::<M>(&*cache.entry(place)?, key, values)
        {
            return hit.take().map(|hit| hit(found));
        }
        let place = cache.search(key, hash())?;
        let entry = cache.entry(place)?;
        let found = handle::<M>(&entry, key, values)?;
        hint.set(Hint::new(mixed, place));
        hit.take().map(|hit| hit(found))
    });
    match (found.ok().flatten(), hit) {
        (Some(result), _) => Ok(result),
        (None, Some(hit)) => Err(hit),
        (None, None) => unreachable!("taken only to be called"),
    }
}

/// Stores a handle in place of another one. `key` is the family's key from before the handle was looked up.
pub(crate) fn remember(key: u64, hash: u64, family: &Arc<Liveness>, handle: AnyHandle) {
    let entry = Entry { key, family: Arc::clone(family), handle };
    // The replaced entry may be the last handle of its series; dropping it takes locks, so nothing is borrowed then.
    let before = CACHE.try_with(|cache| {
        // Relaxed: a family that this misses is swept by a later lookup.
        let is_swept = cache.swept.get() == DROPPED.load(Ordering::Relaxed);
        (cache.replace(hash, entry), is_swept)
    });
    if let Ok((before, is_swept)) = before {
        drop(before);
        if !is_swept {
            sweep();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
