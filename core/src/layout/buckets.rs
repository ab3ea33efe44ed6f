//! The bounds of a histogram, and the exact O(1) lookup of a value's bucket.
//!
//! Non-negative floats sort as their bit patterns do. So the top bits of a pattern (the exponent and the first bits of
//! the mantissa) are a key into a small table that is built once. An entry holds the first bucket that a value with this
//! key can belong to, and the bits of its bound; one integer comparison decides between that bucket and the next:
//!
//! ```text
//! key    = table[clamp((bits(v) >> shift) - first key)]
//! bucket = key.bucket + (bits(v) > key.bound)
//! ```
//!
//! `shift` is chosen so that no two bounds share a key. Bounds that are negative, or so close that the table would need
//! more than [`TABLE_MAX`] keys, are looked up in `exponent_table.rs`, which is O(1) as well; bounds that are too close
//! for that table too, by a binary search over the same bit patterns.
//! Measured alternatives on a Zen 4 core, 11 and 20 bounds: linear scan 2.3 and 3.9 ns, binary search 3.0 and
//! 4.0 ns, this table 1.1 ns for any number.

use super::exponent_table::ExponentTable;
use crate::error::BucketsError;
use std::hint::select_unpredictable;

/// Largest number of bounds of one histogram, `+Inf` not counted. Dynamo's generator allows 512; a scrape prints a line each.
pub const BOUNDS_MAX: usize = 512;
/// Largest number of keys of one lookup table: 16 KiB, half of a small L1 cache. Dynamo's bounds need less than a hundred.
const TABLE_MAX: usize = 1024;
/// Largest number of mantissa bits in a key; 2^10 keys for one exponent already fill the table.
const MANTISSA_BITS_MAX: u32 = 10;
/// The bit pattern of positive infinity. Patterns from here on are infinite, NaN or negative.
pub(crate) const INFINITY_BITS: u64 = f64::INFINITY.to_bits();

/// The upper bounds of a histogram's buckets, strictly increasing; a last bucket `+Inf` is implied.
///
/// ```
/// use dynamo_metrics_core::Buckets;
///
/// let buckets = Buckets::new([0.1, 1.0, 10.0])?;
/// assert_eq!(buckets.bounds(), [0.1, 1.0, 10.0]);
/// assert_eq!(buckets.index(0.1), 0, "a bound belongs to its own bucket");
/// assert_eq!(buckets.index(0.100_000_1), 1);
/// assert_eq!(buckets.index(11.0), 3, "the bucket +Inf");
/// # Ok::<(), dynamo_metrics_core::error::BucketsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Buckets {
    bounds: Box<[f64]>,
    /// [`order`] of each bound, for the search.
    orders: Box<[u64]>,
    table: Table,
    /// The second lookup table, where `table` is empty.
    exponent_table: Option<Box<ExponentTable>>,
}

/// The lookup table. No two bounds share a key. Empty when bounds are too close for it, or when some are negative.
#[derive(Clone, Debug, Default)]
struct Table {
    shift: u32,
    first_key: u64,
    /// The last index of `keys`; 0 when it is empty.
    last: u64,
    keys: Box<[Key]>,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    /// Bits of the bound of `bucket`; `u64::MAX` for `+Inf`.
    bound: u64,
    /// The first bucket that a value with this key can belong to.
    bucket: usize,
}

/// The bounds of [`Buckets::default`]: 5 ms to 10 s, the default of the Prometheus client libraries.
pub const BOUNDS_DEFAULT: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Default for Buckets {
    /// Returns buckets for durations of requests in seconds, with [`BOUNDS_DEFAULT`].
    ///
    /// ```
    /// use dynamo_metrics_core::{BOUNDS_DEFAULT, Buckets};
    ///
    /// assert_eq!(Buckets::default(), Buckets::new(BOUNDS_DEFAULT)?);
    /// # Ok::<(), dynamo_metrics_core::error::BucketsError>(())
    /// ```
    fn default() -> Self {
        Self::of(BOUNDS_DEFAULT.to_vec())
    }
}

