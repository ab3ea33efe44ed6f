//! Nanoseconds of one operation, on one thread or on many that share the metric.
//!
//! ```text
//! for each round
//!     for each case                        interleaved: a disturbance hits all cases alike
//!         all threads meet, then loop for one slice of time, each counting its own operations
//! ns/op of the round = min(threads, cores) * time / operations of all threads
//! ```
//!
//! With at most as many threads as cores that is what one operation takes on its thread; with more, it is the
//! time of a core that one operation takes, waiting for each other included.
//!
//! **What keeps placement out of it.** Where the page offsets of a handle and of what it writes coincide, a load is
//! taken to depend on a store in flight, and an operation can take several times as long. So every round prepares
//! every case anew, at another place in the heap (and `groups` makes the metrics themselves anew several times):
//! the median is over placements, too.
//!
//! **What keeps the loop honest.** The state of the operation is passed through a black box once a batch, and a
//! compiler fence stands behind every operation: nothing is hoisted out of the loop or merged across its turns,
//! as it could not be in a program that does something between two recordings, and not one instruction is added.

use crate::values::{LEN, Table, random};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, compiler_fence};
use std::time::{Duration, Instant};

/// A loop that does an operation so many times. It stays on the thread that made it.
pub type Loop = Box<dyn FnMut(u64)>;

type Prepare = Box<dyn Fn(usize) -> Loop + Send + Sync>;

/// A batch is at least so long, so that reading the clock behind it costs nothing.
const BATCH: Duration = Duration::from_micros(20);
/// Nothing is so fast that it needs more; a loop that the compiler has removed shall not run for ever.
const BATCH_OPS_MAX: u64 = 1 << 24;

/// One operation to measure.
pub struct Case {
    what: String,
    /// Operations in one call.
    ops: u64,
    /// True if it can only be measured on one thread.
    single: bool,
    prepare: Prepare,
}

/// The length of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Number of turns of every case.
    pub rounds: usize,
    /// Duration of a turn.
    pub slice: Duration,
}

impl Case {
    /// An operation without arguments. `prepare` is called on every thread, for every round.
    pub fn op<O>(what: impl Into<String>, prepare: impl Fn() -> O + Send + Sync + 'static) -> Self
    where
        O: FnMut() + 'static,
    {
        Self::new(what, move |_| {
            let mut op = prepare();
            Box::new(move |times| {
                let op = black_box(&mut op);
                for _ in 0..times {
                    op();
                    compiler_fence(Ordering::SeqCst);
                }
            })
        })
    }

    /// An operation that takes the values of a table in turn, each thread from another place on.
    pub fn over<T, O>(
        what: impl Into<String>,
        values: &Arc<Table<T>>,
        prepare: impl Fn() -> O + Send + Sync + 'static,
    ) -> Self
    where
        T: Copy + Send + Sync + 'static,
        O: FnMut(T) + 'static,
    {
        let values = Arc::clone(values);
        Self::new(what, move |thread| {
            let values = Arc::clone(&values);
            let mut op = prepare();
            let mut at = thread * (LEN / 3);
            Box::new(move |times| {
                let op = black_box(&mut op);
                let values = black_box(&*values);
                // A copy, because what is captured would be in memory and written in every turn.
                let mut place = at;
                for _ in 0..times {
                    op(values[place % LEN]);
                    place = place.wrapping_add(1);
                    compiler_fence(Ordering::SeqCst);
                }
                at = place;
            })
        })
    }

    /// The case whose every call is `ops` operations.
    #[must_use]
    pub fn ops(mut self, ops: u64) -> Self {
        self.ops = ops;
        self
    }

    /// The case that cannot be shared by threads.
    #[must_use]
    pub fn single(mut self) -> Self {
        self.single = true;
        self
    }

    /// The name of the measured operation.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Returns whether it can be measured on so many threads.
    pub fn runs_on(&self, threads: usize) -> bool {
        threads == 1 || !self.single
    }

    fn new(
        what: impl Into<String>,
        prepare: impl Fn(usize) -> Loop + Send + Sync + 'static,
    ) -> Self {
        Self { what: what.into(), ops: 1, single: false, prepare: Box::new(prepare) }
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("what", &self.what).finish_non_exhaustive()
    }
}

/// Nanoseconds of one operation: for each case, for each round. All cases must run on so many threads.
pub fn run(cases: &[&Case], threads: usize, plan: Plan) -> Vec<Vec<f64>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Threads that wait for a core need a longer slice to get their share of it.
    let slice =
        if threads > cores { plan.slice * (2 * threads / cores) as u32 } else { plan.slice };
    let plan = Plan { slice, ..plan };
    let meeting = Meeting::new(threads, threads > cores);
    let turns: Vec<Vec<Vec<Turn>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let meeting = &meeting;
                scope.spawn(move || work(cases, thread, plan, meeting))
            })
            .collect();
        let joined = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|turns| turns.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let nanos = |case: usize, round: usize| {
        let turns = turns.iter().map(|thread| thread[case][round]);
        let (operations, nanos) =
            turns.fold((0.0, 0.0), |sum, turn| (sum.0 + turn.operations, sum.1 + turn.nanos));
        threads.min(cores) as f64 * (nanos / threads as f64) / operations
    };
    (0..cases.len())
        .map(|case| (0..plan.rounds).map(|round| nanos(case, round)).collect())
        .collect()
}

