//! The registry: which metrics exist, under which names, in which scope.
//!
//! A registry is a tree. The root has no labels; [`Registry::scope`] makes a child whose labels stand on every
//! metric registered in it, and a scrape of any level shows that level and everything below. All levels share
//! one pool of cells and one index of names, so that a name means one type wherever it is registered.
//!
//! **What is registered can be printed.** Every collision is found here, once: another type under the same
//! name, `x_count` against the count of histogram `x`, two scopes that could print the same series. So the
//! encoder has no error to report.

use crate::arena::Pool;
use crate::buckets::Buckets;
use crate::clock::Clock;
use crate::descriptor::{Descriptor, Kind, Opts};
use crate::error::RegisterError;
use crate::escaping::Escaping;
use crate::family::{Family, FamilyCore, Metric};
use crate::label::{OPERATOR_LABEL_VALUE_BYTES_MAX, check_label_name, check_operator_value};
use crate::occupied::Occupied;
use crate::series::{Callback, Shape};
use crate::shard::CELLS_MAX;
use crate::sync::{AtomicU64, Mutex, Ordering, RwLock};
use crate::telemetry::{CUT, OVERFLOWED, PANICKED, REJECTED, Telemetry};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

mod metrics;

type Labels = Box<[(Box<str>, Box<str>)]>;

/// A set of metrics, or one scope of it. Cheap to clone; clones are the same registry.
///
/// Registering twice with an equal descriptor gives the same metric, so two parts of a program need not agree
/// on who comes first:
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
    pub(crate) node: Arc<Node>,
}

/// One level of the tree.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) root: Arc<Root>,
    /// Labels of this level and all above.
    labels: Labels,
    members: RwLock<Members>,
}

#[derive(Debug, Default)]
struct Members {
    families: Vec<Arc<FamilyCore>>,
    scopes: Vec<Registry>,
}

/// What all levels share.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) pool: Arc<Pool>,
    /// Grows whenever a family or a scope comes or goes.
    generation: AtomicU64,
    names: Mutex<Names>,
    telemetry: OnceLock<Arc<Telemetry>>,
    pub(crate) clock: Option<Clock>,
}

/// The index of names. Its lock also puts registrations, removals and listings in order.
#[derive(Debug, Default)]
struct Names {
    /// Family name -> its parts, one for each level and set of constant labels.
    parts: HashMap<Box<str>, Vec<Part>>,
    /// Sample or family name in any format and escaping scheme -> the family that occupies it.
    occupied: Occupied,
}

#[derive(Debug)]
struct Part {
    /// The labels of the level tell levels apart, since a level's scopes have one label more each, and distinct ones.
    labels: Labels,
    family: Arc<FamilyCore>,
}

impl Part {
    fn is_in(&self, node: &Node) -> bool {
        self.labels == node.labels
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::build(None)
    }

    pub(crate) fn build(clock: Option<Clock>) -> Self {
        let root = Arc::new(Root {
            pool: Arc::new(Pool::new()),
            generation: AtomicU64::new(0),
            names: Mutex::new(Names::default()),
            telemetry: OnceLock::new(),
            clock,
        });
        let node = Node { root, labels: Box::new([]), members: RwLock::new(Members::default()) };
        let registry = Self { node: Arc::new(node) };
        // Without address space for a single shard nothing can be registered at all, and whoever tries gets
        // the error; the telemetry has nothing to tell then.
        if let Ok(telemetry) = registry.telemetry() {
            let _ = registry.node.root.telemetry.set(Arc::new(telemetry));
        }
        registry
    }

