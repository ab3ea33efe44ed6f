//! One source: which sample names and declarations it has, and hence which family each sample is of.
//!
//! A TYPE line may come after the samples, OpenMetrics names a counter's family without `_total`, and
//! two callbacks may print one family twice. So nothing is decided line by line: the lines fill two
//! small tables, sample names and declarations, and at the end of the source each *name* (not each
//! sample) is settled once. All names of one family in one source make a [`Part`]: the unit that a bad
//! line costs.
//!
//! A TYPE line that contradicts an earlier one leaves the family untyped; one that names a sample of a histogram or summary declared
//! above is ignored. Samples are worth more than types: a family whose type the output format lacks, or that cannot have its type
//! ([`Weaker`]), is settled as a gauge, or as one untyped family for each of its sample names.

use super::arena::{Arena, Index, NONE, Seed, Span};
use super::role::Role;
use super::weaker::Weaker;
use dynamo_metrics_parser::{Format, Kind};

/// Most families of one merge. Engines have about fifty; a page with more than this has a label's
/// values in its names.
pub(super) const FAMILIES_MAX: usize = 10_000;

/// Most sample names, and most declarations, of one source. Four for each of the families that one
/// merge may have; without it, a text of junk names would take thirty times its size.
const NAMES_MAX: usize = 4 * FAMILIES_MAX;

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
    /// As the source spells it.
    pub(super) name: Span,
    pub(super) kind: Kind,
    /// Raw; empty when there is none.
    pub(super) help: Span,
    /// Empty when there is none.
    pub(super) unit: Span,
    pub(super) quarantined: bool,
    pub(super) samples: u32,
    /// The merged family, or [`NONE`] when it is withheld.
    pub(super) family: u32,
}

/// The effect of a TYPE line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Fine,
    /// Has a word that is no type of any format, or exceeds the limit of declarations.
    Unreadable,
}

#[derive(Default)]
pub(super) struct Names {
    names: Vec<Name>,
    name_index: Index,
    declarations: Vec<Declaration>,
    declaration_index: Index,
    parts: Vec<Part>,
    /// The name of the last sample, most often also the name of the next.
    last: u32,
}

struct Declaration {
    name: Span,
    hash: u64,
    chain: u32,
    word: Word,
    help: Span,
    unit: Span,
    bad: bool,
    /// The part of a family whose sample names share one.
    part: u32,
}

/// The words of TYPE lines, of text 0.0.4 and OpenMetrics.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    /// No TYPE line so far.
    None,
    Unreadable,
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
    Info,
    StateSet,
    GaugeHistogram,
}

/// The family and the role of a sample name.
struct Home {
    family: Span,
    kind: Kind,
    role: Role,
    declaration: u32,
    /// Whether the declaration's help text speaks of this family.
    described: bool,
}

impl Names {
    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.name_index.clear();
        self.declarations.clear();
        self.declaration_index.clear();
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

    /// Takes note that a HELP or TYPE line of this family could not be read.
    pub(super) fn bad_metadata(&mut self, arena: &Arena, seed: &Seed, name: Span) {
        if let Some(at) = self.declaration(arena, seed, name) {
            self.declarations[at].bad = true;
        }
    }

    /// Takes note of a help text. The first that says anything wins.
    pub(super) fn help(&mut self, arena: &Arena, seed: &Seed, name: Span, text: Span) {
        let Some(at) = self.declaration(arena, seed, name) else { return };
        let declaration = &mut self.declarations[at];
        if declaration.help.is_empty() {
            declaration.help = text;
        }
    }

