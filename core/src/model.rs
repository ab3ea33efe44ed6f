//! Access of the models in `tests/loom_*.rs` to rooms that are not public: the crate's own functions, in the order in which
//! the crate calls them. Built under `--cfg loom` only.
//!
//! A model's main thread may neither record nor look up, and other threads [`forget`] before they end: loom ends what a thread
//! remembers after the model's statics.

use crate::arena::baseline::Baseline;
use crate::arena::{Pool, Rank, Sums};
use crate::family::Family;
use crate::family::SeriesList;
use crate::kinds::Counter;
use crate::registry::Registry;
use crate::shard::writer;
use crate::snapshot::Snapshot;
pub use crate::sync::{Step, leave_out};

/// A scrape of one family of counters, in two steps.
#[derive(Default, Debug)]
pub struct Scrape {
    list: SeriesList,
    sums: Sums,
}

impl Scrape {
    /// Lists the family's series, which holds references to them.
    pub fn list(&mut self, family: &Family<Counter, 1>) {
        family.core().sync(&mut self.list);
    }

    /// Reads the registry's cells.
    pub fn sum(&mut self, registry: &Registry) {
        registry.root.pool.sum_into(Rank::Word, &mut self.sums, u64::wrapping_add);
    }

    /// Each listed series' label value, and its total if there is one.
    pub fn counts(&self) -> Vec<(String, Option<u64>)> {
        let total = |places: &[u32; 2]| self.sums.totals.get(places[0] as usize).copied();
        let value = |series: &crate::series::SeriesRef| series.values().iter().collect();
        let series = self.list.series.iter().zip(&self.list.places);
        series.map(|(series, places)| (value(series), total(places))).collect()
    }
}

/// Makes a series without looking it up.
pub fn make(family: &Family<Counter, 1>, value: &str) -> Counter {
    family.find_or_make([value]).0
}

/// Returns a closure that records in the counter's cell and does not keep its series.
pub fn bare(counter: &Counter) -> impl Fn(u64) + use<> {
    let cell = counter.cell();
    move |n| _ = writer().expect("memory").add(cell, n)
}

/// Drops every handle that the calling thread remembers.
pub fn forget() {
    crate::family::lookup::forget();
}

/// Returns the number of families that a snapshot lists.
pub fn families(snapshot: &mut Snapshot, registry: &Registry) -> usize {
    snapshot.list(registry);
    snapshot.families().len()
}

/// One cell and its sum, from which scrapes cut the past off. The state is what was cut off.
#[derive(Debug)]
pub struct Distribution {
    pool: Pool,
    baseline: Box<Baseline<u64>>,
}

impl Distribution {
    /// A distribution without observations.
    pub fn new() -> Self {
        let pool = Pool::new();
        let baseline = Baseline::take(&pool, 1).expect("cells");
        Self { pool, baseline }
    }

    /// Records one observation.
    pub fn observe(&self) {
        let writer = writer().expect("memory");
        writer.add(self.baseline.cells.cell(), 1);
        writer.add_f64_release(self.baseline.sums.cell(), 1.0);
    }

    /// Returns the count that a scrape shows, which cuts the past off or not. `None` for less than nothing.
    pub fn scrape(&self, cuts: bool) -> Option<u64> {
        let seen = self.baseline.generation();
        let [mut floats, mut words] = [Sums::default(), Sums::default()];
        self.pool.sum_into(Rank::Float, &mut floats, crate::arena::sum::add_bits);
        self.pool.sum_into(Rank::Word, &mut words, u64::wrapping_add);
        let (cells, sum) = self.baseline.totals(&mut words.totals, &floats.totals);
        self.baseline.with(seen, cells, sum, |before, cells, _| {
            let shown = cells[0].checked_sub(*before);
            if cuts {
                *before = cells[0];
            }
            (shown, cuts)
        })
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new()
    }
}
