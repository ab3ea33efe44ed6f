//! Bounds of histograms of integers, and the lookup of an integer's bucket.
//!
//! A value is a number of **units**: nanoseconds of a histogram in seconds, or tokens of one in tokens. Each bound becomes the
//! largest number of units that it holds. Integers below 2^52 become floats without rounding and without a conversion, so the
//! table of `buckets.rs` finds their bucket, given these bounds; larger ones are searched.
//!
//! ```text
//! bounds       0.0022 s           0.47 s
//! units        2_200_000          470_000_000
//! ```

use super::Buckets;
use crate::error::BucketsError;
use std::fmt;

/// Units above this number may round when they become floats.
const EXACT_MAX: u64 = 1 << f64::MANTISSA_DIGITS;
const TWO_TO_THE_52: f64 = 4_503_599_627_370_496.0;

/// The unit that a histogram of integers records in, as a part of the unit that it shows.
///
/// ```
/// use dynamo_metrics_core::Scale;
///
/// assert_eq!(Scale::Nano.per_one(), 1_000_000_000);
/// assert_eq!(Scale::Micro.to_string(), "1e-6");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scale {
    /// The unit itself: tokens, bytes.
    One,
    /// A thousandth: milliseconds of a histogram in seconds.
    Milli,
    /// A millionth: microseconds of a histogram in seconds.
    Micro,
    /// A billionth: nanoseconds of a histogram in seconds.
    Nano,
}

impl Scale {
    /// Returns the number of digits behind the point: 0, 3, 6 or 9.
    #[inline]
    pub const fn digits(self) -> usize {
        match self {
            Self::One => 0,
            Self::Milli => 3,
            Self::Micro => 6,
            Self::Nano => 9,
        }
    }

    /// Returns the number of recorded units in one unit that is shown: 1, a thousand, a million or a billion.
    #[inline]
    pub const fn per_one(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Milli => 1_000,
            Self::Micro => 1_000_000,
            Self::Nano => 1_000_000_000,
        }
    }

    /// Returns the `n`th part of a number of units, for `n > 0`, as a float: the nearest one below 2^52 units, and within a unit of
    /// its last place beyond.
    ///
    /// ```
    /// use dynamo_metrics_core::Scale;
    ///
    /// assert_eq!(Scale::Nano.fraction(6_600_000, 3), 0.0022);
    /// ```
    #[inline]
    pub fn fraction(self, units: u64, n: u64) -> f64 {
        // One division, so that 1.9 ms is the double closest to 0.0019 and falls into the bucket of that name.
        let units = match exact_float(units) {
            Some(units) => units,
            None => far(units),
        };
        units / (self.per_one() as f64 * n as f64)
    }

    /// Returns a number of units as the nearest `f64`.
    ///
    /// ```
    /// use dynamo_metrics_core::Scale;
    ///
    /// assert_eq!(Scale::Nano.to_f64(2_200_000), 0.0022);
    /// assert_eq!(Scale::Milli.to_f64(u64::MAX), 18_446_744_073_709_551.615);
    /// ```
    #[inline]
    pub fn to_f64(self, units: u64) -> f64 {
        if units <= EXACT_MAX {
            // Both are exact, so the quotient is rounded once.
            return units as f64 / self.per_one() as f64;
        }
        // The quotient with 64 binary digits behind the point. It has more than 80 in all, so a last one that says whether
        // there is more behind it makes the one rounding right.
        let (shifted, divisor) = (u128::from(units) << 64, u128::from(self.per_one()));
        let quotient = (shifted / divisor) | u128::from(shifted % divisor != 0);
        quotient as f64 / (1u128 << 64) as f64
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("1"),
            _ => write!(f, "1e-{}", self.digits()),
        }
    }
}

/// The bounds of a histogram of integers, in units.
#[derive(Debug)]
pub(crate) struct IntegerLayout {
    pub(crate) scale: Scale,
    /// The same numbers as `bounds`, as floats.
    buckets: Buckets,
    /// The largest number of units in each bucket but the last.
    bounds: Box<[u64]>,
}

impl IntegerLayout {
    /// Returns the layout of these bounds; an error if one is negative, or if two are equal in whole units.
    pub(crate) fn new(buckets: &Buckets, scale: Scale) -> Result<Self, BucketsError> {
        let refused = |bound| BucketsError::NotInteger { bound, per_one: scale.per_one() };
        let mut bounds: Vec<u64> = Vec::with_capacity(buckets.bounds().len());
        for &bound in buckets.bounds() {
            let units = units_up_to(bound, scale).ok_or_else(|| refused(bound))?;
            if bounds.last().is_some_and(|&last| last >= units) {
                return Err(refused(bound));
            }
            bounds.push(units);
        }
        let buckets = Buckets::new(bounds.iter().map(|&units| units as f64));
        // Bounds come from floats, so those beyond 2^53 units are floats still, and none is equal to another.
        let buckets_end = bounds.last().map_or(0.0, |&units| scale.to_f64(units));
        let buckets = buckets.map_err(|_| refused(buckets_end))?;
        Ok(Self { scale, buckets, bounds: bounds.into() })
    }

