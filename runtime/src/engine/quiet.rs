//! When a source's failures are worth a line in the log: scrapes are not authenticated, and a line a scrape would let
//! whoever reaches the port fill a disk.

use std::time::{Duration, Instant};

/// Failures of one source between two lines in the log are only counted, unless the source was well meanwhile and so
/// long has passed: a state that lasts is worth a line a minute, also when it flaps.
pub const ENGINE_LOG_PERIOD: Duration = Duration::from_secs(60);

/// What of one source was logged.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// When the last line on a failure was written.
    last: Option<Instant>,
    /// Failures since then.
    left_out: u64,
    /// The last line was on a failure, so that it is worth another when that is over.
    failing: bool,
}

impl Quiet {
    /// A failure: whether it is to be logged, and how many were left out before it.
    pub(super) fn failed(&mut self, now: Instant) -> Option<u64> {
        let due = |last| now.saturating_duration_since(last) >= ENGINE_LOG_PERIOD;
        if !self.last.is_none_or(due) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        self.failing = true;
        Some(std::mem::take(&mut self.left_out))
    }

    /// It is well: whether that is to be logged, and how many failures were left out.
    pub(super) fn well(&mut self) -> Option<u64> {
        // At most one for each line on a failure.
        std::mem::take(&mut self.failing).then(|| std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_scrapes_writes_one_line_a_period_and_says_what_it_left_out() {
        let mut quiet = Quiet::default();
        let start = Instant::now();
        let lines = |quiet: &mut Quiet, after: Duration| {
            let lines = (0..900).filter_map(|_| quiet.failed(start + after));
            lines.collect::<Vec<u64>>()
        };
        assert_eq!(lines(&mut quiet, Duration::ZERO), [0]);
        assert_eq!(lines(&mut quiet, ENGINE_LOG_PERIOD / 2), [0; 0]);
        assert_eq!(lines(&mut quiet, ENGINE_LOG_PERIOD), [899 + 900]);
        assert_eq!(quiet.well(), Some(899));
        assert_eq!(quiet.well(), None);
    }

    #[test]
    fn a_source_that_flaps_writes_no_more_than_one_that_fails() {
        let mut quiet = Quiet::default();
        let now = Instant::now();
        let lines: usize = (0..900)
            .map(|_| usize::from(quiet.failed(now).is_some()) + usize::from(quiet.well().is_some()))
            .sum();
        assert_eq!(lines, 2, "that it failed, and that it was well again");
        assert_eq!(quiet.failed(now + ENGINE_LOG_PERIOD), Some(899));
    }
}
