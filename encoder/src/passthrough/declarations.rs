//! The declarations of one source, which are its HELP, TYPE and UNIT lines, and the family that they give each sample name.
//!
//! A TYPE line that contradicts an earlier one leaves the family untyped; one that names a sample of a histogram or summary declared
//! above is ignored.

use super::arena::{Arena, Index, NONE, Seed, Span};
use super::names::NAMES_MAX;
use super::role::Role;
use super::word::Word;
use dynamo_metrics_parser::{Format, Kind};

/// The effect of a TYPE line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Fine,
    /// Has a word that is no type of any format, or exceeds the limit of declarations.
    Unreadable,
}

/// All declarations of one source.
#[derive(Default)]
pub(super) struct Declarations {
    list: Vec<Declaration>,
    index: Index,
}

pub(super) struct Declaration {
    pub(super) name: Span,
    pub(super) hash: u64,
    pub(super) chain: u32,
    pub(super) word: Word,
    pub(super) help: Span,
    pub(super) unit: Span,
    pub(super) bad: bool,
    /// The part of a family whose sample names share one.
    pub(super) part: u32,
}

/// The family and the role of a sample name.
pub(super) struct Home {
    pub(super) family: Span,
    pub(super) kind: Kind,
    pub(super) role: Role,
    pub(super) declaration: u32,
    /// True if the declaration's help text speaks of this family.
    pub(super) described: bool,
}

