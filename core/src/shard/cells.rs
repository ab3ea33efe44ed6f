//! The memory of one shard: a flat block of 64-bit cells, reserved at once and written page by page.
//!
//! A cell index means the same metric in every shard, so recording is `base[index] += n` with no table in
//! between. The block is address space, not memory: a page is resident once its first cell is written, so a thread pays only
//! for the pages of the metrics that it touches. The writable part grows with the cells that are handed out (`memory.rs`).
//!
//! The shard's entry in the list stands before its block in the same map, so a shard is made without the allocator.
//!
//! The invariant behind every block here:
//! **a [`CellIndex`] is less than [`SPAN_CELLS_MAX`] cells behind one that is below [`capacity`], and every block has that many
//! cells.** That they may be written, too, is what the arena sees to before it hands them out.

#![allow(unsafe_code)]

use super::capacity::{SPAN_CELLS_MAX, capacity};
#[cfg(not(loom))]
use super::memory::Memory;
use crate::sync::AtomicU64;
use std::ptr::NonNull;

/// Bytes by which the bases of two neighbouring shards differ within a page, and its number of steps. Without
/// it all shards would have equal low address bits, and the scrape would read them through the same few cache
/// sets (measured on the prototype: 32 shards, 158 us instead of 33).
#[cfg(not(loom))]
const COLOUR_BYTES: usize = 64 * 9;
#[cfg(not(loom))]
const COLOURS: usize = 7;

/// Room before the cells for what the list of shards knows of them: two cache lines, so that neither the line that the
/// thread writes nor the one that a processor fetches beside it is among those.
#[cfg(not(loom))]
const HEADER_BYTES: usize = 128;
/// Alignment of whole cache lines, which is enough for any value here.
#[cfg(not(loom))]
pub(super) const ALIGNMENT: usize = 64;

/// The place of one 64-bit value in every shard. [`CellIndex::new`] and `SpanStart::offset` are the only ways to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellIndex(u32);

impl CellIndex {
    /// `None` when the index is not below [`capacity`].
    // Inline, as all here that a recording calls: most programs are built without link-time optimisation.
    #[inline]
    pub fn new(index: u32) -> Option<Self> {
        (index < capacity()).then_some(Self(index))
    }

    /// The index as a number.
    #[inline]
    pub fn get(self) -> u32 {
        self.0
    }
}

/// The first cell of a span that the arena handed out. Always below [`capacity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanStart(u32);

impl SpanStart {
    /// `None` when the index is not below [`capacity`].
    #[inline]
    pub(crate) fn new(index: u32) -> Option<Self> {
        CellIndex::new(index).map(|index| Self(index.0))
    }

    /// The cell itself.
    #[inline]
    pub(crate) fn cell(self) -> CellIndex {
        CellIndex(self.0)
    }

    /// The cell `offset` places further, in the span that begins here. Whatever the offset, the result is a cell of the block:
    /// the mask costs one instruction where a check would cost a branch.
    #[inline(always)]
    pub(crate) fn offset(self, offset: usize) -> CellIndex {
        debug_assert!(offset < SPAN_CELLS_MAX as usize, "cell offset outside of the span");
        const { assert!(SPAN_CELLS_MAX.is_power_of_two(), "the mask needs a power of two") };
        CellIndex(self.0 + (offset as u32 & (SPAN_CELLS_MAX - 1)))
    }
}

/// One block of cells, all zero at first. It is never given back: shards live as long as the process, because a handle may
/// record through one at any time.
pub struct Cells {
    base: NonNull<AtomicU64>,
    #[cfg(not(loom))]
    memory: Memory,
}

// SAFETY: the block is plain memory that is never unmapped, and it is only accessed through `AtomicU64`.
unsafe impl Send for Cells {}
// SAFETY: as above; `&Cells` gives out nothing but `&AtomicU64`.
unsafe impl Sync for Cells {}

/// Cells of a block, of which the last [`SPAN_CELLS_MAX`] are never handed out.
fn block_cells(capacity: u32) -> usize {
    capacity as usize + SPAN_CELLS_MAX as usize
}

/// Bytes that a block of this capacity takes with what is before its cells.
#[cfg(not(loom))]
pub(super) fn block_bytes(capacity: u32) -> usize {
    block_cells(capacity) * size_of::<AtomicU64>() + HEADER_BYTES + COLOURS * COLOUR_BYTES
}

/// Bytes from the beginning of a map to the end of its first `cells` cells.
#[cfg(not(loom))]
fn writable_bytes(begin: usize, cells: u32) -> usize {
    begin + cells as usize * size_of::<AtomicU64>()
}

#[cfg(loom)]
pub(super) fn block_bytes(capacity: u32) -> usize {
    block_cells(capacity) * size_of::<AtomicU64>()
}

