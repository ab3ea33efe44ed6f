//! Under limits of memory the rest of the program keeps its share: shards are given up before others' allocations fail, and
//! recordings of threads without a shard are counted and not lost.
//!
//! Each case runs in a forked process, since a limit is a whole process's; so this test has its own `main`. Cases that need
//! rights which the test does not have say so and pass.

fn main() {
    #[cfg(target_os = "linux")]
    cases::run();
    #[cfg(not(target_os = "linux"))]
    eprintln!("SKIPPED: what a process uses of its limits is known on Linux only");
}

#[cfg(target_os = "linux")]
mod cases {
    use dynamo_metrics_core::snapshot::Value;
    use dynamo_metrics_core::{Counter, Family, Histogram, Opts, Registry, Snapshot, shard_count};
    use dynamo_metrics_test_support::Forked;
    use std::io::Error;
    use std::sync::{Arc, Barrier};
    use std::thread;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;
    /// Far more than a case takes.
    const CASE_LIMIT: Duration = Duration::from_secs(120);
    /// A stack for threads that only record, so that stacks are no part of what is measured.
    const STACK_BYTES: usize = 64 * 1024;
    /// Recordings of each thread of each metric.
    const RECORDINGS: u64 = 7;
    const PASSED: u8 = 0;
    const SKIPPED: u8 = 1;

    struct Case {
        name: &'static str,
        threads: usize,
        /// Sets the limit; `None` when that is not permitted.
        limit: fn() -> Option<()>,
        /// Bytes that the rest of the program asks for at the end, in one piece.
        others_bytes: u64,
        /// Series that are registered when the shards are there already.
        late_series: usize,
        check: fn(&Seen),
    }

    /// The state of a process after all threads recorded.
    struct Seen {
        threads: u64,
        shards: u64,
        fallback_recordings: u64,
        /// Growth from before the first metric to when all threads had recorded, in bytes a thread.
        address_space: u64,
        writable: u64,
        resident: u64,
        /// In bytes, of the whole process.
        locked: u64,
    }

    const CASES: &[Case] = &[
        Case {
            name: "no limit",
            threads: 1000,
            limit: || Some(()),
            others_bytes: 1024 * MIB,
            late_series: 10_000,
            check: |seen| {
                assert_eq!(seen.shards, seen.threads, "each thread has its own");
                assert_eq!(seen.fallback_recordings, 0);
                // RLIMIT_DATA counts the pages that vm.overcommit_memory=2 charges: private ones that can be written.
                assert!(seen.writable < MIB / 2, "{} writable bytes a thread", seen.writable);
            },
        },
        Case {
            name: "RLIMIT_AS of 4 GiB",
            threads: 1000,
            limit: || set(libc::RLIMIT_AS, 4096 * MIB),
            others_bytes: 512 * MIB,
            late_series: 10_000,
            check: |seen| {
                assert!((100..seen.threads).contains(&seen.shards), "{} shards", seen.shards);
                assert!(seen.fallback_recordings > 0);
            },
        },
        Case {
            name: "RLIMIT_AS of 512 MiB",
            threads: 50,
            limit: || set(libc::RLIMIT_AS, 512 * MIB),
            others_bytes: 64 * MIB,
            late_series: 10_000,
            check: |seen| assert!((10..=seen.threads).contains(&seen.shards), "{}", seen.shards),
        },
        Case {
            name: "RLIMIT_DATA of 1 GiB",
            threads: 1000,
            limit: || set(libc::RLIMIT_DATA, 1024 * MIB),
            others_bytes: 256 * MIB,
            late_series: 10_000,
            check: |seen| assert_eq!(seen.shards, seen.threads, "each thread has its own"),
        },
        Case {
            name: "RLIMIT_DATA of 128 MiB",
            threads: 500,
            limit: || set(libc::RLIMIT_DATA, 128 * MIB),
            others_bytes: 16 * MIB,
            late_series: 10_000,
            check: |seen| {
                assert!((50..seen.threads).contains(&seen.shards), "{} shards", seen.shards);
                assert!(seen.fallback_recordings > 0);
            },
        },
        Case {
            name: "mlockall of everything",
            threads: 100,
            limit: || lock(libc::MCL_CURRENT | libc::MCL_FUTURE),
            others_bytes: 64 * MIB,
            late_series: 10_000,
            check: |seen| {
                assert_eq!(seen.shards, seen.threads, "each thread has its own");
                assert!(seen.resident < MIB, "{} resident bytes a thread", seen.resident);
                assert!(seen.locked < 1024 * MIB, "{} locked bytes", seen.locked);
            },
        },
        Case {
            name: "mlockall of what comes, with RLIMIT_MEMLOCK of 8 MiB",
            threads: 20,
            limit: || {
                set(libc::RLIMIT_MEMLOCK, 8 * MIB)?;
                give_up_rights()?;
                lock(libc::MCL_FUTURE)
            },
            others_bytes: MIB,
            late_series: 100,
            // A block counts as locked between two system calls, so threads that begin at the same time may be refused.
            check: |seen| {
                assert!(seen.shards > 0 && seen.locked < 4 * MIB, "{} locked bytes", seen.locked)
            },
        },
    ];

