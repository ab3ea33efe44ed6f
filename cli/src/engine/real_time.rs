//! One simulated engine in real time, on tokio, for `serve` and `worker`.
//!
//! ```text
//! submit -> queue (first come, first served) -> slot + blocks -> prefill -> tokens, one by one
//! ```
//!
//! When a sequence is admitted its whole future is known: when its first token is due, when each
//! other is, when it ends. So the engine does not tick: a [`TokenStream`] tells the time by itself,
//! and the engine is only entered when a sequence comes or goes. A reader who is slow holds nobody
//! up, as one keeper task per engine gives slots back when they are due, read or not.
//!
//! Dropping a [`TokenStream`] gives its slot and blocks back before the drop returns, and the next
//! in the queue is admitted in the same breath.
//!
//! Tokio's clock ticks in milliseconds: a token time below that gives chunks of several tokens at
//! the right rate.
//!
//! Cost: a lock and a few tree operations a request, a timer a token, nothing while idle.

use super::kv_cache::{KvCache, KvStats, Lease};
use super::model::{ConfigError, EngineConfig};
use super::token_stream::{EngineError, Start, Ticket, TokenStream, Words};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// The most tokens of one answer: what a client asks for is a number it types.
pub(crate) const OUTPUT_TOKENS_MAX: u64 = 1_000_000;

/// A request to the engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct GenerateRequest {
    /// The block hashes of the prompt, see [`super::prompt::Prompt`].
    pub(crate) blocks: Vec<u64>,
    /// The length of the prompt.
    pub(crate) input_tokens: u64,
    /// How many tokens to generate, cut at [`OUTPUT_TOKENS_MAX`]; the engine always reaches it.
    pub(crate) max_tokens: u64,
    /// What the answer is about: the same seed gets the same words.
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
        let cache = KvCache::new(config.kv_blocks, config.block_size, config.prefix_caching);
        let stats = cache.stats(0, 0);
        let state = State {
            cache,
            waiting: BTreeMap::new(),
            blocked: false,
            running: BTreeMap::new(),
            ends: BTreeSet::new(),
            next_id: 0,
            dead: false,
        };
        let keeper_wanted = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            config,
            state: Mutex::new(state),
            stats: watch::Sender::new(stats),
            keeper_wanted: Arc::clone(&keeper_wanted),
        });
        tokio::spawn(keep(Arc::downgrade(&shared), keeper_wanted));
        Ok(Engine { shared })
    }

    /// Puts a request in the queue; whatever goes wrong, the stream says. Must be called within a
    /// tokio runtime, whose timer the stream uses.
    pub(crate) fn submit(&self, request: GenerateRequest) -> TokenStream {
        let ticket = Arc::new(Ticket::default());
        let output_tokens = request.max_tokens.min(OUTPUT_TOKENS_MAX);
        let words = Words { seed: request.seed, first: request.answered_tokens };
        let mut state = self.shared.lock();
        let id = state.next_id;
        state.next_id += 1;
        if state.dead {
            ticket.fail(EngineError::Dead);
        } else {
            let waiting = Waiting { request, output_tokens, ticket: Arc::clone(&ticket) };
            state.waiting.insert(id, waiting);
            self.shared.settle(&mut state);
            // Only now: a free slot takes it even where nobody may wait.
            if state.waiting.len() as u64 > self.shared.config.waiting && state.withdraw(id) {
                ticket.fail(EngineError::Overloaded);
                self.shared.settle(&mut state);
            }
        }
        drop(state);
        TokenStream::new(Arc::clone(&self.shared), ticket, id, words, output_tokens)
    }

    /// The engine's figures now.
    pub(crate) fn stats(&self) -> KvStats {
        *self.shared.stats.borrow()
    }

    /// Follows the engine's figures: each change marks the receiver changed.
    pub(crate) fn watch(&self) -> watch::Receiver<KvStats> {
        self.shared.stats.subscribe()
    }

    /// Lets the engine die as a crashed process would: every stream ends with
    /// [`EngineError::Dead`], and so does every later one.
    pub(crate) fn kill(&self) {
        let mut state = self.shared.lock();
        state.dead = true;
        for waiting in std::mem::take(&mut state.waiting).into_values() {
            waiting.ticket.fail(EngineError::Dead);
        }
        for running in std::mem::take(&mut state.running).into_values() {
            running.ticket.fail(EngineError::Dead);
            state.cache.release(running.lease);
        }
        state.ends.clear();
        state.blocked = false;
        self.shared.settle(&mut state);
    }
}

