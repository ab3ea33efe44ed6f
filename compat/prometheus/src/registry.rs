//! Registries: sets of collectors, gathered together.

use crate::desc::{Desc, label_pair};
use crate::error::{Error, Result};
use crate::lazy::MetricFamily;
use crate::metric::Collector;
use crate::plan::Plan;
use crate::proto::{LabelPair, Metric};
use parking_lot::{Mutex, RwLock};
use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

/// A set of collectors. Clones are the same registry.
#[derive(Clone, Default, Debug)]
pub struct Registry {
    core: Arc<RwLock<Core>>,
}

#[derive(Default)]
struct Core {
    /// The collectors by the sum of their descriptors' ids, so that families are merged in the same order at each gathering.
    collectors: BTreeMap<u64, Registered>,
    /// The hashes of label names and help, by name, of all descriptors that were ever registered.
    dim_hashes: HashMap<String, u64>,
    desc_ids: HashSet<u64>,
    /// Appended to each series.
    labels: Vec<LabelPair>,
    prefix: Option<String>,
    /// The plans of families that several collectors have, or that are renamed, by the name of their series; those of the last
    /// gathering.
    derived: Mutex<HashMap<String, Derived>>,
}

struct Registered {
    collector: Box<dyn Collector>,
    /// The plan of a collector that always has the same series.
    plan: OnceLock<Arc<Plan>>,
}

/// The plan of a family that several collectors have, or that is renamed.
struct Derived {
    sources: Vec<Arc<Plan>>,
    plan: Arc<Plan>,
}

/// One collector's share of a family, or the family.
enum Part {
    Plan(Arc<Plan>),
    Family(MetricFamily),
}

impl Part {
    fn name(&self) -> &str {
        match self {
            Self::Plan(plan) => plan.name(),
            Self::Family(family) => family.name(),
        }
    }

    /// Returns the plan of a part that has only this.
    fn plan(&self) -> Option<&Arc<Plan>> {
        match self {
            Self::Plan(plan) => Some(plan),
            Self::Family(_) => None,
        }
    }

    fn into_family(self) -> MetricFamily {
        match self {
            Self::Plan(plan) => {
                let mut numbers = vec![0; plan.words()];
                plan.read(&mut numbers);
                MetricFamily::read(plan, &Arc::new(numbers), 0)
            }
            Self::Family(family) => family,
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry ({} collectors)", self.collectors.len())
    }
}

impl Registry {
    /// Returns an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an empty registry that puts `prefix_` before each name and appends `labels` to each series.
    ///
    /// # Errors
    /// An empty prefix.
    pub fn new_custom(
        prefix: Option<String>,
        labels: Option<HashMap<String, String>>,
    ) -> Result<Self> {
        if prefix.as_ref().is_some_and(String::is_empty) {
            return Err(Error::Msg("empty prefix namespace".into()));
        }
        let mut labels: Vec<_> =
            labels.into_iter().flatten().map(|(name, value)| label_pair(name, value)).collect();
        labels.sort();
        Ok(Self { core: Arc::new(RwLock::new(Core { labels, prefix, ..Default::default() })) })
    }

    /// Adds a collector.
    ///
    /// # Errors
    /// A descriptor that is registered already, or whose help or label names differ from those of a registered one of its name.
    pub fn register(&self, c: Box<dyn Collector>) -> Result<()> {
        let core = &mut *self.core.write();
        let mut ids = HashSet::new();
        for desc in c.desc() {
            if core.desc_ids.contains(&desc.id) {
                return Err(Error::AlreadyReg);
            }
            let dim_hash = *core.dim_hashes.entry(desc.fq_name.clone()).or_insert(desc.dim_hash);
            if dim_hash != desc.dim_hash {
                return Err(Error::Msg(format!(
                    "a previously registered descriptor with the same fully-qualified name as {desc:?} has different label \
                     names or a different help string"
                )));
            }
            if !ids.insert(desc.id) {
                return Err(Error::Msg(format!(
                    "a duplicate descriptor within the same collector the same fully-qualified name: {:?}",
                    desc.fq_name
                )));
            }
        }
        match core.collectors.entry(collector_id(&c.desc())) {
            Entry::Vacant(entry) => {
                entry.insert(Registered { collector: c, plan: OnceLock::new() });
                core.desc_ids.extend(ids);
                Ok(())
            }
            Entry::Occupied(_) => Err(Error::AlreadyReg),
        }
    }

