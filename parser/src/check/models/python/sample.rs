//! The line of a sample as Python reads it: name and labels, and then a state machine for value, timestamp and exemplar.

use std::collections::HashMap;

use super::openmetrics::suffixes;
use super::text::{bad_sample_name, name_twice};
use super::words::{
    Chars, Labels, float, is_legacy_name, is_space, labels, last_unquoted, next_unquoted, number,
    slice, string, whole,
};
use crate::fault::Fault;

/// Seconds and nanoseconds, or a float that was spelled otherwise; those are compared with nothing but each other.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum Time {
    Exact(f64, f64),
    Float(f64),
}

/// A sample.
pub(super) struct Sample {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) time: Option<Time>,
    pub(super) exemplar: bool,
}

impl Time {
    /// Returns whether Python cannot compare the two.
    pub(super) fn is_other(&self, other: &Time) -> bool {
        std::mem::discriminant(self) != std::mem::discriminant(other)
    }
}

/// Reads a line whose value is a structure, as native histograms have it; `None` for another line.
pub(super) fn native(text: Chars<'_>) -> Option<Result<(), Fault>> {
    let open = next_unquoted(text, 0, |c| c == '{');
    let mut at = next_unquoted(text, 0, |c| matches!(c, ' ' | '{'))?;
    let has_labels = text[at] == '{';
    if has_labels {
        match next_unquoted(text, at, |c| c == '}') {
            Some(close) => at = close,
            None => return Some(Err(Fault::NoComma { label: string(&text[..at]) })),
        }
    }
    let value = next_unquoted(text, at + 1, |c| c == '{')?;
    if next_unquoted(text, at + 1, |c| c == '#').is_some_and(|hash| hash < value) {
        return None;
    }
    let word = string(&text[value..]);
    let is_open = next_unquoted(text, value, |c| c == '}').is_none();
    let name = string(&text[..if has_labels { open.unwrap_or(0) } else { value - 1 }]);
    let has_suffix = suffixes("histogram").iter().any(|suffix| name.ends_with(suffix));
    let read =
        if has_labels { labels(&text[open.unwrap_or(0) + 1..at], true) } else { Ok(Labels::new()) };
    let is_named = |labels: &Labels| labels.iter().any(|(label, _)| label == "__name__");
    Some(match read {
        Err(fault) => Err(fault),
        Ok(labels) if name.is_empty() && !is_named(&labels) => Err(Fault::NameNotFirst),
        Ok(_) if is_open || has_suffix || !is_structure(&word) => {
            Err(Fault::NotANumber { text: word })
        }
        Ok(_) => Ok(()),
    })
}

/// Returns whether a structure has the numbers that a native histogram needs.
fn is_structure(text: &str) -> bool {
    let fields: HashMap<&str, &str> = text
        .split(['{', ',', '}'])
        .filter_map(|field| field.trim_matches(is_space).split_once(':'))
        .map(|(name, value)| (name, value.trim_start_matches(is_space)))
        .collect();
    let is_whole = |name| fields.get(name).is_some_and(|value| whole(value).is_some());
    let is_number = |name| fields.get(name).is_some_and(|value| float(value).is_some());
    is_whole("count")
        && is_whole("schema")
        && is_whole("zero_count")
        && is_number("sum")
        && is_number("zero_threshold")
}

/// Reads a line.
pub(super) fn read_sample(line: usize, text: Chars<'_>) -> Result<Sample, Fault> {
    let open = next_unquoted(text, 0, |c| c == '{');
    let hash = open.is_some_and(|open| string(&text[..open]).contains(" # "));
    let (name, labels, rest) = match open.filter(|_| !hash) {
        None => {
            let end = next_unquoted(text, 0, |c| c == ' ');
            let name = string(slice(text, 0, end));
            if !is_legacy_name(&name) {
                return Err(match text[0] {
                    ' ' | '\t' => Fault::BlankBeforeName,
                    _ => bad_sample_name(&name),
                });
            }
            let rest = end.map_or(text, |end| &text[end + 1..]);
            if end.is_none() {
                return Err(Fault::NoValue).or_else(|fault| match number(&string(text)) {
                    // A lone number is its own name, but for its last character.
                    Some(_) => Ok(Sample::bare(line, name, string(text))),
                    None => Err(fault),
                });
            }
            (name, Labels::new(), rest)
        }
        Some(open) => {
            let close = next_unquoted(text, 0, |c| c == '}');
            let inside = slice(text, open + 1, close);
            let mut labels = labels(inside, true)?;
            let name = string(&text[..open]);
            let in_braces = labels.iter().position(|(label, _)| label == "__name__");
            let name = match in_braces {
                Some(_) if !name.is_empty() => return Err(name_twice(inside)),
                Some(at) => labels.remove(at).1,
                None if name.is_empty() => return Err(Fault::NameNotFirst),
                None => name,
            };
            let rest = slice(text, close.map_or(1, |close| close + 2), Some(text.len()));
            if rest.first().is_none_or(|c| *c == ' ')
                && close.and_then(|close| text.get(close + 1)).is_some_and(|c| *c != ' ')
            {
                // It passes over the character behind the brace, whatever that is, and finds no value.
                return Err(Fault::NoBlank { before: "value" });
            }
            (name, labels, rest)
        }
    };
    let (value, time, exemplar) = remaining(rest)?;
    Ok(Sample { line, name, labels, value, time, exemplar })
}

