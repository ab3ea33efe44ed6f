//! Names of metrics and labels without quotes, and the end of quotes.

/// The names that each byte may be part of: bit 0 a label name, bit 1 a metric name. A table, because every byte of
/// every name is looked up.
const NAME_BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let label = byte == b'_' as usize || (byte as u8).is_ascii_alphanumeric();
        let metric = label || byte == b':' as usize;
        table[byte] = label as u8 | (metric as u8) << 1;
        byte += 1;
    }
    table
};

/// Returns how many bytes at the front are a metric name, `[a-zA-Z_:][a-zA-Z0-9_:]*`; 0 when none are.
///
/// ```
/// use dynamo_metrics_parser::grammar::metric_name_len;
///
/// assert_eq!(metric_name_len(b"vllm:tokens{x=\"1\"} 1"), 11);
/// assert_eq!(metric_name_len(b"9a"), 0);
/// ```
#[must_use]
pub fn metric_name_len(bytes: &[u8]) -> usize {
    name_len(bytes, 2)
}

/// Returns how many bytes at the front are a label name, `[a-zA-Z_][a-zA-Z0-9_]*`; 0 when none are.
///
/// ```
/// use dynamo_metrics_parser::grammar::label_name_len;
///
/// assert_eq!(label_name_len(b"a_1=\"x\""), 3);
/// assert_eq!(label_name_len(b"a:b"), 1);
/// ```
#[must_use]
pub fn label_name_len(bytes: &[u8]) -> usize {
    name_len(bytes, 1)
}

fn name_len(bytes: &[u8], mask: u8) -> usize {
    match bytes.first() {
        Some(byte) if !byte.is_ascii_digit() => bytes
            .iter()
            .position(|&byte| NAME_BYTES[usize::from(byte)] & mask == 0)
            .unwrap_or(bytes.len()),
        _ => 0,
    }
}

/// Returns the place of the first quote that no backslash escapes.
pub(crate) fn closing_quote(text: impl AsRef<[u8]>) -> Option<usize> {
    let mut escaped = false;
    text.as_ref().iter().copied().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let is_metric_name = |name: &[u8]| !name.is_empty() && metric_name_len(name) == name.len();
        for name in ["a", "_", ":", "vllm:e2e_seconds", "a9", "__name__"] {
            assert!(is_metric_name(name.as_bytes()), "{name}");
        }
        for name in ["", "9a", "a.b", "a-b", "é", "a b"] {
            assert!(!is_metric_name(name.as_bytes()), "{name}");
        }
        assert_eq!(label_name_len(b"a_1=\""), 3);
        assert_eq!(label_name_len(b"a:b"), 1);
        assert_eq!(label_name_len(b":a"), 0);
        assert_eq!(label_name_len(b"0"), 0);
    }
}
