//! The index of a registry: its families by scope, by name, and by the names that they print.
//!
//! **A scope is nothing but its labels.** It is in the index for as long as a family is registered in it, so scopes that come and go,
//! as those of workers do, leave nothing behind. Scopes are sorted by their labels, the outermost first: a scope and everything below it
//! are neighbours.
//!
//! Cost of each operation: the logarithm of the families, but for listing them.

use super::name_index::NameIndex;
use super::same_name::SameName;
use crate::descriptor::Descriptor;
use crate::error::RegisterError;
use crate::escaping::Escaping;
use crate::family::FamilyCore;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// The labels of a scope, from the outermost.
pub(super) type Labels = Arc<[Label]>;
pub(super) type Label = (Box<str>, Box<str>);

#[derive(Debug, Default)]
pub(super) struct Index {
    /// The scopes that have families.
    scopes: BTreeMap<Labels, Scope>,
    names: HashMap<Box<str>, SameName>,
    /// Names of samples and families in any format and escaping scheme.
    printed: NameIndex,
    /// The number of [late descriptions](crate::Registry::describe).
    pub(super) descriptions: u64,
}

/// The families of one scope by name. Those of one name differ in the values of their own constant labels, or in the label names of
/// dynamic families.
type Scope = BTreeMap<Box<str>, Vec<Arc<FamilyCore>>>;

impl Index {
    /// Returns the family that `asked` describes if this scope has it.
    ///
    /// # Errors
    /// A collision with another family.
    pub(super) fn find(
        &self,
        labels: &[Label],
        asked: &Descriptor,
    ) -> Result<Option<Arc<FamilyCore>>, RegisterError> {
        if let Some(families) = self.names.get(asked.name()) {
            let own = self.scopes.get(labels).and_then(|scope| scope.get(asked.name())?.first());
            // Families of one name and scope agree in all that is compared here, so one of them speaks for all.
            if let Some(own) = own {
                check_own(&own.metadata.descriptor, asked)?;
            } else if let Some(other) = families.any() {
                check_other(&other.metadata.descriptor, asked)?;
            }
            if let Some(found) = families.get(asked, labels.len()) {
                return Ok(Some(Arc::clone(found)));
            }
            if let Some((other, scheme)) = families.meeting(asked) {
                return Err(same_series(&other.metadata.descriptor, asked, scheme));
            }
        }
        self.printed.clash(asked).map_or(Ok(None), Err)
    }

    /// Enters a family that was not [found](Self::find).
    pub(super) fn insert(&mut self, labels: &Labels, family: &Arc<FamilyCore>) {
        let descriptor = &family.metadata.descriptor;
        self.printed.insert(descriptor);
        let same_name = self.names.entry(descriptor.name.clone()).or_default();
        same_name.insert(Arc::clone(family), labels.len());
        let scope = self.scopes.entry(Arc::clone(labels)).or_default();
        scope.entry(descriptor.name.clone()).or_default().push(Arc::clone(family));
    }

    /// Takes the families of this name out of this scope.
    pub(super) fn remove(&mut self, labels: &[Label], name: &str) -> Vec<Arc<FamilyCore>> {
        let Some(scope) = self.scopes.get_mut(labels) else { return Vec::new() };
        let gone = scope.remove(name).unwrap_or_default();
        if scope.is_empty() {
            self.scopes.remove(labels);
        }
        let Some(same_name) = self.names.get_mut(name) else { return gone };
        for family in &gone {
            same_name.remove(&family.metadata.descriptor);
        }
        if same_name.any().is_none() {
            self.names.remove(name);
            // Families of one name print the same names, so any of them knows which.
            if let Some(last) = gone.last() {
                self.printed.remove(&last.metadata.descriptor);
            }
        }
        gone
    }

    /// Returns whether any family prints samples of this name under any scheme.
    pub(super) fn prints(&self, sample: &str) -> bool {
        self.printed.contains(sample)
    }

    /// Returns the families of this name in all scopes.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &Arc<FamilyCore>> {
        self.names.get(name).into_iter().flat_map(SameName::all)
    }

    /// Returns the families of this scope and of all below it.
    pub(super) fn families(&self, labels: &[Label]) -> Vec<Arc<FamilyCore>> {
        self.below(labels).flat_map(|(_, scope)| scope.values().flatten().cloned()).collect()
    }

    /// Returns each scope that has families, from this scope down, with each name of its families, but for those that the registry
    /// counts in itself.
    pub(super) fn names(&self, labels: &[Label]) -> Vec<(Labels, Box<str>)> {
        let scopes = self.below(labels);
        let names = scopes.flat_map(|(labels, scope)| scope.iter().map(move |of| (labels, of)));
        let reports = |families: &[Arc<FamilyCore>]| {
            families.iter().any(|family| family.metadata.reporter.is_some())
        };
        let names = names.filter(|(_, (_, families))| reports(families));
        names.map(|(labels, (name, _))| (Arc::clone(labels), name.clone())).collect()
    }

    fn below(&self, labels: &[Label]) -> impl Iterator<Item = (&Labels, &Scope)> {
        let from = (Bound::Included(labels), Bound::Unbounded);
        let scopes = self.scopes.range::<[Label], _>(from);
        scopes.take_while(move |(scope, _)| scope.starts_with(labels))
    }
}

