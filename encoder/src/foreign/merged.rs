//! All sources together: one family a name, one group of samples a label set.
//!
//! A family of the merge claims its own name and, as a histogram or summary, the suffixed ones; no
//! two families claim one name, and none claims a reserved one. Within a family each label set
//! (without `le` or `quantile`) is a *group*: a single sample for simple types, a whole point for
//! histograms and summaries. The first to come keeps a name, a type, a group, a bucket.
//!
//! Families and groups are linked lists in order of first appearance, so that the output keeps the
//! order of the input and nothing is ever moved.

use super::Report;
use super::arena::{Arena, Index, NONE, Span};
use super::line::Label;
use super::source::{Part, Role};
use super::store::Store;
use super::weaker::Weaker;
use crate::strict::grammar::metric_name_len;
use crate::strict::{Format, Kind};

/// Most families of one merge. Engines have about fifty; more than this is a name that carries what
/// should be a label.
pub(super) const FAMILIES_MAX: usize = 10_000;

/// Why a part of a source finds no place.
pub(super) enum Refusal {
    /// A name is taken or reserved.
    Clash,
    /// [`FAMILIES_MAX`] is reached.
    Full,
}

pub(super) struct Family {
    /// Its name before it was escaped.
    pub(super) raw: Span,
    /// Sample names as they are written: its own, that of buckets, of the sum, of the count.
    pub(super) names: [Span; 4],
    pub(super) shape: Shape,
    /// Its name must stand in quotes.
    pub(super) quoted: bool,
    pub(super) kind: Kind,
    /// Raw; empty when there is none.
    pub(super) help: Span,
    pub(super) first: u32,
    last: u32,
}

/// How a family is written, where formats differ; settled by `openmetrics.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// By its name and type.
    Plain,
    /// As OpenMetrics' counter, histogram or summary, whose `_created` series are this family's, or [`NONE`]'s.
    OpenMetrics { created: u32 },
    /// As OpenMetrics' `unknown`: a counter that cannot have its name there.
    Unknown,
    /// The `_created` series of another.
    Created,
    /// Not at all: its name is taken in OpenMetrics.
    Withheld,
}

pub(super) struct Group {
    family: u32,
    pub(super) source: u32,
    chain: u32,
    /// The sample whose labels are the group's.
    pub(super) key: u32,
    /// Was written as `_created` of another family's group.
    pub(super) used: bool,
    /// Holds a sample that makes no sense.
    pub(super) broken: bool,
    pub(super) first: u32,
    last: u32,
    pub(super) next: u32,
}

/// A sample name and who has it.
pub(super) struct Claim {
    name: Span,
    pub(super) family: u32,
    /// Whether it is the family's own name, without suffix.
    own: bool,
    chain: u32,
}

#[derive(Default)]
pub(super) struct Merged {
    pub(super) families: Vec<Family>,
    pub(super) groups: Vec<Group>,
    group_index: Index,
    claims: Vec<Claim>,
    claim_index: Index,
    /// The last group of a histogram or summary: most often also the next.
    last_group: u32,
    /// Samples of one point in the order in which they are written.
    pub(super) point: Vec<u32>,
    pub(super) scratch: Scratch,
}

/// Memory of writers.
#[derive(Default)]
pub(super) struct Scratch {
    /// A name that is looked for.
    pub(super) name: String,
    /// Labels of an exemplar.
    pub(super) labels: Vec<Label>,
    /// A message of protobuf, before its length is known.
    pub(super) message: Vec<u8>,
}

/// Gives up the types of a family and of a part that meet in a name. Untyped families share it.
fn weaken(store: &Store, weaker: &mut Weaker, family: &Family, part: &Part, prefix: &[u8]) {
    if family.kind != Kind::Untyped {
        weaker.add(store.arena.get(family.raw));
    }
    if part.kind != Kind::Untyped {
        weaker.add_prefixed(store.arena.get(part.name), prefix);
    }
}

impl Family {
    pub(super) fn sample_name(&self, role: Role) -> Span {
        self.names[match role {
            Role::Value | Role::Quantile | Role::Stray => 0,
            Role::Bucket => 1,
            Role::Sum => 2,
            Role::Count => 3,
        }]
    }
}

impl Merged {
    pub(super) fn clear(&mut self) {
        self.families.clear();
        self.groups.clear();
        self.group_index.clear();
        self.claims.clear();
        self.claim_index.clear();
        self.last_group = NONE;
    }

    /// Finds or makes the family that a part belongs to.
    pub(super) fn bind(
        &mut self,
        store: &mut Store,
        part: &Part,
        prefix: &[u8],
        reserved: &dyn Fn(&str) -> bool,
        weaker: &mut Weaker,
    ) -> Result<u32, Refusal> {
        let mark = store.arena.len();
        let mut raw = part.name;
        if !store.arena.get(raw).starts_with(prefix) {
            raw = store.arena.join(prefix, raw, b"");
        }
        let name = store.escape_name(raw);
        if let Some(claim) = self.claim(store, store.arena.get(name)) {
            let (own, at) = (claim.own, claim.family);
            store.arena.truncate(mark);
            let family = &mut self.families[at as usize];
            if !own || family.kind != part.kind {
                weaken(store, weaker, family, part, prefix);
                return Err(Refusal::Clash);
            }
            if family.help.is_empty() {
                family.help = part.help;
            }
            return Ok(at);
        }
        let refusal = if self.families.len() >= FAMILIES_MAX {
            Some(Refusal::Full)
        } else {
            let family = self.family(&mut store.arena, (raw, name), part);
            let taken = family.names.into_iter().find_map(|name| {
                self.claim(store, store.arena.get(name)).map(|claim| claim.family)
            });
            if let Some(other) = taken {
                weaken(store, weaker, &self.families[other as usize], part, prefix);
            }
            self.claim_all(store, family, reserved).err()
        };
        if let Some(refusal) = refusal {
            store.arena.truncate(mark);
            return Err(refusal);
        }
        Ok(self.families.len() as u32 - 1)
    }

