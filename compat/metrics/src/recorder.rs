//! The recorder: what the facade's macros call.

use crate::cache::{self, FacadeHandle};
use crate::handle::Handle;
use crate::kinds::MetricKind;
use crate::problem::{Problem, Problems};
use crate::series::OverCell;
use crate::table::{Settings, Table};
use dynamo_metrics_core::{RegisterError, Registry};
use dynamo_metrics_exporter::{Exporter, MetricsExposition, RunningServer};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Returns the time since the Unix epoch.
pub(crate) type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A recorder of the facade on the shards of the core. Made by [`Builder`](crate::Builder).
///
/// It serves the whole process once it is [installed](crate::Builder::install), or one thread for the time of a function:
///
/// ```
/// let recorder = dynamo_metrics_facade::Builder::new().build()?;
/// metrics::with_local_recorder(&recorder, || {
///     metrics::gauge!("depth", "queue" => "prefill").set(2.5);
/// });
/// assert_eq!(recorder.handle().render(), "# TYPE depth gauge\ndepth{queue=\"prefill\"} 2.5\n");
/// # Ok::<(), dynamo_metrics_facade::BuildError>(())
/// ```
#[derive(Debug)]
pub struct DynamoRecorder {
    pub(crate) inner: Arc<Inner>,
    /// Serves the page for as long as the recorder or a handle is there.
    pub(crate) server: Option<Arc<Served>>,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    /// For threads to share: the server itself is one thread's at a time.
    _server: Mutex<RunningServer>,
}

impl From<RunningServer> for Served {
    fn from(server: RunningServer) -> Self {
        Self { address: server.local_addr(), _server: Mutex::new(server) }
    }
}

/// The state that recorder, handles and pages share.
pub(crate) struct Inner {
    /// Unique in the process, for the threads' caches.
    id: u64,
    pub(crate) registry: Registry,
    pub(crate) exporter: Exporter,
    pub(crate) exposition: MetricsExposition,
    pub(crate) problems: Problems,
    clock: Clock,
    sweeps: bool,
    table: RwLock<Table>,
}

impl DynamoRecorder {
    /// Returns a handle that writes the page. Handles outlive the recorder.
    pub fn handle(&self) -> Handle {
        Handle { inner: Arc::clone(&self.inner), server: self.server.clone() }
    }
}

impl Inner {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Result<Self, RegisterError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let now = Arc::clone(&clock);
        let registry = Registry::with_clock(move || now());
        // Refuses invalid global labels.
        let globals: Vec<(&str, &str)> =
            settings.globals.iter().map(|(name, value)| (&**name, &**value)).collect();
        registry.scope(&globals)?;
        settings.distributions.check()?;
        let exporter = Exporter::new(&registry);
        Ok(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            problems: Problems::new(&registry)?,
            exposition: exporter.exposition(),
            exporter,
            clock,
            sweeps: settings.idle.is_some(),
            table: RwLock::new(Table::new(registry.clone(), settings)),
            registry,
        })
    }

    /// Removes idle series, as each page does first.
    pub(crate) fn sweep(&self) {
        if self.sweeps {
            // Not under the lock, because the clock is the program's code.
            let now = (self.clock)();
            self.table.write().sweep(now);
        }
    }

    #[inline]
    fn look_up<H: OverCell + FacadeHandle>(&self, key: &Key) -> H {
        let epoch = cache::epoch();
        match cache::find(self.id, key, epoch) {
            Some(handle) => handle,
            None => self.look_up_slowly(key, epoch),
        }
    }

    #[cold]
    fn look_up_slowly<H: OverCell + FacadeHandle>(&self, key: &Key, epoch: u64) -> H {
        let takes = cache::takes(self.id, key, epoch);
        let found = self.table.read().find::<H>(key, takes);
        let found = found.unwrap_or_else(|| {
            let (found, problem) = self.table.write().find_or_make(key);
            self.report(problem);
            found
        });
        if let Some(key) = found.keep {
            cache::keep(self.id, key, epoch, found.handle.clone());
        }
        found.handle
    }

    fn describe(&self, kind: MetricKind, name: &KeyName, unit: Option<Unit>, help: SharedString) {
        let problem = self.table.write().describe(kind, name.as_str(), unit, help);
        self.report(problem);
    }

    fn report(&self, problem: Option<Problem>) {
        if let Some(problem) = problem {
            self.problems.report(problem);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        cache::forget_all();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Recorder for DynamoRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe(MetricKind::Counter, &key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe(MetricKind::Gauge, &key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe(MetricKind::Histogram, &key, unit, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.inner.look_up(key)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.inner.look_up(key)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.inner.look_up(key)
    }
}
