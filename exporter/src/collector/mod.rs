//! Collectors: families whose values another library or process holds, read once a scrape.
//!
//! A collector runs as a callback does, on a thread of the exporter's, within [`CALLBACK_TIMEOUT`](crate::CALLBACK_TIMEOUT)
//! and the scrape's deadline. Its families are merged into the page as those of an engine are, so the page stays valid. **A
//! fault of a collector costs only its own families**: an error, a panic, lateness and refused samples are counted in
//! `dynamo_metrics_collector_errors_total` by collector and reason.

mod collected;
mod errors;
mod exemplar;
mod labelled;
#[cfg(all(feature = "process", target_os = "linux"))]
mod process;
#[cfg(all(feature = "multiprocess", unix))]
mod processes;

use crate::callback::{Callbacks, Called, Guard};
use crate::error::SourceError;
use dynamo_metrics_core::{RegisterError, Registry};
use dynamo_metrics_encoder::passthrough::Labels;
use parking_lot::RwLock;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use collected::{
    COLLECTION_BYTES_MAX, Collected, CollectedFamily, CollectedHistogram, CollectedSummary,
    CollectedValue,
};
pub use exemplar::CollectedExemplar;

pub(crate) use errors::CollectorErrors;
pub(crate) use labelled::LabelledCallback;
#[cfg(all(feature = "process", target_os = "linux"))]
pub(crate) use process::ProcessMetrics;
#[cfg(all(feature = "multiprocess", unix))]
pub(crate) use processes::ProcessesCollector;

/// Largest number of collectors of one exporter; the registration of one more is an error. Each runs in every scrape.
pub const COLLECTORS_MAX: usize = 64;

/// The error of a collection; it is logged, and counted with the reason `failed`.
pub type CollectorError = Box<dyn Error + Send + Sync>;

/// Families whose values another library or process holds.
///
/// Implemented for closures of the same shape.
///
/// ```
/// use dynamo_metrics_exporter::bytes::BytesMut;
/// use dynamo_metrics_exporter::{Collected, Collector, CollectorError, Exporter, Registry};
///
/// struct Disks;
///
/// impl Collector for Disks {
///     fn collect(&self, families: &mut Collected) -> Result<(), CollectorError> {
///         let mut free = families.gauge("disk_free_bytes", "Free space.");
///         free.sample(&[("disk", "sda")], 4096u64).sample(&[("disk", "sdb")], 512u64);
///         Ok(())
///     }
/// }
///
/// let exporter = Exporter::new(&Registry::new());
/// exporter.collector("disks", Disks)?;
/// exporter.collector("broken", |_: &mut Collected| Err("no such device".into()))?;
/// let mut body = BytesMut::new();
/// exporter.exposition().write(&mut body);
/// let page = std::str::from_utf8(&body)?;
/// assert!(page.contains("disk_free_bytes{disk=\"sda\"} 4096\n"));
/// assert!(page.contains("collector_errors_total{collector=\"broken\",reason=\"failed\"} 1\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Collector: Send + Sync + 'static {
    /// Adds the present values to `families`. Called at most once a scrape, never twice at the same time. It may block;
    /// the page of a scrape that does not wait for its end has the families of the run before.
    ///
    /// # Errors
    /// An error drops the families of this call.
    fn collect(&self, families: &mut Collected) -> Result<(), CollectorError>;
}

impl<F> Collector for F
where
    F: Fn(&mut Collected) -> Result<(), CollectorError> + Send + Sync + 'static,
{
    fn collect(&self, families: &mut Collected) -> Result<(), CollectorError> {
        self(families)
    }
}

/// The result of one run of a collector.
#[derive(Clone, Debug, PartialEq)]
struct Collection {
    text: Arc<Vec<u8>>,
    refused: u64,
    /// The message of the error.
    failure: Option<Arc<str>>,
}

/// A registered collector.
#[derive(Debug)]
struct Registered {
    guard: Arc<Guard<Collection>>,
    /// The labels of the scope that it was registered in.
    labels: Labels,
    errors: CollectorErrors,
}

