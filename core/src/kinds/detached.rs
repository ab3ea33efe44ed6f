//! Detached metrics: counters, sums and histograms in the shards that belong to no registry, without names, labels or limits.
//!
//! Libraries that have families, registries and texts of their own keep their numbers in them: several registries may then show
//! one metric, or none. Their cells come from one pool of the process and go back to it with the metric.
//!
//! A detached histogram is read **exactly**: the sum is that of the observations that are counted.
//!
//! ```text
//! observe(b, v):  cells[b] += 1;  sum += v (release);  done += 1 (release)      all in the thread's own shard
//! read, a shard:  done (acquire), sum (acquire), cells;  again until the cells add up to `done`
//! ```
//!
//! An observation that `done` counts is in the sum that is read after it, and one that is in the sum is in the cells that are
//! read after it. So if there are as many in the cells as in `done`, they are the same, and the sum is theirs.

use crate::arena::{Pool, Rank, Span};
use crate::shard::{CellIndex, SPAN_CELLS_MAX, Shard, Writer, own, shards, writer};
use std::sync::OnceLock;
use std::time::Duration;

/// The cells of all detached metrics of the process.
static POOL: OnceLock<Pool> = OnceLock::new();

/// Reads of a shard that begin at once. A thread that does nothing but observe is met between two observations in every fifth.
const READS_AT_ONCE: usize = 1_000;
/// Pauses before further reads, because the thread that observes may have been preempted within an observation.
const PAUSES: usize = 1_000;
/// Buckets up to which a histogram is read without allocating: more than programs have, and half a kilobyte of stack.
const BUCKETS_FEW: usize = 64;
const PAUSE: Duration = Duration::from_micros(100);

fn pool() -> &'static Pool {
    POOL.get_or_init(Pool::new)
}

/// A run of cells of the pool, given back when it is dropped.
#[derive(Debug)]
struct Cells {
    rank: Rank,
    span: Span,
    len: u32,
}

impl Cells {
    fn take(rank: Rank, len: usize) -> Option<Self> {
        let len = u32::try_from(len).ok().filter(|&len| len <= SPAN_CELLS_MAX)?;
        Some(Self { rank, span: pool().take(rank, len)?, len })
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        pool().give_back(self.rank, self.span, self.len);
    }
}

/// One cell for integers, given back when it is dropped: the seven bytes of a span, which says nothing of what it is.
#[derive(Debug)]
struct Word(Span);

impl Drop for Word {
    fn drop(&mut self) {
        pool().give_back(Rank::Word, self.0, 1);
    }
}

/// Records in the calling thread's shard, or in the fallback.
#[inline(always)]
fn record(write: impl FnOnce(Writer)) {
    if let Some(writer) = own().map(Writer::Own).or_else(writer) {
        write(writer);
    }
}

/// A count in the shards that belongs to no registry. Wraps at 2^64.
///
/// Cost of [`add`](Self::add): that of [`Counter::add`](crate::Counter::add).
///
/// ```
/// let tokens = dynamo_metrics_core::DetachedCounter::new().expect("cells are left");
/// tokens.add(2);
/// std::thread::scope(|scope| _ = scope.spawn(|| tokens.add(40)));
/// assert_eq!(tokens.get(), 42);
/// ```
#[derive(Debug)]
pub struct DetachedCounter(Word);

impl DetachedCounter {
    /// Returns a counter at zero, or `None` when the process has no cells left (`docs/limits.md`).
    pub fn new() -> Option<Self> {
        Some(Self(Word(pool().take(Rank::Word, 1)?)))
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        record(|writer| _ = writer.add(self.0.0.cell(), n));
    }

    /// Returns the counter's place in the shards, to read many at once.
    pub fn cell(&self) -> DetachedCell {
        DetachedCell(self.0.0.cell())
    }

    /// Returns the sum over all threads. Cost: a read of each shard.
    pub fn get(&self) -> u64 {
        shards().iter().map(|shard| shard.read(self.0.0.cell())).fold(0, u64::wrapping_add)
    }
}

