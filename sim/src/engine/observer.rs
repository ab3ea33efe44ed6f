//! The events of an engine's requests, as a trait: replays count them, and streams deliver them.

use super::kv_cache::KvStats;

/// Receives the events of requests, in order of time. `request` is the number that
/// the caller gave it, in a replay its place in the trace.
///
/// A request is seen as `arrived`, `routed`, `dispatched`, `tokens` (as often as it has output
/// tokens), `finished`: each exactly once but for the tokens. Methods that an observer does not
/// care about cost nothing, as the simulation is compiled for its type.
pub(crate) trait Observer {
    /// A request reached the frontend.
    fn arrived(&mut self, request: usize, now_ns: u64) {
        let _ = (request, now_ns);
    }

    /// A request was sent to a worker, where it may wait; at the moment it arrived.
    fn routed(&mut self, request: usize, worker: usize, now_ns: u64) {
        let _ = (request, worker, now_ns);
    }

    /// A request got a slot and memory, and its prefill begins. `cached_tokens` is the part of its prompt that need not be
    /// computed; `None` when the trace has no block ids or prefix caching is off.
    fn dispatched(
        &mut self,
        request: usize,
        worker: usize,
        cached_tokens: Option<u64>,
        now_ns: u64,
    ) {
        let _ = (request, worker, cached_tokens, now_ns);
    }

    /// A request got tokens; the first time ends its prefill.
    fn tokens(&mut self, request: usize, tokens: u64, now_ns: u64) {
        let _ = (request, tokens, now_ns);
    }

    /// A request got its last token, or none if it wanted none.
    fn finished(&mut self, request: usize, now_ns: u64) {
        let _ = (request, now_ns);
    }

    /// A worker's figures after admissions and departures: once a step in which there were any.
    fn worker_state(&mut self, worker: usize, stats: &KvStats, now_ns: u64) {
        let _ = (worker, stats, now_ns);
    }
}
