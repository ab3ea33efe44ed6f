//! Prometheus' reader of OpenMetrics: a lexer that knows single blanks, each in its place. It looks at words only, and checks
//! neither families nor points. The model of `model/textparse/openmetricsparse.go`.

use super::prometheus_text::not_unique;
use super::series::{Point, Series};
use crate::check::consumer::Complaints;
use crate::check::consumer::Effect::{Dropped, Refused};
use crate::fault::Fault;
use crate::format::Format;
use crate::grammar::{label_name_len, metric_name_len};
use crate::kind::Kind;
use crate::number;

/// A fault, and how many bytes of the line are left where it was seen.
type Spot = (usize, Fault);

struct Entry {
    name: String,
    labels: Vec<(String, String)>,
    /// The length of the name and labels.
    spelled: usize,
    /// Seconds.
    time: Option<f64>,
}

/// Reads a page as Prometheus 2 or, with names in quotes, 3.
pub(super) fn read(page: &[u8], quoted: bool, complaints: &mut Complaints<'_>) {
    if page.is_empty() {
        // An empty scrape is not parsed.
        return;
    }
    let mut lexer = Lexer { quoted, series: Series::new(quoted) };
    let (mut number, mut ended) = (0, false);
    let body = page.strip_suffix(b"\n").unwrap_or(page);
    for line in body.split(|byte| *byte == b'\n') {
        number += 1;
        if complaints.is_full() {
            return;
        }
        if ended {
            return complaints.add(Refused, number, None, Fault::AfterEof);
        }
        if line == b"# EOF" {
            ended = true;
            continue;
        }
        match lexer.line(line) {
            Ok(None) => {}
            Ok(Some(entry)) => {
                let Entry { name, labels, .. } = &entry;
                let (spelling, rest) = line.split_at(entry.spelled);
                let time = entry.time.map(|seconds| (seconds * 1000.0) as i64);
                if let Some(fault) = not_unique(labels) {
                    complaints.add(Refused, number, None, fault);
                } else if let Some(fault) =
                    lexer.series.note(&Point { spelling, name, labels, rest, time })
                {
                    complaints.add(Dropped, number, None, fault);
                }
            }
            Err((left, fault)) => {
                let column = (line.len() + 1).saturating_sub(left);
                complaints.add(Refused, number, Some(column), fault);
            }
        }
    }
    if !ended {
        complaints.add(Refused, number.max(1), None, Fault::NoEof);
    }
}

