//! One source: which sample names and declarations it has, and hence which family each sample is of.
//!
//! A TYPE line may come after the samples, OpenMetrics names a counter's family without `_total`, and
//! two callbacks may print one family twice. So nothing is decided line by line: the lines fill two
//! small tables, sample names and declarations, and at the end of the source each *name* (not each
//! sample) is settled once. All names of one family in one source make a [`Part`]: the unit that a bad
//! line costs.
//!
//! Samples are worth more than types: a family whose type the output format lacks, or that cannot have its type
//! ([`Weaker`]), is settled as a gauge, or as one untyped family for each of its sample names.

use super::arena::{Arena, Index, NONE, Seed, Span};
use super::declarations::{Declarations, Home};
use super::role::Role;
use super::weaker::Weaker;
use dynamo_metrics_parser::grammar::metric_name_len;
use dynamo_metrics_parser::{Format, Kind};

/// Most families of one merge. Engines have about fifty; a page with more than this has a label's
/// values in its names.
pub(super) const FAMILIES_MAX: usize = 10_000;

/// Most sample names, and most declarations, of one source. Four for each of the families that one
/// merge may have; without it, a text of junk names would take thirty times its size.
pub(super) const NAMES_MAX: usize = 4 * FAMILIES_MAX;

/// A sample name, settled by [`Names::settle`].
pub(super) struct Name {
    text: Span,
    hash: u64,
    chain: u32,
    /// A line of this name could not be read.
    bad: bool,
    /// Samples that could be read.
    samples: u32,
    role: Role,
    /// The type that its family gave up, or [`Kind::Untyped`].
    was: Kind,
    /// Index of its [`Part`].
    part: u32,
}

/// One family within one source.
pub(super) struct Part {
    /// The name as the source spells it.
    pub(super) name: Span,
    pub(super) kind: Kind,
    /// Raw; empty when there is none.
    pub(super) help: Span,
    /// Empty when there is none.
    pub(super) unit: Span,
    pub(super) quarantined: bool,
    /// Its name is written otherwise than it is spelled, and so may be the spelling of another.
    pub(super) escaped: bool,
    pub(super) samples: u32,
    /// The merged family, or [`NONE`] when it is withheld.
    pub(super) family: u32,
}

#[derive(Default)]
pub(super) struct Names {
    names: Vec<Name>,
    name_index: Index,
    pub(super) declarations: Declarations,
    parts: Vec<Part>,
    /// The name of the last sample, most often also the name of the next.
    last: u32,
}

