//! Which cells belong to whom: the process hands *extents* to registries, a registry hands *spans* to series.
//!
//! ```text
//! Arena (process)   0 ........................................................ CELLS_MAX
//!                   [ extent: registry 1 ][ extent: registry 2 ][ extent: registry 1 ] ...
//! Pool (registry)   one list of extents for each rank; a span is a run of cells inside one extent
//! ```
//!
//! A registry's cells are clustered, so that its scrape is one linear pass over its extents for each shard.
//! **A span is zero in every shard when it is handed out**: it is zeroed on reuse, when no handle to its
//! former series exists any more, so nobody can be writing there.

use crate::shard::{CELLS_MAX, CellIndex, Shards, shards};
use crate::sync::{Mutex, Ordering};
use std::collections::HashMap;

/// Cells of a registry's first extent in each rank: a 4 KiB page and nine cache lines more. Extents of whole pages
/// would all begin at the same page offset, and so the first metrics of all registries would share a cache set and
/// the low bits of their addresses (seen: 16 counters of 16 registries 2.5 ns each, of one registry 0.3).
const EXTENT_CELLS_MIN: u32 = 512 + 72;
/// Largest extent that is taken ahead of need: half a megabyte of address space a thread, so that a registry of a
/// million series has a few dozen extents.
const EXTENT_CELLS_MAX: u32 = (1 << 16) + 72;

/// When a cell is read within a scrape. The scrape reads one rank of *all* shards before the next rank, in
/// this order. The order is what makes values of different cells fit together, whichever threads wrote them:
///
/// * a histogram writes its bucket, then its sum; the sum is read first, so it is never ahead of the buckets;
/// * an up/down counter is two monotone cells; its falls are read before its rises, so it is never negative;
/// * a nested one rises after and falls before the one around it, so it never exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Falls of up/down counters.
    OuterFall,
    /// Falls of nested up/down counters.
    InnerFall,
    /// `f64` sums and float counters.
    Float,
    /// Counters and buckets.
    Word,
    /// Rises of nested up/down counters.
    InnerRise,
    /// Rises of up/down counters.
    OuterRise,
}

impl Rank {
    /// In the order in which a scrape reads them.
    pub(crate) const ALL: [Self; 6] = [
        Self::OuterFall,
        Self::InnerFall,
        Self::Float,
        Self::Word,
        Self::InnerRise,
        Self::OuterRise,
    ];
}

/// A run of cells handed to one series, which knows how many there are. A million series keep it, so it is two numbers
/// of 28 bits in bytes, which need no alignment: two of them and a tag fit into 16 bytes, see `series.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The place, which a scrape reads, and above it the low 4 bits of the cell; little-endian.
    low: [u8; 4],
    /// The other 24 bits of the cell.
    high: [u8; 3],
}

const SPAN_NUMBER_BITS: u32 = 28;
const SPAN_NUMBER_MASK: u32 = (1 << SPAN_NUMBER_BITS) - 1;
// A registry's places are its extents' cells, so they are no more than there are cells.
const _: () = assert!(CELLS_MAX <= 1 << SPAN_NUMBER_BITS, "a span's numbers have 28 bits");

impl Span {
    fn new(cell: CellIndex, place: u32) -> Self {
        debug_assert!(place <= SPAN_NUMBER_MASK);
        let low = (place & SPAN_NUMBER_MASK) | cell.get() << SPAN_NUMBER_BITS;
        let [a, b, c, _] = (cell.get() >> (u32::BITS - SPAN_NUMBER_BITS)).to_le_bytes();
        Self { low: low.to_le_bytes(), high: [a, b, c] }
    }

    /// The first cell, the same in every shard.
    pub(crate) fn cell(&self) -> CellIndex {
        let [a, b, c] = self.high;
        let high = u32::from_le_bytes([a, b, c, 0]) << (u32::BITS - SPAN_NUMBER_BITS);
        let low = u32::from_le_bytes(self.low) >> SPAN_NUMBER_BITS;
        CellIndex::FIRST.offset((high | low) as usize)
    }

    /// The first cell's place among the registry's cells of this rank, which is its place in a snapshot.
    #[inline]
    pub(crate) fn place(&self) -> u32 {
        u32::from_le_bytes(self.low) & SPAN_NUMBER_MASK
    }
}

/// A run of cells handed to one registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    start: u32,
    len: u32,
}