impl Registered {
    /// The text for the scrape in progress, if there is one in time.
    fn collect(&self) -> Option<Arc<Vec<u8>>> {
        let Called { late, value } = self.guard.call();
        self.errors.count("late", late.into());
        match value {
            Err(panic) => self.errors.failed("panicked", &panic),
            Ok(Some(Collection { failure: Some(error), .. })) if !late => {
                self.errors.failed("failed", &error);
            }
            Ok(Some(Collection { failure: None, text, refused })) => {
                if !late {
                    self.errors.count("refused", refused);
                    self.errors.succeeded();
                }
                return Some(text);
            }
            Ok(_) => {}
        }
        None
    }
}

/// Metrics of the registry that are set at the begin of each scrape.
pub(crate) trait Update: fmt::Debug + Send + Sync {
    /// Sets them to the values for the scrape in progress.
    fn update(&self);
}

/// All collectors of an exporter.
#[derive(Debug, Default)]
pub(crate) struct Collectors {
    list: RwLock<Vec<Arc<Registered>>>,
    /// Each with a key that tells it apart from the others.
    updates: RwLock<Vec<(String, Arc<dyn Update>)>>,
}

impl Collectors {
    pub(crate) fn add(
        &self,
        name: &str,
        collector: impl Collector,
        callbacks: &Callbacks,
        registry: &Registry,
    ) -> Result<(), SourceError> {
        let labels = Labels::none().under(registry.labels());
        let labels =
            labels.map_err(|source| SourceError::CollectorLabels { name: name.into(), source })?;
        let errors = CollectorErrors::new(name, registry)?;
        let mut list = self.list.write();
        if list.len() >= COLLECTORS_MAX {
            return Err(SourceError::CollectorLimit { name: name.into(), max: COLLECTORS_MAX });
        }
        if list.iter().any(|other| other.errors.name == name) {
            return Err(SourceError::CollectorName { name: name.into() });
        }
        let guard = callbacks.guard(run(collector));
        list.push(Arc::new(Registered { guard, labels, errors }));
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> bool {
        let mut list = self.list.write();
        let at = list.iter().position(|registered| registered.errors.name == name);
        let removed = at.map(|at| list.remove(at));
        drop(list);
        // Dropped outside of the lock: the collector is code of the program, which may use the exporter.
        removed.is_some()
    }

    /// Registers metrics that are set in each scrape. Of two with one `key` the second is refused.
    pub(crate) fn add_update(
        &self,
        key: String,
        update: impl Update + 'static,
    ) -> Result<(), RegisterError> {
        let mut updates = self.updates.write();
        if updates.iter().any(|(other, _)| *other == key) {
            return Err(RegisterError::DuplicateCallback { name: key });
        }
        updates.push((key, Arc::new(update)));
        Ok(())
    }

    /// Updates the metrics of the registry, and takes the texts of all collectors, for the scrape in progress.
    pub(crate) fn collect(&self, collections: &mut Collections) {
        collections.clear();
        // Not under the locks: a collector may register another one.
        collections
            .updates
            .extend(self.updates.read().iter().map(|(_, update)| Arc::clone(update)));
        collections.updates.drain(..).for_each(|update| update.update());
        collections.running.extend(self.list.read().iter().cloned());
        for registered in collections.running.drain(..) {
            if let Some(text) = registered.collect() {
                collections.texts.push((registered, text));
            }
        }
    }
}

/// The function that the guard calls: one run of the collector.
fn run(collector: impl Collector) -> impl Fn() -> Collection + Send + Sync + 'static {
    // Relaxed: a hint for the size of the next text, which orders nothing.
    let bytes = AtomicUsize::new(0);
    move || {
        let mut collected = Collected::with_capacity(bytes.load(Ordering::Relaxed));
        let failure = collector.collect(&mut collected).err().map(|error| error.to_string().into());
        bytes.store(collected.text.len(), Ordering::Relaxed);
        let refused = collected.refused();
        Collection { text: Arc::new(collected.text), refused, failure }
    }
}

/// The texts of an exporter's collectors for one scrape.
#[derive(Debug, Default)]
pub(crate) struct Collections {
    updates: Vec<Arc<dyn Update>>,
    running: Vec<Arc<Registered>>,
    texts: Vec<(Arc<Registered>, Arc<Vec<u8>>)>,
}

impl Collections {
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.texts.clear();
    }

    /// Each collector's text, the labels to add to its samples, and the counters of its errors.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &Labels, &CollectorErrors)> + Clone {
        self.texts
            .iter()
            .map(|(registered, text)| (text.as_slice(), &registered.labels, &registered.errors))
    }
}
