//! VictoriaMetrics' and vmagent's reader, which is one for both formats: a line that it cannot read is left out, the others are
//! kept. The model of `lib/protoparser/prometheus/parser.go`.

use crate::check::consumer::Complaints;
use crate::check::consumer::Effect::Dropped;
use crate::fault::Fault;
use crate::grammar::closing_quote;
use crate::number;

/// Reads a page.
pub(super) fn read(page: &[u8], complaints: &mut Complaints<'_>) {
    for (at, line) in page.split(|byte| *byte == b'\n').enumerate() {
        if complaints.is_full() {
            return;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches(is_blank);
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Err(fault) = sample(text) {
            complaints.add(Dropped, at + 1, None, fault);
        }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn sample(text: &str) -> Result<(), Fault> {
    let rest = match text.split_once('{') {
        Some((name, inside)) => labels(inside, !name.trim_matches(is_blank).is_empty())?,
        None => text.split_once(is_blank).ok_or(Fault::NoValue)?.1,
    };
    let rest = rest.split('#').next().unwrap_or_default().trim_matches(is_blank);
    if rest.is_empty() {
        return Err(Fault::NoValue);
    }
    let (value, time) = rest.split_once(is_blank).unwrap_or((rest, ""));
    if !is_number(value) {
        return Err(Fault::of_number(value));
    }
    let time = time.trim_matches(is_blank);
    match time.is_empty() || is_number(time) {
        true => Ok(()),
        false => Err(Fault::AfterTimestamp { text: time.to_owned() }),
    }
}

/// Reads from behind the opening brace to behind the closing one. Without a name before the braces there is one in quotes
/// among the labels.
fn labels(mut rest: &str, mut is_named: bool) -> Result<&str, Fault> {
    loop {
        rest = rest.trim_start_matches(is_blank);
        if let Some(behind) = rest.strip_prefix('}') {
            return if is_named { Ok(behind) } else { Err(Fault::NameNotFirst) };
        }
        if let Some((name, behind)) = quoted_name(rest) {
            if name.is_empty() {
                return Err(Fault::QuotedName);
            }
            if is_named {
                return Err(Fault::NameTwice);
            }
            is_named = true;
            rest = match behind.strip_prefix(',') {
                Some(behind) => behind,
                None if behind.starts_with('}') => behind,
                None => return Err(Fault::NoCommaAfterName),
            };
            continue;
        }
        let (label, quoted) = label(rest)?;
        let label = label.to_owned();
        let Some(end) = closing_quote(quoted) else { return Err(Fault::OpenValue { label }) };
        rest = quoted[end + 1..].trim_start_matches(is_blank);
        match rest.as_bytes().first() {
            Some(b'}') => {}
            Some(b',') => rest = &rest[1..],
            _ => return Err(Fault::NoComma { label }),
        }
    }
}

/// Reads a label up to the quote of its value: a name in quotes, or everything up to the `=` before the next quote.
fn label(text: &str) -> Result<(&str, &str), Fault> {
    let no_equal = |text: &str| {
        let label =
            text.split(['=', ',', '}', '"']).next().unwrap_or_default().trim_end_matches(is_blank);
        match label.is_empty() {
            true => Fault::NoLabelName,
            false => Fault::NoEqual { label: label.to_owned() },
        }
    };
    let from = text.strip_prefix('"').and_then(closing_quote).map_or(0, |end| end + 2);
    let (before, quoted) = text[from..].split_once('"').ok_or_else(|| no_equal(text))?;
    let before = text[..from + before.len()].trim_end_matches(is_blank);
    let label = before.strip_suffix('=').ok_or_else(|| no_equal(before))?;
    Ok((label.trim_end_matches(is_blank), quoted))
}

/// A text in quotes without `=` behind it, and the rest.
fn quoted_name(text: &str) -> Option<(&str, &str)> {
    let quoted = text.strip_prefix('"')?;
    let end = closing_quote(quoted)?;
    let behind = quoted[end + 1..].trim_start_matches(is_blank);
    (!behind.starts_with('=')).then_some((&quoted[..end], behind))
}

/// Returns whether VictoriaMetrics reads the text as a number: as for Go, but without a plus sign before digits, and with NaN of any sign.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let word = unsigned.strip_prefix('+').unwrap_or(unsigned);
    if ["inf", "infinity", "nan"].iter().any(|known| word.eq_ignore_ascii_case(known)) {
        return true;
    }
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && !matches!(number::go(text), Err(number::NoNumber::Syntax))
}
