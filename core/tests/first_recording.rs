//! A signal handler may record at any instruction of a thread's first recording.
//!
//! Each kind's first recording is stopped after every instruction in turn (the trap flag of x86-64, in a forked child for each
//! instruction), and a handler records a metric of its own there. Both totals must be exact, and one thread must not lease two
//! shards. The process has one thread only (`harness = false`), so a child has every lock that it needs.
//!
//! Run alone: `cargo test -p dynamo-metrics-core --test first_recording`. Skips, and says so, on other machines.
//!
//! The `unsafe` here is that of system calls and of the trap flag; nothing that is published links it.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() {
    stepped::run();
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {
    println!("SKIPPED first_recording: it needs the trap flag of x86-64 and Linux");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stepped {
    use dynamo_metrics_core::{
        Buckets, Counter, Exemplar, FloatCounter, Histogram, NativeBuckets, NativeHistogram, Opts,
        Registry, Summary, SummaryOpts, UpDownCounter, shard_count,
    };
    use dynamo_metrics_test_support::Forked;
    use std::arch::asm;
    use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
    use std::time::Duration;

    /// Steps of one recording at the most: a few hundred instructions of ours, and those of `mmap` in libc.
    const STEPS_MAX: u64 = 100_000;
    /// Children that run at the same time.
    const AT_ONCE: u64 = 4;
    /// When a child that hangs is ended.
    const CHILD_LIMIT: Duration = Duration::from_secs(20);

    /// One metric of each kind.
    struct Metrics {
        counter: Counter,
        float: FloatCounter,
        up_down: UpDownCounter,
        histogram: Histogram,
        native: NativeHistogram,
        summary: Summary,
    }

    impl Metrics {
        fn new(registry: &Registry, prefix: &str) -> Self {
            let opts = |name: &str| Opts::new(format!("{prefix}_{name}"), "").exemplars();
            let plain = |name: &str| Opts::new(format!("{prefix}_{name}"), "");
            let buckets = Buckets::new([1.0, 2.0]).unwrap();
            Self {
                counter: registry.counter(opts("counter_total")).unwrap(),
                float: registry.float_counter(opts("float_total")).unwrap(),
                up_down: registry.up_down_counter(plain("up_down")).unwrap(),
                histogram: registry.histogram(opts("histogram"), &buckets).unwrap(),
                native: registry.native_histogram(opts("native"), &NativeBuckets::new()).unwrap(),
                summary: registry.summary(plain("summary"), &SummaryOpts::new()).unwrap(),
            }
        }
    }

    /// A way to record, and the count that it leaves behind.
    struct Case {
        name: &'static str,
        record: fn(&Metrics),
        count: fn(&Metrics) -> u64,
    }

    fn exemplar() -> Exemplar {
        Exemplar::new("a1").unwrap()
    }

    const CASES: &[Case] = &[
        Case { name: "counter", record: |m| m.counter.inc(), count: |m| m.counter.get() },
        Case {
            name: "counter with an exemplar",
            record: |m| m.counter.inc_with_exemplar(&exemplar()),
            count: |m| m.counter.get(),
        },
        Case {
            name: "local counter",
            record: |m| {
                // Without a shard, as in a handler that interrupts the lease, the shared handle records.
                match m.counter.local() {
                    Some(local) => local.inc(),
                    None => m.counter.inc(),
                }
            },
            count: |m| m.counter.get(),
        },
        Case {
            name: "float counter",
            record: |m| m.float.add(1.0),
            count: |m| m.float.get() as u64,
        },
        Case {
            name: "up/down counter",
            record: |m| m.up_down.inc(),
            count: |m| u64::try_from(m.up_down.get()).unwrap_or(u64::MAX),
        },
        Case {
            name: "histogram",
            record: |m| m.histogram.observe(1.0),
            count: |m| {
                let value = m.histogram.get();
                assert_eq!(value.sum as u64, value.counts[0]);
                value.counts.iter().sum()
            },
        },
        Case {
            name: "local histogram",
            record: |m| match m.histogram.local() {
                Some(local) => local.observe(1.0),
                None => m.histogram.observe(1.0),
            },
            count: |m| m.histogram.get().counts.iter().sum(),
        },
        Case {
            name: "native histogram",
            record: |m| m.native.observe(1.0),
            count: |m| {
                let value = m.native.get();
                value.positive.iter().map(|(_, count)| count).sum()
            },
        },
        Case {
            name: "summary",
            record: |m| m.summary.observe(1.0),
            count: |m| m.summary.get().count,
        },
    ];

    /// The bit of the flags register that traps after each instruction.
    const TRAP_FLAG: libc::greg_t = 0x100;

    static STEPS: AtomicU64 = AtomicU64::new(0);
    /// The step at which the handler records; 0 for none.
    static STOP_AT: AtomicU64 = AtomicU64::new(0);
    static HANDLED: AtomicPtr<Metrics> = AtomicPtr::new(std::ptr::null_mut());
    static CASE: AtomicU64 = AtomicU64::new(0);

    extern "C" fn on_trap(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
        // Relaxed throughout: one thread.
        let step = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
        if step == STOP_AT.load(Ordering::Relaxed) {
            // The rest runs at full speed.
            // SAFETY: the kernel hands the handler the registers of the code that it interrupted.
            let registers = unsafe { &mut (*context).uc_mcontext.gregs };
            registers[libc::REG_EFL as usize] &= !TRAP_FLAG;
            let case = &CASES[CASE.load(Ordering::Relaxed) as usize];
            // SAFETY: points to a leaked value, set before the trap flag is.
            let metrics = unsafe { &*HANDLED.load(Ordering::Relaxed) };
            (case.record)(metrics);
        }
    }

    /// Runs `work` with a trap after each instruction; returns how many there were.
    fn steps_of(work: impl FnOnce()) -> u64 {
        STEPS.store(0, Ordering::Relaxed);
        // SAFETY: sets the trap flag on the stack and loads it; the handler for SIGTRAP is installed. The red zone is left
        // alone by moving the stack pointer first.
        unsafe {
            asm!("sub rsp, 128", "pushfq", "or qword ptr [rsp], 0x100", "popfq", "add rsp, 128");
        }
        work();
        // SAFETY: clears the flag in the same way.
        unsafe {
            asm!("sub rsp, 128", "pushfq", "and qword ptr [rsp], ~0x100", "popfq", "add rsp, 128");
        }
        STEPS.load(Ordering::Relaxed)
    }

    const EXACT: u8 = 10;
    const TOO_MANY_SHARDS: u8 = 11;
    const LOST_BY_THE_HANDLER: u8 = 12;
    const LOST_BY_THE_THREAD: u8 = 13;
    const NO_MORE_STEPS: u8 = 14;

    fn check(case: &Case, interrupted: &Metrics, handled: &Metrics, stop_at: u64) -> u8 {
        STOP_AT.store(stop_at, Ordering::Relaxed);
        let steps = steps_of(|| (case.record)(interrupted));
        if steps < stop_at {
            return NO_MORE_STEPS;
        }
        (case.record)(interrupted);
        (case.record)(handled);
        if shard_count() != 1 {
            return TOO_MANY_SHARDS;
        }
        match ((case.count)(interrupted), (case.count)(handled)) {
            (2, 2) => EXACT,
            (2, _) => LOST_BY_THE_HANDLER,
            _ => LOST_BY_THE_THREAD,
        }
    }

    fn install() {
        // SAFETY: all zero is an empty mask and no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::ucontext_t) =
            on_trap;
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: installs a handler that only counts, and records as the test's subject does.
        let result =
            unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut()) };
        assert_eq!(result, 0, "sigaction: {}", std::io::Error::last_os_error());
    }

    pub(super) fn run() {
        let registry = Registry::new();
        let interrupted = Metrics::new(&registry, "interrupted");
        let handled = Box::leak(Box::new(Metrics::new(&registry, "handled")));
        HANDLED.store(handled, Ordering::Relaxed);
        install();
        assert_eq!(shard_count(), 0, "this process must not have recorded yet");
        let mut failures = Vec::new();
        for (index, case) in CASES.iter().enumerate() {
            CASE.store(index as u64, Ordering::Relaxed);
            let mut steps = 0;
            let mut goes_on = true;
            while goes_on {
                assert!(steps < STEPS_MAX, "{}: the recording does not end", case.name);
                let children: Vec<_> = (steps + 1..=steps + AT_ONCE)
                    .map(|step| {
                        let check = || check(case, &interrupted, handled, step);
                        (step, Forked::start(CHILD_LIMIT, check))
                    })
                    .collect();
                for (step, child) in children {
                    let fault = match child.result() {
                        Some(NO_MORE_STEPS) => {
                            goes_on = false;
                            continue;
                        }
                        Some(EXACT) => None,
                        Some(TOO_MANY_SHARDS) => Some("a second shard"),
                        Some(LOST_BY_THE_HANDLER) => Some("the handler's recording is lost"),
                        Some(LOST_BY_THE_THREAD) => Some("the thread's recording is lost"),
                        Some(_) | None => Some("the process died"),
                    };
                    failures.extend(fault.map(|fault| (case.name, step, fault)));
                    steps = step;
                }
            }
            println!("{}: a handler recorded after each of {} instructions", case.name, steps);
            assert!(steps > 50, "{}: too few instructions to be a first recording", case.name);
        }
        assert!(failures.is_empty(), "kind, instruction, fault: {failures:#?}");
    }
}
