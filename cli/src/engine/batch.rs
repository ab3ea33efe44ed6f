//! One worker in virtual time: continuous batching, step by step.
//!
//! ```text
//! step:  every decoding sequence gets one token
//!      + as much prefill as the rest of the token budget allows, oldest sequence first
//! time:  decode_step(sequences) + base of each prefill that begins + tokens of prefill
//! end:   tokens are delivered; prefills that are complete deliver their first token;
//!        finished sequences leave; waiting ones are admitted while slots and blocks last
//! ```
//!
//! So a long prompt delays the tokens of everyone in the batch, and is cut in chunks so that it
//! does not delay them for long: what vLLM calls chunked prefill. The queue is first come, first
//! served; a request that does not fit in memory holds up those behind it and cannot starve.
//!
//! Cost: a token is a decrement and one call of the observer; a step allocates nothing.

use super::kv_cache::{KvCache, KvStats, Lease};
use super::model::EngineConfig;
use super::router::Load;
use super::virtual_time::Observer;
use crate::trace::{Trace, TraceRequest};
use std::collections::VecDeque;

/// A worker: its queue, its running sequences and its cache.
#[derive(Debug)]
pub(crate) struct Batch {
    worker: usize,
    config: EngineConfig,
    cache: KvCache,
    /// Whether prompts have block ids that the cache may look up.
    prefix_known: bool,
    /// Whether a step is under way.
    busy: bool,
    waiting: VecDeque<usize>,
    /// Whether the first in the queue was refused for want of memory and nothing was given back
    /// since. Asking again at every step would cost a lookup of its whole prompt.
    blocked: bool,
    /// What the waiting requests will need when nothing of them is shared.
    waiting_blocks: u64,
    prefilling: VecDeque<Prefill>,
    /// How many at the front of `prefilling` are complete when this step ends.
    completing: usize,
    decoding: Vec<Decoding>,
    /// The memory of `decoding`, place by place. Apart, so that the loop over tokens reads 16 bytes
    /// a sequence.
    leases: Vec<Lease>,
}

#[derive(Debug)]
struct Prefill {
    request: usize,
    left_tokens: u64,
    begun: bool,
    lease: Lease,
}

#[derive(Debug)]
struct Decoding {
    request: usize,
    left_tokens: u64,
}

impl Batch {
    /// An idle worker with an empty cache.
    pub(crate) fn new(worker: usize, config: EngineConfig, prefix_known: bool) -> Batch {
        Batch {
            worker,
            config,
            cache: KvCache::new(config.kv_blocks, config.block_size, config.prefix_caching),
            prefix_known: prefix_known && config.prefix_caching,
            busy: false,
            waiting: VecDeque::new(),
            blocked: false,
            waiting_blocks: 0,
            prefilling: VecDeque::new(),
            completing: 0,
            decoding: Vec::new(),
            leases: Vec::new(),
        }
    }

    /// What a router wants to know before it sends a request here.
    pub(crate) fn load(&self, trace: &Trace, request: usize) -> Load {
        let cached = self.cache.cached_prefix(trace.blocks(&trace.requests()[request]));
        Load {
            held_blocks: self.cache.active_blocks().saturating_add(self.waiting_blocks),
            missing_blocks: self.blocks_wanted(trace, request).saturating_sub(cached),
            requests: (self.running() + self.waiting.len()) as u64,
        }
    }

    /// Puts a request in the queue. True when the worker is idle and wants to be started.
    pub(crate) fn enqueue(&mut self, trace: &Trace, request: usize) -> bool {
        self.waiting_blocks =
            self.waiting_blocks.saturating_add(self.blocks_wanted(trace, request));
        self.waiting.push_back(request);
        !self.busy && self.waiting.len() == 1
    }

    /// Admits what fits and begins a step; says when it ends, or nothing when there is no work.
    pub(crate) fn start<O: Observer>(
        &mut self,
        trace: &Trace,
        now_ns: u64,
        observer: &mut O,
    ) -> Option<u64> {
        if self.admit(trace, now_ns, observer) {
            observer.worker_state(self.worker, &self.stats(), now_ns);
        }
        self.plan_step(now_ns)
    }

    /// Ends the step that is under way, delivers its tokens, and begins the next as [`Self::start`]
    /// does.
    pub(crate) fn step<O: Observer>(
        &mut self,
        trace: &Trace,
        now_ns: u64,
        observer: &mut O,
    ) -> Option<u64> {
        let finished = self.deliver(trace, now_ns, observer);
        let admitted = self.admit(trace, now_ns, observer);
        if finished || admitted {
            observer.worker_state(self.worker, &self.stats(), now_ns);
        }
        self.plan_step(now_ns)
    }

    fn stats(&self) -> KvStats {
        self.cache.stats(self.running() as u64, self.waiting.len() as u64)
    }

