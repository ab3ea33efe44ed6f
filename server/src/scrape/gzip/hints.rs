//! The knowledge about a page: the beginning of each of its lines, and the lines that each copies from.

use std::io;

use super::codes::{COPY_MAX, COPY_MIN};
use super::packed::Packed;

/// A copy may be of bytes that are no farther back.
const WINDOW: usize = 32 * 1024;
/// Fewer bytes than these are as short as literals.
const SAME_MIN: usize = 4;
/// Literals, or bytes of a copy, that a hint can tell.
const LEN_MAX: usize = u16::MAX as usize;
const HASH_BITS: u32 = 11;
/// Bytes that are read at once.
pub(super) const WORD: usize = 8;

/// The bytes of a page in the words of deflate.
pub(super) trait Sink {
    /// The position, which every call returns.
    type At: Copy;

    fn literals(&mut self, at: Self::At, bytes: &[u8]) -> io::Result<Self::At>;

    /// Appends the first `len` bytes of a word, one at least.
    fn short(&mut self, at: Self::At, word: [u8; WORD], len: usize) -> io::Result<Self::At>;

    /// Appends the `len` bytes, 3 to 258, that are `distance` bytes back, 1 to 32,768.
    fn copy(&mut self, at: Self::At, len: usize, distance: usize) -> io::Result<Self::At>;

    /// Appends the bits of a constant part, if this sink takes any and they are known.
    fn known(&mut self, _: Self::At, _: &Packed) -> io::Result<Option<Self::At>> {
        Ok(None)
    }

    /// Appends a constant part; returns its bits, if this sink keeps them.
    fn constant(&mut self, at: Self::At, part: &Constant<'_>) -> io::Result<(Self::At, Packed)> {
        Ok((part.write(self, at)?, Packed::UNKNOWN))
    }
}

/// The constant part of a line, at its place in a text.
pub(super) struct Constant<'a> {
    text: &'a [u8],
    /// The position in `text` at which the constant part begins.
    at: usize,
    lines: &'a [Line],
    /// Those of this line.
    hints: &'a [Hint],
}

impl Constant<'_> {
    /// Returns whether all that it copies is near enough.
    fn is_near(&self) -> bool {
        self.copies().all(|(_, distance)| distance <= WINDOW)
    }

    /// Writes its literals and copies.
    pub(super) fn write<S: Sink + ?Sized>(
        &self,
        sink: &mut S,
        mut written: S::At,
    ) -> io::Result<S::At> {
        let mut at = self.at;
        for (hint, distance) in self.copies() {
            let to = at + usize::from(hint.literals);
            written = sink.literals(written, &self.text[at..to])?;
            if hint.len > 0 {
                written = copy(sink, written, hint.len.into(), distance)?;
            }
            at = to + usize::from(hint.len);
        }
        Ok(written)
    }

    /// The hints, with the distances of their copies in this text; zero where there is none.
    fn copies(&self) -> impl Iterator<Item = (Hint, usize)> {
        let mut at = self.at;
        self.hints.iter().map(move |hint| {
            let to = at + usize::from(hint.literals);
            at = to + usize::from(hint.len);
            let from = self.lines[hint.line as usize].start as usize + hint.offset as usize;
            (*hint, if hint.len == 0 { 0 } else { to - from })
        })
    }
}

/// The hints of one page, as it was when it was searched.
#[derive(Default)]
pub(super) struct Hints {
    lines: Vec<Line>,
    /// Those of all lines; the last one of each line has no copy.
    hints: Vec<Hint>,
    /// The constant parts of all lines.
    constants: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Line {
    /// The position at which it begins in the page that is being written, or in the one before.
    start: u32,
    /// Its bytes, there.
    len: u32,
    /// Its bytes before the value.
    constant: u32,
    /// The first of the lines that it copies from.
    oldest: u32,
    /// The number of hints up to the end of the line.
    hints: u32,
    /// The bits of its constant part. They are the same as long as the codes and the lengths of all lines from `oldest` on are.
    bits: Packed,
}

/// Some literals of a line's constant part, then a copy.
#[derive(Clone, Copy)]
struct Hint {
    literals: u16,
    /// Bytes of the copy, [`SAME_MIN`] at least. Zero behind the last copy of a line.
    len: u16,
    /// The line that has the bytes, and where.
    line: u32,
    offset: u32,
}

/// The place at which bytes were seen last, by their hash. Empty before a page is searched.
pub(super) struct Search {
    seen: Box<[Option<Seen>]>,
}

#[derive(Clone, Copy)]
struct Seen {
    line: u32,
    offset: u32,
}

/// The numbers of lines, of their hints and of the bytes of their constant parts that were followed, and where the next line begins.
#[derive(Clone, Copy)]
struct Followed {
    lines: usize,
    hints: usize,
    constants: usize,
    at: usize,
}

/// Bytes that were found again.
#[derive(Clone, Copy)]
struct Found {
    seen: Seen,
    len: usize,
    distance: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self { seen: Box::new([None; 1 << HASH_BITS]) }
    }
}

