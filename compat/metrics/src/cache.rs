//! Each thread's cache of the handles that it looked up last, so that a macro that repeats takes no lock and writes no memory that other
//! threads use.
//!
//! A handle in the cache has a reference count of its own: the facade's macros clone it and drop the clone, and threads that did so with one
//! count would wait for each other.
//!
//! **A handle is left in no cache once its series is removed or its recorder is dropped**: both raise the [`EPOCH`], and a thread whose cache
//! is of another epoch empties it at its next lookup.

use crate::key_map::MIX;
use metrics::{Counter, Gauge, Histogram, Key};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Handles that a thread's cache has, once the thread has looked one up: some 24 KiB.
pub const CACHE_HANDLES: usize = SETS * WAYS;

/// Places for keys.
const SETS: usize = 1 << SET_BITS;
const SET_BITS: u32 = 6;
/// Handles whose keys have the same place. With one, two keys of one place would push each other out at every use.
const WAYS: usize = 4;

/// Lookups of keys that are not in a full cache, until one of them takes the place of another. A program that uses more series in turn than
/// the cache has would else push out each before it is used again, at the cost of a handle of its own at every use.
const MISSES: u32 = 8;

/// Raised whenever handles in caches are to be dropped.
static EPOCH: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static CACHE: RefCell<Cache> = const { RefCell::new(Cache { epoch: 0, entries: Vec::new(), next: 0, misses: 0 }) };
}

#[derive(Debug)]
struct Cache {
    epoch: u64,
    /// Empty until the first handle is kept, then [`CACHE_HANDLES`].
    entries: Vec<Option<Entry>>,
    /// The way that the next new handle takes.
    next: usize,
    /// Lookups in vain.
    misses: u32,
}

#[derive(Debug)]
struct Entry {
    recorder: u64,
    key: Key,
    handle: Cached,
}

/// A handle of any kind.
#[derive(Debug)]
pub(crate) enum Cached {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// A kind of handle of the facade.
pub(crate) trait FacadeHandle: Clone {
    fn of(cached: &Cached) -> Option<&Self>;
    fn cached(self) -> Cached;
}

macro_rules! facade_handles {
    ($($handle:ident),*) => {
        $(impl FacadeHandle for $handle {
            #[inline]
            fn of(cached: &Cached) -> Option<&Self> {
                match cached {
                    Cached::$handle(handle) => Some(handle),
                    _ => None,
                }
            }

            fn cached(self) -> Cached {
                Cached::$handle(self)
            }
        })*
    };
}

facade_handles!(Counter, Gauge, Histogram);

/// Drops all handles that are in caches: those of this thread now, those of another thread at its next lookup.
pub(crate) fn forget_all() {
    // Release pairs with the Acquire in `epoch`: a thread that finds the new epoch finds the series gone from its table.
    EPOCH.fetch_add(1, Ordering::Release);
    let _ = CACHE.try_with(|cache| {
        let entries = cache.try_borrow_mut().map(|mut cache| std::mem::take(&mut cache.entries));
        drop(entries);
    });
}

/// Returns the epoch, which a lookup reads before it looks into a table.
#[inline]
pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Acquire)
}

/// Returns the handle of this key, if this thread's cache has it.
#[inline]
pub(crate) fn find<H: FacadeHandle>(recorder: u64, key: &Key, epoch: u64) -> Option<H> {
    // The cache is gone while the thread's locals are destroyed, and borrowed where an allocator counts what the cache allocates.
    let found = CACHE.try_with(|cache| {
        let cache = cache.try_borrow().ok()?;
        if cache.epoch != epoch {
            return None;
        }
        let set = set(recorder, key);
        let entries = cache.entries.get(set..set + WAYS)?;
        entries.iter().flatten().find_map(|entry| {
            let handle = H::of(&entry.handle)?;
            (entry.recorder == recorder && is_same(&entry.key, key)).then(|| handle.clone())
        })
    });
    found.ok().flatten()
}

/// Returns whether this thread's cache takes the handle of a key that it was just asked for in vain: where there is room, and
/// else every [`MISSES`]th time.
pub(crate) fn takes(recorder: u64, key: &Key, epoch: u64) -> bool {
    let takes = CACHE.try_with(|cache| {
        let mut cache = cache.try_borrow_mut().ok()?;
        cache.misses = cache.misses.wrapping_add(1);
        let set = set(recorder, key);
        let full = |entries: &[Option<Entry>]| entries.iter().all(Option::is_some);
        let full = cache.epoch == epoch && cache.entries.get(set..set + WAYS).is_some_and(full);
        Some(!full || cache.misses.is_multiple_of(MISSES))
    });
    takes.ok().flatten().unwrap_or(false)
}

