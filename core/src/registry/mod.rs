//! The registry: a tree of scopes that holds all metrics by name.
//!
//! The root has no labels; the labels of a [scope](Registry::scope) are on every metric that is registered in it, and a
//! scrape of a scope shows its metrics and those of all scopes below. All scopes share
//! one pool of cells and one [index](index), so that a name means one type wherever it is registered.
//!
//! **Each metric that can be registered can be printed.** Every collision is found here, once: another type under the same
//! name, `x_count` and the count of histogram `x`, two scopes that could print the same series. So the encoder has no
//! errors.

use crate::arena::Pool;
use crate::clock::Clock;
use crate::descriptor::{Descriptor, Kind, Opts};
use crate::error::RegisterError;
use crate::family::{Family, FamilyCore};
use crate::handle::Metric;
use crate::label::{OPERATOR_LABEL_VALUE_BYTES_MAX, check_operator_value, check_shared_label_name};
use crate::layout::Buckets;
use crate::series::{FamilyMetadata, Reporter};
use crate::shard::capacity;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::telemetry::{CUT, OVERFLOWED, PANICKED, REJECTED, Telemetry};
use index::{Index, Labels};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

mod callbacks;
mod distributions;
mod dynamic;
mod index;
mod info;
mod metrics;
mod name_index;
mod process;
mod same_name;
mod state_sets;

/// A set of metrics, or one scope of it. Cheap to clone; clones are the same registry.
///
/// Registering twice with an equal descriptor returns the same metric, so two parts of a program can register it in any
/// order:
///
/// ```
/// use dynamo_metrics_core::{Registry, RegisterError};
///
/// let registry = Registry::new();
/// registry.counter(("requests_total", "Requests."))?.inc();
/// registry.counter(("requests_total", "Requests."))?.inc();
/// assert_eq!(registry.counter(("requests_total", "Requests."))?.get(), 2);
///
/// let error = registry.gauge(("requests_total", "Requests.")).unwrap_err();
/// assert!(matches!(error, RegisterError::Conflict { what: "type", .. }));
/// # Ok::<(), RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    pub(crate) root: Arc<Root>,
    /// Labels of this scope and of all above.
    labels: Labels,
}

/// The parts that all scopes share.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) pool: Arc<Pool>,
    /// Grows whenever a family is added, removed or described.
    generation: AtomicU64,
    /// Its lock also puts registrations, removals and listings in order.
    index: Mutex<Index>,
    reporter: OnceLock<Arc<dyn Reporter>>,
    /// True if scrapes have details. Shared with their callbacks, which must not hold the registry.
    details: Arc<AtomicBool>,
    pub(crate) clock: Option<Clock>,
}

impl Registry {
    /// Returns an empty registry.
    pub fn new() -> Self {
        Self::build(None)
    }