impl Search {
    /// Returns where bytes with the hash of these four were seen, and notes that they are seen here.
    fn replace(&mut self, bytes: [u8; SAME_MIN], here: Seen) -> Option<Seen> {
        let hash = u32::from_le_bytes(bytes).wrapping_mul(0x9E37_79B1) >> (u32::BITS - HASH_BITS);
        self.seen[hash as usize].replace(here)
    }
}

impl Hints {
    /// Returns whether nothing is known yet.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Forgets the bits of all lines, because the codes have changed.
    pub(super) fn forget_bits(&mut self) {
        self.lines.iter_mut().for_each(|line| line.bits = Packed::UNKNOWN);
    }

    /// Writes the whole text; returns whether something was learned.
    pub(super) fn write<S: Sink>(
        &mut self,
        text: &[u8],
        search: &mut Search,
        sink: &mut S,
        written: S::At,
    ) -> io::Result<(S::At, bool)> {
        let (mut written, followed) = self.follow(text, sink, written)?;
        let Followed { lines, hints, constants, mut at } = followed;
        self.lines.truncate(lines);
        self.hints.truncate(hints);
        self.constants.truncate(constants);
        if at == text.len() {
            return Ok((written, false));
        }
        search.seen.fill(None);
        while at < text.len() {
            (written, at) = self.learn(text, at, search, sink, written)?;
        }
        Ok((written, true))
    }

    /// Writes lines by their hints, up to the first line that has changed before its value.
    fn follow<S: Sink>(
        &mut self,
        text: &[u8],
        sink: &mut S,
        mut written: S::At,
    ) -> io::Result<(S::At, Followed)> {
        let mut followed = Followed { lines: 0, hints: 0, constants: 0, at: 0 };
        // Lines from here on are as long as they were.
        let mut same_len_from = 0;
        while followed.at < text.len() && followed.lines < self.lines.len() {
            let start = followed.at;
            // By reference: a copy of the whole would have to wait for the store.
            let line = &mut self.lines[followed.lines];
            line.start = start as u32;
            let (constant, hints) = (line.constant as usize, line.hints as usize);
            let known = &self.constants[followed.constants..][..constant];
            let value = start + constant;
            if text.get(start..value) != Some(known) {
                break;
            }
            let is_as_before = line.oldest >= same_len_from;
            let known = if is_as_before { sink.known(written, &line.bits)? } else { None };
            written = if let Some(written) = known {
                written
            } else {
                let hints = &self.hints[followed.hints..hints];
                let part = Constant { text, at: start, lines: &self.lines, hints };
                if !part.is_near() {
                    break;
                }
                let (written, bits) = sink.constant(written, &part)?;
                self.lines[followed.lines].bits = bits;
                written
            };
            let end = line_end(text, value);
            written = match text[value..].first_chunk() {
                Some(word) if (1..=WORD).contains(&(end - value)) => {
                    sink.short(written, *word, end - value)?
                }
                _ => sink.literals(written, &text[value..end])?,
            };
            let line = &mut self.lines[followed.lines];
            let len = (end - start) as u32;
            if line.len != len {
                line.len = len;
                same_len_from = followed.lines as u32 + 1;
            }
            let lines = followed.lines + 1;
            followed = Followed { lines, hints, constants: followed.constants + constant, at: end };
        }
        Ok((written, followed))
    }

