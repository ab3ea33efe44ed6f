//! A place in a line, and the tokens that begin there: names, labels, quoted texts.
//!
//! The result is spans, and whether the braces can be copied as they stand. Nothing is changed and nothing allocates, apart from
//! the growth of the label list.

use super::arena::{Arena, Span};
use dynamo_metrics_parser::grammar::{label_name_len, metric_name_len};

/// Most labels of one series. No engine known has more than ten, and Prometheus has no limit; comparing label sets in any
/// order is quadratic in it, and a page of 8 MiB with this many a line still takes less than a second.
pub(super) const LABELS_MAX: usize = 256;

/// The facts about the braces of a sample that writing needs.
#[derive(Clone, Copy, Default)]
pub(super) struct Braces {
    /// See [`Reading`](super::line::Reading).
    pub(super) span: Span,
    pub(super) respell: bool,
    pub(super) quoted: bool,
    /// True if a label's name stands there more than once.
    pub(super) repeated: bool,
}

/// One label; the value still escaped.
#[derive(Clone, Copy)]
pub(super) struct Label {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// The value of a label that is there twice with one, and beyond any text.
const AMBIGUOUS: Span = Span { start: u32::MAX - 1, end: u32::MAX };

impl Label {
    /// Takes note of the same label with another value. Prometheus 2.42 to 3.5 store a series without the labels that it has twice
    /// and once without a value, in whichever order; other labels that are there twice fail the page.
    fn repeat(&mut self, value: Span) {
        let without_value = self.value.is_empty() || value.is_empty();
        self.value = if without_value { Span::default() } else { AMBIGUOUS };
    }

    fn is_ambiguous(&self) -> bool {
        self.value.start == AMBIGUOUS.start
    }
}

/// A place in a line.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    base: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(arena: &'a Arena, span: Span) -> Cursor<'a> {
        Cursor { bytes: arena.get(span), at: 0, base: span.start }
    }

    /// A metric name, if the byte behind it may follow one.
    pub(super) fn name(&mut self, brace_may_follow: bool) -> Option<Span> {
        if !brace_may_follow && self.peek() == Some(b'"') {
            return self.quoted_name(&mut false);
        }
        let start = self.at;
        self.at += metric_name_len(&self.bytes[start..]);
        let ends = match self.peek() {
            None | Some(b' ' | b'\t') => true,
            Some(byte) => byte == b'{' && brace_may_follow,
        };
        (ends && self.at > start).then(|| self.span(start, self.at))
    }

    /// The name that stands in the braces in quotes, most often first, without a value. The cursor is behind the brace then.
    pub(super) fn name_inside(&mut self) -> Option<Span> {
        self.at += 1;
        let open = self.at;
        let name = loop {
            self.skip_blanks();
            let quoted = self.peek()? == b'"';
            let name = if quoted {
                self.quoted_name(&mut false)?
            } else {
                self.at += label_name_len(&self.bytes[self.at..]);
                Span::default()
            };
            self.skip_blanks();
            match self.peek()? {
                b'=' => self.at += 1,
                _ if quoted => break name,
                _ => return None,
            }
            self.skip_blanks();
            self.expect(b'"')?;
            self.quoted(&mut false)?;
            self.skip_blanks();
            if self.peek()? == b',' {
                self.at += 1;
            }
        };
        self.at = open;
        Some(name)
    }

    /// A name in quotes, escapes and all, without NUL, which ends Prometheus' reading.
    pub(super) fn quoted_name(&mut self, respell: &mut bool) -> Option<Span> {
        self.expect(b'"')?;
        let name = self.quoted(respell)?;
        let whole = !self.slice(name).contains(&0);
        (whole && !name.is_empty() && std::str::from_utf8(self.slice(name)).is_ok()).then_some(name)
    }

    /// Reads from `{`, or from inside the braces, to behind `}`. Fails on a label name that is there twice with a value, as
    /// Prometheus fails the page.
    pub(super) fn labels(&mut self, inside: bool, labels: &mut Vec<Label>) -> Option<Braces> {
        let (open, mark) = (self.at, labels.len());
        // Inside of the braces is the metric's name, once.
        let mut named = !inside;
        let mut plain = !inside;
        let (mut respell, mut quoted, mut repeated) = (false, false, false);
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
                self.quoted_name(&mut respell)?
            } else {
                let start = self.at;
                self.at += label_name_len(&self.bytes[start..]);
                self.span(start, self.at)
            };
            if name.is_empty() || self.slice(name) == b"__name__" {
                return None;
            }
            plain &= !self.skip_blanks();
            if !named && self.peek()? != b'=' {
                named = true;
                match self.peek()? {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return None,
                }
                continue;
            }
            self.expect(b'=')?;
            plain &= !self.skip_blanks();
            self.expect(b'"')?;
            let value = self.quoted(&mut respell)?;
            plain &= !value.is_empty();
            // Of the same length and first byte are few, so hardly any is compared whole.
            let first = self.bytes[(name.start - self.base) as usize];
            let same = |other: Span| {
                other.end - other.start == name.end - name.start
                    && self.bytes[(other.start - self.base) as usize] == first
                    && self.slice(other) == self.slice(name)
            };
            let known = labels[mark..].iter().position(|label| same(label.name));
            repeated |= known.is_some();
            match known {
                Some(at) => labels[mark + at].repeat(value),
                None if labels.len() - mark >= LABELS_MAX => return None,
                None => labels.push(Label { name, value }),
            }
            plain &= !self.skip_blanks();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => break,
                // Prometheus needs no comma between two labels.
                _ => plain = false,
            }
        }
        self.at += 1;
        if plain && !respell && !repeated {
            return Some(Braces { span: self.span(open, self.at), quoted, ..Braces::default() });
        }
        if repeated && labels[mark..].iter().any(Label::is_ambiguous) {
            return None;
        }
        drop_without_value(labels, mark);
        Some(Braces { span: Span::default(), respell, quoted, repeated })
    }

    /// The inside of a label value or a name, from behind the opening quote to behind the closing one.
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

    /// Everything up to a blank, a `#` or the end: a value or a time, behind which an exemplar may begin.
    pub(super) fn token(&mut self) -> Span {
        self.up_to(|byte| matches!(byte, b' ' | b'\t' | b'#'))
    }

    /// Everything up to a blank or the end: a word of a comment, in which a `#` is nothing special.
    pub(super) fn word(&mut self) -> Span {
        self.up_to(|byte| matches!(byte, b' ' | b'\t'))
    }

    fn up_to(&mut self, ends: impl Fn(u8) -> bool) -> Span {
        let start = self.at;
        let rest = &self.bytes[start..];
        let len = rest.iter().position(|byte| ends(*byte));
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

    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn span(&self, from: usize, to: usize) -> Span {
        Span { start: self.base + from as u32, end: self.base + to as u32 }
    }

    pub(super) fn slice(&self, span: Span) -> &'a [u8] {
        &self.bytes[(span.start - self.base) as usize..(span.end - self.base) as usize]
    }
}

/// Drops the labels from `mark` on that have no value, which are no labels.
fn drop_without_value(labels: &mut Vec<Label>, mark: usize) {
    let mut kept = mark;
    for at in mark..labels.len() {
        if !labels[at].value.is_empty() {
            labels[kept] = labels[at];
            kept += 1;
        }
    }
    labels.truncate(kept);
}
