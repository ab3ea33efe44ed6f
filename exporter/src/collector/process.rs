//! The usual metrics of the process: processor time, memory, descriptors, threads and the time of its start.
//!
//! The names are those of the Prometheus client libraries. Each scrape reads three files of `/proc/self`, on a thread of the
//! exporter's.

use super::{CollectorErrors, Update};
use crate::callback::{Callbacks, Called, Guard};
use dynamo_metrics_core::{FloatCounter, Gauge, Opts, RegisterError, Registry};
use parking_lot::Mutex;
use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, boot_time_secs, page_size, ticks_per_second};
use std::sync::{Arc, OnceLock};

/// The name of this collector in the counters of errors.
const NAME: &str = "process";
/// The name of the counter of processor time.
const CPU_SECONDS: &str = "process_cpu_seconds_total";

/// The state of the process at one instant.
#[derive(Clone, Copy, Debug)]
struct Reading {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: u64,
    start_seconds: f64,
    open_fds: u64,
    /// `None` for no limit.
    max_fds: Option<u64>,
}

impl Reading {
    fn now() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = ticks_per_second() as f64;
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: stat.rss * page_size(),
            virtual_bytes: stat.vsize,
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            start_seconds: boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
            open_fds: process.fd_count()? as u64,
            max_fds,
        })
    }
}

/// The metrics of the process.
#[derive(Debug)]
pub(crate) struct ProcessMetrics {
    guard: Arc<Guard<Result<Reading, Arc<str>>>>,
    errors: CollectorErrors,
    cpu: FloatCounter,
    /// The processor time that the counter has, in seconds.
    cpu_counted: Mutex<f64>,
    resident: Gauge,
    virtual_memory: Gauge,
    threads: Gauge,
    start: Gauge,
    /// The time of the start as it was first read: the wall clock, from which it is computed, may be set later.
    started: OnceLock<f64>,
    open_fds: Gauge,
    max_fds: Gauge,
}

impl ProcessMetrics {
    pub(crate) fn new(callbacks: &Callbacks, registry: &Registry) -> Result<Self, RegisterError> {
        // Two exporters of one registry would count the processor time twice.
        if registry.occupies(CPU_SECONDS) {
            return Err(RegisterError::DuplicateCallback { name: CPU_SECONDS.into() });
        }
        let gauge = |name, help, unit: Option<&str>| {
            let opts = Opts::new(name, help);
            registry.gauge(match unit {
                Some(unit) => opts.unit(unit),
                None => opts,
            })
        };
        let cpu =
            Opts::new(CPU_SECONDS, "User and system processor time of the process, in seconds.");
        Ok(Self {
            guard: callbacks.guard(|| Reading::now().map_err(|error| error.to_string().into())),
            errors: CollectorErrors::new(NAME, registry)?,
            cpu: registry.float_counter(cpu.unit("seconds"))?,
            cpu_counted: Mutex::default(),
            resident: gauge("process_resident_memory_bytes", "Resident memory.", Some("bytes"))?,
            virtual_memory: gauge(
                "process_virtual_memory_bytes",
                "Virtual memory.",
                Some("bytes"),
            )?,
            threads: gauge("process_threads", "Threads of the process.", None)?,
            start: gauge(
                "process_start_time_seconds",
                "Start of the process, in seconds since 1970.",
                Some("seconds"),
            )?,
            started: OnceLock::new(),
            open_fds: gauge("process_open_fds", "Open file descriptors.", None)?,
            max_fds: gauge("process_max_fds", "Limit of open file descriptors.", None)?,
        })
    }

    fn show(&self, reading: &Reading) {
        let mut counted = self.cpu_counted.lock();
        if reading.cpu_seconds > *counted {
            self.cpu.add(reading.cpu_seconds - *counted);
            *counted = reading.cpu_seconds;
        }
        drop(counted);
        self.resident.set(reading.resident_bytes as f64);
        self.virtual_memory.set(reading.virtual_bytes as f64);
        self.threads.set(reading.threads as f64);
        self.start.set(*self.started.get_or_init(|| reading.start_seconds));
        self.open_fds.set(reading.open_fds as f64);
        self.max_fds.set(reading.max_fds.map_or(f64::INFINITY, |limit| limit as f64));
    }
}

impl Update for ProcessMetrics {
    fn update(&self) {
        let Called { late, value } = self.guard.call();
        self.errors.count("late", late.into());
        match value {
            Ok(Some(Ok(reading))) => self.show(&reading),
            Ok(Some(Err(error))) if !late => self.errors.failed("failed", &error),
            Ok(_) => {}
            Err(panic) => self.errors.failed("panicked", &panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_describes_this_process() {
        let before = Reading::now().unwrap();
        let held: Vec<_> = (0..10).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let after = Reading::now().unwrap();
        assert!(after.open_fds >= held.len() as u64, "{after:?}");
        assert!(after.cpu_seconds >= before.cpu_seconds);
        assert_eq!(after.start_seconds, before.start_seconds);
        assert!(after.threads >= 1 && after.virtual_bytes > after.resident_bytes, "{after:?}");
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!(after.start_seconds > 0.0 && after.start_seconds <= now + 1.0, "{after:?}");
    }
}
