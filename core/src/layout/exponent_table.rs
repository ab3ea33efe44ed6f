//! The exact O(1) lookup of a value's bucket for bounds of both signs, and for bounds in equal steps.
//!
//! The table of `buckets.rs` splits the range of every exponent into equally many keys, so bounds in equal steps need too
//! many of them; and it has no negative bounds. Here the range of each exponent has as many keys as its own bounds need:
//!
//! ```text
//! range  = ranges[exponent(v) - first exponent]
//! key    = keys[range.first + (mantissa(v) >> range.shift)]
//! bucket = key.bucket + (bits(v) > key.bound)
//! ```
//!
//! That is two dependent loads instead of one, so this table serves only where the first is empty. Negative values are
//! looked up by their magnitude in a table of the negative bounds' magnitudes, and counted from the other end.
//!
//! **Bounded**: at most [`KEYS_MAX`] keys for each sign. Bounds that are too close for that, because they differ only in
//! the last bits, have no table; `buckets.rs` searches them.

/// Largest number of keys for one sign: 32 KiB. 512 bounds in equal steps need all of them, 512 bounds of Dynamo's
/// generator a thousand.
const KEYS_MAX: usize = 2048;
/// Largest number of mantissa bits in a key; one more would need more than [`KEYS_MAX`] keys.
const MANTISSA_BITS_MAX: u32 = KEYS_MAX.ilog2();
const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;
/// The exponent of infinity, above that of every bound.
const EXPONENT_MAX: u64 = f64::INFINITY.to_bits() >> MANTISSA_BITS;
const SIGN: u64 = 1 << 63;

/// A lookup table for bounds of both signs.
#[derive(Clone, Debug)]
pub(crate) struct ExponentTable {
    /// Magnitudes of the bounds below zero, ascending.
    negative: MagnitudeTable,
    /// The number of bounds below zero.
    negative_len: usize,
    positive: MagnitudeTable,
}

/// A lookup table for bounds that are not negative.
#[derive(Clone, Debug)]
struct MagnitudeTable {
    /// The exponent of the first range.
    exponent: u64,
    ranges: Box<[Range]>,
    /// The first key is for values below all ranges, the last for values above them.
    keys: Box<[Key]>,
}

/// The keys of all values with one exponent.
#[derive(Clone, Copy, Debug)]
struct Range {
    /// Its first index in `keys`.
    first: u32,
    /// The number of low mantissa bits that its keys leave out.
    shift: u32,
}

/// An interval of values with at most one bound in it.
#[derive(Clone, Copy, Debug)]
struct Key {
    /// Bits of the bound of `bucket`; `u64::MAX` for `+Inf`.
    bound: u64,
    /// The first bucket that a value with this key can belong to.
    bucket: usize,
}

impl ExponentTable {
    /// Returns the table of increasing bounds; `None` when they are too close.
    pub(crate) fn new(bounds: &[f64]) -> Option<Self> {
        let (negative, positive) = bounds.split_at(bounds.partition_point(|&bound| bound < 0.0));
        let magnitudes: Vec<u64> = negative.iter().rev().map(|bound| (-bound).to_bits()).collect();
        let bits: Vec<u64> = positive.iter().map(|bound| bound.to_bits()).collect();
        Some(Self {
            negative: MagnitudeTable::new(&magnitudes)?,
            negative_len: negative.len(),
            positive: MagnitudeTable::new(&bits)?,
        })
    }

    /// Returns the bucket of a value that is neither NaN nor -0.0, given by its bits.
    pub(crate) fn index(&self, bits: u64) -> usize {
        if bits & SIGN == 0 {
            let key = self.positive.key(bits);
            self.negative_len + key.bucket + usize::from(bits > key.bound)
        } else {
            // The bounds below the value are those with a larger magnitude.
            let magnitude = bits & !SIGN;
            let key = self.negative.key(magnitude);
            self.negative_len - (key.bucket + usize::from(magnitude >= key.bound))
        }
    }
}

