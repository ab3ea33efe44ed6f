//! A sequence lock: a few words that are written and read as one, without waiting.
//!
//! ```text
//! write:  version even -> odd (claim, or give up)    words    version odd -> even
//! read:   version, even    words    version again: the same, or try again
//! ```
//!
//! Each step is an atomic operation on a `u64`, so a race is not undefined behaviour but detected: **a reader returns the
//! words of one write, or nothing**. A writer gives up when another one is writing; a reader gives up after [`READS_MAX`]
//! tries. So a write that never ends (of a thread that a fork cut off in the middle) costs only this slot. Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?" (2012), has the orderings;
//! `tests/loom_seqlock.rs` is the model.

use crate::sync::{AtomicU64, Ordering, fence};

/// Largest number of tries of a reader, some microseconds; more would delay a scrape for one exemplar. A write is some ten
/// stores, so a second collision is rare unless threads do nothing but write (with 4 tries, a reader beside two such
/// threads got no words in 0.1 s). A model, which explores every interleaving, has two.
const READS_MAX: usize = if cfg!(loom) { 2 } else { 64 };

/// `N` words that change together. Empty until the first write.
#[derive(Debug)]
pub struct Seqlock<const N: usize> {
    /// Twice the number of writes; odd while a write is in progress.
    version: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Seqlock<N> {
    /// Returns a lock without words.
    pub fn new() -> Self {
        Self { version: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Replaces all words, unless another thread is writing; returns whether it did.
    pub fn write(&self, words: &[u64; N]) -> bool {
        // Relaxed: the compare-exchange below checks it.
        let version = self.version.load(Ordering::Relaxed);
        if version % 2 == 1
            // Acquire pairs with the Release at the end of the previous write: its words come before these.
            || self
                .version
                .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return false;
        }
        // Release pairs with the Acquire fence in `read`: a reader that sees one of these words sees the odd version.
        fence(Ordering::Release);
        for (word, new) in self.words.iter().zip(words) {
            word.store(*new, Ordering::Relaxed);
        }
        // Release pairs with the Acquire at the beginning of `read` and of the next write: a thread that sees the even
        // version sees all words, and all that the writer did before.
        self.version.store(version + 2, Ordering::Release);
        true
    }

    /// Returns the words of the latest write. `None` before the first write, and when a writer interfered with every try.
    pub fn read(&self) -> Option<[u64; N]> {
        for _ in 0..READS_MAX {
            // Acquire pairs with the Release at the end of `write`.
            let version = self.version.load(Ordering::Acquire);
            if version == 0 {
                return None;
            }
            if version % 2 == 1 {
                std::hint::spin_loop();
                continue;
            }
            let words = std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
            // Acquire pairs with the Release fence in `write`: if a word is of a later write, its version is seen below.
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return Some(words);
            }
        }
        None
    }
}

impl<const N: usize> Default for Seqlock<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_read_returns_the_latest_write() {
        let slot = Seqlock::<2>::new();
        assert_eq!(slot.read(), None);
        assert!(slot.write(&[1, 2]) && slot.write(&[3, 4]));
        assert_eq!(slot.read(), Some([3, 4]));
    }

    #[test]
    fn readers_and_writers_give_up_beside_a_write_that_never_ends() {
        let slot = Seqlock::<2>::new();
        assert!(slot.write(&[1, 2]));
        slot.version.fetch_add(1, Ordering::Relaxed);
        assert!(!slot.write(&[3, 4]));
        assert_eq!(slot.read(), None);
    }
}
