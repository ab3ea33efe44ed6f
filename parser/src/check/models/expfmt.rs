//! Go's `expfmt`, the text parser of promtool, Pushgateway and exporters: byte by byte and line by line, with blanks and tabs
//! between tokens, but none behind a value or timestamp. It knows families: a second HELP or TYPE is refused, and `s_sum`
//! is a part of a summary `s` even in metadata. The model of `expfmt/text_parse.go`.

use std::collections::{HashMap, HashSet};

use super::prometheus_text::{of_tail, of_type};
use crate::check::consumer::Complaints;
use crate::check::consumer::Effect::Refused;
use crate::fault::Fault;
use crate::grammar::{closing_quote, label_name_len, metric_name_len};
use crate::kind::Kind;
use crate::number;

/// A fault, and how many bytes of the line are left where it was seen.
type Spot = (usize, Fault);

/// The type of a family, as far as it matters here.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    Unknown,
    /// The type of samples without TYPE.
    Implied,
    Declared(Option<Kind>),
}

#[derive(Clone)]
struct Family {
    name: String,
    help: bool,
    kind: Type,
}

#[derive(Default)]
struct Reader {
    families: Vec<Family>,
    by_name: HashMap<String, usize>,
    quoted: bool,
}

/// Reads a page as promtool 2 or, with names in quotes, 3.
pub(super) fn read(page: &[u8], quoted: bool, complaints: &mut Complaints<'_>) {
    let mut reader = Reader { quoted, ..Reader::default() };
    let (body, is_ended) = match page.strip_suffix(b"\n") {
        Some(body) => (body, true),
        None => (page, false),
    };
    let mut last = 0;
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if complaints.is_full() {
            return;
        }
        last = at + 1;
        if let Err((left, fault)) = reader.line(line) {
            complaints.add(Refused, last, Some((line.len() + 1).saturating_sub(left)), fault);
        }
    }
    let rest = body.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if !is_ended && !skip_blanks(rest).is_empty() {
        complaints.add(Refused, last, Some(rest.len() + 1), Fault::NoLineFeed);
    }
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let len = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[len..]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fault<T>(rest: &[u8], fault: Fault) -> Result<T, Spot> {
    Err((rest.len(), fault))
}

