//! Cells of a distribution from whose totals scrapes cut off the past.
//!
//! Cells only grow. What a scrape shows may begin later than they did: after the reset of a native histogram, or
//! with a slice of a summary's window. So the series keeps what the totals were then, behind a lock that only
//! scrapes take.
//!
//! **A scrape that read its cells before another one cut must not subtract the other's newer totals.** Each cut
//! grows `generation`; a scrape notes it before it reads, and if it has grown by the time the lock is held, reads
//! the cells of this series again. What it reads under the lock is at least what any cut before has seen.

use crate::arena::{Pool, Rank, Span};
use crate::shard::{CellIndex, shards};
use crate::sum::{SUMS, of_totals, over_shards};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// A word for each bucket, [`SUMS`] floats, and what scrapes remember of them.
#[derive(Debug)]
pub(crate) struct Cut<T> {
    pub(crate) cells: Span,
    pub(crate) sums: Span,
    len: u32,
    generation: AtomicU64,
    state: Mutex<T>,
}

impl<T: Default> Cut<T> {
    /// Cells that are all zero; `None` when there are none left.
    pub(crate) fn take(pool: &Pool, len: u32) -> Option<Box<Self>> {
        let sums = pool.take(Rank::Float, SUMS)?;
        let Some(cells) = pool.take(Rank::Word, len) else {
            pool.give_back(Rank::Float, sums, SUMS);
            return None;
        };
        let state = Mutex::new(T::default());
        Some(Box::new(Self { cells, sums, len, generation: AtomicU64::new(0), state }))
    }

    /// Gives the cells back, when no handle to the series is left.
    pub(crate) fn give_back(&self, pool: &Pool) {
        pool.give_back(Rank::Word, self.cells, self.len);
        pool.give_back(Rank::Float, self.sums, SUMS);
    }

    /// To be noted before cells are read.
    pub(crate) fn generation(&self) -> u64 {
        // Acquire pairs with the Release in `with`: who sees a cut reads cells no older than the cut did.
        self.generation.load(Ordering::Acquire)
    }

    /// This series' cells and sum among the totals of a scrape.
    pub(crate) fn totals<'a>(&self, words: &'a mut [u64], floats: &[u64]) -> (&'a mut [u64], f64) {
        let cells = &mut words[self.cells.place() as usize..][..self.len as usize];
        let sums = &floats[self.sums.place() as usize..][..SUMS as usize];
        (cells, of_totals(sums.iter().copied()))
    }

    /// Calls `scrape` with what earlier scrapes left, with `cells` and `sum` brought up to date where another scrape
    /// has cut since `seen` was noted. `scrape` says whether it cut.
    pub(crate) fn with<R>(
        &self,
        seen: u64,
        cells: &mut [u64],
        mut sum: f64,
        scrape: impl FnOnce(&mut T, &mut [u64], f64) -> (R, bool),
    ) -> R {
        let mut state = self.state.lock();
        // Relaxed: written under this lock only.
        let generation = self.generation.load(Ordering::Relaxed);
        if generation != seen {
            sum = read(self.cells.cell(), cells, self.sums.cell());
        }
        let (result, cut) = scrape(&mut state, cells, sum);
        if cut {
            // Release pairs with the Acquire in `generation`.
            self.generation.store(generation + 1, Ordering::Release);
        }
        result
    }
}

/// Reads one series over all shards: the sum, which is returned, before the cells.
pub(crate) fn read(first: CellIndex, cells: &mut [u64], sums: CellIndex) -> f64 {
    let sum = over_shards(sums);
    cells.fill(0);
    for shard in shards().iter() {
        for (at, total) in cells.iter_mut().enumerate() {
            *total = total.wrapping_add(shard.read(first.offset(at)));
        }
    }
    sum
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shard::writer;

    #[test]
    fn a_scrape_that_read_before_anothers_cut_reads_again() {
        let pool = Pool::new();
        let cut: Box<Cut<u64>> = Cut::take(&pool, 2).unwrap();
        let record = |n| {
            writer().unwrap().add(cut.cells.cell().offset(1), n);
            writer().unwrap().add_f64_release(cut.sums.cell().offset(0), n as f64);
        };
        record(3);
        let slow = cut.generation();
        let (mut stale, stale_sum) = ([0, 3], 3.0);
        record(4);
        // Another scrape comes, sees 7 and cuts there.
        let mut fresh = [0, 7];
        cut.with(cut.generation(), &mut fresh, 7.0, |before, cells, _| {
            *before = cells[1];
            ((), true)
        });
        // A cut of its own is not taken for another's.
        cut.with(cut.generation(), &mut [0, 7], 7.0, |before, cells, sum| {
            assert_eq!((*before, &*cells, sum), (7, &[0, 7][..], 7.0));
            ((), false)
        });
        record(5);
        cut.with(slow, &mut stale, stale_sum, |before, cells, sum| {
            assert_eq!((*before, &*cells, sum), (7, &[0, 12][..], 12.0));
            ((), false)
        });
        cut.give_back(&pool);
    }
}
