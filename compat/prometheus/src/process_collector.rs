//! Metrics of a process, on Linux.

use crate::counter::IntCounter;
use crate::desc::Desc;
use crate::error::Result;
use crate::gauge::IntGauge;
use crate::metric::{Collector, Opts};
use crate::proto::MetricFamily;
use procfs::process::{LimitValue, Process, Stat};

/// The id of a process.
pub use libc::pid_t;

/// Collects the CPU time, memory, file descriptors, threads and start time of a process.
#[derive(Debug)]
pub struct ProcessCollector {
    pid: pid_t,
    cpu: IntCounter,
    open_fds: IntGauge,
    max_fds: IntGauge,
    virtual_memory: IntGauge,
    resident_memory: IntGauge,
    start_time: IntGauge,
    threads: IntGauge,
}

impl ProcessCollector {
    /// Returns a collector for the process with this id; `namespace` stands before the names.
    ///
    /// # Panics
    /// If the namespace is not valid in a name.
    pub fn new<S: Into<String>>(pid: pid_t, namespace: S) -> Self {
        Self::with(pid, &namespace.into()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns a collector for this process.
    pub fn for_self() -> Self {
        Self::new(std::process::id() as pid_t, "")
    }

    fn with(pid: pid_t, namespace: &str) -> Result<Self> {
        let opts = |name, help| Opts::new(name, help).namespace(namespace);
        let gauge = |name, help| IntGauge::with_opts(opts(name, help));
        let cpu = "Total user and system CPU time spent in seconds.";
        let start = "Start time of the process since unix epoch in seconds.";
        let collector = Self {
            pid,
            cpu: IntCounter::with_opts(opts("process_cpu_seconds_total", cpu))?,
            open_fds: gauge("process_open_fds", "Number of open file descriptors.")?,
            max_fds: gauge("process_max_fds", "Maximum number of open file descriptors.")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            resident_memory: gauge(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )?,
            start_time: gauge("process_start_time_seconds", start)?,
            threads: gauge("process_threads", "Number of OS threads in the process.")?,
        };
        let stat = Process::new(pid).and_then(|process| process.stat());
        if let (Ok(boot), Ok(stat)) = (procfs::boot_time_secs(), stat) {
            let started = boot + stat.starttime / procfs::ticks_per_second();
            collector.start_time.set(started as i64);
        }
        Ok(collector)
    }

    fn metrics(&self) -> [&dyn Collector; 7] {
        let Self {
            cpu,
            open_fds,
            max_fds,
            virtual_memory,
            resident_memory,
            start_time,
            threads,
            ..
        } = self;
        [cpu, open_fds, max_fds, virtual_memory, resident_memory, start_time, threads]
    }

    fn set(&self, stat: &Stat) {
        self.virtual_memory.set(stat.vsize as i64);
        self.resident_memory.set((stat.rss * procfs::page_size()) as i64);
        self.threads.set(stat.num_threads);
        let cpu = (stat.utime + stat.stime) / procfs::ticks_per_second();
        // Another thread may have collected a later time.
        self.cpu.inc_by(cpu.saturating_sub(self.cpu.get()));
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.metrics().into_iter().flat_map(Collector::desc).collect()
    }

    /// Returns nothing for a process that has ended.
    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(process) = Process::new(self.pid) else { return Vec::new() };
        if let Ok(count) = process.fd_count() {
            self.open_fds.set(count as i64);
        }
        if let Ok(limits) = process.limits()
            && let LimitValue::Value(max) = limits.max_open_files.soft_limit
        {
            self.max_fds.set(max as i64);
        }
        let stat = process.stat();
        if let Ok(stat) = &stat {
            self.set(stat);
        }
        // Without CPU time its counter would be a number of no time.
        let skip = usize::from(stat.is_err());
        self.metrics().into_iter().skip(skip).flat_map(Collector::collect).collect()
    }
}
