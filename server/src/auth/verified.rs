//! Credentials that were verified, so that a scrape does not cost a bcrypt computation each time.
//!
//! Only right credentials are remembered, so a flood of guesses cannot push them out. An entry is the
//! 128-bit SipHash-2-4, under keys of this process, of the user, the stored hash and the password,
//! **each with its length before it**: a plain joining of the parts let one set of credentials pass
//! for another (CVE-2022-46146). The stored hash is a part of it, so a password that was changed in
//! the file does not pass because of its past.
//!
//! A look reads all entries, whether or not it has found one.

use std::hash::{BuildHasher, RandomState};

use siphasher::sip128::{Hasher128, SipHasher24};

/// Entries, as many as the exporter-toolkit's cache has: more scrapers do not share a server.
pub(crate) const VERIFIED_MAX: usize = 100;

/// The keyed hash of one set of credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u128);

/// The set of fingerprints; a new one replaces the oldest.
pub(crate) struct Verified {
    keys: (u64, u64),
    entries: Vec<Fingerprint>,
    oldest: usize,
}

impl Verified {
    pub(crate) fn new() -> Self {
        // The only randomness of std, seeded by the system; its outputs are as secret as its keys.
        let random = RandomState::new();
        let keys = (random.hash_one(0), random.hash_one(1));
        Self { keys, entries: Vec::new(), oldest: 0 }
    }

    pub(crate) fn fingerprint(&self, user: &[u8], hash: &str, password: &[u8]) -> Fingerprint {
        use std::hash::Hasher;
        let mut hasher = SipHasher24::new_with_keys(self.keys.0, self.keys.1);
        for part in [user, hash.as_bytes(), password] {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        Fingerprint(hasher.finish128().as_u128())
    }

    pub(crate) fn contains(&self, wanted: Fingerprint) -> bool {
        self.entries.iter().fold(false, |found, entry| found | (*entry == wanted))
    }

    pub(crate) fn insert(&mut self, fingerprint: Fingerprint) {
        if self.contains(fingerprint) {
            return;
        }
        if self.entries.len() < VERIFIED_MAX {
            self.entries.push(fingerprint);
        } else {
            self.entries[self.oldest] = fingerprint;
            self.oldest = (self.oldest + 1) % VERIFIED_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_join_to_the_same_bytes_differ_cve_2022_46146() {
        let verified = Verified::new();
        let joined = [
            verified.fingerprint(b"ab", "c", b"d"),
            verified.fingerprint(b"a", "bc", b"d"),
            verified.fingerprint(b"a", "b", b"cd"),
            verified.fingerprint(b"", "", b"abcd"),
            verified.fingerprint(b"abcd", "", b""),
        ];
        for (index, one) in joined.iter().enumerate() {
            assert!(joined[..index].iter().all(|other| other != one), "{index}");
        }
        let other = Verified::new().fingerprint(b"ab", "c", b"d");
        assert!(other != joined[0], "each process has its keys");
    }

    #[test]
    fn a_new_entry_replaces_the_oldest_and_the_bound_holds() {
        let mut verified = Verified::new();
        let all: Vec<_> =
            (0_u32..250).map(|i| verified.fingerprint(b"user", "hash", &i.to_le_bytes())).collect();
        for &fingerprint in &all {
            verified.insert(fingerprint);
            verified.insert(fingerprint);
        }
        assert_eq!(verified.entries.len(), VERIFIED_MAX);
        let kept = all.iter().map(|&fingerprint| verified.contains(fingerprint));
        assert_eq!(kept.collect::<Vec<_>>(), [vec![false; 150], vec![true; 100]].concat());
    }
}
