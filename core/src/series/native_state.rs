//! The baseline of a native histogram that may be reset: its totals at the last reset.

use std::time::Duration;

/// The totals and the time of a native histogram's last reset.
#[derive(Debug, Default)]
pub(crate) struct NativeState {
    /// Totals at the last reset; empty before the first.
    cells: Box<[u64]>,
    sum: f64,
    start: Option<Duration>,
    /// The time from which the interval to the next reset counts.
    since: Option<Duration>,
}

impl NativeState {
    /// Returns when counting began anew; `None` before the first reset.
    pub(crate) fn start(&self) -> Option<Duration> {
        self.start
    }

    /// Returns whether the last reset, or the first scrape that knew the time, is at least `min_reset` ago.
    pub(crate) fn is_due(&mut self, now: Duration, min_reset: Duration) -> bool {
        // A clock that was set back must not delay resets until it has caught up.
        let since = self.since.map_or(now, |since| since.min(now));
        self.since = Some(since);
        now - since >= min_reset
    }

    /// Subtracts the totals of the last reset; returns the rest of the sum.
    pub(crate) fn subtract_from(&self, cells: &mut [u64], sum: f64, signed: bool) -> f64 {
        for (cell, before) in cells.iter_mut().zip(&self.cells) {
            *cell = cell.wrapping_sub(*before);
        }
        let left = sum - self.sum;
        // The sum of positive values is not negative, but the rounding of a large total could make it so.
        if signed { left } else { left.max(0.0) }
    }

    /// Makes the totals the new baseline. `cells` are counts since the last reset, `sum` is the whole total.
    pub(crate) fn reset(&mut self, cells: &[u64], sum: f64, now: Duration) {
        if self.cells.is_empty() {
            self.cells = cells.into();
        } else {
            for (before, cell) in self.cells.iter_mut().zip(cells) {
                *before = before.wrapping_add(*cell);
            }
        }
        self.sum = sum;
        self.start = Some(now);
        self.since = Some(now);
    }
}
