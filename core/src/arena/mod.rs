//! The owners of cells: the process hands *extents* to registries, a registry hands *spans* to series.
//!
//! ```text
//! Arena (process)   0 ........................................................ CELLS_MAX
//!                   [ extent: registry 1 ][ extent: registry 2 ][ extent: registry 1 ] ...
//! Pool (registry)   one list of extents for each rank; a span is a run of cells inside one extent
//! ```
//!
//! A registry's cells are clustered, so that its scrape is one linear pass over its extents for each shard.
//! **A span is zero in every shard when it is handed out**: it is zeroed on reuse, when no handle to its
//! former series exists any more, so no thread can be writing there. An extent that another registry had is zeroed span by span as
//! well: a thread that makes a series holds locks, and pays for no more cells than it gets.

pub(crate) mod baseline;
mod extents;
mod rank;
mod span;
pub(crate) mod sum;

pub(crate) use extents::cells_used;
pub(crate) use rank::Rank;
pub(crate) use span::Span;

use crate::shard::{CELLS_MAX, CellIndex, SPAN_CELLS_MAX, Shards, SpanStart, shards};
use crate::sync::{Mutex, Ordering, Step, left_out};
use extents::Extent;
use std::collections::HashMap;

/// Cells of a registry's first extent in each rank: a 4 KiB page and nine cache lines more. Extents of whole pages
/// would all begin at the same page offset, and so the first metrics of all registries would share a cache set and
/// the low bits of their addresses (seen: 16 counters of 16 registries 2.5 ns each, of one registry 0.3).
const EXTENT_CELLS_MIN: u32 = if cfg!(loom) { 1 } else { 512 + 72 };
/// Largest extent that is taken ahead of need: half a megabyte of address space a thread, so that a registry of a
/// million series has a few dozen extents.
const EXTENT_CELLS_MAX: u32 = if cfg!(loom) { 1 } else { (1 << 16) + 72 };

/// Tails that a registry remembers of each rank, which is what a new series may have to look through.
const TAILS_MAX: usize = 64;

/// The number of times that cells came back. A family that found none need not ask again before it has grown. std's atomic: it
/// orders nothing, so the models need not see it.
static RETURNS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Returns a number that changes when cells come back, from whatever registry.
pub(crate) fn returns() -> u64 {
    // Relaxed: a thread that still reads the former number asks a little later.
    RETURNS.load(std::sync::atomic::Ordering::Relaxed)
}

/// Counts a return of cells. Called after they are back: a thread that asks between the two finds them, or comes again.
fn returned() {
    // Relaxed, as in `returns`.
    RETURNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

/// Lets families that found no cells ask again, if it was because growth was refused. Called once a scrape: the rest of the
/// process may have given memory back, which no family is told.
pub(crate) fn retry_refused_growth() {
    if shards().was_refused() {
        returned();
    }
}

/// The totals that [`Pool::sum_into`] fills in; their memory is reused from scrape to scrape.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    extents: Vec<(Extent, u32)>,
    /// The sum of each cell, by place.
    pub(crate) totals: Vec<u64>,
}

/// One registry's cells. Shared by the registry and every series, so it lives until the last handle is gone.
#[derive(Debug)]
pub(crate) struct Pool {
    ranks: [Mutex<RankPool>; Rank::ALL.len()],
}

/// The unused end of an extent.
#[derive(Clone, Copy, Debug)]
struct Tail {
    /// The number of its first cell in the process.
    start: u32,
    /// The place of its first cell in the registry.
    place: u32,
    len: u32,
    /// True if another registry has had it.
    reused: bool,
}

