//! The format of an engine's page, and pages that are no exposition.

use super::EngineError;

/// Bytes of the first name that are looked at. Binary formats have a control character among their first bytes.
const NAME_LOOKED_AT: usize = 64;
/// The first bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Refuses a page whose `Content-Type` is that of protobuf, and takes the comment `# EOF` off the end of one that is plain text:
/// there it is a comment like any other, and not the mark of OpenMetrics, whose timestamps are seconds.
pub(super) fn settle_format(content_type: &str, text: &mut Vec<u8>) -> Result<(), EngineError> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/vnd.google.protobuf") {
        return Err(EngineError::NotExposition { found: "protobuf" });
    }
    while media.eq_ignore_ascii_case("text/plain")
        && let Some(rest) = text.trim_ascii_end().strip_suffix(b"# EOF")
        && rest.last().is_none_or(|&byte| byte == b'\n')
    {
        text.truncate(rest.len());
    }
    Ok(())
}

/// Names the format of a text that cannot be an exposition: no line of an exposition begins as HTML or a JSON list, with a control
/// character in its name, and an exposition that begins with a brace is no JSON object. (A brace may begin a sample whose name
/// is in quotes.) Some line of it is a comment or may be a sample, which is not so of the `OK` of a probe.
pub(super) fn not_an_exposition(text: &[u8]) -> Option<&'static str> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text).trim_ascii_start();
    let name = text.iter().take_while(|&&byte| !matches!(byte, b' ' | b'{' | b'"' | b'#'));
    let binary = |&byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    if name.take(NAME_LOOKED_AT).any(binary) || text.starts_with(&GZIP) {
        return Some("binary data");
    }
    let json = |text: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    match text.first()? {
        b'<' => Some("HTML or XML"),
        b'[' => Some("JSON"),
        b'{' if json(text) => Some("JSON"),
        _ if !text.split(|&byte| byte == b'\n').any(may_be_read) => Some("plain text"),
        _ => None,
    }
}

/// Returns whether a line is a comment, or ends as a sample does: behind a name, or its braces, is a number.
fn may_be_read(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    if line.starts_with(b"#") {
        return true;
    }
    let brace = line.iter().rposition(|&byte| byte == b'}').map(|at| at + 1);
    let Some(end) = brace.or_else(|| line.iter().position(u8::is_ascii_whitespace)) else {
        return false;
    };
    let value = line[end..].trim_ascii_start();
    let unsigned = value.strip_prefix(b"+").or(value.strip_prefix(b"-")).unwrap_or(value);
    let word = |word: &[u8]| unsigned.get(..3).is_some_and(|it| it.eq_ignore_ascii_case(word));
    unsigned.first().is_some_and(|&byte| byte.is_ascii_digit() || byte == b'.')
        || word(b"nan")
        || word(b"inf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_says_whether_eof_is_a_comment() {
        let settled = |content_type, text: &str| {
            let mut text = text.as_bytes().to_vec();
            settle_format(content_type, &mut text).map(|()| String::from_utf8(text).unwrap())
        };
        let page = "a 1 1700000000000\n# EOF\n";
        for plain in ["text/plain", "Text/Plain; version=0.0.4"] {
            assert_eq!(settled(plain, page).unwrap(), "a 1 1700000000000\n");
            assert_eq!(settled(plain, "a 1\n# EOF\n\n# EOF\r\n").unwrap(), "a 1\n");
            assert_eq!(settled(plain, "# HELP a # EOF\n").unwrap(), "# HELP a # EOF\n");
        }
        for other in ["", "application/openmetrics-text; version=1.0.0"] {
            assert_eq!(settled(other, page).unwrap(), page);
        }
        let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily";
        assert_eq!(settled(protobuf, "").unwrap_err().reason(), "not_exposition");
    }
}
