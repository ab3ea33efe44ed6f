//! Escaping, exactly as much as text 0.0.4 asks for and not one character more.
//!
//! Help texts escape the backslash and the line feed; label values also the double quote. Nothing
//! else is ever escaped: a `\t` is kept as two characters by some consumers and fails the whole
//! scrape in others, and a `\"` in a help text fails promtool 2.42. All other bytes, controls
//! included, go through raw; every consumer measured takes them.
//!
//! Almost no text needs an escape, so each writer first looks over the bytes in a branch-free loop
//! that the compiler turns into vector code, and then copies them whole. Nothing allocates except
//! the growth of `out`.

use bytes::BufMut;

/// Appends a help text for text 0.0.4: `\` becomes `\\`, a line feed becomes `\n`.
///
/// Costs one pass and one copy when nothing needs escaping.
///
/// ```
/// use dynamo_metrics_encoder::escape::write_help;
///
/// let mut out = bytes::BytesMut::new();
/// write_help(&mut out, "a \"share\" of C:\\\nin percent");
/// assert_eq!(&out[..], br#"a "share" of C:\\\nin percent"#);
/// ```
pub fn write_help(out: &mut impl BufMut, text: &str) {
    write(out, text.as_bytes(), |byte| (byte == b'\\') | (byte == b'\n'));
}

/// Appends a help text for OpenMetrics: as [`write_help`], and `"` becomes `\"`.
///
/// ```
/// use dynamo_metrics_encoder::escape::write_help_openmetrics;
///
/// let mut out = bytes::BytesMut::new();
/// write_help_openmetrics(&mut out, "a \"share\"\n");
/// assert_eq!(&out[..], br#"a \"share\"\n"#);
/// ```
pub fn write_help_openmetrics(out: &mut impl BufMut, text: &str) {
    write_label_value(out, text);
}

/// Appends the inside of a label value, without the quotes around it: `\` becomes `\\`, a line feed
/// becomes `\n`, `"` becomes `\"`. The same in text 0.0.4 and in OpenMetrics.
///
/// Costs one pass and one copy when nothing needs escaping.
///
/// ```
/// use dynamo_metrics_encoder::escape::write_label_value;
///
/// let mut out = bytes::BytesMut::new();
/// write_label_value(&mut out, "say \"hi\"\\\n");
/// assert_eq!(&out[..], br#"say \"hi\"\\\n"#);
/// ```
pub fn write_label_value(out: &mut impl BufMut, value: &str) {
    write(out, value.as_bytes(), |byte| (byte == b'\\') | (byte == b'\n') | (byte == b'"'));
}

/// Copies the runs between special bytes whole. All special bytes are ASCII, so a run never splits
/// a character.
#[inline]
fn write(out: &mut impl BufMut, mut bytes: &[u8], special: impl Fn(u8) -> bool) {
    if !bytes.iter().fold(false, |found, &byte| found | special(byte)) {
        out.put_slice(bytes);
        return;
    }
    while let Some(at) = bytes.iter().position(|&byte| special(byte)) {
        out.put_slice(&bytes[..at]);
        out.put_slice(match bytes[at] {
            b'\n' => br"\n",
            b'"' => br#"\""#,
            _ => br"\\",
        });
        bytes = &bytes[at + 1..];
    }
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    fn help(text: &str) -> String {
        let mut out = BytesMut::new();
        write_help(&mut out, text);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn label_value(value: &str) -> String {
        let mut out = BytesMut::new();
        write_label_value(&mut out, value);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn golden_table() {
        // raw, help text, label value
        let table = [
            ("", "", ""),
            ("plain", "plain", "plain"),
            ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
            ("\\", r"\\", r"\\"),
            ("\n", r"\n", r"\n"),
            ("\"", "\"", r#"\""#),
            ("\\n", r"\\n", r"\\n"),
            ("\\\n", r"\\\n", r"\\\n"),
            ("\\\"", "\\\\\"", r#"\\\""#),
            ("\n\n", r"\n\n", r"\n\n"),
            ("a\nb", r"a\nb", r"a\nb"),
            ("\nab\n", r"\nab\n", r"\nab\n"),
            ("'`{}=,#", "'`{}=,#", "'`{}=,#"),
            (" two  blanks ", " two  blanks ", " two  blanks "),
            ("ü", "ü", "ü"),
            ("漢字", "漢字", "漢字"),
            ("🦀\"🦀", "🦀\"🦀", "🦀\\\"🦀"),
            ("\u{10ffff}\\", "\u{10ffff}\\\\", "\u{10ffff}\\\\"),
            ("\u{2028}", "\u{2028}", "\u{2028}"),
        ];
        for (raw, as_help, as_label_value) in table {
            assert_eq!(help(raw), as_help, "help {raw:?}");
            assert_eq!(label_value(raw), as_label_value, "label value {raw:?}");
        }
    }

    #[test]
    fn every_ascii_byte_alone_and_between_others() {
        for byte in 0..128_u8 {
            let raw = char::from(byte).to_string();
            let as_help = match byte {
                b'\n' => r"\n",
                b'\\' => r"\\",
                _ => &raw,
            };
            let as_label_value = if byte == b'"' { r#"\""# } else { as_help };
            assert_eq!(help(&raw), as_help);
            assert_eq!(label_value(&raw), as_label_value);
            assert_eq!(help(&format!("é{raw}🦀")), format!("é{as_help}🦀"));
            assert_eq!(label_value(&format!("é{raw}🦀")), format!("é{as_label_value}🦀"));
        }
    }

    #[test]
    fn appends_and_never_overwrites() {
        let mut out = BytesMut::from(&b"x=\""[..]);
        write_label_value(&mut out, "\"");
        assert_eq!(&out[..], br#"x="\""#);
    }

    proptest! {
        /// Unescaping by plain replacement, with a character that no text below contains as the
        /// stand-in for an escaped backslash.
        #[test]
        fn escaped_text_reads_back(raw in "[a\\\\\n\"🦀\r\t]{0,40}") {
            let escaped = label_value(&raw);
            prop_assert!(!escaped.contains('\n'));
            let back = escaped
                .replace(r"\\", "\u{1}")
                .replace(r"\n", "\n")
                .replace(r#"\""#, "\"")
                .replace('\u{1}', "\\");
            prop_assert_eq!(back, raw.clone());
            let back = help(&raw).replace(r"\\", "\u{1}").replace(r"\n", "\n").replace('\u{1}', "\\");
            prop_assert_eq!(back, raw);
        }
    }
}
