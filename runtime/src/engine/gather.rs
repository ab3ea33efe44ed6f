//! All engines of one scrape: asked at once, waited for together, until one instant.

use super::fetcher::Ticket;
use super::registered::Engine;
use crate::patience::Patience;
use std::sync::Arc;
use std::time::Duration;

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
        let deadline = Patience::new(scrape_timeout).engines;
        for (engine, ticket) in self.waiting.drain(..) {
            if let Some(text) = engine.collect(&ticket, deadline) {
                self.texts.push((engine, text));
            }
        }
    }
}