fn fault<T>(rest: &[u8], fault: Fault) -> Result<T, Spot> {
    Err((rest.len(), fault))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the length of a text in quotes, quotes included.
fn quoted_len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

struct Lexer {
    quoted: bool,
    series: Series,
}

impl Lexer {
    fn line(&mut self, line: &[u8]) -> Result<Option<Entry>, Spot> {
        match line.first() {
            None => fault(line, Fault::EmptyLine),
            Some(b'#') => self.metadata(line).map(|()| None),
            Some(b'{') if self.quoted => self.sample(None, line, line).map(Some),
            Some(b'{') if line.starts_with(b"{\"") => fault(line, Fault::QuotesNotAsked),
            Some(b'{') => fault(line, Fault::NameNotFirst),
            Some(b' ' | b'\t') => fault(line, Fault::BlankBeforeName),
            Some(b'\r') => fault(line, Fault::CarriageReturn),
            Some(0) => fault(line, Fault::Nul),
            Some(_) => {
                let (name, rest) = line.split_at(metric_name_len(line));
                match name.is_empty() {
                    true => fault(line, Fault::NoName),
                    false => self.sample(Some(text(name)), rest, line).map(Some),
                }
            }
        }
    }

    fn metadata(&mut self, line: &[u8]) -> Result<(), Spot> {
        let word = ["HELP", "TYPE", "UNIT"].into_iter().find_map(|word| {
            Some((
                word,
                line.strip_prefix(b"# ")?.strip_prefix(word.as_bytes())?.strip_prefix(b" ")?,
            ))
        });
        let Some((word, rest)) = word else { return fault(line, of_comment(&text(line))) };
        let (name, rest) = match rest.first() {
            Some(b'"') if self.quoted => match quoted_len(rest).filter(|len| *len > 2) {
                Some(len) => (text(&rest[1..len - 1]), &rest[len..]),
                None => return fault(rest, Fault::QuotedName),
            },
            Some(b'"') => return fault(rest, Fault::QuotesNotAsked),
            _ => {
                let (name, rest) = rest.split_at(metric_name_len(rest));
                (text(name), rest)
            }
        };
        if name.is_empty() {
            return fault(rest, Fault::NoMetadataName { word });
        }
        let Some(content) = rest.strip_prefix(b" ") else {
            return match rest.is_empty() {
                true => fault(rest, Fault::NoText { word, name }),
                false => fault(rest, Fault::MetadataName { name }),
            };
        };
        match (word, std::str::from_utf8(content)) {
            ("HELP", Err(error)) => fault(&content[error.valid_up_to()..], Fault::InvalidUtf8),
            ("HELP", Ok(_)) => Ok(()),
            ("TYPE", kind) => {
                let kind = kind.map_or_else(|_| text(content), str::to_owned);
                match Kind::parse(&kind).filter(|kind| kind.is_in(Format::OpenMetrics)) {
                    Some(kind) => {
                        self.series.declare(kind);
                        Ok(())
                    }
                    None => fault(content, of_type(&name, &kind)),
                }
            }
            _ => {
                let unit = text(content);
                let base = name.strip_suffix(&unit);
                match unit.is_empty() || base.is_some_and(|base| base.ends_with('_')) {
                    true => Ok(()),
                    false => fault(content, Fault::UnitSuffix { name, unit }),
                }
            }
        }
    }

    /// Reads a sample from behind its name, if that is not in the braces.
    fn sample(
        &self,
        mut name: Option<String>,
        mut rest: &[u8],
        line: &[u8],
    ) -> Result<Entry, Spot> {
        let mut labels = Vec::new();
        let braces = rest.first() == Some(&b'{');
        if braces {
            rest = self.labels(&rest[1..], Some(&mut name), &mut labels)?;
        }
        let Some(name) = name else { return fault(line, Fault::NameNotFirst) };
        let spelled = line.len() - rest.len();
        rest = value(rest, !braces)?;
        let mut time = None;
        if !rest.is_empty() && !rest.starts_with(b" # {") {
            let (token, behind) = self::time(rest)?;
            time = Some(token);
            rest = behind;
        }
        if let Some(inside) = rest.strip_prefix(b" # {") {
            if !self.quoted && !["_total", "_bucket"].iter().any(|end| name.ends_with(end)) {
                return fault(rest, Fault::ExemplarMisplaced { name });
            }
            rest = self.labels(inside, None, &mut Vec::new())?;
            rest = value(rest, false).map_err(|(left, fault)| match fault {
                Fault::NoValue | Fault::NoBlank { .. } => (left, Fault::ExemplarValue),
                other => (left, other),
            })?;
            if !rest.is_empty() {
                rest = self::time(rest)?.1;
            }
        }
        match rest.strip_prefix(b" ") {
            None => Ok(Entry { name, labels, spelled, time }),
            Some(b"") => fault(rest, Fault::BlankAtEnd),
            Some(tail) if tail.starts_with(b"#") => fault(rest, Fault::ExemplarStart),
            Some(tail) => fault(tail, Fault::AfterTimestamp { text: text(tail) }),
        }
    }

    /// Reads from behind the opening brace to behind the closing one. Without a place for the name there may be none.
    fn labels<'a>(
        &self,
        mut rest: &'a [u8],
        mut name: Option<&mut Option<String>>,
        labels: &mut Vec<(String, String)>,
    ) -> Result<&'a [u8], Spot> {
        loop {
            let at = rest;
            if rest.first() == Some(&b'}') {
                return Ok(&rest[1..]);
            }
            let in_quotes = rest.first() == Some(&b'"');
            let len = match in_quotes {
                true if !self.quoted => return fault(rest, Fault::QuotesNotAsked),
                true => quoted_len(rest).unwrap_or(0),
                false => label_name_len(rest),
            };
            if in_quotes && len < 3 {
                return fault(rest, Fault::QuotedLabel);
            }
            if len == 0 {
                return match rest.first() {
                    Some(b' ' | b'\t') => fault(rest, Fault::BlankInBraces),
                    _ => fault(rest, Fault::NoLabelName),
                };
            }
            let label = if in_quotes { &rest[1..len - 1] } else { &rest[..len] };
            let label = text(label);
            rest = &rest[len..];
            if in_quotes && let (Some(b',' | b'}'), Some(name)) = (rest.first(), &mut name) {
                if name.is_some() {
                    return fault(at, Fault::NameTwice);
                }
                **name = Some(label);
                rest = if rest[0] == b',' { &rest[1..] } else { rest };
                continue;
            }
            match rest.first() {
                Some(b'=') => rest = &rest[1..],
                Some(b' ' | b'\t') => return fault(rest, Fault::BlankInBraces),
                _ => return fault(rest, Fault::NoEqual { label }),
            }
            match rest.first() {
                Some(b'"') => {}
                Some(b' ' | b'\t') => return fault(rest, Fault::BlankInBraces),
                _ => return fault(rest, Fault::NoEqual { label }),
            }
            let Some(len) = quoted_len(rest) else {
                return fault(rest, Fault::OpenValue { label });
            };
            let Ok(value) = String::from_utf8(rest[1..len - 1].to_vec()) else {
                return fault(rest, Fault::InvalidUtf8);
            };
            labels.push((label.clone(), value));
            rest = &rest[len..];
            // The lexer skips NULs within a value, and leaves the value only at the byte behind the quote.
            let nuls = rest.iter().take_while(|byte| **byte == 0).count();
            rest = &rest[nuls..];
            match rest.first() {
                Some(b',') if !self.quoted && rest.get(1) == Some(&b'}') => {
                    return fault(rest, Fault::TrailingComma);
                }
                Some(b',') => rest = &rest[1..],
                Some(b'}') => {}
                Some(b' ' | b'\t') => return fault(rest, Fault::BlankInBraces),
                _ => return fault(rest, Fault::NoComma { label }),
            }
        }
    }
}