/// The process's cells.
#[derive(Debug)]
struct Arena {
    /// Cells from here on were never handed out.
    next: u32,
    /// Extents that came back, sorted by start, neighbours merged.
    free: Vec<Extent>,
}

static ARENA: parking_lot::Mutex<Arena> =
    parking_lot::Mutex::new(Arena { next: 0, free: Vec::new() });

impl Arena {
    fn take(&mut self, len: u32) -> Option<(Extent, bool)> {
        let fit = self.free.iter().enumerate().filter(|(_, extent)| extent.len >= len);
        if let Some((at, &extent)) = fit.min_by_key(|(_, extent)| extent.len) {
            if extent.len == len {
                self.free.remove(at);
            } else {
                self.free[at] = Extent { start: extent.start + len, len: extent.len - len };
            }
            return Some((Extent { start: extent.start, len }, true));
        }
        let end = self.next.checked_add(len).filter(|&end| end <= CELLS_MAX)?;
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
}

/// What [`Pool::sum_into`] fills; its memory is reused from scrape to scrape.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    extents: Vec<(Extent, u32)>,
    /// By place.
    pub(crate) totals: Vec<u64>,
}

/// One registry's cells. Shared by the registry and every series, so it lives until the last handle is gone.
#[derive(Debug)]
pub(crate) struct Pool {
    ranks: [Mutex<RankPool>; Rank::ALL.len()],
}

#[derive(Debug, Default)]
struct RankPool {
    /// Each with the place of its first cell.
    extents: Vec<(Extent, u32)>,
    /// Cells of the last extent that are in use.
    used: u32,
    /// Places handed out so far, unused tails of extents included.
    places: u32,
    /// Spans that came back, by length.
    free: HashMap<u32, Vec<Span>>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self { ranks: std::array::from_fn(|_| Mutex::new(RankPool::default())) }
    }

    /// Hands out `len` cells that are zero in every shard. `None` when the process has no more cells, or when
    /// the operating system refuses even one shard.
    pub(crate) fn take(&self, rank: Rank, len: u32) -> Option<Span> {
        // A process that cannot have a fallback could lose a count; find out now, not in the record path.
        shards().fallback()?;
        let mut pool = self.ranks[rank as usize].lock();
        if let Some(span) = pool.free.get_mut(&len).and_then(Vec::pop) {
            zero(shards(), span.cell().get(), len);
            return Some(span);
        }
        let room = pool.extents.last().map_or(0, |(extent, _)| extent.len - pool.used);
        if room < len {
            let ahead = pool.places.clamp(EXTENT_CELLS_MIN, EXTENT_CELLS_MAX).min(CELLS_MAX);
            let (extent, reused) = {
                let mut arena = ARENA.lock();
                // When the process is nearly out of cells, take what is needed rather than what is nice.
                arena.take(ahead.max(len)).or_else(|| arena.take(len))?
            };
            if reused {
                zero(shards(), extent.start, extent.len);
            }
            pool.places += room;
            let place = pool.places;
            pool.extents.push((extent, place));
            pool.used = 0;
        }
        let &(extent, _) = pool.extents.last()?;
        let cell = CellIndex::new(extent.start + pool.used)?;
        let span = Span::new(cell, pool.places);
        pool.used += len;
        pool.places += len;
        Some(span)
    }

    /// Takes back a span of `len` cells whose series has no handle any more.
    pub(crate) fn give_back(&self, rank: Rank, span: Span, len: u32) {
        self.ranks[rank as usize].lock().free.entry(len).or_default().push(span);
    }

    /// Adds every shard's cells of one rank to `sums`, indexed by place. `add` combines two cells.
    ///
    /// Cost: linear in cells times shards; one pass over each shard's extents in address order. The pool is locked
    /// only to copy the list of extents, so a scrape delays neither new series nor a process that forks.
    pub(crate) fn sum_into(&self, rank: Rank, sums: &mut Sums, add: impl Fn(u64, u64) -> u64) {
        let Sums { extents, totals } = sums;
        {
            let pool = self.ranks[rank as usize].lock();
            extents.clone_from(&pool.extents);
            if let Some((last, _)) = extents.last_mut() {
                last.len = pool.used;
            }
            totals.resize(pool.places as usize, 0);
        }
        // The extents cover every place, so what the first shards say replaces what the last scrape left. Shards are taken
        // in pairs, so that the total is stored once for both.
        let (mut shards, mut first) = (shards().iter(), true);
        while let Some(shard) = shards.next() {
            let one = |start, len| shard.run(start, len);
            match (first, shards.next()) {
                (true, None) => pass(extents, totals, one, |_, cell| add(0, cell)),
                (false, None) => pass(extents, totals, one, &add),
                (first, Some(other)) => {
                    let two = |start, len| shard.run(start, len).zip(other.run(start, len));
                    if first {
                        pass(extents, totals, two, |_, (one, other)| add(add(0, one), other));
                    } else {
                        pass(extents, totals, two, |all, (one, other)| add(add(all, one), other));
                    }
                }
            }
            first = false;
        }
    }
}

