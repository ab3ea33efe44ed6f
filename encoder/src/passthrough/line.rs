//! One line of an engine's text, read as generously as Prometheus or Python would.
//!
//! Blanks and tabs may stand between any two tokens, commas between labels may be missing, label values may hold unknown escapes, numbers may
//! be spelled in any way that has one meaning, exemplars and timestamps may follow. The result is
//! spans, and the facts that make writing cheap: whether the braces and the number can be copied as
//! they stand. Nothing is changed and nothing allocates, apart from the growth of the label list.
//!
//! A line that cannot be read still says, if it can, whose line it is: the name up to the first byte
//! that cannot belong to it, if that byte is one that may follow a name.

use super::arena::{Arena, Span};
use super::filter::Filter;
use dynamo_metrics_parser::grammar::{decimal, label_name_len, literal, metric_name_len};

/// Most labels of one series. No engine known has more than ten, and Prometheus has no limit; comparing label sets in any
/// order is quadratic in it, and a page of 8 MiB with this many a line still takes less than a second.
pub(super) const LABELS_MAX: usize = 256;

/// The meaning of a line.
pub(super) enum Line {
    /// A blank line, a comment, or a name that the filter leaves out.
    Nothing,
    /// `# EOF`: the source is OpenMetrics.
    Eof,
    Help {
        name: Span,
        text: Span,
    },
    Type {
        name: Span,
        word: Span,
    },
    Unit {
        name: Span,
        unit: Span,
    },
    Sample(Reading),
    /// A HELP or TYPE line that cannot be read, and of which family.
    BadMetadata(Option<Span>),
    /// Any other line that cannot be read, and of which sample name.
    BadSample(Option<Span>),
}

/// A sample as read; its labels were appended to the list given.
pub(super) struct Reading {
    pub(super) name: Span,
    /// From `{` to `}` when that can be copied as it stands; else empty.
    pub(super) braces: Span,
    /// Whether a label value holds an escape that must be respelled.
    pub(super) respell: bool,
    pub(super) value: f64,
    /// The value's text when it can be copied as it stands; else empty.
    pub(super) text: Span,
    /// Any number; empty when there is none.
    pub(super) timestamp: Span,
    /// From the brace of an exemplar to the end of the line, not looked at yet; empty when there is none.
    pub(super) exemplar: Span,
    /// Whether a label's name stands in quotes, so that it may have to be escaped.
    pub(super) quoted: bool,
}

/// The facts about the braces of a sample that writing needs.
#[derive(Clone, Copy, Default)]
pub(super) struct Braces {
    /// See [`Reading`].
    pub(super) span: Span,
    pub(super) respell: bool,
    pub(super) quoted: bool,
}

