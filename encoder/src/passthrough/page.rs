//! One source's text: read once into the store and tables of its own, then sorted into the merged families as often as it takes.

use std::ops::Range;

use super::alike;
use super::arena::Span;
use super::bound;
use super::declarations::Declared;
use super::emit::Wanted;
use super::filter::Filter;
use super::line::{self, Line, Reading};
use super::merged::{Merged, Refusal};
use super::names::Names;
use super::report::Report;
use super::store::Store;
use super::weaker::Weaker;
use super::word::Word;
use dynamo_metrics_core::Escaping;
use dynamo_metrics_parser::Kind;

/// Most samples of one merge; further lines are dropped and counted. A record is about 100 bytes, so
/// this bounds them to some 100 MB.
///
/// ```
/// assert!(dynamo_metrics_encoder::passthrough::SAMPLES_MAX >= 1_000_000);
/// ```
pub const SAMPLES_MAX: usize = 1_000_000;

/// The names, declarations and samples of one source.
#[derive(Default)]
pub(super) struct Page {
    names: Names,
    /// Its samples in the store.
    samples: Range<usize>,
    /// The counts of reading; those of sorting are added to a copy in each round.
    report: Report,
}

impl Page {
    /// Leaves a text out and counts its lines.
    pub(super) fn skip(&mut self, text: &[u8]) {
        self.names.clear();
        self.samples = 0..0;
        self.report = Report::default();
        self.report.dropped_lines = text.split_inclusive(|&byte| byte == b'\n').count() as u64;
    }

    /// Reads the lines of a text into the store, which must know the source's labels, and into the tables.
    pub(super) fn read(&mut self, store: &mut Store, filter: &Filter, text: &[u8]) {
        self.names.clear();
        self.report = Report::default();
        let first = store.samples.len();
        let start = store.arena.push(text).start as usize;
        let utf8 = text.is_ascii() || std::str::from_utf8(text).is_ok();
        let mut openmetrics = false;
        let mut below = Kind::Untyped;
        let mut before = None;
        let mut at = 0;
        while at < text.len() {
            let line = first_line(&text[at..]);
            let from = start + at;
            at += line.len();
            let line = Span { start: from as u32, end: (from + trimmed_len(line)) as u32 };
            let first_label = store.labels.len();
            if let Some(last) = &before
                && store.samples.len() < SAMPLES_MAX
                && let Some((reading, which)) =
                    alike::read(&store.arena, line, last, &mut store.labels)
            {
                store.push_alike(&reading, first_label, which, below);
                openmetrics = false;
                self.names.again(store.samples[store.samples.len() - 1].name);
                before = store.before(reading.name);
                continue;
            }
            // Text 0.0.4 may have the same comment, but hardly as its last line.
            openmetrics &= line.is_empty();
            match line::read(&store.arena, line, utf8, filter, &mut store.labels) {
                Line::Nothing => {}
                Line::Eof => openmetrics = true,
                Line::Sample(reading) => {
                    if self.add_sample(store, &reading, first_label, below) && utf8 {
                        before = store.before(reading.name);
                    }
                }
                other => {
                    if let Line::Type { word, .. } = other {
                        below = Word::parse(store.arena.get(word)).with_bounds();
                    }
                    self.add_metadata(store, &other);
                }
            }
        }
        store.settle_timestamps(first, openmetrics);
        self.samples = first..store.samples.len();
    }

    /// Keeps a sample, or counts its line as dropped. Returns whether it was kept.
    fn add_sample(
        &mut self,
        store: &mut Store,
        reading: &Reading,
        first_label: usize,
        below: Kind,
    ) -> bool {
        let room = store.samples.len() < SAMPLES_MAX;
        let spelled = match reading.respell {
            true => store.respelled(reading.name).0,
            false => reading.name,
        };
        let name = self.names.sample(&store.arena, &store.seed, spelled).filter(|_| room);
        if name.is_some_and(|name| store.push(reading, name, first_label, below)) {
            return true;
        }
        store.labels.truncate(first_label);
        self.report.dropped_lines += 1;
        if name.is_some() {
            self.names.bad_sample(&store.arena, &store.seed, spelled);
        }
        false
    }

