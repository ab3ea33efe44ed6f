//! How long a scrape may wait, by what its scraper says: first for engines, then for callbacks, then the page is
//! printed and sent whatever is missing in it.
//!
//! ```text
//! scrape begins                        margin/2   margin/2        the scraper gives up
//! |------------- engines ------------->|-callbacks-->|--page and network-->|
//! ```

use std::time::{Duration, Instant};

/// What is left of a scraper's patience when engines have had theirs: for our own page, which takes milliseconds
/// unless the machine is busy, and the way to the scraper. What exporters usually keep; of a patience below twice
/// this, half is left.
pub const SCRAPE_MARGIN: Duration = Duration::from_millis(500);
/// The patience of a scraper that does not say, and the most that is made use of: Prometheus' default.
pub const SCRAPE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// The instants of one scrape, counted from when this was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until when engines are waited for.
    pub(crate) engines: Instant,
    /// Until when callbacks are waited for: later, so that an engine that hangs leaves them time.
    pub(crate) callbacks: Instant,
}

impl Patience {
    pub(crate) fn new(scrape_timeout: Option<Duration>) -> Self {
        let now = Instant::now();
        let timeout = scrape_timeout.unwrap_or(SCRAPE_TIMEOUT_DEFAULT).min(SCRAPE_TIMEOUT_DEFAULT);
        let margin = SCRAPE_MARGIN.min(timeout / 2);
        Self { engines: now + (timeout - margin), callbacks: now + (timeout - margin / 2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_ends_before_the_scraper_gives_up() {
        let ms = Duration::from_millis;
        for (timeout, engines, callbacks) in [
            (Some(ms(2000)), ms(1500), ms(1750)),
            (Some(ms(100)), ms(50), ms(75)),
            (Some(Duration::ZERO), ms(0), ms(0)),
            (None, ms(9500), ms(9750)),
            (Some(Duration::MAX), ms(9500), ms(9750)),
        ] {
            let before = Instant::now();
            let patience = Patience::new(timeout);
            let lead = patience.engines - before;
            assert!(lead >= engines && lead < engines + ms(5000), "{timeout:?}: {lead:?}");
            assert_eq!(patience.callbacks - patience.engines, callbacks - engines, "{timeout:?}");
        }
    }
}