/// What handles, streams and the keeper share.
#[derive(Debug)]
pub(super) struct Shared {
    config: EngineConfig,
    state: Mutex<State>,
    /// The figures after the last change; readers do not take the lock.
    stats: watch::Sender<KvStats>,
    keeper_wanted: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    cache: KvCache,
    /// By number, which is the order of arrival; a tree, so that one in the middle can leave.
    waiting: BTreeMap<u64, Waiting>,
    /// Whether the first of `waiting` was refused for want of memory, and neither it nor any lease
    /// went since. Asking again at every submission would cost a lookup of its whole prompt.
    blocked: bool,
    running: BTreeMap<u64, Running>,
    /// When each running sequence ends.
    ends: BTreeSet<(Instant, u64)>,
    next_id: u64,
    dead: bool,
}

#[derive(Debug)]
struct Waiting {
    request: GenerateRequest,
    output_tokens: u64,
    ticket: Arc<Ticket>,
}

#[derive(Debug)]
struct Running {
    end: Instant,
    lease: Lease,
    ticket: Arc<Ticket>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not take the engine down: every change of state is complete
        // before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request out, wherever it is; nothing happens when it has left already.
    pub(super) fn leave(&self, id: u64) {
        let mut state = self.lock();
        if state.withdraw(id) || state.stop(id) {
            self.settle(&mut state);
        }
    }

    /// Ends every sequence that is due, read or not; says when the next one is.
    fn end_due(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let mut any = false;
        while let Some(&(end, id)) = state.ends.first() {
            if end > now {
                break;
            }
            state.ends.pop_first();
            any |= state.stop(id);
        }
        if any {
            self.settle(&mut state);
        }
        state.ends.first().map(|(end, _)| *end)
    }

    /// After any change: admits what fits and publishes the figures.
    fn settle(&self, state: &mut State) {
        let now = Instant::now();
        let mut admitted = false;
        while !state.blocked && (state.running.len() as u64) < self.config.slots {
            let Some(head) = state.waiting.first_entry() else { break };
            let Waiting { request, output_tokens, .. } = head.get();
            let (input_tokens, output_tokens) = (request.input_tokens, *output_tokens);
            let admission = state.cache.admit(&request.blocks, input_tokens, output_tokens);
            let Some(admission) = admission else {
                state.blocked = true;
                break;
            };
            let (id, Waiting { ticket, .. }) = head.remove_entry();

            let start = Start::new(
                now,
                self.config.prefill_ns(input_tokens - admission.cached_tokens),
                self.config.token_time_ns,
                self.config.prefix_caching.then_some(admission.cached_tokens),
            );
            let end = start.token_due(output_tokens.saturating_sub(1));
            ticket.start(start);
            state.ends.insert((end, id));
            state.running.insert(id, Running { end, lease: admission.lease, ticket });
            admitted = true;
        }
        let (running, waiting) = (state.running.len() as u64, state.waiting.len() as u64);
        self.stats.send_replace(state.cache.stats(running, waiting));
        if admitted {
            self.keeper_wanted.notify_one();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper_wanted.notify_one();
    }
}

impl State {
    /// Takes a waiting request out; false when it does not wait.
    fn withdraw(&mut self, id: u64) -> bool {
        let waited = self.waiting.remove(&id).is_some();
        self.blocked &= !waited;
        waited
    }

    /// Takes a running sequence out; false when it runs no more.
    fn stop(&mut self, id: u64) -> bool {
        let Some(running) = self.running.remove(&id) else { return false };
        self.ends.remove(&(running.end, id));
        self.cache.release(running.lease);
        self.blocked = false;
        true
    }
}

/// The keeper: gives back what sequences hold when they are due to end, so that a reader who
/// stopped reading cannot keep a slot. It holds no engine alive and ends with it.
async fn keep(shared: Weak<Shared>, wanted: Arc<Notify>) {
    loop {
        let next = match shared.upgrade() {
            Some(shared) => shared.end_due(Instant::now()),
            None => return,
        };
        match next {
            Some(end) => tokio::select! {
                () = sleep_until(end) => {}
                () = wanted.notified() => {}
            },
            None => wanted.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::token_stream::{Chunk, FinishReason};
    use super::*;
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

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

    #[tokio::test]
    async fn the_keeper_ends_with_the_engine() {
        let engine = Engine::start(fast()).expect("valid settings");
        let wanted = Arc::downgrade(&engine.shared.keeper_wanted);
        drop(engine.submit(request(1, 1_000)));
        drop(engine);
        timeout(SOON, async {
            while wanted.upgrade().is_some() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the keeper goes on without an engine");
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