    fn telemetry(&self) -> Result<Telemetry, RegisterError> {
        // Families are the program's own, and two long names must not become one.
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

    /// The child whose metrics all carry these labels besides this level's; made if it is not there. Several labels are
    /// as many levels, so one set of labels in one order is one scope on whatever way it is reached. A label with an
    /// empty value is the same as no label, and makes no level.
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
    /// A label name that is invalid, reserved, or there already; a value of more than
    /// [`OPERATOR_LABEL_VALUE_BYTES_MAX`](crate::OPERATOR_LABEL_VALUE_BYTES_MAX) bytes.
    pub fn scope(&self, labels: &[(&str, &str)]) -> Result<Self, RegisterError> {
        let above = self.labels().map(|(label, _)| label);
        let all: Vec<&str> = above.chain(labels.iter().map(|&(label, _)| label)).collect();
        for (at, label) in all.iter().enumerate() {
            check_label_name("(scope)", label)?;
            if all[..at].contains(label) {
                let (name, label) = ("(scope)".into(), label.to_string());
                return Err(RegisterError::DuplicateLabel { name, label });
            }
        }
        for (label, value) in labels {
            check_operator_value("(scope)", label, value)?;
        }
        let told = labels.iter().filter(|(_, value)| !value.is_empty());
        Ok(told.fold(self.clone(), |level, &(label, value)| level.child(label, value)))
    }

    /// The level below with one label more.
    fn child(&self, label: &str, value: &str) -> Self {
        let is_it = |scope: &&Self| {
            scope.node.labels.last().is_some_and(|(l, v)| **l == *label && **v == *value)
        };
        let mut members = self.node.members.write();
        if let Some(scope) = members.scopes.iter().find(is_it) {
            return scope.clone();
        }
        let labels = self.node.labels.iter().cloned().chain([(label.into(), value.into())]);
        let (root, labels) = (Arc::clone(&self.node.root), labels.collect());
        let node = Node { root, labels, members: RwLock::new(Members::default()) };
        let scope = Self { node: Arc::new(node) };
        members.scopes.push(scope.clone());
        drop(members);
        self.node.root.changed();
        scope
    }

    /// The labels of this level and all above.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.node.labels.iter().map(|(label, value)| (&**label, &**value))
    }

    /// Removes the metric of this name from this level (not from levels above or below); says whether it was
    /// there. Handles go on working, unseen, and the name is free again.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let requests = registry.counter(("requests_total", "Requests."))?;
    /// assert!(registry.unregister("requests_total") && !registry.unregister("requests_total"));
    /// requests.inc(); // harmless, and seen by nobody
    /// registry.gauge(("requests_total", "Another type under the same name."))?;
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn unregister(&self, name: &str) -> bool {
        let mut names = self.node.root.names.lock();
        let mut members = self.node.members.write();
        let is_it = |family: &mut Arc<FamilyCore>| family.shape.descriptor.name() == name;
        let gone: Vec<Arc<FamilyCore>> = members.families.extract_if(.., is_it).collect();
        drop(members);
        let removed = !gone.is_empty();
        if removed {
            // While the names are locked, so that whoever finds the name free finds another generation, too.
            self.node.root.changed();
        }
        if let Some(parts) = names.parts.get_mut(name) {
            // `gone` holds what this drops, so nothing ends here.
            parts.retain(|part| !part.is_in(&self.node));
            if parts.is_empty() {
                names.parts.remove(name);
                names.occupied.remove(name);
            }
        }
        drop(names);
        // What a callback captured ends here, and may use the registry in its own end.
        drop(gone);
        removed
    }

