//! The list of all shards: it only grows, and a shard is found by its number in few steps.
//!
//! ```text
//! head -> 7 -> 6 -> 5 -> 4 -> 3 -> 2 -> 1       next: the shard that was published before
//!              6 ----------> 3                  jump: one further back, fixed by the number
//!         7 --------------------------> none
//! ```
//!
//! Numbers are consecutive and begin with 1. The jumps are those of a skew binary list (Myers, 1983): finding one of `n` shards takes
//! at most `3 log2(n)` steps, and needs neither a table that would have to grow nor the allocator.
//!
//! Links are written before their shard is published and never afterwards, so that readers need no lock.

#![allow(unsafe_code)]

use super::Shard;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use std::ptr;

/// The number of no shard.
pub(super) const NO_SHARD: u64 = 0;

/// The links of one shard.
#[derive(Debug)]
pub(super) struct Links {
    number: AtomicU64,
    next: AtomicPtr<Shard>,
    jump: AtomicPtr<Shard>,
}

impl Links {
    /// The links of a shard that is not in the list.
    pub(super) fn new() -> Self {
        let none = || AtomicPtr::new(ptr::null_mut());
        Self { number: AtomicU64::new(NO_SHARD), next: none(), jump: none() }
    }

    /// Returns the shard's number.
    pub(super) fn number(&self) -> u64 {
        // Relaxed: written before the shard was published, and the caller has it through that publication.
        self.number.load(Ordering::Relaxed)
    }

    fn next(&self) -> Option<&'static Shard> {
        // Relaxed, as in `number`.
        deref(self.next.load(Ordering::Relaxed))
    }

    fn jump(&self) -> Option<&'static Shard> {
        // Relaxed, as in `number`.
        deref(self.jump.load(Ordering::Relaxed))
    }

    /// Sets the links of a shard that stands in front of `next`.
    fn put_before(&self, next: Option<&'static Shard>) {
        // As long as the jump before it: then both together are one jump.
        let far = next.and_then(|next| next.links.jump());
        let further = far.and_then(|far| far.links.jump());
        let is_pair = number(next) - number(far) == number(far) - number(further);
        let jump = if next.is_some() && is_pair { further } else { next };
        // Relaxed: published by the Release in `push`.
        self.number.store(number(next) + 1, Ordering::Relaxed);
        self.next.store(pointer(next), Ordering::Relaxed);
        self.jump.store(pointer(jump), Ordering::Relaxed);
    }
}

/// The shards that threads lease.
#[derive(Debug)]
pub(super) struct List {
    head: AtomicPtr<Shard>,
}

impl List {
    /// An empty list.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// An empty list.
    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Publishes a shard.
    pub(super) fn push(&self, shard: &'static Shard) {
        let mut head = self.head();
        loop {
            shard.links.put_before(head);
            // Release pairs with the Acquire in `head`: a thread that sees the shard sees its fields. Acquire pairs with it, too:
            // the links of the shard that came first are read.
            match self.head.compare_exchange_weak(
                pointer(head),
                pointer(Some(shard)),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(seen) => head = deref(seen),
            }
        }
    }

    /// Iterates over every shard, the newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'static Shard> + use<> {
        std::iter::successors(self.head(), |shard| shard.links.next())
    }

    /// Returns the number of shards.
    pub(super) fn len(&self) -> u64 {
        number(self.head())
    }

    /// Returns the shard with this number, if there is one.
    pub(super) fn find(&self, number: u64) -> Option<&'static Shard> {
        self.path_to(number).last().filter(|shard| shard.links.number() == number)
    }

    /// Iterates over the shards on the way to this number.
    fn path_to(&self, wanted: u64) -> impl Iterator<Item = &'static Shard> + use<> {
        std::iter::successors(self.head(), move |shard| {
            if shard.links.number() <= wanted {
                return None;
            }
            let jump = shard.links.jump();
            jump.filter(|jump| jump.links.number() >= wanted).or_else(|| shard.links.next())
        })
    }

    fn head(&self) -> Option<&'static Shard> {
        // Acquire pairs with the Release in `push`.
        deref(self.head.load(Ordering::Acquire))
    }
}

fn number(shard: Option<&'static Shard>) -> u64 {
    shard.map_or(NO_SHARD, |shard| shard.links.number())
}

/// Returns the pointer from which [`deref`] makes the shard.
pub(super) fn pointer(shard: Option<&'static Shard>) -> *mut Shard {
    shard.map_or(ptr::null_mut(), |shard| ptr::from_ref(shard).cast_mut())
}

/// Returns the shard of a pointer that [`pointer`] made.
pub(super) fn deref(shard: *mut Shard) -> Option<&'static Shard> {
    // SAFETY: every non-null pointer here and in `Shards::fallback` came from `Shard::leak`, which never frees, and was read with
    // Acquire (or through such a read) after the Release that published it.
    unsafe { shard.as_ref() }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_shard_is_found_by_its_number_in_few_steps() {
        const SHARDS: u64 = 200;
        let list = List::new();
        assert!(list.find(NO_SHARD).is_none() && list.find(1).is_none());
        for number in 1..=SHARDS {
            list.push(Shard::leak(0, 1).unwrap());
            assert_eq!(list.len(), number);
            let steps_max = 3 * u64::ilog2(number + 1) as usize + 1;
            for wanted in 1..=number {
                let found = list.find(wanted).unwrap();
                assert_eq!(found.links.number(), wanted);
                let steps = list.path_to(wanted).count();
                assert!(steps <= steps_max, "{steps} steps from {number} to {wanted}");
            }
            assert!(list.find(NO_SHARD).is_none() && list.find(number + 1).is_none());
        }
        let numbers: Vec<u64> = list.iter().map(|shard| shard.links.number()).collect();
        assert!(numbers.into_iter().eq((1..=SHARDS).rev()));
    }
}
