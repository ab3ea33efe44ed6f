//! The records of a file: families, and series with their cells. A file only grows, and a record keeps its length.
//!
//! ```text
//! file    [ header: magic, used, pid, refused ][ record ][ record ] ...              used: where the next one begins
//! record  [ words, tag, kind, mode ][ state ][ bytes, cells ][ family ][ strings ... ][ cells ... ]
//! ```
//!
//! **State.** Odd while the record is in use, raised by one when that changes. The strings of a record change only while it is even,
//! so a reader that finds the same odd number before and after has read one record (a sequence lock).

use crate::mapping::{Mapping, WORD};
use crate::mode::Mode;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// First word of a file: its form and version. Another byte order reads as another number.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"DYNMETR1");

/// Words of the header, by place.
pub(crate) const MAGIC_AT: usize = 0;
pub(crate) const USED_AT: usize = 1;
pub(crate) const PID_AT: usize = 2;
pub(crate) const REFUSED_AT: usize = 3;
pub(crate) const HEADER_WORDS: usize = 8;

const HEAD: usize = 0;
const STATE: usize = 1;
const LENGTHS: usize = 2;
const FAMILY: usize = 3;
const FIXED_WORDS: usize = 4;

/// Records have a multiple of so many words, so that one that is free fits others.
const ROUNDED_TO: usize = 4;

/// The kinds that a record may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Counter,
    Gauge(Mode),
    Histogram,
    Summary,
}

impl Kind {
    fn numbers(self) -> (u64, u64) {
        match self {
            Self::Counter => (0, 0),
            Self::Gauge(mode) => (1, mode.number()),
            Self::Histogram => (2, 0),
            Self::Summary => (3, 0),
        }
    }

    fn of_numbers(kind: u64, mode: u64) -> Option<Self> {
        match kind {
            0 => Some(Self::Counter),
            1 => Mode::of_number(mode).map(Self::Gauge),
            2 => Some(Self::Histogram),
            3 => Some(Self::Summary),
            _ => None,
        }
    }

    /// Returns two bytes that tell the kinds and modes apart.
    pub(crate) fn bytes(self) -> [u8; 2] {
        let (kind, mode) = self.numbers();
        [kind as u8, mode as u8]
    }
}

/// Place of the sum among the cells of a histogram or summary; its counts follow.
pub(crate) const SUM: usize = 0;

/// Cells of an exemplar, by place.
pub(crate) mod exemplar {
    pub(crate) const BUCKET: usize = 0;
    pub(crate) const VALUE: usize = 1;
    pub(crate) const TIME: usize = 2;
    pub(crate) const STATE: usize = 3;
    pub(crate) const CELLS: usize = 4;
}

/// Cells of a gauge, by place: what the process set, and what processes set that ended.
pub(crate) mod gauge {
    pub(crate) const VALUE: usize = 0;
    pub(crate) const TIME: usize = 1;
    pub(crate) const IS_SET: usize = 2;
    pub(crate) const PAST_VALUE: usize = 3;
    pub(crate) const PAST_TIME: usize = 4;
    pub(crate) const PAST_IS_SET: usize = 5;
    pub(crate) const CELLS: usize = 6;
}

/// The two sorts of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Strings: name, help, unit, names of labels. Cells: the bounds of the buckets but the last, which is infinite. In place of the
    /// family's first word is the process that uses it, which is no part of what the state guards.
    Family,
    /// Strings: the values of the labels.
    Series,
    /// Strings: names and values of labels in turn. Cells: the bucket, the value, the time, and the state of the series, whose first
    /// word is in place of the family's.
    Exemplar,
}

impl Tag {
    const ALL: [Self; 3] = [Self::Family, Self::Series, Self::Exemplar];
}

/// One record of a file, by its first word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'m> {
    mapping: &'m Mapping,
    pub(crate) at: usize,
    pub(crate) words: usize,
    pub(crate) tag: Tag,
    pub(crate) kind: Kind,
}

