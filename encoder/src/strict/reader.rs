//! Families: that each stands together, is described at most once and before its samples, that no two claim
//! one sample name, and that no series comes twice.
//!
//! Both formats go through here. One pass over the lines; a table of the families by name and a set of the
//! series seen, so time and memory are linear.

use std::collections::{HashMap, HashSet};

use super::exposition::{Family, Sample};
use super::grammar::metric_name_len;
use super::line::{self, Line};
use super::sample::SampleLine;
use super::{Format, Kind, PROBLEMS_MAX, Problem, Rule, series_key};

/// What a family has been told about so far, beside the family itself.
#[derive(Default)]
struct Told {
    help: bool,
    kind: bool,
    unit: bool,
}

/// What has been read so far.
pub(super) struct Reader {
    format: Format,
    pub(super) families: Vec<Family>,
    told: Vec<Told>,
    by_name: HashMap<String, usize>,
    /// The family whose lines we are among.
    current: Option<usize>,
    series: HashSet<Vec<u8>>,
    pub(super) problems: Vec<Problem>,
    line: usize,
    /// Whether `# EOF` was read.
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
        if !self.ended && self.problems.len() < PROBLEMS_MAX {
            self.line = self.line.max(1);
            self.problem(Rule::Eof, "the last line is not '# EOF'".to_owned());
        }
    }

    fn read_text(&mut self, input: &[u8]) {
        let Some(body) = input.strip_suffix(b"\n") else {
            if !input.is_empty() {
                let lines = input.split(|&byte| byte == b'\n').count();
                self.lines(input);
                self.line = lines;
                self.problem(Rule::LineEnd, "the last line lacks its line feed".to_owned());
            }
            return;
        };
        self.lines(body);
    }

    fn lines(&mut self, body: &[u8]) {
        for line in body.split(|&byte| byte == b'\n') {
            if self.problems.len() >= PROBLEMS_MAX {
                return;
            }
            self.line += 1;
            if self.ended {
                return self.problem(Rule::Eof, "a line after '# EOF'".to_owned());
            }
            match line::read(line, self.format) {
                Ok(Line::Comment) => {}
                Ok(Line::Eof) => self.ended = true,
                Ok(Line::Help { name, help }) => self.help(&name, help),
                Ok(Line::Type { name, kind }) => self.kind(&name, kind),
                Ok(Line::Unit { name, unit }) => self.unit(&name, unit),
                Ok(Line::Sample(sample)) => self.sample(sample),
                Err((rule, message)) => self.problem(rule, message),
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
            let message = "counter _total has no name but its suffix; Python takes that off";
            return self.problem(Rule::Name, message.to_owned());
        }
        self.families[at].kind = kind;
        self.check_unit(at);
        for suffix in kind.suffixes(self.format) {
            if self.by_name.contains_key(&format!("{name}{suffix}")) {
                let claims = format!("{} {name} claims the samples of", kind.as_str());
                self.problem(Rule::Clash, format!("{claims} the family {name}{suffix}"));
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
            self.problem(Rule::Unit, format!("{name} does not end in _{unit}"));
        }
        self.families[at].unit = Some(unit.to_owned());
        self.check_unit(at);
    }

    /// Infos and state sets have no unit; TYPE and UNIT come in any order.
    fn check_unit(&mut self, at: usize) {
        let family = &self.families[at];
        if family.unit.is_some() && matches!(family.kind, Kind::Info | Kind::StateSet) {
            let message = format!("{} {} may not have a unit", family.kind.as_str(), family.name);
            self.problem(Rule::Unit, message);
        }
    }

    /// The family that a metadata line may describe, a new one if need be, or `None` with a problem.
    fn described(&mut self, name: &str, word: &str, told: fn(&Told) -> bool) -> Option<usize> {
        let Some(&at) = self.by_name.get(name) else {
            return Some(self.open(name));
        };
        if told(&self.told[at]) {
            self.problem(Rule::Metadata, format!("second {word} of {name}"));
        } else if !self.families[at].samples.is_empty() {
            self.problem(Rule::Metadata, format!("{word} of {name} after its samples"));
        } else if self.current != Some(at) {
            self.problem(Rule::Grouping, format!("{name} was left and comes back"));
        } else {
            return Some(at);
        }
        None
    }

    fn sample(&mut self, sample: SampleLine<'_>) {
        let at = self.home(&sample.name);
        let (kind, base) = (self.families[at].kind, self.families[at].name.len());
        if sample.name.len() == base && !kind.has_bare_samples(self.format) {
            let message = format!("{} {} has a sample without suffix", kind.as_str(), sample.name);
            return self.problem(Rule::SampleName, message);
        }
        let told = &self.told[at];
        let described = told.help || told.kind || told.unit;
        if self.format.is_openmetrics() && !described && !is_metric_name(&sample.name) {
            // Python's parser takes the names of undescribed families for unquoted ones.
            let message = format!("{:?} in quotes needs a TYPE line before it", sample.name);
            return self.problem(Rule::Name, message);
        }
        let counts = kind == Kind::Counter && !self.format.is_openmetrics();
        if counts && (sample.value.is_nan() || sample.value < 0.0) {
            let message = format!("counter {} is {}", sample.name, sample.text);
            return self.problem(Rule::Counter, message);
        }
        if !self.series.insert(series_key(&sample.name, sample.labels.iter())) {
            let message = format!("series of {} is there twice", sample.name);
            return self.problem(Rule::Duplicate, message);
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

    /// The family a sample belongs to, a new untyped one if there is none. Says so when the family
    /// was left before.
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
                let family = self.families[at].name.clone();
                self.problem(Rule::Grouping, format!("{family} was left and comes back"));
                self.current = Some(at);
                at
            }
        }
    }

    /// Opens a family of a new name.
    fn open(&mut self, name: &str) -> usize {
        if let Some(claimant) = self.claimant(name) {
            let claims = &self.families[claimant];
            let (kind, claims) = (claims.kind.as_str(), claims.name.clone());
            let message = format!("{kind} {claims} claims the samples of the family {name}");
            self.problem(Rule::Clash, message);
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

    fn problem(&mut self, rule: Rule, message: String) {
        self.problems.push(Problem { line: self.line, rule, message });
    }
}

fn is_metric_name(name: &str) -> bool {
    metric_name_len(name.as_bytes()) == name.len()
}
