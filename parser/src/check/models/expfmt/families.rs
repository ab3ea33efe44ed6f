//! The families of `expfmt`, by name: a name is a family of its own, or a part of a summary or histogram before it.

use std::collections::HashMap;

use crate::fault::Fault;
use crate::kind::Kind;

/// The type of a family, as far as it matters here.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Type {
    Unknown,
    /// The type of samples without TYPE.
    Implied,
    Declared(Option<Kind>),
}

pub(super) struct Family {
    pub(super) name: String,
    pub(super) help: bool,
    pub(super) kind: Type,
}

impl Family {
    /// The label whose value must be a number, of a distribution.
    pub(super) fn own_label(&self) -> Option<&'static str> {
        match self.kind {
            Type::Declared(Some(Kind::Summary)) => Some("quantile"),
            Type::Declared(Some(Kind::Histogram)) => Some("le"),
            _ => None,
        }
    }
}

#[derive(Default)]
pub(super) struct Families {
    pub(super) list: Vec<Family>,
    by_name: HashMap<String, usize>,
    /// The one that was found last.
    current: Option<usize>,
}

impl Families {
    /// Returns the family that was found last.
    pub(super) fn current(&self) -> Option<&Family> {
        self.current.map(|at| &self.list[at])
    }

    /// Finds the family of this name, or the summary or histogram that it is a part of, or else adds one.
    pub(super) fn find(&mut self, name: &str) -> usize {
        let at = self.known(name).unwrap_or_else(|| {
            self.list.push(Family { name: name.to_owned(), help: false, kind: Type::Unknown });
            self.by_name.insert(name.to_owned(), self.list.len() - 1);
            self.list.len() - 1
        });
        self.current = Some(at);
        at
    }

    fn known(&self, name: &str) -> Option<usize> {
        if let Some(at) = self.by_name.get(name) {
            return Some(*at);
        }
        let parts =
            [("_count", Kind::Summary), ("_sum", Kind::Summary), ("_count", Kind::Histogram)];
        let more = [("_sum", Kind::Histogram), ("_bucket", Kind::Histogram)];
        parts.into_iter().chain(more).find_map(|(suffix, kind)| {
            let base = name.strip_suffix(suffix).filter(|base| !base.is_empty())?;
            let at = *self.by_name.get(base)?;
            (self.list[at].kind == Type::Declared(Some(kind))).then_some(at)
        })
    }

    /// The fault of metadata that the family has already.
    pub(super) fn again(&self, at: usize, word: &'static str, name: &str) -> Option<Fault> {
        let family = &self.list[at];
        let (is_again, is_late) = match word {
            "HELP" => (family.help, false),
            _ => (family.kind != Type::Unknown, family.kind == Type::Implied),
        };
        let name = name.to_owned();
        match family.kind {
            _ if !is_again => None,
            Type::Declared(Some(kind)) if family.name != name => {
                Some(Fault::Claimed { kind, claimer: family.name.clone(), claimed: name })
            }
            _ if is_late => Some(Fault::LateMetadata { word, name }),
            _ => Some(Fault::SecondMetadata { word, name }),
        }
    }
}
