//! One simulated engine in real time, on tokio, for `serve` and `worker`.
//!
//! ```text
//! submit -> queue (first come, first served) -> slot + blocks -> prefill -> tokens, one by one
//! ```
//!
//! The engine is the batch that replays use, driven by the wall clock (`keeper`).
//!
//! Dropping a [`TokenStream`] gives its slot and blocks back before the drop returns, and the next
//! in the queue is admitted in the same breath.

use super::keeper::Shared;
use super::kv_cache::KvStats;
use super::model::{ConfigError, EngineConfig};
use super::token_stream::{TokenStream, Words};
use std::sync::Arc;
use tokio::sync::watch;

/// The most tokens of one answer: what a client asks for is a number it types.
pub(crate) const OUTPUT_TOKENS_MAX: u64 = 1_000_000;

/// A request to the engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct GenerateRequest {
    /// The block hashes of the prompt, see [`super::prompt::Prompt`].
    pub(crate) blocks: Vec<u64>,
    /// The length of the prompt.
    pub(crate) input_tokens: u64,
    /// The number of tokens to generate, cut at [`OUTPUT_TOKENS_MAX`]; the engine always reaches it.
    pub(crate) max_tokens: u64,
    /// The seed of the answer: the same seed gets the same words.
    pub(crate) seed: u64,
    /// Tokens of the answer that are there already, from another engine; the words go on after them.
    pub(crate) answered_tokens: u64,
}

