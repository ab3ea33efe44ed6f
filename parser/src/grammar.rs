//! The words of both formats: names, numbers and counts, as the narrowest consumer reads them.
//!
//! A program that writes expositions can use the same functions, so that its output and the parser's demands
//! cannot drift apart. Each function takes one pass over its input and, but for [`is_canonical`], allocates nothing.

use std::cmp::Ordering;

/// The integer up to which an f64 skips none: 2^53. A count like `6.0` above it may have been rounded.
pub const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The first second since the epoch whose milliseconds, as Prometheus stores times, do not fit 64 bits.
pub const CREATED_END: f64 = 9e15;

/// Most digits that need no general float parser: 10^15 is below 2^53, so the sum is exact.
const EXACT_DIGITS_MAX: usize = 15;

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

/// Returns the value of a number that every consumer reads alike, or `None` for another text.
///
/// These are `NaN`, `nan`, `+Inf`, `-Inf`, and `-?` digits `(. digits*)? ([eE] [+-]? digits)?` within the range
/// of f64. A leading `+` or point, a bare `Inf`, hexadecimal and underscores are each refused by some consumer.
///
/// ```
/// use dynamo_metrics_parser::grammar::literal;
///
/// assert_eq!(literal(b"1e+06"), Some(1e6));
/// assert_eq!(literal(b"+Inf"), Some(f64::INFINITY));
/// assert_eq!(literal(b"Inf"), None);
/// ```
#[must_use]
pub fn literal(text: &[u8]) -> Option<f64> {
    if let Some(value) = decimal(text) {
        return Some(value);
    }
    match text {
        b"NaN" | b"nan" => return Some(f64::NAN),
        b"+Inf" => return Some(f64::INFINITY),
        b"-Inf" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(unsigned);
    if whole == 0 {
        return None;
    }
    let mut rest = &unsigned[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = &fraction[digits(fraction)..];
    }
    if let Some((b'e' | b'E', exponent)) = rest.split_first() {
        let exponent =
            exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Returns the value of at most 15 digits with at most one point, not at the front (`6`, `6.0`, `0.005`), or `None`
/// for another text. Most numbers of real bodies are such, and need no general parser of floats.
///
/// Exact: a quotient of two exact numbers is rounded once, as the number that the text names.
///
/// ```
/// use dynamo_metrics_parser::grammar::decimal;
///
/// assert_eq!(decimal(b"0.005"), Some(0.005));
/// assert_eq!(decimal(b"-1"), None);
/// ```
#[must_use]
#[inline]
pub fn decimal(text: &[u8]) -> Option<f64> {
    if text.len() > EXACT_DIGITS_MAX || !text.first()?.is_ascii_digit() {
        return None;
    }
    let (mut digits, mut point) = (0_u64, None);
    for (at, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            digits = digits * 10 + u64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let fraction = point.map_or(0, |point| text.len() - 1 - point);
    Some(digits as f64 / TENS[fraction])
}

/// Powers of ten, all exact.
const TENS: [f64; EXACT_DIGITS_MAX] = {
    let mut tens = [1.0; EXACT_DIGITS_MAX];
    let mut at = 1;
    while at < EXACT_DIGITS_MAX {
        tens[at] = tens[at - 1] * 10.0;
        at += 1;
    }
    tens
};

/// Reads an OpenMetrics timestamp, digits with or without a fraction: whole milliseconds since the epoch, and the
/// nanoseconds beyond them. Finer digits are cut off, as Python's parser does.
///
/// `None` for a sign, because that parser reads `-0.5` as 0.5, for an exponent, because it cannot compare such a
/// timestamp with another, and for times beyond 64 bits of milliseconds.
///
/// ```
/// use dynamo_metrics_parser::grammar::seconds;
///
/// assert_eq!(seconds("1.500000002"), Some((1500, 2)));
/// assert_eq!(seconds("-1"), None);
/// ```
#[must_use]
pub fn seconds(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    if fraction.contains('.') {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let ms = whole.parse::<i64>().ok()?.checked_mul(1000)?;
    Some((ms.checked_add(i64::from(nanos / 1_000_000))?, nanos % 1_000_000))
}

/// Returns whether a `le` or `quantile` is spelled in the canonical form of OpenMetrics: the fewest digits, an
/// exponent of two digits below 1e-4 and from 1e6 on, and `.0` where there is neither point nor exponent. Prometheus 2
/// stores the text as it stands, so another spelling is another series. Allocates the canonical text.
///
/// ```
/// use dynamo_metrics_parser::grammar::is_canonical;
///
/// assert!(is_canonical("1.0", 1.0) && is_canonical("1e+06", 1e6));
/// assert!(!is_canonical("1", 1.0) && !is_canonical("1000000.0", 1e6));
/// ```
#[must_use]
pub fn is_canonical(text: &str, value: f64) -> bool {
    !value.is_nan() && text == canonical(value)
}

/// Returns the canonical spelling of a number that is not NaN.
pub(crate) fn canonical(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let (digits, exponent) = shortest(value.abs());
    let before_point = exponent.unsigned_abs() as usize + 1;
    let number = match exponent {
        -4..0 => format!("0.{}{digits}", "0".repeat(before_point - 2)),
        0..6 if digits.len() <= before_point => format!("{digits:0<before_point$}.0"),
        0..6 => format!("{}.{}", &digits[..before_point], &digits[before_point..]),
        _ => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            format!("{first}{point}{rest}e{exponent:+03}")
        }
    };
    if value.is_sign_negative() { format!("-{number}") } else { number }
}

/// The fewest digits that read back as a number that is not negative, without zeros at either end, and the power of
/// ten that the first one counts. By `ryu`, which agrees with Go; std takes the upper of two texts that are equally close.
fn shortest(value: f64) -> (String, i32) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return ("0".to_owned(), 0);
    }
    let leading = (digits.len() - significant.len()) as i32;
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let exponent = exponent + whole.len() as i32 - 1 - leading;
    (significant.trim_end_matches('0').to_owned(), exponent)
}

/// A number of observations: whole and not negative, exact as far as its text allows.
///
/// ```
/// use dynamo_metrics_parser::grammar::Count;
///
/// assert_eq!(Count::new(b"6.0", 6.0).unwrap().exact, Some(6));
/// assert!(Count::new(b"0.5", 0.5).is_none());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// Set when the text is plain digits within u64, or the value is whole and at most 2^53.
    pub exact: Option<u64>,
    value: f64,
}

impl Count {
    /// A count from a number's text and its value; `None` when it is not whole or is below zero.
    #[must_use]
    pub fn new(text: &[u8], value: f64) -> Option<Count> {
        if (0.0..=EXACT_MAX).contains(&value) {
            let whole = value as u64;
            return (whole as f64 == value).then_some(Count { exact: Some(whole), value });
        }
        // Whole, since it is so large.
        if !(value > 0.0 && value.is_finite()) {
            return None;
        }
        let exact = if text.iter().all(u8::is_ascii_digit) {
            std::str::from_utf8(text).ok().and_then(|digits| digits.parse().ok())
        } else {
            None
        };
        Some(Count { exact, value })
    }

    /// Returns the whole number that Python's parser reads: the digits as they stand, or else the value of the
    /// f64; at most `u128::MAX`.
    #[must_use]
    pub fn whole(text: &[u8], value: f64) -> u128 {
        let digits = text.iter().all(u8::is_ascii_digit);
        let exact = digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten();
        exact.unwrap_or(value as u128)
    }

    /// Orders two counts: exactly when both are exact, or else as f64s.
    #[must_use]
    pub fn order(&self, other: &Count) -> Ordering {
        match (self.exact, other.exact) {
            (Some(a), Some(b)) => a.cmp(&b),
            // Never NaN by construction.
            _ => self.value.partial_cmp(&other.value).unwrap_or(Ordering::Equal),
        }
    }
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

    #[test]
    fn a_short_decimal_is_the_number_that_the_general_parser_reads() {
        for text in ["0", "00", "7", "5.", "007.50", "0.1", "0.005", "2560.0", "9999999999999.9"] {
            assert_eq!(decimal(text.as_bytes()), Some(text.parse().unwrap()), "{text}");
        }
        for text in ["", ".5", ".", "-1", "1.2.3", "1e3", "+1", "1_0", "1234567890123456", "x"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (digits, point) = (state >> 16, (state >> 8) as usize % 14);
            let mut text = (digits % 10_u64.pow((state % 14) as u32 + 1)).to_string();
            text.insert(point.min(text.len() - 1) + 1, '.');
            assert_eq!(decimal(text.as_bytes()), Some(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn literals_that_every_consumer_reads() {
        let table: &[(&str, f64)] = &[
            ("0", 0.0),
            ("-0", -0.0),
            ("-0.0", -0.0),
            ("7", 7.0),
            ("-7", -7.0),
            ("007", 7.0),
            ("5.", 5.0),
            ("6.0", 6.0),
            ("1.5", 1.5),
            ("1E5", 1e5),
            ("1e+06", 1e6),
            ("1e-05", 1e-5),
            ("1e-400", 0.0),
            ("999999999999999", 999_999_999_999_999.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("18446744073709551615", 18_446_744_073_709_551_615.0),
            ("1.7976931348623157e308", f64::MAX),
            ("+Inf", f64::INFINITY),
            ("-Inf", f64::NEG_INFINITY),
        ];
        for &(text, value) in table {
            let read = literal(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.to_bits(), value.to_bits(), "{text}");
        }
        assert!(literal(b"NaN").is_some_and(f64::is_nan));
        assert!(literal(b"nan").is_some_and(f64::is_nan));
    }

    #[test]
    fn literals_that_some_consumer_refuses() {
        for text in [
            "", "-", ".", ".5", "-.5", "+5", "inf", "Inf", "+inf", "-inf", "Infinity", "-NaN",
            "+NaN", "NAN", "0x10", "0x1p3", "1_000", "1e", "1e+", "1e5.0", "1e400", "-1e400",
            "1,5", "1 ", " 1", "1f", "--1", "1.2.3", "1.0x", "٣",
        ] {
            assert!(literal(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn timestamps_in_seconds() {
        assert_eq!(seconds("0"), Some((0, 0)));
        assert_eq!(seconds("1.5"), Some((1500, 0)));
        assert_eq!(seconds("1."), Some((1000, 0)));
        assert_eq!(seconds("1.0000000019"), Some((1000, 1)));
        assert_eq!(seconds("9223372036854775.807999999"), Some((i64::MAX, 999_999)));
        for text in ["", ".5", "-1", "+1", "1e3", "1.2.3", "9223372036854775.808", "x", "1,5", "٣"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn canonical_bounds() {
        for text in [
            "0.0",
            "-0.0",
            "1.0",
            "-1.0",
            "0.5",
            "100000.0",
            "999999.0",
            "1e+06",
            "1.000001e+06",
            "1.2345675e+06",
            "0.0001",
            "1e-05",
            "1e+20",
            "5e-324",
            "+Inf",
            "-Inf",
            "1.7976931348623157e+308",
            "1e+100",
            "1.0049841396950602e+15",
            "5.752183770584102e+14",
        ] {
            let value = literal(text.as_bytes()).unwrap();
            assert!(is_canonical(text, value), "{text}");
        }
        for text in ["1", "1.00", "1000000.0", "1e6", "1e+6", "0.00001", "01.0", "1.", "1E+06", "0"]
        {
            let value = literal(text.as_bytes()).unwrap();
            assert!(!is_canonical(text, value), "{text}");
        }
    }

    #[test]
    fn counts_are_compared_exactly_where_they_can_be() {
        let count = |text: &str| Count::new(text.as_bytes(), literal(text.as_bytes()).unwrap());
        assert_eq!(count("6.0").unwrap().exact, Some(6));
        assert_eq!(count("18446744073709551615").unwrap().exact, Some(u64::MAX));
        assert_eq!(count("18446744073709551616").unwrap().exact, None);
        assert_eq!(count("1e+20").unwrap().exact, None);
        for text in ["-1", "0.5", "NaN", "+Inf", "-Inf"] {
            assert!(count(text).is_none(), "{text}");
        }
        let (a, b) =
            (count("18446744073709551614").unwrap(), count("18446744073709551615").unwrap());
        assert_eq!(a.order(&b), Ordering::Less);
        assert_eq!(count("1e+20").unwrap().order(&b), Ordering::Greater);
    }
}
