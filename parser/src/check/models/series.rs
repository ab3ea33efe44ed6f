//! One series on several lines, as Prometheus stores them: a line is stored if its time is later than that of each line of the
//! series before it. Times are whole milliseconds; a line without one has the time of the scrape, which is later than any other,
//! as it is in practice.
//!
//! From version 3 on (in fact 2.52) Prometheus also leaves out a line without a timestamp whose name and labels are spelled, to
//! the byte, as on another line before: it looks the spelling up in the cache of the scrape. From version 3 on the spelling's
//! series is that of its first line, too, and `le` and `quantile` are stored in one spelling of their number, if the last TYPE
//! line, of whichever family, is a histogram or summary.
//!
//! A time of which it is certain that it is more than hours away from the scrape is never stored. From the second scrape on the
//! spelling is in the cache nevertheless, if another line has it.

use std::collections::HashMap;
use std::ops::Range;

use crate::exposition::series_key;
use crate::fault::Fault;
use crate::go_float::canonical;
use crate::kind::Kind;
use crate::number;

/// The times, in milliseconds, that may be those of a scrape: from the year of Prometheus' first commit to 2100. It takes what is
/// at most some hours old, and at most 10 minutes ahead.
const SCRAPES: Range<i64> = 1_325_376_000_000..4_102_444_800_000;

/// A sample that was read.
pub(super) struct Point<'a> {
    /// The name and the labels, as the page spells them.
    pub(super) spelling: &'a [u8],
    pub(super) name: &'a str,
    /// The labels, with their escapes.
    pub(super) labels: &'a [(String, String)],
    /// The value, and whatever stands behind it.
    pub(super) rest: &'a [u8],
    /// Milliseconds.
    pub(super) time: Option<i64>,
}

/// A series that is stored.
struct Stored {
    /// The bits of its last line's value.
    value: Option<u64>,
    /// The time of its last line; `None` for the time of the scrape.
    time: Option<i64>,
    /// The bound or quantile of its first line, as it is spelled there.
    bound: Option<(&'static str, String)>,
}

pub(super) struct Series {
    three: bool,
    kind: Option<Kind>,
    /// The series of each spelling.
    spellings: HashMap<Vec<u8>, Vec<u8>>,
    stored: HashMap<Vec<u8>, Stored>,
}

impl Series {
    /// Those of a page for Prometheus 3, or 2 if `three` is false.
    pub(super) fn new(three: bool) -> Self {
        Self { three, kind: None, spellings: HashMap::new(), stored: HashMap::new() }
    }

    /// Notes a TYPE line.
    pub(super) fn declare(&mut self, kind: Kind) {
        self.kind = Some(kind);
    }

    /// Notes a line, and returns the fault if Prometheus does not store it.
    pub(super) fn note(&mut self, point: &Point<'_>) -> Option<Fault> {
        let key = match self.spellings.get(point.spelling) {
            Some(key) => {
                if self.three && point.time.is_none() {
                    return Some(twice(point));
                }
                key.clone()
            }
            None => {
                let key = self.key(point);
                self.spellings.insert(point.spelling.to_vec(), key.clone());
                key
            }
        };
        // Left out, but not for another line: a saved page, and those of a test suite, may have any time.
        if point.time.is_some_and(|time| !SCRAPES.contains(&time)) {
            return None;
        }
        let Some(stored) = self.stored.get_mut(&key) else {
            let (value, bound) = (value(point), bound(point));
            self.stored.insert(key, Stored { value, time: point.time, bound });
            return None;
        };
        let is_later = match (stored.time, point.time) {
            (Some(before), Some(time)) => time > before,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_later {
            (stored.time, stored.value) = (point.time, value(point));
            return None;
        }
        // Nothing is lost, and Prometheus does not mind.
        if stored.time == point.time && stored.value.is_some() && stored.value == value(point) {
            return None;
        }
        match (bound(point), stored.bound.clone()) {
            (Some((own, text)), Some((_, before))) if text != before => {
                Some(Fault::BoundTwice { name: name_of(point), own, text, before })
            }
            _ => Some(twice(point)),
        }
    }

    /// The label that is stored as a number.
    fn own_label(&self) -> Option<&'static str> {
        match self.kind.filter(|_| self.three)? {
            Kind::Histogram => Some("le"),
            Kind::Summary => Some("quantile"),
            _ => None,
        }
    }

    /// The identity of the series that is stored.
    fn key(&self, point: &Point<'_>) -> Vec<u8> {
        let own = self.own_label();
        let labels = point.labels.iter().map(|(name, value)| {
            let (name, value) = (unescaped(name), unescaped(value));
            match canonical(&value).filter(|_| own == Some(&name[..])) {
                Some(number) => (name, number),
                None => (name, value),
            }
        });
        let labels: Vec<(String, String)> = labels.collect();
        series_key(&unescaped(point.name), labels.iter())
    }
}

/// Returns the bits of a line's value.
fn value(point: &Point<'_>) -> Option<u64> {
    let mut words = point.rest.split(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    let word = words.find(|word| !word.is_empty())?;
    number::go(std::str::from_utf8(word).ok()?).ok().map(f64::to_bits)
}

fn twice(point: &Point<'_>) -> Fault {
    Fault::SeriesTwice { name: name_of(point) }
}

fn name_of(point: &Point<'_>) -> String {
    point.name.trim_ascii_start().to_owned()
}

fn bound(point: &Point<'_>) -> Option<(&'static str, String)> {
    point.labels.iter().find_map(|(name, value)| match &name[..] {
        "le" => Some(("le", value.clone())),
        "quantile" => Some(("quantile", value.clone())),
        _ => None,
    })
}

/// Replaces the three escapes that Prometheus knows, and leaves all others.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.as_bytes().first() {
            Some(b'n') => out.push('\n'),
            Some(byte @ (b'\\' | b'"')) => out.push(char::from(*byte)),
            _ => {
                out.push('\\');
                continue;
            }
        }
        rest = &rest[1..];
    }
    out + rest
}
