//! Summaries in a snapshot: the window slides, and hdrhistogram computes the quantiles.
//!
//! All work is done in place, in the totals that the scrape has just read: they become the counts of the open slice, and
//! the counts of the closed slices of the window are added.

use crate::arena::baseline::{Baseline, total};
use crate::layout::SummaryLayout;
use crate::series::{SeriesRef, Storage, SummaryState};
use hdrhistogram::Histogram as Hdr;
use std::time::Duration;

/// The summaries of one part at one scrape, in reused memory.
#[derive(Debug, Default)]
pub(crate) struct SummaryScrape {
    seen: Vec<u64>,
    totals: Vec<(u64, f64)>,
    /// The quantiles, in the order of the series.
    quantiles: Vec<f64>,
    hdr: Option<Hdr<u64>>,
}

impl SummaryScrape {
    /// Begins a scrape, before the cells are read.
    pub(crate) fn begin(&mut self, list: &[SeriesRef]) {
        self.seen.clear();
        self.seen.extend(list.iter().map(|series| baseline_of(series).generation()));
    }

    /// Ends a scrape, after the cells are read.
    pub(crate) fn finish(
        &mut self,
        list: &[SeriesRef],
        words: &mut [u64],
        floats: &[u64],
        now: Option<Duration>,
    ) {
        self.totals.clear();
        self.quantiles.clear();
        for (series, &seen) in list.iter().zip(&self.seen) {
            let layout = layout_of(series);
            let baseline = baseline_of(series);
            let (cells, sum) = baseline.totals(words, floats);
            let totals = baseline.with(seen, cells, sum, |state, cells, sum| {
                let totals = (total(cells), sum);
                let cut = state.slide(cells, layout, now);
                (totals, cut)
            });
            self.totals.push(totals);
            if self.hdr.is_none() {
                self.hdr = layout.hdr();
            }
            let Some(hdr) = self.hdr.as_mut() else { unreachable!("checked bounds make one") };
            hdr.reset();
            // hdrhistogram's ranks are exact up to 2^53, and its sums overflow beyond 2^64, so larger counts are scaled down.
            let all: u128 = cells.iter().map(|&count| u128::from(count)).sum();
            let scale = (u128::BITS - all.leading_zeros()).saturating_sub(f64::MANTISSA_DIGITS);
            for (cell, &count) in cells.iter().enumerate().filter(|(_, count)| **count != 0) {
                hdr.saturating_record_n(layout.number(cell), count >> scale);
            }
            let empty = hdr.is_empty();
            let value = |&q| if empty { f64::NAN } else { layout.quantile(hdr, q) };
            self.quantiles.extend(layout.quantiles.iter().map(value));
        }
    }

    /// Returns count, sum and quantiles of the series at `at`.
    pub(crate) fn value(&self, at: usize) -> (u64, f64, &[f64]) {
        let (count, sum) = self.totals[at];
        let len = self.quantiles.len() / self.totals.len();
        (count, sum, &self.quantiles[at * len..][..len])
    }
}

fn baseline_of(series: &SeriesRef) -> &Baseline<SummaryState> {
    match series.storage() {
        Storage::Summary(baseline) => baseline,
        _ => unreachable!("a summary's series"),
    }
}

fn layout_of(series: &SeriesRef) -> &SummaryLayout {
    match &series.metadata.descriptor.summary {
        Some(layout) => layout,
        None => unreachable!("a summary has a layout"),
    }
}
