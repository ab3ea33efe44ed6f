//! A shard: one thread's private copy of every cell, which only that thread writes.
//!
//! ```text
//! record:   cell = own_shard[index];  cell.store(cell.load() + n)      no lock prefix, no shared line
//! scrape:   total[index] = sum over all shards of shard[index]
//! ```
//!
//! **Single writer.** A shard is leased by one live thread. When the thread ends, the shard goes back *with
//! its counts in it* and the next thread adopts it: nothing is folded, so nothing can be lost or counted
//! twice, and there are never more shards than there were threads alive at the same time. A thread that has
//! no shard (its thread-local is already torn down, or a shard would take what the rest of the process may need, see
//! `headroom.rs`) writes to one shared fallback shard with `fetch_add`. Such recordings are counted.
//!
//! **Every cell that was handed out can be written in every shard.** [`Shards::grow`] sees to it for the shards that there are,
//! [`Shards::lease`] for the one that it leases; each first shows what it has done and then looks at what the other one did.
//!
//! The [list](list) of shards only grows, the [free](free) ones are a stack, and neither leasing nor reading takes a lock: a child
//! process that is forked at any instant can go on recording.

mod capacity;
mod cells;
mod free;
mod headroom;
mod lease;
mod list;
#[cfg(not(loom))]
mod memory;

pub(crate) use capacity::{CELLS_MAX, SPAN_CELLS_MAX, capacity};
pub(crate) use cells::{Base, SpanStart};
pub use cells::{CellIndex, Cells};
pub use lease::Lease;
pub(crate) use lease::{
    LocalLease, Writer, add_f64_release_first, add_f64_shared, add_first, add_own,
    add_release_first, own, turn, writer,
};

use crate::sync::{AtomicPtr, AtomicU64, Ordering, Step, fence, left_out};
use free::Free;
use headroom::Limits;
use list::{Links, List, NO_SHARD, deref, pointer};
use std::ptr;

/// Shards that a process has at most. Each is two of the kernel's mappings, of which a process has 65,530
/// (`vm.max_map_count`), and thread stacks and allocators need theirs: half of them may be shards.
const SHARDS_MAX: u64 = 1 << 14;

/// Cells that become writable at once, at least: a page of a kernel with large ones, 64 KiB.
const GROWTH_CELLS_MIN: u32 = if cfg!(loom) { 4 } else { 1 << 13 };

/// One block of cells.
#[derive(Debug)]
pub struct Shard {
    cells: Cells,
    links: Links,
    /// Cells from the beginning that can be written.
    writable: AtomicU64,
    /// The number of the free shard below this one, while this one is free.
    below: AtomicU64,
}

impl Shard {
    /// A shard that lives as long as the process, and that no list knows yet; `None` when the operating system refuses the
    /// memory. Its first `writable` cells can be written. `number` picks its colour. Asks the allocator for nothing, see
    /// [`Cells::reserve`].
    fn leak(number: usize, writable: u32) -> Option<&'static Self> {
        let below = AtomicU64::new(NO_SHARD);
        Cells::reserve(number, writable, |cells| {
            let writable = AtomicU64::new(writable.into());
            Self { cells, links: Links::new(), writable, below }
        })
    }

    /// The shard's value of one cell.
    ///
    /// Acquire pairs with the Release stores of [`Writer`]: what was written before the value that is read
    /// here is visible to reads that come after.
    #[inline(always)]
    pub fn read(&self, index: CellIndex) -> u64 {
        self.cells.cell(index).load(Ordering::Acquire)
    }

    /// The shard's values of `len` cells from `start` on, each read as by [`read`](Self::read).
    #[inline(always)]
    pub(crate) fn run(&self, start: CellIndex, len: u32) -> impl Iterator<Item = u64> + use<> {
        // Acquire as in `read`.
        self.cells.run(start, len).iter().map(|cell| cell.load(Ordering::Acquire))
    }

    /// The shard's cells.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Cells from the beginning that can be written.
    pub fn writable(&self) -> u32 {
        // Relaxed: cells are made writable before they are handed out, and a handle to them comes from there.
        self.writable.load(Ordering::Relaxed) as u32
    }

    /// Makes the first `cells` cells writable. False when the operating system refuses.
    fn commit(&self, cells: u32) -> bool {
        if self.writable() >= cells {
            return true;
        }
        // Two threads may do this at the same time; the larger number stays, and was made true.
        let done = self.cells.commit(cells);
        if done {
            self.writable.fetch_max(cells.into(), Ordering::Relaxed);
        }
        done
    }
}