/// The front of a text up to the first blank, and the rest.
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len()))
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), Spot> {
        let rest = skip_blanks(line);
        match rest.first() {
            None => Ok(()),
            Some(b'#') => self.comment(&rest[1..]),
            Some(b'{') if self.quoted => self.braced(rest),
            Some(b'{') if rest.starts_with(b"{\"") => fault(rest, Fault::QuotesNotAsked),
            Some(b'{') => fault(rest, Fault::NameNotFirst),
            Some(b'\r') => fault(rest, Fault::CarriageReturn),
            Some(0) => fault(rest, Fault::Nul),
            Some(_) => {
                let (name, rest) = rest.split_at(metric_name_len(rest));
                if name.is_empty() {
                    return fault(rest, Fault::NoName);
                }
                self.sample(&text(name), rest)
            }
        }
    }

    fn comment(&mut self, comment: &[u8]) -> Result<(), Spot> {
        let (word, rest) = token(skip_blanks(comment));
        let word = match word {
            _ if rest.is_empty() => return Ok(()),
            b"HELP" => "HELP",
            b"TYPE" => "TYPE",
            _ => return Ok(()),
        };
        let rest = skip_blanks(rest);
        let (name, rest) = self.metadata_name(rest)?;
        if rest.is_empty() {
            return Ok(());
        }
        if !matches!(rest[0], b' ' | b'\t') {
            return match name.is_empty() {
                true => fault(rest, Fault::NoMetadataName { word }),
                false => fault(rest, Fault::MetadataName { name }),
            };
        }
        let at = self.family_of(&name);
        let content = skip_blanks(rest);
        if content.is_empty() {
            return Ok(());
        }
        if let Some(fault) = self.again(at, word, &name) {
            return Err((content.len(), fault));
        }
        if word == "HELP" {
            unescape(content, false)?;
            self.families[at].help = true;
            return Ok(());
        }
        // Backslashes are passed over.
        let kind = text(content).replace('\\', "").to_ascii_lowercase();
        let known = ["counter", "gauge", "summary", "untyped", "histogram", "gauge_histogram"];
        if !known.contains(&&kind[..]) {
            return fault(content, of_type(&name, &text(&[b" ", content].concat())));
        }
        self.families[at].kind = Type::Declared(Kind::parse(&kind));
        Ok(())
    }

    fn metadata_name<'a>(&self, rest: &'a [u8]) -> Result<(String, &'a [u8]), Spot> {
        match rest.first() {
            Some(b'"') if self.quoted => quoted_name(rest),
            Some(b'"') => fault(rest, Fault::QuotesNotAsked),
            _ => {
                let (name, rest) = rest.split_at(metric_name_len(rest));
                Ok((text(name), rest))
            }
        }
    }

    /// The fault of metadata that the family has already.
    fn again(&self, at: usize, word: &'static str, name: &str) -> Option<Fault> {
        let family = &self.families[at];
        let (is_again, is_late) = match word {
            "HELP" => (family.help, false),
            _ => (family.kind != Type::Unknown, family.kind == Type::Implied),
        };
        let name = name.to_owned();
        match family.kind {
            _ if !is_again => None,
            Type::Declared(Some(kind)) if family.name != name => {
                Some(Fault::Claimed { kind, claimer: family.name.clone(), claimed: name })
            }
            _ if is_late => Some(Fault::LateMetadata { word, name }),
            _ => Some(Fault::SecondMetadata { word, name }),
        }
    }

    /// The family of this name, or the summary or histogram that it is a part of, or else a new one.
    fn family_of(&mut self, name: &str) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let parts =
            [("_count", Kind::Summary), ("_sum", Kind::Summary), ("_count", Kind::Histogram)];
        let more = [("_sum", Kind::Histogram), ("_bucket", Kind::Histogram)];
        for (suffix, kind) in parts.into_iter().chain(more) {
            let base = name.strip_suffix(suffix).filter(|base| !base.is_empty());
            let Some(at) = base.and_then(|base| self.by_name.get(base)) else { continue };
            if self.families[*at].kind == Type::Declared(Some(kind)) {
                return *at;
            }
        }
        let family = Family { name: name.to_owned(), help: false, kind: Type::Unknown };
        self.families.push(family);
        self.by_name.insert(name.to_owned(), self.families.len() - 1);
        self.families.len() - 1
    }

    /// Reads a sample whose name is in its braces.
    fn braced(&mut self, rest: &[u8]) -> Result<(), Spot> {
        let inside = skip_blanks(&rest[1..]);
        if inside.first() != Some(&b'"') {
            // It takes the line for one of the family before.
            return Ok(());
        }
        let (name, behind) = quoted_name(inside)?;
        let behind = skip_blanks(behind);
        let own = self.own_label(&name);
        match behind.first() {
            Some(b',') => {
                let rest = self.labels(&behind[1..], own)?;
                value_and_time(skip_blanks(rest), false)
            }
            Some(b'}') => value_and_time(skip_blanks(&behind[1..]), false),
            _ => fault(behind, Fault::NoCommaAfterName),
        }
    }

    /// Reads a sample from behind its name.
    fn sample(&mut self, name: &str, rest: &[u8]) -> Result<(), Spot> {
        let own = self.own_label(name);
        let behind = skip_blanks(rest);
        if behind.first() != Some(&b'{') {
            return value_and_time(behind, behind.len() == rest.len());
        }
        let rest = self.labels(&behind[1..], own)?;
        value_and_time(skip_blanks(rest), false)
    }

    /// The label of the sample's family whose value must be a number.
    fn own_label(&mut self, name: &str) -> Option<&'static str> {
        let at = self.family_of(name);
        let family = &mut self.families[at];
        match family.kind {
            Type::Unknown => family.kind = Type::Implied,
            Type::Declared(Some(Kind::Summary)) => return Some("quantile"),
            Type::Declared(Some(Kind::Histogram)) => return Some("le"),
            _ => {}
        }
        None
    }

    /// Reads from behind the opening brace to behind the closing one.
    fn labels<'a>(&self, mut rest: &'a [u8], own: Option<&'static str>) -> Result<&'a [u8], Spot> {
        let mut seen: HashSet<String> = HashSet::new();
        loop {
            rest = skip_blanks(rest);
            if rest.first() == Some(&b'}') {
                return Ok(&rest[1..]);
            }
            let at = rest;
            let (label, behind) = match rest.first() {
                Some(b'"') if self.quoted => quoted_name(rest)?,
                Some(b'"') => return fault(rest, Fault::QuotesNotAsked),
                _ => {
                    let (label, behind) = rest.split_at(label_name_len(rest));
                    (text(label), behind)
                }
            };
            if label.is_empty() {
                return fault(at, Fault::NoLabelName);
            }
            rest = skip_blanks(behind);
            if label == "__name__" {
                return fault(at, Fault::NameLabel);
            }
            if rest.first() != Some(&b'=') {
                return fault(rest, Fault::NoEqual { label });
            }
            if seen.contains(&label) {
                return fault(at, Fault::LabelTwice { label });
            }
            rest = skip_blanks(&rest[1..]);
            if rest.first() != Some(&b'"') {
                return fault(rest, Fault::NoEqual { label });
            }
            let value_at = rest;
            let Some(len) = closing_quote(&rest[1..]) else {
                unescape(&rest[1..], true)?;
                return fault(value_at, Fault::OpenValue { label });
            };
            let value = unescape(&rest[1..=len], true)
                .map_err(|(left, fault)| (left + rest.len() - len - 1, fault))?;
            rest = skip_blanks(&rest[len + 2..]);
            let Ok(value) = String::from_utf8(value) else {
                return fault(value_at, Fault::InvalidUtf8);
            };
            if let Some(own) = own.filter(|own| *own == label)
                && number::go(&value).is_err()
            {
                return fault(value_at, Fault::BoundNumber { own, text: value });
            }
            if own != Some(&label[..]) {
                seen.insert(label.clone());
            }
            match rest.first() {
                Some(b',') => rest = &rest[1..],
                Some(b'}') => {}
                _ => return fault(rest, Fault::NoComma { label }),
            }
        }
    }
}

