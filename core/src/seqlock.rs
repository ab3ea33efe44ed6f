//! A few words that are written and read as one, without anybody ever waiting: a sequence lock.
//!
//! ```text
//! write:  version even -> odd (claim, or give up)    words    version odd -> even
//! read:   version, even    words    version again: the same, or try again
//! ```
//!
//! Each step is an atomic operation on a `u64`, so a race is never undefined, only seen: **a reader returns words of
//! one write, or nothing**. A writer that finds another one at work gives up; a reader gives up after [`READS_MAX`]
//! tries. So a writer that never ends its write (a thread that was forked away in the middle of it) costs this slot,
//! and no more. Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?" (2012), has the orderings;
//! `tests/loom_seqlock.rs` is the model.

use crate::sync::{AtomicU64, Ordering, fence};

/// How often a reader tries: some microseconds at most, and then the words are worth less than the time of a scrape. A
/// write is some ten stores, so a second collision is rare unless threads do nothing but write (with 4 tries, a reader
/// beside two such threads got nothing in 0.1 s). A model, which goes through every interleaving, has two.
const READS_MAX: usize = if cfg!(loom) { 2 } else { 64 };

/// `N` words that change together. Empty until the first write.
#[derive(Debug)]
pub struct Seqlock<const N: usize> {
    /// Even, and twice the number of writes; odd while one is under way.
    version: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Seqlock<N> {
    /// Without words.
    pub fn new() -> Self {
        Self { version: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Replaces all words; says whether it did. It does not when another thread is writing.
    pub fn write(&self, words: &[u64; N]) -> bool {
        // Relaxed: the claim below checks it.
        let version = self.version.load(Ordering::Relaxed);
        if version % 2 == 1
            // Acquire pairs with the Release at the end of the write before: its words lie before ours.
            || self
                .version
                .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return false;
        }
        // Release pairs with the Acquire fence in `read`: who sees a word from below sees the odd version.
        fence(Ordering::Release);
        for (word, new) in self.words.iter().zip(words) {
            word.store(*new, Ordering::Relaxed);
        }
        // Release pairs with the Acquire at the beginning of `read` and of the next write: who sees the even version
        // sees all words, and what the writer did before.
        self.version.store(version + 2, Ordering::Release);
        true
    }

    /// All words of one write, the latest. `None` before the first write, and when writers were in the way each time.
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
            // Acquire pairs with the Release fence in `write`: had a word been of a later write, its version is seen.
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
    fn the_latest_write_is_read() {
        let slot = Seqlock::<2>::new();
        assert_eq!(slot.read(), None);
        assert!(slot.write(&[1, 2]) && slot.write(&[3, 4]));
        assert_eq!(slot.read(), Some([3, 4]));
    }

    #[test]
    fn a_write_that_never_ends_makes_others_give_up_and_not_wait() {
        let slot = Seqlock::<2>::new();
        assert!(slot.write(&[1, 2]));
        slot.version.fetch_add(1, Ordering::Relaxed);
        assert!(!slot.write(&[3, 4]));
        assert_eq!(slot.read(), None);
    }
}
