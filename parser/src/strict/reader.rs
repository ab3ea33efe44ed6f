//! Families: the lines of each stand together, with metadata at most once and before the samples; no two claim one sample
//! name, and no series comes twice.
//!
//! Both formats go through here. One pass over the lines; a table of the families by name and a set of the
//! series seen, so time and memory are linear.

use std::collections::{HashMap, HashSet};

use super::line::{self, Line};
use super::sample::SampleLine;
use crate::exposition::{Family, Sample, series_key};
use crate::fault::Fault;
use crate::format::Format;
use crate::grammar::metric_name_len;
use crate::kind::Kind;
use crate::problem::{PROBLEMS_MAX, Problem};

/// The metadata that a family has had so far.
#[derive(Default)]
struct Told {
    help: bool,
    kind: bool,
    unit: bool,
}

/// The families and problems read so far.
pub(super) struct Reader {
    format: Format,
    pub(super) families: Vec<Family>,
    told: Vec<Told>,
    by_name: HashMap<String, usize>,
    /// The family of the last line.
    current: Option<usize>,
    series: HashSet<Vec<u8>>,
    pub(super) problems: Vec<Problem>,
    line: usize,
    /// True if `# EOF` was read.
    ended: bool,
}

impl Reader {
    pub(super) fn new(format: Format) -> Reader {
        Reader {
            format,
            families: Vec::new(),
            told: Vec::new(),
            by_name: HashMap::new(),
            current: None,
            series: HashSet::new(),
            problems: Vec::new(),
            line: 0,
            ended: false,
        }
    }

    /// Reads a whole body.
    pub(super) fn read(&mut self, input: &[u8]) {
        if !self.format.is_openmetrics() {
            return self.read_text(input);
        }
        // The line feed after `# EOF` is optional; the others are there by the splitting.
        if !input.is_empty() {
            self.lines(input.strip_suffix(b"\n").unwrap_or(input));
        }
        if !self.ended {
            self.line = self.line.max(1);
            self.problem(Fault::NoEof);
        }
    }

    fn read_text(&mut self, input: &[u8]) {
        let Some(body) = input.strip_suffix(b"\n") else {
            if !input.is_empty() {
                let lines = input.split(|&byte| byte == b'\n').count();
                self.lines(input);
                self.line = lines;
                self.problem(Fault::NoLineFeed);
            }
            return;
        };
        self.lines(body);
    }

    fn lines(&mut self, body: &[u8]) {
        for line in body.split(|&byte| byte == b'\n') {
            self.line += 1;
            if self.ended {
                return self.problem(Fault::AfterEof);
            }
            match line::read(line, self.format) {
                Ok(Line::Comment) => {}
                Ok(Line::Eof) => self.ended = true,
                Ok(Line::Help { name, help }) => self.help(&name, help),
                Ok(Line::Type { name, kind }) => self.kind(&name, kind),
                Ok(Line::Unit { name, unit }) => self.unit(&name, unit),
                Ok(Line::Sample(sample)) => self.sample(sample),
                Err((left, fault)) => {
                    self.problem_at(Some((line.len() + 1).saturating_sub(left)), fault);
                }
            }
        }
    }

    fn help(&mut self, name: &str, help: String) {
        let Some(at) = self.described(name, "HELP", |told| told.help) else { return };
        self.told[at].help = true;
        self.families[at].help = Some(help);
    }

    fn kind(&mut self, name: &str, kind: Kind) {
        let Some(at) = self.described(name, "TYPE", |told| told.kind) else { return };
        self.told[at].kind = true;
        if kind == Kind::Counter && name == "_total" && !self.format.is_openmetrics() {
            return self.problem(Fault::BareTotal);
        }
        self.families[at].kind = kind;
        self.check_unit(at);
        for suffix in kind.suffixes(self.format) {
            if self.by_name.contains_key(&format!("{name}{suffix}")) {
                let (claimer, claimed) = (name.to_owned(), format!("{name}{suffix}"));
                self.problem(Fault::Claimed { kind, claimer, claimed });
            }
        }
    }

    fn unit(&mut self, name: &str, unit: &str) {
        let Some(at) = self.described(name, "UNIT", |told| told.unit) else { return };
        self.told[at].unit = true;
        if unit.is_empty() {
            return;
        }
        if !name.strip_suffix(unit).is_some_and(|base| base.ends_with('_')) {
            self.problem(Fault::UnitSuffix { name: name.to_owned(), unit: unit.to_owned() });
        }
        self.families[at].unit = Some(unit.to_owned());
        self.check_unit(at);
    }

