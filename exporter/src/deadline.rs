//! The waits of one scrape, computed from its deadline: first for engines, then for
//! callbacks; then the page is written and sent without the parts that are missing.
//!
//! ```text
//! scrape begins                        margin/2   margin/2        the scraper gives up
//! |------------- engines ------------->|-callbacks-->|--page and network-->|
//! ```

use dynamo_metrics_server::ScrapeDeadline;
use std::time::{Duration, Instant};

/// Part of a scraper's timeout that is kept for callbacks, for writing the page, which takes milliseconds, and for
/// the network; the margin that exporters usually keep. Of a timeout below twice this, half is kept.
pub const SCRAPE_MARGIN: Duration = Duration::from_millis(500);
/// The timeout of a scraper that sends none, and the longest that is made use of: Prometheus' default.
pub const SCRAPE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// The ends of the waits of a scrape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScrapeDeadlines {
    /// The end of the wait for engines.
    pub(crate) engines: Instant,
    /// The end of the wait for callbacks and collectors: later, so that an engine that hangs leaves them time.
    pub(crate) callbacks: Instant,
}

impl ScrapeDeadlines {
    pub(crate) fn of(deadline: ScrapeDeadline) -> Self {
        let deadline = deadline.at_most(SCRAPE_TIMEOUT_DEFAULT);
        let engines = deadline.before(SCRAPE_MARGIN);
        Self { engines, callbacks: engines + (deadline.ends() - engines) / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_ends_before_the_scraper_gives_up() {
        let ms = Duration::from_millis;
        for (timeout, engines, callbacks) in [
            (ms(2000), ms(1500), ms(1750)),
            (ms(100), ms(50), ms(75)),
            (Duration::ZERO, ms(0), ms(0)),
            (SCRAPE_TIMEOUT_DEFAULT, ms(9500), ms(9750)),
            (Duration::MAX, ms(9500), ms(9750)),
        ] {
            let deadline = ScrapeDeadline::after(timeout);
            let ends = ScrapeDeadlines::of(deadline);
            assert_eq!(ends.engines - deadline.begins(), engines, "{timeout:?}");
            assert_eq!(ends.callbacks - deadline.begins(), callbacks, "{timeout:?}");
        }
    }
}
