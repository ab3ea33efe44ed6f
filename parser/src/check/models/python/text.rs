//! The text parser of Python's `prometheus_client`, which strips each line and forgives most. It refuses numbers, labels and
//! names that it cannot read, and a TYPE that it does not know. The model of `prometheus_client/parser.py`.

use super::words::{
    Chars, is_legacy_name, is_space, labels, next_unquoted, number, slice, split, string, strip,
    unquote,
};
use crate::check::consumer::Complaints;
use crate::check::consumer::Effect::Refused;
use crate::check::models::prometheus_text::of_type;
use crate::fault::Fault;
use crate::grammar::metric_name_len;
use crate::kind::Kind;

#[derive(Default)]
struct Reader {
    name: String,
    /// The line and word of the TYPE that holds.
    kind: Option<(usize, String)>,
    allowed: Vec<String>,
}

/// Reads a page.
pub(in crate::check::models) fn read(page: &str, complaints: &mut Complaints<'_>) {
    let mut reader = Reader::default();
    let mut line = 0;
    for text in page.split('\n') {
        line += 1;
        if complaints.is_full() {
            return;
        }
        let chars: Vec<char> = text.chars().collect();
        if let Err((line, fault)) = reader.line(line, strip(&chars)) {
            complaints.add(Refused, line, None, fault);
        }
    }
    if let Err((line, fault)) = reader.build() {
        complaints.add(Refused, line, None, fault);
    }
}

/// A fault, and its line.
type Spot = (usize, Fault);

impl Reader {
    fn line(&mut self, line: usize, text: Chars<'_>) -> Result<(), Spot> {
        match text.first() {
            None => Ok(()),
            Some('#') => self.comment(line, text),
            Some(_) => {
                let name = sample(text).map_err(|fault| (line, fault))?;
                if self.allowed.contains(&name) {
                    return Ok(());
                }
                let built = self.build();
                *self = Reader::default();
                built
            }
        }
    }

    fn comment(&mut self, line: usize, text: Chars<'_>) -> Result<(), Spot> {
        let parts = split(text, |c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}'));
        let word = match parts.get(1).map(String::as_str) {
            Some("HELP") => "HELP",
            Some("TYPE") => "TYPE",
            _ => return Ok(()),
        };
        let mut name = String::new();
        if let Some(part) = parts.get(2) {
            let chars: Vec<char> = part.chars().collect();
            let Some((unquoted, quoted)) = unquote(&chars) else {
                return Err((line, Fault::QuotedName));
            };
            if !quoted && !is_legacy_name(&unquoted) {
                return Err((line, bad_name(word, part)));
            }
            name = unquoted;
        }
        if word == "TYPE" && parts.len() < 4 {
            return Err((
                line,
                match name.is_empty() {
                    true => Fault::NoMetadataName { word },
                    false => Fault::NoText { word, name },
                },
            ));
        }
        let built = if name == self.name { Ok(()) } else { self.build() };
        if name != self.name {
            *self = Reader { name, ..Reader::default() };
            self.allowed = vec![self.name.clone()];
        }
        if word == "TYPE" {
            let suffixes: &[&str] = match &parts[3][..] {
                "summary" => &["_count", "_sum", ""],
                "histogram" => &["_count", "_sum", "_bucket"],
                _ => &[""],
            };
            self.allowed = suffixes.iter().map(|suffix| format!("{}{suffix}", self.name)).collect();
            self.kind = Some((line, parts[3].clone()));
        }
        built
    }

    /// Ends the family.
    fn build(&self) -> Result<(), Spot> {
        let Some((line, word)) = self.kind.as_ref().filter(|_| !self.name.is_empty()) else {
            return Ok(());
        };
        if Kind::parse(word).is_none() {
            return Err((*line, of_type(&self.name, &format!(" {word}"))));
        }
        if word == "counter" && self.name == "_total" {
            return Err((*line, Fault::BareTotal));
        }
        Ok(())
    }
}

/// The fault of metadata whose name is none.
pub(super) fn bad_name(word: &'static str, part: &str) -> Fault {
    let name = &part[..metric_name_len(part.as_bytes())];
    match name {
        "" => Fault::NoMetadataName { word },
        _ => Fault::MetadataName { name: name.to_owned() },
    }
}

/// Reads a sample and returns its name.
fn sample(text: Chars<'_>) -> Result<String, Fault> {
    let open = next_unquoted(text, 0, |c| c == '{');
    let hash = open.is_some_and(|open| string(&text[..open]).contains(" # "));
    let Some(open) = open.filter(|_| !hash) else {
        let end = next_unquoted(text, 0, |c| matches!(c, ' ' | '\t'));
        let name = string(strip(slice(text, 0, end)));
        if !is_legacy_name(&name) {
            return Err(bad_sample_name(&name));
        }
        value_and_time(end.map_or(text, |end| &text[end + 1..]))?;
        return Ok(name);
    };
    let name = string(strip(&text[..open]));
    let close = next_unquoted(text, open, |c| c == '}');
    if close.is_none() && !name.is_empty() {
        // Python goes on with the opening brace as a value.
        let label = || Fault::NoComma { label: name.clone() };
        return Err(labels(&text[open + 1..], false).err().unwrap_or_else(label));
    }
    let inside = close.map_or(&[][..], |close| slice(text, open + 1, Some(close)));
    let labels = labels(inside, false)?;
    let in_braces = labels.into_iter().find(|(label, _)| label == "__name__");
    let name = match in_braces {
        Some(_) if !name.is_empty() => return Err(name_twice(inside)),
        Some((_, name)) if name.is_empty() => return Err(Fault::QuotedName),
        Some((_, name)) => name,
        None if name.is_empty() => return Err(Fault::NameNotFirst),
        None => name,
    };
    // Without a closing brace the line is read from the opening one on.
    value_and_time(close.map_or(&text[open..], |close| &text[close + 1..]))?;
    Ok(name)
}

/// The fault of a sample whose name is none.
pub(super) fn bad_sample_name(name: &str) -> Fault {
    let name: Vec<char> = name.chars().collect();
    let found = name.iter().position(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')));
    match found {
        Some(at) if name[at] == '\0' => Fault::Nul,
        Some(at) if at > 0 && !name[0].is_ascii_digit() => Fault::NameCharacter { found: name[at] },
        _ => Fault::NoName,
    }
}

/// The fault of a second name in braces, in quotes alone or as a label.
pub(super) fn name_twice(inside: Chars<'_>) -> Fault {
    if string(inside).contains("__name__") { Fault::NameLabel } else { Fault::NameTwice }
}

fn value_and_time(text: Chars<'_>) -> Result<(), Fault> {
    let from = text.iter().position(|c| !is_space(*c)).unwrap_or(text.len());
    let text = &text[from..];
    let separator = if text.contains(&' ') { ' ' } else { '\t' };
    let parts: Vec<String> = text
        .split(|c| *c == separator)
        .map(|part| string(strip(part)))
        .filter(|part| !part.is_empty())
        .collect();
    let Some(value) = parts.first() else { return Err(Fault::NoValue) };
    if number(value).is_none() {
        return Err(Fault::NotANumber { text: value.clone() });
    }
    match parts.last().filter(|_| parts.len() > 1) {
        Some(time) if number(time).is_none() => Err(Fault::NotMilliseconds { text: time.clone() }),
        _ => Ok(()),
    }
}