/// Compares what is asked for with what the same scope has under this name.
fn check_own(there: &Descriptor, asked: &Descriptor) -> Result<(), RegisterError> {
    if let Some(error) = there.conflict(asked) {
        return Err(error);
    }
    if !there.const_labels().map(|label| label.0).eq(asked.const_labels().map(|label| label.0)) {
        return Err(differs(there, "constant labels", Descriptor::scope_text, asked));
    }
    Ok(())
}

/// Compares what is asked for with what other scopes have under this name: they agree in what a page says once.
fn check_other(there: &Descriptor, asked: &Descriptor) -> Result<(), RegisterError> {
    if there.kind.open_metrics() != asked.kind.open_metrics() {
        return Err(differs(there, "type", |d| d.kind.open_metrics().into(), asked));
    }
    if there.unit != asked.unit {
        return Err(differs(there, "unit", |d| format!("{:?}", d.unit), asked));
    }
    Ok(())
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

fn same_series(there: &Descriptor, asked: &Descriptor, scheme: Escaping) -> RegisterError {
    let labels: Vec<&str> =
        asked.const_labels().map(|label| label.0).chain(asked.label_names()).collect();
    let labels = match scheme {
        Escaping::AllowUtf8 => format!("[{}]", labels.join(", ")),
        _ => format!("[{}] under escaping={scheme}", labels.join(", ")),
    };
    RegisterError::SameSeries {
        name: asked.name.to_string(),
        scope: asked.scope_text(),
        other: there.scope_text(),
        labels,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::{Buckets, RegisterError, Registry};

    /// The number of scopes and of names in the index.
    fn len(registry: &Registry) -> (usize, usize) {
        let index = registry.root.index.lock();
        (index.scopes.len(), index.names.len())
    }

    #[test]
    fn scopes_that_come_and_go_leave_nothing_behind() -> Result<(), RegisterError> {
        let registry = Registry::new();
        registry.counter(("requests_total", ""))?;
        let before = len(&registry);
        let buckets = Buckets::new([1.0]).unwrap();
        let workers: Vec<Registry> = (0..100)
            .map(|n| registry.scope(&[("component", "worker"), ("worker", &n.to_string())]))
            .collect::<Result<_, _>>()?;
        assert_eq!(len(&registry), before, "a scope without metrics is in no index");
        for worker in &workers {
            worker.counter_family(("requests_total", ""), ["model"])?;
            worker.scope(&[("rank", "0")])?.histogram(("wait_seconds", ""), &buckets)?;
        }
        assert_eq!(len(&registry), (before.0 + 200, before.1 + 1));
        assert!(workers.iter().all(|worker| worker.unregister_all() == 2));
        assert_eq!(len(&registry), before);
        assert!(!registry.occupies("wait_seconds_bucket"));
        // The handle of a scope that was emptied fills it again, and it is the one that others reach by its labels.
        workers[7].counter_family(("requests_total", ""), ["model"])?.with(["m"]).inc();
        let again = registry.scope(&[("component", "worker")])?.scope(&[("worker", "7")])?;
        assert_eq!(again.counter_family(("requests_total", ""), ["model"])?.with(["m"]).get(), 1);
        Ok(())
    }

    #[test]
    fn scopes_whose_labels_begin_alike_are_told_apart() -> Result<(), RegisterError> {
        let registry = Registry::new();
        let values = ["1", "1a", "10", "2", "1\u{0}", ""];
        let scopes: Vec<Registry> = values
            .iter()
            .map(|value| registry.scope(&[("worker", value), ("rank", "0")]))
            .collect::<Result<_, _>>()?;
        for scope in &scopes {
            scope.gauge(("load", ""))?;
        }
        let first = registry.scope(&[("worker", "1")])?;
        assert_eq!(first.families().len(), 1, "`1` is no beginning of `10`");
        assert_eq!(first.unregister_all(), 1);
        assert!(scopes[1..].iter().all(|scope| scope.unregister("load")));
        Ok(())
    }

    #[test]
    fn the_registrys_own_metrics_stay() {
        let registry = Registry::new();
        let before = len(&registry);
        registry.counter(("requests_total", "")).unwrap();
        assert_eq!(registry.unregister_all(), 1);
        assert_eq!(len(&registry), before);
    }
}
