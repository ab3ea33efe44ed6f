//! What a shard is: one thread's private copy of every cell, which only that thread writes.
//!
//! ```text
//! record:   cell = own_shard[index];  cell.store(cell.load() + n)      no lock prefix, no shared line
//! scrape:   total[index] = sum over all shards of shard[index]
//! ```
//!
//! **Single writer.** A shard is leased by one live thread. When the thread ends, the shard goes back *with
//! its counts in it* and the next thread adopts it: nothing is folded, so nothing can be lost or counted
//! twice, and there are never more shards than there were threads alive at the same time. A thread that has
//! no shard (its thread-local is already torn down, or the address space is exhausted) writes to one shared
//! fallback shard with `fetch_add`.
//!
//! The list of shards only grows, and neither leasing nor reading takes a lock: a child process that is
//! forked at any instant can go on recording.

mod cells;
mod lease;

pub(crate) use cells::Base;
pub use cells::{CELLS_MAX, CellIndex, Cells};
pub use lease::Lease;
pub(crate) use lease::{
    LocalLease, Writer, add_f64_release_first, add_f64_shared, add_first, add_own,
    add_release_first, own, turn, writer,
};

use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::ptr;

/// One block of cells and the flag that says whether a live thread writes it.
#[derive(Debug)]
pub struct Shard {
    cells: Cells,
    leased: AtomicBool,
    /// The shard that was pushed before this one. Written once, before the shard is published.
    next: AtomicPtr<Shard>,
}

impl Shard {
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
}

/// All shards of the process.
#[derive(Debug)]
pub struct Shards {
    head: AtomicPtr<Shard>,
    fallback: AtomicPtr<Shard>,
    /// How many shards the list has.
    len: AtomicU64,
}

impl Shards {
    /// No shards yet.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
            fallback: AtomicPtr::new(ptr::null_mut()),
            len: AtomicU64::new(0),
        }
    }

    /// No shards yet.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
            fallback: AtomicPtr::new(ptr::null_mut()),
            len: AtomicU64::new(0),
        }
    }

    /// Leases a shard to the calling thread: a free one with the counts that are in it, or a new one.
    /// `None` when the operating system refuses the address space.
    ///
    /// Cost: one step for each shard of the process, once a thread.
    pub fn lease(&self) -> Option<&'static Shard> {
        for shard in self.list() {
            // Acquire pairs with the Release in `give_back`: the last owner's counts are visible to the
            // relaxed loads of the next.
            if !shard.leased.load(Ordering::Relaxed)
                && shard
                    .leased
                    .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return Some(shard);
            }
        }
        // Relaxed: the number only picks a colour.
        let number = self.len.fetch_add(1, Ordering::Relaxed) as usize;
        let shard = leak(number)?;
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the Release below.
            shard.next.store(head, Ordering::Relaxed);
            // Release pairs with the Acquire in `list`: whoever sees the shard sees its fields.
            match self.head.compare_exchange_weak(
                head,
                ptr::from_ref(shard).cast_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(shard),
                Err(seen) => head = seen,
            }
        }
    }

    /// Ends a lease; the counts stay in the shard.
    pub fn give_back(&self, shard: &'static Shard) {
        // Release pairs with the Acquire in `lease`.
        shard.leased.store(false, Ordering::Release);
    }

    /// The shard for whoever has none, written with read-modify-write instructions only. Made on first use;
    /// `None` when the operating system refuses the address space.
    pub fn fallback(&self) -> Option<&'static Shard> {
        // Acquire pairs with the Release below.
        let seen = deref(self.fallback.load(Ordering::Acquire));
        if seen.is_some() {
            return seen;
        }
        let made = leak(0)?;
        // Release pairs with the Acquire above. A thread that lost the race leaks its empty reservation:
        // address space without memory, at most once a racing thread.
        match self.fallback.compare_exchange(
            ptr::null_mut(),
            ptr::from_ref(made).cast_mut(),
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => Some(made),
            Err(winner) => deref(winner),
        }
    }

    /// Every shard that exists, the fallback first.
    pub fn iter(&self) -> impl Iterator<Item = &'static Shard> + use<> {
        // Acquire pairs with the Release in `fallback`.
        let fallback = deref(self.fallback.load(Ordering::Acquire));
        fallback.into_iter().chain(self.list())
    }

    /// The shards that threads lease, the newest first.
    fn list(&self) -> impl Iterator<Item = &'static Shard> + use<> {
        // Acquire pairs with the Release in `lease`.
        let mut next = deref(self.head.load(Ordering::Acquire));
        std::iter::from_fn(move || {
            let shard = next?;
            // Relaxed: written before the shard was published, and we came here through that publication.
            next = deref(shard.next.load(Ordering::Relaxed));
            Some(shard)
        })
    }

    /// How many shards threads have needed so far, without the fallback.
    pub fn count(&self) -> usize {
        self.list().count()
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

/// A shard that is leased. Asks the allocator for nothing, see [`Cells::reserve`].
fn leak(number: usize) -> Option<&'static Shard> {
    let shard = Cells::reserve(number, |cells| Shard {
        cells,
        leased: AtomicBool::new(true),
        next: AtomicPtr::new(ptr::null_mut()),
    });
    shard.ok()
}

fn deref(shard: *mut Shard) -> Option<&'static Shard> {
    // SAFETY: every non-null pointer in `head`, `next` and `fallback` came from `leak`, which never frees,
    // and was read with Acquire (or through such a read) after the Release that published it.
    unsafe { shard.as_ref() }
}