/// The content of a record, read while it did not change.
#[derive(Debug)]
pub(crate) struct Content {
    /// The family's first word, of a series. Of a family, the process that uses it, or 0: one of a process before has none.
    pub(crate) family: usize,
    pub(crate) strings: Vec<u8>,
    pub(crate) cells_at: usize,
    pub(crate) cells: usize,
}

/// Returns the words of a record with so many bytes of strings and so many cells.
pub(crate) fn words_for(bytes: usize, cells: usize) -> usize {
    (FIXED_WORDS + bytes.div_ceil(WORD) + cells).next_multiple_of(ROUNDED_TO)
}

/// Returns the words of a record before its cells.
pub(crate) fn words_before_cells(bytes: usize) -> usize {
    FIXED_WORDS + bytes.div_ceil(WORD)
}

/// Writes a record that is not in use, of which the file has `words` words from `at` on; its state stays even.
/// Returns the place of its first cell, or `None` where the file is too short.
pub(crate) fn write(
    mapping: &Mapping,
    at: usize,
    words: usize,
    (tag, kind): (Tag, Kind),
    family: usize,
    strings: &[u8],
    cells: impl ExactSizeIterator<Item = u64>,
) -> Option<usize> {
    let put = |place: usize, value: u64| {
        mapping.word(at + place).map(|word| word.store(value, Ordering::Relaxed))
    };
    // Pairs with the fence in `Record::is_still`: a reader that sees what is written from here on sees the even state, too. In the
    // thread that writes, because a fence orders the writes of its own thread only.
    fence(Ordering::Release);
    let (kind, mode) = kind.numbers();
    put(HEAD, words as u64 | (tag as u64) << 32 | kind << 40 | mode << 48)?;
    put(LENGTHS, strings.len() as u64 | (cells.len() as u64) << 32)?;
    put(FAMILY, family as u64)?;
    let mut place = FIXED_WORDS;
    for chunk in strings.chunks(WORD) {
        let mut word = [0; WORD];
        word[..chunk.len()].copy_from_slice(chunk);
        put(place, u64::from_ne_bytes(word))?;
        place += 1;
    }
    let first = at + place;
    for cell in cells {
        put(place, cell)?;
        place += 1;
    }
    Some(first)
}

/// Says which process uses the family at `at`; 0 for none.
pub(crate) fn claim(mapping: &Mapping, at: usize, pid: u32) {
    if let Some(word) = mapping.word(at + FAMILY) {
        // Relaxed: a reader that sees it late prefers another family for one page.
        word.store(pid.into(), Ordering::Relaxed);
    }
}

/// Returns the state of the record at `at`.
pub(crate) fn state(mapping: &Mapping, at: usize) -> Option<&AtomicU64> {
    mapping.word(at + STATE)
}

/// Puts a record that was written into use.
pub(crate) fn begin_use(mapping: &Mapping, at: usize) {
    if let Some(state) = state(mapping, at) {
        // Release pairs with the Acquire in `Record::read`: its strings are there.
        state.store(state.load(Ordering::Relaxed).wrapping_add(1) | 1, Ordering::Release);
    }
}

/// Takes a record out of use.
pub(crate) fn end_use(mapping: &Mapping, at: usize) {
    if let Some(state) = state(mapping, at) {
        // Relaxed: the fence in `write` comes after it, by the lock of the process if another thread writes.
        state.store(state.load(Ordering::Relaxed).wrapping_add(1) & !1, Ordering::Relaxed);
    }
}

/// All records that are complete, whether in use or not. Ends at one that makes no sense.
pub(crate) fn records(mapping: &Mapping) -> impl Iterator<Item = Record<'_>> {
    // Acquire pairs with the Release of the process that raised the number: the records below it are complete.
    let used = mapping.word(USED_AT).map_or(0, |used| used.load(Ordering::Acquire));
    let end = usize::try_from(used).unwrap_or(0).min(mapping.words());
    let mut next = HEADER_WORDS;
    std::iter::from_fn(move || {
        let record =
            Record::at(mapping, next).filter(|record| record.words <= end.saturating_sub(next))?;
        next += record.words;
        Some(record)
    })
}

