//! One simulated engine: continuous batching, step by step.
//!
//! A batch has no clock. Its caller passes the time and is told when the step under way ends: the replay of a trace jumps there
//! (`virtual_time`), a worker sleeps until then (`real_time`).
//!
//! A batch is a queue, a cache and the `sequences` that have a slot. At the end of each step waiting jobs are admitted while slots
//! and blocks last. The queue is first come, first served; a request that does not fit in memory holds up those behind it and
//! cannot starve.

use super::kv_cache::{KvCache, KvStats};
use super::model::EngineConfig;
use super::observer::Observer;
use super::router::Load;
use super::sequences::{Admitted, Sequences};
use std::collections::VecDeque;

/// A request to a batch. `B` is the list of its prompt's block ids: borrowed from a trace, or its own.
#[derive(Debug)]
pub(super) struct Job<B> {
    /// The number by which the observer knows it. Numbers rise from job to job.
    pub(super) request: usize,
    pub(super) blocks: B,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

/// A worker: its queue, its running sequences and its cache.
#[derive(Debug)]
pub(super) struct Batch<B> {
    worker: usize,
    config: EngineConfig,
    cache: KvCache,
    /// True if prompts have block ids that the cache may look up.
    prefix_known: bool,
    /// True while a step is under way.
    busy: bool,
    waiting: VecDeque<Job<B>>,
    /// True if the first in the queue was refused for want of memory and nothing was given back since. Asking again at every
    /// step would cost a lookup of its whole prompt.
    blocked: bool,
    /// The blocks that the waiting requests will need when none of them is shared.
    waiting_blocks: u64,
    sequences: Sequences,
}

impl<B: AsRef<[u64]>> Batch<B> {
    /// An idle worker with an empty cache.
    pub(super) fn new(worker: usize, config: EngineConfig, prefix_known: bool) -> Self {
        Batch {
            worker,
            config,
            cache: KvCache::new(config.kv_blocks, config.block_size, config.prefix_caching),
            prefix_known: prefix_known && config.prefix_caching,
            busy: false,
            waiting: VecDeque::new(),
            blocked: false,
            waiting_blocks: 0,
            sequences: Sequences::default(),
        }
    }

    /// Returns the load by which a router chooses, for one job.
    pub(super) fn load(&self, job: &Job<B>) -> Load {
        let cached = self.cache.cached_prefix(job.blocks.as_ref());
        Load {
            held_blocks: self.cache.active_blocks().saturating_add(self.waiting_blocks),
            missing_blocks: self.blocks_wanted(job).saturating_sub(cached),
            requests: (self.running() + self.waiting.len()) as u64,
        }
    }

    /// Puts a job in the queue. True when the worker is idle and wants to be started.
    pub(super) fn enqueue(&mut self, job: Job<B>) -> bool {
        self.waiting_blocks = self.waiting_blocks.saturating_add(self.blocks_wanted(&job));
        self.waiting.push_back(job);
        !self.busy && self.waiting.len() == 1
    }

    /// Takes a job out, wherever it is; false when it has left already. Call [`Self::restart`] afterwards.
    pub(super) fn withdraw(&mut self, request: usize) -> bool {
        if let Ok(place) = self.waiting.binary_search_by_key(&request, |job| job.request) {
            // Only the head of the queue was refused memory.
            self.blocked &= place > 0;
            if let Some(job) = self.waiting.remove(place) {
                self.no_longer_waits(&job);
            }
            return true;
        }
        let Some(lease) = self.sequences.withdraw(request) else { return false };
        self.cache.release(lease);
        self.blocked = false;
        true
    }

    /// Admits jobs between the steps, as one came or left. Returns the end of the step under way, which is a new one if no job has
    /// a part in the old one; `None` when there is no work.
    pub(super) fn restart<O: Observer>(
        &mut self,
        step_end_ns: Option<u64>,
        now_ns: u64,
        observer: &mut O,
    ) -> Option<u64> {
        self.admit(now_ns, observer);
        let goes_on = self.busy && self.sequences.any_in_step();
        if goes_on { step_end_ns } else { self.plan_step(now_ns) }
    }

