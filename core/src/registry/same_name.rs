//! The families of one name, over all scopes, and the search for two that could print the same series.
//!
//! A name may be registered in thousands of scopes. So families are kept in classes by the names of their labels, and within a
//! class by the values of the constant ones, in the order of the labels, which is that of the scopes from the outermost:
//!
//! ```text
//! [namespace, component] [model]        (dynamo, decode)   -> family
//!                                       (dynamo, prefill)  -> family
//! [namespace] [component, model]        (test)             -> family
//! ```
//!
//! The label names of two classes decide whether their families can have a series in common at all. The values of the labels that are
//! constant in both decide which families can. These values are looked up as long as their labels are the first ones of the class, as
//! those of outer scopes are; members that agree in them are searched for the others.
//!
//! Cost: linear in the number of classes, logarithmic in the families of each.

use crate::descriptor::Descriptor;
use crate::escaping::Escaping;
use crate::family::FamilyCore;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// All families of one name.
#[derive(Debug, Default)]
pub(super) struct SameName {
    /// Each has a member.
    classes: Vec<Class>,
}

/// Families with the same label names.
#[derive(Debug)]
struct Class {
    constant: Box<[Box<str>]>,
    varying: Box<[Box<str>]>,
    /// True if no value of the varying labels is empty.
    dynamic: bool,
    /// The families, by the values of the constant labels.
    members: BTreeMap<Values, Member>,
}

type Values = Box<[Box<str>]>;

/// One family.
#[derive(Debug)]
struct Member {
    family: Arc<FamilyCore>,
    /// The number of its constant labels that are its scope's. With their values, they say which scope it is.
    depth: usize,
}

impl SameName {
    /// Enters a family of a scope with `depth` labels.
    pub(super) fn insert(&mut self, family: Arc<FamilyCore>, depth: usize) {
        let descriptor = &family.metadata.descriptor;
        let known = self.classes.iter().position(|class| class.is_of(descriptor));
        let at = known.unwrap_or_else(|| {
            self.classes.push(Class::of(descriptor));
            self.classes.len() - 1
        });
        self.classes[at].members.insert(values(descriptor), Member { family, depth });
    }

    /// Takes a family out.
    pub(super) fn remove(&mut self, descriptor: &Descriptor) {
        let Some(at) = self.classes.iter().position(|class| class.is_of(descriptor)) else {
            return;
        };
        self.classes[at].members.remove(&values(descriptor));
        if self.classes[at].members.is_empty() {
            self.classes.swap_remove(at);
        }
    }

    /// Returns any of the families: those of one name agree in type and unit.
    pub(super) fn any(&self) -> Option<&Arc<FamilyCore>> {
        let (_, member) = self.classes.first()?.members.first_key_value()?;
        Some(&member.family)
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<FamilyCore>> {
        self.classes.iter().flat_map(|class| class.members.values()).map(|member| &member.family)
    }

    /// Returns the family with these very labels, if its scope has `depth` of them.
    pub(super) fn get(&self, asked: &Descriptor, depth: usize) -> Option<&Arc<FamilyCore>> {
        let class = self.classes.iter().find(|class| class.is_of(asked))?;
        let member = class.members.get(&values(asked))?;
        (member.depth == depth).then_some(&member.family)
    }

    /// Returns a family that could print a series that `asked` could print, and the scheme under which it could. A label whose value
    /// is empty is the same as none, so a label that varies may be there or not: only constant labels tell series apart, by another
    /// value, or by not being a label of the other family at all.
    pub(super) fn meeting(&self, asked: &Descriptor) -> Option<(&Arc<FamilyCore>, Escaping)> {
        self.classes.iter().find_map(|class| {
            Escaping::ALL.into_iter().find_map(|scheme| {
                let shared = class.shared_with(asked, scheme)?;
                let member = class.candidates(&shared).find(|(values, _)| agree(values, &shared));
                member.map(|(_, member)| (&member.family, scheme))
            })
        })
    }
}

impl Class {
    fn of(descriptor: &Descriptor) -> Self {
        let constant = descriptor.const_labels().map(|(label, _)| label.into()).collect();
        let varying = descriptor.label_names().map(Into::into).collect();
        Self { constant, varying, dynamic: descriptor.dynamic, members: BTreeMap::new() }
    }

    fn is_of(&self, descriptor: &Descriptor) -> bool {
        let constant = descriptor.const_labels().map(|(label, _)| label);
        self.dynamic == descriptor.dynamic
            && constant.eq(self.constant.iter().map(|label| &**label))
            && descriptor.label_names().eq(self.varying.iter().map(|label| &**label))
    }