impl Sample {
    fn bare(line: usize, name: String, value: String) -> Sample {
        let value = number(&value).unwrap_or_default();
        Sample { line, name, labels: Labels::new(), value, time: None, exemplar: false }
    }
}

/// Reads the value, the timestamp and the exemplar.
fn remaining(text: Chars<'_>) -> Result<(f64, Option<Time>, bool), Fault> {
    let end = text.iter().position(|c| *c == ' ');
    let word = string(&text[..end.unwrap_or(text.len())]);
    let Some(value) = number(&word) else {
        return Err(match word.is_empty() {
            true if text.is_empty() => Fault::NoValue,
            true => Fault::ManyBlanks { before: "value" },
            false => Fault::NotANumber { text: word },
        });
    };
    let Some(end) = end else { return Ok((value, None, false)) };
    let tail = &text[end + 1..];
    let parts = Tail::read(tail)?;
    let time = parse_time(&parts.time)?;
    let Some(labels) = parts.labels else { return Ok((value, time, false)) };
    let points = labels.iter().map(|(name, value)| name.chars().count() + value.chars().count());
    let points: usize = points.sum();
    if points > 128 {
        return Err(Fault::ExemplarTooLong { points });
    }
    if number(&parts.value).is_none() {
        return Err(match parts.value.is_empty() {
            true => Fault::ExemplarValue,
            false => Fault::NotANumber { text: parts.value },
        });
    }
    parse_time(&parts.exemplar_time)?;
    Ok((value, time, true))
}

/// The parts of a line behind its value.
#[derive(Default)]
struct Tail {
    time: String,
    labels: Option<Labels>,
    value: String,
    exemplar_time: String,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Time,
    Hash,
    Space,
    Open,
    Labels,
    ValueSpace,
    Value,
    ExemplarTime,
}

impl Tail {
    /// Goes through the characters outside of quotes, as Python's state machine does.
    fn read(text: Chars<'_>) -> Result<Tail, Fault> {
        let mut tail = Tail::default();
        let (mut state, mut in_quotes) = (State::Time, false);
        for character in text {
            if *character == '"' {
                in_quotes = !in_quotes;
            }
            if in_quotes {
                continue;
            }
            state = match (state, character) {
                (State::Time, '#') if tail.time.is_empty() => State::Space,
                (State::Time, ' ') => State::Hash,
                (State::Hash, '#') => State::Space,
                (State::Hash, _) => return Err(Fault::AfterTimestamp { text: string(text) }),
                (State::Space, ' ') => State::Open,
                (State::Open, '{') => {
                    let open = next_unquoted(text, 0, |c| c == '{');
                    let close = last_unquoted(text, |c| c == '}');
                    let inside = slice(text, open.map_or(0, |open| open + 1), close);
                    tail.labels = Some(labels(inside, true)?);
                    State::Labels
                }
                (State::Space | State::Open, _) => return Err(Fault::ExemplarStart),
                (State::Labels, '}') => State::ValueSpace,
                (State::Labels, _) => State::Labels,
                (State::ValueSpace, ' ') => State::Value,
                (State::ValueSpace, _) => return Err(Fault::ExemplarValue),
                (State::Value, ' ') if tail.value.is_empty() => return Err(Fault::ExemplarValue),
                (State::Value, ' ') => State::ExemplarTime,
                (State::Time | State::Value | State::ExemplarTime, other) => {
                    match state {
                        State::Time => tail.time.push(*other),
                        State::Value => tail.value.push(*other),
                        _ => tail.exemplar_time.push(*other),
                    }
                    state
                }
            };
        }
        match state {
            State::Time if tail.time.is_empty() => Err(Fault::BlankAtEnd),
            State::ExemplarTime if tail.exemplar_time.is_empty() => Err(Fault::BlankAtEnd),
            State::Hash => Err(Fault::BlankAtEnd),
            State::Space | State::Open | State::Labels => Err(Fault::ExemplarStart),
            _ => Ok(tail),
        }
    }
}

fn parse_time(text: &str) -> Result<Option<Time>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Fault::NotSeconds { text: text.to_owned() };
    if text.contains('_') || text.starts_with(is_space) || text.ends_with(is_space) {
        return Err(wrong());
    }
    if let Some(seconds) = whole(text) {
        return Ok(Some(Time::Exact(seconds, 0.0)));
    }
    if let Some((seconds, nanos)) = text.split_once('.') {
        let nanos: String = nanos.chars().take(9).collect();
        let parts = whole(seconds).zip(whole(&format!("{nanos:0<9}")));
        if let Some((seconds, nanos)) = parts.filter(|(_, nanos)| *nanos >= 0.0) {
            let nanos = if seconds < 0.0 { -nanos } else { nanos };
            return Ok(Some(Time::Exact(seconds, nanos)));
        }
    }
    match number(text) {
        Some(seconds) if seconds.is_finite() => Ok(Some(Time::Float(seconds))),
        _ => Err(wrong()),
    }
}