/// One label; the value still escaped.
#[derive(Clone, Copy)]
pub(super) struct Label {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// A sample as it was read, if its braces can be copied as they stand.
#[derive(Clone, Copy)]
pub(super) struct Before {
    pub(super) name: Span,
    /// At once behind the name.
    pub(super) braces: Span,
    /// Where its labels begin in the list, and how many there are.
    pub(super) first_label: usize,
    pub(super) labels: usize,
}

/// Reads a line that differs from the one `before` only in the value of one label and behind the braces, as one bucket
/// and the next: only the differing bytes are read. Returns the position of that label, too, and `None` for any other
/// line. The source must be valid UTF-8.
pub(super) fn read_alike(
    arena: &Arena,
    line: Span,
    before: &Before,
    labels: &mut Vec<Label>,
) -> Option<(Reading, usize)> {
    let start = before.name.start;
    let old = arena.get(Span { start, end: before.braces.end });
    let mut cursor = Cursor::new(arena, line);
    let same = common_prefix(cursor.bytes, old);
    let name_len = (before.name.end - start) as usize;
    if same <= name_len {
        return None;
    }
    let mark = labels.len();
    let known = &labels[before.first_label..][..before.labels];
    // The first whose closing quote is not in the same place.
    let which = known.iter().position(|label| (label.value.end - start) as usize >= same)?;
    let Label { value, .. } = known[which];
    let (from, old_end) = ((value.start - start) as usize, (value.end - start) as usize);
    if from > same {
        return None;
    }
    let rest = &cursor.bytes[from..];
    let len = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\'))?;
    let tail = &old[old_end..];
    if len == 0 || !rest[len..].starts_with(tail) {
        return None;
    }
    cursor.at = from + len + tail.len();
    let name = cursor.span(0, name_len);
    let span = cursor.span(name_len, cursor.at);
    let reading = cursor.after_braces(name, Braces { span, ..Braces::default() })?;
    labels.extend_from_within(before.first_label..before.first_label + before.labels);
    let moved = line.start.wrapping_sub(start);
    let moved_behind = moved.wrapping_add((from + len) as u32).wrapping_sub(old_end as u32);
    for (at, Label { name, value }) in labels[mark..].iter_mut().enumerate() {
        *name = name.moved(if at <= which { moved } else { moved_behind });
        *value = Span {
            start: value.start.wrapping_add(if at <= which { moved } else { moved_behind }),
            end: value.end.wrapping_add(if at < which { moved } else { moved_behind }),
        };
    }
    Some((reading, which))
}

/// How many bytes at the front are the same.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (a_words, _) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    let mut at = 0;
    for (x, y) in a_words.iter().zip(b_words) {
        let differs = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differs != 0 {
            return at + differs.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + a[at..].iter().zip(&b[at..]).take_while(|(x, y)| x == y).count()
}

/// Reads a line without its line end. `utf8` says that the whole source is known to be valid.
pub(super) fn read(
    arena: &Arena,
    line: Span,
    utf8: bool,
    filter: &Filter,
    labels: &mut Vec<Label>,
) -> Line {
    let mut cursor = Cursor::new(arena, line);
    cursor.skip_blanks();
    match cursor.peek() {
        None => Line::Nothing,
        Some(b'#') => cursor.comment(utf8, filter),
        Some(_) => cursor.sample(utf8, filter, labels),
    }
}

/// The meaning of a number, and whether every consumer reads its text alike. `None` for what has no
/// meaning or is out of range: `1e400` is a failed scrape here and infinity there.
pub(super) fn number(text: &[u8]) -> Option<(f64, bool)> {
    if let Some(value) = literal(text) {
        return Some((value, true));
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let overflow = value.is_infinite() && text.iter().any(u8::is_ascii_digit);
    (!overflow).then_some((value, false))
}

/// A place in a line.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    base: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(arena: &'a Arena, span: Span) -> Cursor<'a> {
        Cursor { bytes: arena.get(span), at: 0, base: span.start }
    }

    fn comment(mut self, utf8: bool, filter: &Filter) -> Line {
        self.at += 1;
        if !self.skip_blanks() {
            return Line::Nothing;
        }
        let word = self.token();
        self.skip_blanks();
        match self.slice(word) {
            b"EOF" if self.peek().is_none() => return Line::Eof,
            b"HELP" | b"TYPE" => {}
            b"UNIT" => return self.unit(filter),
            _ => return Line::Nothing,
        }
        let Some(name) = self.name(false) else { return Line::BadMetadata(None) };
        if !filter.admits_bytes(self.slice(name)) {
            return Line::Nothing;
        }
        if !utf8 && std::str::from_utf8(self.bytes).is_err() {
            return Line::BadMetadata(Some(name));
        }
        self.skip_blanks();
        if self.slice(word) == b"HELP" {
            let text = self.bytes[self.at..].trim_ascii_end();
            return Line::Help { name, text: self.span(self.at, self.at + text.len()) };
        }
        let word = self.token();
        self.skip_blanks();
        match self.peek() {
            None if !word.is_empty() => Line::Type { name, word },
            _ => Line::BadMetadata(Some(name)),
        }
    }

    /// A UNIT line behind its word. Text 0.0.4 takes it for a comment, so one that cannot be read costs nothing.
    fn unit(mut self, filter: &Filter) -> Line {
        let Some(name) = self.name(false) else { return Line::Nothing };
        self.skip_blanks();
        let unit = self.token();
        self.skip_blanks();
        let plain = metric_name_len(self.slice(unit)) == self.slice(unit).len();
        if !plain || self.peek().is_some() || !filter.admits_bytes(self.slice(name)) {
            return Line::Nothing;
        }
        Line::Unit { name, unit }
    }

    fn sample(mut self, utf8: bool, filter: &Filter, labels: &mut Vec<Label>) -> Line {
        let inside = self.peek() == Some(b'{');
        let Some(name) = (if inside { self.name_inside() } else { self.name(true) }) else {
            return Line::BadSample(None);
        };
        if !filter.admits_bytes(self.slice(name)) {
            return Line::Nothing;
        }
        if !utf8 && std::str::from_utf8(self.bytes).is_err() {
            return Line::BadSample(Some(name));
        }
        let mark = labels.len();
        match self.after_name(name, inside, labels) {
            Some(reading) => Line::Sample(reading),
            None => {
                labels.truncate(mark);
                Line::BadSample(Some(name))
            }
        }
    }

    /// A metric name, if the byte behind it may follow one.
    fn name(&mut self, brace_may_follow: bool) -> Option<Span> {
        if !brace_may_follow && self.peek() == Some(b'"') {
            return self.quoted_name();
        }
        let start = self.at;
        self.at += metric_name_len(&self.bytes[start..]);
        let ends = match self.peek() {
            None | Some(b' ' | b'\t') => true,
            Some(byte) => byte == b'{' && brace_may_follow,
        };
        (ends && self.at > start).then(|| self.span(start, self.at))
    }

    /// The name that stands first in the braces, in quotes, and the comma behind it.
    fn name_inside(&mut self) -> Option<Span> {
        self.at += 1;
        self.skip_blanks();
        let name = self.quoted_name()?;
        self.skip_blanks();
        match self.peek()? {
            b',' => self.at += 1,
            b'}' => {}
            _ => return None,
        }
        Some(name)
    }

    /// A name in quotes, without escapes, and without NUL, which ends Prometheus' reading.
    fn quoted_name(&mut self) -> Option<Span> {
        let mut respell = false;
        self.expect(b'"')?;
        let name = self.quoted(&mut respell)?;
        let plain = !self.slice(name).iter().any(|byte| matches!(byte, b'\\' | b'\0'));
        (plain && !name.is_empty() && std::str::from_utf8(self.slice(name)).is_ok()).then_some(name)
    }

    fn after_name(&mut self, name: Span, inside: bool, labels: &mut Vec<Label>) -> Option<Reading> {
        self.skip_blanks();
        let mut braces = Braces::default();
        if inside || self.peek() == Some(b'{') {
            braces = self.labels(inside, labels)?;
        }
        self.after_braces(name, braces)
    }

    fn after_braces(&mut self, name: Span, braces: Braces) -> Option<Reading> {
        // Nothing but a blank and a plain number, most often.
        if let [b' ', rest @ ..] = &self.bytes[self.at..]
            && let Some(value) = decimal(rest)
        {
            let text = self.span(self.at + 1, self.bytes.len());
            let (timestamp, exemplar) = (Span::default(), Span::default());
            let Braces { span: braces, respell, quoted } = braces;
            return Some(Reading {
                name,
                braces,
                respell,
                value,
                text,
                timestamp,
                exemplar,
                quoted,
            });
        }
        self.skip_blanks();
        let text = self.token();
        let (value, as_it_stands) = number(self.slice(text))?;
        let text = if as_it_stands { text } else { Span::default() };
        self.skip_blanks();
        let timestamp = self.timestamp()?;
        self.skip_blanks();
        // A `#` begins an exemplar, or a comment.
        let mut exemplar = Span::default();
        if self.peek() == Some(b'#') {
            self.at += 1;
            self.skip_blanks();
            if self.peek() == Some(b'{') {
                exemplar = self.span(self.at, self.bytes.len());
            }
        } else if self.peek().is_some() {
            return None;
        }
        let Braces { span: braces, respell, quoted } = braces;
        Some(Reading { name, braces, respell, value, text, timestamp, exemplar, quoted })
    }

    fn timestamp(&mut self) -> Option<Span> {
        let token = self.token();
        let text = std::str::from_utf8(self.slice(token)).ok()?;
        (text.is_empty() || text.parse::<f64>().is_ok()).then_some(token)
    }

    /// Reads from `{`, or from inside the braces, to behind `}`.
    pub(super) fn labels(&mut self, inside: bool, labels: &mut Vec<Label>) -> Option<Braces> {
        let (open, mark) = (self.at, labels.len());
        let mut plain = !inside;
        let (mut respell, mut quoted) = (false, false);
        self.at += usize::from(!inside);
        loop {
            plain &= !self.skip_blanks();
            if self.peek()? == b'}' {
                // Only empty braces or a trailing comma lead here.
                plain = false;
                break;
            }
            let name = if self.peek()? == b'"' {
                (plain, quoted) = (false, true);
                self.quoted_name()?
            } else {
                let start = self.at;
                self.at += label_name_len(&self.bytes[start..]);
                self.span(start, self.at)
            };
            if name.is_empty() || self.slice(name) == b"__name__" {
                return None;
            }
            plain &= !self.skip_blanks();
            self.expect(b'=')?;
            plain &= !self.skip_blanks();
            self.expect(b'"')?;
            let value = self.quoted(&mut respell)?;
            plain &= !value.is_empty();
            if labels.len() - mark >= LABELS_MAX {
                return None;
            }
            // Of the same length and first byte are few, so hardly any is compared whole.
            let first = self.bytes[(name.start - self.base) as usize];
            let same = |other: Span| {
                other.end - other.start == name.end - name.start
                    && self.bytes[(other.start - self.base) as usize] == first
                    && self.slice(other) == self.slice(name)
            };
            if labels[mark..].iter().any(|label| same(label.name)) {
                return None;
            }
            labels.push(Label { name, value });
            plain &= !self.skip_blanks();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => break,
                // Prometheus needs no comma between two labels.
                _ => plain = false,
            }
        }
        self.at += 1;
        if plain && !respell {
            return Some(Braces { span: self.span(open, self.at), respell, quoted });
        }
        // An empty value means no label.
        let mut kept = mark;
        for at in mark..labels.len() {
            if !labels[at].value.is_empty() {
                labels[kept] = labels[at];
                kept += 1;
            }
        }
        labels.truncate(kept);
        Some(Braces { span: Span::default(), respell, quoted })
    }