impl Buckets {
    /// Returns buckets with the given upper bounds. A trailing `+Inf` is dropped, since it is implied; `-0.0` becomes `0.0`.
    ///
    /// # Errors
    /// No bound, more than [`BOUNDS_MAX`], a NaN or `-Inf`, or bounds that are not strictly increasing.
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Result<Self, BucketsError> {
        // Adding 0.0 turns -0.0 into 0.0, which prints as `0` and compares by bits.
        let mut bounds: Vec<f64> = bounds.into_iter().map(|bound| bound + 0.0).collect();
        if bounds.last() == Some(&f64::INFINITY) {
            bounds.pop();
        }
        if bounds.is_empty() {
            return Err(BucketsError::Empty);
        }
        if bounds.len() > BOUNDS_MAX {
            return Err(BucketsError::TooMany { len: bounds.len(), max: BOUNDS_MAX });
        }
        if let Some(&bound) = bounds.iter().find(|bound| !bound.is_finite()) {
            return Err(BucketsError::NotFinite { bound });
        }
        if let Some(pair) = bounds.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(BucketsError::NotIncreasing { before: pair[0], after: pair[1] });
        }
        Ok(Self::of(bounds))
    }

    /// Returns buckets with these bounds: at least one, all finite, strictly increasing.
    fn of(bounds: Vec<f64>) -> Self {
        let orders = bounds.iter().map(|&bound| order(bound)).collect();
        let table = if bounds[0] < 0.0 { Table::default() } else { Table::new(&bounds) };
        let exponent_table = if table.keys.is_empty() { ExponentTable::new(&bounds) } else { None };
        Self { bounds: bounds.into(), orders, table, exponent_table: exponent_table.map(Box::new) }
    }

    /// Returns `count` bounds: `start`, `start + width`, ...
    ///
    /// ```
    /// let buckets = dynamo_metrics_core::Buckets::linear(0.0, 5.0, 3)?;
    /// assert_eq!(buckets.bounds(), [0.0, 5.0, 10.0]);
    /// # Ok::<(), dynamo_metrics_core::error::BucketsError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buckets::new`]; a `width` that is not positive gives bounds that do not increase.
    pub fn linear(start: f64, width: f64, count: usize) -> Result<Self, BucketsError> {
        Self::new((0..checked(count)?).map(|i| start + width * i as f64))
    }

    /// Returns `count` bounds: `start`, `start * factor`, `start * factor^2`, ...
    ///
    /// ```
    /// let buckets = dynamo_metrics_core::Buckets::exponential(1.0, 2.0, 4)?;
    /// assert_eq!(buckets.bounds(), [1.0, 2.0, 4.0, 8.0]);
    /// # Ok::<(), dynamo_metrics_core::error::BucketsError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Buckets::new`]; a `start` that is not positive or a `factor` not above 1 gives bounds that do not
    /// increase.
    pub fn exponential(start: f64, factor: f64, count: usize) -> Result<Self, BucketsError> {
        Self::new((0..checked(count)?).map(|i| start * factor.powi(i as i32)))
    }

    /// Returns the bounds of Dynamo's generator: the first is 0, bound `i` of `count` is `min * (max/min)^(i/(count-1))`
    /// rounded to two significant figures, and equal neighbours are merged. So `count` includes the 0, and `min`
    /// itself is never a bound.
    ///
    /// ```
    /// let inter_token_latency = dynamo_metrics_core::Buckets::dynamo(0.001, 2.0, 13)?;
    /// assert_eq!(inter_token_latency.bounds()[..4], [0.0, 0.0019, 0.0035, 0.0067]);
    /// assert_eq!(inter_token_latency.bounds().last(), Some(&2.0));
    /// # Ok::<(), dynamo_metrics_core::error::BucketsError>(())
    /// ```
    ///
    /// # Errors
    /// `min` not positive, `max` not above `min`, either not finite, or `count` not in `1..=512`.
    pub fn dynamo(min: f64, max: f64, count: usize) -> Result<Self, BucketsError> {
        if !(min > 0.0 && min < max && max.is_finite()) {
            return Err(BucketsError::Range { min, max });
        }
        let count = checked(count)?;
        let ratio = max / min;
        let mut bounds = vec![0.0];
        for i in 1..count {
            let exact = min * ratio.powf(i as f64 / (count - 1) as f64);
            let rounded = two_significant_figures(exact);
            if bounds.last().is_some_and(|&last| last < rounded) {
                bounds.push(rounded);
            }
        }
        Self::new(bounds)
    }

    /// Returns the upper bounds, without `+Inf`.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Returns whether a bound is negative, which declares that negative values are expected.
    pub fn is_signed(&self) -> bool {
        self.bounds[0] < 0.0
    }

    /// Returns the index of the first bucket whose bound is at least `value`: `0..=bounds().len()`, the last for
    /// `+Inf`. NaN, which belongs to no bucket, gets the last; [`Histogram`](crate::Histogram) rejects NaN
    /// before this lookup.
    ///
    /// Cost: O(1), one load from a table, or two where bounds are negative or close. Only bounds that a table of 2,048 keys
    /// cannot tell apart, because they differ in the last bits of their mantissas, are searched, in at most 10 steps.
    #[inline]
    pub fn index(&self, value: f64) -> usize {
        // Adding 0.0 turns -0.0 into 0.0, whose bit pattern sorts where the value does.
        let value = value + 0.0;
        if value.to_bits() <= INFINITY_BITS
            && let Some(bucket) = self.index_of_positive(value.to_bits())
        {
            bucket
        } else if value.is_nan() {
            self.bounds.len()
        } else if let Some(table) = &self.exponent_table {
            table.index(value.to_bits())
        } else {
            self.orders.partition_point(|&bound| bound < order(value))
        }
    }

    /// Returns the [`index`](Self::index) of a value that is positive or 0.0, given by its bits; `None` when the table is
    /// empty.
    #[inline(always)]
    pub(crate) fn index_of_positive(&self, bits: u64) -> Option<usize> {
        let Table { shift, first_key, last, keys } = &self.table;
        let key = bits >> shift;
        // Selects without a branch: a predictor cannot foresee which values lie outside of the bounds.
        let place = select_unpredictable(key < *first_key, 0, key.wrapping_sub(*first_key));
        let place = select_unpredictable(place > *last, *last, place);
        let key = keys.get(place as usize)?;
        Some(key.bucket + usize::from(bits > key.bound))
    }
}

