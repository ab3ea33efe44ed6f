//! The sum of a histogram of integers: a whole number of units, which shows as an exact decimal number.

use super::Scale;
use std::fmt;

/// A whole number of units, which shows as an exact decimal number.
///
/// ```
/// use dynamo_metrics_core::{IntegerSum, Scale};
///
/// let sum = |units, scale| IntegerSum { units, scale }.to_string();
/// assert_eq!(sum(1_050, Scale::Milli), "1.05");
/// assert_eq!(sum(u64::MAX, Scale::Nano), "18446744073.709551615");
/// assert_eq!(sum(7, Scale::One), "7");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerSum {
    /// The number of units, modulo 2^64.
    pub units: u64,
    /// The unit.
    pub scale: Scale,
}

impl IntegerSum {
    /// Returns the nearest `f64`.
    #[inline]
    pub fn to_f64(self) -> f64 {
        self.scale.to_f64(self.units)
    }
}

impl PartialEq<f64> for IntegerSum {
    /// Compares the nearest `f64`.
    fn eq(&self, other: &f64) -> bool {
        self.to_f64() == *other
    }
}

impl fmt::Display for IntegerSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.units / self.scale.per_one(), self.units % self.scale.per_one());
        if part == 0 {
            return write!(f, "{whole}");
        }
        let part = format!("{part:0width$}", width = self.scale.digits());
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}