/// A sum of `f64` in the shards that belongs to no registry: what one thread adds is rounded in the order of its additions, and
/// reading adds up the threads.
///
/// Cost of [`add`](Self::add): one addition in memory that only this thread writes.
///
/// ```
/// let seconds = dynamo_metrics_core::DetachedSum::new().expect("cells are left");
/// seconds.add(0.5);
/// std::thread::scope(|scope| _ = scope.spawn(|| seconds.add(0.25)));
/// assert_eq!(seconds.get(), 0.75);
/// ```
#[derive(Debug)]
pub struct DetachedSum(Cells);

impl DetachedSum {
    /// Returns a sum at zero, or `None` when the process has no cells left (`docs/limits.md`).
    pub fn new() -> Option<Self> {
        Cells::take(Rank::Float, 1).map(Self)
    }

    /// Adds `v`; NaN and infinities are taken, too.
    #[inline]
    pub fn add(&self, v: f64) {
        record(|writer| writer.add_f64_release(self.0.span.cell(), v));
    }

    /// Returns the sum over all threads. Cost: a read of each shard.
    pub fn get(&self) -> f64 {
        let cells = shards().iter().map(|shard| f64::from_bits(shard.read(self.0.span.cell())));
        cells.fold(0.0, std::ops::Add::add) // not `sum`, whose zero is -0.0
    }
}

/// The place of a [`DetachedCounter`] in the shards. It is that of another counter, perhaps, once the counter was dropped.
///
/// ```
/// use dynamo_metrics_core::{DetachedCell, DetachedCounter};
///
/// let counters = [3, 4].map(|n| {
///     let counter = DetachedCounter::new().expect("cells are left");
///     counter.add(n);
///     counter
/// });
/// let cells = counters.each_ref().map(DetachedCounter::cell);
/// let mut totals = [0; 2];
/// DetachedCell::add_totals(&cells, &mut totals);
/// assert_eq!(totals, [3, 4]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetachedCell(CellIndex);

impl DetachedCell {
    /// Adds the sum of each cell over all threads to the total in the same place. Totals wrap at 2^64. Where one slice is
    /// longer than the other, its surplus is ignored.
    ///
    /// Cost: a read of each cell in each shard, one shard after the other.
    pub fn add_totals(cells: &[Self], totals: &mut [u64]) {
        for shard in shards().iter() {
            for (total, cell) in totals.iter_mut().zip(cells) {
                *total = total.wrapping_add(shard.read(cell.0));
            }
        }
    }
}

/// Counts of buckets and a sum in the shards that belong to no registry. The caller knows the bounds. Every value is taken,
/// negative ones, NaN and infinities included.
///
/// Cost of [`observe`](Self::observe): three additions in memory that only this thread writes.
///
/// ```
/// let sizes = dynamo_metrics_core::DetachedHistogram::new(2).expect("cells are left");
/// sizes.observe(0, -1.0);
/// sizes.observe(1, 5.0);
/// let mut counts = [0; 2];
/// assert_eq!(sizes.read(&mut counts), 4.0);
/// assert_eq!(counts, [1, 1]);
/// ```
#[derive(Debug)]
pub struct DetachedHistogram {
    /// The buckets, and behind them the number of observations that are complete.
    counts: Cells,
    sum: Cells,
}

impl DetachedHistogram {
    /// Returns a histogram of `buckets` buckets without observations. `None` when the process has no cells left, or when a
    /// histogram cannot have as many buckets.
    pub fn new(buckets: usize) -> Option<Self> {
        let counts = Cells::take(Rank::Word, buckets.checked_add(1)?)?;
        Some(Self { counts, sum: Cells::take(Rank::Float, 1)? })
    }

    /// Records one value in a bucket; a bucket behind the last one is the last one.
    #[inline]
    pub fn observe(&self, bucket: usize, v: f64) {
        let (start, done) = (self.counts.span.start(), self.buckets());
        record(|writer| {
            writer.add(start.offset(bucket.min(done - 1)), 1);
            writer.add_f64_release(self.sum.span.cell(), v);
            writer.add_release(start.offset(done), 1);
        });
    }

    /// Records many values at once: `counts[b]` of them in bucket `b`, which add up to `sum`. Counts behind the last bucket
    /// are not recorded.
    pub fn record(&self, counts: &[u64], sum: f64) {
        let (start, done) = (self.counts.span.start(), self.buckets());
        record(|writer| {
            let mut recorded = 0u64;
            for (bucket, &n) in counts.iter().enumerate().take(done).filter(|&(_, &n)| n > 0) {
                writer.add(start.offset(bucket), n);
                recorded = recorded.wrapping_add(n);
            }
            writer.add_f64_release(self.sum.span.cell(), sum);
            writer.add_release(start.offset(done), recorded);
        });
    }