/// Keeps a handle that was looked up in the given epoch.
pub(crate) fn keep<H: FacadeHandle>(recorder: u64, key: Key, epoch: u64, handle: H) {
    let set = set(recorder, &key);
    let entry = Entry { recorder, key, handle: handle.cached() };
    // A replaced handle is dropped when the cache is not borrowed any more.
    let _gone = CACHE.try_with(|cache| {
        let mut cache = cache.try_borrow_mut().ok()?;
        let old = (cache.epoch != epoch).then(|| std::mem::take(&mut cache.entries));
        cache.epoch = epoch;
        if cache.entries.is_empty() {
            cache.entries.resize_with(CACHE_HANDLES, || None);
        }
        cache.next = (cache.next + 1) % WAYS;
        let free = cache.entries[set..set + WAYS].iter().position(Option::is_none);
        let way = free.unwrap_or(cache.next);
        Some((old, cache.entries[set + way].replace(entry)))
    });
}

/// Compares two keys. Those of one macro's static texts have their texts in the same places, which is seen without reading them.
#[inline]
fn is_same(kept: &Key, key: &Key) -> bool {
    let (name, labels) = (key.name(), key.labels().as_slice());
    let same_places =
        std::ptr::eq(kept.name(), name) && std::ptr::eq(kept.labels().as_slice(), labels);
    same_places || kept == key
}

/// Returns the place of the first of the entries that the key may be in.
#[inline]
fn set(recorder: u64, key: &Key) -> usize {
    // The top bits of a product: the key's hash is a sum whose low bits alone are not well mixed.
    let mixed = (key.get_hash() ^ recorder).wrapping_mul(MIX);
    (mixed >> (u64::BITS - SET_BITS)) as usize * WAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_under_its_recorder_and_kind_until_the_epoch_changes() {
        let key = Key::from_parts("cache", vec![metrics::Label::new("a", "1")]);
        let (mine, other) = (u64::MAX, u64::MAX - 1);
        let now = epoch();
        keep(mine, key.clone(), now, Counter::noop());
        assert!(find::<Counter>(mine, &key, now).is_some());
        assert!(find::<Counter>(other, &key, now).is_none());
        assert!(find::<Gauge>(mine, &key, now).is_none());
        assert!(find::<Counter>(mine, &key, now + 1).is_none());
    }

    #[test]
    fn many_keys_take_no_more_than_the_cache_has() {
        let now = epoch();
        for n in 0..10 * CACHE_HANDLES {
            keep(u64::MAX - 2, Key::from_name(format!("key{n}")), now, Gauge::noop());
        }
        let kept = (0..10 * CACHE_HANDLES).filter(|n| {
            find::<Gauge>(u64::MAX - 2, &Key::from_name(format!("key{n}")), now).is_some()
        });
        let kept = kept.count();
        assert!((CACHE_HANDLES / 2..=CACHE_HANDLES).contains(&kept), "{kept}");
    }

    #[test]
    fn a_full_cache_takes_every_eighth_key_that_it_does_not_have() {
        let (recorder, now) = (u64::MAX - 3, epoch());
        let key = |n: usize| Key::from_name(format!("key{n}"));
        for n in 0..10 * CACHE_HANDLES {
            assert!(takes(recorder, &key(n), now) || n > CACHE_HANDLES / 8);
            keep(recorder, key(n), now, Gauge::noop());
        }
        let taken = (0..800).filter(|n| takes(recorder, &key(*n), now)).count();
        assert_eq!(taken, 100);
        assert!(takes(recorder, &key(0), now + 1), "a cache of another epoch is empty");
    }

    /// A handle that is counted while it is there.
    struct Held;

    impl metrics::CounterFn for Held {
        fn increment(&self, _: u64) {}
        fn absolute(&self, _: u64) {}
    }

    #[test]
    fn handles_are_dropped_at_once_on_this_thread_and_at_the_next_lookup_on_another() {
        let (recorder, key) = (u64::MAX - 4, Key::from_name("held"));
        let (here, there) = (std::sync::Arc::new(Held), std::sync::Arc::new(Held));
        keep(recorder, key.clone(), epoch(), Counter::from_arc(here.clone()));
        let (kept, wait) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                keep(recorder, key.clone(), epoch(), Counter::from_arc(there.clone()));
                kept.wait();
                wait.wait();
                assert_eq!(std::sync::Arc::strong_count(&there), 2);
                assert!(takes(recorder, &key, epoch()));
                keep(recorder, key.clone(), epoch(), Counter::noop());
                assert_eq!(std::sync::Arc::strong_count(&there), 1);
            });
            kept.wait();
            forget_all();
            assert_eq!(std::sync::Arc::strong_count(&here), 1);
            wait.wait();
        });
    }
}
