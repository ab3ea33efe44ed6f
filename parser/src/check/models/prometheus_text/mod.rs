//! Prometheus' reader of text: a lexer over the whole page, which knows lines only between entries, so that a label value may
//! hold line feeds. It takes blanks and tabs between tokens, but for two places: before a name they become part of it, and
//! before a type there must be one. The model of `model/textparse/promparse.go`.

mod faults;

pub(super) use faults::{not_unique, of_tail, of_type};

use super::series::{Point, Series};
use crate::check::consumer::Complaints;
use crate::check::consumer::Effect::{Dropped, Misread, Refused};
use crate::fault::Fault;
use crate::format::Format;
use crate::grammar::{label_name_len, metric_name_len};
use crate::kind::Kind;
use crate::number;

/// A fault, and where in the page it was seen.
type Spot = (usize, Fault);

struct Reader<'a> {
    page: &'a [u8],
    at: usize,
    /// True if names in quotes are known, as from version 3 on.
    quoted: bool,
    /// The first label value of this entry that holds a line feed.
    crossed: Option<Spot>,
    series: Series,
}

/// A sample that was read.
struct Entry {
    /// From version 3 on with the blanks before it.
    name: String,
    labels: Vec<(String, String)>,
    /// The place behind the name and labels.
    spelled: usize,
    time: Option<i64>,
    blank_before: bool,
}

