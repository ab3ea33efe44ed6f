//! All engines of one scrape: asked at once, waited for together, until one instant.

use super::fetcher::Ticket;
use super::registered::Engine;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is left of a scraper's patience for our own page and the way to it: less than exporters usually keep (half
/// a second), since a page of ours takes milliseconds.
pub const SCRAPE_MARGIN: Duration = Duration::from_millis(250);
/// The patience of a scraper that does not say: Prometheus' default.
pub const SCRAPE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// What the engines of a runtime said for one scrape. Keep it for the next: it holds the memory.
#[derive(Debug, Default)]
pub struct GatheredEngines {
    waiting: Vec<(Arc<Engine>, Ticket)>,
    texts: Vec<(Arc<Engine>, Arc<Vec<u8>>)>,
}

impl GatheredEngines {
    /// Each engine that has something to say, in the order of registration, and its text as it came.
    pub fn iter(&self) -> impl Iterator<Item = (&Engine, &[u8])> + Clone {
        self.texts.iter().map(|(engine, text)| (&**engine, text.as_slice()))
    }

    /// Whether no engine has anything to say.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Forgets the texts, so that their memory can be read into again.
    pub fn clear(&mut self) {
        self.texts.clear();
    }

    /// Asks all, then waits for each.
    pub(super) fn ask(&mut self, engines: &[Arc<Engine>]) {
        self.clear();
        self.waiting.extend(engines.iter().map(|engine| (Arc::clone(engine), engine.want())));
    }

    pub(super) fn wait(&mut self, scrape_timeout: Option<Duration>) {
        let deadline = scrape_deadline(scrape_timeout);
        for (engine, ticket) in self.waiting.drain(..) {
            if let Some(text) = engine.collect(&ticket, deadline) {
                self.texts.push((engine, text));
            }
        }
    }
}

/// When a page must be begun for a scraper that gives up after `scrape_timeout`, counted from now.
pub(crate) fn scrape_deadline(scrape_timeout: Option<Duration>) -> Instant {
    // The header may say a century; nobody waits longer than the default.
    let timeout = scrape_timeout.unwrap_or(SCRAPE_TIMEOUT_DEFAULT).min(SCRAPE_TIMEOUT_DEFAULT);
    Instant::now() + (timeout - SCRAPE_MARGIN.min(timeout / 2))
}
