//! Go's `expfmt`, the text parser of promtool, Pushgateway and exporters: byte by byte and line by line, with blanks and tabs
//! between tokens, but none behind a value or timestamp. It knows families: a second HELP or TYPE is refused, and `s_sum`
//! is a part of a summary `s` even in metadata. For promtool 3.5, no count or bucket of a histogram may be negative, and
//! `gauge_histogram` is a histogram; sums, summaries, NaN and fractions may be anything. The model of `expfmt/text_parse.go`.

mod families;

use std::collections::HashSet;

use families::{Families, Type};

use super::prometheus_text::{of_tail, of_type};
use crate::check::consumer::Complaints;
use crate::check::consumer::Effect::Refused;
use crate::fault::Fault;
use crate::grammar::{closing_quote, label_name_len, metric_name_len};
use crate::kind::Kind;
use crate::number;

/// A fault, and how many bytes of the line are left where it was seen.
type Spot = (usize, Fault);

#[derive(Default)]
struct Reader {
    families: Families,
    quoted: bool,
    /// True if the last bound that was read is a number. The bound of an earlier line is forgotten at the start of a sample of
    /// a distribution; but where the name is in the braces, that is asked of the family of the line before.
    has_bound: bool,
}

/// The name of the histogram whose count or bucket a value is, if it must not be negative.
type Counted = Option<String>;

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
        let at = self.families.find(&name);
        let content = skip_blanks(rest);
        if content.is_empty() {
            return Ok(());
        }
        if let Some(fault) = self.families.again(at, word, &name) {
            return Err((content.len(), fault));
        }
        if word == "HELP" {
            unescape(content, false)?;
            self.families.list[at].help = true;
            return Ok(());
        }
        // Backslashes are passed over.
        let kind = text(content).replace('\\', "").to_ascii_lowercase();
        let known = ["counter", "gauge", "summary", "untyped", "histogram", "gauge_histogram"];
        if !known.contains(&&kind[..]) {
            return fault(content, of_type(&name, &text(&[b" ", content].concat())));
        }
        let kind = match &kind[..] {
            "gauge_histogram" if self.quoted => Some(Kind::Histogram),
            kind => Kind::parse(kind),
        };
        self.families.list[at].kind = Type::Declared(kind);
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

    /// Reads a sample whose name is in its braces.
    fn braced(&mut self, rest: &[u8]) -> Result<(), Spot> {
        let inside = skip_blanks(&rest[1..]);
        let before = self.families.current();
        if inside.first() != Some(&b'"') {
            // It takes the line for one of the family before.
            return match before {
                Some(_) => Ok(()),
                None => fault(inside, Fault::NameNotFirst),
            };
        }
        if before.is_some_and(|family| family.own_label().is_some()) {
            self.has_bound = false;
        }
        let (name, behind) = quoted_name(inside)?;
        let own = self.own_label(&name);
        let behind = skip_blanks(behind);
        let rest = match behind.first() {
            Some(b',') => self.labels(&behind[1..], own)?,
            Some(b'}') => &behind[1..],
            _ => return fault(behind, Fault::NoCommaAfterName),
        };
        value_and_time(skip_blanks(rest), false, self.counted(&name))
    }

    /// Reads a sample from behind its name.
    fn sample(&mut self, name: &str, rest: &[u8]) -> Result<(), Spot> {
        let own = self.own_label(name);
        if own.is_some() {
            self.has_bound = false;
        }
        let behind = skip_blanks(rest);
        if behind.first() != Some(&b'{') {
            return value_and_time(behind, behind.len() == rest.len(), self.counted(name));
        }
        let rest = self.labels(&behind[1..], own)?;
        value_and_time(skip_blanks(rest), false, self.counted(name))
    }

    /// The label of the sample's family whose value must be a number.
    fn own_label(&mut self, name: &str) -> Option<&'static str> {
        let at = self.families.find(name);
        let family = &mut self.families.list[at];
        if family.kind == Type::Unknown {
            family.kind = Type::Implied;
        }
        family.own_label()
    }

    /// The family of a sample that is a count or bucket of a histogram, which promtool 3 wants to be no less than zero.
    fn counted(&self, name: &str) -> Counted {
        let family = self.families.current().filter(|_| self.quoted)?;
        let part = name.strip_prefix(&family.name[..]).unwrap_or_default();
        let is_counted = match part {
            "_count" => true,
            "_sum" => false,
            _ => self.has_bound,
        };
        let is_histogram = family.kind == Type::Declared(Some(Kind::Histogram));
        (is_histogram && is_counted).then(|| family.name.clone())
    }

    /// Reads from behind the opening brace to behind the closing one.
    fn labels<'a>(
        &mut self,
        mut rest: &'a [u8],
        own: Option<&'static str>,
    ) -> Result<&'a [u8], Spot> {
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
            match own.filter(|own| *own == label) {
                None => _ = seen.insert(label.clone()),
                Some(own) => match number::go(&value) {
                    Ok(bound) => self.has_bound = !bound.is_nan(),
                    Err(_) => return fault(value_at, Fault::BoundNumber { own, text: value }),
                },
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
fn value_and_time(rest: &[u8], attached: bool, counted: Counted) -> Result<(), Spot> {
    let (value, behind) = token(rest);
    let value = text(value);
    let number = number::go(&value);
    if let (Ok(number), Some(name)) = (number, counted)
        && number < 0.0
    {
        return fault(rest, Fault::NotACount { kind: Kind::Histogram, name, text: value });
    }
    if number.is_err() {
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