    fn running(&self) -> usize {
        self.prefilling.len() + self.decoding.len()
    }

    fn blocks_wanted(&self, trace: &Trace, request: usize) -> u64 {
        let request = &trace.requests()[request];
        let ids = trace.blocks(request).len();
        self.cache.blocks_wanted(ids, request.input_tokens, request.output_tokens)
    }

    /// Gives slots and memory to waiting requests; true when any got them.
    fn admit<O: Observer>(&mut self, trace: &Trace, now_ns: u64, observer: &mut O) -> bool {
        let mut admitted = false;
        while !self.blocked && (self.running() as u64) < self.config.slots {
            let Some(&request) = self.waiting.front() else { break };
            let &TraceRequest { input_tokens, output_tokens, .. } = &trace.requests()[request];
            let blocks = trace.blocks(&trace.requests()[request]);
            let Some(admission) = self.cache.admit(blocks, input_tokens, output_tokens) else {
                self.blocked = true;
                break;
            };
            self.waiting.pop_front();
            self.waiting_blocks =
                self.waiting_blocks.saturating_sub(self.blocks_wanted(trace, request));
            let cached_tokens = self.prefix_known.then_some(admission.cached_tokens);
            self.prefilling.push_back(Prefill {
                request,
                left_tokens: input_tokens - admission.cached_tokens,
                begun: false,
                lease: admission.lease,
            });
            observer.dispatched(request, self.worker, cached_tokens, now_ns);
            admitted = true;
        }
        admitted
    }

    /// Decides what the next step works on, and how long it takes.
    fn plan_step(&mut self, now_ns: u64) -> Option<u64> {
        self.busy = self.running() > 0;
        if !self.busy {
            return None;
        }
        let decoding = self.decoding.len() as u64;
        // At least one token, or a batch full of decoding sequences would keep a prefill out.
        let mut budget = self.config.batched_tokens.saturating_sub(decoding).max(1);
        let (mut begun, mut tokens) = (0, 0);
        self.completing = 0;
        for prefill in &mut self.prefilling {
            let chunk = prefill.left_tokens.min(budget);
            if chunk == 0 && prefill.left_tokens > 0 {
                break;
            }
            begun += u64::from(!std::mem::replace(&mut prefill.begun, true));
            prefill.left_tokens -= chunk;
            budget -= chunk;
            tokens += chunk;
            if prefill.left_tokens > 0 {
                break;
            }
            self.completing += 1;
        }
        let base_ns = self.config.prefill_base_ns.saturating_mul(begun);
        let prefill_ns =
            base_ns.saturating_add(self.config.prefill_token_ns.saturating_mul(tokens));
        let step_ns = self.config.decode_step_ns(decoding).saturating_add(prefill_ns);
        Some(now_ns.saturating_add(step_ns))
    }

    /// Hands out the tokens of a step; true when a sequence finished.
    fn deliver<O: Observer>(&mut self, trace: &Trace, now_ns: u64, observer: &mut O) -> bool {
        let mut any_finished = false;
        for sequence in &mut self.decoding {
            observer.tokens(sequence.request, 1, now_ns);
            sequence.left_tokens -= 1;
            any_finished |= sequence.left_tokens == 0;
        }
        if any_finished {
            let mut place = 0;
            while place < self.decoding.len() {
                if self.decoding[place].left_tokens > 0 {
                    place += 1;
                    continue;
                }
                // The order within a batch means nothing, so the last may take the place.
                let sequence = self.decoding.swap_remove(place);
                let lease = self.leases.swap_remove(place);
                self.release(lease);
                observer.finished(sequence.request, now_ns);
            }
        }
        for _ in 0..std::mem::take(&mut self.completing) {
            let Some(Prefill { request, lease, .. }) = self.prefilling.pop_front() else { break };
            let output_tokens = trace.requests()[request].output_tokens;
            if output_tokens > 0 {
                observer.tokens(request, 1, now_ns);
            }
            if output_tokens > 1 {
                self.decoding.push(Decoding { request, left_tokens: output_tokens - 1 });
                self.leases.push(lease);
            } else {
                self.release(lease);
                observer.finished(request, now_ns);
                any_finished = true;
            }
        }
        any_finished
    }