impl<'m> Record<'m> {
    fn at(mapping: &'m Mapping, at: usize) -> Option<Self> {
        let head = mapping.word(at)?.load(Ordering::Relaxed);
        let words = (head & u64::from(u32::MAX)) as usize;
        let byte = |shift: u32| head >> shift & 0xff;
        let tag = *Tag::ALL.get(usize::try_from(byte(32)).ok()?)?;
        let kind = Kind::of_numbers(byte(40), byte(48))?;
        (words >= FIXED_WORDS).then_some(Self { mapping, at, words, tag, kind })
    }

    /// Returns its content, if it is in use and did not change meanwhile.
    pub(crate) fn read(&self) -> Option<Content> {
        let state = state(self.mapping, self.at)?;
        // Acquire pairs with the Release in `begin_use`.
        let before = state.load(Ordering::Acquire);
        if before.is_multiple_of(2) {
            return None;
        }
        let word = |at: usize| self.mapping.word(self.at + at).map(|it| it.load(Ordering::Relaxed));
        let lengths = word(LENGTHS)?;
        let (bytes, cells) = ((lengths & u64::from(u32::MAX)) as usize, (lengths >> 32) as usize);
        let string_words = bytes.div_ceil(WORD);
        if FIXED_WORDS + string_words + cells > self.words {
            return None;
        }
        let family = usize::try_from(word(FAMILY)?).ok()?;
        let mut strings = Vec::with_capacity(string_words * WORD);
        for place in 0..string_words {
            strings.extend_from_slice(&word(FIXED_WORDS + place)?.to_ne_bytes());
        }
        strings.truncate(bytes);
        let content =
            Content { family, strings, cells_at: self.at + FIXED_WORDS + string_words, cells };
        self.is_still(before).then_some(content)
    }

    /// Returns the state, odd while the record is in use.
    pub(crate) fn state(&self) -> u64 {
        // Acquire as in `read`.
        state(self.mapping, self.at).map_or(0, |state| state.load(Ordering::Acquire))
    }

    /// Returns whether the state is `before`, so that all reads since then were of one record.
    pub(crate) fn is_still(&self, before: u64) -> bool {
        // Pairs with the fence in `write`.
        fence(Ordering::Acquire);
        state(self.mapping, self.at).is_some_and(|state| state.load(Ordering::Relaxed) == before)
    }
}

/// Appends strings as a record has them: the length of each in four bytes, and its bytes.
pub(crate) fn pack<'a>(into: &mut Vec<u8>, strings: impl IntoIterator<Item = &'a str>) {
    for text in strings {
        // Opts are checked to be shorter (`process.rs`).
        into.extend_from_slice(&(text.len() as u32).to_le_bytes());
        into.extend_from_slice(text.as_bytes());
    }
}

/// Returns the strings of a record; `None` where they make no sense.
pub(crate) fn unpack(mut bytes: &[u8]) -> Option<Vec<&str>> {
    let mut strings = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        strings.push(str::from_utf8(text).ok()?);
        bytes = rest;
    }
    bytes.is_empty().then_some(strings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_as_they_were_written() {
        for strings in [&[][..], &[""], &["a", "", "ü\n"]] {
            let mut bytes = Vec::new();
            pack(&mut bytes, strings.iter().copied());
            assert_eq!(unpack(&bytes).as_deref(), Some(strings));
        }
        assert_eq!(unpack(&[1, 0, 0]), None);
        assert_eq!(unpack(&[2, 0, 0, 0, b'a']), None);
        assert_eq!(unpack(&[1, 0, 0, 0, 0xff]), None);
    }

    #[test]
    fn kinds_have_the_numbers_that_files_have() {
        let modes = Mode::ALL.map(Kind::Gauge);
        for kind in [Kind::Counter, Kind::Histogram, Kind::Summary].into_iter().chain(modes) {
            let (number, mode) = kind.numbers();
            assert_eq!(Kind::of_numbers(number, mode), Some(kind));
        }
        assert_eq!(Kind::of_numbers(4, 0), None);
    }
}