    /// Takes all jobs out.
    pub(super) fn clear(&mut self) {
        for lease in self.sequences.clear() {
            self.cache.release(lease);
        }
        self.waiting.clear();
        self.waiting_blocks = 0;
        (self.blocked, self.busy) = (false, false);
    }

    /// Number of jobs that wait for a slot or for memory.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Admits what fits and begins a step; says when it ends, or nothing when there is no work.
    pub(super) fn start<O: Observer>(&mut self, now_ns: u64, observer: &mut O) -> Option<u64> {
        if self.admit(now_ns, observer) {
            observer.worker_state(self.worker, &self.stats(), now_ns);
        }
        self.plan_step(now_ns)
    }

    /// Ends the step that is under way, delivers its tokens, and begins the next as [`Self::start`]
    /// does.
    pub(super) fn step<O: Observer>(&mut self, now_ns: u64, observer: &mut O) -> Option<u64> {
        let finished = self.sequences.deliver(now_ns, observer, |lease| self.cache.release(lease));
        self.blocked &= !finished;
        let admitted = self.admit(now_ns, observer);
        if finished || admitted {
            observer.worker_state(self.worker, &self.stats(), now_ns);
        }
        self.plan_step(now_ns)
    }

    /// The figures of the cache and the queue.
    pub(super) fn stats(&self) -> KvStats {
        self.cache.stats(self.running() as u64, self.waiting.len() as u64)
    }

    fn running(&self) -> usize {
        self.sequences.len()
    }

    fn blocks_wanted(&self, job: &Job<B>) -> u64 {
        let ids = job.blocks.as_ref().len();
        self.cache.blocks_wanted(ids, job.input_tokens, job.output_tokens)
    }

    fn no_longer_waits(&mut self, job: &Job<B>) {
        self.waiting_blocks = self.waiting_blocks.saturating_sub(self.blocks_wanted(job));
    }

    /// Gives slots and memory to waiting jobs; true when any got them.
    fn admit<O: Observer>(&mut self, now_ns: u64, observer: &mut O) -> bool {
        let mut admitted = false;
        while !self.blocked && (self.running() as u64) < self.config.slots {
            let Some(job) = self.waiting.pop_front() else { break };
            let blocks = job.blocks.as_ref();
            let Some(admission) = self.cache.admit(blocks, job.input_tokens, job.output_tokens)
            else {
                self.blocked = true;
                self.waiting.push_front(job);
                break;
            };
            self.no_longer_waits(&job);
            let cached_tokens = self.prefix_known.then_some(admission.cached_tokens);
            self.sequences.admit(Admitted {
                request: job.request,
                input_tokens: job.input_tokens,
                cached_tokens: admission.cached_tokens,
                output_tokens: job.output_tokens,
                lease: admission.lease,
            });
            observer.dispatched(job.request, self.worker, cached_tokens, now_ns);
            admitted = true;
        }
        admitted
    }

