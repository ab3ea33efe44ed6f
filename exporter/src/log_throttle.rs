//! A throttle for log lines about one source: scrapes are not authenticated, and with a line for each scrape every
//! client of the port could fill a disk.

use std::time::{Duration, Instant};

/// The shortest time between two log lines about failures of one source. Failures in between are counted, and the next
/// line has their number: a state that lasts is worth a line a minute, also when it flaps.
pub const LOG_PERIOD: Duration = Duration::from_secs(60);

/// The log lines about one source.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    /// The instant of the last line about a failure.
    last: Option<Instant>,
    /// Number of failures since then.
    left_out: u64,
    /// The last line was about a failure, so the recovery is worth another one.
    failing: bool,
}

impl LogThrottle {
    /// Notes a failure. Returns the number of failures left out before it if it is to be logged.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<u64> {
        let due = |last| now.saturating_duration_since(last) >= LOG_PERIOD;
        if !self.last.is_none_or(due) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        self.failing = true;
        Some(std::mem::take(&mut self.left_out))
    }

    /// Notes a success. Returns the number of failures left out if the recovery is to be logged.
    pub(crate) fn succeeded(&mut self) -> Option<u64> {
        // At most one line for each line about a failure.
        std::mem::take(&mut self.failing).then(|| std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_writes_one_line_a_period_with_the_number_left_out() {
        let mut throttle = LogThrottle::default();
        let start = Instant::now();
        let lines = |throttle: &mut LogThrottle, after: Duration| {
            let lines = (0..900).filter_map(|_| throttle.failed(start + after));
            lines.collect::<Vec<u64>>()
        };
        assert_eq!(lines(&mut throttle, Duration::ZERO), [0]);
        assert_eq!(lines(&mut throttle, LOG_PERIOD / 2), [0; 0]);
        assert_eq!(lines(&mut throttle, LOG_PERIOD), [899 + 900]);
        assert_eq!(throttle.succeeded(), Some(899));
        assert_eq!(throttle.succeeded(), None);
    }

    #[test]
    fn a_source_that_flaps_writes_no_more_than_one_that_fails() {
        let mut throttle = LogThrottle::default();
        let now = Instant::now();
        let lines: usize = (0..900)
            .map(|_| {
                usize::from(throttle.failed(now).is_some())
                    + usize::from(throttle.succeeded().is_some())
            })
            .sum();
        assert_eq!(lines, 2, "one for the failure, one for the recovery");
        assert_eq!(throttle.failed(now + LOG_PERIOD), Some(899));
    }
}
