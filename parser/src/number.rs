//! Numbers as Go reads them: `strconv.ParseFloat`, without the characters that Prometheus and expfmt refuse before it.

/// The reason why a text is no number for Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// The text is no number in this spelling.
    Syntax,
    /// The number is beyond the largest f64.
    Range,
}

/// Reads a number as Prometheus and expfmt do: decimal digits with at most one point and an exponent, or an infinity
/// with or without sign, or NaN without one, in letters of any case.
pub(crate) fn go(text: &str) -> Result<f64, NoNumber> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.eq_ignore_ascii_case("nan") {
        return if unsigned.len() == text.len() { Ok(f64::NAN) } else { Err(NoNumber::Syntax) };
    }
    // Rust takes the same texts for decimal numbers and infinities.
    let value: f64 = text.parse().map_err(|_| NoNumber::Syntax)?;
    let overflows = value.is_infinite() && unsigned.bytes().any(|byte| byte.is_ascii_digit());
    if overflows { Err(NoNumber::Range) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, value) in [
            ("1", 1.0),
            ("+5", 5.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1e-3", -0.001),
            ("1e-400", 0.0),
            ("inf", f64::INFINITY),
            ("+Infinity", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
        ] {
            assert_eq!(go(text), Ok(value), "{text}");
        }
        assert!(go("nan").is_ok_and(f64::is_nan));
        for text in
            ["", "-", ".", "-NaN", "+nan", "0x10", "0x1p3", "1_0", "1e", "1 ", "1f", "infinit"]
        {
            assert_eq!(go(text), Err(NoNumber::Syntax), "{text}");
        }
        assert_eq!(go("-1e999"), Err(NoNumber::Range));
    }
}
