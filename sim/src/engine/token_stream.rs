//! The answer of the real-time engine to one request, as it comes.
//!
//! The engine counts tokens up in a [`Ticket`] and wakes the reader; the stream makes their text when it is read. A late reader gets
//! the tokens that have gathered, in chunks of bounded size.

use super::keeper::Shared;
use super::model::append_text;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The most tokens of one chunk: a reader who comes back after an hour gets some kilobytes at a
/// time, not one text of megabytes.
const CHUNK_TOKENS_MAX: u64 = 1_024;

/// Some tokens of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The number of tokens; 0 only when the request asked for none.
    pub(crate) tokens: u64,
    /// Their text.
    pub(crate) text: String,
    /// The number of the prompt's tokens that were cached: on the first chunk, when prefix caching is on.
    pub(crate) cached_tokens: Option<u64>,
    /// The reason why the answer ends: on the last chunk.
    pub(crate) finish_reason: Option<FinishReason>,
}

/// The reason why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishReason {
    /// The answer has all the tokens that were asked for.
    Length,
}

/// The reason why there is no (more) answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    /// The engine died, before or during this request.
    #[error("the engine is dead")]
    Dead,
    /// Too many requests wait already.
    #[error("as many requests wait as the engine lets wait")]
    Overloaded,
}

/// The choice of the words of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// The seed of the words.
    pub(super) seed: u64,
    /// The number of words before the first.
    pub(super) first: u64,
}

/// The answer to one request. Dropping it cancels the request.
#[derive(Debug)]
pub(crate) struct TokenStream {
    shared: Arc<Shared>,
    ticket: Arc<Ticket>,
    id: usize,
    words: Words,
    delivered_tokens: u64,
    ended: bool,
}

impl TokenStream {
    /// The stream of request `id`, which tells the same story for the same words.
    pub(super) fn new(shared: Arc<Shared>, ticket: Arc<Ticket>, id: usize, words: Words) -> Self {
        TokenStream { shared, ticket, id, words, delivered_tokens: 0, ended: false }
    }

    /// Returns the reason why the engine did not even take the request, known from the start.
    pub(crate) fn refusal(&self) -> Option<EngineError> {
        self.ticket.progress().error
    }

    /// The next tokens, when they are there; `None` after the last chunk or an error.
    ///
    /// Cancel safe: a call that is dropped half-way loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Chunk, EngineError>> {
        loop {
            if self.ended {
                return None;
            }
            let progress = *self.ticket.progress();
            if let Some(error) = progress.error {
                self.ended = true;
                return Some(Err(error));
            }
            if progress.tokens > self.delivered_tokens || progress.finished {
                return Some(Ok(self.chunk(progress)));
            }
            // The ticket keeps a notification until it is waited for, so none is missed
            // between the look above and the wait here.
            self.ticket.changed.notified().await;
        }
    }

    /// Hands out the tokens that are there, or as many as a chunk may have.
    fn chunk(&mut self, progress: Progress) -> Chunk {
        let first = self.delivered_tokens;
        let tokens = (progress.tokens - first).min(CHUNK_TOKENS_MAX);
        let mut text = String::new();
        append_text(&mut text, self.words.seed, self.words.first.saturating_add(first), tokens);
        self.delivered_tokens += tokens;
        self.ended = progress.finished && self.delivered_tokens == progress.tokens;
        let finish_reason = self.ended.then_some(FinishReason::Length);
        let cached_tokens = progress.cached_tokens.filter(|_| first == 0);
        Chunk { tokens, text, cached_tokens, finish_reason }
    }
}

impl Drop for TokenStream {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.leave(self.id);
        }
    }
}

/// The messages of the engine to one stream.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    progress: Mutex<Progress>,
    changed: Notify,
}

/// The tokens of an answer so far.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    tokens: u64,
    cached_tokens: Option<u64>,
    finished: bool,
    error: Option<EngineError>,
}

impl Ticket {
    /// Sets how much of the prompt was cached.
    pub(super) fn start(&self, cached_tokens: Option<u64>) {
        self.progress().cached_tokens = cached_tokens;
    }

    /// Adds tokens. [`Self::wake`] tells the reader.
    pub(super) fn add(&self, tokens: u64) {
        self.progress().tokens += tokens;
    }

    /// Marks the answer complete. [`Self::wake`] tells the reader.
    pub(super) fn finish(&self) {
        self.progress().finished = true;
    }

    /// Ends the answer, and wakes the reader. The first error stays.
    pub(super) fn fail(&self, error: EngineError) {
        self.progress().error.get_or_insert(error);
        self.wake();
    }

    /// Wakes the reader.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{EngineConfig, TIME_NS_MAX};
    use super::super::real_time::{Engine, GenerateRequest};
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_late_reader_gets_chunks_of_bounded_size() {
        let config = EngineConfig { prefill_base_ns: 0, token_time_ns: 1, ..Default::default() };
        let engine = Engine::start(config).expect("valid settings");
        let request = GenerateRequest { max_tokens: 2_500, ..Default::default() };
        let mut stream = engine.submit(request);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mut sizes = Vec::new();
        while let Some(chunk) = stream.next().await {
            sizes.push(chunk.expect("alive").tokens);
        }
        assert_eq!(sizes, [1_024, 1_024, 452]);
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_loses_nothing() {
        let config = EngineConfig {
            slots: 1,
            prefill_base_ns: 3_000_000,
            token_time_ns: 3_000_000,
            ..Default::default()
        };
        let engine = Engine::start(config).expect("valid settings");
        let request = GenerateRequest { max_tokens: 5, ..Default::default() };
        let _first = engine.submit(request.clone());
        let mut second = engine.submit(request);
        let mut tokens = 0;
        for _ in 0..10_000 {
            match timeout(Duration::from_micros(500), second.next()).await {
                Ok(Some(chunk)) => tokens += chunk.expect("alive").tokens,
                Ok(None) => break,
                Err(_) => {}
            }
        }
        assert_eq!(tokens, 5);
    }

    #[tokio::test]
    async fn absurd_requests_do_not_panic() {
        let config = EngineConfig { token_time_ns: TIME_NS_MAX, ..Default::default() };
        let config = EngineConfig { prefill_token_ns: 0, prefill_base_ns: 0, ..config };
        let engine = Engine::start(config).expect("valid settings");
        let (input_tokens, max_tokens) = (u64::MAX, u64::MAX);
        let mut stream =
            engine.submit(GenerateRequest { input_tokens, max_tokens, ..Default::default() });
        let chunk = timeout(Duration::from_secs(10), stream.next()).await.expect("no prefill");
        assert_eq!(chunk.expect("an answer").expect("alive").tokens, 1);
        assert!(timeout(Duration::from_millis(5), stream.next()).await.is_err());
    }
}