    /// Writes the line that begins at `start`, and learns it. Returns where it ends.
    fn learn<S: Sink>(
        &mut self,
        text: &[u8],
        start: usize,
        search: &mut Search,
        sink: &mut S,
        mut written: S::At,
    ) -> io::Result<(S::At, usize)> {
        let end = line_end(text, start);
        let constant = constant_len(&text[start..end]);
        let constant_end = start + constant;
        let number = self.lines.len() as u32;
        let (start_32, constant_32, len) = (start as u32, constant as u32, (end - start) as u32);
        let (oldest, hints, bits) = (u32::MAX, 0, Packed::UNKNOWN);
        let line = Line { start: start_32, len, constant: constant_32, oldest, hints, bits };
        push(&mut self.lines, line)?;
        // Bytes from here on are not written yet.
        let (mut at, mut from) = (start, start);
        let mut found = number
            .checked_sub(1)
            .and_then(|line| self.same(text, Seen { line, offset: 0 }, at, constant_end));
        let mut is_looked_up = false;
        loop {
            match found {
                Some(found) => {
                    written = self.learn_hint(&text[from..at], Some(found), sink, written)?;
                    at += found.len;
                    from = at;
                }
                None if is_looked_up => at += 1,
                None => {}
            }
            if at + SAME_MIN > constant_end || at - from > LEN_MAX {
                break;
            }
            let Some(bytes) = text[at..].first_chunk() else { break };
            let seen = search.replace(*bytes, Seen { line: number, offset: (at - start) as u32 });
            found = seen.and_then(|seen| self.same(text, seen, at, constant_end));
            is_looked_up = true;
        }
        // A longer rest is written like the value.
        let rest = &text[from..constant_end.min(from + LEN_MAX)];
        let rest_end = from + rest.len();
        written = self.learn_hint(rest, None, sink, written)?;
        reserve(&mut self.constants, rest_end - start)?;
        self.constants.extend_from_slice(&text[start..rest_end]);
        let line = &mut self.lines[number as usize];
        line.constant = (rest_end - start) as u32;
        line.hints = self.hints.len() as u32;
        written = sink.literals(written, &text[rest_end..end])?;
        Ok((written, end))
    }

    /// Writes literals and a copy of the last line, and learns them.
    fn learn_hint<S: Sink>(
        &mut self,
        literals: &[u8],
        found: Option<Found>,
        sink: &mut S,
        mut written: S::At,
    ) -> io::Result<S::At> {
        written = sink.literals(written, literals)?;
        let mut hint = Hint { literals: literals.len() as u16, len: 0, line: 0, offset: 0 };
        if let Some(Found { seen, len, distance }) = found {
            written = copy(sink, written, len, distance)?;
            hint = Hint { len: len as u16, line: seen.line, offset: seen.offset, ..hint };
            if let Some(line) = self.lines.last_mut() {
                line.oldest = line.oldest.min(seen.line);
            }
        }
        push(&mut self.hints, hint)?;
        Ok(written)
    }

    /// Returns the number of bytes from `at` on that are those that were seen, in the constant parts of both lines, and the
    /// distance back.
    fn same(&self, text: &[u8], seen: Seen, at: usize, constant_end: usize) -> Option<Found> {
        let line = self.lines[seen.line as usize];
        let from = line.start as usize + seen.offset as usize;
        let distance = at.checked_sub(from).filter(|distance| (1..=WINDOW).contains(distance))?;
        let known = (line.constant.saturating_sub(seen.offset)) as usize;
        let len_max = known.min(constant_end - at).min(LEN_MAX);
        let (a, b) = (&text[from..][..len_max], &text[at..][..len_max]);
        let len = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        (len >= SAME_MIN).then_some(Found { seen, len, distance })
    }
}

/// Appends a copy of any length from [`COPY_MIN`] on.
#[inline(always)]
fn copy<S: Sink + ?Sized>(
    sink: &mut S,
    mut written: S::At,
    mut len: usize,
    distance: usize,
) -> io::Result<S::At> {
    while len > COPY_MAX {
        // The rest is long enough for a copy.
        let step = COPY_MAX - COPY_MIN;
        written = sink.copy(written, step, distance)?;
        len -= step;
    }
    sink.copy(written, len, distance)
}

/// Returns the position at which the line ends in which `at` is, its newline included.
#[inline(always)]
fn line_end(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; WORD]);
    while let Some(word) = text[at..].first_chunk::<WORD>() {
        // A byte of zero where there is a newline; the lowest byte that has its high bit set is the first of them.
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\n'));
        let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize + 1;
        }
        at += WORD;
    }
    text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |found| at + found + 1)
}

/// Bytes of a line before its value, or before its end: all of a comment; else the name and labels with the space behind
/// them.
fn constant_len(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.starts_with(b"#") {
        return line.len();
    }
    let name = line.iter().position(|byte| matches!(byte, b'{' | b' ')).unwrap_or(line.len());
    let end = if line[name..].starts_with(b"{") { "} " } else { " " };
    let found = line[name..].windows(end.len()).position(|bytes| bytes == end.as_bytes());
    found.map_or(line.len(), |found| name + found + end.len())
}

fn push<T>(vec: &mut Vec<T>, item: T) -> io::Result<()> {
    reserve(vec, 1)?;
    vec.push(item);
    Ok(())
}

fn reserve<T>(vec: &mut Vec<T>, more: usize) -> io::Result<()> {
    vec.try_reserve(more).map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))
}
