//! The shards that no thread leases: a stack without a lock, since a child that is forked at any instant must be able to lease one.
//!
//! A shard is taken by replacing the top of the stack by the shard below it. Meanwhile other threads may take both and give the upper
//! one back: the top looks as it did before, but the shard below it is leased. So **the top carries a tag that is another one after
//! each shard that is given back**, and the replacement fails. A tag comes again after 2^40 of them, so a thread would have to be
//! suspended between two instructions for as long as it takes to end that many others: twelve days at a million a second.
//!
//! Shards are linked by number: a pointer would leave no room for the tag.

use super::list::{List, NO_SHARD};
use super::{SHARDS_MAX, Shard};
use crate::sync::{AtomicU64, Ordering};

/// Bits of a shard's number.
const NUMBER_BITS: u32 = 24;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;
const _: () = assert!(SHARDS_MAX <= NUMBER_MASK, "a number has 24 bits");

/// The stack of free shards.
#[derive(Debug)]
pub(super) struct Free {
    /// The number of the uppermost shard, and above it the tag.
    top: AtomicU64,
}

impl Free {
    /// No shard is free.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self { top: AtomicU64::new(NO_SHARD) }
    }

    /// No shard is free.
    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { top: AtomicU64::new(NO_SHARD) }
    }

    /// Takes the shard that was given back last.
    ///
    /// Cost: that of finding it in the `list`.
    pub(super) fn pop(&self, list: &List) -> Option<&'static Shard> {
        // Acquire pairs with the Release in `push`, here and below: the last owner's counts are visible to the relaxed loads of
        // the next. Every change of `top` is a read-modify-write, so one Acquire covers the shards below as well.
        let mut top = self.top.load(Ordering::Acquire);
        loop {
            let shard = list.find(top & NUMBER_MASK)?;
            // Relaxed: written before the shard was pushed; if it has been pushed again since, the tag is another one.
            let below = shard.below.load(Ordering::Relaxed);
            match self.top.compare_exchange_weak(
                top,
                top & !NUMBER_MASK | below,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(shard),
                Err(seen) => top = seen,
            }
        }
    }

    /// Puts a shard that the caller leases on top.
    pub(super) fn push(&self, shard: &'static Shard) {
        // Relaxed: a guess that the compare-exchange checks.
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the Release below.
            shard.below.store(top & NUMBER_MASK, Ordering::Relaxed);
            let tag = (top & !NUMBER_MASK).wrapping_add(NUMBER_MASK + 1);
            // Release pairs with the Acquire in `pop`.
            match self.top.compare_exchange_weak(
                top,
                tag | shard.links.number(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => top = seen,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::Shards;
    use super::*;

    #[test]
    fn shards_come_back_in_the_reverse_order_and_none_twice() {
        let shards: &'static Shards = Box::leak(Box::new(Shards::new()));
        let leased: Vec<&Shard> = (0..4).map(|_| shards.lease().unwrap()).collect();
        leased.iter().for_each(|shard| shards.give_back(shard));
        for shard in leased.iter().rev() {
            assert!(std::ptr::eq(*shard, shards.lease().unwrap()));
        }
        assert_eq!(shards.count(), 4);
        shards.lease().unwrap();
        assert_eq!(shards.count(), 5, "none was free");
    }

    #[test]
    fn the_tag_starts_again_without_touching_the_number() {
        let (list, free) = (List::new(), Free { top: AtomicU64::new(!NUMBER_MASK) });
        let shard = Shard::leak(0, 1).unwrap();
        list.push(shard);
        free.push(shard);
        assert_eq!(free.top.load(Ordering::Relaxed), 1);
        assert!(free.pop(&list).is_some() && free.pop(&list).is_none());
    }
}
