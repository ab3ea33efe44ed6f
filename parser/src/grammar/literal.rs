//! Numbers and times that every consumer reads alike.

/// The first second since the epoch whose milliseconds, as Prometheus stores times, do not fit 64 bits.
pub const CREATED_END: f64 = 9e15;

/// Most digits that need no general float parser: 10^15 is below 2^53, so the sum is exact.
const EXACT_DIGITS_MAX: usize = 15;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