#[derive(Debug, Default)]
struct RankPool {
    /// Each with the place of its first cell.
    extents: Vec<(Extent, u32)>,
    /// Cells of the last extent that are in use.
    used: u32,
    /// True if another registry has had the last extent.
    reused: bool,
    /// The unused ends of earlier extents, too short for the series that came then.
    tails: Vec<Tail>,
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
        debug_assert!(len <= SPAN_CELLS_MAX, "a span of {len} cells");
        // A process that cannot have a fallback could lose a count; find out now, not in the record path.
        shards().fallback()?;
        let mut pool = self.ranks[rank as usize].lock();
        if let Some(span) = pool.free.get_mut(&len).and_then(Vec::pop) {
            zero(shards(), span.cell().get(), len);
            return Some(span);
        }
        if let Some(span) = pool.cut(len) {
            return Some(span);
        }
        // When the process is nearly out of cells, take what is needed rather than what is nice.
        let (extent, reused) = extents::take(pool.ahead(len)).or_else(|| extents::take(len))?;
        pool.extend(extent, reused);
        pool.cut(len)
    }

    /// Takes back a span of `len` cells whose series has no handle any more.
    pub(crate) fn give_back(&self, rank: Rank, span: Span, len: u32) {
        self.put_back(rank, span, len);
        returned();
    }

    /// Takes back a span that was taken just now for a series that found no other cells: the number of free cells has not grown.
    pub(crate) fn put_back(&self, rank: Rank, span: Span, len: u32) {
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

impl RankPool {
    /// Returns the number of cells to take at once for a series that needs `len`: as many as the registry has, in a multiple of
    /// `len`, so that series of one length leave no tail.
    fn ahead(&self, len: u32) -> u32 {
        let ahead = self.places.clamp(EXTENT_CELLS_MIN, EXTENT_CELLS_MAX).min(CELLS_MAX).max(len);
        ahead.checked_next_multiple_of(len).unwrap_or(ahead)
    }

    /// Hands out `len` cells that were not handed out since the registry took them; `None` when there is no room for them.
    fn cut(&mut self, len: u32) -> Option<Span> {
        let (span, reused) = match self.tails.iter_mut().find(|tail| tail.len >= len) {
            Some(tail) => {
                let span = Span::new(SpanStart::new(tail.start)?, tail.place);
                tail.start += len;
                tail.place += len;
                tail.len -= len;
                (span, tail.reused)
            }
            None => {
                let &(extent, _) = self.extents.last()?;
                if extent.len - self.used < len {
                    return None;
                }
                let span = Span::new(SpanStart::new(extent.start + self.used)?, self.places);
                self.used += len;
                self.places += len;
                (span, self.reused)
            }
        };
        if reused {
            zero(shards(), span.cell().get(), len);
        }
        Some(span)
    }

    /// Adds an extent; the rest of the one before becomes a tail.
    fn extend(&mut self, extent: Extent, reused: bool) {
        if let Some(&(last, _)) = self.extents.last() {
            let (start, len) = (last.start + self.used, last.len - self.used);
            self.tails.retain(|tail| tail.len > 0);
            if self.tails.len() < TAILS_MAX && len > 0 {
                self.tails.push(Tail { start, place: self.places, len, reused: self.reused });
            }
            self.places += len;
        }
        self.extents.push((extent, self.places));
        self.used = 0;
        self.reused = reused;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for rank in &self.ranks {
            extents::give_back(rank.lock().extents.drain(..).map(|(extent, _)| extent));
        }
        returned();
    }
}

/// Sets cells to zero in every shard. Only for cells that no thread can write: no handle to them exists.
fn zero(shards: &Shards, start: u32, len: u32) {
    if left_out(Step::Zero) {
        return;
    }
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
    fn a_span_is_zero_when_it_is_reused() {
        let pool = Pool::new();
        let span = pool.take(Rank::Word, 3).unwrap();
        writer().unwrap().add(span.start().offset(2), 5);
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
    fn cells_of_another_registry_are_zero_when_they_are_handed_out() {
        // More than other tests give back, so that the extent is the one that was given back here.
        const LEN: u32 = EXTENT_CELLS_MAX + 4321;
        let pool = Pool::new();
        let span = pool.take(Rank::Word, LEN).unwrap();
        (0..LEN)
            .step_by(1000)
            .for_each(|at| _ = writer().unwrap().add(span.start().offset(at as usize), 7));
        drop(pool);
        let pool = Pool::new();
        let mut sums = Sums::default();
        for len in [LEN, 1, 500] {
            pool.take(Rank::Word, len).unwrap();
            pool.sum_into(Rank::Word, &mut sums, u64::wrapping_add);
            let used = &sums.totals[..pool.ranks[Rank::Word as usize].lock().places as usize];
            assert!(used.iter().all(|&total| total == 0));
        }
    }

    #[test]
    fn series_of_one_length_leave_no_cells_unused() {
        for len in [1, 3, 12, 100, 577, 13_200, EXTENT_CELLS_MAX + 1] {
            let pool = Pool::new();
            (0..40).for_each(|_| _ = pool.take(Rank::Word, len).unwrap());
            let pool = pool.ranks[Rank::Word as usize].lock();
            assert_eq!(pool.places, 40 * len, "{len} cells each");
            let taken: u32 = pool.extents.iter().map(|(extent, _)| extent.len).sum();
            assert_eq!(taken % len, 0);
        }
    }

    #[test]
    fn a_tail_is_used_by_what_fits_into_it() {
        let pool = Pool::new();
        let places = || pool.ranks[Rank::Word as usize].lock().places;
        const FIRST: u32 = 400;
        let first = pool.take(Rank::Word, FIRST).unwrap();
        let large = pool.take(Rank::Word, FIRST + 1).unwrap();
        let before = places();
        let small: Vec<Span> = (0..10).map(|_| pool.take(Rank::Word, 7).unwrap()).collect();
        assert_eq!(places(), before, "no place was added");
        let mut all: Vec<(u32, u32)> = small.iter().map(|span| (span.place(), 7)).collect();
        all.extend([(first.place(), FIRST), (large.place(), FIRST + 1)]);
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{all:?}");
        for (n, span) in (1..).zip(&small) {
            writer().unwrap().add(span.start().offset(6), n);
        }
        let mut sums = Sums::default();
        pool.sum_into(Rank::Word, &mut sums, u64::wrapping_add);
        for (n, span) in (1..).zip(&small) {
            assert_eq!(sums.totals[span.place() as usize + 6], n);
        }
    }

    #[test]
    fn places_follow_the_extents_even_when_a_tail_is_left_over() {
        let pool = Pool::new();
        let first = pool.take(Rank::Word, 300).unwrap();
        let second = pool.take(Rank::Word, 301).unwrap();
        assert_eq!(first.place(), 0);
        assert_eq!(second.place(), 600, "the first extent has room for two of the first length");
        writer().unwrap().add(second.cell(), 8);
        let mut sums = Sums::default();
        pool.sum_into(Rank::Word, &mut sums, u64::wrapping_add);
        assert_eq!(sums.totals[second.place() as usize], 8);
    }
}