    /// Takes note of a unit. The first wins.
    pub(super) fn unit(&mut self, arena: &Arena, seed: &Seed, name: Span, unit: Span) {
        let Some(at) = self.declaration(arena, seed, name) else { return };
        let declaration = &mut self.declarations[at];
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
        let declaration = &mut self.declarations[at];
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
        (prefix, types): (&[u8], Format),
    ) {
        self.parts.clear();
        for declaration in &mut self.declarations {
            declaration.part = NONE;
        }
        for at in 0..self.names.len() {
            let mut home = self.home(arena, seed, &self.names[at], types);
            let declared = home.kind;
            let kind = weaker.kind(declared, arena.get(home.family), prefix);
            if kind != declared {
                home = self.without_type(arena, &self.names[at], home, kind);
            }
            let part = self.part(&home);
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
        if let Some(declaration) = self.declarations.get_mut(home.declaration as usize) {
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
        self.parts.push(Part { name, kind, help, unit, quarantined, samples: 0, family: NONE });
        at
    }

    /// The parts, in the order in which their names first came up. Empty before [`settle`](Self::settle).
    pub(super) fn parts(&mut self) -> &mut [Part] {
        &mut self.parts
    }

    /// Returns the role and the family in the merge of samples of this name, unless they are withheld.
    pub(super) fn settled(&self, name: u32) -> Option<(Role, u32)> {
        let name = &self.names[name as usize];
        let family = self.parts[name.part as usize].family;
        (family != NONE).then_some((name.role, family))
    }

    /// A hash of this name, if its family has given its type up.
    pub(super) fn without_own_type(&self, name: u32) -> Option<u64> {
        let name = &self.names[name as usize];
        (name.was != Kind::Untyped).then_some(name.hash)
    }

    /// The label of a histogram's or summary's sample that holds a number, where the family of this name has given that type up.
    pub(super) fn bound_label(&self, name: u32) -> Option<&'static [u8]> {
        match self.names[name as usize].was {
            Kind::Histogram => Some(b"le"),
            Kind::Summary => Some(b"quantile"),
            _ => None,
        }
    }

    /// The home of a name whose family cannot have its type but this one: a family of its own.
    fn without_type(&self, arena: &Arena, name: &Name, home: Home, kind: Kind) -> Home {
        if home.family.end == name.text.end {
            return Home { kind, role: Role::Value, ..home };
        }
        let declaration = self.find(arena, name.hash, arena.get(name.text));
        Home { family: name.text, kind, role: Role::Value, declaration, described: true }
    }

    /// The home of a name by the declarations, with a type that a format of these types has.
    fn home(&self, arena: &Arena, seed: &Seed, name: &Name, types: Format) -> Home {
        let own = |kind, role, declaration, described| Home {
            family: name.text,
            kind,
            role,
            declaration,
            described,
        };
        let exact = self.find(arena, name.hash, arena.get(name.text));
        let (kind, role) = match self.word(exact) {
            Word::None => {
                return self
                    .home_by_suffix(arena, seed, name.text, types)
                    .unwrap_or_else(|| own(Kind::Untyped, Role::Value, exact, true));
            }
            Word::Unreadable | Word::Untyped => (Kind::Untyped, Role::Value),
            // Python takes the suffix of a counter off and refuses what is left of this one.
            Word::Counter if arena.get(name.text) == b"_total" => (Kind::Untyped, Role::Value),
            Word::Counter => (Kind::Counter, Role::Value),
            // As OpenMetrics 2.0 declares an info.
            Word::Info
                if arena
                    .get(name.text)
                    .strip_suffix(b"_info")
                    .is_some_and(|stem| !stem.is_empty()) =>
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

    /// Whether a name is a sample of a histogram or summary that was declared above: such a name
    /// cannot be another family's.
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
        self.declarations.get(declaration as usize).map_or(Word::None, |found| found.word)
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

    fn find(&self, arena: &Arena, hash: u64, name: &[u8]) -> u32 {
        let mut at = self.declaration_index.head(hash);
        while at != NONE && arena.get(self.declarations[at as usize].name) != name {
            at = self.declarations[at as usize].chain;
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
        let at = self.declarations.len();
        if at >= NAMES_MAX {
            return None;
        }
        let chain = self.declaration_index.insert(hash, at as u32);
        self.declarations.push(Declaration {
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

impl Word {
    fn parse(word: &[u8]) -> Word {
        const WORDS: [(&[u8], Word); 9] = [
            (b"counter", Word::Counter),
            (b"gauge", Word::Gauge),
            (b"histogram", Word::Histogram),
            (b"summary", Word::Summary),
            (b"untyped", Word::Untyped),
            (b"unknown", Word::Untyped),
            (b"info", Word::Info),
            (b"stateset", Word::StateSet),
            (b"gaugehistogram", Word::GaugeHistogram),
        ];
        WORDS
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))
            .map_or(Word::Unreadable, |&(_, word)| word)
    }
}