    /// Returns an empty registry with a clock, which returns the time since the Unix epoch. Counters and histograms then
    /// store the time at which each series was created ([`SeriesSnapshot::created`](crate::snapshot::SeriesSnapshot::created)), and
    /// exemplars without a time get one.
    ///
    /// Cost: 8 bytes for each series of these kinds, and a call when it is created. A panic of the clock counts as an unknown
    /// time. No lock of the registry is held while the clock runs.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot};
    /// use std::time::{Duration, SystemTime, UNIX_EPOCH};
    ///
    /// let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    /// let registry = Registry::with_clock(now);
    /// registry.counter(("requests_total", "Requests."))?;
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "requests_total").unwrap();
    /// let created = family.parts().next().unwrap().series(0).unwrap().created().unwrap();
    /// assert!(created <= now() && now() - created < Duration::from_secs(60));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn with_clock(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self::build(Some(Clock::new(clock)))
    }

    fn build(clock: Option<Clock>) -> Self {
        let root = Arc::new(Root {
            pool: Arc::new(Pool::new()),
            generation: AtomicU64::new(0),
            index: Mutex::new(Index::default()),
            reporter: OnceLock::new(),
            details: Arc::default(),
            clock,
        });
        let registry = Self { root, labels: Arc::new([]) };
        // Without address space for a single shard every registration fails with an error, so there is nothing to report.
        if let Ok(telemetry) = registry.telemetry() {
            let _ = registry.root.reporter.set(Arc::new(telemetry));
        }
        registry
    }

    fn telemetry(&self) -> Result<Telemetry, RegisterError> {
        // Names of families are label values here, and two long ones must not become one.
        let opts = |name, help| {
            Opts::new(name, help).label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX)
        };
        Ok(Telemetry {
            overflowed: self.counter_family(opts(OVERFLOWED.0, OVERFLOWED.1), OVERFLOWED.2)?,
            rejected: self.counter_family(opts(REJECTED.0, REJECTED.1), REJECTED.2)?,
            cut: self.counter_family(opts(CUT.0, CUT.1), CUT.2)?,
            panicked: self.counter_family(opts(PANICKED.0, PANICKED.1), PANICKED.2)?,
        })
    }

    /// Returns the scope whose metrics have these labels besides those of this scope. Several labels are as many nested scopes,
    /// so one list of labels is one scope on every path to it. A label with an empty value is the same as no label, and makes
    /// no scope.
    ///
    /// A scope consists of its labels and need not be removed: once its metrics are [unregistered](Self::unregister_all), only
    /// handles to it are left, through which metrics can be registered again. Cost: one allocation for all its labels.
    ///
    /// ```
    /// use dynamo_metrics_core::Registry;
    ///
    /// let registry = Registry::new();
    /// let worker = registry.scope(&[("component", "worker")])?;
    /// worker.counter(("requests_total", "Requests."))?.inc();
    /// assert_eq!(worker.labels().collect::<Vec<_>>(), [("component", "worker")]);
    /// let engine = worker.scope(&[("engine", "0"), ("zone", "")])?;
    /// assert_eq!(engine.labels().collect::<Vec<_>>(), [("component", "worker"), ("engine", "0")]);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// A label name that is invalid, reserved, or a duplicate; a value of more than
    /// [`OPERATOR_LABEL_VALUE_BYTES_MAX`](crate::limits::OPERATOR_LABEL_VALUE_BYTES_MAX) bytes.
    pub fn scope(&self, labels: &[(&str, &str)]) -> Result<Self, RegisterError> {
        let above = self.labels().map(|(label, _)| label);
        let all: Vec<&str> = above.chain(labels.iter().map(|&(label, _)| label)).collect();
        for (at, label) in all.iter().enumerate() {
            check_shared_label_name("(scope)", label)?;
            if all[..at].contains(label) {
                let (name, label) = ("(scope)".into(), label.to_string());
                return Err(RegisterError::DuplicateLabel { name, label });
            }
        }
        for (label, value) in labels {
            check_operator_value("(scope)", label, value)?;
        }
        let told = labels.iter().filter(|(_, value)| !value.is_empty());
        let told = told.map(|&(label, value)| (label.into(), value.into()));
        let labels = self.labels.iter().cloned().chain(told).collect();
        Ok(Self { root: Arc::clone(&self.root), labels })
    }

    /// Iterates over the labels of this scope and of all above.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(label, value)| (&**label, &**value))
    }

    /// Removes the metric of this name from this scope (not from scopes above or below); returns whether it existed. Handles
    /// still work, but no scrape shows their recordings; the name is free again.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let requests = registry.counter(("requests_total", "Requests."))?;
    /// assert!(registry.unregister("requests_total") && !registry.unregister("requests_total"));
    /// requests.inc(); // harmless, and in no scrape
    /// registry.gauge(("requests_total", "Another type under the same name."))?;
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn unregister(&self, name: &str) -> bool {
        let mut index = self.root.index.lock();
        let gone = index.remove(&self.labels, name);
        if !gone.is_empty() {
            // While the index is locked, so that a thread that finds the name free finds another generation, too.
            self.root.changed();
        }
        drop(index);
        // Dropping `gone` drops the values that callbacks captured, which may use the registry, so the lock is released.
        !gone.is_empty()
    }

    /// Removes every metric of this scope and of all scopes below, as [`unregister`](Self::unregister) does, except the
    /// registry's own. Returns their number, each name of each scope counted once. It serves parts of a program that have a scope
    /// of their own and end, such as workers.
    ///
    /// The lock of the registry is released between any two removals. So a metric that is registered meanwhile may stay, and a
    /// scrape meanwhile may show some of the metrics.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let worker = registry.scope(&[("worker", "7")])?;
    /// worker.counter(("requests_total", "Requests."))?;
    /// worker.scope(&[("dp_rank", "0")])?.gauge(("load", "Load."))?;
    /// registry.counter(("requests_total", "Requests."))?;
    /// assert_eq!((worker.unregister_all(), worker.unregister_all()), (2, 0));
    /// assert!(registry.occupies("requests_total") && !registry.occupies("load"));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn unregister_all(&self) -> usize {
        let names = self.root.index.lock().names(&self.labels);
        let gone = names.into_iter().filter(|(labels, name)| {
            let scope = Self { root: Arc::clone(&self.root), labels: Arc::clone(labels) };
            scope.unregister(name)
        });
        gone.count()
    }

    /// Returns whether any scope of the tree has a metric that prints samples of this name, under any
    /// [escaping](crate::Escaping).
    ///
    /// ```
    /// use dynamo_metrics_core::{Buckets, Registry};
    ///
    /// let registry = Registry::new();
    /// registry.histogram(("wait_seconds", ""), &Buckets::new([1.0])?)?;
    /// assert!(registry.occupies("wait_seconds_bucket") && !registry.occupies("wait"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn occupies(&self, sample_name: &str) -> bool {
        self.root.index.lock().prints(sample_name)
    }

    pub(crate) fn family<M: Metric, const N: usize>(
        &self,
        opts: Opts,
        label_names: [&str; N],
        buckets: Option<Arc<Buckets>>,
    ) -> Result<Family<M, N>, RegisterError> {
        self.family_of(self.descriptor(opts, M::KIND, &label_names, buckets)?)
    }

    /// Returns the descriptor of a registration in this scope, after the checks that need no other metric.
    pub(crate) fn descriptor(
        &self,
        opts: Opts,
        kind: Kind,
        label_names: &[&str],
        buckets: Option<Arc<Buckets>>,
    ) -> Result<Descriptor, RegisterError> {
        Descriptor::new(opts, kind, &self.labels, label_names, buckets)
    }

    /// Returns the family that `asked` describes; creates it if it does not exist.
    pub(crate) fn family_of<M: Metric, const N: usize>(
        &self,
        asked: Descriptor,
    ) -> Result<Family<M, N>, RegisterError> {
        self.core_of(asked).map(Family::new)
    }

    /// Returns the family that `asked` describes, without its type.
    fn core_of(&self, asked: Descriptor) -> Result<Arc<FamilyCore>, RegisterError> {
        let mut index = self.root.index.lock();
        if let Some(family) = index.find(&self.labels, &asked)? {
            return Ok(family);
        }
        let name = asked.name.clone();
        let family = FamilyCore::new(self.metadata(asked))
            .ok_or_else(|| RegisterError::NoCells { name: name.into(), max: capacity() })?;
        Ok(self.add(&mut index, family))
    }

    fn metadata(&self, descriptor: Descriptor) -> FamilyMetadata {
        static NEXT_ID: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        FamilyMetadata {
            id: NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            descriptor,
            late_help: OnceLock::new(),
            pool: Arc::clone(&self.root.pool),
            reporter: self.root.reporter.get().cloned(),
            clock: self.root.clock.clone(),
        }
    }

    fn add(&self, index: &mut Index, family: FamilyCore) -> Arc<FamilyCore> {
        let family = Arc::new(family);
        index.insert(&self.labels, &family);
        self.root.changed();
        family
    }

    /// Returns every family of this scope and of all below, at one instant.
    ///
    /// **Under the lock that orders registrations.** A free name may be registered with another type in another scope; a listing
    /// scope by scope could find the name in both, and scrapers refuse such a page.
    pub(crate) fn families(&self) -> Vec<Arc<FamilyCore>> {
        self.root.index.lock().families(&self.labels)
    }

    /// Returns whether both are the same level of the same registry.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root) && self.labels == other.labels
    }

    /// Returns the number of late descriptions.
    pub(crate) fn descriptions(&self) -> u64 {
        self.root.index.lock().descriptions
    }

    /// Returns a number that grows whenever a family of the tree is added, removed or described.
    pub(crate) fn generation(&self) -> u64 {
        // Acquire pairs with the Release in `changed`: a thread that sees the number sees the change.
        self.root.generation.load(Ordering::Acquire)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Root {
    fn changed(&self) {
        // Release pairs with the Acquire in `Registry::generation`.
        self.generation.fetch_add(1, Ordering::Release);
    }
}
