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

use super::exposition::Exemplar;
use super::grammar::{label_name_len, literal, metric_name_len, seconds};
use super::line::{Fault, fault};
use super::{Format, Rule};

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

pub(super) fn read_sample(line: &str, format: Format) -> Result<SampleLine<'_>, Fault> {
    let mut labels = Vec::new();
    let (name, rest) = match line.strip_prefix("{\"") {
        Some(quoted) if format.has_quoted_names() => read_quoted_name(quoted, format, &mut labels)?,
        _ => {
            let name = &line[..metric_name_len(line.as_bytes())];
            if name.is_empty() {
                return match line.starts_with([' ', '\t']) {
                    true => fault(Rule::Blank, "blank before the metric name"),
                    false => fault(Rule::Name, "line does not start with a metric name"),
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
            None => fault(Rule::Value, "no value"),
            Some('\t') => fault(Rule::Blank, "tab before the value"),
            Some(other) if labels.is_empty() && !line[..line.len() - rest.len()].ends_with('}') => {
                fault(Rule::Name, format!("{other:?} in the metric name"))
            }
            Some(_) => fault(Rule::Blank, "no blank before the value"),
        };
    };
    let (text, rest) = token(rest);
    if text.is_empty() {
        return match rest {
            None => fault(Rule::Value, "no value"),
            Some(_) => fault(Rule::Blank, "more than one blank before the value"),
        };
    }
    let value = read_value(text)?;
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
) -> Result<(Cow<'a, str>, &'a str), Fault> {
    let (name, rest) = quoted_name(quoted, Rule::Name)?;
    match rest.bytes().next() {
        Some(b'}') => Ok((name.into(), &rest[1..])),
        Some(b',') => Ok((name.into(), read_labels(&rest[1..], labels, format, false)?)),
        Some(b'=') => fault(Rule::Name, "the first entry of the braces must be the metric name"),
        Some(b' ' | b'\t') => fault(Rule::Blank, "blank within the braces"),
        _ => fault(Rule::Label, "expected , or } after the metric name"),
    }
}

/// Reads from behind the `{` or the name in it to behind the `}` and returns the rest of the line.
fn read_labels<'a>(
    mut rest: &'a str,
    labels: &mut Vec<(String, String)>,
    format: Format,
    may_be_empty: bool,
) -> Result<&'a str, Fault> {
    if let Some(behind) = rest.strip_prefix('}') {
        return match may_be_empty && format.is_openmetrics() {
            true => Ok(behind),
            false if may_be_empty => fault(Rule::Label, "empty braces"),
            false => fault(Rule::Label, "comma before the closing brace"),
        };
    }
    loop {
        if rest.starts_with([' ', '\t']) {
            return fault(Rule::Blank, "blank within the braces");
        }
        if rest.starts_with('}') {
            return fault(Rule::Label, "comma before the closing brace");
        }
        let (name, behind) = match rest.strip_prefix('"') {
            Some(quoted) if format.has_quoted_names() => quoted_name(quoted, Rule::Label)?,
            _ => {
                let name = &rest[..label_name_len(rest.as_bytes())];
                (name.to_owned(), &rest[name.len()..])
            }
        };
        if name.is_empty() {
            return fault(Rule::Label, "expected a label name");
        }
        let Some(quoted) = behind.strip_prefix("=\"") else {
            return fault(Rule::Label, format!("expected =\" after the label name {name}"));
        };
        let Some(end) = closing_quote(quoted) else {
            return fault(Rule::Label, format!("value of label {name} does not end"));
        };
        let value = unescape(&quoted[..end], true)?;
        if name == "__name__" {
            return fault(Rule::Label, "__name__ is not allowed as a label");
        }
        if name.starts_with("__") && format.is_openmetrics() {
            return fault(Rule::Label, format!("{name}: names that start with __ are reserved"));
        }
        let after = format!("expected , or }} after label {name}");
        labels.push((name, value));
        rest = &quoted[end + 1..];
        match rest.bytes().next() {
            Some(b'}') => break,
            Some(b',') => rest = &rest[1..],
            Some(b' ' | b'\t') => return fault(Rule::Blank, "blank within the braces"),
            _ => return fault(Rule::Label, after),
        }
    }
    let mut names: Vec<&str> = labels.iter().map(|(name, _)| &name[..]).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return fault(Rule::Label, format!("label {} is there twice", pair[0]));
    }
    Ok(&rest[1..])
}

