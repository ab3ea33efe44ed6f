//! The memory of one shard: a flat block of 64-bit cells, reserved at once and committed page by page.
//!
//! A cell index means the same metric in every shard, so recording is `base[index] += n` with no table in
//! between. The block is address space, not memory: the operating system commits a 4 KiB page when its first
//! cell is written, so a thread pays only for the pages of the metrics that it touches.
//!
//! What the list of shards knows of a block stands before it in the same map, so a shard is made without the allocator.
//!
//! This file and `lease.rs` hold all `unsafe` code of the crate. The invariant behind every block here:
//! **a [`CellIndex`] is below [`CELLS_MAX`], and every block has `CELLS_MAX` cells.**

use crate::sync::AtomicU64;
use std::io;
#[cfg(not(loom))]
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// Cells that one process can have at the same time, over all registries: 2^25, which is 256 MiB of address
/// space a thread. A million counters and a million 20-bucket histograms fit; half a million threads fit into
/// the 47-bit address space of x86-64.
#[cfg(not(loom))]
pub const CELLS_MAX: u32 = 1 << 25;
/// Models explore every access, so they get as few cells as they need.
#[cfg(loom)]
pub const CELLS_MAX: u32 = 16;

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
/// What begins on a cache line is aligned for anything here.
#[cfg(not(loom))]
const ALIGNMENT: usize = 64;

/// The place of one 64-bit value in every shard. Always below [`CELLS_MAX`]: `CellIndex::new` and
/// `CellIndex::offset` are the only ways to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellIndex(u32);

impl CellIndex {
    /// The first cell of a block.
    pub(crate) const FIRST: Self = Self(0);

    /// `None` when the index is not below [`CELLS_MAX`].
    pub fn new(index: u32) -> Option<Self> {
        (index < CELLS_MAX).then_some(Self(index))
    }

    /// The index as a number.
    #[inline]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The cell `offset` places further, which the caller was handed by the arena. Whatever the offset, the
    /// result is a cell of the block: the mask costs one instruction where a check would cost a branch.
    #[inline(always)]
    pub(crate) fn offset(self, offset: usize) -> Self {
        let index = self.0 as usize + offset;
        debug_assert!(index < CELLS_MAX as usize, "cell offset outside of the block");
        const { assert!(CELLS_MAX.is_power_of_two(), "the mask needs a power of two") };
        Self(index as u32 & (CELLS_MAX - 1))
    }
}

/// One block of [`CELLS_MAX`] cells, all zero at first. It is never given back: shards live as long as the
/// process, because a handle may record through one at any time.
pub struct Cells {
    base: NonNull<AtomicU64>,
}

// SAFETY: the block is plain memory that is never unmapped, and it is only accessed through `AtomicU64`.
unsafe impl Send for Cells {}
// SAFETY: as above; `&Cells` gives out nothing but `&AtomicU64`.
unsafe impl Sync for Cells {}

impl Cells {
    /// Reserves a block, and room before it for what `make` makes of it. `number` is the shard's number; it picks the
    /// block's colour. Both live as long as the process.
    ///
    /// Asks the operating system and **not the allocator**, which may count by our own counters: their first recording
    /// would lead here again.
    ///
    /// # Errors
    /// The operating system's error when it refuses the address space (`RLIMIT_AS`, strict overcommit).
    #[cfg(not(loom))]
    pub(super) fn reserve<T>(
        number: usize,
        make: impl FnOnce(Self) -> T,
    ) -> io::Result<&'static T> {
        const {
            assert!(size_of::<T>() <= HEADER_BYTES && align_of::<T>() <= ALIGNMENT);
            assert!(HEADER_BYTES.is_multiple_of(ALIGNMENT) && !std::mem::needs_drop::<T>());
            assert!(COLOUR_BYTES.is_multiple_of(ALIGNMENT));
        }
        let begin = HEADER_BYTES + (number % COLOURS) * COLOUR_BYTES;
        let bytes =
            CELLS_MAX as usize * size_of::<AtomicU64>() + HEADER_BYTES + COLOURS * COLOUR_BYTES;
        let map = memmap2::MmapOptions::new().len(bytes).no_reserve_swap().map_anon()?;
        // One touched cell should cost 4 KiB, not a 2 MiB huge page. A kernel without the advice has no huge
        // pages either, so a refusal changes nothing.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::NoHugePage);
        let mut map = ManuallyDrop::new(map);
        let whole: &mut [u8] = &mut map;
        let (header, cells) = whole.split_at_mut(begin);
        // From the slices, not from their first bytes: a pointer may go no further than what it was made from.
        let (header, base) = (NonNull::from(header).cast::<T>(), NonNull::from(cells).cast());
        debug_assert!(header.is_aligned() && base.is_aligned());
        // SAFETY: the header has room for a `T` (asserted above) at the beginning of a page, and nobody else knows of it.
        unsafe { header.write(make(Self { base })) };
        // SAFETY: written just now, never unmapped (`ManuallyDrop`), and from here on only read through `&T`.
        Ok(unsafe { header.as_ref() })
    }

    /// Reserves a block of loom's atomics.
    #[cfg(loom)]
    pub(super) fn reserve<T>(
        _number: usize,
        make: impl FnOnce(Self) -> T,
    ) -> io::Result<&'static T> {
        let cells: Vec<AtomicU64> = (0..CELLS_MAX).map(|_| AtomicU64::new(0)).collect();
        // From the slice, not from its first cell: a pointer may go no further than what it was made from.
        let base = NonNull::from(Box::leak(cells.into_boxed_slice())).cast();
        Ok(Box::leak(Box::new(make(Self { base }))))
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
        let len = len.min(CELLS_MAX - start.0) as usize;
        // SAFETY: `start < CELLS_MAX` (`CellIndex::new` and `offset`) and the block has `CELLS_MAX` cells, so the address
        // stays inside one live allocation.
        let first = unsafe { self.base.add(start.0 as usize) };
        // SAFETY: `start.0 + len <= CELLS_MAX` by the first line, so the run lies inside the block, which is aligned,
        // zero-initialised and never unmapped (`Cells::reserve`), and which nobody accesses but through `AtomicU64`.
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
        // SAFETY: `index < CELLS_MAX` (`CellIndex::new` and `offset`) and the pointer was made from a slice of at least
        // `CELLS_MAX` cells (`Cells::reserve`), so the address stays inside one live allocation and inside what the
        // pointer may reach.
        let cell = unsafe { self.0.add(index.0 as usize) };
        // SAFETY: the block is aligned, zero-initialised, never unmapped (leaked in `Cells::reserve`), and
        // nobody accesses it but through `AtomicU64`.
        unsafe { cell.as_ref() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn cells_start_at_zero_and_keep_what_is_written() {
        let cells = Cells::reserve(3, |cells| cells).unwrap();
        let last = CellIndex::new(CELLS_MAX - 1).unwrap();
        let first = CellIndex::new(0).unwrap();
        assert_eq!(cells.cell(last).load(Ordering::Relaxed), 0);
        cells.cell(last).store(7, Ordering::Relaxed);
        cells.cell(first).store(9, Ordering::Relaxed);
        assert_eq!(cells.cell(last).load(Ordering::Relaxed), 7);
        assert_eq!(cells.cell(first).load(Ordering::Relaxed), 9);
    }

    #[test]
    fn an_index_outside_of_the_block_cannot_be_made() {
        assert!(CellIndex::new(CELLS_MAX - 1).is_some());
        assert!(CellIndex::new(CELLS_MAX).is_none());
    }
}