    /// Plans the next step; returns when it ends.
    fn plan_step(&mut self, now_ns: u64) -> Option<u64> {
        let step_ns = self.sequences.plan_step(&self.config);
        self.busy = step_ns.is_some();
        Some(now_ns.saturating_add(step_ns?))
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

    fn job(request: usize, input_tokens: u64, output_tokens: u64, ids: &[u64]) -> Job<Vec<u64>> {
        Job { request, blocks: ids.to_vec(), input_tokens, output_tokens }
    }

    fn run(config: EngineConfig, rows: &[(u64, u64, &[u64])]) -> Vec<String> {
        let mut batch = Batch::new(0, config, true);
        let mut log = Log::default();
        for (request, (input, output, ids)) in rows.iter().enumerate() {
            assert_eq!(batch.enqueue(job(request, *input, *output, ids)), request == 0);
        }
        let mut next = batch.start(0, &mut log);
        while let Some(now_ns) = next {
            next = batch.step(now_ns, &mut log);
        }
        assert_eq!((batch.running(), batch.waiting.len(), batch.waiting_blocks), (0, 0, 0));
        assert_eq!(batch.cache.active_blocks(), 0);
        log.0
    }

    #[test]
    fn a_job_that_comes_between_steps_gets_its_slot_at_once_and_its_prefill_with_the_next_step() {
        let mut batch = Batch::new(0, CONFIG, true);
        let mut log = Log::default();
        assert!(batch.enqueue(job(0, 20, 9, &[1])));
        let end = batch.start(0, &mut log);
        assert_eq!(end, Some(1_020));
        assert!(!batch.enqueue(job(1, 10, 9, &[])));
        assert_eq!(batch.restart(end, 500, &mut log), end, "the step goes on");
        assert_eq!(log.0.last().unwrap(), "500 dispatched 1 Some(0)");
        let end = batch.step(1_020, &mut log);
        assert_eq!(end, Some(1_020 + 10_000 + 1_000 + 10));
        // Without a job that has a part in it the step ends, and the next one begins.
        assert!(!batch.enqueue(job(2, 30, 9, &[])));
        assert!(batch.withdraw(0) && batch.withdraw(1) && !batch.withdraw(0));
        assert_eq!(batch.restart(end, 2_000, &mut log), Some(2_000 + 1_000 + 30));
        assert!(batch.withdraw(2));
        assert_eq!(batch.restart(Some(3_030), 2_500, &mut log), None);
        assert_eq!((batch.running(), batch.waiting_blocks, batch.cache.active_blocks()), (0, 0, 0));
        assert!(batch.enqueue(job(3, 1, 1, &[])), "idle again");
    }

    #[test]
    fn a_step_goes_on_without_the_jobs_that_left() {
        let mut batch = Batch::new(0, CONFIG, true);
        let mut log = Log::default();
        for request in 0..3 {
            batch.enqueue(job(request, 10, 1, &[]));
        }
        let end = batch.start(0, &mut log).unwrap();
        assert!(batch.withdraw(0) && batch.withdraw(2));
        log.0.clear();
        assert_eq!(batch.step(end, &mut log), None);
        assert_eq!(log.0, ["2020 tokens 1 1", "2020 finished 1", "2020 state 0 0 0"]);
        batch.enqueue(job(4, 10, 1, &[]));
        batch.start(end, &mut log);
        batch.clear();
        assert_eq!((batch.running(), batch.waiting(), batch.cache.active_blocks()), (0, 0, 0));
    }

    #[test]
    fn a_request_alone_takes_prefill_and_then_a_token_time_each() {
        assert_eq!(
            run(CONFIG, &[(20, 3, &[1])]),
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
            run(CONFIG, &[(10, 1, &[]), (10, 3, &[]), (30, 2, &[])]),
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
        let log = run(CONFIG, &[(10, 3, &[]), (250, 1, &[])]);
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
        let log = run(config, &[(40, 1, &[1, 2, 3]), (40, 1, &[1, 2, 4]), (40, 0, &[1, 2, 3])]);
        assert_eq!(log[2], "1040 tokens 0 1");
        assert_eq!(log[4], "1040 dispatched 1 Some(32)");
        assert_eq!(log[6], "2048 tokens 1 1");
        assert_eq!(log[8], "2048 dispatched 2 Some(40)");
        assert_eq!(log[10..], ["3048 finished 2", "3048 state 0 0 0"]);
    }

    #[test]
    fn full_batches_and_oversize_requests_still_make_progress() {
        let config = EngineConfig { batched_tokens: 1, kv_blocks: 1, slots: 9, ..CONFIG };
        let rows: [(u64, u64, &[u64]); 4] = [(100, 2, &[]), (1, 40, &[]), (0, 0, &[]), (0, 1, &[])];
        let log = run(config, &rows);
        let count = |text: &str| log.iter().filter(|line| line.contains(text)).count();
        assert_eq!(count("finished"), 4);
        assert_eq!(rows.map(|(_, output, _)| output).iter().sum::<u64>(), 43);
        assert_eq!(count("tokens"), 43);
    }
}
