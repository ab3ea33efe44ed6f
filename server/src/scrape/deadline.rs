//! The deadline of a scrape: made once, when its head is read, and handed on to the sources that it waits for.

use std::time::{Duration, Instant};

/// The time that a scraper gives its scrape.
///
/// Each wait on the way has an end that is computed from it ([`before`](Self::before)), so that what is there is sent
/// before the scraper gives up.
///
/// ```
/// use dynamo_metrics_server::ScrapeDeadline;
/// use std::time::Duration;
///
/// let deadline = ScrapeDeadline::after(Duration::from_secs(10));
/// assert_eq!(deadline.ends() - deadline.begins(), Duration::from_secs(10));
/// let margin = Duration::from_millis(500);
/// assert_eq!(deadline.ends() - deadline.before(margin), margin);
/// // Of a short time half is left.
/// let short = ScrapeDeadline::after(Duration::from_millis(100));
/// assert_eq!(short.before(margin) - short.begins(), Duration::from_millis(50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrapeDeadline {
    begins: Instant,
    ends: Instant,
}

impl ScrapeDeadline {
    /// Makes a deadline that ends `timeout` from now, at most a day.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        let begins = Instant::now();
        Self { begins, ends: begins + timeout.min(TIMEOUT_MAX) }
    }

    /// Returns the instant from which the time runs: when the head was read; within a batch, when its collection began.
    #[must_use]
    pub fn begins(&self) -> Instant {
        self.begins
    }

    /// Returns the instant at which the scraper gives up.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// Returns the instant `margin` before the end, or half-way when less than twice the margin is left in all.
    #[must_use]
    pub fn before(&self, margin: Duration) -> Instant {
        self.ends - margin.min((self.ends - self.begins) / 2)
    }

    /// Returns the deadline with at most this time from its beginning.
    ///
    /// ```
    /// use dynamo_metrics_server::ScrapeDeadline;
    /// use std::time::Duration;
    ///
    /// let deadline = ScrapeDeadline::after(Duration::from_secs(60)).at_most(Duration::from_secs(10));
    /// assert_eq!(deadline.ends() - deadline.begins(), Duration::from_secs(10));
    /// ```
    #[must_use]
    pub fn at_most(self, timeout: Duration) -> Self {
        Self { ends: self.ends.min(self.begins + timeout.min(TIMEOUT_MAX)), ..self }
    }

    /// The deadline with at least this time from its beginning.
    pub(crate) fn at_least(self, timeout: Duration) -> Self {
        Self { ends: self.ends.max(self.begins + timeout), ..self }
    }

    /// The end of the wait for a page, such that its answer arrives before the scraper gives up: the last 200 ms, but
    /// never more than a tenth, are kept for the way back. That is less than the margin of an exposition that answers
    /// with what it has (half a second, as exporters do), whose page would else be overtaken by our 503.
    pub(crate) fn answer_by(&self) -> Instant {
        self.ends - ((self.ends - self.begins) / 10).min(WAY_BACK)
    }

    /// The deadline of a collection that begins now, for a scrape or several whose latest end is `ends`.
    pub(crate) fn of_collection(ends: Instant) -> Self {
        let begins = Instant::now();
        Self { begins, ends: ends.max(begins) }
    }
}

const WAY_BACK: Duration = Duration::from_millis(200);
/// Beyond any use, and far from the overflow of an `Instant`.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_left_out_of_the_scrapers_time() {
        for (timeout_ms, within_ms) in [(10, 9), (1000, 900), (10_000, 9800), (60_000, 59_800)] {
            let deadline = ScrapeDeadline::after(Duration::from_millis(timeout_ms));
            assert_eq!(deadline.answer_by() - deadline.begins(), Duration::from_millis(within_ms));
        }
    }

    #[test]
    fn no_timeout_overflows() {
        let deadline = ScrapeDeadline::after(Duration::MAX);
        assert_eq!(deadline.at_most(Duration::MAX), deadline);
        assert!(deadline.before(Duration::MAX) > deadline.begins());
    }

    #[test]
    fn a_collection_that_begins_after_its_deadline_has_no_time() {
        let late = ScrapeDeadline::of_collection(Instant::now());
        assert_eq!((late.ends(), late.before(WAY_BACK)), (late.begins(), late.begins()));
    }
}
