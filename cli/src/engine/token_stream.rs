//! The answer of the real-time engine to one request, as it comes.
//!
//! A stream needs nobody to feed it: once the engine has said when the first token is due, the
//! clock tells how many tokens there are, and the stream sleeps until the next. A reader who comes
//! late gets what has gathered, in chunks of bounded size.
//!
//! The engine speaks to a stream through a [`Ticket`], twice at most: when the sequence starts, and
//! when something goes wrong.

use super::model::append_text;
use super::real_time::Shared;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

/// The most tokens of one chunk: a reader who comes back after an hour gets some kilobytes at a
/// time, not one text of megabytes.
const CHUNK_TOKENS_MAX: u64 = 1_024;

/// What "never" means to a timer, which cannot hold any instant: ten years.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Some tokens of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// How many; 0 only when the request asked for none.
    pub(crate) tokens: u64,
    /// Their text.
    pub(crate) text: String,
    /// How much of the prompt was cached: on the first chunk, when prefix caching is on.
    pub(crate) cached_tokens: Option<u64>,
    /// Why the answer ends: on the last chunk.
    pub(crate) finish_reason: Option<FinishReason>,
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishReason {
    /// It has all the tokens that were asked for.
    Length,
}

/// Why there is no (more) answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    /// The engine died, before or during this request.
    #[error("the engine is dead")]
    Dead,
    /// Too many requests wait already.
    #[error("as many requests wait as the engine lets wait")]
    Overloaded,
}

/// Which words an answer consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// What it is about.
    pub(super) seed: u64,
    /// Where it begins: after so many.
    pub(super) first: u64,
}

/// The answer to one request. Dropping it cancels the request.
#[derive(Debug)]
pub(crate) struct TokenStream {
    shared: Arc<Shared>,
    ticket: Arc<Ticket>,
    id: u64,
    words: Words,
    output_tokens: u64,
    delivered_tokens: u64,
    ended: bool,
    /// One timer for all tokens, set anew for each.
    sleep: Pin<Box<Sleep>>,
}

impl TokenStream {
    /// The stream of request `id`, which tells the same story for the same words.
    pub(super) fn new(
        shared: Arc<Shared>,
        ticket: Arc<Ticket>,
        id: u64,
        words: Words,
        output_tokens: u64,
    ) -> TokenStream {
        TokenStream {
            shared,
            ticket,
            id,
            words,
            output_tokens,
            delivered_tokens: 0,
            ended: false,
            sleep: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Why the engine did not even take the request, known from the start.
    pub(crate) fn refusal(&self) -> Option<EngineError> {
        self.ticket.error.get().copied()
    }

    /// The next tokens, when they are due; `None` after the last chunk or an error.
    ///
    /// Cancel safe: a call that is dropped half-way loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Chunk, EngineError>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(error) = self.ticket.error.get() {
                self.ended = true;
                return Some(Err(*error));
            }
            // The ticket keeps a notification until somebody waits for it, so none is missed
            // between the look above and the wait below.
            let Some(start) = self.ticket.start.get() else {
                self.ticket.changed.notified().await;
                continue;
            };
            let due = start.token_due(self.delivered_tokens);
            let now = Instant::now();
            if now < due {
                if self.sleep.deadline() != due {
                    self.sleep.as_mut().reset(due);
                }
                tokio::select! {
                    biased;
                    () = self.ticket.changed.notified() => {}
                    () = self.sleep.as_mut() => {}
                }
                continue;
            }
            let ready_tokens = start.tokens_due(now).min(self.output_tokens);
            let cached_tokens = start.cached_tokens.filter(|_| self.delivered_tokens == 0);
            return Some(Ok(self.chunk(ready_tokens, cached_tokens)));
        }
    }

    /// Hands out tokens up to `ready_tokens`, or as many as a chunk may have.
    fn chunk(&mut self, ready_tokens: u64, cached_tokens: Option<u64>) -> Chunk {
        let first = self.delivered_tokens;
        let tokens = (ready_tokens - first).min(CHUNK_TOKENS_MAX);
        let mut text = String::new();
        append_text(&mut text, self.words.seed, self.words.first.saturating_add(first), tokens);
        self.delivered_tokens += tokens;
        self.ended = self.delivered_tokens == self.output_tokens;
        if self.ended {
            self.shared.leave(self.id);
        }
        let finish_reason = self.ended.then_some(FinishReason::Length);
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

/// What the engine tells a stream.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    start: OnceLock<Start>,
    error: OnceLock<EngineError>,
    changed: Notify,
}

impl Ticket {
    /// The sequence was admitted.
    pub(super) fn start(&self, start: Start) {
        // A request leaves the queue once, so there is no second start.
        let _ = self.start.set(start);
        self.changed.notify_one();
    }

    /// There will be no (more) tokens.
    pub(super) fn fail(&self, error: EngineError) {
        // The first error stays.
        let _ = self.error.set(error);
        self.changed.notify_one();
    }
}

/// The future of an admitted sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    first_token: Instant,
    token_time: Duration,
    cached_tokens: Option<u64>,
}

impl Start {
    /// A sequence whose prefill begins `now`.
    pub(super) fn new(
        now: Instant,
        prefill_ns: u64,
        token_time_ns: u64,
        cached_tokens: Option<u64>,
    ) -> Start {
        Start {
            first_token: after(now, Duration::from_nanos(prefill_ns)),
            token_time: Duration::from_nanos(token_time_ns),
            cached_tokens,
        }
    }

    /// When a token is due; the first is number 0.
    pub(super) fn token_due(&self, token: u64) -> Instant {
        // Answers are bounded far below 32 bits.
        let tokens = u32::try_from(token).unwrap_or(u32::MAX);
        after(self.first_token, self.token_time.saturating_mul(tokens))
    }

    /// How many tokens there are, once the first is due.
    fn tokens_due(&self, now: Instant) -> u64 {
        let elapsed_ns = now.saturating_duration_since(self.first_token).as_nanos();
        let further = elapsed_ns / self.token_time.as_nanos().max(1);
        u64::try_from(further).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// An instant after another, or "never" where the sum cannot be told.
fn after(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration.min(NEVER)).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::super::model::{EngineConfig, TIME_NS_MAX};
    use super::super::real_time::{Engine, GenerateRequest};
    use super::*;
    use tokio::time::timeout;

    #[test]
    fn what_is_due_and_when_agree() {
        let now = Instant::now();
        let start = Start::new(now, 5_000, 300, None);
        for token in 0..1_000 {
            let due = start.token_due(token);
            assert_eq!(start.tokens_due(due), token + 1);
            assert_eq!(start.tokens_due(due + Duration::from_nanos(299)), token + 1);
        }
        assert_eq!(start.token_due(2), now + Duration::from_nanos(5_600));
    }

    #[test]
    fn far_futures_do_not_overflow() {
        let start = Start::new(Instant::now(), u64::MAX, u64::MAX, None);
        assert!(start.token_due(u64::MAX) > Instant::now() + NEVER);
    }

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