    /// Whether any level of the tree has a metric that prints samples of this name, under any
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
        self.node.root.names.lock().occupied.contains(sample_name)
    }

    pub(crate) fn family<M: Metric, const N: usize>(
        &self,
        opts: Opts,
        label_names: [&str; N],
        buckets: Option<Arc<Buckets>>,
    ) -> Result<Family<M, N>, RegisterError> {
        self.family_of(self.descriptor(opts, M::KIND, &label_names, buckets)?)
    }

    /// What is asked for at this level, checked by itself.
    pub(crate) fn descriptor(
        &self,
        opts: Opts,
        kind: Kind,
        label_names: &[&str],
        buckets: Option<Arc<Buckets>>,
    ) -> Result<Descriptor, RegisterError> {
        Descriptor::new(opts, kind, &self.node.labels, label_names, buckets)
    }

    /// The family that is asked for; made if it is not there.
    pub(crate) fn family_of<M: Metric, const N: usize>(
        &self,
        asked: Descriptor,
    ) -> Result<Family<M, N>, RegisterError> {
        let mut names = self.node.root.names.lock();
        if let Some(family) = self.registered(&names, &asked)? {
            return Ok(Family::new(family));
        }
        let name = asked.name.clone();
        let family = FamilyCore::new(self.shape(asked))
            .ok_or_else(|| RegisterError::NoCells { name: name.into(), max: CELLS_MAX })?;
        Ok(Family::new(self.add(&mut names, family)))
    }

    pub(crate) fn callback(
        &self,
        opts: Opts,
        kind: Kind,
        callback: Callback,
    ) -> Result<(), RegisterError> {
        let asked = Descriptor::new(opts, kind, &self.node.labels, &[], None)?;
        let mut names = self.node.root.names.lock();
        if self.registered(&names, &asked)?.is_some() {
            return Err(RegisterError::DuplicateCallback { name: asked.name.into() });
        }
        let family = FamilyCore::computed(self.shape(asked), callback);
        self.add(&mut names, family);
        Ok(())
    }

    fn shape(&self, descriptor: Descriptor) -> Shape {
        static NEXT_ID: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        Shape {
            id: NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            descriptor,
            pool: Arc::clone(&self.node.root.pool),
            telemetry: self.node.root.telemetry.get().cloned(),
            clock: self.node.root.clock.clone(),
        }
    }

    /// The family that `asked` describes if this level has it; an error if it collides with anything.
    fn registered(
        &self,
        names: &Names,
        asked: &Descriptor,
    ) -> Result<Option<Arc<FamilyCore>>, RegisterError> {
        let parts = names.parts.get(asked.name()).map_or(&[][..], Vec::as_slice);
        for part in parts {
            let there = &part.family.shape.descriptor;
            if part.is_in(&self.node) {
                if let Some(error) = there.conflict(asked) {
                    return Err(error);
                }
                if there.const_labels == asked.const_labels {
                    return Ok(Some(Arc::clone(&part.family)));
                }
                if !there.const_labels().map(|l| l.0).eq(asked.const_labels().map(|l| l.0)) {
                    return Err(differs(there, "constant labels", Descriptor::scope_text, asked));
                }
            } else if there.kind.open_metrics() != asked.kind.open_metrics() {
                return Err(differs(there, "type", |d| d.kind.open_metrics().into(), asked));
            } else if there.unit != asked.unit {
                return Err(differs(there, "unit", |d| format!("{:?}", d.unit), asked));
            }
        }
        for part in parts {
            let there = &part.family.shape.descriptor;
            if let Some(scheme) = there.may_meet(asked) {
                let labels: Vec<&str> =
                    asked.const_labels().map(|label| label.0).chain(asked.label_names()).collect();
                let labels = match scheme {
                    Escaping::AllowUtf8 => format!("[{}]", labels.join(", ")),
                    _ => format!("[{}] under escaping={scheme}", labels.join(", ")),
                };
                return Err(RegisterError::SameSeries {
                    name: asked.name.to_string(),
                    scope: asked.scope_text(),
                    other: there.scope_text(),
                    labels,
                });
            }
        }
        names.occupied.clash(asked).map_or(Ok(None), Err)
    }

    fn add(&self, names: &mut Names, family: FamilyCore) -> Arc<FamilyCore> {
        let family = Arc::new(family);
        let descriptor = &family.shape.descriptor;
        names.occupied.insert(descriptor);
        let part = Part { labels: self.node.labels.clone(), family: Arc::clone(&family) };
        names.parts.entry(descriptor.name.clone()).or_default().push(part);
        self.node.members.write().families.push(Arc::clone(&family));
        self.node.root.changed();
        family
    }

    /// Every family of this level and below at one instant, own level first.
    ///
    /// **Under the lock that puts registrations in order.** A name that is free again may be given to another type in
    /// another scope, and level by level a listing could find it in both: a page that no scraper takes.
    pub(crate) fn families(&self) -> Vec<Arc<FamilyCore>> {
        let mut families = Vec::new();
        let names = self.node.root.names.lock();
        self.families_into(&mut families);
        drop(names);
        families
    }

    fn families_into(&self, into: &mut Vec<Arc<FamilyCore>>) {
        let members = self.node.members.read();
        into.extend(members.families.iter().cloned());
        for scope in &members.scopes {
            scope.families_into(into);
        }
    }

    /// Grows whenever a family or scope of the tree comes or goes.
    pub(crate) fn generation(&self) -> u64 {
        // Acquire pairs with the Release in `changed`: who sees the number sees the change.
        self.node.root.generation.load(Ordering::Acquire)
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

fn differs(
    there: &Descriptor,
    what: &'static str,
    property: impl Fn(&Descriptor) -> String,
    asked: &Descriptor,
) -> RegisterError {
    RegisterError::Conflict {
        name: asked.name.to_string(),
        what,
        existing: property(there),
        requested: property(asked),
    }
}