    fn set(resource: libc::__rlimit_resource_t, bytes: u64) -> Option<()> {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: reads the limit, and sets that of this forked process.
        (unsafe { libc::setrlimit(resource, &raw const limit) } == 0).then_some(())
    }

    fn lock(which: libc::c_int) -> Option<()> {
        // SAFETY: locks the memory of this forked process.
        (unsafe { libc::mlockall(which) } == 0).then_some(())
    }

    /// Gives up all capabilities, with those that lift limits.
    fn give_up_rights() -> Option<()> {
        /// Version 3 of the call, this process, and two times three empty sets.
        const HEADER: [u32; 2] = [0x2008_0522, 0];
        let sets = [0u32; 6];
        // SAFETY: reads the header and the sets of its version, and changes this forked process's rights.
        let result = unsafe { libc::syscall(libc::SYS_capset, HEADER.as_ptr(), sets.as_ptr()) };
        (result == 0).then_some(())
    }

    /// A number of `/proc/self/status` in bytes.
    fn status(name: &str) -> u64 {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() * 1024
    }

    struct Metrics {
        registry: Registry,
        requests: Counter,
        latency: Histogram,
    }

    impl Metrics {
        fn new() -> Self {
            let registry = Registry::new();
            registry.process_metrics().unwrap();
            registry.print_details(true);
            let buckets = dynamo_metrics_core::Buckets::exponential(0.001, 2.0, 20).unwrap();
            Self {
                requests: registry.counter(("requests_total", "")).unwrap(),
                latency: registry.histogram(("latency_seconds", ""), &buckets).unwrap(),
                registry,
            }
        }

        fn record(&self) {
            for _ in 0..RECORDINGS {
                self.requests.inc();
                self.latency.observe(0.5);
            }
        }

        fn check(&self, recordings: u64) {
            assert_eq!(self.requests.get(), recordings, "a count is lost");
            let latency = self.latency.get();
            assert_eq!(latency.counts.iter().sum::<u64>(), recordings, "an observation is lost");
            assert_eq!(latency.sum, 0.5 * recordings as f64);
        }

        fn fallback_recordings(&self) -> u64 {
            self.total_of("dynamo_metrics_fallback_recordings_total")
        }

        /// The sum of a family's series on a page, the overflow's included.
        fn total_of(&self, name: &str) -> u64 {
            let mut snapshot = Snapshot::new();
            snapshot.take(&self.registry);
            let family = snapshot.families().find(|family| family.name() == name).unwrap();
            let part = family.parts().next().unwrap();
            let values = (0..part.len()).map(|at| match part.series(at).unwrap().value() {
                Value::Unsigned(n) => n,
                other => panic!("{other:?}"),
            });
            values.sum()
        }
    }

