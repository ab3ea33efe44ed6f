//! Labels that Prometheus 3 stores as numbers: Go's whole grammar of floats, with hexadecimal digits and underscores, and the
//! one spelling that a number gets. The models of `strconv.ParseFloat` and of `formatOpenMetricsFloat` in
//! `model/textparse/openmetricsparse.go`. Values of samples know fewer spellings (`number`).

use std::borrow::Cow;

use crate::grammar;

/// Returns the text that Prometheus 3 stores for a number as the value of `le` or `quantile`; `None` if it is no number for Go,
/// or beyond the largest f64, and stored as it is.
pub(crate) fn canonical(text: &str) -> Option<String> {
    // Zero has no sign, as Prometheus writes it.
    let spell = |number: f64| {
        if number.is_nan() { "NaN".to_owned() } else { grammar::canonical(number + 0.0) }
    };
    parse(text).map(spell)
}

/// Returns the number that a text is for Go's `strconv.ParseFloat`: decimal or hexadecimal, with underscores between digits, an
/// infinity with or without sign, or NaN without one. `None` for another text, and for a number beyond the largest `f64`.
///
/// ```
/// use dynamo_metrics_parser::go_float::parse;
///
/// assert_eq!(parse("0x1p3"), Some(8.0));
/// assert_eq!(parse("1_0"), Some(10.0));
/// assert_eq!((parse("+nan"), parse("1e400")), (None, None));
/// ```
#[must_use]
pub fn parse(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_negative = text.starts_with('-');
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let is_infinite = ["inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    let size = if is_infinite {
        f64::INFINITY
    } else {
        let digits = without_underscores(unsigned)?;
        let size = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(digits) => hexadecimal(digits)?,
            // Rust takes the same decimal numbers, and words, which were asked for before.
            None if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                digits.parse().ok()?
            }
            None => return None,
        };
        Some(size).filter(|size: &f64| size.is_finite())?
    };
    Some(if is_negative { -size } else { size })
}

/// Removes underscores, each of which stands between digits; the prefix `0x` counts as one.
fn without_underscores(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('_') {
        return Some(Cow::Borrowed(text));
    }
    let prefix = text
        .get(..2)
        .filter(|prefix| ["0x", "0b", "0o"].iter().any(|known| prefix.eq_ignore_ascii_case(known)));
    let is_hexadecimal = prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    let mut before = if prefix.is_some() { '0' } else { '^' };
    for found in text[prefix.map_or(0, str::len)..].chars() {
        let is_digit = found.is_digit(if is_hexadecimal { 16 } else { 10 });
        let is_misplaced = match found {
            '_' => before != '0',
            _ => before == '_' && !is_digit,
        };
        if is_misplaced {
            return None;
        }
        before = if is_digit { '0' } else { found };
    }
    (before != '_').then(|| Cow::Owned(text.replace('_', "")))
}

/// Reads what follows `0x`: hexadecimal digits with at most one point, and a binary exponent.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let plain = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Beyond this, no exponent matters for a label that fits into memory.
    let limit = i64::from(i32::MAX);
    let size = plain.parse::<i64>().map_or(limit, |size| size.min(limit));
    let mut lowest = if exponent.starts_with('-') { -size } else { size };
    let mut bits = 0_u64;
    for (at, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(digit.to_digit(16)?);
        let is_fraction = at >= whole.len();
        if bits >> 59 == 0 {
            bits = bits << 4 | digit;
            lowest -= if is_fraction { 4 } else { 0 };
        } else {
            // A digit that is too low to be kept only says that there is something, for the rounding.
            bits |= u64::from(digit != 0);
            lowest += if is_fraction { 0 } else { 4 };
        }
    }
    scaled(bits, lowest)
}

/// Returns `bits * 2^lowest`, rounded once, to even; `None` beyond the largest f64.
fn scaled(bits: u64, lowest: i64) -> Option<f64> {
    if bits == 0 {
        return Some(0.0);
    }
    let len = i64::from(64 - bits.leading_zeros());
    // Numbers below 2^-1022 have fewer digits.
    let lowest_kept = (lowest + len - 53).max(-1074);
    let dropped = (lowest_kept - lowest).max(0);
    let (kept, lowest) = match u32::try_from(dropped).ok().filter(|dropped| *dropped <= 64) {
        None => return Some(0.0),
        Some(dropped) => {
            let wide = u128::from(bits);
            let (kept, rest) = (wide >> dropped, wide & ((1 << dropped) - 1));
            let half = (1_u128 << dropped) >> 1;
            let is_up = dropped > 0 && (rest > half || rest == half && kept & 1 == 1);
            (kept + u128::from(is_up), lowest + i64::from(dropped))
        }
    };
    let power = match lowest {
        1024.. => return None,
        -1022.. => f64::from_bits(((lowest + 1023) as u64) << 52),
        _ => f64::from_bits(1 << (lowest + 1074)),
    };
    Some(kept as f64 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that Prometheus 3.5 stored.
    #[test]
    fn a_bound_is_stored_in_one_spelling() {
        for (text, stored) in [
            ("1_0", "10.0"),
            ("0x1p3", "8.0"),
            ("0x_1p3", "8.0"),
            ("0x1_0p3", "128.0"),
            ("0x1P-2", "0.25"),
            ("0X1.8p1", "3.0"),
            ("nan", "NaN"),
            ("-0", "0.0"),
            ("inf", "+Inf"),
            ("-INFINITY", "-Inf"),
            ("1e-400", "0.0"),
            (".5", "0.5"),
            ("5.", "5.0"),
            ("+1", "1.0"),
            ("1e6", "1e+06"),
            ("1e5", "100000.0"),
            ("123456789", "1.23456789e+08"),
            ("1e21", "1e+21"),
            ("1e-4", "0.0001"),
            ("1e-5", "1e-05"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(stored), "{text}");
        }
        for text in [
            "+nan",
            "-nan",
            "0x1",
            "0b1",
            "1e400",
            " 1",
            "1 ",
            "0x1p99999",
            "1__0",
            "_1",
            "1_",
            "1_.5",
            "1f",
            "",
            "+",
            ".",
            "0x",
            "0xp1",
            "0x.p1",
            "0x1p",
            "0x1p+",
            "infin",
            "++1",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
