//! Numbers as `prometheus_client` writes them: Python's `repr`, with exponents from a million on, as in Go.

use pyo3::prelude::*;
use std::fmt::Write;

/// Whole numbers below are written without a search for the shortest digits.
const SHORT: f64 = 1e6;
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
        _ = write!(out, "{}.0", value as u32);
        return;
    }
    // The shortest digits that read back as the same number, which `repr` prints, too.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let from = if value > 0.0 { POSITIVE_EXPONENT } else { EXPONENT };
    if (SMALL_EXPONENT..from).contains(&exponent) {
        _ = write!(out, "{value:?}"); // digits and a point, at least one digit behind it
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
    }
}
