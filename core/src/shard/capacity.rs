//! The number of cells of a block, computed once a process.
//!
//! Address space is free where it has no limit: then a block has room for every metric that a process could want. Under
//! `RLIMIT_AS` a block of that size would leave a handful of threads a shard of their own, so blocks are
//! [smaller](headroom::BLOCKS_PER_ADDRESS_SPACE) there; and smaller still where the operating system refuses one, as under
//! `mlockall(MCL_FUTURE)` with a low `RLIMIT_MEMLOCK`.

#[cfg(not(any(loom, miri)))]
pub(crate) use decided::capacity;

/// Cells that one process can have at the same time, over all registries, where its address space is unlimited: 2^25, which is
/// 256 MiB of address space a thread. A million counters and a million 20-bucket histograms fit; half a million threads
/// fit into the 47-bit address space of x86-64.
#[cfg(not(any(loom, miri)))]
pub(crate) const CELLS_MAX: u32 = 1 << 25;
/// Cells that a process has at least, whatever its limits: 2 MiB of address space a thread. 10,000 histograms of 20
/// buckets fit.
#[cfg(not(any(loom, miri)))]
pub(crate) const CELLS_MIN: u32 = 1 << 18;
/// Cells of one span at most; a power of two. So many cells are reserved behind those that are handed out, and no offset of
/// a metric, right or wrong, leads out of its block.
#[cfg(not(loom))]
pub(crate) const SPAN_CELLS_MAX: u32 = 1 << 17;

/// Miri's memory is slow and all there at once.
#[cfg(miri)]
pub(crate) const CELLS_MAX: u32 = 1 << 14;
/// Models explore every access, so they get as few cells as they need.
#[cfg(loom)]
pub(crate) const CELLS_MAX: u32 = 16;
#[cfg(loom)]
pub(crate) const SPAN_CELLS_MAX: u32 = 4;

/// Cells that a process can have at the same time.
#[cfg(any(loom, miri))]
pub(crate) fn capacity() -> u32 {
    CELLS_MAX
}

#[cfg(not(any(loom, miri)))]
mod decided {
    use super::{CELLS_MAX, CELLS_MIN};
    use crate::shard::cells::block_bytes;
    use crate::shard::headroom::{BLOCKS_PER_ADDRESS_SPACE, address_space, is_strict};
    use crate::shard::memory::Memory;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// 0 until it is decided. std's and not the seam's: models have a constant instead.
    static CAPACITY: AtomicU32 = AtomicU32::new(0);

    /// Cells that this process can have at the same time, over all registries: [`CELLS_MIN`] to [`CELLS_MAX`]. Decided by the
    /// first call. Cost: a load.
    #[inline]
    pub(crate) fn capacity() -> u32 {
        // Relaxed, here and below: the number stands for itself.
        match CAPACITY.load(Ordering::Relaxed) {
            0 => decide(),
            decided => decided,
        }
    }

    #[cold]
    fn decide() -> u32 {
        // Asked here, so that no recording is the first to ask.
        is_strict();
        let mut cells = within(address_space());
        while cells > CELLS_MIN && !can_be_reserved(cells) {
            cells /= 2;
        }
        match CAPACITY.compare_exchange(0, cells, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => cells,
            Err(winner) => winner,
        }
    }

    /// The cells of a block where the process may have so many bytes of address space.
    fn within(address_space: Option<u64>) -> u32 {
        // Where nothing can be reserved without being charged, as on Windows, a block is as small as under a limit of 16 GiB.
        let assumed = if cfg!(unix) { None } else { Some(1 << 34) };
        let Some(limit) = address_space.or(assumed) else { return CELLS_MAX };
        let cells = limit / BLOCKS_PER_ADDRESS_SPACE / size_of::<u64>() as u64;
        let power = cells.max(1).ilog2().min(CELLS_MAX.ilog2());
        (1 << power).max(CELLS_MIN)
    }

    fn can_be_reserved(cells: u32) -> bool {
        Memory::reserve(block_bytes(cells)).map(Memory::release).is_some()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_block_is_small_where_the_address_space_is() {
            let mib = |cells: u32| (cells as usize * size_of::<u64>()) >> 20;
            let cases = [
                (None, 256),
                (Some(u64::MAX), 256),
                (Some(0), 2),
                (Some(1 << 30), 2),
                (Some(4 << 30), 4),
                (Some((8 << 30) - 1), 4),
                (Some(64 << 30), 64),
                (Some(1 << 40), 256),
            ];
            for (limit, block) in cases {
                assert_eq!(mib(within(limit)), block, "{limit:?}");
            }
        }
    }
}
