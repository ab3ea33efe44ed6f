//! The index from sample names to the families that print them, under each escaping scheme.
//!
//! Names are compared as one scraper sees them: `a.b` and `a_b` are two metrics to a Prometheus that accepts UTF-8, and one to
//! a scraper that asks for underscores. So the index keeps an owner for each scheme. **A name has at most one owner in a
//! scheme.** It costs 64 bytes a name besides the text, and legacy names are the same text in three schemes. Scrapes and
//! recordings do not use the index.

use crate::descriptor::Descriptor;
use crate::error::RegisterError;
use crate::escaping::Escaping;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// The index of sample and family names in any format and scheme.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    names: HashMap<String, Owners>,
}

/// The family that occupies a name, by scheme.
type Owners = [Option<Arc<str>>; Escaping::ALL.len()];

impl NameIndex {
    /// Returns whether any family prints samples of this name under any scheme.
    pub(crate) fn contains(&self, sample: &str) -> bool {
        self.names.contains_key(sample)
    }

    /// The error that says which other family prints a sample that `asked` would print, if one does.
    pub(crate) fn clash(&self, asked: &Descriptor) -> Option<RegisterError> {
        Escaping::ALL.into_iter().find_map(|scheme| {
            let samples = asked.occupied_as(&scheme.metric_name(asked.name()));
            samples.into_iter().find_map(|sample| {
                let owner = self.names.get(&sample)?[scheme as usize].as_deref()?;
                let (name, other) = (asked.name().to_string(), owner.to_string());
                (owner != asked.name()).then_some(match scheme {
                    Escaping::AllowUtf8 => RegisterError::SuffixClash { name, other, sample },
                    _ => RegisterError::EscapedClash { name, other, scheme, sample },
                })
            })
        })
    }

    /// Enters every name of a family that does not [clash](Self::clash).
    pub(crate) fn insert(&mut self, descriptor: &Descriptor) {
        let family: Arc<str> = descriptor.name().into();
        for scheme in Escaping::ALL {
            for sample in descriptor.occupied_as(&scheme.metric_name(descriptor.name())) {
                self.names.entry(sample).or_default()[scheme as usize] = Some(Arc::clone(&family));
            }
        }
    }

    /// Frees all names of a family.
    pub(crate) fn remove(&mut self, descriptor: &Descriptor) {
        for scheme in Escaping::ALL {
            for sample in descriptor.occupied_as(&scheme.metric_name(descriptor.name())) {
                let Entry::Occupied(mut entry) = self.names.entry(sample) else { continue };
                let owners = entry.get_mut();
                owners[scheme as usize].take_if(|owner| **owner == *descriptor.name());
                if owners.iter().all(Option::is_none) {
                    entry.remove();
                }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::descriptor::{Kind, Opts};
    use proptest::prelude::*;

    fn gauge(name: &str) -> Descriptor {
        Descriptor::new(Opts::new(name, "").utf8_names(), Kind::Gauge, &[], &[], None).unwrap()
    }

    #[test]
    fn a_name_has_one_owner_a_scheme() {
        let mut index = NameIndex::default();
        // As underscores `a_b` is taken by `a.b`; as they are, both names are free for each other.
        index.insert(&gauge("a.b"));
        assert!(matches!(
            index.clash(&gauge("a_b")),
            Some(RegisterError::EscapedClash { scheme: Escaping::Underscores, .. })
        ));
        // The form of one scheme is no obstacle in another: `U__a_2e_b` is `a.b` under `values` only.
        assert!(index.clash(&gauge("a_dot_b")).is_none());
        assert!(matches!(
            index.clash(&gauge("U__a_2e_b")),
            Some(RegisterError::EscapedClash { scheme: Escaping::Values, .. })
        ));
        assert!(index.clash(&gauge("a.b")).is_none(), "a family does not clash with itself");
        for name in ["a.b", "a_b", "a_dot_b", "U__a_2e_b"] {
            assert!(index.contains(name), "{name}");
        }
        index.remove(&gauge("other"));
        index.remove(&gauge("a.b"));
        assert!(index.names.is_empty());
    }

    #[test]
    fn removing_one_family_leaves_what_another_owns_of_the_same_text() {
        let mut index = NameIndex::default();
        // `a_dot_b` is the form of the first under dots, and of the second under all others.
        index.insert(&gauge("a.b"));
        index.insert(&gauge("a_dot_b"));
        index.remove(&gauge("a.b"));
        assert!(index.contains("a_dot_b") && !index.contains("a_b"));
        assert!(index.clash(&gauge("a-b")).is_none());
        assert!(index.clash(&gauge("a dot_b")).is_some());
    }

    /// Legacy names that often meet: few letters, and the suffixes that kinds add.
    fn legacy() -> impl Strategy<Value = Descriptor> {
        let suffix = vec!["", "_total", "_created", "_bucket", "_sum", "_count", "_"];
        let kind = vec![Kind::Counter, Kind::Gauge, Kind::Histogram];
        ("[a_]{1,3}", prop::sample::select(suffix), prop::sample::select(kind)).prop_map(
            |(stem, suffix, kind)| {
                Descriptor::new(Opts::new(format!("{stem}{suffix}"), ""), kind, &[], &[], None)
                    .unwrap()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// No scheme keeps a program from starting that uses legacy names only.
        #[test]
        fn legacy_names_meet_as_they_are_or_never(a in legacy(), b in legacy()) {
            let mut index = NameIndex::default();
            index.insert(&a);
            let meet = a.occupied_as(a.name()).iter().any(|sample| {
                a.name() != b.name() && b.occupied_as(b.name()).contains(sample)
            });
            match index.clash(&b) {
                None => prop_assert!(!meet),
                Some(RegisterError::SuffixClash { .. }) => prop_assert!(meet),
                Some(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
