//! An exemplar of an engine's line: read only where the format has a place for it, and passed on only if no consumer refuses it.

use super::arena::Span;
use super::cursor::{Cursor, Label};
use super::line::number;
use super::role::Role;
use super::store::{Sample, Store};
use dynamo_metrics_parser::grammar::{label_name_len, seconds};

/// Most characters of all names and values together, as OpenMetrics 1.0 has it. A consumer that enforces it
/// fails the whole scrape.
const CHARACTERS_MAX: usize = 128;

/// An exemplar; its labels are in the list given.
pub(super) struct Exemplar {
    pub(super) value: f64,
    /// Seconds, digits with or without a point; empty when there is none.
    pub(super) timestamp: Span,
}

/// Reads the exemplar of a sample, if it is valid there: at a counter, or within its bucket, whose lower bound is
/// `below`. Values with escapes are refused too: Prometheus does not unescape them and Python fails.
pub(super) fn read(
    store: &Store,
    (sample, below): (&Sample, f64),
    counter: bool,
    labels: &mut Vec<Label>,
) -> Option<Exemplar> {
    labels.clear();
    let bucket = sample.role == Role::Bucket;
    let mut cursor = Cursor::new(&store.arena, sample.exemplar);
    let read = (bucket || counter).then(|| cursor.labels(false, labels)).flatten();
    // Of a name that is there twice, Prometheus keeps in an exemplar the one with a value.
    if read?.repeated {
        return None;
    }
    let mut characters = 0;
    for label in &*labels {
        let (name, value) = (store.arena.get(label.name), store.arena.get(label.value));
        if label_name_len(name) != name.len() || value.contains(&b'\\') {
            return None;
        }
        let characters_of = |text: &[u8]| text.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        characters += characters_of(name) + characters_of(value);
    }
    cursor.skip_blanks();
    let value = cursor.token();
    let (value, _) = number(cursor.slice(value))?;
    cursor.skip_blanks();
    let timestamp = cursor.token();
    let text = cursor.slice(timestamp);
    // A time whose milliseconds no consumer can hold is none.
    let is_time = text.is_empty() || str::from_utf8(text).is_ok_and(|text| seconds(text).is_some());
    cursor.skip_blanks();
    let within = !bucket || (below < value && value <= sample.bound);
    let valid = value.is_finite()
        && within
        && is_time
        && text.len() <= SECONDS_LEN_MAX
        && characters <= CHARACTERS_MAX
        && cursor.peek().is_none();
    valid.then_some(Exemplar { value, timestamp })
}

/// Longest timestamp that is passed on: the seconds of any date, and nanoseconds.
const SECONDS_LEN_MAX: usize = 24;
