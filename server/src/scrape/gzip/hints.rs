//! The knowledge about a page: the beginning of each of its lines, and the lines that each copies from.

use std::io;

use super::codes::{COPY_MAX, COPY_MIN};

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
}

/// The hints of one page, as it was when it was searched.
#[derive(Default)]
pub(super) struct Hints {
    lines: Vec<Line>,
    /// Those of all lines, each line's with a [`Hint::END`] behind them.
    hints: Vec<Hint>,
}

#[derive(Clone, Copy)]
struct Line {
    /// Where it begins in the page that is being written, or in the one before.
    start: u32,
    /// Its bytes before the value.
    constant: u32,
}

/// Some literals, then a copy.
#[derive(Clone, Copy)]
struct Hint {
    literals: u16,
    /// Bytes of the copy, [`SAME_MIN`] at least. Zero if all up to the end of the line are literals.
    len: u16,
    /// The line that has the bytes, and where.
    line: u32,
    offset: u32,
}

impl Hint {
    const END: Self = Self { literals: 0, len: 0, line: 0, offset: 0 };
}

/// Where bytes were seen last, by their hash. Empty before a page is searched.
pub(super) struct Search {
    seen: Box<[Option<Seen>]>,
}

#[derive(Clone, Copy)]
struct Seen {
    line: u32,
    offset: u32,
}

/// The position behind the lines and hints that were followed: `at` is in or at the end of `line`, which begins at `start`.
struct Followed {
    line: usize,
    hint: usize,
    start: usize,
    at: usize,
}

/// Bytes that were found again.
#[derive(Clone, Copy)]
struct Found {
    seen: Seen,
    len: usize,
    distance: usize,
}

impl Found {
    fn hint(self, literals: usize) -> Hint {
        let Seen { line, offset } = self.seen;
        Hint { literals: literals as u16, len: self.len as u16, line, offset }
    }
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
    /// Whether nothing is known yet.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
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
        let Followed { line, hint, start, mut at } = followed;
        self.lines.truncate(line);
        self.hints.truncate(hint);
        if at == text.len() {
            return Ok((written, false));
        }
        search.seen.fill(None);
        (written, at) = self.learn(text, start, at, search, sink, written)?;
        while at < text.len() {
            (written, at) = self.learn(text, at, at, search, sink, written)?;
        }
        Ok((written, true))
    }

    /// Writes lines by their hints, up to the first hint that cannot be followed.
    fn follow<S: Sink>(
        &mut self,
        text: &[u8],
        sink: &mut S,
        mut written: S::At,
    ) -> io::Result<(S::At, Followed)> {
        let Self { lines, hints } = self;
        let (mut line, mut start, mut at) = (0, 0, 0);
        let done = |line, hint, start, at| Followed { line, hint, start, at };
        let Some(first) = lines.first_mut() else { return Ok((written, done(0, 0, 0, 0))) };
        first.start = 0;
        for (hint, next) in hints.iter().enumerate() {
            let (literals, len) = (usize::from(next.literals), usize::from(next.len));
            if len == 0 {
                let end = line_end(text, at);
                written = match text[at..].first_chunk() {
                    Some(word) if (1..=WORD).contains(&(end - at)) => {
                        sink.short(written, *word, end - at)?
                    }
                    _ => sink.literals(written, &text[at..end])?,
                };
                (line, start, at) = (line + 1, end, end);
                match lines.get_mut(line) {
                    Some(next) if end < text.len() => next.start = start as u32,
                    _ => return Ok((written, done(line, hint + 1, start, at))),
                }
                continue;
            }
            let to = at + literals;
            let from = lines[next.line as usize].start as usize + next.offset as usize;
            let is_near = from < to && to - from <= WINDOW;
            let Some(bytes) = text.get(to..to + len).filter(|_| is_near) else {
                return Ok((written, done(line, hint, start, at)));
            };
            if !are_equal(bytes, &text[from..][..len]) {
                return Ok((written, done(line, hint, start, at)));
            }
            if literals > 0 {
                written = sink.literals(written, &text[at..to])?;
            }
            written = copy(sink, written, len, to - from)?;
            at = to + len;
        }
        Ok((written, done(line, hints.len(), start, at)))
    }

    /// Writes the line that begins at `start`, from `at` on, and learns it. Returns where it ends.
    fn learn<S: Sink>(
        &mut self,
        text: &[u8],
        start: usize,
        mut at: usize,
        search: &mut Search,
        sink: &mut S,
        mut written: S::At,
    ) -> io::Result<(S::At, usize)> {
        let end = line_end(text, at);
        let constant = constant_len(&text[start..end]);
        let constant_end = start + constant;
        let line = self.lines.len() as u32;
        push(&mut self.lines, Line { start: start as u32, constant: constant as u32 })?;
        // Bytes from here on are not written yet.
        let mut from = at;
        let mut found = match line.checked_sub(1) {
            Some(line) if at == start => {
                self.same(text, Seen { line, offset: 0 }, at, constant_end)
            }
            _ => None,
        };
        let mut is_looked_up = false;
        loop {
            match found {
                Some(found) => {
                    written = sink.literals(written, &text[from..at])?;
                    written = copy(sink, written, found.len, found.distance)?;
                    push(&mut self.hints, found.hint(at - from))?;
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
            let seen = search.replace(*bytes, Seen { line, offset: (at - start) as u32 });
            found = seen.and_then(|seen| self.same(text, seen, at, constant_end));
            is_looked_up = true;
        }
        written = sink.literals(written, &text[from..end])?;
        push(&mut self.hints, Hint::END)?;
        Ok((written, end))
    }

    /// How many bytes from `at` on are those that were seen, in the constant parts of both lines, and how far back.
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
fn copy<S: Sink>(
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

/// Whether two slices of the same length, [`SAME_MIN`] at least, are equal. Half of those that are compared are short, and
/// a call takes longer than they do.
#[inline(always)]
fn are_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() > 2 * WORD {
        return a == b;
    }
    match (ends::<WORD>(a), ends::<WORD>(b)) {
        (Some(a), Some(b)) => a == b,
        _ => ends::<SAME_MIN>(a) == ends::<SAME_MIN>(b),
    }
}

/// The first and the last `N` bytes, which may overlap.
#[inline(always)]
fn ends<const N: usize>(bytes: &[u8]) -> Option<([u8; N], [u8; N])> {
    Some((*bytes.first_chunk()?, *bytes.last_chunk()?))
}

/// Where the line ends in which `at` is, its newline included.
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
    if vec.len() == vec.capacity() {
        vec.try_reserve(1).map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
    }
    vec.push(item);
    Ok(())
}
