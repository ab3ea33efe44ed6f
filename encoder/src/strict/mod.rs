//! The parser that forgives nothing: text 0.0.4 as its narrowest consumer reads it.
//!
//! Prometheus, promtool, Python's parser, VictoriaMetrics and the Rust parsers each forgive something
//! that another one refuses. A body that passes here is taken by all of them, with the same meaning:
//! this is the judge of everything that the encoder and the foreign text merge write, in unit tests,
//! property tests, fuzzing and `dynamo-metrics check`.
//!
//! Three layers, each in its own file: `grammar` knows words, `line` knows one line, `points` knows
//! histograms and summaries. This file knows families: that each stands together, is described at
//! most once and before its samples, and that no series comes twice.
//!
//! What is accepted although it is not the subset we emit, because no consumer minds: plain comments
//! (`# EOF` and `# UNIT` are such here), samples without TYPE (an untyped family of their own), families
//! without samples, HELP after TYPE, `_count` before `_sum`, timestamps in digits, `007`, `5.`, `1E5`,
//! an empty body, and control bytes inside label values.
//!
//! Never panics, whatever the bytes. Time and memory are linear in the input, but for the sorting of
//! each line's labels. A line that is reported is left out, so a broken bucket may also be
//! reported as a missing one.

mod exposition;
pub(crate) mod grammar;
mod line;
mod points;
mod problem;

use std::collections::{HashMap, HashSet};

pub use exposition::{Exposition, Family, Kind, Sample};
pub use problem::{Problem, Rule};

use line::{Line, SampleLine};

/// Most problems that [`parse`] reports before it gives up: enough to see what is wrong, few enough
/// that a megabyte of garbage does not become a megabyte of complaints.
///
/// ```
/// use dynamo_metrics_encoder::strict::{self, PROBLEMS_MAX};
///
/// let problems = strict::parse("?\n".repeat(2 * PROBLEMS_MAX).as_bytes()).unwrap_err();
/// assert_eq!(problems.len(), PROBLEMS_MAX);
/// ```
pub const PROBLEMS_MAX: usize = 100;

/// Reads a body, or says everything that is wrong with it, by line, at most [`PROBLEMS_MAX`] problems.
///
/// # Errors
///
/// Returns at least one [`Problem`] when any consumer would refuse the body or read it differently.
///
/// ```
/// use dynamo_metrics_encoder::strict;
///
/// assert!(strict::parse(b"# TYPE up gauge\nup{job=\"x\"} 1\n").is_ok());
/// assert!(strict::parse(b"").is_ok());
///
/// let problems = strict::parse(b"up{job=\"x\",} 1\nup inf\n").unwrap_err();
/// assert_eq!(problems.len(), 2);
/// assert_eq!(problems[0].to_string(), "line 1: comma before the closing brace");
/// ```
pub fn parse(input: &[u8]) -> Result<Exposition, Vec<Problem>> {
    let mut reader = Reader::default();
    reader.read(input);
    for family in &reader.families {
        if reader.problems.len() < PROBLEMS_MAX {
            points::check(family, &mut reader.problems);
        }
    }
    if reader.problems.is_empty() {
        return Ok(Exposition { families: reader.families });
    }
    reader.problems.sort_by_key(|problem| problem.line);
    reader.problems.truncate(PROBLEMS_MAX);
    Err(reader.problems)
}

/// One series as bytes: name and labels in one order, whatever the order of the line. Empty values
/// are left out, since Prometheus drops them. The separators never occur in UTF-8.
fn series_key<'a>(name: &str, labels: impl Iterator<Item = &'a (String, String)>) -> Vec<u8> {
    let mut labels: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
    labels.sort_unstable();
    let mut key = name.as_bytes().to_vec();
    for (name, value) in labels {
        key.push(0xfe);
        key.extend_from_slice(name.as_bytes());
        key.push(0xff);
        key.extend_from_slice(value.as_bytes());
    }
    key
}

/// What a family has been told about so far, beside the family itself.
#[derive(Default)]
struct Told {
    help: bool,
    kind: bool,
}

#[derive(Default)]
struct Reader {
    families: Vec<Family>,
    told: Vec<Told>,
    by_name: HashMap<String, usize>,
    /// The family whose lines we are among.
    current: Option<usize>,
    series: HashSet<Vec<u8>>,
    problems: Vec<Problem>,
    line: usize,
}

impl Reader {
    fn read(&mut self, input: &[u8]) {
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
            match line::read(line) {
                Ok(Line::Comment) => {}
                Ok(Line::Help { name, help }) => self.help(name, help),
                Ok(Line::Type { name, kind }) => self.kind(name, kind),
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
        self.families[at].kind = kind;
        for suffix in kind.suffixes() {
            if self.by_name.contains_key(&format!("{name}{suffix}")) {
                let claims = format!("{} {name} claims the samples of", kind.as_str());
                self.problem(Rule::Clash, format!("{claims} the family {name}{suffix}"));
            }
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
        let at = self.home(sample.name);
        let (kind, base) = (self.families[at].kind, self.families[at].name.len());
        let suffix = &sample.name[base..];
        if kind == Kind::Histogram && suffix.is_empty() {
            let message = format!("histogram {} has a sample without suffix", sample.name);
            return self.problem(Rule::SampleName, message);
        }
        if kind == Kind::Counter && (sample.value.is_nan() || sample.value < 0.0) {
            let message = format!("counter {} is {}", sample.name, sample.text);
            return self.problem(Rule::Counter, message);
        }
        if !self.series.insert(series_key(sample.name, sample.labels.iter())) {
            let message = format!("series of {} is there twice", sample.name);
            return self.problem(Rule::Duplicate, message);
        }
        self.families[at].samples.push(Sample {
            line: self.line,
            name: sample.name.to_owned(),
            labels: sample.labels,
            value: sample.value,
            text: sample.text.to_owned(),
            timestamp: sample.timestamp,
        });
    }

    /// The family a sample belongs to, a new untyped one if there is none. Says so when the family
    /// was left before.
    fn home(&mut self, name: &str) -> usize {
        if let Some(current) = self.current {
            let family = &self.families[current];
            let suffix = name.strip_prefix(&family.name[..]);
            if suffix
                .is_some_and(|suffix| suffix.is_empty() || family.kind.suffixes().contains(&suffix))
            {
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
            kind: Kind::Untyped,
            help: None,
            samples: Vec::new(),
        });
        self.told.push(Told::default());
        self.by_name.insert(name.to_owned(), at);
        self.current = Some(at);
        at
    }

    /// The histogram or summary that this name is a suffixed sample of.
    fn claimant(&self, name: &str) -> Option<usize> {
        let (base, _) = name.rsplit_once('_')?;
        let at = *self.by_name.get(base)?;
        self.families[at].kind.suffixes().contains(&&name[base.len()..]).then_some(at)
    }

    fn problem(&mut self, rule: Rule, message: String) {
        self.problems.push(Problem { line: self.line, rule, message });
    }
}
