//! A fleet of workers replaying a trace in virtual time, as fast as the machine allows.
//!
//! ```text
//! next event = the earlier of { next arrival, earliest end of a step }   arrivals first on a tie
//! arrival    -> router -> queue of a worker -> a step begins if the worker is idle
//! end        -> tokens, finished sequences, admissions -> the worker's next step begins
//! ```
//!
//! A worker has at most one event in the heap, so the heap stays as small as the fleet, and all
//! events reach the observer in order of time. Nothing is random and nothing reads a clock: the
//! same trace and settings give the same calls, in the same order, on every machine.
//!
//! A caller that wants real time sleeps until [`Simulation::next_event_ns`] (divided by its speed)
//! before each [`Simulation::step`]; one that does not calls [`Simulation::run_to_end`].

use super::batch::{Batch, Job};
use super::model::{ConfigError, EngineConfig, within};
use super::observer::Observer;
use super::router;
use crate::trace::Trace;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The most workers: more than any published deployment, and each arrival asks all of them.
pub(crate) const WORKERS_MAX: u64 = 4_096;

/// A replay under way.
#[derive(Debug)]
pub(crate) struct Simulation<'a> {
    trace: &'a Trace,
    workers: Vec<Batch<&'a [u64]>>,
    /// The time at which the step of each busy worker ends, and the worker.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    next_arrival: usize,
    /// Idle workers that got work from the arrivals of this moment; kept for its memory.
    woken: Vec<usize>,
}

