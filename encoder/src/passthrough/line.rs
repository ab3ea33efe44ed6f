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
use super::cursor::{Braces, Cursor, Label};
use super::filter::Filter;
use dynamo_metrics_parser::grammar::{decimal, literal, metric_name_len};

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
        /// True if the filter admits the name.
        admitted: bool,
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
    /// True if a label value or a name holds an escape that must be respelled.
    pub(super) respell: bool,
    pub(super) value: f64,
    /// The value's text when it can be copied as it stands; else empty.
    pub(super) text: Span,
    /// Any number; empty when there is none.
    pub(super) timestamp: Span,
    /// From the brace of an exemplar to the end of the line, not looked at yet; empty when there is none.
    pub(super) exemplar: Span,
    /// True if a label's name stands in quotes, so that it may have to be escaped.
    pub(super) quoted: bool,
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

impl Cursor<'_> {
    fn comment(mut self, utf8: bool, filter: &Filter) -> Line {
        self.at += 1;
        if !self.skip_blanks() {
            return Line::Nothing;
        }
        let word = self.word();
        self.skip_blanks();
        match self.slice(word) {
            b"EOF" if self.peek().is_none() => return Line::Eof,
            b"HELP" | b"TYPE" => {}
            b"UNIT" => return self.unit(filter),
            _ => return Line::Nothing,
        }
        let Some(name) = self.name(false) else { return Line::BadMetadata(None) };
        let admitted = filter.admits_bytes(self.slice(name));
        if !admitted && self.slice(word) == b"HELP" {
            return Line::Nothing;
        }
        if admitted && !utf8 && std::str::from_utf8(self.bytes).is_err() {
            return Line::BadMetadata(Some(name));
        }
        self.skip_blanks();
        if self.slice(word) == b"HELP" {
            let text = self.bytes[self.at..].trim_ascii_end();
            return Line::Help { name, text: self.span(self.at, self.at + text.len()) };
        }
        let word = self.word();
        self.skip_blanks();
        match self.peek() {
            None if !word.is_empty() => Line::Type { name, word, admitted },
            _ if !admitted => Line::Nothing,
            _ => Line::BadMetadata(Some(name)),
        }
    }

    /// A UNIT line behind its word. Text 0.0.4 takes it for a comment, so one that cannot be read costs nothing.
    fn unit(mut self, filter: &Filter) -> Line {
        let Some(name) = self.name(false) else { return Line::Nothing };
        self.skip_blanks();
        let unit = self.word();
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

    fn after_name(&mut self, name: Span, inside: bool, labels: &mut Vec<Label>) -> Option<Reading> {
        self.skip_blanks();
        let mut braces = Braces::default();
        if inside || self.peek() == Some(b'{') {
            braces = self.labels(inside, labels)?;
        }
        self.after_braces(name, braces)
    }

    pub(super) fn after_braces(&mut self, name: Span, braces: Braces) -> Option<Reading> {
        // Nothing but a blank and a plain number, most often.
        if let [b' ', rest @ ..] = &self.bytes[self.at..]
            && let Some(value) = decimal(rest)
        {
            let text = self.span(self.at + 1, self.bytes.len());
            let (timestamp, exemplar) = (Span::default(), Span::default());
            let Braces { span: braces, respell, quoted, .. } = braces;
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
        let Braces { span: braces, respell, quoted, .. } = braces;
        Some(Reading { name, braces, respell, value, text, timestamp, exemplar, quoted })
    }

    fn timestamp(&mut self) -> Option<Span> {
        let token = self.token();
        let text = std::str::from_utf8(self.slice(token)).ok()?;
        (text.is_empty() || text.parse::<f64>().is_ok()).then_some(token)
    }
}
