//! The grammar of a sample's line: name, labels, value, timestamp and, in OpenMetrics, an exemplar.
//!
//! ```text
//! sample    = ( name [ "{" pairs "}" ] | "{" quoted { "," pair } "}" ) " " value [ " " time ] [ exemplar ]
//! pair      = ( label_name | quoted ) "=" quoted          quoted = '"' { any | "\\" | "\n" | '\"' } '"'
//! exemplar  = " # {" [ pairs ] "} " value [ " " time ]    OpenMetrics only, no escapes in its values
//! time      = milliseconds (text) | seconds [ "." digits ] (OpenMetrics)
//! ```
//!
//! A line is judged alone, in one pass; the first problem ends it.

use std::borrow::Cow;

use super::line::{Spot, fault};
use crate::exposition::Exemplar;
use crate::fault::Fault;
use crate::format::Format;
use crate::grammar::{closing_quote, label_name_len, literal, metric_name_len, seconds};

/// A sample as it stands on its line.
pub(super) struct SampleLine<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
    pub(super) text: &'a str,
    /// Milliseconds, and the nanoseconds beyond them.
    pub(super) time: Option<(i64, u32)>,
    pub(super) exemplar: Option<Exemplar>,
}

pub(super) fn read_sample(line: &str, format: Format) -> Result<SampleLine<'_>, Spot> {
    let mut labels = Vec::new();
    let (name, rest) = match line.strip_prefix("{\"") {
        Some(quoted) if format.has_quoted_names() => read_quoted_name(quoted, format, &mut labels)?,
        _ => {
            let name = &line[..metric_name_len(line.as_bytes())];
            if name.is_empty() {
                return match line.starts_with([' ', '\t']) {
                    true => fault(line, Fault::BlankBeforeName),
                    false => fault(line, Fault::NoName),
                };
            }
            let mut rest = &line[name.len()..];
            if let Some(inside) = rest.strip_prefix('{') {
                rest = read_labels(inside, &mut labels, format, true)?;
            }
            (Cow::Borrowed(name), rest)
        }
    };
    let Some(rest) = rest.strip_prefix(' ') else {
        return match rest.chars().next() {
            None => fault(rest, Fault::NoValue),
            Some('\t') => fault(rest, Fault::Tab { before: "value" }),
            Some(found) if labels.is_empty() && !line[..line.len() - rest.len()].ends_with('}') => {
                fault(rest, Fault::NameCharacter { found })
            }
            Some(_) => fault(rest, Fault::NoBlank { before: "value" }),
        };
    };
    let behind = rest;
    let (text, rest) = token(rest);
    if text.is_empty() {
        return match rest {
            None => fault("", Fault::NoValue),
            Some(_) => fault(behind, Fault::ManyBlanks { before: "value" }),
        };
    }
    let value = read_value(text, behind)?;
    let (time, exemplar) = match rest {
        None => (None, None),
        Some(rest) if format.is_openmetrics() => read_tail(rest, format)?,
        Some(rest) => (Some((read_milliseconds(rest)?, 0)), None),
    };
    Ok(SampleLine { name, labels, value, text, time, exemplar })
}

/// Reads from behind `{"`: the name in quotes and the labels that follow it.
fn read_quoted_name<'a>(
    quoted: &'a str,
    format: Format,
    labels: &mut Vec<(String, String)>,
) -> Result<(Cow<'a, str>, &'a str), Spot> {
    let (name, rest) = quoted_name(quoted, Quoted::METRIC)?;
    match rest.bytes().next() {
        Some(b'}') => Ok((name.into(), &rest[1..])),
        Some(b',') => Ok((name.into(), read_labels(&rest[1..], labels, format, false)?)),
        Some(b'=') => fault(rest, Fault::NameNotFirst),
        Some(b' ' | b'\t') => fault(rest, Fault::BlankInBraces),
        _ => fault(rest, Fault::NoCommaAfterName),
    }
}

