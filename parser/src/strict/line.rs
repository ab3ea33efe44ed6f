//! The grammar of one line, without its line feed: every blank in its place, every byte accounted for.
//!
//! ```text
//! text         line = "# HELP " name " " help | "# TYPE " name " " type | "#" | "# " anything | sample
//! OpenMetrics  line = the same without comments | "# UNIT " name " " unit | "# EOF"
//! ```
//!
//! A line is judged alone, without its family. The first fault ends it.

use std::borrow::Cow;

use super::sample::{Quoted, SampleLine, quoted_name, read_sample, unescape};
use crate::fault::Fault;
use crate::format::Format;
use crate::grammar::{closing_quote, metric_name_len};
use crate::kind::Kind;

/// The content of a line.
pub(super) enum Line<'a> {
    Comment,
    Eof,
    Help { name: Cow<'a, str>, help: String },
    Type { name: Cow<'a, str>, kind: Kind },
    Unit { name: Cow<'a, str>, unit: &'a str },
    Sample(SampleLine<'a>),
}

/// A fault, and how many bytes of the line are left from where it was seen.
pub(super) type Spot = (usize, Fault);

/// Reads one line.
pub(super) fn read(line: &[u8], format: Format) -> Result<Line<'_>, Spot> {
    let line = match std::str::from_utf8(line) {
        Ok(line) => line,
        Err(error) => return fault(&line[error.valid_up_to()..], Fault::InvalidUtf8),
    };
    if line.is_empty() {
        return fault("", Fault::EmptyLine);
    }
    // Inside a label value a CR is an ordinary byte; at the end of a line it never is.
    if line.ends_with('\r') {
        return fault("\r", Fault::CarriageReturn);
    }
    match line.strip_prefix('#') {
        Some(comment) => read_comment(comment, format),
        None => read_sample(line, format).map(Line::Sample),
    }
}

/// Reads what follows the `#`.
fn read_comment(comment: &str, format: Format) -> Result<Line<'_>, Spot> {
    let openmetrics = format.is_openmetrics();
    let word = comment.trim_start_matches(is_blank);
    let word = &word[..word.find(is_blank).unwrap_or(word.len())];
    if openmetrics && word == "EOF" {
        return match comment == " EOF" {
            true => Ok(Line::Eof),
            false => fault(comment, Fault::BadEof),
        };
    }
    let word = match word {
        "HELP" => "HELP",
        "TYPE" => "TYPE",
        "UNIT" if openmetrics => "UNIT",
        _ if openmetrics => return fault(comment, Fault::Comment),
        _ if comment.is_empty() || comment.starts_with(' ') => return Ok(Line::Comment),
        _ => return fault(comment, Fault::CommentBlank),
    };
    // With other blanks around the word it is metadata for consumers, too, and not a comment.
    let Some(rest) = comment.strip_prefix(&format!(" {word} ")[..]) else {
        return fault(comment, Fault::KeywordBlanks { word });
    };
    let (name, text) = read_name(word, rest, format)?;
    let may_be_empty = openmetrics && word != "TYPE";
    let Some(text) = text.strip_prefix(' ').filter(|text| may_be_empty || !text.is_empty()) else {
        let name = name.into_owned();
        return match text.trim_matches(' ').is_empty() {
            true => fault(text, Fault::NoText { word, name }),
            false => fault(text, Fault::MetadataName { name }),
        };
    };
    match word {
        "UNIT" if text.starts_with(' ') => fault(text, Fault::ManyBlanks { before: "unit" }),
        "UNIT" => Ok(Line::Unit { name, unit: text }),
        "HELP" => {
            // The grammar of OpenMetrics wants a quote escaped; that of text 0.0.4 forbids it.
            let help = unescape(text, openmetrics)?;
            if openmetrics && closing_quote(text).is_some() {
                return fault(text, Fault::QuoteInHelp);
            }
            Ok(Line::Help { name, help })
        }
        _ if openmetrics && text.starts_with(' ') => {
            fault(text, Fault::ManyBlanks { before: "type" })
        }
        _ => match Kind::parse(text).filter(|kind| kind.is_in(format)) {
            Some(kind) => Ok(Line::Type { name, kind }),
            None => fault(text, Fault::UnknownType { word: text.to_owned() }),
        },
    }
}

/// Returns whether Python splits metadata at this character: Unicode's white space and four separators of ASCII.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// The name of a metadata line, bare or in quotes, and what follows it.
fn read_name<'a>(
    word: &'static str,
    rest: &'a str,
    format: Format,
) -> Result<(Cow<'a, str>, &'a str), Spot> {
    if let Some(quoted) = rest.strip_prefix('"').filter(|_| format.has_quoted_names()) {
        let (name, rest) = quoted_name(quoted, Quoted::METRIC)?;
        return Ok((name.into(), rest));
    }
    let name = &rest[..metric_name_len(rest.as_bytes())];
    if name.is_empty() {
        return fault(rest, Fault::NoMetadataName { word });
    }
    Ok((name.into(), &rest[name.len()..]))
}

/// Returns a fault that was seen where `rest` of the line begins.
pub(super) fn fault<T>(rest: impl AsRef<[u8]>, fault: Fault) -> Result<T, Spot> {
    Err((rest.as_ref().len(), fault))
}
