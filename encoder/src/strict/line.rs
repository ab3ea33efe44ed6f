//! The grammar of one line, without its line feed: every blank in its place, every byte accounted for.
//!
//! ```text
//! line    = "# HELP " name " " help | "# TYPE " name " " type | "#" | "# " anything | sample
//! sample  = name [ "{" pair { "," pair } "}" ] " " value [ " " milliseconds ]
//! pair    = label_name "=" '"' { any | "\\" | "\n" | '\"' } '"'
//! ```
//!
//! Nothing here knows of families; a line is judged alone. The first problem of a line ends it.

use super::Rule;
use super::exposition::Kind;
use super::grammar::{label_name_len, literal, metric_name_len};

/// What a line says.
pub(super) enum Line<'a> {
    Comment,
    Help { name: &'a str, help: String },
    Type { name: &'a str, kind: Kind },
    Sample(SampleLine<'a>),
}

/// A sample as it stands on its line.
pub(super) struct SampleLine<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
    pub(super) text: &'a str,
    pub(super) timestamp: Option<i64>,
}

/// A broken rule, and how.
pub(super) type Fault = (Rule, String);

/// Reads one line.
pub(super) fn read(line: &[u8]) -> Result<Line<'_>, Fault> {
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
        Some(comment) => read_comment(comment),
        None => read_sample(line).map(Line::Sample),
    }
}

/// Reads what follows the `#`.
fn read_comment(comment: &str) -> Result<Line<'_>, Fault> {
    let word = comment.trim_start_matches([' ', '\t']);
    let word = &word[..word.find([' ', '\t']).unwrap_or(word.len())];
    if word != "HELP" && word != "TYPE" {
        return match comment.is_empty() || comment.starts_with(' ') {
            true => Ok(Line::Comment),
            false => fault(Rule::Blank, "a comment starts with '# '"),
        };
    }
    // Consumers take any blanks around the word for metadata, so it is not a mere comment.
    let Some(rest) = comment.strip_prefix(&format!(" {word} ")[..]) else {
        return fault(Rule::Blank, format!("expected exactly '# {word} '"));
    };
    let name = &rest[..metric_name_len(rest.as_bytes())];
    if name.is_empty() {
        return fault(Rule::Name, format!("{word} is not followed by a metric name"));
    }
    let text = &rest[name.len()..];
    let Some(text) = text.strip_prefix(' ').filter(|text| !text.is_empty()) else {
        return match text.trim_matches(' ').is_empty() {
            true => fault(Rule::Metadata, format!("{word} of {name} says nothing")),
            false => fault(Rule::Name, format!("invalid character after the name {name}")),
        };
    };
    if word == "HELP" {
        let help = unescape(text, false)?;
        return Ok(Line::Help { name, help });
    }
    match Kind::parse(text) {
        Some(kind) => Ok(Line::Type { name, kind }),
        None => fault(Rule::Metadata, format!("{text:?} is not one of the five types")),
    }
}

fn read_sample(line: &str) -> Result<SampleLine<'_>, Fault> {
    let name = &line[..metric_name_len(line.as_bytes())];
    if name.is_empty() {
        return match line.starts_with([' ', '\t']) {
            true => fault(Rule::Blank, "blank before the metric name"),
            false => fault(Rule::Name, "line does not start with a metric name"),
        };
    }
    let mut rest = &line[name.len()..];
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = read_labels(inside, &mut labels)?;
    }
    let Some(rest) = rest.strip_prefix(' ') else {
        return match rest.chars().next() {
            None => fault(Rule::Value, "no value"),
            Some('\t') => fault(Rule::Blank, "tab before the value"),
            Some(other) if labels.is_empty() => {
                fault(Rule::Name, format!("{other:?} in the metric name"))
            }
            Some(_) => fault(Rule::Blank, "no blank before the value"),
        };
    };
    let (text, timestamp) = match rest.split_once(' ') {
        None => (rest, None),
        Some((text, rest)) => (text, Some(rest)),
    };
    if text.is_empty() {
        return match timestamp {
            None => fault(Rule::Value, "no value"),
            Some(_) => fault(Rule::Blank, "more than one blank before the value"),
        };
    }
    let Some(value) = literal(text.as_bytes()) else {
        return fault(Rule::Value, format!("{text:?} is not a number that every consumer reads"));
    };
    let timestamp = timestamp.map(read_timestamp).transpose()?;
    Ok(SampleLine { name, labels, value, text, timestamp })
}

/// Reads from behind the `{` to behind the `}` and returns the rest of the line.
fn read_labels<'a>(
    mut rest: &'a str,
    labels: &mut Vec<(String, String)>,
) -> Result<&'a str, Fault> {
    if rest.starts_with('}') {
        return fault(Rule::Label, "empty braces");
    }
    loop {
        if rest.starts_with([' ', '\t']) {
            return fault(Rule::Blank, "blank within the braces");
        }
        if rest.starts_with('}') {
            return fault(Rule::Label, "comma before the closing brace");
        }
        let name = &rest[..label_name_len(rest.as_bytes())];
        if name.is_empty() {
            return fault(Rule::Label, "expected a label name");
        }
        let Some(quoted) = rest[name.len()..].strip_prefix("=\"") else {
            return fault(Rule::Label, format!("expected =\" after the label name {name}"));
        };
        let Some(end) = closing_quote(quoted) else {
            return fault(Rule::Label, format!("value of label {name} does not end"));
        };
        let value = unescape(&quoted[..end], true)?;
        if name == "__name__" {
            return fault(Rule::Label, "__name__ is not allowed as a label");
        }
        labels.push((name.to_owned(), value));
        rest = &quoted[end + 1..];
        match rest.bytes().next() {
            Some(b'}') => break,
            Some(b',') => rest = &rest[1..],
            Some(b' ' | b'\t') => return fault(Rule::Blank, "blank within the braces"),
            _ => return fault(Rule::Label, format!("expected , or }} after label {name}")),
        }
    }
    let mut names: Vec<&str> = labels.iter().map(|(name, _)| &name[..]).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return fault(Rule::Label, format!("label {} is there twice", pair[0]));
    }
    Ok(&rest[1..])
}

/// Where the first quote without an odd number of backslashes before it stands.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescape(text: &str, quote_too: bool) -> Result<String, Fault> {
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
            Some(other) => {
                return fault(Rule::Escape, format!("{other:?} may not be escaped here"));
            }
            None => return fault(Rule::Escape, "backslash at the end"),
        }
    }
    Ok(out)
}

fn read_timestamp(text: &str) -> Result<i64, Fault> {
    if text.starts_with('#') {
        return fault(Rule::Exemplar, "text 0.0.4 has no exemplars");
    }
    if text.is_empty() || text.ends_with([' ', '\t']) {
        return fault(Rule::Blank, "blank at the end of the line");
    }
    if text.starts_with([' ', '\t']) {
        return fault(Rule::Blank, "more than one blank after the value");
    }
    if text.contains(" #") {
        return fault(Rule::Exemplar, "text 0.0.4 has no exemplars");
    }
    match text.parse() {
        // The lexer of Prometheus takes digits only: no sign, no point.
        Ok(timestamp) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(timestamp),
        _ => fault(Rule::Timestamp, format!("timestamp {text:?} is not a plain whole number")),
    }
}

fn fault<T>(rule: Rule, message: impl Into<String>) -> Result<T, Fault> {
    Err((rule, message.into()))
}