/// Reads from behind the `{` or the name in it to behind the `}` and returns the rest of the line.
fn read_labels<'a>(
    mut rest: &'a str,
    labels: &mut Vec<(String, String)>,
    format: Format,
    may_be_empty: bool,
) -> Result<&'a str, Spot> {
    if let Some(behind) = rest.strip_prefix('}') {
        return match may_be_empty && format.is_openmetrics() {
            true => Ok(behind),
            false if may_be_empty => fault(rest, Fault::EmptyBraces),
            false => fault(rest, Fault::TrailingComma),
        };
    }
    loop {
        if rest.starts_with([' ', '\t']) {
            return fault(rest, Fault::BlankInBraces);
        }
        if rest.starts_with('}') {
            return fault(rest, Fault::TrailingComma);
        }
        let (name, behind) = match rest.strip_prefix('"') {
            Some(quoted) if format.has_quoted_names() => quoted_name(quoted, Quoted::LABEL)?,
            _ => {
                let name = &rest[..label_name_len(rest.as_bytes())];
                (name.to_owned(), &rest[name.len()..])
            }
        };
        if name.is_empty() {
            return fault(rest, Fault::NoLabelName);
        }
        let Some(quoted) = behind.strip_prefix("=\"") else {
            return fault(behind, Fault::NoEqual { label: name });
        };
        let Some(end) = closing_quote(quoted) else {
            return fault(quoted, Fault::OpenValue { label: name });
        };
        let value = unescape_within(&quoted[..end], quoted)?;
        if name == "__name__" {
            return fault(rest, Fault::NameLabel);
        }
        if name.starts_with("__") && format.is_openmetrics() {
            return fault(rest, Fault::ReservedLabel { label: name });
        }
        labels.push((name, value));
        rest = &quoted[end + 1..];
        match rest.bytes().next() {
            Some(b'}') => break,
            Some(b',') => rest = &rest[1..],
            Some(b' ' | b'\t') => return fault(rest, Fault::BlankInBraces),
            _ => {
                let label = labels.pop().unwrap_or_default().0;
                return fault(rest, Fault::NoComma { label });
            }
        }
    }
    let mut names: Vec<&str> = labels.iter().map(|(name, _)| &name[..]).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return fault(rest, Fault::LabelTwice { label: pair[0].to_owned() });
    }
    Ok(&rest[1..])
}

type Tail = (Option<(i64, u32)>, Option<Exemplar>);

/// Reads what follows an OpenMetrics value and its blank.
fn read_tail(rest: &str, format: Format) -> Result<Tail, Spot> {
    if rest.starts_with('#') {
        return Ok((None, Some(read_exemplar(rest, format)?)));
    }
    let behind = rest;
    let (time, rest) = token(rest);
    let time = read_seconds(time, behind)?;
    match rest {
        None => Ok((Some(time), None)),
        Some(rest) if rest.starts_with('#') => Ok((Some(time), Some(read_exemplar(rest, format)?))),
        Some("") => fault(" ", Fault::BlankAtEnd),
        Some(rest) => fault(rest, Fault::AfterTimestamp { text: rest.to_owned() }),
    }
}

/// Reads from the `#` to the end of the line.
fn read_exemplar(text: &str, format: Format) -> Result<Exemplar, Spot> {
    let Some(inside) = text.strip_prefix("# {") else {
        return fault(text, Fault::ExemplarStart);
    };
    let mut labels = Vec::new();
    let rest = read_labels(inside, &mut labels, format, true)?;
    // Prometheus does not unescape here, and Python's parser refuses an escaped quote.
    if inside[..inside.len() - rest.len()].contains('\\') {
        return fault(inside, Fault::EscapeInExemplar);
    }
    let points: usize =
        labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if points > EXEMPLAR_CODE_POINTS_MAX {
        return fault(inside, Fault::ExemplarTooLong { points });
    }
    let Some(rest) = rest.strip_prefix(' ') else {
        return fault(rest, Fault::ExemplarValue);
    };
    let behind = rest;
    let (text, rest) = token(rest);
    let value = read_value(text, behind)?;
    let time = rest.map(|rest| read_seconds(rest, rest)).transpose()?;
    Ok(Exemplar {
        labels,
        value,
        text: text.to_owned(),
        timestamp: time.map(|(ms, _)| ms),
        below_ms: time.map_or(0, |(_, below)| below),
    })
}