/// Replaces each total by what `of` makes of it and of what `run` says of its cell.
#[inline(always)]
fn pass<I: Iterator>(
    extents: &[(Extent, u32)],
    totals: &mut [u64],
    run: impl Fn(CellIndex, u32) -> I,
    of: impl Fn(u64, I::Item) -> u64,
) {
    for &(extent, place) in extents {
        let Some(start) = CellIndex::new(extent.start) else { continue };
        let totals = &mut totals[place as usize..][..extent.len as usize];
        for (total, cells) in totals.iter_mut().zip(run(start, extent.len)) {
            *total = of(*total, cells);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut arena = ARENA.lock();
        for rank in &self.ranks {
            for (extent, _) in rank.lock().extents.drain(..) {
                arena.give_back(extent);
            }
        }
    }
}

/// Sets cells to zero in every shard. Only for cells that nobody can write: no handle to them exists.
fn zero(shards: &Shards, start: u32, len: u32) {
    for shard in shards.iter() {
        for index in (start..start + len).filter_map(CellIndex::new) {
            // Only what is not zero is written, so that pages a thread never touched stay uncommitted.
            if shard.read(index) != 0 {
                // Relaxed: the next owner of these cells gets them through the pool's lock.
                shard.cells().cell(index).store(0, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shard::writer;

    #[test]
    fn extents_that_come_back_are_merged_and_reused_best_fit() {
        let mut arena = Arena { next: 0, free: Vec::new() };
        let extents: Vec<Extent> = (0..4).map(|_| arena.take(10).unwrap().0).collect();
        arena.give_back(extents[1]);
        arena.give_back(extents[3]);
        arena.give_back(extents[2]);
        assert_eq!(arena.free, [Extent { start: 10, len: 30 }]);
        assert_eq!(arena.take(5), Some((Extent { start: 10, len: 5 }, true)));
        assert_eq!(arena.take(25), Some((Extent { start: 15, len: 25 }, true)));
        assert_eq!(arena.take(1), Some((Extent { start: 40, len: 1 }, false)));
        assert_eq!(arena.take(CELLS_MAX), None);
    }

    #[test]
    fn a_span_keeps_the_largest_numbers() {
        for (cell, place) in [(0, 0), (CELLS_MAX - 1, 0), (0, CELLS_MAX - 1), (0xabcdef, 0x123456)]
        {
            let span = Span::new(CellIndex::new(cell).unwrap(), place);
            assert_eq!((span.cell().get(), span.place()), (cell, place));
        }
    }

    #[test]
    fn a_span_is_zero_when_it_is_reused() {
        let pool = Pool::new();
        let span = pool.take(Rank::Word, 3).unwrap();
        writer().unwrap().add(span.cell().offset(2), 5);
        let mut sums = Sums::default();
        pool.sum_into(Rank::Word, &mut sums, u64::wrapping_add);
        assert_eq!(sums.totals, [0, 0, 5]);
        pool.give_back(Rank::Word, span, 3);
        let again = pool.take(Rank::Word, 3).unwrap();
        assert_eq!(again, span);
        pool.sum_into(Rank::Word, &mut sums, u64::wrapping_add);
        assert_eq!(sums.totals, [0, 0, 0]);
    }

    #[test]
    fn places_follow_the_extents_even_when_a_tail_is_left_over() {
        let pool = Pool::new();
        let first = pool.take(Rank::Word, EXTENT_CELLS_MIN - 1).unwrap();
        let second = pool.take(Rank::Word, 2).unwrap();
        assert_eq!(first.place(), 0);
        assert_eq!(second.place(), EXTENT_CELLS_MIN);
        writer().unwrap().add(second.cell(), 8);
        let mut sums = Sums::default();
        pool.sum_into(Rank::Word, &mut sums, u64::wrapping_add);
        assert_eq!(sums.totals[second.place() as usize], 8);
    }
}