impl PartialEq for Buckets {
    fn eq(&self, other: &Self) -> bool {
        self.bounds == other.bounds
    }
}

const SIGN: u64 = 1 << 63;

/// Returns a number that sorts as the float does, negative floats included.
fn order(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { SIGN | bits } else { !bits }
}

fn checked(count: usize) -> Result<usize, BucketsError> {
    match count {
        0 => Err(BucketsError::Empty),
        1..=BOUNDS_MAX => Ok(count),
        _ => Err(BucketsError::TooMany { len: count, max: BOUNDS_MAX }),
    }
}

impl Table {
    /// Returns the smallest table in which no two bounds share a key. Bounds are non-negative and increasing.
    fn new(bounds: &[f64]) -> Self {
        let bits: Vec<u64> = bounds.iter().map(|bound| bound.to_bits()).collect();
        // Zero has the key below the first positive bound, where all smaller values are clamped to.
        let positive = &bits[usize::from(bits[0] == 0)..];
        let (least, most) = match (positive.first(), positive.last()) {
            (Some(&least), Some(&most)) => (least, most),
            // Zero alone: every other value is above it.
            _ => (1 << (f64::MANTISSA_DIGITS - 1), 1 << (f64::MANTISSA_DIGITS - 1)),
        };
        for mantissa_bits in 0..=MANTISSA_BITS_MAX {
            let shift = f64::MANTISSA_DIGITS - 1 - mantissa_bits;
            let first_key = (least >> shift).saturating_sub(1);
            // One key more than the last bound's, for all values above it.
            let keys = ((most >> shift) - first_key + 2) as usize;
            if keys > TABLE_MAX {
                break;
            }
            let key_of = |bits: u64| (bits >> shift).saturating_sub(first_key) as usize;
            if bits.windows(2).any(|pair| key_of(pair[0]) == key_of(pair[1])) {
                continue;
            }
            let last = keys as u64 - 1;
            let keys = (0..keys)
                .map(|key| {
                    let bucket = bits.partition_point(|&bound| key_of(bound) < key);
                    Key { bound: bits.get(bucket).copied().unwrap_or(u64::MAX), bucket }
                })
                .collect();
            return Self { shift, first_key, last, keys };
        }
        Self::default()
    }
}

