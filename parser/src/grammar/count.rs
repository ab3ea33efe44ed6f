//! Numbers of observations.

use std::cmp::Ordering;

/// The integer up to which an f64 skips none: 2^53. A count like `6.0` above it may have been rounded.
pub const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

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
    use crate::grammar::literal;

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