    /// Adds the counts of the buckets over all threads to `counts`, which is not cleared before, and returns the sum of exactly
    /// these observations. Where `counts` is longer than there are buckets, the rest of it is left as it is; where it is
    /// shorter, the further buckets are not counted, but their observations are in the sum.
    ///
    /// Cost: a read of each shard, and again while its thread is within an observation. A thread that stays within one (a
    /// stopped thread, or one that a fork left behind) holds a read up for 0.1 seconds; then the sum may lack that observation.
    pub fn read(&self, counts: &mut [u64]) -> f64 {
        let (mut few, mut many) = ([0; BUCKETS_FEW], Vec::new());
        let one = match few.get_mut(..self.buckets()) {
            Some(few) => few,
            None => {
                many.resize(self.buckets(), 0);
                &mut many[..]
            }
        };
        let mut sum = 0.0;
        for shard in shards().iter() {
            sum += self.read_shard(shard, one);
            for (count, n) in counts.iter_mut().zip(&*one) {
                *count = count.wrapping_add(*n);
            }
        }
        sum
    }

    fn read_shard(&self, shard: &Shard, counts: &mut [u64]) -> f64 {
        let start = self.counts.span.start();
        for read in 0.. {
            // Each an Acquire, so they are read in this order.
            let done = shard.read(start.offset(counts.len()));
            let sum = f64::from_bits(shard.read(self.sum.span.cell()));
            let mut total = 0u64;
            for (bucket, count) in counts.iter_mut().enumerate() {
                *count = shard.read(start.offset(bucket));
                total = total.wrapping_add(*count);
            }
            if total == done || read >= READS_AT_ONCE + PAUSES {
                return sum;
            }
            if read < READS_AT_ONCE {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(PAUSE);
            }
        }
        unreachable!("the last read returned")
    }

    fn buckets(&self) -> usize {
        self.counts.len as usize - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn cells_that_come_back_are_zero() {
        for _ in 0..3 {
            let counter = DetachedCounter::new().unwrap();
            let sum = DetachedSum::new().unwrap();
            assert_eq!(sum.get(), 0.0);
            sum.add(0.5);
            assert_eq!(sum.get(), 0.5);
            let histogram = DetachedHistogram::new(3).unwrap();
            assert_eq!(counter.get(), 0);
            let mut counts = [0; 3];
            assert_eq!(histogram.read(&mut counts), 0.0);
            assert_eq!(counts, [0; 3]);
            counter.add(7);
            histogram.observe(9, f64::NAN);
            histogram.record(&[1, 0, 2, 100], 1.0);
            assert!(histogram.read(&mut counts).is_nan());
            assert_eq!(counts, [1, 0, 3]);
        }
    }

    #[test]
    fn histograms_of_few_and_of_many_buckets_are_read() {
        for buckets in [1, BUCKETS_FEW, BUCKETS_FEW + 1, 1_000] {
            let histogram = DetachedHistogram::new(buckets).unwrap();
            (0..buckets).for_each(|bucket| histogram.observe(bucket, 0.5));
            let mut counts = vec![0; buckets];
            assert_eq!(histogram.read(&mut counts), 0.5 * buckets as f64);
            assert_eq!(counts, vec![1; buckets]);
        }
    }

    #[test]
    fn more_buckets_than_a_span_has_are_refused() {
        assert!(DetachedHistogram::new(SPAN_CELLS_MAX as usize).is_none());
        assert!(DetachedHistogram::new(usize::MAX).is_none());
    }

    #[test]
    fn the_sum_is_that_of_the_counted_observations_while_threads_observe() {
        let histogram = DetachedHistogram::new(2).unwrap();
        let end = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for bucket in 0..2 {
                let (histogram, end) = (&histogram, &end);
                scope.spawn(move || {
                    while !end.load(Ordering::Relaxed) {
                        histogram.observe(bucket, 1.0);
                    }
                });
            }
            for _ in 0..20_000 {
                let mut counts = [0; 2];
                let sum = histogram.read(&mut counts);
                assert_eq!(counts[0] + counts[1], sum as u64);
            }
            end.store(true, Ordering::Relaxed);
        });
    }
}