    fn family(&self, arena: &mut Arena, (raw, name): (Span, Span), part: &Part) -> Family {
        let mut names = [name; 4];
        let suffixes = part.kind.suffixes(Format::Text);
        for (slot, suffix) in names[4 - suffixes.len()..].iter_mut().zip(suffixes) {
            *slot = arena.join(b"", name, suffix.as_bytes());
        }
        let Part { kind, help, .. } = *part;
        let quoted = metric_name_len(arena.get(name)) != arena.get(name).len();
        Family { raw, names, shape: Shape::Plain, quoted, kind, help, first: NONE, last: NONE }
    }

    /// Claims all names of a new family, or none.
    fn claim_all(
        &mut self,
        store: &Store,
        family: Family,
        reserved: &dyn Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let suffixed = 4 - family.kind.suffixes(Format::Text).len()..4;
        let names = || [0].into_iter().chain(suffixed.clone()).map(|at| family.names[at]);
        let taken = |name| {
            self.claim(store, store.arena.get(name)).is_some() || reserved(store.arena.name(name))
        };
        if names().any(taken) {
            return Err(Refusal::Clash);
        }
        for (position, name) in names().enumerate() {
            let at = self.claims.len() as u32;
            let hash = store.seed.hash(store.arena.get(name));
            let chain = self.claim_index.insert(hash, at);
            let family = self.families.len() as u32;
            self.claims.push(Claim { name, family, own: position == 0, chain });
        }
        self.families.push(family);
        Ok(())
    }

    /// Who has a sample name.
    pub(super) fn claim(&self, store: &Store, name: &[u8]) -> Option<&Claim> {
        let mut at = self.claim_index.head(store.seed.hash(name));
        loop {
            let claim = self.claims.get(at as usize)?;
            if store.arena.get(claim.name) == name {
                return Some(claim);
            }
            at = claim.chain;
        }
    }

    /// Puts a sample into its group, or counts why not.
    pub(super) fn place(
        &mut self,
        store: &mut Store,
        at: u32,
        (role, family): (Role, u32),
        source: u32,
        report: &mut Report,
        weaker: &mut Weaker,
    ) {
        let kind = self.families[family as usize].kind;
        if !matches!(kind, Kind::Histogram | Kind::Summary) {
            let value = store.samples[at as usize].value;
            if kind == Kind::Counter && (value.is_nan() || value < 0.0) {
                weaker.add(store.arena.get(self.families[family as usize].raw));
                report.quarantined += 1;
                return;
            }
            match self.group(store, at, family) {
                Ok(group) => {
                    report.duplicates += 1;
                    let found = &mut self.groups[group as usize];
                    // Points of one series at several times: scrapers want the newest.
                    if found.source == source && store.is_newer(at, found.first) {
                        (found.key, found.first, found.last) = (at, at, at);
                    }
                }
                Err(hash) => {
                    let group = self.open(at, family, source, hash);
                    self.append(store, group, at);
                }
            }
            return;
        }
        let sensible = store.take_role(at, kind, role);
        let last = self.groups.get(self.last_group as usize);
        let same = |last: &Group| {
            last.family == family && (store.continues(at) || store.same_labels(last.key, at))
        };
        let group = if last.is_some_and(same) {
            self.last_group
        } else {
            match self.group(store, at, family) {
                Ok(group) => group,
                Err(hash) => self.open(at, family, source, hash),
            }
        };
        self.last_group = group;
        let found = &mut self.groups[group as usize];
        if found.source != source {
            // A point is of one source: buckets of two would not add up.
            report.duplicates += 1;
        } else if sensible {
            self.append(store, group, at);
        } else {
            found.broken = true;
        }
    }

    /// The group of a sample's label set, or the hash to open one under.
    pub(super) fn group(&self, store: &Store, at: u32, family: u32) -> Result<u32, u64> {
        let hash = store.seed.fold(store.label_hash(at) ^ u64::from(family));
        let mut group = self.group_index.head(hash);
        loop {
            let Some(found) = self.groups.get(group as usize) else { return Err(hash) };
            if found.family == family && store.same_labels(found.key, at) {
                return Ok(group);
            }
            group = found.chain;
        }
    }

    fn open(&mut self, key: u32, family: u32, source: u32, hash: u64) -> u32 {
        let at = self.groups.len() as u32;
        let chain = self.group_index.insert(hash, at);
        self.groups.push(Group {
            family,
            source,
            chain,
            key,
            used: false,
            broken: false,
            first: NONE,
            last: NONE,
            next: NONE,
        });
        let family = &mut self.families[family as usize];
        if family.last == NONE {
            family.first = at;
        } else {
            self.groups[family.last as usize].next = at;
        }
        family.last = at;
        at
    }

    fn append(&mut self, store: &mut Store, group: u32, at: u32) {
        let group = &mut self.groups[group as usize];
        if group.last == NONE {
            group.first = at;
        } else {
            store.samples[group.last as usize].next = at;
        }
        group.last = at;
    }
}
