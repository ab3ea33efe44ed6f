//! Bounds and quantiles as Prometheus 3 stores them: the label `le` below a histogram's TYPE line and `quantile` below a summary's
//! are numbers, spelled as in OpenMetrics.
//!
//! Prometheus decides **by the last TYPE line that it has read**, whatever the name of the sample. So each sample remembers that
//! line's type, and what the page that is written would make of the label must be the same: where it would change another
//! spelling, the family gives its type up; where it would not, the label is respelled here.

use dynamo_metrics_parser::Kind;

/// The mantissas that an `f64` holds exactly.
const MANTISSA_MAX: u64 = 1 << f64::MANTISSA_DIGITS;

/// Returns the label that holds a number below a TYPE line of this type.
pub(super) fn label(below: Kind) -> Option<&'static [u8]> {
    match below {
        Kind::Histogram => Some(b"le"),
        Kind::Summary => Some(b"quantile"),
        _ => None,
    }
}

/// Reads a number as Go's `strconv.ParseFloat` does: decimal or hexadecimal, with underscores between digits. `None` for another
/// text, and for a number beyond `f64`, which Prometheus leaves as they are.
pub(super) fn read(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    if unsigned.eq_ignore_ascii_case("nan") {
        return (unsigned.len() == text.len()).then_some(f64::NAN);
    }
    if unsigned.starts_with(['+', '-']) {
        return None;
    }
    let hexadecimal = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X"));
    let digits = hexadecimal.unwrap_or(unsigned);
    if !digits.contains('_') {
        return value(digits, hexadecimal.is_some()).map(|value| sign * value);
    }
    // One underscore between two digits, or behind the prefix.
    let is_digit = |byte: u8| match hexadecimal {
        Some(_) => byte.is_ascii_hexdigit(),
        None => byte.is_ascii_digit(),
    };
    let bytes = digits.as_bytes();
    let stands_well = |at: usize| {
        let before = if at == 0 { hexadecimal.is_some() } else { is_digit(bytes[at - 1]) };
        before && bytes.get(at + 1).is_some_and(|&byte| is_digit(byte))
    };
    let well = (0..bytes.len()).filter(|&at| bytes[at] == b'_').all(stands_well);
    let plain: String = digits.chars().filter(|&digit| digit != '_').collect();
    if well { value(&plain, hexadecimal.is_some()).map(|value| sign * value) } else { None }
}

fn value(digits: &str, hexadecimal: bool) -> Option<f64> {
    if hexadecimal {
        return hexadecimal_value(digits);
    }
    let value: f64 = digits.parse().ok()?;
    let beyond = value.is_infinite() && digits.bytes().any(|byte| byte.is_ascii_digit());
    (!beyond).then_some(value)
}

/// Reads `1.8p3`. A mantissa of more than 53 bits, of which no page is known, is no number here.
fn hexadecimal_value(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let bits = u64::from_str_radix(&digits, 16).ok().filter(|&bits| bits <= MANTISSA_MAX)?;
    let exponent = exponent.parse::<i32>().ok()? - 4 * i32::try_from(fraction.len()).ok()?;
    // In two steps, because a power that is beyond `f64` alone may be within it times the mantissa.
    let half = exponent / 2;
    let value = bits as f64 * 2f64.powi(half) * 2f64.powi(exponent - half);
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("1", 1.0),
            ("+1.5e3", 1500.0),
            ("-0", 0.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1_0", 10.0),
            ("1_0.0_1", 10.01),
            ("0x1p3", 8.0),
            ("0X1.8P1", 3.0),
            ("-0x_1p-1", -0.5),
            ("0x0.1p4", 1.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(read(text.as_bytes()), Some(expected), "{text}");
        }
        assert!(read(b"NaN").is_some_and(f64::is_nan));
        for text in [
            "", "x", "+nan", "-NaN", "1e400", "0x1", "0x", "1__0", "_1", "1_", "1_.0", "++1",
            "0x+1p1", "1p3", "0b1",
        ] {
            assert_eq!(read(text.as_bytes()).map(f64::to_bits), None, "{text}");
        }
    }
}