    /// The inside of a label value, from behind the opening quote to behind the closing one.
    fn quoted(&mut self, respell: &mut bool) -> Option<Span> {
        let start = self.at;
        loop {
            let rest = &self.bytes[self.at..];
            self.at += rest.iter().position(|&byte| byte == b'"' || byte == b'\\')?;
            if self.bytes[self.at] == b'"' {
                self.at += 1;
                return Some(self.span(start, self.at - 1));
            }
            let escaped = *self.bytes.get(self.at + 1)?;
            *respell |= !matches!(escaped, b'\\' | b'n' | b'"');
            self.at += 2;
        }
    }

    /// Everything up to a blank, a `#` or the end.
    pub(super) fn token(&mut self) -> Span {
        let start = self.at;
        let rest = &self.bytes[start..];
        let len = rest.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'#'));
        self.at += len.unwrap_or(rest.len());
        self.span(start, self.at)
    }

    /// Skips blanks and tabs. Returns whether there were any.
    pub(super) fn skip_blanks(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        self.at > start
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn span(&self, from: usize, to: usize) -> Span {
        Span { start: self.base + from as u32, end: self.base + to as u32 }
    }

    pub(super) fn slice(&self, span: Span) -> &'a [u8] {
        &self.bytes[(span.start - self.base) as usize..(span.end - self.base) as usize]
    }
}