    /// Removes the collector with the same descriptors.
    ///
    /// # Errors
    /// No such collector.
    pub fn unregister(&self, c: Box<dyn Collector>) -> Result<()> {
        let core = &mut *self.core.write();
        let descs = c.desc();
        let Some(removed) = core.collectors.remove(&collector_id(&descs)) else {
            return Err(Error::Msg(format!("collector {descs:?} is not registered")));
        };
        for desc in removed.collector.desc() {
            core.desc_ids.remove(&desc.id);
        }
        core.derived.get_mut().clear();
        Ok(())
    }

    /// Collects all families. They are sorted by name, and their series by the values of their labels; families without series
    /// are left out.
    ///
    /// Values are read here. Messages are made when a family is read; the text encoder needs none.
    ///
    /// Cost: of metrics of this crate, a read of each number in each shard, and allocations for each family.
    pub fn gather(&self) -> Vec<MetricFamily> {
        let core = &*self.core.read();
        let mut before = std::mem::take(&mut *core.derived.lock());
        let mut derived = HashMap::new();
        let mut parts = core.parts();
        let mut families = Vec::with_capacity(parts.len());
        while let Some(first) = parts.next() {
            let name = first.name();
            let others = parts.as_slice().iter().take_while(|other| other.name() == name).count();
            if others == 0 && !core.renames() {
                families.push(first);
                continue;
            }
            let all: Vec<_> = [first].into_iter().chain(parts.by_ref().take(others)).collect();
            families.push(match core.derive(&all, &mut before, &mut derived) {
                Some(part) => part,
                None => Part::Family(core.merge(all)),
            });
        }
        *core.derived.lock() = derived;
        read(families)
    }
}

/// Reads all plans into one list of numbers.
fn read(parts: Vec<Part>) -> Vec<MetricFamily> {
    let words = parts.iter().filter_map(Part::plan).map(|plan| plan.words()).sum();
    let mut numbers = vec![0; words];
    let mut rest = &mut *numbers;
    for plan in parts.iter().filter_map(Part::plan) {
        let Some((own, others)) = rest.split_at_mut_checked(plan.words()) else {
            unreachable!("there are as many numbers as the plans have together")
        };
        plan.read(own);
        rest = others;
    }
    let (numbers, mut from) = (Arc::new(numbers), 0);
    let families = parts.into_iter().map(|part| match part {
        Part::Plan(plan) => {
            let start = from;
            from += plan.words();
            MetricFamily::read(plan, &numbers, start)
        }
        Part::Family(family) => family,
    });
    families.collect()
}

impl Core {
    /// Returns what all collectors have, sorted by name, without families that have no series.
    fn parts(&self) -> std::vec::IntoIter<Part> {
        let mut parts = Vec::with_capacity(self.collectors.len());
        for Registered { collector, plan } in self.collectors.values() {
            match collector.__plan(plan) {
                Some(plan) if plan.is_empty() => {}
                Some(plan) => parts.push(Part::Plan(plan)),
                None => {
                    let families = collector.collect().into_iter();
                    parts.extend(families.filter(|family| !family.is_empty()).map(Part::Family));
                }
            }
        }
        // Stable, so that families are merged in the same order at each gathering.
        parts.sort_by(|a, b| a.name().cmp(b.name()));
        parts.into_iter()
    }

    /// Returns whether all families are renamed, or all series get further labels.
    fn renames(&self) -> bool {
        self.prefix.is_some() || !self.labels.is_empty()
    }

