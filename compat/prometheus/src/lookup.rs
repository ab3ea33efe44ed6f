//! A small cache of handles in each thread, in front of the tables of all families.
//!
//! A lookup by label values hands out a handle that is counted: two locked instructions a lookup, on a line that all threads write, and
//! two more for the lock of the table. Here a thread finds the series among those that it looked up before, and the handle's
//! share of the count **comes back to the thread's cache when the handle is dropped** and is handed out again:
//!
//! ```text
//! find        entry: value, spare -> handle { spare, home: the entry }     without a locked instruction
//! drop        handle -> entry at its home, if that has the same value and no spare; else the count is lowered
//! ```
//!
//! The strings' addresses lead to the entry that equal addresses had the last time, else their hash does. **Values are always
//! compared**, and so is the key of the family, which every removal of a series changes: a removed series is never found.
//!
//! A thread keeps up to [`WAYS`] * [`SETS`] series of each type of number, also removed ones, until others take their places. When a
//! family is dropped, each thread forgets everything at its next lookup in a table.

use crate::table::{self, LabelValues};
use std::cell::Cell;
use std::fmt::{self, Debug};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use triomphe::Arc;

/// Number of sets of a thread's cache, and of entries of a set: 4 KiB. One entry a set would let two series evict each other.
const SETS: usize = 32;
const WAYS: usize = 4;
/// The home of a handle that is in no cache.
const NONE: u8 = u8::MAX;
const _: () = assert!(SETS * WAYS <= NONE as usize, "a home is one byte");

/// Number of hints: 4 KiB.
const HINTS: usize = 1 << HINTS_BITS;
const HINTS_BITS: u32 = 10;

/// An odd number without a pattern in its bits: the fraction of the golden ratio, as in Fibonacci hashing.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// Rotation of a length in a mixture: lengths are small, and no address has the high bits.
const LENGTH_ROTATION: u32 = 8;

/// Families dropped so far.
static DROPPED: AtomicU64 = AtomicU64::new(0);
static KEYS: AtomicU64 = AtomicU64::new(0);

/// Returns a key that no family had before.
pub(crate) fn key() -> u64 {
    // Relaxed: a number that differs from all others.
    KEYS.fetch_add(1, Ordering::Relaxed)
}

/// Lets each thread forget its handles, because a family is dropped.
pub(crate) fn family_dropped() {
    // Relaxed: a thread that misses it sees the next one, or sees it later.
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

/// A value that threads cache.
#[doc(hidden)]
pub trait Cached: Sized {
    /// Calls `f` with the calling thread's cache; `None` for values without one, and when the thread ends.
    fn with<R>(f: impl FnOnce(&Cache<Self>) -> R) -> Option<R>;
    /// Returns the label values.
    fn label_values(&self) -> &LabelValues;
}

/// A share of a value. It goes back to the cache that it came from.
#[doc(hidden)]
pub struct Lease<V: Cached> {
    /// `None` while it is dropped only.
    value: Option<Arc<V>>,
    /// The entry that it came from.
    home: u8,
}

impl<V: Cached> Lease<V> {
    pub(crate) fn new(value: V) -> Self {
        Self { value: Some(Arc::new(value)), home: NONE }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<V> {
        match &self.value {
            Some(value) => value,
            None => unreachable!("taken by drop only"),
        }
    }
}

impl<V: Cached> Deref for Lease<V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        self.shared()
    }
}

impl<V: Cached> Clone for Lease<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), home: NONE }
    }
}

impl<V: Cached> Drop for Lease<V> {
    #[inline]
    fn drop(&mut self) {
        if self.home != NONE
            && let Some(value) = self.value.take()
        {
            let home = self.home;
            // Dropped here if it is not taken back, when nothing of the cache is borrowed.
            drop(V::with(|cache| cache.put_back(home, value)));
        }
    }
}

impl<V: Cached + Debug> Debug for Lease<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A thread's handles to values of one type.
#[doc(hidden)]
pub struct Cache<V> {
    hints: [Cell<u32>; HINTS],
    tags: [[Cell<u64>; WAYS]; SETS],
    /// The entry of each set to overwrite next.
    next: [Cell<u8>; SETS],
    /// [`DROPPED`] when everything was forgotten.
    swept: Cell<u64>,
    entries: [Entry<V>; SETS * WAYS],
}

/// A place for one series: cells, because nothing of the thread is borrowed while a share is dropped.
struct Entry<V> {
    /// The family's key when the series was looked up.
    key: Cell<u64>,
    /// A share to hand out; `None` while it is out.
    spare: Cell<Option<Arc<V>>>,
    /// A share that stays, to make others of; `None` in an empty place.
    kept: Cell<Option<Arc<V>>>,
    /// The address of the series, to know a share that comes back.
    address: Cell<usize>,
}

impl<V> Entry<V> {
    const fn new() -> Self {
        Self {
            key: Cell::new(0),
            spare: Cell::new(None),
            kept: Cell::new(None),
            address: Cell::new(0),
        }
    }

    /// Stores a series, or nothing. Returns the shares that were there.
    fn replace(&self, key: u64, value: Option<Arc<V>>) -> [Option<Arc<V>>; 2] {
        self.key.set(key);
        self.address.set(value.as_ref().map_or(0, address));
        [self.kept.replace(value), self.spare.take()]
    }