    /// Notes any line that is no sample.
    fn add_metadata(&mut self, store: &mut Store, line: &Line) {
        let names = &mut self.names;
        match *line {
            Line::Nothing | Line::Eof | Line::Sample(_) | Line::Type { admitted: false, .. } => {}
            Line::Help { name, text } => {
                let (name, arena, seed) = store.respelled(name);
                names.declarations.help(arena, seed, name, text);
            }
            Line::Unit { name, unit } => {
                let (name, arena, seed) = store.respelled(name);
                names.declarations.unit(arena, seed, name, unit);
            }
            Line::Type { name, word, .. } => {
                let (name, arena, seed) = store.respelled(name);
                match names.declarations.kind(arena, seed, (name, word)) {
                    Declared::Fine => {}
                    Declared::Unreadable => self.report.dropped_lines += 1,
                }
            }
            Line::BadSample(name) => {
                if let Some(name) = name {
                    let (name, arena, seed) = store.respelled(name);
                    names.bad_sample(arena, seed, name);
                }
                self.report.dropped_lines += 1;
            }
            Line::BadMetadata(name) => {
                if let Some(name) = name {
                    let (name, arena, seed) = store.respelled(name);
                    names.declarations.bad_metadata(arena, seed, name);
                }
                self.report.dropped_lines += 1;
            }
        }
    }

    /// Returns a hash of everything that decides which families the page has.
    pub(super) fn fingerprint(&self, store: &Store, filter: &Filter) -> u64 {
        self.names.fingerprint(&store.seed, filter.added_prefix().as_bytes())
    }

    /// Returns the counts of reading.
    pub(super) fn counts(&self) -> Report {
        self.report
    }

    /// Decides for each name which family it is of, with the types that families may have.
    pub(super) fn settle(
        &mut self,
        store: &Store,
        filter: &Filter,
        wanted: &Wanted<'_>,
        weaker: &mut Weaker,
    ) {
        let prefix = filter.added_prefix().as_bytes();
        let escapes = store.escaping == Escaping::Underscores;
        let how = (prefix, wanted.types(), escapes);
        self.names.settle(&store.arena, &store.seed, weaker, how);
    }

    /// Returns whether a name of the page is written otherwise than it is spelled.
    pub(super) fn has_escaped(&self) -> bool {
        self.names.has_escaped()
    }

    /// Sorts the samples into the merged families: those of names that are written as they are spelled, or the others.
    pub(super) fn sort(
        &mut self,
        (store, merged): (&mut Store, &mut Merged),
        (number, filter, escaped): (u32, &Filter, bool),
        wanted: &Wanted<'_>,
        weaker: &mut Weaker,
        report: &mut Report,
    ) {
        let prefix = filter.added_prefix().as_bytes();
        for part in self.names.parts().iter_mut().filter(|part| part.escaped == escaped) {
            if part.quarantined {
                report.quarantined += 1;
                continue;
            }
            if part.samples == 0 {
                continue;
            }
            match merged.bind(store, part, prefix, wanted.reserved, weaker) {
                Ok(family) => part.family = family,
                Err(Refusal::Clash) => report.clashes += 1,
                Err(Refusal::Full) => report.quarantined += 1,
            }
        }
        for at in self.samples.clone() {
            let (name, at) = (store.samples[at].name, at as u32);
            let Some(home) = self.names.settled(name, escaped) else { continue };
            store.reset(at);
            let below = store.samples[at as usize].below;
            if let Some(label) = bound::label(below)
                && below != merged.families[home.1 as usize].kind
            {
                store.respell_number(at, label);
            }
            if let Some(hash) = self.names.without_own_type(name) {
                weaker.add_sample(store.seed.fold(store.label_hash(at) ^ hash));
            }
            merged.place(store, at, home, number, report, weaker);
        }
    }
}

/// The bytes up to and including the first line feed.
fn first_line(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1)]
}

/// The length of a line without its line end, be it LF, CR LF or worse.
fn trimmed_len(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.last() != Some(&b'\r') {
        return line.len();
    }
    line.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1)
}