impl MagnitudeTable {
    /// Returns the table of increasing bounds, given by their bits.
    fn new(bounds: &[u64]) -> Option<Self> {
        let key_from = |begin: u64| {
            let bucket = bounds.partition_point(|&bound| bound < begin);
            Key { bound: bounds.get(bucket).copied().unwrap_or(u64::MAX), bucket }
        };
        // Zero is below all ranges: in the range of subnormals no bits would tell it from them.
        let positive = &bounds[usize::from(bounds.first() == Some(&0))..];
        let exponents = match (positive.first(), positive.last()) {
            (Some(least), Some(most)) => least >> MANTISSA_BITS..(most >> MANTISSA_BITS) + 1,
            _ => EXPONENT_MAX..EXPONENT_MAX,
        };
        let exponent = exponents.start;
        let (mut ranges, mut keys) = (Vec::new(), vec![key_from(0)]);
        for exponent in exponents {
            let begin = exponent << MANTISSA_BITS;
            let first = positive.partition_point(|&bound| bound < begin);
            let end = positive.partition_point(|&bound| bound >> MANTISSA_BITS <= exponent);
            let pairs = positive[first..end].windows(2);
            // The number of mantissa bits that tells neighbours apart; sign and exponent are the same.
            let differ =
                |pair: &[u64]| (pair[0] ^ pair[1]).leading_zeros() + 1 + MANTISSA_BITS - u64::BITS;
            let used = pairs.map(differ).max().unwrap_or(0);
            if used > MANTISSA_BITS_MAX || keys.len() + (1 << used) >= KEYS_MAX {
                return None;
            }
            let shift = MANTISSA_BITS - used;
            ranges.push(Range { first: keys.len() as u32, shift });
            let begins = (0..1u64 << used).map(|key| begin + (key << shift));
            keys.extend(begins.map(|begin| key_from(begin.max(1))));
        }
        keys.push(Key { bound: u64::MAX, bucket: bounds.len() });
        Some(Self { exponent, ranges: ranges.into(), keys: keys.into() })
    }

    fn key(&self, bits: u64) -> Key {
        let exponent = bits >> MANTISSA_BITS;
        let place = if exponent < self.exponent || bits == 0 {
            0
        } else if let Some(range) = self.ranges.get((exponent - self.exponent) as usize) {
            range.first as usize + ((bits & MANTISSA) >> range.shift) as usize
        } else {
            self.keys.len() - 1
        };
        self.keys[place]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Buckets;

    fn naive(bounds: &[f64], value: f64) -> usize {
        bounds.iter().position(|&bound| value <= bound).unwrap_or(bounds.len())
    }

    /// Checks bounds, their neighbours, values between them, and special values.
    fn check(bounds: &[f64]) {
        let table = ExponentTable::new(bounds).expect("few enough keys");
        let special = [0.0, 5e-324, -5e-324, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY];
        let near =
            bounds.iter().flat_map(|&b| [b, b.next_up(), b.next_down(), b * 1.01, b * 0.5, -b]);
        for value in near.chain(special).map(|value| value + 0.0) {
            let index = table.index(value.to_bits());
            assert_eq!(index, naive(bounds, value), "{value:e} in {bounds:?}");
        }
    }

    #[test]
    fn bounds_in_equal_steps_negative_and_generated_bounds_have_tables() {
        for (start, count) in [(0.0, 256), (0.0, 512), (-50.0, 101), (-511.0, 512), (-256.0, 512)] {
            check(Buckets::linear(start, 1.0, count).unwrap().bounds());
        }
        check(Buckets::dynamo(1.0, 256.0, 512).unwrap().bounds());
        check(Buckets::dynamo(1e-3, 1e6, 512).unwrap().bounds());
        for bounds in [&[-1.0][..], &[-2.0, -1.0], &[-1.0, 0.0], &[-1.0, 1.0], &[0.0], &[-5e-324]] {
            check(bounds);
        }
        check(&[-1e200, -1.5, -1.25, -5e-324, 0.0, 5e-324, 1.0, 1.0625, 1e200]);
        check(&[0.0, 5e-324, 1e-310, 2e-310, 1.0]);
    }

    #[test]
    fn bounds_that_are_too_close_have_no_table() {
        assert!(ExponentTable::new(&[1.0, 1.0f64.next_up()]).is_none());
        assert!(ExponentTable::new(&[(-1.0f64).next_down(), -1.0]).is_none());
    }
}