    /// Returns the name with the prefix.
    fn name(&self, name: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}_{name}"),
            None => name.to_owned(),
        }
    }

    /// Returns all parts of one family as one that needs no message, if there is one. It keeps the plan for the next gathering.
    fn derive(
        &self,
        parts: &[Part],
        before: &mut HashMap<String, Derived>,
        derived: &mut HashMap<String, Derived>,
    ) -> Option<Part> {
        let (first, others) = parts.split_first()?;
        let collected = match first {
            Part::Family(family) if others.is_empty() => Some(family),
            _ => None,
        };
        let sources: Vec<_> = match collected {
            Some(family) => vec![Arc::clone(family.reading()?.plan())],
            None => parts.iter().map(|part| part.plan().cloned()).collect::<Option<_>>()?,
        };
        let same = |known: &Derived| {
            known.sources.len() == sources.len()
                && known.sources.iter().zip(&sources).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        let (name, known) = match before.remove_entry(first.name()) {
            Some((name, known)) if same(&known) => (name, known),
            _ => (first.name().to_owned(), self.plan(sources)?),
        };
        let plan = Arc::clone(&known.plan);
        derived.insert(name, known);
        Some(match collected {
            Some(family) => Part::Family(family.with_plan(plan)?),
            None => Part::Plan(plan),
        })
    }

    /// Returns the plan of all sources; `None` if their types differ.
    fn plan(&self, sources: Vec<Arc<Plan>>) -> Option<Derived> {
        let kind = sources.first()?.kind();
        if sources.iter().any(|plan| plan.kind() != kind) {
            return None;
        }
        let plan = if let [one] = &sources[..] {
            one.renamed(self.name(one.name()), &self.labels)
        } else {
            let merged = Plan::merged(&sources)?;
            if self.renames() {
                merged.renamed(self.name(merged.name()), &self.labels)
            } else {
                merged
            }
        };
        Some(Derived { sources, plan: Arc::new(plan) })
    }

    /// Returns all parts of one family as one message.
    fn merge(&self, parts: Vec<Part>) -> MetricFamily {
        let mut parts = parts.into_iter().map(Part::into_family);
        let mut family = parts.next().unwrap_or_default();
        for mut other in parts {
            family.mut_metric().append(other.mut_metric());
        }
        self.finish(family)
    }

    /// Sorts the series, and applies prefix and labels.
    fn finish(&self, mut family: MetricFamily) -> MetricFamily {
        family.mut_metric().sort_by(order);
        if self.prefix.is_some() {
            let name = self.name(family.name());
            family.set_name(name);
        }
        if !self.labels.is_empty() {
            for metric in family.mut_metric() {
                let mut labels = metric.take_label();
                labels.extend_from_slice(&self.labels);
                metric.set_label(labels);
            }
        }
        family
    }
}

/// Returns the sum of the different ids of the descriptors.
fn collector_id(descs: &[&Desc]) -> u64 {
    let ids: HashSet<u64> = descs.iter().map(|desc| desc.id).collect();
    ids.into_iter().fold(0, u64::wrapping_add)
}

/// Orders series by the number of their labels, then by the values, then by time.
fn order(a: &Metric, b: &Metric) -> Ordering {
    let (left, right) = (a.get_label(), b.get_label());
    let values = || left.iter().map(|pair| pair.value()).cmp(right.iter().map(|pair| pair.value()));
    let times = || a.timestamp_ms().cmp(&b.timestamp_ms());
    left.len().cmp(&right.len()).then_with(values).then_with(times)
}

static DEFAULT: LazyLock<Registry> = LazyLock::new(|| {
    let registry = Registry::new();
    #[cfg(all(feature = "process", target_os = "linux"))]
    {
        let process = crate::process_collector::ProcessCollector::for_self();
        let registered = registry.register(Box::new(process));
        debug_assert!(registered.is_ok(), "an empty registry takes every collector");
    }
    registry
});

/// Returns the registry of the process. With the feature `process` it has the metrics of the process.
pub fn default_registry() -> &'static Registry {
    &DEFAULT
}

/// Adds a collector to the [default registry](default_registry).
///
/// # Errors
/// As [`Registry::register`].
pub fn register(c: Box<dyn Collector>) -> Result<()> {
    DEFAULT.register(c)
}

/// Removes a collector from the [default registry](default_registry).
///
/// # Errors
/// As [`Registry::unregister`].
pub fn unregister(c: Box<dyn Collector>) -> Result<()> {
    DEFAULT.unregister(c)
}

/// Collects all families of the [default registry](default_registry).
pub fn gather() -> Vec<MetricFamily> {
    DEFAULT.gather()
}