    /// Returns another share of the series.
    #[cold]
    fn share(&self) -> Option<Arc<V>> {
        let kept = self.kept.take();
        let share = kept.clone();
        self.kept.set(kept);
        share
    }
}

fn address<V>(value: &Arc<V>) -> usize {
    Arc::as_ptr(value).addr()
}

impl<V> Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl<V> Cache<V> {
    pub(crate) const fn new() -> Self {
        Self {
            hints: [const { Cell::new(0) }; HINTS],
            tags: [const { [const { Cell::new(0) }; WAYS] }; SETS],
            next: [const { Cell::new(0) }; SETS],
            swept: Cell::new(0),
            entries: [const { Entry::new() }; SETS * WAYS],
        }
    }

    /// Takes back a share that was handed out. Returns one to be dropped, if there is one.
    #[inline]
    fn put_back(&self, home: u8, value: Arc<V>) -> Option<Arc<V>> {
        let entry = &self.entries[usize::from(home) % (SETS * WAYS)];
        if entry.address.get() != address(&value) {
            return Some(value);
        }
        entry.spare.replace(Some(value))
    }

    fn forget(&self) -> Vec<[Option<Arc<V>>; 2]> {
        self.entries.iter().map(|entry| entry.replace(0, None)).collect()
    }
}

impl<V: Cached> Cache<V> {
    /// Returns the series of the family with this key that has these values.
    #[inline]
    fn find<S: AsRef<str>>(&self, key: u64, values: &[S]) -> Option<Lease<V>> {
        let mixed = mix(key, values);
        let hint = &self.hints[(mixed >> (u64::BITS - HINTS_BITS)) as usize];
        // The low byte of a hint is the entry, above it are bits of the mixture.
        if (hint.get() ^ mixed as u32) <= 0xff
            && let Some(found) = self.lease(hint.get() as u8, key, values)
        {
            return Some(found);
        }
        self.search(hint, mixed, key, values)
    }

    /// Returns the series by the hash of its values, and corrects the hint.
    #[inline(never)]
    fn search<S: AsRef<str>>(
        &self,
        hint: &Cell<u32>,
        mixed: u64,
        key: u64,
        values: &[S],
    ) -> Option<Lease<V>> {
        let hash = table::hash_values(values);
        let (set, tag) = place(key, hash);
        let way = self.tags[set].iter().position(|known| known.get() == tag)?;
        let at = (set * WAYS + way) as u8;
        let found = self.lease(at, key, values)?;
        hint.set(mixed as u32 & !0xff | u32::from(at));
        Some(found)
    }

    #[inline]
    fn lease<S: AsRef<str>>(&self, at: u8, key: u64, values: &[S]) -> Option<Lease<V>> {
        let entry = &self.entries[usize::from(at) % (SETS * WAYS)];
        if entry.key.get() != key {
            return None;
        }
        let value = entry.spare.take().or_else(|| entry.share())?;
        if !value.label_values().are(values) {
            // Unless a series took its place meanwhile: the strings come from the program's code.
            drop(self.put_back(at, value));
            return None;
        }
        Some(Lease { value: Some(value), home: at })
    }

    /// Stores a series in place of another one. `key` is the family's key from before the series was looked up.
    fn remember(&self, key: u64, hash: u64, value: &Arc<V>) -> impl Drop + use<V> {
        let dropped = DROPPED.load(Ordering::Relaxed);
        let mut gone =
            if self.swept.replace(dropped) == dropped { Vec::new() } else { self.forget() };
        let (set, tag) = place(key, hash);
        let way = usize::from(self.next[set].get());
        self.next[set].set(((way + 1) % WAYS) as u8);
        self.tags[set][way].set(tag);
        gone.push(self.entries[set * WAYS + way].replace(key, Some(Arc::clone(value))));
        gone
    }
}

/// Returns a number that depends on the family and on addresses and lengths of the strings.
#[inline]
fn mix<S: AsRef<str>>(key: u64, values: &[S]) -> u64 {
    let mixed = values.iter().fold(key, |mixed, value| {
        let value = value.as_ref();
        let (start, length) = (value.as_ptr().addr() as u64, value.len() as u64);
        (mixed ^ start ^ length.rotate_right(LENGTH_ROTATION)).wrapping_mul(MIX)
    });
    // The high bits of a product depend on all bits of its factors.
    mixed ^ mixed >> 32
}

/// Returns the set of a hash and the tag of an entry there.
#[inline]
fn place(key: u64, hash: u64) -> (usize, u64) {
    (hash as usize % SETS, hash.wrapping_add(key.wrapping_mul(MIX)))
}

/// Returns the cached series of the family with this key that has these values.
#[inline]
pub(crate) fn find<V: Cached, S: AsRef<str>>(key: u64, values: &[S]) -> Option<Lease<V>> {
    V::with(|cache| cache.find(key, values)).flatten()
}

/// Caches a series; see [`Cache::remember`].
pub(crate) fn remember<V: Cached>(key: u64, value: &Lease<V>) {
    let hash = table::hash_of(value.label_values());
    // Dropping the last share of a series takes locks, so nothing is borrowed then.
    drop(V::with(|cache| cache.remember(key, hash, value.shared())));
}