impl<'a> Simulation<'a> {
    /// A fleet of idle workers before a trace. For a trace with block ids, the block size should be
    /// what an id stands for ([`EngineConfig::replay`] sees to it).
    pub(crate) fn new(
        trace: &'a Trace,
        workers: usize,
        config: EngineConfig,
    ) -> Result<Simulation<'a>, ConfigError> {
        config.check()?;
        within("--workers", workers as u64, 1, WORKERS_MAX)?;
        let prefix_known = trace.block_tokens().is_some();
        let workers = (0..workers).map(|worker| Batch::new(worker, config, prefix_known)).collect();
        Ok(Simulation {
            trace,
            workers,
            ends: BinaryHeap::new(),
            next_arrival: 0,
            woken: Vec::new(),
        })
    }

    /// Returns the time of the next event; `None` when all requests are finished.
    pub(crate) fn next_event_ns(&self) -> Option<u64> {
        let end_ns = self.ends.peek().map(|Reverse((end_ns, _))| *end_ns);
        match (self.arrival_ns(), end_ns) {
            (Some(arrival_ns), Some(end_ns)) => Some(arrival_ns.min(end_ns)),
            (arrival_ns, end_ns) => arrival_ns.or(end_ns),
        }
    }

    /// Lets the next thing happen: all arrivals of one moment, or one step of one worker. Says when
    /// the next one is due, like [`Self::next_event_ns`].
    pub(crate) fn step<O: Observer>(&mut self, observer: &mut O) -> Option<u64> {
        match (self.arrival_ns(), self.ends.peek()) {
            (Some(arrival_ns), end)
                if end.is_none_or(|Reverse((end_ns, _))| arrival_ns <= *end_ns) =>
            {
                self.arrive(arrival_ns, observer);
            }
            _ => {
                if let Some(Reverse((now_ns, worker))) = self.ends.pop() {
                    let end_ns = self.workers[worker].step(now_ns, observer);
                    self.ends.extend(end_ns.map(|end_ns| Reverse((end_ns, worker))));
                }
            }
        }
        self.next_event_ns()
    }

    /// Lets everything happen.
    pub(crate) fn run_to_end<O: Observer>(&mut self, observer: &mut O) {
        while self.step(observer).is_some() {}
    }

    fn arrival_ns(&self) -> Option<u64> {
        self.trace.requests().get(self.next_arrival).map(|request| request.arrival_ns)
    }

    /// Queues all requests of this moment before any step begins, so that they share it.
    fn arrive<O: Observer>(&mut self, now_ns: u64, observer: &mut O) {
        while self.arrival_ns() == Some(now_ns) {
            let request = self.next_arrival;
            self.next_arrival += 1;
            observer.arrived(request, now_ns);
            let job = self.job(request);
            let worker = self.route(&job);
            observer.routed(request, worker, now_ns);
            if self.workers[worker].enqueue(job) {
                self.woken.push(worker);
            }
        }
        for worker in self.woken.drain(..) {
            let end_ns = self.workers[worker].start(now_ns, observer);
            self.ends.extend(end_ns.map(|end_ns| Reverse((end_ns, worker))));
        }
    }

    fn job(&self, request: usize) -> Job<&'a [u64]> {
        let trace: &'a Trace = self.trace;
        let row = &trace.requests()[request];
        Job {
            request,
            blocks: trace.blocks(row),
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
        }
    }

    fn route(&self, job: &Job<&'a [u64]>) -> usize {
        match self.workers.len() {
            1 => 0, // spare the lookup of its prefix
            _ => router::choose(self.workers.iter().map(|worker| worker.load(job))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kv_cache::{KV_BLOCKS_MAX, KvStats};
    use crate::trace::samples;

    /// Checks every call against what a request may go through, and folds all into one number.
    #[derive(Default)]
    struct Judge {
        requests: Vec<Seen>,
        now_ns: u64,
        tokens: u64,
        hit_blocks: Vec<u64>,
        running_max: u64,
        digest: u64,
    }

    #[derive(Clone, Copy, Default, PartialEq, Debug)]
    struct Seen {
        phase: u8,
        worker: usize,
        cached_tokens: Option<u64>,
        tokens: u64,
    }

    impl Judge {
        fn moved(&mut self, request: usize, from: u8, to: u8, now_ns: u64) -> &mut Seen {
            assert!(now_ns >= self.now_ns, "time goes forward");
            self.now_ns = now_ns;
            for value in [request as u64, u64::from(to), now_ns] {
                self.digest = (self.digest ^ value).wrapping_mul(0x100_0000_01B3);
            }
            let seen = &mut self.requests[request];
            assert_eq!(seen.phase, from, "request {request}");
            seen.phase = to;
            seen
        }
    }

    impl Observer for Judge {
        fn arrived(&mut self, request: usize, now_ns: u64) {
            self.moved(request, 0, 1, now_ns);
        }
        fn routed(&mut self, request: usize, worker: usize, now_ns: u64) {
            self.moved(request, 1, 2, now_ns).worker = worker;
        }
        fn dispatched(&mut self, request: usize, worker: usize, cached: Option<u64>, now_ns: u64) {
            let seen = self.moved(request, 2, 3, now_ns);
            assert_eq!(seen.worker, worker);
            seen.cached_tokens = cached;
        }
        fn tokens(&mut self, request: usize, tokens: u64, now_ns: u64) {
            self.moved(request, 3, 3, now_ns).tokens += tokens;
            self.tokens += tokens;
        }
        fn finished(&mut self, request: usize, now_ns: u64) {
            self.moved(request, 3, 4, now_ns);
        }
        fn worker_state(&mut self, worker: usize, stats: &KvStats, now_ns: u64) {
            assert!(now_ns >= self.now_ns);
            assert!((0.0..=1.0).contains(&stats.usage) && (0.0..=1.0).contains(&stats.hit_rate));
            self.hit_blocks[worker] = stats.hit_blocks;
            self.running_max = self.running_max.max(stats.running);
        }
    }

    fn judge(trace: &Trace, workers: usize, config: EngineConfig) -> Judge {
        let requests = vec![Seen::default(); trace.requests().len()];
        let mut judge = Judge { requests, hit_blocks: vec![0; workers], ..Judge::default() };
        let mut simulation = Simulation::new(trace, workers, config).expect("valid settings");
        simulation.run_to_end(&mut judge);
        assert_eq!(simulation.next_event_ns(), None);
        for (seen, request) in judge.requests.iter().zip(trace.requests()) {
            assert_eq!((seen.phase, seen.tokens), (4, request.output_tokens));
            assert!(seen.cached_tokens.is_none_or(|cached| cached <= request.input_tokens));
        }
        assert!(judge.running_max <= config.slots);
        judge
    }

    #[test]
    fn the_azure_sample_delivers_every_token_once_and_the_same_way_twice() {
        let Some(trace) = samples::read(samples::AZURE) else { return };
        for workers in [1, 4] {
            let first = judge(&trace, workers, EngineConfig::replay(None));
            assert_eq!(first.tokens, 4_088_665);
            assert!(first.requests.iter().all(|seen| seen.cached_tokens.is_none()));
            let again = judge(&trace, workers, EngineConfig::replay(None));
            assert_eq!(first.digest, again.digest);
        }
    }

    #[test]
    fn the_mooncake_sample_reuses_all_that_can_be_reused_on_one_worker() {
        let Some(trace) = samples::read(samples::MOONCAKE) else { return };
        let block_tokens = trace.block_tokens();
        let bounded = EngineConfig::replay(block_tokens);
        let unbounded = EngineConfig { kv_blocks: KV_BLOCKS_MAX, ..bounded };
        let one = judge(&trace, 1, unbounded);
        assert_eq!(one.hit_blocks[0] * 512, 39_911_936);
        // A cache that forgets, and one that is split, reuse less but still something.
        let small: u64 = judge(&trace, 1, bounded).hit_blocks[0];
        let split: u64 = judge(&trace, 4, unbounded).hit_blocks.iter().sum();
        assert!((1..one.hit_blocks[0]).contains(&small), "{small}");
        assert!((1..=one.hit_blocks[0]).contains(&split), "{split}");
        let off = judge(&trace, 1, EngineConfig { prefix_caching: false, ..unbounded });
        assert!(off.requests.iter().all(|seen| seen.cached_tokens.is_none()));
    }

    #[test]
    fn affinity_beats_chance_and_load_is_spread() {
        let Some(trace) = samples::read(samples::MOONCAKE) else { return };
        let config =
            EngineConfig { kv_blocks: KV_BLOCKS_MAX, ..EngineConfig::replay(trace.block_tokens()) };
        let judge = judge(&trace, 4, config);
        let mut requests = [0; 4];
        for seen in &judge.requests {
            requests[seen.worker] += 1;
        }
        assert!(requests.iter().all(|count| *count > 300), "{requests:?}");
        // Sent anywhere, about a quarter of the prefixes would be met.
        assert!(judge.hit_blocks.iter().sum::<u64>() * 512 > 20_000_000);
    }

    #[test]
    fn stepping_says_when_the_next_event_is_due() {
        let text = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
                    2023-11-16 18:15:46,10,2\n2023-11-16 18:15:47,10,0\n";
        let trace = Trace::read_from("test", text.as_bytes()).expect("valid");
        let config = EngineConfig {
            prefill_base_ns: 1_000,
            prefill_token_ns: 10,
            token_time_ns: 5_000,
            ..EngineConfig::default()
        };
        struct Nobody;
        impl Observer for Nobody {}
        let mut simulation = Simulation::new(&trace, 1, config).expect("valid settings");
        assert_eq!(simulation.next_event_ns(), Some(0));
        let mut due = Vec::new();
        while let Some(at_ns) = simulation.step(&mut Nobody) {
            due.push(at_ns);
        }
        assert_eq!(due, [1_100, 6_100, 1_000_000_000, 1_000_001_100]);
        assert_eq!(simulation.step(&mut Nobody), None);
    }

    #[test]
    fn a_fleet_of_no_workers_is_refused() {
        let trace = Trace::read_from(
            "test",
            &b"{\"timestamp\":0,\"input_length\":1,\"output_length\":1,\"hash_ids\":[]}"[..],
        );
        let trace = trace.expect("valid");
        let error = Simulation::new(&trace, 0, EngineConfig::default()).expect_err("no worker");
        assert_eq!(error.to_string(), "--workers is 0; expected 1 to 4096");
        let config = EngineConfig { slots: 0, ..EngineConfig::default() };
        assert!(Simulation::new(&trace, 1, config).is_err());
    }
}
