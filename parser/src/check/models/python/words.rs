//! The words of Python's `prometheus_client`, which both of its parsers share: quotes, labels and numbers. Characters are
//! code points, white space is Unicode's. The model of `prometheus_client/parser.py`.

use std::collections::HashSet;

use crate::fault::Fault;
use crate::grammar::metric_name_len;

/// A line as Python sees it.
pub(super) type Chars<'a> = &'a [char];

/// Labels in the order of the line.
pub(super) type Labels = Vec<(String, String)>;

pub(super) fn string(text: Chars<'_>) -> String {
    text.iter().collect()
}

/// Returns whether `str.strip()` removes this character: Unicode's white space and four separators of ASCII.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

pub(super) fn strip(text: Chars<'_>) -> Chars<'_> {
    let from = text.iter().position(|c| !is_space(*c)).unwrap_or(text.len());
    let to = text.iter().rposition(|c| !is_space(*c)).map_or(from, |last| last + 1);
    &text[from..to]
}

/// Python's `text[from:to]`; a `to` that was not found is -1, the last character.
pub(super) fn slice(text: Chars<'_>, from: usize, to: Option<usize>) -> Chars<'_> {
    let to = to.unwrap_or(text.len().saturating_sub(1)).min(text.len());
    text.get(from..to).unwrap_or_default()
}

fn is_escaped(text: Chars<'_>, at: usize) -> bool {
    text[..at].iter().rev().take_while(|c| **c == '\\').count() % 2 == 1
}

/// The first of some characters outside of quotes, from a place on that is taken to be outside.
pub(super) fn next_unquoted(
    text: Chars<'_>,
    from: usize,
    wanted: impl Fn(char) -> bool,
) -> Option<usize> {
    let mut in_quotes = false;
    (from..text.len()).find(|&at| {
        if text[at] == '"' && !is_escaped(text, at) {
            in_quotes = !in_quotes;
        }
        !in_quotes && wanted(text[at])
    })
}

/// The last of some characters outside of quotes, seen from the end; never the first character of the text.
pub(super) fn last_unquoted(text: Chars<'_>, wanted: impl Fn(char) -> bool) -> Option<usize> {
    let mut in_quotes = false;
    (1..text.len()).rev().find(|&at| {
        if text[at] == '"' && !is_escaped(text, at) {
            in_quotes = !in_quotes;
        }
        !in_quotes && wanted(text[at])
    })
}

/// The text cut at white space outside of quotes into four parts at most.
pub(super) fn split(text: Chars<'_>, is_separator: impl Fn(char) -> bool) -> Vec<String> {
    let mut tokens = vec![String::new()];
    let mut at = 0;
    while at < text.len() {
        let Some(end) = next_unquoted(text, at, &is_separator) else {
            *tokens.last_mut().expect("never empty") = string(&text[at..]);
            break;
        };
        if end == at {
            at += 1;
            continue;
        }
        if tokens.len() > 3 {
            *tokens.last_mut().expect("never empty") = string(&text[at..]);
            break;
        }
        *tokens.last_mut().expect("never empty") = string(&text[at..end]);
        at = end + 1;
        tokens.push(String::new());
    }
    tokens
}

/// The text without its quotes and escapes, and whether it had quotes. `None` for quotes that do not end, and for white
/// space alone.
pub(super) fn unquote(text: Chars<'_>) -> Option<(String, bool)> {
    if text.is_empty() {
        return Some((String::new(), false));
    }
    let text = strip(text);
    match text.first()? {
        '"' if text.len() == 1 || text.last() != Some(&'"') => None,
        '"' => Some((unescape(&text[1..text.len() - 1]), true)),
        _ => Some((unescape(text), false)),
    }
}

fn unescape(text: Chars<'_>) -> String {
    let mut out = String::new();
    let mut at = 0;
    while let Some(character) = text.get(at) {
        let escaped = text.get(at + 1).filter(|_| *character == '\\');
        let replaced = match escaped {
            Some('n') => Some('\n'),
            Some(same @ ('\\' | '"')) => Some(*same),
            _ => None,
        };
        out.push(replaced.unwrap_or(*character));
        at += if replaced.is_some() { 2 } else { 1 };
    }
    out
}

pub(super) fn is_legacy_name(name: &str) -> bool {
    // `$` of its pattern matches before a line feed at the end, too.
    let name = name.strip_suffix('\n').unwrap_or(name);
    !name.is_empty() && metric_name_len(name.as_bytes()) == name.len()
}

/// Reads the labels in braces. In OpenMetrics a comma too many is a fault. A name in quotes is the label `__name__`.
pub(super) fn labels(text: Chars<'_>, openmetrics: bool) -> Result<Labels, Fault> {
    let mut rest = strip(text);
    let (mut labels, mut seen) = (Labels::new(), HashSet::new());
    if openmetrics && rest.first() == Some(&',') {
        return Err(Fault::NoLabelName);
    }
    while !rest.is_empty() {
        if rest[0] == ',' {
            rest = &rest[1..];
            match rest.first() {
                None if openmetrics => return Err(Fault::TrailingComma),
                None => break,
                Some(',') => return Err(Fault::NoLabelName),
                Some(_) => {}
            }
        }
        let end = next_unquoted(rest, 0, |c| matches!(c, '=' | ',' | '}'));
        let equal = end.filter(|end| rest[*end] == '=');
        let (name, value, behind) = match equal {
            Some(end) => {
                let behind = &rest[end + 1..];
                let stop = next_unquoted(behind, 0, |c| matches!(c, ',' | '}'));
                let stop = stop.unwrap_or(behind.len());
                (string(&rest[..end]), &behind[..stop], &behind[stop..])
            }
            None => {
                let stop = end.unwrap_or(rest.len());
                ("__name__".to_owned(), &rest[..stop], &rest[stop..])
            }
        };
        let is_bare = equal.is_none();
        if !openmetrics && value.is_empty() && behind.first() == Some(&'}') {
            break;
        }
        if openmetrics && value.is_empty() {
            return Err(match is_bare {
                true => Fault::NoLabelName,
                false => Fault::NoEqual { label: name },
            });
        }
        let value = strip(value);
        rest = strip(behind);
        if value.is_empty() {
            match openmetrics {
                true => return Err(Fault::NoLabelName),
                // A comma, or white space, is passed over. A brace cannot be here.
                false => continue,
            }
        }
        let label = label(&name, value, is_bare)?;
        if label.0.starts_with("__") && label.0 != "__name__" {
            return Err(Fault::ReservedLabel { label: label.0 });
        }
        if !seen.insert(label.0.clone()) {
            return Err(match label.0 == "__name__" {
                true if !is_bare => Fault::NameLabel,
                true => Fault::NameTwice,
                false => Fault::LabelTwice { label: label.0 },
            });
        }
        labels.push(label);
    }
    Ok(labels)
}

fn label(name: &str, value: Chars<'_>, is_bare: bool) -> Result<(String, String), Fault> {
    let name: Vec<char> = name.chars().collect();
    let Some((name, quoted)) = unquote(&name) else { return Err(Fault::QuotedLabel) };
    if !quoted && !is_legacy_name(&name) {
        return Err(Fault::NoLabelName);
    }
    let shown = if is_bare { string(value) } else { name.clone() };
    if value[0] != '"' {
        return Err(Fault::NoEqual { label: shown });
    }
    let end = (1..value.len()).find(|&at| value[at] == '"' && !is_escaped(value, at));
    match end {
        None => Err(Fault::OpenValue { label: shown }),
        Some(end) if end + 1 != value.len() && is_bare => Err(Fault::NoCommaAfterName),
        Some(end) if end + 1 != value.len() => Err(Fault::NoComma { label: shown }),
        Some(_) => Ok((name, unquote(value).map_or_else(String::new, |(value, _)| value))),
    }
}

/// Reads a number: a whole one as `int()` does, or else as `float()` does, decimal digits of every script included.
pub(super) fn number(text: &str) -> Option<f64> {
    if text.contains('_') || text.starts_with(is_space) || text.ends_with(is_space) {
        return None;
    }
    let ascii: String = text.chars().map(|c| if c.is_ascii() { c } else { digit(c) }).collect();
    ascii.parse().ok()
}

/// Reads a whole number as `int()` does, which passes white space around it.
pub(super) fn whole(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.chars().all(char::is_numeric);
    if is_whole { number(text) } else { None }
}

/// Reads a number as `float()` does, which passes white space around it and single underscores between digits.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let parts: Vec<&str> = text.split('_').collect();
    let is_digit = |c: Option<char>| c.is_some_and(char::is_numeric);
    let between =
        |pair: &[&str]| is_digit(pair[0].chars().next_back()) && is_digit(pair[1].chars().next());
    if parts.windows(2).all(between) { number(&parts.concat()) } else { None }
}

/// A decimal digit of another script as one of ASCII; which one does not matter here.
fn digit(character: char) -> char {
    if character.is_numeric() { '1' } else { character }
}