    fn register(registry: &Registry, series: usize) -> Family<Counter, 1> {
        let opts = Opts::new("late_total", "").series_max(series);
        let late = registry.counter_family(opts, ["model"]).unwrap();
        for model in 0..series {
            late.with([&model.to_string()]);
        }
        late
    }

    fn work(case: &Case) {
        let before = ["VmSize:", "VmData:", "VmRSS:"].map(status);
        let metrics = Arc::new(Metrics::new());
        let [recorded, registered, done] =
            [(); 3].map(|()| Arc::new(Barrier::new(case.threads + 1)));
        let late: Arc<std::sync::OnceLock<Family<Counter, 1>>> = Arc::default();
        let threads: Vec<_> = (0..case.threads)
            .map(|number| {
                let (metrics, late) = (Arc::clone(&metrics), Arc::clone(&late));
                let barriers = [&recorded, &registered, &done].map(Arc::clone);
                let last = (case.late_series - 1).to_string();
                let body = move || {
                    metrics.record();
                    barriers[0].wait();
                    barriers[1].wait();
                    if let Some(late) = late.get() {
                        // The last cells that were handed out, and others.
                        late.with([&last]).inc();
                        late.with([&number.to_string()]).inc();
                    }
                    barriers[2].wait();
                };
                let builder = thread::Builder::new().stack_size(STACK_BYTES);
                builder.spawn(body).expect("a thread of the program")
            })
            .collect();
        recorded.wait();
        let grown = ["VmSize:", "VmData:", "VmRSS:"].map(status);
        let [address_space, writable, resident] =
            std::array::from_fn(|at| grown[at].saturating_sub(before[at]) / case.threads as u64);
        let seen = Seen {
            threads: case.threads as u64,
            shards: shard_count() as u64,
            fallback_recordings: metrics.fallback_recordings(),
            address_space,
            writable,
            resident,
            locked: status("VmLck:"),
        };
        println!(
            "{}: {} threads, {} shards, {} recordings to the fallback; KiB a thread: {} reserved, {} writable, {} resident; \
             {} KiB locked in all",
            case.name,
            seen.threads,
            seen.shards,
            seen.fallback_recordings,
            seen.address_space / 1024,
            seen.writable / 1024,
            seen.resident / 1024,
            seen.locked / 1024,
        );
        // The rest of the program: one large allocation, many small ones, and a thread.
        let mut large = Vec::<u8>::new();
        large.try_reserve_exact(case.others_bytes as usize).expect("a large allocation");
        let small: Vec<_> = (0..1000).map(|n| vec![n; 100]).collect();
        thread::spawn(|| ()).join().expect("another thread");
        drop((large, small));

        let family = register(&metrics.registry, case.late_series);
        late.set(family).expect("set once");
        registered.wait();
        done.wait();
        for thread in threads {
            thread.join().expect("a thread that recorded");
        }
        metrics.check(seen.threads * RECORDINGS);
        assert_eq!(metrics.total_of("late_total"), 2 * seen.threads, "a late count is lost");
        (case.check)(&seen);
    }

    pub(super) fn run() {
        let mut failed = Vec::new();
        for case in CASES {
            let child = Forked::start(CASE_LIMIT, || {
                if (case.limit)().is_none() {
                    let error = Error::last_os_error();
                    eprintln!("SKIPPED {}: the limit cannot be set here: {error}", case.name);
                    return SKIPPED;
                }
                // SAFETY: one heap for all threads; by default glibc reserves 64 MiB of address space for some of them.
                unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
                // A panic has been printed, and is the case's failure.
                let passed = std::panic::catch_unwind(|| work(case)).is_ok();
                if passed { PASSED } else { u8::MAX }
            });
            if !matches!(child.result(), Some(PASSED | SKIPPED)) {
                failed.push(case.name);
            }
        }
        assert!(failed.is_empty(), "failed: {failed:?}");
    }
}