impl Declarations {
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.index.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Declaration> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Declaration> {
        self.list.iter_mut()
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Declaration> {
        self.list.get_mut(at as usize)
    }

    /// Takes note that a HELP or TYPE line of this family could not be read.
    pub(super) fn bad_metadata(&mut self, arena: &Arena, seed: &Seed, name: Span) {
        if let Some(at) = self.declaration(arena, seed, name) {
            self.list[at].bad = true;
        }
    }

    /// Takes note of a help text. The first that says anything wins.
    pub(super) fn help(&mut self, arena: &Arena, seed: &Seed, name: Span, text: Span) {
        let Some(at) = self.declaration(arena, seed, name) else { return };
        let declaration = &mut self.list[at];
        if declaration.help.is_empty() {
            declaration.help = text;
        }
    }

    /// Takes note of a unit. The first wins.
    pub(super) fn unit(&mut self, arena: &Arena, seed: &Seed, name: Span, unit: Span) {
        let Some(at) = self.declaration(arena, seed, name) else { return };
        let declaration = &mut self.list[at];
        if declaration.unit.is_empty() {
            declaration.unit = unit;
        }
    }

    /// Takes note of a type. Two that differ leave the family without any; one that names a sample of a histogram or summary that
    /// was declared above says nothing.
    pub(super) fn kind(
        &mut self,
        arena: &Arena,
        seed: &Seed,
        (name, word): (Span, Span),
    ) -> Declared {
        let Some(at) = self.declaration(arena, seed, name) else { return Declared::Unreadable };
        let claimed = self.claimed(arena, seed, name);
        let declaration = &mut self.list[at];
        let word = Word::parse(arena.get(word));
        if word == Word::Unreadable {
            declaration.bad = true;
        } else if matches!(declaration.word, Word::None | Word::Unreadable) && !claimed {
            declaration.word = word;
        } else if word != declaration.word {
            if claimed && declaration.word == Word::None {
                return Declared::Fine;
            }
            // As untyped samples they survive, whichever of the types was meant.
            declaration.word = Word::Untyped;
            return Declared::Fine;
        }
        if word == Word::Unreadable && declaration.word == Word::None {
            declaration.word = Word::Unreadable;
        }
        if word == Word::Unreadable { Declared::Unreadable } else { Declared::Fine }
    }

    /// The home of a name by the declarations, with a type that a format of these types has.
    pub(super) fn home(
        &self,
        arena: &Arena,
        seed: &Seed,
        (name, hash): (Span, u64),
        types: Format,
    ) -> Home {
        let own = |kind, role, declaration, described| Home {
            family: name,
            kind,
            role,
            declaration,
            described,
        };
        let exact = self.find(arena, hash, arena.get(name));
        let (kind, role) = match self.word(exact) {
            Word::None => {
                return self
                    .home_by_suffix(arena, seed, name, types)
                    .unwrap_or_else(|| own(Kind::Untyped, Role::Value, exact, true));
            }
            Word::Unreadable | Word::Untyped => (Kind::Untyped, Role::Value),
            // Python takes the suffix of a counter off and refuses what is left of this one.
            Word::Counter if arena.get(name) == b"_total" => (Kind::Untyped, Role::Value),
            Word::Counter => (Kind::Counter, Role::Value),
            // As OpenMetrics 2.0 declares an info.
            Word::Info
                if arena.get(name).strip_suffix(b"_info").is_some_and(|stem| !stem.is_empty()) =>
            {
                (if Kind::Info.is_in(types) { Kind::Info } else { Kind::Gauge }, Role::Value)
            }
            Word::Gauge | Word::Info => (Kind::Gauge, Role::Value),
            Word::StateSet if Kind::StateSet.is_in(types) => (Kind::StateSet, Role::State),
            Word::StateSet => (Kind::Gauge, Role::Value),
            Word::GaugeHistogram if Kind::GaugeHistogram.is_in(types) => {
                (Kind::GaugeHistogram, Role::Stray)
            }
            Word::GaugeHistogram => (Kind::Untyped, Role::Value),
            Word::Histogram => (Kind::Histogram, Role::Stray),
            Word::Summary => (Kind::Summary, Role::Quantile),
        };
        own(kind, role, exact, true)
    }

    /// Returns whether a name is a sample of a histogram or summary that was declared above: such a name cannot be another
    /// family's.
    fn claimed(&self, arena: &Arena, seed: &Seed, name: Span) -> bool {
        let home = self.home_by_suffix(arena, seed, name, Format::Text);
        home.is_some_and(|home| matches!(home.role, Role::Bucket | Role::Sum | Role::Count))
    }

    /// The home of a name that has no TYPE line of its own but may be part of a family that has.
    fn home_by_suffix(
        &self,
        arena: &Arena,
        seed: &Seed,
        name: Span,
        types: Format,
    ) -> Option<Home> {
        let text = arena.get(name);
        let underscore = text.iter().rposition(|&byte| byte == b'_').filter(|&at| at > 0)?;
        let (base, suffix) = text.split_at(underscore);
        let declaration = self.find(arena, seed.hash(base), base);
        let base = Span { start: name.start, end: name.start + underscore as u32 };
        let (family, kind, role) = match (suffix, self.word(declaration)) {
            (b"_bucket", Word::Histogram) => (base, Kind::Histogram, Role::Bucket),
            (b"_sum", Word::Histogram) => (base, Kind::Histogram, Role::Sum),
            (b"_count", Word::Histogram) => (base, Kind::Histogram, Role::Count),
            (b"_bucket" | b"_gsum" | b"_gcount", Word::GaugeHistogram)
                if Kind::GaugeHistogram.is_in(types) =>
            {
                let role = match suffix {
                    b"_bucket" => Role::Bucket,
                    b"_gsum" => Role::Sum,
                    _ => Role::Count,
                };
                (base, Kind::GaugeHistogram, role)
            }
            // No other format has the type, or the type has no such sample: the name stays.
            (
                b"_bucket" | b"_sum" | b"_count" | b"_gsum" | b"_gcount" | b"_created",
                Word::GaugeHistogram,
            ) => (name, Kind::Untyped, Role::Value),
            (b"_sum", Word::Summary) => (base, Kind::Summary, Role::Sum),
            (b"_count", Word::Summary) => (base, Kind::Summary, Role::Count),
            (b"_total", Word::Counter) => (name, Kind::Counter, Role::Value),
            (b"_info", Word::Info) if Kind::Info.is_in(types) => (name, Kind::Info, Role::Value),
            (b"_info", Word::Info) => (name, Kind::Gauge, Role::Value),
            (b"_created", Word::Counter | Word::Histogram | Word::Summary) => {
                // The help text speaks of what is counted, not of when that began.
                return Some(Home {
                    family: name,
                    kind: Kind::Gauge,
                    role: Role::Value,
                    declaration,
                    described: false,
                });
            }
            // All sample names that any type would give the family.
            (
                b"_bucket" | b"_sum" | b"_count" | b"_gsum" | b"_gcount" | b"_total" | b"_info"
                | b"_created",
                Word::Unreadable,
            ) => (name, Kind::Untyped, Role::Value),
            _ => return None,
        };
        Some(Home { family, kind, role, declaration, described: true })
    }

    fn word(&self, declaration: u32) -> Word {
        self.list.get(declaration as usize).map_or(Word::None, |found| found.word)
    }

    /// Returns the index of the declaration of this name, or [`NONE`].
    pub(super) fn find(&self, arena: &Arena, hash: u64, name: &[u8]) -> u32 {
        let mut at = self.index.head(hash);
        while at != NONE && arena.get(self.list[at as usize].name) != name {
            at = self.list[at as usize].chain;
        }
        at
    }

    fn declaration(&mut self, arena: &Arena, seed: &Seed, name: Span) -> Option<usize> {
        let bytes = arena.get(name);
        let hash = seed.hash(bytes);
        let found = self.find(arena, hash, bytes);
        if found != NONE {
            return Some(found as usize);
        }
        let at = self.list.len();
        if at >= NAMES_MAX {
            return None;
        }
        let chain = self.index.insert(hash, at as u32);
        self.list.push(Declaration {
            name,
            hash,
            chain,
            word: Word::None,
            help: Span::default(),
            unit: Span::default(),
            bad: false,
            part: NONE,
        });
        Some(at)
    }
}