    fn release(&mut self, lease: Lease) {
        self.cache.release(lease);
        self.blocked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that happened, as text.
    #[derive(Default)]
    struct Log(Vec<String>);

    impl Observer for Log {
        fn dispatched(&mut self, request: usize, _: usize, cached: Option<u64>, now_ns: u64) {
            self.0.push(format!("{now_ns} dispatched {request} {cached:?}"));
        }
        fn tokens(&mut self, request: usize, tokens: u64, now_ns: u64) {
            self.0.push(format!("{now_ns} tokens {request} {tokens}"));
        }
        fn finished(&mut self, request: usize, now_ns: u64) {
            self.0.push(format!("{now_ns} finished {request}"));
        }
        fn worker_state(&mut self, _: usize, stats: &KvStats, now_ns: u64) {
            let KvStats { running, waiting, active_blocks, .. } = stats;
            self.0.push(format!("{now_ns} state {running} {waiting} {active_blocks}"));
        }
    }

    const CONFIG: EngineConfig = EngineConfig {
        slots: 2,
        batched_tokens: 100,
        prefill_base_ns: 1_000,
        prefill_token_ns: 1,
        token_time_ns: 10_000,
        batch_slowdown_ppm: 100_000,
        kv_blocks: 64,
        block_size: 16,
        prefix_caching: true,
        waiting: 0,
    };

    fn run(config: EngineConfig, rows: &[(u64, u64, &str)]) -> Vec<String> {
        let text: String = rows
            .iter()
            .map(|(input, output, ids)| {
                format!(
                    r#"{{"timestamp":0,"input_length":{input},"output_length":{output},"hash_ids":[{ids}]}}"#
                ) + "\n"
            })
            .collect();
        let trace = Trace::read_from("test", text.as_bytes()).expect("valid");
        let mut batch = Batch::new(0, config, true);
        let mut log = Log::default();
        for request in 0..rows.len() {
            assert_eq!(batch.enqueue(&trace, request), request == 0);
        }
        let mut next = batch.start(&trace, 0, &mut log);
        while let Some(now_ns) = next {
            next = batch.step(&trace, now_ns, &mut log);
        }
        assert_eq!((batch.running(), batch.waiting.len(), batch.waiting_blocks), (0, 0, 0));
        assert_eq!(batch.cache.active_blocks(), 0);
        log.0
    }

    #[test]
    fn a_request_alone_takes_prefill_and_then_a_token_time_each() {
        assert_eq!(
            run(CONFIG, &[(20, 3, "1")]),
            [
                "0 dispatched 0 Some(0)",
                "0 state 1 0 2",
                "1020 tokens 0 1",
                "11020 tokens 0 1",
                "21020 tokens 0 1",
                "21020 finished 0",
                "21020 state 0 0 0",
            ]
        );
    }

    #[test]
    fn a_waiting_request_is_admitted_when_one_leaves_and_slows_the_other_down() {
        assert_eq!(
            run(CONFIG, &[(10, 1, ""), (10, 3, ""), (30, 2, "")]),
            [
                "0 dispatched 0 Some(0)",
                "0 dispatched 1 Some(0)",
                "0 state 2 1 2",
                "2020 tokens 0 1",
                "2020 finished 0",
                "2020 tokens 1 1",
                "2020 dispatched 2 Some(0)",
                "2020 state 2 0 3",
                "13050 tokens 1 1", // decode 10,000 + base 1,000 + 30 of prefill
                "13050 tokens 2 1",
                "24050 tokens 1 1", // two sequences: a tenth slower
                "24050 tokens 2 1",
                "24050 finished 1",
                "24050 finished 2",
                "24050 state 0 0 0",
            ]
        );
    }

    #[test]
    fn a_long_prompt_is_prefilled_in_chunks() {
        let log = run(CONFIG, &[(10, 3, ""), (250, 1, "")]);
        let tokens: Vec<_> = log.iter().filter(|line| line.contains("tokens")).collect();
        // 10 + 90 in the first step, 99 and 61 beside a decode in the next two.
        assert_eq!(
            tokens,
            ["2100 tokens 0 1", "12199 tokens 0 1", "22260 tokens 0 1", "22260 tokens 1 1"]
        );
    }

    #[test]
    fn a_cached_prefix_is_not_computed_again() {
        let config = EngineConfig { slots: 1, ..CONFIG };
        let log = run(config, &[(40, 1, "1,2,3"), (40, 1, "1,2,4"), (40, 0, "1,2,3")]);
        assert_eq!(log[2], "1040 tokens 0 1");
        assert_eq!(log[4], "1040 dispatched 1 Some(32)");
        assert_eq!(log[6], "2048 tokens 1 1");
        assert_eq!(log[8], "2048 dispatched 2 Some(40)");
        assert_eq!(log[10..], ["3048 finished 2", "3048 state 0 0 0"]);
    }

    #[test]
    fn full_batches_and_oversize_requests_still_make_progress() {
        let config = EngineConfig { batched_tokens: 1, kv_blocks: 1, slots: 9, ..CONFIG };
        let rows = [(100, 2, ""), (1, 40, ""), (0, 0, ""), (0, 1, "")];
        let log = run(config, &rows);
        let count = |text: &str| log.iter().filter(|line| line.contains(text)).count();
        assert_eq!(count("finished"), 4);
        assert_eq!(rows.map(|(_, output, _)| output).iter().sum::<u64>(), 43);
        assert_eq!(count("tokens"), 43);
    }
}
