//! Numbers as `prometheus_client` writes them: Python's `repr`, with exponents from a million on, as in Go.

use pyo3::prelude::*;
use std::fmt::Write;

/// Whole numbers below are written without a search for the shortest digits.
const SHORT: f64 = 1e6;
/// Positive numbers in between are written as they are.
const PLAIN: std::ops::Range<f64> = 1e-4..SHORT;
/// Exponents of ten from which positive numbers, and all others, have an exponent in their text.
const POSITIVE_EXPONENT: i32 = 6;
const EXPONENT: i32 = 16;
const SMALL_EXPONENT: i32 = -4;

/// Returns the text of a sample's value or of a bound.
#[pyfunction]
pub(crate) fn go_string(value: f64) -> String {
    let mut text = String::new();
    push(&mut text, value);
    text
}

pub(crate) fn push(out: &mut String, value: f64) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    if (0.0..SHORT).contains(&value) && value.fract() == 0.0 && value.is_sign_positive() {
        out.push_str(itoa::Buffer::new().format(value as u32));
        return out.push_str(".0");
    }
    let mut buffer = ryu::Buffer::new();
    if PLAIN.contains(&value) {
        return out.push_str(buffer.format_finite(value));
    }
    // The fewest digits that read back as the same number; of two equally close ones the even one, as in Python's `repr` and unlike
    // Rust's own formatting. The text is plain for every number that is plain here.
    let text = buffer.format_finite(value.abs());
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let zeros = fraction.len() - fraction.trim_start_matches('0').len();
    let point = if whole == "0" { -1 - zeros as i32 } else { whole.len() as i32 - 1 };
    let exponent = power.parse::<i32>().unwrap_or(0) + point;
    let from = if value > 0.0 { POSITIVE_EXPONENT } else { EXPONENT };
    if value.is_sign_negative() {
        out.push('-');
    }
    if value == 0.0 || (SMALL_EXPONENT..from).contains(&exponent) {
        return out.push_str(text);
    }
    let mut digits = whole.chars().chain(fraction.chars()).skip_while(|&digit| digit == '0');
    out.extend(digits.next());
    out.push('.');
    out.extend(digits);
    // Zeros behind the point, and the point itself where no digit is left.
    out.truncate(out.trim_end_matches('0').trim_end_matches('.').len());
    let sign = if exponent < 0 { '-' } else { '+' };
    _ = write!(out, "e{sign}{:02}", exponent.abs());
}
