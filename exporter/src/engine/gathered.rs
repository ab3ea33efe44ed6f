//! The engines of one scrape: all fetches begin at once, and the scrape waits for all together, until one deadline.

use super::fetcher::Ticket;
use super::registered::Engine;
use std::sync::Arc;
use std::time::Instant;

/// The texts of an exporter's engines for one scrape. Keep it for the next scrape, which reuses the memory.
#[derive(Debug, Default)]
pub struct GatheredEngines {
    waiting: Vec<(Arc<Engine>, Ticket)>,
    texts: Vec<(Arc<Engine>, Arc<Vec<u8>>)>,
}

impl GatheredEngines {
    /// Returns each engine that has a text, in the order of registration, and the text as it was read.
    pub fn iter(&self) -> impl Iterator<Item = (&Engine, &[u8])> + Clone {
        self.texts.iter().map(|(engine, text)| (&**engine, text.as_slice()))
    }

    /// Returns whether no engine has a text.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Drops the texts, so that engines can be read into their memory again.
    pub fn clear(&mut self) {
        self.texts.clear();
    }

    /// Starts a fetch of each engine.
    pub(super) fn ask(&mut self, engines: &[Arc<Engine>]) {
        self.clear();
        self.waiting.extend(engines.iter().map(|engine| (Arc::clone(engine), engine.want())));
    }

    /// Waits for the fetches until `deadline` and takes the texts.
    pub(super) fn wait(&mut self, deadline: Instant) {
        for (engine, ticket) in self.waiting.drain(..) {
            if let Some(text) = engine.collect(&ticket, deadline) {
                self.texts.push((engine, text));
            }
        }
    }
}