/// OpenMetrics 1.0: "the combined length of the label names and values MUST NOT exceed 128 UTF-8
/// character code points"; Python's parser counts, and so did Prometheus 2.42.
const EXEMPLAR_CODE_POINTS_MAX: usize = 128;

/// Reads a number, which is the front of `rest`.
fn read_value(text: &str, rest: &str) -> Result<f64, Spot> {
    match literal(text.as_bytes()) {
        Some(value) => Ok(value),
        None => fault(rest, Fault::of_number(text)),
    }
}

/// Reads a timestamp of OpenMetrics, which is the front of `rest`.
fn read_seconds(text: &str, rest: &str) -> Result<(i64, u32), Spot> {
    if text.is_empty() && rest.is_empty() {
        return fault(rest, Fault::BlankAtEnd);
    }
    if text.is_empty() || text.starts_with([' ', '\t']) {
        return fault(rest, Fault::ManyBlanks { before: "timestamp" });
    }
    if text.ends_with([' ', '\t']) {
        return fault(rest, Fault::BlankAtEnd);
    }
    if text.contains(' ') {
        return fault(rest, Fault::AfterTimestamp { text: text.to_owned() });
    }
    match seconds(text) {
        Some(time) => Ok(time),
        None => fault(rest, Fault::NotSeconds { text: text.to_owned() }),
    }
}

/// Reads a timestamp of text.
fn read_milliseconds(text: &str) -> Result<i64, Spot> {
    if text.starts_with('#') || text.contains(" #") {
        return fault(text, Fault::ExemplarInText);
    }
    if text.is_empty() || text.ends_with([' ', '\t']) {
        return fault(" ", Fault::BlankAtEnd);
    }
    if text.starts_with([' ', '\t']) {
        return fault(text, Fault::ManyBlanks { before: "timestamp" });
    }
    match text.parse() {
        // The lexer of Prometheus takes digits only: no sign, no point.
        Ok(timestamp) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(timestamp),
        _ => fault(text, Fault::NotMilliseconds { text: text.to_owned() }),
    }
}

/// Splits a text at its first blank, if there is one.
fn token(text: &str) -> (&str, Option<&str>) {
    match text.split_once(' ') {
        None => (text, None),
        Some((token, rest)) => (token, Some(rest)),
    }
}

/// The faults of a name in quotes.
pub(super) struct Quoted {
    broken: Fault,
    nul: Fault,
}

impl Quoted {
    pub(super) const METRIC: Quoted = Quoted { broken: Fault::QuotedName, nul: Fault::NulInName };
    pub(super) const LABEL: Quoted = Quoted { broken: Fault::QuotedLabel, nul: Fault::NulInLabel };
}

/// Reads from behind a quote: the name up to the next one, and what follows that.
pub(super) fn quoted_name(quoted: &str, of: Quoted) -> Result<(String, &str), Spot> {
    let Some(end) = closing_quote(quoted).filter(|end| *end > 0) else {
        return fault(quoted, of.broken);
    };
    let name = unescape_within(&quoted[..end], quoted)?;
    if name.contains('\0') {
        // The lexers of Prometheus take it for the end of the input.
        return fault(quoted, of.nul);
    }
    Ok((name, &quoted[end + 1..]))
}

/// Unescapes the text in quotes at the front of `rest`.
fn unescape_within(text: &str, rest: &str) -> Result<String, Spot> {
    unescape(text, true).map_err(|(left, fault)| (left + rest.len() - text.len(), fault))
}

/// Replaces escapes; those of quotes are an escape only if asked for.
pub(super) fn unescape(text: &str, quote_too: bool) -> Result<String, Spot> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next() {
            Some('\\') => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('"') if quote_too => out.push('"'),
            Some(found) => return fault(chars.as_str(), Fault::UnknownEscape { found }),
            None => return fault("", Fault::EscapeAtEnd),
        }
    }
    Ok(out)
}