    /// Infos and state sets have no unit; TYPE and UNIT come in any order.
    fn check_unit(&mut self, at: usize) {
        let family = &self.families[at];
        if family.unit.is_some() && matches!(family.kind, Kind::Info | Kind::StateSet) {
            let (kind, name) = (family.kind, family.name.clone());
            self.problem(Fault::UnitOfType { kind, name });
        }
    }

    /// The family that a metadata line may describe, a new one if need be, or `None` with a problem.
    fn described(
        &mut self,
        name: &str,
        word: &'static str,
        told: fn(&Told) -> bool,
    ) -> Option<usize> {
        let Some(&at) = self.by_name.get(name) else {
            return Some(self.open(name));
        };
        let name = name.to_owned();
        if told(&self.told[at]) {
            self.problem(Fault::SecondMetadata { word, name });
        } else if !self.families[at].samples.is_empty() {
            self.problem(Fault::LateMetadata { word, name });
        } else if self.current != Some(at) {
            self.problem(Fault::FamilyReturns { name });
        } else {
            return Some(at);
        }
        None
    }

    fn sample(&mut self, sample: SampleLine<'_>) {
        let at = self.home(&sample.name);
        let (kind, base) = (self.families[at].kind, self.families[at].name.len());
        if sample.name.len() == base && !kind.has_bare_samples(self.format) {
            return self.problem(Fault::NoSuffix { kind, name: sample.name.into_owned() });
        }
        let told = &self.told[at];
        let described = told.help || told.kind || told.unit;
        if self.format.is_openmetrics() && !described && !is_metric_name(&sample.name) {
            // Python's parser takes the names of undescribed families for unquoted ones.
            return self.problem(Fault::Unannounced { name: sample.name.into_owned() });
        }
        let counts = kind == Kind::Counter && !self.format.is_openmetrics();
        if counts && (sample.value.is_nan() || sample.value < 0.0) {
            let (name, text) = (sample.name.into_owned(), sample.text.to_owned());
            return self.problem(Fault::CounterValue { name, text });
        }
        if !self.series.insert(series_key(&sample.name, sample.labels.iter())) {
            return self.problem(Fault::SeriesTwice { name: sample.name.into_owned() });
        }
        self.families[at].samples.push(Sample {
            line: self.line,
            name: sample.name.into_owned(),
            labels: sample.labels,
            value: sample.value,
            text: sample.text.to_owned(),
            timestamp: sample.time.map(|(ms, _)| ms),
            below_ms: sample.time.map_or(0, |(_, below)| below),
            exemplar: sample.exemplar,
        });
    }

    /// The family a sample belongs to, a new untyped one if there is none. Reports a family whose
    /// lines do not stand together.
    fn home(&mut self, name: &str) -> usize {
        if let Some(current) = self.current {
            let family = &self.families[current];
            let suffix = name.strip_prefix(&family.name[..]);
            let suffixes = family.kind.suffixes(self.format);
            if suffix.is_some_and(|suffix| suffix.is_empty() || suffixes.contains(&suffix)) {
                return current;
            }
        }
        match self.by_name.get(name).copied().or_else(|| self.claimant(name)) {
            None => self.open(name),
            Some(at) => {
                let name = self.families[at].name.clone();
                self.problem(Fault::FamilyReturns { name });
                self.current = Some(at);
                at
            }
        }
    }

    /// Opens a family of a new name.
    fn open(&mut self, name: &str) -> usize {
        if let Some(claimant) = self.claimant(name) {
            let claims = &self.families[claimant];
            let (kind, claimer) = (claims.kind, claims.name.clone());
            self.problem(Fault::Claimed { kind, claimer, claimed: name.to_owned() });
        }
        let at = self.families.len();
        self.families.push(Family {
            name: name.to_owned(),
            kind: match self.format.is_openmetrics() {
                true => Kind::Unknown,
                false => Kind::Untyped,
            },
            unit: None,
            help: None,
            samples: Vec::new(),
        });
        self.told.push(Told::default());
        self.by_name.insert(name.to_owned(), at);
        self.current = Some(at);
        at
    }

    /// The family that this name is a suffixed sample of.
    fn claimant(&self, name: &str) -> Option<usize> {
        let (base, _) = name.rsplit_once('_')?;
        let at = *self.by_name.get(base)?;
        self.families[at].kind.suffixes(self.format).contains(&&name[base.len()..]).then_some(at)
    }

    fn problem(&mut self, fault: Fault) {
        self.problem_at(None, fault);
    }

    fn problem_at(&mut self, column: Option<usize>, fault: Fault) {
        // Reading goes on, so that families and samples are counted whole.
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { line: self.line, column, fault });
        }
    }
}

fn is_metric_name(name: &str) -> bool {
    metric_name_len(name.as_bytes()) == name.len()
}