/// A handle on an engine; clones share it. It ends when the last handle and stream are gone.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Starts an engine. Must be called within a tokio runtime with time enabled.
    pub(crate) fn start(config: EngineConfig) -> Result<Engine, ConfigError> {
        config.check()?;
        Ok(Engine { shared: Shared::start(config) })
    }

    /// Puts a request in the queue; whatever goes wrong, the stream says.
    pub(crate) fn submit(&self, request: GenerateRequest) -> TokenStream {
        let GenerateRequest { blocks, input_tokens, max_tokens, seed, answered_tokens } = request;
        let output_tokens = max_tokens.min(OUTPUT_TOKENS_MAX);
        let (id, ticket) = self.shared.submit(blocks, input_tokens, output_tokens);
        let words = Words { seed, first: answered_tokens };
        TokenStream::new(Arc::clone(&self.shared), ticket, id, words)
    }

    /// The engine's figures now.
    pub(crate) fn stats(&self) -> KvStats {
        self.shared.stats()
    }

    /// Follows the engine's figures: each change marks the receiver changed.
    pub(crate) fn watch(&self) -> watch::Receiver<KvStats> {
        self.shared.watch()
    }

    /// Lets the engine die as a crashed process would: every stream ends with
    /// `EngineError::Dead`, and so does every later one.
    pub(crate) fn kill(&self) {
        self.shared.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::super::token_stream::{Chunk, EngineError, FinishReason};
    use super::*;
    use std::time::Duration;
    use tokio::time::{Instant, sleep, timeout};

    const SOON: Duration = Duration::from_secs(10);

    fn fast() -> EngineConfig {
        EngineConfig {
            prefill_base_ns: 2_000_000,
            prefill_token_ns: 0,
            token_time_ns: 2_000_000,
            kv_blocks: 64,
            ..EngineConfig::default()
        }
    }

    fn request(input_tokens: u64, max_tokens: u64) -> GenerateRequest {
        GenerateRequest { input_tokens, max_tokens, ..GenerateRequest::default() }
    }

    async fn read(stream: &mut TokenStream) -> Vec<Result<Chunk, EngineError>> {
        let mut chunks = Vec::new();
        while let Some(chunk) = timeout(SOON, stream.next()).await.expect("the stream hangs") {
            chunks.push(chunk);
        }
        chunks
    }

    fn tokens(chunks: &[Result<Chunk, EngineError>]) -> u64 {
        chunks.iter().flatten().map(|chunk| chunk.tokens).sum()
    }

    #[tokio::test]
    async fn an_answer_has_its_tokens_its_text_and_one_end() {
        let engine = Engine::start(fast()).expect("valid settings");
        let begin = Instant::now();
        let chunks = read(&mut engine.submit(request(10, 20))).await;
        assert!(begin.elapsed() >= Duration::from_millis(2 + 19 * 2));
        assert_eq!(tokens(&chunks), 20);
        let chunks: Vec<_> = chunks.into_iter().map(|chunk| chunk.expect("alive")).collect();
        let text: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
        assert_eq!(text.split(' ').count(), 20);
        assert_eq!(chunks[0].cached_tokens, Some(0));
        assert!(chunks[1..].iter().all(|chunk| chunk.cached_tokens.is_none()));
        let (last, others) = chunks.split_last().expect("there are chunks");
        assert_eq!(last.finish_reason, Some(FinishReason::Length));
        assert!(others.iter().all(|chunk| chunk.finish_reason.is_none()));
        let stats = engine.stats();
        assert_eq!((stats.running, stats.waiting, stats.active_blocks), (0, 0, 0));
    }

    #[tokio::test]
    async fn no_tokens_asked_for_is_one_empty_chunk() {
        let engine = Engine::start(fast()).expect("valid settings");
        let chunks = read(&mut engine.submit(request(10, 0))).await;
        let chunk = chunks[0].as_ref().expect("alive");
        assert_eq!((chunks.len(), chunk.tokens), (1, 0));
        assert_eq!(chunk.finish_reason, Some(FinishReason::Length));
    }

    #[tokio::test]
    async fn the_same_prompt_is_cached_and_answered_the_same() {
        let engine = Engine::start(fast()).expect("valid settings");
        let prompt = super::super::prompt::Prompt::of_text(&"tell me a story ".repeat(20), 16);
        let ask = || GenerateRequest {
            blocks: prompt.blocks.clone(),
            input_tokens: prompt.input_tokens,
            max_tokens: 3,
            ..GenerateRequest::default()
        };
        let (first, second) =
            (read(&mut engine.submit(ask())).await, read(&mut engine.submit(ask())).await);
        let text = |chunks: &[Result<Chunk, EngineError>]| -> String {
            chunks.iter().flatten().map(|chunk| chunk.text.as_str()).collect()
        };
        assert_eq!(text(&first), text(&second));
        assert_eq!(first[0].as_ref().expect("alive").cached_tokens, Some(0));
        assert_eq!(second[0].as_ref().expect("alive").cached_tokens, Some(80));
        assert_eq!(engine.stats().hit_rate, 0.5);
    }

    #[tokio::test]
    async fn ten_clients_on_three_slots_show_three_running_and_seven_waiting() {
        let engine = Engine::start(fast()).expect("valid settings");
        let clients: Vec<_> = (0..10)
            .map(|_| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    loop {
                        read(&mut engine.submit(request(10, 20))).await;
                    }
                })
            })
            .collect();
        let (mut exact, mut samples) = (0, 0);
        sleep(Duration::from_millis(10)).await;
        let end = Instant::now() + Duration::from_millis(400);
        while Instant::now() < end {
            let stats = engine.stats();
            assert_eq!(stats.running, 3);
            assert!(stats.waiting <= 7);
            exact += u64::from(stats.waiting == 7);
            samples += 1;
            sleep(Duration::from_millis(1)).await;
        }
        assert!(exact * 100 >= samples * 90, "{exact} of {samples}");
        clients.iter().for_each(|client| client.abort());
        for client in clients {
            assert!(client.await.is_err_and(|error| error.is_cancelled()));
        }
        let stats = engine.stats();
        assert_eq!((stats.running, stats.waiting, stats.active_blocks), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_dropped_stream_frees_its_slot_at_once_and_the_next_moves_up() {
        let engine = Engine::start(EngineConfig { slots: 1, ..fast() }).expect("valid settings");
        let mut changes = engine.watch();
        let mut first = engine.submit(request(160, 1_000));
        let waiting = engine.submit(request(10, 5));
        let mut third = engine.submit(request(10, 5));
        assert!(first.next().await.is_some_and(|chunk| chunk.is_ok()));
        assert_eq!((engine.stats().running, engine.stats().waiting), (1, 2));
        assert!(changes.has_changed().expect("the engine lives"));
        changes.mark_unchanged();
        drop(waiting);
        assert_eq!(changes.borrow_and_update().waiting, 1);
        drop(first);
        let stats = engine.stats();
        assert_eq!((stats.running, stats.waiting, stats.active_blocks), (1, 0, 1));
        assert_eq!(tokens(&read(&mut third).await), 5);
    }

    #[tokio::test]
    async fn a_reader_who_stops_reading_keeps_no_slot_and_loses_no_token() {
        let engine = Engine::start(EngineConfig { slots: 1, ..fast() }).expect("valid settings");
        let mut stalled = engine.submit(request(10, 10));
        assert_eq!(tokens(&read(&mut engine.submit(request(10, 3))).await), 3);
        assert_eq!(engine.stats().running, 0);
        let chunks = read(&mut stalled).await;
        assert_eq!((chunks.len(), tokens(&chunks)), (1, 10));
    }

    #[tokio::test]
    async fn memory_limits_like_slots_do() {
        let engine = Engine::start(fast()).expect("valid settings");
        let mut large = engine.submit(request(16 * 64, 1_000)); // larger than the cache: alone
        let mut small = engine.submit(request(10, 2));
        assert_eq!((engine.stats().running, engine.stats().waiting), (1, 1));
        assert_eq!(engine.stats().usage, 1.0);
        assert!(large.next().await.is_some_and(|chunk| chunk.is_ok()));
        drop(large);
        assert_eq!(tokens(&read(&mut small).await), 2);
    }

    #[tokio::test]
    async fn a_killed_engine_ends_every_stream_with_an_error() {
        let engine = Engine::start(EngineConfig { slots: 1, ..fast() }).expect("valid settings");
        let mut running = engine.submit(request(10, 1_000));
        let mut waiting = engine.submit(request(10, 1_000));
        assert!(running.next().await.is_some_and(|chunk| chunk.is_ok()));
        let killer = engine.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(5)).await;
            killer.kill();
        });
        assert_eq!(read(&mut waiting).await, [Err(EngineError::Dead)]);
        assert_eq!(read(&mut running).await.last(), Some(&Err(EngineError::Dead)));
        assert_eq!(read(&mut engine.submit(request(1, 1))).await, [Err(EngineError::Dead)]);
        let stats = engine.stats();
        assert_eq!((stats.running, stats.waiting, stats.active_blocks), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_full_queue_refuses() {
        for waiting in [0, 2, super::super::model::WAITING_MAX] {
            let config = EngineConfig { slots: 1, waiting, ..fast() };
            let engine = Engine::start(config).expect("valid settings");
            let streams: Vec<_> = (0..=waiting).map(|_| engine.submit(request(1, 1_000))).collect();
            assert!(streams.iter().all(|stream| stream.refusal().is_none()));
            let mut refused = engine.submit(request(1, 1));
            assert_eq!(refused.refusal(), Some(EngineError::Overloaded), "known at once");
            assert_eq!(read(&mut refused).await, [Err(EngineError::Overloaded)]);
            drop(refused);
            let stats = engine.stats();
            assert_eq!((stats.running, stats.waiting), (1, waiting));
        }
    }

    #[tokio::test]
    async fn an_answer_that_was_begun_elsewhere_goes_on_where_it_was() {
        let text = |chunks: Vec<Result<Chunk, EngineError>>| -> String {
            chunks.into_iter().map(|chunk| chunk.expect("alive").text).collect()
        };
        let engine = Engine::start(fast()).expect("valid settings");
        let ask = |max_tokens, answered_tokens| GenerateRequest {
            max_tokens,
            seed: 7,
            answered_tokens,
            ..GenerateRequest::default()
        };
        let whole = text(read(&mut engine.submit(ask(12, 0))).await);
        let begin = text(read(&mut engine.submit(ask(5, 0))).await);
        let rest = text(read(&mut engine.submit(ask(7, 5))).await);
        assert_eq!(whole, begin + &rest);
        assert_eq!(whole.split(' ').count(), 12);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn requests_that_come_and_go_at_random_leave_nothing_behind() {
        let config = EngineConfig { slots: 5, kv_blocks: 24, ..fast() };
        let engine = Engine::start(EngineConfig { token_time_ns: 100_000, ..config });
        let engine = engine.expect("valid settings");
        let clients: Vec<_> = (0..16u64)
            .map(|client| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    for round in 0..20u64 {
                        let (kind, length) = ((client * 7 + round) % 4, 1 + (client + round) % 9);
                        let mut stream = engine.submit(GenerateRequest {
                            blocks: (0..length).map(|block| kind * 100 + block).collect(),
                            input_tokens: length * 16,
                            max_tokens: 20 * kind,
                            ..GenerateRequest::default()
                        });
                        match round % 3 {
                            0 => drop(stream),
                            1 => drop(stream.next().await),
                            _ => assert_eq!(tokens(&read(&mut stream).await), 20 * kind),
                        }
                        let stats = engine.stats();
                        assert!(stats.running <= 5 && stats.active_blocks <= 24);
                    }
                })
            })
            .collect();
        for client in clients {
            timeout(SOON, client).await.expect("a client hangs").expect("no panic");
        }
        let stats = engine.stats();
        assert_eq!((stats.running, stats.waiting, stats.active_blocks), (0, 0, 0));
        assert!(stats.hit_rate > 0.0);
    }
}