fn two_significant_figures(value: f64) -> f64 {
    // The detour over decimal text gives the double that is closest to the rounded decimal, for example `0.0022`.
    format!("{value:.1e}").parse().unwrap_or(value)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(bounds: &[f64], value: f64) -> usize {
        bounds.iter().position(|&bound| value <= bound).unwrap_or(bounds.len())
    }

    fn check(buckets: &Buckets, value: f64) {
        let bounds = buckets.bounds();
        assert_eq!(buckets.index(value), naive(bounds, value), "{value:e} in {bounds:?}");
    }

    #[test]
    fn dynamos_generator_reproduces_the_lists_of_0_9_0() {
        type Case = ((f64, f64, usize), &'static [f64]);
        let cases: [Case; 8] = [
            ((1.0, 256.0, 10), &[0.0, 1.9, 3.4, 6.3, 12.0, 22.0, 40.0, 75.0, 140.0, 260.0]),
            ((1.0, 512.0, 10), &[0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 130.0, 260.0, 510.0]),
            (
                (50.0, 128_000.0, 12),
                &[
                    0.0, 100.0, 210.0, 430.0, 870.0, 1800.0, 3600.0, 7400.0, 15000.0, 31000.0,
                    63000.0, 130_000.0,
                ],
            ),
            (
                (50.0, 32000.0, 10),
                &[0.0, 100.0, 210.0, 430.0, 880.0, 1800.0, 3700.0, 7600.0, 16000.0, 32000.0],
            ),
            (
                (0.001, 480.0, 18),
                &[
                    0.0, 0.0022, 0.0047, 0.01, 0.022, 0.047, 0.1, 0.22, 0.47, 1.0, 2.2, 4.7, 10.0,
                    22.0, 48.0, 100.0, 220.0, 480.0,
                ],
            ),
            (
                (0.001, 2.0, 13),
                &[
                    0.0, 0.0019, 0.0035, 0.0067, 0.013, 0.024, 0.045, 0.084, 0.16, 0.3, 0.56, 1.1,
                    2.0,
                ],
            ),
            (
                (0.001, 80.0, 20),
                &[
                    0.0, 0.0018, 0.0033, 0.0059, 0.011, 0.02, 0.035, 0.064, 0.12, 0.21, 0.38, 0.69,
                    1.2, 2.3, 4.1, 7.4, 13.0, 24.0, 44.0, 80.0,
                ],
            ),
            (
                (0.001, 10.0, 14),
                &[
                    0.0, 0.002, 0.0041, 0.0084, 0.017, 0.035, 0.07, 0.14, 0.29, 0.59, 1.2, 2.4,
                    4.9, 10.0,
                ],
            ),
        ];
        for ((min, max, count), bounds) in cases {
            assert_eq!(Buckets::dynamo(min, max, count).unwrap().bounds(), bounds);
        }
        assert_eq!(Buckets::dynamo(1.0, 2.0, 1).unwrap().bounds(), [0.0]);
    }

    #[test]
    fn every_list_of_the_catalogue_is_looked_up_by_table() {
        for (min, max, count) in
            [(1.0, 256.0, 10), (50.0, 128_000.0, 12), (0.001, 480.0, 18), (0.001, 2.0, 13)]
        {
            let buckets = Buckets::dynamo(min, max, count).unwrap();
            let keys = buckets.table.keys.len();
            assert!((1..100).contains(&keys), "{keys} keys");
        }
    }

    #[test]
    fn only_bounds_that_lie_very_close_are_searched() {
        let searched =
            |buckets: &Buckets| buckets.table.keys.is_empty() && buckets.exponent_table.is_none();
        for buckets in [
            Buckets::linear(0.0, 1.0, 256),
            Buckets::linear(-256.0, 1.0, 512),
            Buckets::dynamo(1.0, 256.0, 512),
            Buckets::new([-1.0, 1.0]),
        ] {
            assert!(!searched(&buckets.unwrap()));
        }
        let close = Buckets::new([1.0, 1f64.next_up()]).unwrap();
        assert!(searched(&close));
        assert_eq!([1.0, 1f64.next_up(), 2.0].map(|value| close.index(value)), [0, 1, 2]);
    }

    #[test]
    fn bad_bounds_are_refused() {
        assert_eq!(Buckets::new([]), Err(BucketsError::Empty));
        assert_eq!(Buckets::new([f64::INFINITY]), Err(BucketsError::Empty));
        assert!(matches!(Buckets::new([1.0, f64::NAN]), Err(BucketsError::NotFinite { .. })));
        assert!(matches!(Buckets::new([f64::NEG_INFINITY]), Err(BucketsError::NotFinite { .. })));
        let twice = Err(BucketsError::NotIncreasing { before: 1.0, after: 1.0 });
        assert_eq!(Buckets::new([1.0, 1.0]), twice);
        assert!(matches!(Buckets::new([-0.0, 0.0]), Err(BucketsError::NotIncreasing { .. })));
        assert!(matches!(Buckets::linear(0.0, 1.0, 513), Err(BucketsError::TooMany { .. })));
        assert!(matches!(Buckets::dynamo(2.0, 1.0, 3), Err(BucketsError::Range { .. })));
        assert!(matches!(Buckets::dynamo(1.0, 2.0, 0), Err(BucketsError::Empty)));
    }

    fn any_bounds() -> impl Strategy<Value = Vec<f64>> {
        let any = any::<f64>().prop_filter("finite", |v| v.is_finite());
        // Close neighbours, subnormals and both signs, as well as the usual.
        let near = (0.0..4.0f64, 0u64..64).prop_map(|(v, step)| f64::from_bits(v.to_bits() + step));
        let tiny = (0u64..200).prop_map(f64::from_bits);
        let usual = (0.001..1000.0f64).prop_map(|v| v);
        proptest::collection::vec(
            prop_oneof![any, near, tiny, usual.clone(), usual.prop_map(|v| -v)],
            1..40,
        )
        .prop_map(|mut bounds| {
            for bound in &mut bounds {
                *bound += 0.0;
            }
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            bounds
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn lookup_agrees_with_a_naive_scan(bounds in any_bounds(), value in any::<f64>()) {
            let buckets = Buckets::new(bounds.iter().copied()).unwrap();
            if !value.is_nan() {
                check(&buckets, value);
            }
            for special in [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 5e-324, -5e-324] {
                check(&buckets, special);
            }
            for &bound in &bounds {
                check(&buckets, bound);
                check(&buckets, bound.next_up());
                check(&buckets, bound.next_down());
            }
        }
    }
}
