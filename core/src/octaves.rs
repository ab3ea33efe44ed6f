//! The lookup of a value's bucket for bounds that one table cannot hold: a table for each octave, for both signs.
//!
//! The table of `buckets.rs` splits all octaves alike, so bounds in equal steps make it as fine everywhere as the last
//! octave needs it, and it knows no negative bounds. Here each octave is split as its own bounds need it:
//!
//! ```text
//! octave = octaves[exponent(v) - first exponent]
//! key    = keys[octave.first + (mantissa(v) >> octave.shift)]
//! bucket = key.bucket + (bits(v) > key.bound)
//! ```
//!
//! Two dependent loads instead of one, so it is asked only where that table is not to be had. Values below zero are looked
//! up by their magnitude in a table of the negative bounds' magnitudes, and counted from the other end.
//!
//! **Bounded**: at most [`KEYS_MAX`] keys for each sign. Bounds that lie closer than that, as neighbours in the last bits,
//! have no table here either; then `buckets.rs` searches.

/// Keys for one sign: 32 KiB. 512 bounds in equal steps need as many, 512 bounds of Dynamo's generator a thousand.
const KEYS_MAX: usize = 2048;
/// Bits of the mantissa that one octave may use; more would be more than [`KEYS_MAX`] keys.
const MANTISSA_BITS_MAX: u32 = KEYS_MAX.ilog2();
const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;
/// The exponent of infinity, above that of every bound.
const EXPONENT_MAX: u64 = f64::INFINITY.to_bits() >> MANTISSA_BITS;
const SIGN: u64 = 1 << 63;

/// Tables for bounds of either sign.
#[derive(Clone, Debug)]
pub(crate) struct SignedOctaves {
    /// Magnitudes of the bounds below zero, ascending.
    negative: Octaves,
    /// How many bounds are below zero.
    negative_len: usize,
    positive: Octaves,
}

/// Tables for bounds that are not negative.
#[derive(Clone, Debug)]
struct Octaves {
    /// The exponent of the first octave.
    exponent: u64,
    octaves: Box<[Octave]>,
    /// The first is for values below all octaves, the last for those above.
    keys: Box<[Key]>,
}

#[derive(Clone, Copy, Debug)]
struct Octave {
    /// Its first place in `keys`.
    first: u32,
    /// What it does not use of the mantissa.
    shift: u32,
}

/// A range of values in which there is at most one bound.
#[derive(Clone, Copy, Debug)]
struct Key {
    /// Bits of the bound of `bucket`; `u64::MAX` for `+Inf`.
    bound: u64,
    /// The first bucket that a value with this key can fall into.
    bucket: usize,
}

impl SignedOctaves {
    /// `None` when the bounds, which increase, lie too close.
    pub(crate) fn new(bounds: &[f64]) -> Option<Self> {
        let (negative, positive) = bounds.split_at(bounds.partition_point(|&bound| bound < 0.0));
        let magnitudes: Vec<u64> = negative.iter().rev().map(|bound| (-bound).to_bits()).collect();
        let bits: Vec<u64> = positive.iter().map(|bound| bound.to_bits()).collect();
        Some(Self {
            negative: Octaves::new(&magnitudes)?,
            negative_len: negative.len(),
            positive: Octaves::new(&bits)?,
        })
    }

    /// The bucket of a value, which is neither NaN nor -0.0, given by its bits.
    pub(crate) fn index(&self, bits: u64) -> usize {
        if bits & SIGN == 0 {
            let key = self.positive.key(bits);
            self.negative_len + key.bucket + usize::from(bits > key.bound)
        } else {
            // As many bounds lie below the value as have a magnitude above its own.
            let magnitude = bits & !SIGN;
            let key = self.negative.key(magnitude);
            self.negative_len - (key.bucket + usize::from(magnitude >= key.bound))
        }
    }
}

impl Octaves {
    /// Of the bits of bounds that increase.
    fn new(bounds: &[u64]) -> Option<Self> {
        let key_from = |begin: u64| {
            let bucket = bounds.partition_point(|&bound| bound < begin);
            Key { bound: bounds.get(bucket).copied().unwrap_or(u64::MAX), bucket }
        };
        // Zero is below all octaves, the one of subnormals included: or no bits would tell it from those.
        let positive = &bounds[usize::from(bounds.first() == Some(&0))..];
        let exponents = match (positive.first(), positive.last()) {
            (Some(least), Some(most)) => least >> MANTISSA_BITS..(most >> MANTISSA_BITS) + 1,
            _ => EXPONENT_MAX..EXPONENT_MAX,
        };
        let exponent = exponents.start;
        let (mut octaves, mut keys) = (Vec::new(), vec![key_from(0)]);
        for exponent in exponents {
            let begin = exponent << MANTISSA_BITS;
            let first = positive.partition_point(|&bound| bound < begin);
            let end = positive.partition_point(|&bound| bound >> MANTISSA_BITS <= exponent);
            let pairs = positive[first..end].windows(2);
            // As many bits of the mantissa as tell neighbours apart; sign and exponent are the same.
            let differ =
                |pair: &[u64]| (pair[0] ^ pair[1]).leading_zeros() + 1 + MANTISSA_BITS - u64::BITS;
            let used = pairs.map(differ).max().unwrap_or(0);
            if used > MANTISSA_BITS_MAX || keys.len() + (1 << used) >= KEYS_MAX {
                return None;
            }
            let shift = MANTISSA_BITS - used;
            octaves.push(Octave { first: keys.len() as u32, shift });
            let begins = (0..1u64 << used).map(|key| begin + (key << shift));
            keys.extend(begins.map(|begin| key_from(begin.max(1))));
        }
        keys.push(Key { bound: u64::MAX, bucket: bounds.len() });
        Some(Self { exponent, octaves: octaves.into(), keys: keys.into() })
    }

    fn key(&self, bits: u64) -> Key {
        let exponent = bits >> MANTISSA_BITS;
        let place = if exponent < self.exponent || bits == 0 {
            0
        } else if let Some(octave) = self.octaves.get((exponent - self.exponent) as usize) {
            octave.first as usize + ((bits & MANTISSA) >> octave.shift) as usize
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

    /// Bounds, what is next to them and between them, and what is special.
    fn check(bounds: &[f64]) {
        let octaves = SignedOctaves::new(bounds).expect("few enough keys");
        let special = [0.0, 5e-324, -5e-324, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY];
        let near =
            bounds.iter().flat_map(|&b| [b, b.next_up(), b.next_down(), b * 1.01, b * 0.5, -b]);
        for value in near.chain(special).map(|value| value + 0.0) {
            let index = octaves.index(value.to_bits());
            assert_eq!(index, naive(bounds, value), "{value:e} in {bounds:?}");
        }
    }

    #[test]
    fn equal_steps_negative_bounds_and_hundreds_of_dynamos_have_tables() {
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
    fn bounds_that_lie_too_close_have_no_table() {
        assert!(SignedOctaves::new(&[1.0, 1.0f64.next_up()]).is_none());
        assert!(SignedOctaves::new(&[(-1.0f64).next_down(), -1.0]).is_none());
    }
}
