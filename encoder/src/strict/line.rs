//! The grammar of one line, without its line feed: every blank in its place, every byte accounted for.
//!
//! ```text
//! text         line = "# HELP " name " " help | "# TYPE " name " " type | "#" | "# " anything | sample
//! OpenMetrics  line = the same without comments | "# UNIT " name " " unit | "# EOF"
//! ```
//!
//! Nothing here knows of families; a line is judged alone. The first problem of a line ends it.

use std::borrow::Cow;

use super::grammar::metric_name_len;
use super::kind::Kind;
use super::sample::{SampleLine, closing_quote, quoted_name, read_sample, unescape};
use super::{Format, Rule};

/// What a line says.
pub(super) enum Line<'a> {
    Comment,
    Eof,
    Help { name: Cow<'a, str>, help: String },
    Type { name: Cow<'a, str>, kind: Kind },
    Unit { name: Cow<'a, str>, unit: &'a str },
    Sample(SampleLine<'a>),
}

/// A broken rule, and how.
pub(super) type Fault = (Rule, String);

/// Reads one line.
pub(super) fn read(line: &[u8], format: Format) -> Result<Line<'_>, Fault> {
    let line = match std::str::from_utf8(line) {
        Ok(line) => line,
        Err(error) => {
            return fault(Rule::Utf8, format!("invalid UTF-8 at byte {}", error.valid_up_to()));
        }
    };
    if line.is_empty() {
        return fault(Rule::LineEnd, "blank line");
    }
    // Inside a label value a CR is an ordinary byte; at the end of a line it never is.
    if line.ends_with('\r') {
        return fault(Rule::LineEnd, "line ends in CR LF; only LF is allowed");
    }
    match line.strip_prefix('#') {
        Some(comment) => read_comment(comment, format),
        None => read_sample(line, format).map(Line::Sample),
    }
}

/// Reads what follows the `#`.
fn read_comment(comment: &str, format: Format) -> Result<Line<'_>, Fault> {
    let openmetrics = format.is_openmetrics();
    let word = comment.trim_start_matches(is_blank);
    let word = &word[..word.find(is_blank).unwrap_or(word.len())];
    if openmetrics && word == "EOF" {
        return match comment == " EOF" {
            true => Ok(Line::Eof),
            false => fault(Rule::Eof, "expected exactly '# EOF'"),
        };
    }
    if !(word == "HELP" || word == "TYPE" || openmetrics && word == "UNIT") {
        return match comment.is_empty() || comment.starts_with(' ') {
            _ if openmetrics => fault(Rule::Comment, "OpenMetrics has no comments"),
            true => Ok(Line::Comment),
            false => fault(Rule::Blank, "a comment starts with '# '"),
        };
    }
    // Consumers take any blanks around the word for metadata, so it is not a mere comment.
    let Some(rest) = comment.strip_prefix(&format!(" {word} ")[..]) else {
        return fault(Rule::Blank, format!("expected exactly '# {word} '"));
    };
    let (name, text) = read_name(word, rest, format)?;
    let may_be_empty = openmetrics && word != "TYPE";
    let Some(text) = text.strip_prefix(' ').filter(|text| may_be_empty || !text.is_empty()) else {
        return match text.trim_matches(' ').is_empty() {
            true => fault(Rule::Metadata, format!("{word} of {name} says nothing")),
            false => fault(Rule::Name, format!("invalid character after the name {name}")),
        };
    };
    match word {
        "UNIT" if text.starts_with(' ') => {
            fault(Rule::Blank, "more than one blank before the unit")
        }
        "UNIT" => Ok(Line::Unit { name, unit: text }),
        "HELP" => {
            // The grammar of OpenMetrics wants a quote escaped; that of text 0.0.4 forbids it.
            let help = unescape(text, openmetrics)?;
            if openmetrics && closing_quote(text).is_some() {
                return fault(Rule::Escape, "a quote in HELP must be escaped");
            }
            Ok(Line::Help { name, help })
        }
        _ if openmetrics && text.starts_with(' ') => {
            fault(Rule::Blank, "more than one blank before the type")
        }
        _ => match Kind::parse(text).filter(|kind| kind.is_in(format)) {
            Some(kind) => Ok(Line::Type { name, kind }),
            None => fault(Rule::Metadata, format!("{text:?} is no type of this format")),
        },
    }
}

/// What Python splits metadata at: Unicode's white space and four separators of ASCII.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// The name of a metadata line, bare or in quotes, and what follows it.
fn read_name<'a>(
    word: &str,
    rest: &'a str,
    format: Format,
) -> Result<(Cow<'a, str>, &'a str), Fault> {
    if let Some(quoted) = rest.strip_prefix('"').filter(|_| format.has_quoted_names()) {
        let (name, rest) = quoted_name(quoted, Rule::Name)?;
        return Ok((name.into(), rest));
    }
    let name = &rest[..metric_name_len(rest.as_bytes())];
    if name.is_empty() {
        return fault(Rule::Name, format!("{word} is not followed by a metric name"));
    }
    Ok((name.into(), &rest[name.len()..]))
}

pub(super) fn fault<T>(rule: Rule, message: impl Into<String>) -> Result<T, Fault> {
    Err((rule, message.into()))
}