    /// Returns the values that `asked` has for the constant labels of this class, with `None` for a label that varies in `asked`.
    /// Returns `None` altogether if a constant label of the one is no label of the other: then they have no series in common.
    fn shared_with<'a>(
        &self,
        asked: &'a Descriptor,
        scheme: Escaping,
    ) -> Option<Vec<Option<&'a str>>> {
        let theirs: Vec<(Cow<'_, str>, &str)> =
            asked.const_labels().map(|(label, value)| (scheme.label_name(label), value)).collect();
        let ours: Vec<Cow<'_, str>> =
            self.constant.iter().map(|label| scheme.label_name(label)).collect();
        let is_ours = |label: &Cow<'_, str>| {
            ours.contains(label) || self.varying.iter().any(|own| scheme.label_name(own) == *label)
        };
        if !theirs.iter().all(|(label, _)| is_ours(label)) {
            return None;
        }
        let varies =
            |label: &str| asked.label_names().any(|also| scheme.label_name(also) == *label);
        if self.dynamic && asked.dynamic {
            // Labels that vary are always there, so all names have to agree.
            let theirs_too = |label: &str| {
                let label = scheme.label_name(label);
                varies(&label) || theirs.iter().any(|(also, _)| *also == label)
            };
            let ours_too = asked.label_names().all(|label| is_ours(&scheme.label_name(label)));
            if !ours_too || !self.varying.iter().all(|label| theirs_too(label)) {
                return None;
            }
        }
        let shared = ours.iter().map(|label| {
            let constant = theirs.iter().find(|(also, _)| also == label);
            let value = constant.map(|&(_, value)| value);
            (value.is_some() || varies(label)).then_some(value)
        });
        shared.collect()
    }

    /// Returns the families with these first values, up to the first unknown one; values behind it are still to be compared.
    fn candidates(&self, shared: &[Option<&str>]) -> impl Iterator<Item = (&Values, &Member)> {
        let known: Values = shared.iter().map_while(|value| value.map(Into::into)).collect();
        let from = (Bound::Included(&*known), Bound::Unbounded);
        let members = self.members.range::<[Box<str>], _>(from);
        members.take_while(move |(values, _)| values.starts_with(&known))
    }
}

fn values(descriptor: &Descriptor) -> Values {
    descriptor.const_labels().map(|(_, value)| value.into()).collect()
}

/// Returns whether a family's values are those that are shared.
fn agree(values: &[Box<str>], shared: &[Option<&str>]) -> bool {
    values.iter().zip(shared).all(|(value, shared)| shared.is_none_or(|shared| **value == *shared))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Opts, Registry};

    /// A family of this scope with these labels, and how many its scope has.
    fn family(scope: &[(&str, &str)], own: Option<(&str, &str)>, varying: &[&str]) -> Entry {
        let registry = Registry::new().scope(scope).unwrap();
        let opts = own.into_iter().fold(Opts::new("x", ""), |opts, (l, v)| opts.const_label(l, v));
        let registered = match *varying {
            [] => registry.gauge_family(opts, []).map(drop),
            [a] => registry.gauge_family(opts, [a]).map(drop),
            [a, b] => registry.gauge_family(opts, [a, b]).map(drop),
            _ => panic!("at most two"),
        };
        registered.unwrap();
        let families = registry.families();
        let family = families.iter().find(|family| family.metadata.descriptor.name() == "x");
        (Arc::clone(family.unwrap()), scope.len())
    }

    type Entry = (Arc<FamilyCore>, usize);

    fn descriptor(entry: &Entry) -> &Descriptor {
        &entry.0.metadata.descriptor
    }

    #[test]
    fn one_family_of_thousands_of_scopes_is_looked_at_and_no_other() {
        let mut all = SameName::default();
        const SCOPES: usize = 1000;
        let at = |n: usize| {
            let (namespace, component) = ((n % 10).to_string(), n.to_string());
            family(&[("namespace", &namespace), ("component", &component)], None, &["model"])
        };
        let entries: Vec<Entry> = (0..SCOPES).map(at).collect();
        for (family, depth) in &entries {
            let descriptor = &family.metadata.descriptor;
            assert!(all.meeting(descriptor).is_none() && all.get(descriptor, *depth).is_none());
            for class in &all.classes {
                let shared = class.shared_with(descriptor, Escaping::AllowUtf8).unwrap();
                assert_eq!(class.candidates(&shared).count(), 0);
            }
            all.insert(Arc::clone(family), *depth);
        }
        // A family of the namespace alone could meet those of its components, and no others.
        let above = family(&[("namespace", "3")], None, &["component", "model"]);
        let shared = all.classes[0].shared_with(descriptor(&above), Escaping::AllowUtf8).unwrap();
        assert_eq!(all.classes[0].candidates(&shared).count(), SCOPES / 10);
        assert!(all.meeting(descriptor(&above)).is_some());
        for entry in &entries {
            assert!(all.get(descriptor(entry), entry.1).is_some());
            all.remove(descriptor(entry));
        }
        assert!(all.any().is_none() && all.classes.is_empty());
    }

    #[test]
    fn the_scope_is_part_of_what_a_family_is() {
        let mut all = SameName::default();
        let (family, depth) = family(&[("a", "1")], Some(("b", "2")), &[]);
        all.insert(Arc::clone(&family), depth);
        let asked = &family.metadata.descriptor;
        assert!(all.get(asked, 1).is_some() && all.get(asked, 0).is_none());
        assert!(all.meeting(asked).is_some(), "which is why another scope cannot have it");
    }

    #[test]
    fn families_meet_by_constant_labels_in_any_place() {
        let mut all = SameName::default();
        let inner = family(&[("a", "1"), ("b", "2")], None, &[]);
        all.insert(Arc::clone(&inner.0), inner.1);
        let meets = |scope: &[(&str, &str)], varying: &[&str]| {
            all.meeting(descriptor(&family(scope, None, varying))).is_some()
        };
        assert!(meets(&[("b", "2")], &["a"]), "behind a gap");
        assert!(!meets(&[("b", "3")], &["a"]));
        assert!(meets(&[("b", "2"), ("a", "1")], &[]), "in another order");
        assert!(!meets(&[("b", "1"), ("a", "2")], &[]));
        assert!(!meets(&[("b", "2")], &["c"]), "`a` is no label of it");
        assert!(!meets(&[("a", "1"), ("b", "2"), ("c", "3")], &[]), "`c` is no label of the other");
        assert!(meets(&[], &["a", "b"]));
    }
}