type Tail = (Option<(i64, u32)>, Option<Exemplar>);

/// Reads what follows an OpenMetrics value and its blank.
fn read_tail(rest: &str, format: Format) -> Result<Tail, Fault> {
    if rest.starts_with('#') {
        return Ok((None, Some(read_exemplar(rest, format)?)));
    }
    let (time, rest) = token(rest);
    let time = read_seconds(time)?;
    match rest {
        None => Ok((Some(time), None)),
        Some(rest) if rest.starts_with('#') => Ok((Some(time), Some(read_exemplar(rest, format)?))),
        Some("") => fault(Rule::Blank, "blank at the end of the line"),
        Some(rest) => fault(Rule::Timestamp, format!("unexpected {rest:?} after the timestamp")),
    }
}

/// Reads from the `#` to the end of the line.
fn read_exemplar(text: &str, format: Format) -> Result<Exemplar, Fault> {
    let Some(inside) = text.strip_prefix("# {") else {
        return fault(Rule::Exemplar, "an exemplar starts with '# {'");
    };
    let mut labels = Vec::new();
    let rest = read_labels(inside, &mut labels, format, true)?;
    // Prometheus does not unescape here, and Python's parser refuses an escaped quote.
    if inside[..inside.len() - rest.len()].contains('\\') {
        return fault(
            Rule::Escape,
            "a backslash in an exemplar's labels is read in different ways",
        );
    }
    let points: usize =
        labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if points > EXEMPLAR_CODE_POINTS_MAX {
        let message = format!(
            "{points} code points in an exemplar's labels, {EXEMPLAR_CODE_POINTS_MAX} are allowed"
        );
        return fault(Rule::Exemplar, message);
    }
    let Some(rest) = rest.strip_prefix(' ') else {
        return fault(Rule::Exemplar, "an exemplar needs a blank and a value after its labels");
    };
    let (text, rest) = token(rest);
    let value = read_value(text)?;
    let time = rest.map(read_seconds).transpose()?;
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

fn read_value(text: &str) -> Result<f64, Fault> {
    match literal(text.as_bytes()) {
        Some(value) => Ok(value),
        None => fault(Rule::Value, format!("{text:?} is not a number that every consumer reads")),
    }
}

fn read_seconds(text: &str) -> Result<(i64, u32), Fault> {
    if text.is_empty() || text.contains([' ', '\t']) {
        return fault(Rule::Blank, "a blank too many");
    }
    match seconds(text) {
        Some(time) => Ok(time),
        None => fault(Rule::Timestamp, format!("timestamp {text:?} is not plain decimal seconds")),
    }
}

fn read_milliseconds(text: &str) -> Result<i64, Fault> {
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

/// What stands before the first blank, and what behind it if there is one.
fn token(text: &str) -> (&str, Option<&str>) {
    match text.split_once(' ') {
        None => (text, None),
        Some((token, rest)) => (token, Some(rest)),
    }
}

/// Where the first quote without an odd number of backslashes before it stands.
pub(super) fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Reads from behind a quote: the name up to the next one, and what follows that.
pub(super) fn quoted_name(quoted: &str, rule: Rule) -> Result<(String, &str), Fault> {
    let Some(end) = closing_quote(quoted).filter(|end| *end > 0) else {
        return fault(rule, "a name in quotes is empty or does not end");
    };
    let name = unescape(&quoted[..end], true)?;
    if name.contains('\0') {
        // The lexers of Prometheus take it for the end of the input.
        return fault(rule, "NUL in a name in quotes");
    }
    Ok((name, &quoted[end + 1..]))
}

pub(super) fn unescape(text: &str, quote_too: bool) -> Result<String, Fault> {
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
