//! All sources together: one family a name, one group of samples a label set.
//!
//! A family of the merge claims its own name and, as a histogram, gauge histogram or summary, the suffixed ones; no
//! two families claim one name, and none claims a reserved one. Within a family each label set
//! (without `le`, `quantile` or the label of a state) is a *group*: a single sample for simple types, a whole point for
//! histograms, gauge histograms, summaries and state sets. The first to come keeps a name, a type, a group, a bucket.
//!
//! Families and groups are linked lists in order of first appearance, so that the output keeps the
//! order of the input and nothing is ever moved.

use super::arena::{Arena, Index, NONE, Span};
use super::cursor::Label;
use super::names::{FAMILIES_MAX, Part};
use super::report::Report;
use super::role::Role;
use super::store::Store;
use super::weaker::{Cause, Limit, Weaker};
use dynamo_metrics_parser::grammar::metric_name_len;
use dynamo_metrics_parser::{Format, Kind};

/// The reason why a part of a source finds no place.
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
    /// Empty when there is none.
    pub(super) unit: Span,
    pub(super) first: u32,
    last: u32,
}

/// The form in which a family is written, where formats differ; settled by `openmetrics.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A family that is written by its name and type.
    Plain,
    /// OpenMetrics' counter, histogram or summary, whose `_created` series are this family's, or [`NONE`]'s.
    OpenMetrics { created: u32 },
    /// OpenMetrics' `unknown`: a counter that cannot have its name there.
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
    /// Holds a sample that makes no sense under the family's type.
    pub(super) broken: bool,
    pub(super) first: u32,
    last: u32,
    pub(super) next: u32,
}

/// A sample name and the family that has it.
pub(super) struct Claim {
    name: Span,
    pub(super) family: u32,
    /// True if it is the family's own name, without suffix.
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

/// Limits the types of a family and of a part that meet in a name. Untyped families share it.
fn limit_both(store: &Store, weaker: &mut Weaker, family: &Family, part: &Part, prefix: &[u8]) {
    let limit = Limit::of_both(family.kind, part.kind);
    if family.kind != Kind::Untyped {
        weaker.limit(store.arena.get(family.raw), limit, Cause::Structure);
    }
    if part.kind != Kind::Untyped {
        weaker.limit_prefixed(store.arena.get(part.name), prefix, limit, Cause::Structure);
    }
}

/// Returns whether the samples of a label set make up one point of a family of this type.
pub(super) fn has_points(kind: Kind) -> bool {
    matches!(kind, Kind::Histogram | Kind::GaugeHistogram | Kind::Summary | Kind::StateSet)
}

/// The suffixes of the sample names that a family of this type has beside its own, as the merge names families: an info and
/// a counter by their samples.
pub(super) fn suffixes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Histogram | Kind::GaugeHistogram | Kind::Summary => kind.suffixes(Format::Text),
        _ => &[],
    }
}

/// The share of a family's sample names that the caller has not reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Free {
    Whole,
    Partly,
    None,
}

impl Family {
    /// Its own name, and those of its other samples.
    fn all_names(&self) -> impl Iterator<Item = Span> + use<> {
        let names = self.names;
        let suffixed = 4 - suffixes(self.kind).len()..4;
        [0].into_iter().chain(suffixed).map(move |at| names[at])
    }

    fn is_free(&self, store: &Store, reserved: &dyn Fn(&str) -> bool) -> Free {
        let taken = self.all_names().filter(|&name| reserved(store.arena.name(name))).count();
        match self.all_names().count() - taken {
            _ if taken == 0 => Free::Whole,
            0 => Free::None,
            // The own name of a histogram is not that of a sample.
            1 if !reserved(store.arena.name(self.names[0])) && self.kind != Kind::Summary => {
                Free::None
            }
            _ => Free::Partly,
        }
    }

    /// Returns whether the family, written under this name, may say that it has this unit: only if its name says so too.
    pub(super) fn is_in_unit(&self, name: &[u8], unit: &[u8]) -> bool {
        !unit.is_empty()
            && !matches!(self.kind, Kind::Info | Kind::StateSet)
            && name.strip_suffix(unit).is_some_and(|stem| stem.len() > 1 && stem.ends_with(b"_"))
    }

    pub(super) fn sample_name(&self, role: Role) -> Span {
        self.names[match role {
            Role::Value | Role::Quantile | Role::State | Role::Stray => 0,
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
                limit_both(store, weaker, family, part, prefix);
                return Err(Refusal::Clash);
            }
            if family.help.is_empty() {
                family.help = part.help;
            }
            if family.unit.is_empty() {
                family.unit = part.unit;
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
                limit_both(store, weaker, &self.families[other as usize], part, prefix);
            }
            let free = family.is_free(store, reserved);
            if free != Free::Whole {
                weaker.note_reserved();
            }
            if free == Free::Partly {
                let name = store.arena.get(part.name);
                weaker.limit_prefixed(name, prefix, Limit::Untyped, Cause::Passing);
            }
            if taken.is_some() || free != Free::Whole {
                Some(Refusal::Clash)
            } else {
                self.claim_all(store, family);
                None
            }
        };
        if let Some(refusal) = refusal {
            store.arena.truncate(mark);
            return Err(refusal);
        }
        Ok(self.families.len() as u32 - 1)
    }

    fn family(&self, arena: &mut Arena, (raw, name): (Span, Span), part: &Part) -> Family {
        let mut names = [name; 4];
        let suffixes = suffixes(part.kind);
        for (slot, suffix) in names[4 - suffixes.len()..].iter_mut().zip(suffixes) {
            *slot = arena.join(b"", name, suffix.as_bytes());
        }
        let Part { kind, help, unit, .. } = *part;
        let quoted = metric_name_len(arena.get(name)) != arena.get(name).len();
        let (shape, first, last) = (Shape::Plain, NONE, NONE);
        Family { raw, names, shape, quoted, kind, help, unit, first, last }
    }

    /// Adds a family, and claims all its names for it.
    fn claim_all(&mut self, store: &Store, family: Family) {
        for (position, name) in family.all_names().enumerate() {
            let at = self.claims.len() as u32;
            let hash = store.seed.hash(store.arena.get(name));
            let chain = self.claim_index.insert(hash, at);
            let family = self.families.len() as u32;
            self.claims.push(Claim { name, family, own: position == 0, chain });
        }
        self.families.push(family);
    }

    /// Returns the claim on a sample name, if a family has one.
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
        if !has_points(kind) {
            let value = store.samples[at as usize].value;
            if kind == Kind::Counter && (value.is_nan() || value < 0.0) {
                let raw = store.arena.get(self.families[family as usize].raw);
                weaker.limit(raw, Limit::Untyped, Cause::Passing);
                report.quarantined += 1;
                return;
            }
            match self.group(store, at, family) {
                Ok(group) => {
                    report.duplicates += 1;
                    let found = &mut self.groups[group as usize];
                    // Points of one series at several times: scrapers want the newest.
                    let newer = store.is_newer(at, found.first) || store.is_now(at, found.first);
                    if found.source == source && newer {
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
        let name = self.families[family as usize].names[0];
        let sensible = store.take_role(at, (kind, name), role);
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
