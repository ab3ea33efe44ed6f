//! Extents: which cells of the process belong to which registry.
//!
//! Cells are handed out from the beginning on, since every shard pays for what may be written there. An extent that comes back
//! is merged with its neighbours and handed out again, the smallest one that is large enough first.

use crate::shard::{capacity, shards};
use crate::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// A run of cells handed to one registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// Hands out `len` cells that can be written in every shard, and says whether they had another owner before. `None` when the
/// process has no more, or may not have the memory.
pub(super) fn take(len: u32) -> Option<(Extent, bool)> {
    let mut arena = arena().lock();
    let taken = arena.take(len, |cells| shards().grow(cells));
    USED.store(arena.used(), Ordering::Relaxed);
    taken
}

/// Takes back extents that no thread records into any more.
pub(super) fn give_back(extents: impl Iterator<Item = Extent>) {
    let mut arena = arena().lock();
    extents.for_each(|extent| arena.give_back(extent));
    USED.store(arena.used(), Ordering::Relaxed);
}

/// Cells that registries have, the unused ends of their extents included. Takes no lock: a thread that writes a page would leave it locked
/// in a process that is forked at that moment.
pub(crate) fn cells_used() -> u32 {
    // Relaxed: a number to look at, which orders nothing.
    USED.load(Ordering::Relaxed)
}

/// A copy of the arena's number, changed under its lock. std's atomic, because the models need not see it.
static USED: AtomicU32 = AtomicU32::new(0);

/// The process's cells.
#[derive(Debug)]
struct Arena {
    /// Cells from here on were never handed out.
    next: u32,
    /// Extents that came back, sorted by start, neighbours merged.
    free: Vec<Extent>,
}

#[cfg(not(loom))]
static ARENA: Mutex<Arena> = Mutex::new(Arena::new());
#[cfg(loom)]
loom::lazy_static! {
    static ref ARENA: Mutex<Arena> = Mutex::new(Arena::new());
}

fn arena() -> &'static Mutex<Arena> {
    &ARENA
}

impl Arena {
    const fn new() -> Self {
        Self { next: 0, free: Vec::new() }
    }

    /// See [`take`]. `grow` makes the first cells of every shard writable, as many as it is told, or says that it cannot.
    fn take(&mut self, len: u32, grow: impl FnOnce(u32) -> bool) -> Option<(Extent, bool)> {
        let fit = self.free.iter().enumerate().filter(|(_, extent)| extent.len >= len);
        if let Some((at, &extent)) = fit.min_by_key(|(_, extent)| extent.len) {
            if extent.len == len {
                self.free.remove(at);
            } else {
                self.free[at] = Extent { start: extent.start + len, len: extent.len - len };
            }
            return Some((Extent { start: extent.start, len }, true));
        }
        let end = self.next.checked_add(len).filter(|&end| end <= capacity())?;
        if !grow(end) {
            return None;
        }
        let extent = Extent { start: self.next, len };
        self.next = end;
        Some((extent, false))
    }

    fn give_back(&mut self, extent: Extent) {
        let at = self.free.partition_point(|other| other.start < extent.start);
        self.free.insert(at, extent);
        // Merge with the next, then with the one before.
        for left in [at, at.wrapping_sub(1)] {
            let (Some(&a), Some(&b)) = (self.free.get(left), self.free.get(left.wrapping_add(1)))
            else {
                continue;
            };
            if a.start + a.len == b.start {
                self.free[left].len += b.len;
                self.free.remove(left + 1);
            }
        }
    }

    fn used(&self) -> u32 {
        self.next - self.free.iter().map(|extent| extent.len).sum::<u32>()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn extents_that_come_back_are_merged_and_reused_best_fit() {
        let mut arena = Arena::new();
        let mut grown = 0;
        let mut take = |arena: &mut Arena, len| {
            arena.take(len, |cells| {
                grown = cells;
                true
            })
        };
        let extents: Vec<Extent> = (0..4).map(|_| take(&mut arena, 10).unwrap().0).collect();
        assert_eq!(arena.used(), 40);
        arena.give_back(extents[1]);
        arena.give_back(extents[3]);
        arena.give_back(extents[2]);
        assert_eq!((&*arena.free, arena.used()), (&[Extent { start: 10, len: 30 }][..], 10));
        assert_eq!(take(&mut arena, 5), Some((Extent { start: 10, len: 5 }, true)));
        assert_eq!(take(&mut arena, 25), Some((Extent { start: 15, len: 25 }, true)));
        assert_eq!(take(&mut arena, 1), Some((Extent { start: 40, len: 1 }, false)));
        assert_eq!(take(&mut arena, capacity()), None);
        assert_eq!((arena.used(), grown), (41, 41));
    }

    #[test]
    fn cells_that_cannot_be_made_writable_are_not_handed_out() {
        let mut arena = Arena::new();
        assert_eq!(arena.take(10, |_| false), None);
        assert_eq!(arena.take(10, |_| true), Some((Extent { start: 0, len: 10 }, false)));
        arena.give_back(Extent { start: 0, len: 10 });
        let reused = arena.take(10, |_| unreachable!("they are writable"));
        assert_eq!(reused, Some((Extent { start: 0, len: 10 }, true)));
    }
}