/// All shards of the process.
#[derive(Debug)]
pub struct Shards {
    list: List,
    free: Free,
    fallback: AtomicPtr<Shard>,
    /// Shards of the list, and those that are being made for it.
    made: AtomicU64,
    /// Cells from the beginning that are writable in every shard. Changed by [`grow`](Self::grow) only.
    writable: AtomicU64,
    fallback_recordings: AtomicU64,
    /// 1 if [`grow`](Self::grow) was refused since this was last read, else 0.
    refused: AtomicU64,
}

impl Shards {
    /// No shards yet.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            list: List::new(),
            free: Free::new(),
            fallback: AtomicPtr::new(ptr::null_mut()),
            made: AtomicU64::new(0),
            writable: AtomicU64::new(0),
            fallback_recordings: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// No shards yet.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            list: List::new(),
            free: Free::new(),
            fallback: AtomicPtr::new(ptr::null_mut()),
            made: AtomicU64::new(0),
            writable: AtomicU64::new(0),
            fallback_recordings: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Leases a shard to the calling thread: the free one that was given back last, with the counts that are in it, or a new
    /// one. `None` when the operating system refuses the memory, or when it is better left to the rest of the process.
    ///
    /// Cost: steps by the logarithm of the number of shards; once a thread.
    pub fn lease(&self) -> Option<&'static Shard> {
        let shard = match self.free.pop(&self.list) {
            Some(shard) => shard,
            None => self.make()?,
        };
        if left_out(Step::LookAfterLease) {
            return Some(shard);
        }
        // SeqCst pairs with the fence in `grow_to`: that one finds this shard in the list, or its number is read here.
        fence(Ordering::SeqCst);
        if shard.commit(self.writable()) {
            return Some(shard);
        }
        self.give_back(shard);
        None
    }

    /// A new shard of the list, which the caller leases, unless that would take too much of a limit.
    fn make(&self) -> Option<&'static Shard> {
        // Relaxed: bounds what threads that come here at the same time take together, and picks a colour.
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let cells = self.writable().max(GROWTH_CELLS_MIN);
        let block = cells::block_bytes(capacity()) as u64;
        let admitted = number < SHARDS_MAX && Limits::read().admit(number + 1, block, bytes(cells));
        let shard = admitted.then(|| Shard::leak(number as usize, cells)).flatten();
        match shard {
            Some(shard) => self.list.push(shard),
            None => _ = self.made.fetch_sub(1, Ordering::Relaxed),
        }
        shard
    }

    /// Cells from the beginning that are to be writable in every shard.
    fn writable(&self) -> u32 {
        // Relaxed: only `grow` writes it, one call at a time; for others the fences in `lease` and `grow_to` order it.
        self.writable.load(Ordering::Relaxed) as u32
    }

    /// Makes the first `cells` cells writable in every shard that there is or will be. False, and then nothing has changed,
    /// when the operating system refuses the memory, or when it is better left to the rest of the process. One call at a time.
    ///
    /// Cost: a system call a shard. Cells become writable in ever larger portions, so there are some dozen such calls in the
    /// life of a process.
    pub fn grow(&self, cells: u32) -> bool {
        let before = self.writable();
        if cells <= before {
            return true;
        }
        let needed = cells.next_multiple_of(GROWTH_CELLS_MIN).min(capacity());
        let ahead = (before + before / 2).clamp(needed, capacity());
        let done = self.grow_to(before, ahead) || (ahead > needed && self.grow_to(before, needed));
        if !done {
            self.refused.store(1, Ordering::Relaxed);
        }
        done
    }

    /// Returns whether growth was refused since the last call.
    pub(crate) fn was_refused(&self) -> bool {
        // Relaxed: the number orders nothing. A refusal between the two is asked about again by its next lookup.
        let refused = self.refused.load(Ordering::Relaxed) != 0;
        if refused {
            self.refused.store(0, Ordering::Relaxed);
        }
        refused
    }

    fn grow_to(&self, before: u32, cells: u32) -> bool {
        // The fallback is one more.
        let shards = self.made.load(Ordering::Relaxed) + 1;
        if !Limits::read().admit_growth(shards.saturating_mul(bytes(cells - before))) {
            return false;
        }
        self.writable.store(cells.into(), Ordering::Relaxed);
        // SeqCst pairs with the fence in `lease`: a shard that is not found here finds the number.
        fence(Ordering::SeqCst);
        let done = self.iter().all(|shard| shard.commit(cells));
        if !done {
            // The part that was made writable stays so; nothing is handed out there.
            self.writable.store(before.into(), Ordering::Relaxed);
        }
        done
    }

    /// Ends a lease; the counts stay in the shard.
    pub fn give_back(&self, shard: &'static Shard) {
        self.free.push(shard);
    }

    /// The shard for whoever has none, written with read-modify-write instructions only. Made on first use;
    /// `None` when the operating system refuses the address space.
    pub fn fallback(&self) -> Option<&'static Shard> {
        // Acquire pairs with the Release below.
        let seen = deref(self.fallback.load(Ordering::Acquire));
        if seen.is_some() {
            return seen;
        }
        let made = Shard::leak(0, self.writable().max(GROWTH_CELLS_MIN))?;
        // Release pairs with the Acquire above. A thread that lost the race leaks its empty reservation:
        // address space without memory, at most once a racing thread.
        let fallback = match self.fallback.compare_exchange(
            ptr::null_mut(),
            pointer(Some(made)),
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => made,
            Err(winner) => deref(winner)?,
        };
        // As in `lease`. Cells are handed out to those who have a fallback, so there is more to do here only when another
        // thread made the fallback and was handed some meanwhile.
        fence(Ordering::SeqCst);
        fallback.commit(self.writable()).then_some(fallback)
    }

    /// Counts a recording that goes to the fallback.
    pub(crate) fn count_fallback_recording(&self) {
        self.fallback_recordings.fetch_add(1, Ordering::Relaxed);
    }

    /// Recordings that went to the fallback so far.
    pub fn fallback_recordings(&self) -> u64 {
        self.fallback_recordings.load(Ordering::Relaxed)
    }

    /// Every shard that exists, the fallback first.
    pub fn iter(&self) -> impl Iterator<Item = &'static Shard> + use<> {
        // Acquire pairs with the Release in `fallback`.
        let fallback = deref(self.fallback.load(Ordering::Acquire));
        fallback.into_iter().chain(self.list.iter())
    }

    /// Returns the number of shards that threads have needed so far, without the fallback.
    pub fn count(&self) -> usize {
        self.list.len() as usize
    }
}

impl Default for Shards {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(loom))]
static SHARDS: Shards = Shards::new();
#[cfg(loom)]
loom::lazy_static! {
    static ref SHARDS: Shards = Shards::new();
}

/// The shards of this process.
#[inline]
pub(crate) fn shards() -> &'static Shards {
    &SHARDS
}

/// Bytes of so many cells.
fn bytes(cells: u32) -> u64 {
    u64::from(cells) * size_of::<u64>() as u64
}
