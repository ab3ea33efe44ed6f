//! The spellings of text that consumers take although the format has a plainer one: blanks between tokens, empty lines, `{}`, a
//! comma before the brace, unusual numbers.

use crate::fault::Fault;
use crate::grammar::{closing_quote, label_name_len, literal, metric_name_len};
use crate::number;
use crate::problem::Problem;

/// The page with each line spelled in the plainest way, as far as it can be read, and a fault for each line that is not.
/// Lines keep their numbers.
pub(super) fn spell(page: &str) -> (String, Vec<Problem>) {
    let mut spelled = String::with_capacity(page.len());
    let mut found = Vec::new();
    for (at, line) in page.split_inclusive('\n').enumerate() {
        let (content, end) = match line.strip_suffix('\n') {
            Some(content) => (content, "\n"),
            None => (line, ""),
        };
        match plain(content) {
            Some((plain, fault)) if plain != content => {
                found.push(Problem::at(at + 1, fault));
                spelled.push_str(&plain);
            }
            _ => spelled.push_str(content),
        }
        spelled.push_str(end);
    }
    (spelled, found)
}

/// A line in the plainest spelling, and the fault if it is spelled otherwise; `None` for a line that cannot be read.
fn plain(line: &str) -> Option<(String, Fault)> {
    let text = line.trim_matches(is_blank);
    if line.ends_with('\r') {
        return None;
    }
    if text.is_empty() {
        return Some(("#".into(), Fault::EmptyLine));
    }
    match text.strip_prefix('#') {
        Some(comment) => plain_comment(comment),
        None => plain_sample(line, text),
    }
}

fn plain_comment(comment: &str) -> Option<(String, Fault)> {
    let (word, rest) = token(comment.trim_start_matches(is_blank));
    let word = match word {
        "HELP" => "HELP",
        "TYPE" => "TYPE",
        _ => {
            let is_plain = comment.is_empty() || comment.starts_with(' ');
            let plain = if is_plain { format!("#{comment}") } else { "#".into() };
            return Some((plain, Fault::CommentBlank));
        }
    };
    let rest = rest.trim_start_matches(is_blank);
    let name = match rest.strip_prefix('"') {
        Some(quoted) => &rest[..closing_quote(quoted)? + 2],
        None => &rest[..metric_name_len(rest.as_bytes())],
    };
    let text = &rest[name.len()..];
    if name.is_empty() || !(text.is_empty() || text.starts_with(is_blank)) {
        return None;
    }
    let text = text.trim_start_matches(is_blank);
    match (word, text) {
        ("HELP", "") => Some(("#".into(), Fault::NoText { word, name: name.to_owned() })),
        (_, "") => None,
        ("HELP", _) if text.contains("# TYPE ") || text.contains("# HELP ") => {
            let text = text.trim_end_matches(is_blank);
            // One blank more, so that it is never as it was.
            Some((format!("# HELP {name} {text} "), Fault::GluedMetadata))
        }
        ("HELP", _) => Some((format!("# HELP {name} {text}"), Fault::KeywordBlanks { word })),
        _ => {
            let text = text.trim_end_matches(is_blank);
            Some((format!("# TYPE {name} {text}"), Fault::KeywordBlanks { word }))
        }
    }
}

fn plain_sample(line: &str, text: &str) -> Option<(String, Fault)> {
    let name = &text[..metric_name_len(text.as_bytes())];
    let behind = &text[name.len()..];
    let mut rest = behind.trim_start_matches(is_blank);
    let mut fault = match () {
        () if line.starts_with(is_blank) => Fault::BlankBeforeName,
        () if rest.starts_with('{') && rest.len() < behind.len() => Fault::BlankBeforeBraces,
        () if line.ends_with(is_blank) => Fault::BlankAtEnd,
        () if behind.starts_with('\t') => Fault::Tab { before: "value" },
        () => Fault::ManyBlanks { before: "value" },
    };
    let mut spelled = name.to_owned();
    if let Some(inside) = rest.strip_prefix('{') {
        let (labels, behind, odd) = plain_labels(inside)?;
        let is_empty = labels.is_empty();
        rest = behind;
        if !is_empty {
            spelled.push_str(&format!("{{{}}}", labels.join(",")));
        }
        fault = match odd {
            _ if is_empty => Fault::EmptyBraces,
            Some(odd) => odd,
            None if !rest.starts_with(is_blank) => Fault::NoBlank { before: "value" },
            None => fault,
        };
    } else if name.is_empty() || rest.len() == behind.len() {
        // No name, or nothing between name and value.
        return None;
    }
    let (value, rest) = token(rest.trim_start_matches(is_blank));
    let (time, rest) = token(rest.trim_start_matches(is_blank));
    if value.is_empty() || !rest.trim_matches(is_blank).is_empty() {
        return None;
    }
    spelled.push(' ');
    if literal(value.as_bytes()).is_some() {
        spelled.push_str(value);
    } else {
        let number = number::go(value).ok()?;
        fault = Fault::UnusualNumber { text: value.to_owned() };
        match number {
            f64::INFINITY => spelled.push_str("+Inf"),
            f64::NEG_INFINITY => spelled.push_str("-Inf"),
            number if number.is_nan() => spelled.push_str("NaN"),
            number => spelled.push_str(&number.to_string()),
        }
    }
    if !time.is_empty() {
        spelled.push(' ');
        spelled.push_str(time);
    }
    Some((spelled, fault))
}

/// The labels up to the closing brace, what follows it, and what is unusual.
fn plain_labels(inside: &str) -> Option<(Vec<String>, &str, Option<Fault>)> {
    let (mut labels, mut odd) = (Vec::new(), None);
    let mut rest = inside.trim_start_matches(is_blank);
    if rest.len() < inside.len() {
        odd = Some(Fault::BlankInBraces);
    }
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind, odd));
        }
        let label = match rest.strip_prefix('"') {
            Some(quoted) => &rest[..closing_quote(quoted)? + 2],
            None => &rest[..label_name_len(rest.as_bytes())],
        };
        if label.is_empty() {
            return None;
        }
        let start = rest;
        rest = rest[label.len()..].trim_start_matches(is_blank);
        let mut pair = label.to_owned();
        if let Some(value) = rest.strip_prefix('=') {
            let value = value.trim_start_matches(is_blank).strip_prefix('"')?;
            let end = closing_quote(value)?;
            pair = format!("{label}=\"{}\"", &value[..end]);
            rest = value[end + 1..].trim_start_matches(is_blank);
        } else if !label.starts_with('"') {
            return None;
        }
        if !start.starts_with(&pair) || start[pair.len()..].starts_with(is_blank) {
            odd.get_or_insert(Fault::BlankInBraces);
        }
        labels.push(pair);
        if let Some(behind) = rest.strip_prefix(',') {
            rest = behind.trim_start_matches(is_blank);
            if rest.starts_with('}') {
                odd = Some(Fault::TrailingComma);
            } else if rest.len() < behind.len() {
                odd.get_or_insert(Fault::BlankInBraces);
            }
        } else if !rest.starts_with('}') {
            return None;
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    text.split_at(text.find(is_blank).unwrap_or(text.len()))
}

/// Returns whether the text format takes this character between tokens.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}