/// Replaces escapes, of quotes only in label values.
fn unescape(text: &[u8], quote_too: bool) -> Result<Vec<u8>, Spot> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        match text.get(at) {
            Some(b'n') => out.push(b'\n'),
            Some(byte @ b'\\') => out.push(*byte),
            Some(byte @ b'"') if quote_too => out.push(*byte),
            None => return fault(b"", Fault::EscapeAtEnd),
            Some(_) => {
                let rest = String::from_utf8_lossy(&text[at..]);
                let found = rest.chars().next().unwrap_or_default();
                return fault(&text[at..], Fault::UnknownEscape { found });
            }
        }
        at += 1;
    }
    Ok(out)
}

fn quoted_name(rest: &[u8]) -> Result<(String, &[u8]), Spot> {
    let Some(len) = closing_quote(&rest[1..]) else { return fault(rest, Fault::QuotedName) };
    let name = unescape(&rest[1..=len], true)
        .map_err(|(left, fault)| (left + rest.len() - len - 1, fault))?;
    match String::from_utf8(name) {
        Ok(name) if !name.is_empty() => Ok((name, &rest[len + 2..])),
        _ => fault(rest, Fault::QuotedName),
    }
}

/// Reads a value and what follows it. `attached` when nothing stands between the value and the name.
fn value_and_time(rest: &[u8], attached: bool) -> Result<(), Spot> {
    let (value, behind) = token(rest);
    let value = text(value);
    if number::go(&value).is_err() {
        let found = value.chars().next();
        return match found {
            None => fault(rest, Fault::NoValue),
            _ if number::go(value.trim_end_matches('\r')).is_ok() => {
                fault(rest, Fault::CarriageReturn)
            }
            Some('\0') => fault(rest, Fault::Nul),
            Some(found) if attached => fault(rest, Fault::NameCharacter { found }),
            _ => fault(rest, Fault::of_number(&value)),
        };
    }
    if behind.is_empty() {
        return Ok(());
    }
    let rest = skip_blanks(behind);
    let (time, behind) = token(rest);
    if time.is_empty() {
        return fault(b" ", Fault::BlankAtEnd);
    }
    if text(time).parse::<i64>().is_err() {
        return fault(rest, of_tail(text(time), |text| Fault::NotMilliseconds { text }));
    }
    match text(skip_blanks(behind)) {
        _ if behind.is_empty() => Ok(()),
        tail if tail.is_empty() => fault(b" ", Fault::BlankAtEnd),
        tail => fault(skip_blanks(behind), of_tail(tail, |text| Fault::AfterTimestamp { text })),
    }
}
