//! A small cache of handles a thread, in front of every family's table.
//!
//! A lookup that hits touches only this thread's memory and the series itself: no lock, no shared counter. So
//! two threads that look up the same series do not slow each other down, as they would on the table's lock and
//! on the reference count of a handle that is handed out (measured: 28 ns alone, a multiple of that with two
//! threads).
//!
//! The cache holds handles, so a removed series is kept until its entry is overwritten or its thread ends: at
//! most 128 series a thread. A removed series is never *found* here: entries are kept under their family's key, and
//! every removal gives the family a new one (`family.rs`). So a removal costs each thread one walk to the table for
//! each series of that family, and no series carries a mark of its own.

use crate::counter::{Counter, FloatCounter};
use crate::gauge::{Gauge, UpDownCounter};
use crate::histogram::Histogram;
use crate::info::Info;
use crate::series::SeriesRef;
use crate::stateset::StateSet;
use std::cell::RefCell;

/// Sets of a thread's cache, and entries of a set: 128 entries in 8 KiB, enough for the frontend's families with
/// four models. With one entry a set, 16 series would mostly have two that push each other out (seen: 7 or 20 ns
/// a lookup, as the hash's seed fell).
const SETS: usize = 32;
const WAYS: usize = 4;

thread_local! {
    static CACHE: [RefCell<Set>; SETS] = const { [const { RefCell::new(Set::EMPTY) }; SETS] };
}

/// Handles whose hashes have the same low bits.
struct Set {
    tags: [u64; WAYS],
    entries: [Option<Entry>; WAYS],
    /// The entry to overwrite next: each in turn.
    next: usize,
}

struct Entry {
    /// The family's key when the series was looked up.
    key: u64,
    handle: AnyHandle,
}

impl Set {
    const EMPTY: Self = Self { tags: [0; WAYS], entries: [const { None }; WAYS], next: 0 };

    /// The first entry with this tag; [`WAYS`] or more when there is none. All are compared, and without a jump: which of
    /// them it is, is nothing that a branch could predict. (A second one with this tag is looked up in the table.)
    #[inline(always)]
    fn way(&self, tag: u64) -> usize {
        let equal = |way: usize| u32::from(self.tags[way] == tag) << way;
        (0..WAYS).fold(0, |all, way| all | equal(way)).trailing_zeros() as usize
    }
}

/// A hash of key and values: what a family's former key left behind does not get in the way.
#[inline(always)]
fn tag(key: u64, hash: u64) -> u64 {
    hash.wrapping_add(key.rotate_left(TAG_ROTATION))
}

/// Keys are small numbers in order; turned by this, they change the high bits of a tag, which the place leaves alone.
const TAG_ROTATION: u32 = 40;

/// A handle of any kind of metric.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum AnyHandle {
    Counter(Counter),
    FloatCounter(FloatCounter),
    Gauge(Gauge),
    UpDownCounter(UpDownCounter),
    Histogram(Histogram),
    Info(Info),
    StateSet(StateSet),
}

impl AnyHandle {
    #[inline]
    fn series(&self) -> &SeriesRef {
        match self {
            Self::Counter(handle) => handle.series(),
            Self::FloatCounter(handle) => handle.series(),
            Self::Gauge(handle) => handle.series(),
            Self::UpDownCounter(handle) => handle.series(),
            Self::Histogram(handle) => handle.series(),
            Self::Info(handle) => handle.series(),
            Self::StateSet(handle) => handle.series(),
        }
    }
}

/// Calls `hit` with the handle that is cached under this key of a family and these values. Gives `hit` back when there is none, or
/// when the entry is in use by a caller further up, or when the thread is past its end.
#[inline]
pub(crate) fn find<R, F: FnOnce(&AnyHandle) -> R>(
    key: u64,
    hash: u64,
    values: &[&str],
    hit: F,
) -> Result<R, F> {
    let mut hit = Some(hit);
    let found = CACHE.try_with(|cache| {
        let set = cache[place(hash)].try_borrow().ok()?;
        let Entry { key: of, handle } = set.entries.get(set.way(tag(key, hash)))?.as_ref()?;
        if *of == key && handle.series().values().are(values) {
            return hit.take().map(|hit| hit(handle));
        }
        None
    });
    match (found.ok().flatten(), hit) {
        (Some(result), _) => Ok(result),
        (None, Some(hit)) => Err(hit),
        (None, None) => unreachable!("taken only to be called"),
    }
}

/// Remembers a handle, in place of another one. `key` is the family's from before the handle was looked up.
pub(crate) fn remember(key: u64, hash: u64, handle: AnyHandle) {
    // What was there may be the last handle of its series, whose end takes locks: not while it is borrowed.
    let before = CACHE.try_with(|cache| {
        let mut set = cache[place(hash)].try_borrow_mut().ok()?;
        let way = set.next;
        set.next = (way + 1) % WAYS;
        set.tags[way] = tag(key, hash);
        set.entries[way].replace(Entry { key, handle })
    });
    drop(before);
}

#[inline]
fn place(hash: u64) -> usize {
    // The low bits; the families' tables use the high ones as well.
    hash as usize % SETS
}
