//! Cells of a distribution and the baseline that scrapes subtract from their totals.
//!
//! Cells only grow. The values that a scrape shows may begin later than they did: after the reset of a native histogram, or
//! with a slice of a summary's window. So the series keeps what the totals were then, behind a lock that only
//! scrapes take.
//!
//! **A scrape that read its cells before another one moved the baseline must not subtract the other's newer totals.** Each move
//! grows `generation`; a scrape notes it before it reads, and if it has grown by the time the lock is held, reads
//! the cells of this series again. Values read under the lock are at least those that any baseline before was made from.

use super::sum::{SUMS, of_totals, over_shards};
use super::{Pool, Rank, Span};
use crate::shard::{SpanStart, shards};
use crate::sync::{AtomicU64, Mutex, Ordering, Step, left_out};

/// A word for each bucket, [`SUMS`] floats, and the state that scrapes keep of them.
#[derive(Debug)]
pub(crate) struct Baseline<T> {
    pub(crate) cells: Span,
    pub(crate) sums: Span,
    len: u32,
    generation: AtomicU64,
    state: Mutex<T>,
}

impl<T: Default> Baseline<T> {
    /// Cells that are all zero; `None` when there are none left.
    pub(crate) fn take(pool: &Pool, len: u32) -> Option<Box<Self>> {
        let sums = pool.take(Rank::Float, SUMS)?;
        let Some(cells) = pool.take(Rank::Word, len) else {
            pool.put_back(Rank::Float, sums, SUMS);
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
        if generation != seen && !left_out(Step::ReadAgain) {
            sum = read(self.cells.start(), cells, self.sums.start());
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
pub(crate) fn read(first: SpanStart, cells: &mut [u64], sums: SpanStart) -> f64 {
    let sum = over_shards(sums);
    cells.fill(0);
    for shard in shards().iter() {
        for (at, total) in cells.iter_mut().enumerate() {
            *total = total.wrapping_add(shard.read(first.offset(at)));
        }
    }
    sum
}

/// Adds up the counts of one series' cells.
pub(crate) fn total(cells: &[u64]) -> u64 {
    cells.iter().fold(0, |total, cell| total.wrapping_add(*cell))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shard::writer;

    #[test]
    fn a_scrape_that_read_before_anothers_cut_reads_again() {
        let pool = Pool::new();
        let baseline: Box<Baseline<u64>> = Baseline::take(&pool, 2).unwrap();
        let record = |n| {
            writer().unwrap().add(baseline.cells.start().offset(1), n);
            writer().unwrap().add_f64_release(baseline.sums.start().offset(0), n as f64);
        };
        record(3);
        let slow = baseline.generation();
        let (mut stale, stale_sum) = ([0, 3], 3.0);
        record(4);
        // Another scrape comes, sees 7 and cuts there.
        let mut fresh = [0, 7];
        baseline.with(baseline.generation(), &mut fresh, 7.0, |before, cells, _| {
            *before = cells[1];
            ((), true)
        });
        // A cut of its own is not taken for another's.
        baseline.with(baseline.generation(), &mut [0, 7], 7.0, |before, cells, sum| {
            assert_eq!((*before, &*cells, sum), (7, &[0, 7][..], 7.0));
            ((), false)
        });
        record(5);
        baseline.with(slow, &mut stale, stale_sum, |before, cells, sum| {
            assert_eq!((*before, &*cells, sum), (7, &[0, 12][..], 12.0));
            ((), false)
        });
        baseline.give_back(&pool);
    }
}
