//! A map from keys of the facade, which bring their hash with them.

use metrics::Key;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map from keys.
pub(crate) type KeyMap<V> = HashMap<Key, V, BuildHasherDefault<KeyHasher>>;

/// An odd number without a pattern, by which hashes are multiplied to mix them.
pub(crate) const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes the hash that a key has of itself: it is a sum, whose low bits alone, which a map takes, are not well mixed.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Keys write one `u64`; whatever else is written still counts.
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        let product = u128::from(self.0 ^ hash).wrapping_mul(MIX.into());
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::Label;
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    #[test]
    fn keys_that_differ_in_a_digit_have_hashes_whose_ends_differ() {
        let hasher = BuildHasherDefault::<KeyHasher>::default();
        let hashes: Vec<u64> = (0..4096)
            .map(|n| hasher.hash_one(Key::from_parts("x", vec![Label::new("n", n.to_string())])))
            .collect();
        let low: HashSet<u64> = hashes.iter().map(|hash| hash & 0xfff).collect();
        let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 52).collect();
        // 4,096 random numbers below 4,096 have some 2,590 values.
        assert!(low.len() > 2400 && high.len() > 2400, "{} {}", low.len(), high.len());
    }
}