impl Names {
    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.name_index.clear();
        self.declarations.clear();
        self.parts.clear();
        self.last = NONE;
    }

    /// Takes note of a sample of this name and returns the name's index, if it can be held.
    pub(super) fn sample(&mut self, arena: &Arena, seed: &Seed, name: Span) -> Option<u32> {
        let at = self.name(arena, seed, name)?;
        self.names[at as usize].samples += 1;
        Some(at)
    }

    /// Takes note of another sample of the name with this index.
    pub(super) fn again(&mut self, name: u32) {
        self.names[name as usize].samples += 1;
    }

    /// Takes note that a line of this sample name could not be read.
    pub(super) fn bad_sample(&mut self, arena: &Arena, seed: &Seed, name: Span) {
        if let Some(at) = self.name(arena, seed, name) {
            self.names[at as usize].bad = true;
        }
    }

    /// Returns a hash of everything that decides which families there are: the names, the declarations, and which of them could be read.
    pub(super) fn fingerprint(&self, seed: &Seed, prefix: &[u8]) -> u64 {
        let names = self
            .names
            .iter()
            .map(|name| (name.hash, u64::from(name.bad) << 1 | u64::from(name.samples > 0)));
        let declarations = self.declarations.iter().map(|declaration| {
            (declaration.hash, u64::from(declaration.bad) << 8 | declaration.word as u64)
        });
        let start = seed.fold(seed.hash(prefix) ^ self.names.len() as u64);
        names
            .chain(declarations)
            .fold(start, |state, (hash, facts)| seed.fold(seed.fold(state ^ hash) ^ facts))
    }

    /// Decides for each name which family it is of, and makes the parts. May be called again, with other limits of types.
    pub(super) fn settle(
        &mut self,
        arena: &Arena,
        seed: &Seed,
        weaker: &mut Weaker,
        (prefix, types, escapes): (&[u8], Format, bool),
    ) {
        self.parts.clear();
        self.declarations.iter_mut().for_each(|declaration| declaration.part = NONE);
        for at in 0..self.names.len() {
            let name = (self.names[at].text, self.names[at].hash);
            let mut home = self.declarations.home(arena, seed, name, types);
            let declared = home.kind;
            let kind = weaker.kind(declared, arena.get(home.family), prefix);
            if kind != declared {
                home = self.without_type(arena, &self.names[at], home, kind);
            }
            let part = self.part(&home);
            if escapes {
                let family = arena.get(home.family);
                self.parts[part as usize].escaped = metric_name_len(family) != family.len();
            }
            let name = &mut self.names[at];
            name.part = part;
            name.role = home.role;
            name.was = if kind == declared { Kind::Untyped } else { declared };
            let part = &mut self.parts[part as usize];
            part.quarantined |= name.bad;
            part.samples = part.samples.saturating_add(name.samples);
        }
    }

    /// Finds or makes the part of a name's home: one for all names of a declaration, where these make one family.
    fn part(&mut self, home: &Home) -> u32 {
        let shared = matches!(home.kind, Kind::Histogram | Kind::GaugeHistogram | Kind::Summary);
        let at = self.parts.len() as u32;
        let (mut help, mut unit, mut quarantined) = (Span::default(), Span::default(), false);
        if let Some(declaration) = self.declarations.get_mut(home.declaration) {
            if shared && declaration.part != NONE {
                return declaration.part;
            }
            if shared {
                declaration.part = at;
            }
            if home.described {
                (help, unit) = (declaration.help, declaration.unit);
            }
            quarantined = declaration.bad;
        }
        let Home { family: name, kind, .. } = *home;
        let (escaped, samples, family) = (false, 0, NONE);
        self.parts.push(Part { name, kind, help, unit, quarantined, escaped, samples, family });
        at
    }

    /// The parts, in the order in which their names first came up. Empty before [`settle`](Self::settle).
    pub(super) fn parts(&mut self) -> &mut [Part] {
        &mut self.parts
    }

    /// Returns whether a part's name is escaped.
    pub(super) fn has_escaped(&self) -> bool {
        self.parts.iter().any(|part| part.escaped)
    }

    /// Returns the role and the family in the merge of samples of this name, if it is `escaped` or not, unless they are withheld.
    pub(super) fn settled(&self, name: u32, escaped: bool) -> Option<(Role, u32)> {
        let name = &self.names[name as usize];
        let part = &self.parts[name.part as usize];
        (part.family != NONE && part.escaped == escaped).then_some((name.role, part.family))
    }

    /// A hash of this name, if its family has given its type up.
    pub(super) fn without_own_type(&self, name: u32) -> Option<u64> {
        let name = &self.names[name as usize];
        (name.was != Kind::Untyped).then_some(name.hash)
    }

    /// The home of a name whose family cannot have its type but this one: a family of its own.
    fn without_type(&self, arena: &Arena, name: &Name, home: Home, kind: Kind) -> Home {
        if home.family.end == name.text.end {
            return Home { kind, role: Role::Value, ..home };
        }
        let declaration = self.declarations.find(arena, name.hash, arena.get(name.text));
        Home { family: name.text, kind, role: Role::Value, declaration, described: true }
    }

    fn name(&mut self, arena: &Arena, seed: &Seed, text: Span) -> Option<u32> {
        let bytes = arena.get(text);
        if self.names.get(self.last as usize).is_some_and(|last| arena.get(last.text) == bytes) {
            return Some(self.last);
        }
        let hash = seed.hash(bytes);
        let mut at = self.name_index.head(hash);
        while at != NONE && arena.get(self.names[at as usize].text) != bytes {
            at = self.names[at as usize].chain;
        }
        if at == NONE {
            if self.names.len() >= NAMES_MAX {
                return None;
            }
            at = self.names.len() as u32;
            let chain = self.name_index.insert(hash, at);
            self.names.push(Name {
                text,
                hash,
                chain,
                bad: false,
                samples: 0,
                role: Role::Value,
                was: Kind::Untyped,
                part: NONE,
            });
        }
        self.last = at;
        Some(at)
    }
}
