//! The spelling of bounds and quantiles in OpenMetrics.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::literal;

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
}
