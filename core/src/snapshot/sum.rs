//! The sum of a histogram, as it was recorded: a float, or a whole number of units.

use crate::layout::IntegerSum;
use std::fmt;

/// The sum of the observations of a histogram.
///
/// ```
/// use dynamo_metrics_core::snapshot::Sum;
/// use dynamo_metrics_core::{IntegerSum, Scale};
///
/// let sum = Sum::Integer(IntegerSum { units: 1_500_000_001, scale: Scale::Nano });
/// assert_eq!(sum.to_f64(), 1.500000001);
/// assert_eq!(Sum::Float(1.5), 1.5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// The sum of a histogram of floats: each thread has rounded on its own.
    Float(f64),
    /// The sum of a histogram of integers, which is exact.
    Integer(IntegerSum),
}

impl Sum {
    /// Returns the nearest `f64`.
    #[inline]
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Float(sum) => sum,
            Self::Integer(sum) => sum.to_f64(),
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(sum) => sum.fmt(f),
            Self::Integer(sum) => sum.fmt(f),
        }
    }
}

impl From<f64> for Sum {
    fn from(sum: f64) -> Self {
        Self::Float(sum)
    }
}

impl PartialEq<f64> for Sum {
    /// Compares the nearest `f64`.
    fn eq(&self, other: &f64) -> bool {
        self.to_f64() == *other
    }
}