/// The front of a text up to the first blank, and the rest.
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| *byte == b' ').unwrap_or(text.len()))
}

/// Reads a blank and a value. `attached` when a name stands right before it.
fn value(rest: &[u8], attached: bool) -> Result<&[u8], Spot> {
    let Some(behind) = rest.strip_prefix(b" ") else {
        return match rest.first() {
            None => fault(rest, Fault::NoValue),
            Some(b'\t') => fault(rest, Fault::Tab { before: "value" }),
            Some(b'\r') if rest.len() == 1 => fault(rest, Fault::CarriageReturn),
            Some(0) => fault(rest, Fault::Nul),
            Some(_) if attached => {
                let found = text(rest).chars().next().unwrap_or_default();
                fault(rest, Fault::NameCharacter { found })
            }
            Some(_) => fault(rest, Fault::NoBlank { before: "value" }),
        };
    };
    let (value, rest) = token(behind);
    let value = text(value);
    match number::go(&value) {
        Ok(_) => Ok(rest),
        Err(_) if value.is_empty() && rest.is_empty() => fault(rest, Fault::NoValue),
        Err(_) if value.is_empty() => fault(rest, Fault::ManyBlanks { before: "value" }),
        Err(_) if number::go(value.trim_end_matches('\r')).is_ok() => {
            fault(behind, Fault::CarriageReturn)
        }
        Err(_) => fault(behind, Fault::of_number(&value)),
    }
}

/// Reads a blank and a timestamp, in seconds.
fn time(rest: &[u8]) -> Result<(f64, &[u8]), Spot> {
    let behind = rest.strip_prefix(b" ").unwrap_or(rest);
    let (time, rest) = token(behind);
    let time = text(time);
    match number::go(&time) {
        Ok(seconds) if seconds.is_finite() => Ok((seconds, rest)),
        _ if time.is_empty() && rest.is_empty() => fault(b" ", Fault::BlankAtEnd),
        _ if time.is_empty() => fault(rest, Fault::ManyBlanks { before: "timestamp" }),
        _ if time.starts_with('#') => fault(behind, Fault::ExemplarStart),
        _ => fault(behind, Fault::NotSeconds { text: time }),
    }
}

/// The fault of a TYPE line whose text is no type.
pub(super) fn of_type(name: &str, word: &str) -> Fault {
    let known = |word: &str| Kind::parse(word).is_some_and(|kind| kind.is_in(Format::OpenMetrics));
    let trimmed = word.trim_matches([' ', '\t']);
    if trimmed.is_empty() {
        Fault::NoText { word: "TYPE", name: name.to_owned() }
    } else if word.ends_with('\r') && known(word.trim_end_matches('\r')) {
        Fault::CarriageReturn
    } else if !known(trimmed) {
        Fault::UnknownType { word: trimmed.to_owned() }
    } else if word.starts_with([' ', '\t']) {
        Fault::ManyBlanks { before: "type" }
    } else {
        Fault::BlankAtEnd
    }
}

/// The fault of a line that begins with `#` and is no metadata.
pub(super) fn of_comment(text: &str) -> Fault {
    let words: Vec<&str> = text.split_whitespace().collect();
    let word = words.iter().map(|word| word.trim_start_matches('#')).find(|word| !word.is_empty());
    match word {
        Some("EOF") => Fault::BadEof,
        Some("HELP") => Fault::KeywordBlanks { word: "HELP" },
        Some("TYPE") => Fault::KeywordBlanks { word: "TYPE" },
        Some("UNIT") => Fault::KeywordBlanks { word: "UNIT" },
        _ => Fault::Comment,
    }
}