/// Operations and time of one thread in one slice.
#[derive(Clone, Copy)]
struct Turn {
    operations: f64,
    /// From the start of the slice, which is the same for all threads, to the thread's last operation.
    nanos: f64,
}

/// One thread's turns: for each case, for each round.
fn work(cases: &[&Case], thread: usize, plan: Plan, meeting: &Meeting) -> Vec<Vec<Turn>> {
    let batches: Vec<u64> = cases
        .iter()
        .map(|case| {
            let mut run = (case.prepare)(thread);
            meeting.wait();
            batch(&mut run)
        })
        .collect();
    let mut turns: Vec<Vec<Turn>> = cases.iter().map(|_| Vec::with_capacity(plan.rounds)).collect();
    // Kept, and with gaps between them, so that the next is somewhere else.
    let mut kept: Vec<(Loop, Vec<u8>)> = Vec::new();
    let mut gaps = random(thread as u64).map(|bits| 16 + bits as usize % 8192);
    for _ in 0..plan.rounds {
        for (at, case) in cases.iter().enumerate() {
            let gap = Vec::with_capacity(gaps.next().unwrap_or(0));
            let mut run = (case.prepare)(thread);
            run(batches[at]);
            let start = meeting.wait();
            let mut times = 0;
            let elapsed = loop {
                run(batches[at]);
                times += batches[at];
                let elapsed = meeting.clock.elapsed().saturating_sub(start);
                if elapsed >= plan.slice {
                    break elapsed;
                }
            };
            let operations = (times * case.ops) as f64;
            turns[at].push(Turn { operations, nanos: elapsed.as_nanos() as f64 });
            kept.push((run, gap));
        }
    }
    turns
}

/// Returns the number of operations that take about [`BATCH`]; warms the case up, too.
fn batch(run: &mut Loop) -> u64 {
    let mut times = 16;
    loop {
        let start = Instant::now();
        run(times);
        if start.elapsed() >= BATCH || times >= BATCH_OPS_MAX {
            return times;
        }
        times *= 2;
    }
}

/// The point at which all threads wait for the last. They spin, so that none has to be woken up when it comes.
struct Meeting {
    threads: usize,
    /// True if the thread gives the core up meanwhile, because there are more threads than cores.
    polite: bool,
    clock: Instant,
    arrived: AtomicUsize,
    /// The time at which the last one came, in nanoseconds of the clock.
    start: AtomicU64,
}

impl Meeting {
    fn new(threads: usize, polite: bool) -> Self {
        let (arrived, start) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { threads, polite, clock: Instant::now(), arrived, start }
    }

    /// Waits, and tells when the last one came.
    fn wait(&self) -> Duration {
        // One step for each thread that came, and one more when the last of them has written the time.
        // Release and Acquire: what each thread did before the meeting is done for all after it.
        let came = self.arrived.fetch_add(1, Ordering::AcqRel);
        let steps = self.threads + 1;
        if came % steps == self.threads - 1 {
            self.start.store(self.clock.elapsed().as_nanos() as u64, Ordering::Relaxed);
            self.arrived.fetch_add(1, Ordering::AcqRel);
        }
        let all = (came / steps + 1) * steps;
        while self.arrived.load(Ordering::Acquire) < all {
            if self.polite {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        Duration::from_nanos(self.start.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_gets_every_round_on_every_thread() {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let add = Case::op("add", || || _ = CALLS.fetch_add(1, Ordering::Relaxed)).ops(2);
        let look = Case::over("look", &Arc::new([0u8; LEN]), || |value| _ = black_box(value));
        let plan = Plan { rounds: 3, slice: Duration::from_micros(50) };
        let times = run(&[&add, &look], 2, plan);
        assert_eq!(times.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
        assert!(times.iter().flatten().all(|&ns| ns.is_finite() && ns > 0.0), "{times:?}");
        assert!(CALLS.load(Ordering::Relaxed) > 6);
    }
}