impl Cells {
    /// Reserves a block, and room before it for what `make` makes of it. `number` is the shard's number; it picks the
    /// block's colour. The first `cells` cells can be written. Both live as long as the process.
    /// `None` when the operating system refuses (`RLIMIT_AS`, `RLIMIT_DATA`, strict overcommit).
    ///
    /// Asks the operating system and **not the allocator**, which may count by our own counters: their first recording
    /// would lead here again.
    #[cfg(not(loom))]
    pub(super) fn reserve<T>(
        number: usize,
        cells: u32,
        make: impl FnOnce(Self) -> T,
    ) -> Option<&'static T> {
        const {
            assert!(size_of::<T>() <= HEADER_BYTES && align_of::<T>() <= ALIGNMENT);
            assert!(HEADER_BYTES.is_multiple_of(ALIGNMENT) && !std::mem::needs_drop::<T>());
            assert!(COLOUR_BYTES.is_multiple_of(ALIGNMENT));
        }
        let begin = HEADER_BYTES + (number % COLOURS) * COLOUR_BYTES;
        let memory = Memory::reserve(block_bytes(capacity()))?;
        if !memory.commit(writable_bytes(begin, cells)) {
            memory.release();
            return None;
        }
        let start = memory.start();
        // SAFETY: `begin` is at most what `block_bytes` adds to the cells.
        let base = unsafe { start.byte_add(begin) }.cast();
        let header = start.cast::<T>();
        debug_assert!(header.is_aligned() && base.is_aligned());
        // SAFETY: the header has room for a `T` (asserted above) at the aligned beginning of memory that was made writable,
        // and no other code has its address.
        unsafe { header.write(make(Self { base, memory })) };
        // SAFETY: written just now, never released (only `Memory::release` does, and `make` owns the memory now), and from here
        // on only read through `&T`.
        Some(unsafe { header.as_ref() })
    }

    /// Makes the first `cells` cells writable. False when the operating system refuses.
    #[cfg(not(loom))]
    pub(super) fn commit(&self, cells: u32) -> bool {
        let begin = self.base.as_ptr().addr() - self.memory.start().as_ptr().addr();
        self.memory.commit(writable_bytes(begin, cells))
    }

    /// Reserves a block of loom's atomics.
    #[cfg(loom)]
    pub(super) fn reserve<T>(
        _number: usize,
        _cells: u32,
        make: impl FnOnce(Self) -> T,
    ) -> Option<&'static T> {
        let cells: Vec<AtomicU64> =
            (0..block_cells(capacity())).map(|_| AtomicU64::new(0)).collect();
        // From the slice, not from its first cell: a pointer may go no further than what it was made from.
        let base = NonNull::from(Box::leak(cells.into_boxed_slice())).cast();
        Some(Box::leak(Box::new(make(Self { base }))))
    }

    /// Loom's atomics can all be written; which of them may be is the shard's to know.
    #[cfg(loom)]
    pub(super) fn commit(&self, _cells: u32) -> bool {
        true
    }
    /// The cell at `index`.
    #[inline(always)]
    pub fn cell(&self, index: CellIndex) -> &'static AtomicU64 {
        self.base().cell(index)
    }

    /// `len` cells from `start` on; fewer if the block ends before. For a scrape, which reads runs of thousands: without the
    /// mask and the address of each cell it takes half the instructions.
    #[inline(always)]
    pub(crate) fn run(&self, start: CellIndex, len: u32) -> &'static [AtomicU64] {
        let cells = block_cells(capacity());
        let len = (len as usize).min(cells - start.0 as usize);
        // SAFETY: `start` is a cell of the block, which has `cells` of them (the invariant at the top), so the address stays
        // inside one live allocation.
        let first = unsafe { self.base.add(start.0 as usize) };
        // SAFETY: `start.0 + len <= cells` by the second line, so the run lies inside the block, which is aligned,
        // zero-initialised and never unmapped (`Cells::reserve`), and which is only accessed through `AtomicU64`.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), len) }
    }

    /// The block's address, for a thread's own fast path.
    #[inline(always)]
    pub(crate) fn base(&self) -> Base {
        Base(self.base)
    }
}

impl std::fmt::Debug for Cells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cells").field("base", &self.base).finish()
    }
}

/// The address of a block that is never unmapped. Not `Send`: a thread's base is the right to write there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base(NonNull<AtomicU64>);

impl Base {
    /// The cell at `index`.
    #[inline(always)]
    pub(crate) fn cell(self, index: CellIndex) -> &'static AtomicU64 {
        // SAFETY: `index` is a cell of every block (the invariant at the top), and the pointer was made from one that has a
        // block's cells behind it (`Cells::reserve`), so the address stays inside one live allocation and inside what the
        // pointer may reach.
        let cell = unsafe { self.0.add(index.0 as usize) };
        // SAFETY: the block is aligned, zero-initialised, never unmapped (leaked in `Cells::reserve`), and
        // it is only accessed through `AtomicU64`.
        unsafe { cell.as_ref() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn cells_start_at_zero_and_keep_what_is_written() {
        let cells = Cells::reserve(3, 1, |cells| cells).unwrap();
        let last = CellIndex::new(capacity() - 1).unwrap();
        let first = CellIndex::new(0).unwrap();
        assert_eq!(
            cells.cell(last).load(Ordering::Relaxed),
            0,
            "can be read before it is committed"
        );
        assert!(cells.commit(capacity()));
        cells.cell(last).store(7, Ordering::Relaxed);
        cells.cell(first).store(9, Ordering::Relaxed);
        assert_eq!(cells.cell(last).load(Ordering::Relaxed), 7);
        assert_eq!(cells.cell(first).load(Ordering::Relaxed), 9);
    }

    #[test]
    fn an_index_outside_of_the_block_cannot_be_made() {
        assert!(CellIndex::new(capacity() - 1).is_some());
        assert!(CellIndex::new(capacity()).is_none());
    }

    #[test]
    fn the_largest_offset_of_the_last_cell_is_in_the_block() {
        let cells = Cells::reserve(6, 1, |cells| cells).unwrap();
        let last = SpanStart::new(capacity() - 1).unwrap().offset(SPAN_CELLS_MAX as usize - 1);
        assert_eq!(cells.cell(last).load(Ordering::Relaxed), 0);
        assert_eq!(cells.run(last, u32::MAX).len(), 2);
    }
}
