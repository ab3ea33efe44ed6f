//! What a scrape shows of a summary: the window slides, and hdrhistogram finds the quantiles.
//!
//! As with native histograms everything happens in the totals that the scrape has just read. They are turned into the
//! counts of the open slice, to which those of the closed slices of the window are added.

use super::opts::SummaryLayout;
use crate::cut::Cut;
use crate::series::{Numbers, SeriesRef};
use hdrhistogram::Histogram as Hdr;
use std::collections::VecDeque;
use std::time::Duration;

/// What scrapes remember of one summary.
#[derive(Debug, Default)]
pub(crate) struct SummaryState {
    /// Totals at the last cut; empty before the first.
    before: Box<[u64]>,
    /// When the open slice began.
    open: Option<Duration>,
    /// Closed slices, oldest first.
    closed: VecDeque<Slice>,
    /// Memory of slices that left the window.
    spare: Vec<Vec<(u32, u64)>>,
}

#[derive(Debug)]
struct Slice {
    start: Duration,
    /// Cells that are not zero.
    counts: Vec<(u32, u64)>,
}

impl SummaryState {
    /// Turns the totals in `cells` into the counts of the window; says whether a slice was cut.
    fn slide(&mut self, cells: &mut [u64], layout: &SummaryLayout, now: Option<Duration>) -> bool {
        for (cell, before) in cells.iter_mut().zip(&self.before) {
            *cell = cell.wrapping_sub(*before);
        }
        let mut cut = false;
        let mut newest = None;
        if let Some(now) = now {
            // A clock that was set back must not stop the window until it has caught up.
            let start = self.open.map_or(now, |open| open.min(now));
            self.open = Some(start);
            let old = |slice: &Slice| {
                now.saturating_sub(slice.start) > layout.window || slice.start > now
            };
            while self.closed.front().is_some_and(old) {
                self.spare.extend(self.closed.pop_front().map(|slice| slice.counts));
            }
            if now - start >= layout.window / layout.slices {
                newest = Some(self.close(cells, start));
                self.open = Some(now);
                cut = true;
            }
        }
        for &(cell, count) in self.closed.iter().flat_map(|slice| &slice.counts) {
            cells[cell as usize] = cells[cell as usize].wrapping_add(count);
        }
        self.closed.extend(newest);
        // As many as a window has, where time only goes forward. Scrapers whose clocks differ could cut more.
        if self.closed.len() > layout.slices as usize {
            self.spare.extend(self.closed.pop_front().map(|slice| slice.counts));
        }
        cut
    }

    /// The open slice, whose counts are in `cells`; the totals become the new zero.
    fn close(&mut self, cells: &[u64], start: Duration) -> Slice {
        if self.before.is_empty() {
            self.before = cells.into();
        } else {
            for (before, cell) in self.before.iter_mut().zip(cells) {
                *before = before.wrapping_add(*cell);
            }
        }
        let mut counts = self.spare.pop().unwrap_or_default();
        counts.clear();
        counts.extend((0..).zip(cells.iter().copied()).filter(|&(_, count)| count != 0));
        Slice { start, counts }
    }
}

/// One part's summaries at one scrape; memory is reused.
#[derive(Debug, Default)]
pub(crate) struct SummaryScrape {
    seen: Vec<u64>,
    totals: Vec<(u64, f64)>,
    /// Series after series.
    quantiles: Vec<f64>,
    hdr: Option<Hdr<u64>>,
}

impl SummaryScrape {
    /// To be called before the cells are read.
    pub(crate) fn begin(&mut self, list: &[SeriesRef]) {
        self.seen.clear();
        self.seen.extend(list.iter().map(|series| cut_of(series).generation()));
    }

    /// To be called when they are.
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
            let cut = cut_of(series);
            let (cells, sum) = cut.totals(words, floats);
            let totals = cut.with(seen, cells, sum, |state, cells, sum| {
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
            // hdrhistogram's ranks are exact up to 2^53 and its sums overflow beyond 2^64: larger counts are scaled down.
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

    /// Count, sum and quantiles of the series at `at`.
    pub(crate) fn value(&self, at: usize) -> (u64, f64, &[f64]) {
        let (count, sum) = self.totals[at];
        let len = self.quantiles.len() / self.totals.len();
        (count, sum, &self.quantiles[at * len..][..len])
    }
}

pub(super) fn total(cells: &[u64]) -> u64 {
    cells.iter().fold(0, |total, cell| total.wrapping_add(*cell))
}

fn cut_of(series: &SeriesRef) -> &Cut<SummaryState> {
    match series.numbers() {
        Numbers::Summary(cut) => cut,
        _ => unreachable!("a summary's series"),
    }
}

fn layout_of(series: &SeriesRef) -> &SummaryLayout {
    match &series.shape.descriptor.summary {
        Some(layout) => layout,
        None => unreachable!("a summary has a layout"),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::SummaryOpts;

    #[test]
    fn slices_are_bounded_however_far_apart_the_clocks_of_scrapers_are() {
        let window = Duration::from_secs(600);
        let layout = SummaryOpts::new().window(window).slices(5).layout().unwrap();
        let mut state = SummaryState::default();
        let mut totals = vec![0; layout.len() as usize];
        let mut most = 0;
        for second in 0..10_000 {
            totals[0] += 1;
            for ahead in [0, 121] {
                let mut cells = totals.clone();
                state.slide(&mut cells, &layout, Some(Duration::from_secs(second + ahead)));
                assert!((1..=second + 1).contains(&cells[0]));
            }
            most = most.max(state.closed.len());
            assert!(state.spare.len() <= 5);
        }
        assert_eq!(most, 5);
        // One clock alone never has one too many: nothing leaves before its time.
        let mut state = SummaryState::default();
        for second in (0..10_000u64).step_by(120) {
            let mut cells = vec![0; layout.len() as usize];
            cells[0] = second + 1;
            let before = second.saturating_sub(600);
            let seen_then = if before == 0 { 0 } else { before + 1 };
            state.slide(&mut cells, &layout, Some(Duration::from_secs(second)));
            assert_eq!(cells[0], second + 1 - seen_then, "second {second}");
        }
    }
}