    /// Returns the number of buckets: one for each bound, and one for `+Inf`.
    pub(crate) fn buckets_len(&self) -> usize {
        self.bounds.len() + 1
    }

    /// Returns the index of the first bucket whose bound is at least `units`.
    #[inline(always)]
    pub(crate) fn index(&self, units: u64) -> usize {
        match self.usual_index(units) {
            Some(bucket) => bucket,
            None => self.bounds.partition_point(|&bound| bound < units),
        }
    }

    /// Returns the index of a value that the table knows; `None` for others.
    #[inline(always)]
    pub(crate) fn usual_index(&self, units: u64) -> Option<usize> {
        self.buckets.index_of_positive(exact_float(units)?.to_bits())
    }
}

impl fmt::Display for IntegerLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scale.fmt(f)
    }
}

/// Returns an integer below 2^52 as a float; `None` for others.
#[inline(always)]
fn exact_float(integer: u64) -> Option<f64> {
    // The number as the mantissa of 2^52 + number. The conversion instruction of x86-64 depends on the former value of its
    // register, which in a token loop is the last token's sum (measured: 15 ns a token instead of 4).
    (integer < 1 << 52).then(|| f64::from_bits(TWO_TO_THE_52.to_bits() | integer) - TWO_TO_THE_52)
}

/// Converts numbers that [`exact_float`] does not. Not inlined: the compiler would compute both conversions for every token.
#[cold]
#[inline(never)]
fn far(integer: u64) -> f64 {
    integer as f64
}

/// Returns the largest number of units that, as a float, is at most `bound`; `None` for a negative bound.
fn units_up_to(bound: f64, scale: Scale) -> Option<u64> {
    if bound < 0.0 {
        return None;
    }
    // Within a unit or two, since the product is rounded. A bound beyond `u64` holds every value.
    let mut units = (bound * scale.per_one() as f64) as u64;
    if units > EXACT_MAX {
        return Some(units);
    }
    while scale.to_f64(units) > bound {
        units -= 1;
    }
    while scale.to_f64(units + 1) <= bound {
        units += 1;
    }
    Some(units)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCALES: [Scale; 4] = [Scale::One, Scale::Milli, Scale::Micro, Scale::Nano];

    #[test]
    fn a_bound_holds_the_units_that_it_says() {
        let bounds = [0.0, 0.0022, 0.0047, 0.01, 0.022, 0.1, 0.47, 1.0, 2.5, 480.0];
        let layout = IntegerLayout::new(&Buckets::new(bounds).unwrap(), Scale::Nano).unwrap();
        let micros = [0, 2_200, 4_700, 10_000, 22_000, 100_000, 470_000, 1_000_000, 2_500_000];
        assert_eq!(&layout.bounds[..9], micros.map(|micros| micros * 1000));
        assert_eq!(layout.index(2_200_000), 1, "a bound belongs to its own bucket");
        assert_eq!(layout.index(2_200_001), 2);
        assert_eq!(layout.index(0), 0);
        assert_eq!(layout.index(u64::MAX), 10);
    }

    #[test]
    fn bounds_within_one_unit_or_below_zero_are_refused() {
        let refused = |bounds: &[f64], scale, bound| {
            let buckets = Buckets::new(bounds.iter().copied()).unwrap();
            let error = IntegerLayout::new(&buckets, scale).unwrap_err();
            assert_eq!(error, BucketsError::NotInteger { bound, per_one: scale.per_one() });
        };
        refused(&[1.0, 1.5], Scale::One, 1.5);
        refused(&[0.001, 0.001_000_000_1], Scale::Nano, 0.001_000_000_1);
        refused(&[-1.0, 1.0], Scale::Milli, -1.0);
        let far = 2f64.powi(60);
        refused(&[1.0, far, far.next_up()], Scale::Nano, far.next_up());
    }

    proptest! {
        #[test]
        fn the_bucket_is_that_of_the_float(
            bounds in prop::collection::btree_set(0u64..5_000_000_000, 1..40),
            units in prop::collection::vec(0u64..6_000_000_000, 200),
        ) {
            for scale in SCALES {
                let buckets = Buckets::new(bounds.iter().map(|&units| scale.to_f64(units))).unwrap();
                let layout = IntegerLayout::new(&buckets, scale).unwrap();
                let edges = bounds.iter().flat_map(|&bound| [bound.saturating_sub(1), bound, bound + 1]);
                for units in units.iter().copied().chain(edges) {
                    prop_assert_eq!(layout.index(units), buckets.index(scale.to_f64(units)), "{}", units);
                }
            }
        }

        #[test]
        fn units_become_the_nearest_float(units in any::<u64>()) {
            for scale in SCALES {
                let (whole, part) = (units / scale.per_one(), units % scale.per_one());
                let text = format!("{whole}.{part:0width$}", width = scale.digits());
                prop_assert_eq!(scale.to_f64(units), text.parse::<f64>().unwrap(), "{}", text);
            }
        }
    }
}
