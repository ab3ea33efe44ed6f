//! The sliding window of a summary: closed slices, and the totals at which the open slice began.

use crate::layout::SummaryLayout;
use std::collections::VecDeque;
use std::time::Duration;

/// The window of one summary.
#[derive(Debug, Default)]
pub(crate) struct SummaryState {
    /// Totals when the open slice began; empty in the first slice.
    before: Box<[u64]>,
    /// The time at which the open slice began.
    open: Option<Duration>,
    /// Closed slices, oldest first.
    closed: VecDeque<Slice>,
    /// Buffers of slices that left the window.
    spare: Vec<Vec<(u32, u64)>>,
}

#[derive(Debug)]
struct Slice {
    start: Duration,
    /// Cells that are not zero.
    counts: Vec<(u32, u64)>,
}

impl SummaryState {
    /// Turns the totals in `cells` into the counts of the window; returns whether a slice was closed.
    pub(crate) fn slide(
        &mut self,
        cells: &mut [u64],
        layout: &SummaryLayout,
        now: Option<Duration>,
    ) -> bool {
        for (cell, before) in cells.iter_mut().zip(&self.before) {
            *cell = cell.wrapping_sub(*before);
        }
        let mut closed = false;
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
                closed = true;
            }
        }
        for &(cell, count) in self.closed.iter().flat_map(|slice| &slice.counts) {
            cells[cell as usize] = cells[cell as usize].wrapping_add(count);
        }
        self.closed.extend(newest);
        // A clock that only goes forward never closes more slices than a window has; scrapers with different clocks could.
        if self.closed.len() > layout.slices as usize {
            self.spare.extend(self.closed.pop_front().map(|slice| slice.counts));
        }
        closed
    }

    /// Closes the open slice, whose counts are in `cells`; the next one begins at the totals now.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::SummaryOpts;

    #[test]
    fn the_number_of_slices_is_bounded_with_clocks_that_differ() {
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
        // With one clock, no slice leaves the window before its time.
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