/// Reads a page as Prometheus 2 or, with names in quotes, 3.
pub(super) fn read(page: &[u8], quoted: bool, complaints: &mut Complaints<'_>) {
    let series = Series::new(quoted);
    let mut reader = Reader { page, at: 0, quoted, crossed: None, series };
    let (mut line, mut counted) = (1, 0);
    while reader.at < page.len() && !complaints.is_full() {
        let start = reader.at;
        line += lines(&page[counted..start]);
        counted = start;
        let place = |at: usize| {
            let begins = page[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |lf| lf + 1);
            (line + lines(&page[start..at.max(start)]), Some(at - begins + 1))
        };
        reader.crossed = None;
        match reader.entry() {
            Ok(None) => {}
            Ok(Some(entry)) => {
                let (line, column) = place(start);
                if entry.blank_before {
                    let effect = if quoted { Misread } else { Refused };
                    complaints.add(effect, line, column, Fault::BlankBeforeName);
                }
                let spelling = &page[start..entry.spelled];
                let rest = &page[entry.spelled..];
                let Entry { name, labels, time, .. } = &entry;
                // The faults are of the whole line; other consumers may say where in it.
                if let Some(fault) = not_unique(labels) {
                    complaints.add(Refused, line, None, fault);
                } else if let Some(fault) =
                    reader.series.note(&Point { spelling, name, labels, rest, time: *time })
                {
                    complaints.add(Dropped, line, None, fault);
                }
            }
            Err((at, Fault::Nul)) if at == usize::MAX => {
                let (line, column) = place(reader.at);
                return complaints.add(Misread, line, column, Fault::Nul);
            }
            Err(spot) => {
                let (at, fault) = reader.crossed.take().unwrap_or(spot);
                let (line, column) = place(at.min(page.len()));
                complaints.add(Refused, line, column, fault);
                // The next line is read as if this one were not there.
                reader.at = end_of_line(page, start) + 1;
            }
        }
    }
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Returns the end of the line that a place is on.
fn end_of_line(page: &[u8], from: usize) -> usize {
    page[from..].iter().position(|byte| *byte == b'\n').map_or(page.len(), |len| from + len)
}

impl Reader<'_> {
    /// Reads up to the end of the next line that is not empty. `None` for what is no sample.
    fn entry(&mut self) -> Result<Option<Entry>, Spot> {
        let start = self.at;
        self.skip_blanks();
        let blank_before = self.at > start;
        match self.peek() {
            None | Some(b'\n') => {
                self.at += 1;
                Ok(None)
            }
            // The lexer takes it for the end of the page.
            Some(0) => Err((usize::MAX, Fault::Nul)),
            Some(b'#') => self.comment().map(|()| None),
            Some(b'{') if self.quoted => self.sample(None, false).map(Some),
            Some(b'{') if self.rest().starts_with(b"{\"") => Err((self.at, Fault::QuotesNotAsked)),
            Some(b'{') => Err((self.at, Fault::NameNotFirst)),
            Some(b'\r') => Err((self.at, Fault::CarriageReturn)),
            Some(_) => match metric_name_len(self.rest()) {
                0 => Err((self.at, Fault::NoName)),
                len => {
                    self.take(len);
                    let from = if self.quoted { start } else { self.at - len };
                    let name = String::from_utf8_lossy(&self.page[from..self.at]).into_owned();
                    self.sample(Some(name), blank_before).map(Some)
                }
            },
        }
    }

    fn comment(&mut self) -> Result<(), Spot> {
        self.at += 1;
        let end = end_of_line(self.page, self.at);
        let word = self.metadata_word();
        let Some(word) = word else {
            self.at = end + 1;
            return Ok(());
        };
        let name_at = self.at;
        let name = match self.peek() {
            Some(b'"') if self.quoted => self.quoted_name()?,
            Some(b'"') => return Err((self.at, Fault::QuotesNotAsked)),
            _ => self.take(metric_name_len(self.rest())),
        };
        if name.is_empty() {
            return Err((name_at, Fault::NoMetadataName { word }));
        }
        let text_at = self.at.min(end);
        let text = &self.page[text_at..end];
        self.at = end + 1;
        if word == "HELP" {
            return match std::str::from_utf8(text.get(1..).unwrap_or_default()) {
                Ok(_) => Ok(()),
                Err(error) => Err((text_at + 1 + error.valid_up_to(), Fault::InvalidUtf8)),
            };
        }
        let text = String::from_utf8_lossy(text);
        let kind = text.get(1..).unwrap_or_default();
        match Kind::parse(kind).filter(|kind| kind.is_in(Format::Text)) {
            Some(kind) => {
                self.series.declare(kind);
                Ok(())
            }
            None => Err((text_at, of_type(&name, &text))),
        }
    }

    /// HELP or TYPE with blanks around it; anything else is a plain comment.
    fn metadata_word(&mut self) -> Option<&'static str> {
        let start = self.at;
        self.skip_blanks();
        if self.at == start {
            return None;
        }
        let word =
            ["HELP", "TYPE"].into_iter().find(|word| self.rest().starts_with(word.as_bytes()))?;
        self.at += word.len();
        let behind = self.at;
        self.skip_blanks();
        (self.at > behind).then_some(word)
    }

    /// Reads a sample from behind its name, if that is not in the braces.
    fn sample(&mut self, name: Option<String>, blank_before: bool) -> Result<Entry, Spot> {
        let start = self.at;
        let labels = Vec::new();
        let mut entry =
            Entry { name: String::new(), labels, spelled: start, time: None, blank_before };
        let mut name = name;
        let mut attached = self.skip_blanks() == 0;
        if self.peek() == Some(b'{') {
            attached = false;
            self.at += 1;
            self.labels(&mut name, &mut entry.labels)?;
            entry.spelled = self.at;
            self.skip_blanks();
        }
        let Some(name) = name else { return Err((start, Fault::NameNotFirst)) };
        entry.name = name;
        self.value(attached)?;
        entry.time = self.time()?;
        Ok(entry)
    }

    /// Reads from behind the opening brace to behind the closing one. Commas between labels may be missing.
    fn labels(
        &mut self,
        name: &mut Option<String>,
        labels: &mut Vec<(String, String)>,
    ) -> Result<(), Spot> {
        loop {
            self.skip_blanks();
            let at = self.at;
            let label = match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'"') if self.quoted => self.quoted_name()?,
                Some(b'"') => return Err((at, Fault::QuotesNotAsked)),
                _ => self.take(label_name_len(self.rest())),
            };
            let in_quotes = self.page[at..].first() == Some(&b'"');
            if label.is_empty() && !in_quotes {
                return Err((at, self.no_label(labels)));
            }
            self.skip_blanks();
            if in_quotes && matches!(self.peek(), Some(b',' | b'}')) {
                if name.is_some() {
                    return Err((at, Fault::NameTwice));
                }
                *name = Some(label);
                if self.peek() == Some(b',') {
                    self.at += 1;
                }
                continue;
            }
            if self.peek() != Some(b'=') {
                return Err((self.at, Fault::NoEqual { label }));
            }
            self.at += 1;
            self.skip_blanks();
            let value = self.label_value(&label)?;
            labels.push((label, value));
            self.skip_blanks();
            if self.peek() == Some(b',') {
                self.at += 1;
                self.skip_blanks();
                if self.peek() == Some(b',') {
                    return Err((self.at, Fault::NoLabelName));
                }
            }
        }
    }

    /// The fault of what is neither a label name nor the closing brace.
    fn no_label(&self, labels: &[(String, String)]) -> Fault {
        let before = self.page[..self.at].trim_ascii_end().last();
        match labels.last() {
            Some((label, _)) if before == Some(&b'"') => Fault::NoComma { label: label.clone() },
            _ => Fault::NoLabelName,
        }
    }

    fn label_value(&mut self, label: &str) -> Result<String, Spot> {
        let at = self.at;
        if self.peek() != Some(b'"') {
            return Err((at, Fault::NoEqual { label: label.to_owned() }));
        }
        let Some(len) = quoted_len(self.rest()) else {
            return Err((at, Fault::OpenValue { label: label.to_owned() }));
        };
        let value = &self.page[at + 1..at + len - 1];
        self.at += len;
        // The lexer skips NULs within a value, and leaves the value only at the byte behind the quote.
        self.at += self.rest().iter().take_while(|byte| **byte == 0).count();
        if value.contains(&b'\n') && self.crossed.is_none() {
            self.crossed = Some((at, Fault::OpenValue { label: label.to_owned() }));
        }
        match std::str::from_utf8(value) {
            Ok(value) => Ok(value.to_owned()),
            Err(error) => Err((at + 1 + error.valid_up_to(), Fault::InvalidUtf8)),
        }
    }

    /// Reads a name in quotes, whose escapes are left as they are.
    fn quoted_name(&mut self) -> Result<String, Spot> {
        let at = self.at;
        let Some(len) = quoted_len(self.rest()) else { return Err((at, Fault::QuotedName)) };
        let name = &self.page[at + 1..at + len - 1];
        if name.contains(&0) {
            return Err((at, Fault::NulInName));
        }
        self.at += len;
        let invalid = name.is_empty() || std::str::from_utf8(name).is_err();
        if invalid {
            Err((at, Fault::QuotedName))
        } else {
            Ok(String::from_utf8_lossy(name).into())
        }
    }

    fn value(&mut self, attached: bool) -> Result<(), Spot> {
        let at = self.at;
        let len = self.rest().iter().position(|byte| b"{ \t\n".contains(byte));
        let token = &self.rest()[..len.unwrap_or(self.page.len() - at)];
        let text = String::from_utf8_lossy(token).into_owned();
        if text.is_empty() {
            return Err((at, Fault::NoValue));
        }
        if number::go(&text).is_err() {
            let fault = match text.chars().next() {
                _ if text.ends_with('\r') && number::go(text.trim_end_matches('\r')).is_ok() => {
                    Fault::CarriageReturn
                }
                Some('\0') => Fault::Nul,
                Some(found) if attached => Fault::NameCharacter { found },
                _ => Fault::of_number(&text),
            };
            return Err((at, fault));
        }
        self.at += token.len();
        Ok(())
    }

    /// Reads what follows the value, to behind the end of the line.
    fn time(&mut self) -> Result<Option<i64>, Spot> {
        self.skip_blanks();
        let at = self.at;
        let end = end_of_line(self.page, at);
        let text = String::from_utf8_lossy(&self.page[at..end]).into_owned();
        self.at = end + 1;
        let text = text.trim_end_matches([' ', '\t']);
        if text.is_empty() {
            return Ok(None);
        }
        let (token, behind) = text.split_at(text.find([' ', '\t']).unwrap_or(text.len()));
        let digits = token.bytes().all(|byte| byte.is_ascii_digit());
        match token.parse() {
            Ok(time) if digits && behind.is_empty() => Ok(Some(time)),
            Ok(_) if digits => {
                let text = behind.trim_matches([' ', '\t']).to_owned();
                Err((at + token.len(), of_tail(text, |text| Fault::AfterTimestamp { text })))
            }
            _ => Err((at, of_tail(token.to_owned(), |text| Fault::NotMilliseconds { text }))),
        }
    }

    fn rest(&self) -> &[u8] {
        &self.page[self.at.min(self.page.len())..]
    }

    fn peek(&self) -> Option<u8> {
        self.page.get(self.at).copied()
    }

    /// Passes blanks and tabs and returns how many.
    fn skip_blanks(&mut self) -> usize {
        let len = self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.at += len;
        len
    }

    /// Passes that many bytes, which are ASCII.
    fn take(&mut self, len: usize) -> String {
        self.at += len;
        String::from_utf8_lossy(&self.page[self.at - len..self.at]).into_owned()
    }
}

/// Returns the length of a text in quotes, quotes included. A backslash goes with the byte behind it, which may not be a
/// line feed.
fn quoted_len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if text.get(at + 1)? != &b'\n' => at += 2,
            b'\\' => return None,
            _ => at += 1,
        }
    }
}
