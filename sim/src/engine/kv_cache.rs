//! The KV cache of one worker: room for so many blocks, shared by prompts that start alike.
//!
//! A sequence is admitted whole or not at all: its prompt and its whole answer are reserved at the
//! start, so that a running sequence never waits for memory and two can never starve each other.
//! The blocks of its prompt have ids and live in a [`BlockTable`], where others find them; those of
//! its answer are private, and are only counted: they have no ids, so an answer that comes
//! back in the prompt of the next turn is not found, as it would be in a real engine.
//!
//! Only a *prefix* of ids found in the cache counts as reused, and only whole blocks are. The
//! blocks of a prompt can be reused from the moment it is admitted, as in vLLM, which also hands
//! them out when it schedules them and not when they are computed.
//!
//! A sequence larger than the whole cache is admitted when nothing else runs, and then gets all of
//! it: a replay must end, and a real engine would have been started with more memory.
//!
//! Invariant: blocks in use and idle blocks together never exceed the capacity. Cost: O(1) for each
//! id of the prompt, nothing for the length of the answer or the size of the cache.

use super::block_table::{BlockTable, SLOTS_MAX};

/// Largest number of blocks of a worker: as good as unbounded, and still countable by the slot numbers of a [`BlockTable`].
pub(crate) const KV_BLOCKS_MAX: u64 = SLOTS_MAX as u64;

/// Blocks of one worker.
#[derive(Debug)]
pub(crate) struct KvCache {
    capacity: u64,
    block_size: u64,
    prefix_caching: bool,
    table: BlockTable,
    /// The number of blocks without an id that are in use.
    private: u64,
    lookup_blocks: u64,
    hit_blocks: u64,
}

/// A sequence's hold on its blocks; give it back with [`KvCache::release`].
#[must_use = "blocks stay in use until the lease is released"]
#[derive(Debug, Default)]
pub(crate) struct Lease {
    slots: Vec<u32>,
    private: u64,
}

/// The reservation of an admitted sequence.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The number of tokens of its prompt that were there already: those of whole blocks, but never more than the prompt has
    /// (the last block of a Mooncake prompt has an id, even part-filled).
    pub(crate) cached_tokens: u64,
    /// Its hold on memory.
    pub(crate) lease: Lease,
}

/// A worker's figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct KvStats {
    /// Blocks in use by running sequences; idle blocks that wait for reuse are not among them.
    pub(crate) active_blocks: u64,
    /// Blocks that the cache has.
    pub(crate) total_blocks: u64,
    /// `active_blocks / total_blocks`, from 0 to 1.
    pub(crate) usage: f64,
    /// `hit_blocks / lookup_blocks`, from 0 to 1; 0 before the first lookup.
    pub(crate) hit_rate: f64,
    /// Prompt blocks that were looked up since the start.
    pub(crate) lookup_blocks: u64,
    /// Prompt blocks that were reused since the start.
    pub(crate) hit_blocks: u64,
    /// Sequences that hold a slot.
    pub(crate) running: u64,
    /// Sequences that wait for one.
    pub(crate) waiting: u64,
}

impl KvCache {
    /// An empty cache; sizes out of bounds are moved to the nearest bound.
    pub(crate) fn new(blocks: u64, block_size: u64, prefix_caching: bool) -> KvCache {
        KvCache {
            capacity: blocks.clamp(1, KV_BLOCKS_MAX),
            block_size: block_size.max(1),
            prefix_caching,
            table: BlockTable::default(),
            private: 0,
            lookup_blocks: 0,
            hit_blocks: 0,
        }
    }

    /// Reserves room for a prompt with these block ids and for its answer; `None` when there is not
    /// enough until others release theirs.
    pub(crate) fn admit(
        &mut self,
        blocks: &[u64],
        input_tokens: u64,
        output_tokens: u64,
    ) -> Option<Admission> {
        let ids = if self.prefix_caching { blocks } else { &[] };
        let wanted = self.blocks_wanted(ids.len(), input_tokens, output_tokens);
        let active = self.active_blocks();
        if active > 0 && active.saturating_add(wanted) > self.capacity {
            // Blocks that others use already need no room. Counted only now, as it costs a lookup
            // an id and a cache is mostly not full.
            let in_use = ids.iter().filter(|id| self.table.is_in_use(**id)).count() as u64;
            if active.saturating_add(wanted - in_use) > self.capacity {
                return None;
            }
        }
        // Both cuts only bite for a sequence larger than the cache, which then is alone in it.
        let kept = &ids[..ids.len().min(usize::try_from(self.capacity).unwrap_or(usize::MAX))];
        let private = (wanted - ids.len() as u64).min(self.capacity - kept.len() as u64);

        let mut lease = Lease { slots: Vec::with_capacity(kept.len()), private };
        let mut cached_blocks = 0;
        for (index, id) in kept.iter().enumerate() {
            let slot = match self.table.find(*id) {
                Some(slot) => {
                    cached_blocks += u64::from(cached_blocks == index as u64);
                    slot
                }
                None => {
                    self.evict_down_to(self.capacity - 1);
                    self.table.insert(*id)
                }
            };
            self.table.hold(slot);
            lease.slots.push(slot);
        }
        self.private += private;
        self.evict_down_to(self.capacity);

        self.lookup_blocks += ids.len() as u64;
        self.hit_blocks += cached_blocks;
        let cached_tokens = cached_blocks.saturating_mul(self.block_size).min(input_tokens);
        Some(Admission { cached_tokens, lease })
    }

    /// Gives back what a sequence held. Its prompt stays for reuse until room is needed.
    pub(crate) fn release(&mut self, lease: Lease) {
        self.private -= lease.private;
        // From the end, so that the end is evicted first: a start without its end is still a
        // prefix, an end without its start is nothing.
        for slot in lease.slots.into_iter().rev() {
            self.table.let_go(slot);
        }
    }

    /// Returns the number of leading blocks of a prompt that are in memory. Not counted as a lookup: a router asks every
    /// worker, and only one of them gets the request.
    pub(crate) fn cached_prefix(&self, blocks: &[u64]) -> u64 {
        if !self.prefix_caching {
            return 0;
        }
        blocks.iter().take_while(|id| self.table.find(**id).is_some()).count() as u64
    }

    /// Returns the number of blocks that a sequence takes when nothing of it is shared.
    pub(crate) fn blocks_wanted(&self, ids: usize, input_tokens: u64, output_tokens: u64) -> u64 {
        let tokens = input_tokens.saturating_add(output_tokens);
        tokens.div_ceil(self.block_size).max(ids as u64)
    }

    /// Blocks in use.
    pub(crate) fn active_blocks(&self) -> u64 {
        self.table.in_use() + self.private
    }

    /// The figures of the cache, with those of the queue that the caller knows.
    pub(crate) fn stats(&self, running: u64, waiting: u64) -> KvStats {
        let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        KvStats {
            active_blocks: self.active_blocks(),
            total_blocks: self.capacity,
            usage: ratio(self.active_blocks(), self.capacity),
            hit_rate: ratio(self.hit_blocks, self.lookup_blocks),
            lookup_blocks: self.lookup_blocks,
            hit_blocks: self.hit_blocks,
            running,
            waiting,
        }
    }

    /// Evicts idle blocks until at most `blocks` are in memory or none is idle.
    fn evict_down_to(&mut self, blocks: u64) {
        while self.active_blocks() + self.table.idle() > blocks && self.table.evict_oldest() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::samples;
    use std::collections::HashSet;

    /// Admits a prompt of whole blocks; says how many of them were reused.
    fn admit(cache: &mut KvCache, blocks: &[u64]) -> (u64, Lease) {
        let tokens = blocks.len() as u64 * cache.block_size;
        let admission = cache.admit(blocks, tokens, 0).expect("there is room");
        (admission.cached_tokens / cache.block_size, admission.lease)
    }

    #[test]
    fn the_mooncake_sample_reuses_what_an_unbounded_cache_can() {
        let Some(trace) = samples::read(samples::MOONCAKE) else { return };
        let mut cache = KvCache::new(KV_BLOCKS_MAX, 512, true);
        let mut cached_tokens = 0;
        for request in trace.requests() {
            let blocks = trace.blocks(request);
            let admission = cache
                .admit(blocks, request.input_tokens, request.output_tokens)
                .expect("an unbounded cache has room");
            cached_tokens += admission.cached_tokens;
            cache.release(admission.lease);
        }
        assert_eq!(cache.stats(0, 0).hit_blocks * 512, 39_911_936);
        // Less, as part-filled last blocks count with what they hold.
        assert_eq!(cached_tokens, 39_852_661);
        assert_eq!(cache.active_blocks(), 0);
    }

    #[test]
    fn only_a_prefix_is_reused() {
        let mut cache = KvCache::new(100, 16, true);
        let (cached, lease) = admit(&mut cache, &[1, 2, 3]);
        assert_eq!(cached, 0);
        cache.release(lease);
        let (cached, lease) = admit(&mut cache, &[1, 2, 9, 3]);
        assert_eq!(cached, 2);
        cache.release(lease);
        let (cached, lease) = admit(&mut cache, &[8, 2, 3]);
        assert_eq!(cached, 0);
        cache.release(lease);
        assert_eq!(cache.cached_prefix(&[1, 2, 3, 4]), 3);
        let stats = cache.stats(0, 0);
        assert_eq!((stats.lookup_blocks, stats.hit_blocks, stats.hit_rate), (10, 2, 0.2));
    }

    #[test]
    fn cached_tokens_never_exceed_the_prompt() {
        let mut cache = KvCache::new(100, 512, true);
        for expected in [0, 13] {
            let admission = cache.admit(&[7], 13, 5).expect("there is room");
            assert_eq!(admission.cached_tokens, expected);
            cache.release(admission.lease);
        }
    }

    #[test]
    fn a_sequence_that_does_not_fit_waits_unless_it_shares() {
        let mut cache = KvCache::new(4, 16, true);
        let (_, first) = admit(&mut cache, &[1, 2, 3]);
        assert_eq!(cache.stats(1, 0).usage, 0.75);
        assert!(cache.admit(&[8, 9], 32, 0).is_none());
        let (cached, second) = admit(&mut cache, &[1, 2, 3, 4]);
        assert_eq!((cached, cache.active_blocks()), (3, 4));
        cache.release(first);
        assert_eq!(cache.active_blocks(), 4);
        cache.release(second);
        let (cached, third) = admit(&mut cache, &[8, 9]);
        assert_eq!((cached, cache.active_blocks()), (0, 2));
        // The room came from the ends of the prompt that was used last.
        assert_eq!(cache.cached_prefix(&[1, 2, 3]), 2);
        cache.release(third);
    }

    #[test]
    fn answers_take_room_and_evict() {
        let mut cache = KvCache::new(4, 16, true);
        let (_, lease) = admit(&mut cache, &[1, 2, 3]);
        cache.release(lease);
        let admission = cache.admit(&[], 17, 16).expect("idle blocks make room");
        assert_eq!((cache.active_blocks(), cache.cached_prefix(&[1, 2, 3])), (3, 1));
        cache.release(admission.lease);
    }

    #[test]
    fn a_sequence_larger_than_the_cache_gets_all_of_it_alone() {
        let mut cache = KvCache::new(2, 16, true);
        let (_, small) = admit(&mut cache, &[5]);
        assert!(cache.admit(&[1, 2, 3], 48, 100).is_none());
        cache.release(small);
        let large = cache.admit(&[1, 2, 3], 48, 100).expect("alone it may");
        assert_eq!((cache.active_blocks(), cache.stats(1, 0).usage), (2, 1.0));
        cache.release(large.lease);
        let again = cache.admit(&[1, 2, 3], 48, u64::MAX).expect("alone again");
        assert_eq!(again.cached_tokens, 32);
    }

    #[test]
    fn without_prefix_caching_nothing_is_remembered() {
        let mut cache = KvCache::new(10, 16, false);
        for _ in 0..2 {
            let (cached, lease) = admit(&mut cache, &[1, 2]);
            assert_eq!((cached, cache.active_blocks()), (0, 2));
            cache.release(lease);
        }
        assert_eq!((cache.cached_prefix(&[1]), cache.stats(0, 0).lookup_blocks), (0, 0));
    }

    /// The slow and obvious cache: a list of ids from oldest to newest, and users by scan.
    #[derive(Default)]
    struct Oracle {
        idle: Vec<u64>,
        running: Vec<(Vec<u64>, u64)>,
    }

    impl Oracle {
        fn in_use(&self) -> HashSet<u64> {
            self.running.iter().flat_map(|(ids, _)| ids.iter().copied()).collect()
        }

        fn private(&self) -> u64 {
            self.running.iter().map(|(_, private)| private).sum()
        }

        fn admit(&mut self, capacity: u64, ids: &[u64], wanted: u64) -> Option<u64> {
            let in_use = self.in_use();
            let active = in_use.len() as u64 + self.private();
            let shared = ids.iter().filter(|id| in_use.contains(id)).count() as u64;
            if active > 0 && active + wanted - shared > capacity {
                return None;
            }
            let kept = &ids[..ids.len().min(capacity as usize)];
            let private = (wanted - ids.len() as u64).min(capacity - kept.len() as u64);
            let mut cached = 0;
            self.running.push((Vec::new(), 0));
            for (index, id) in kept.iter().enumerate() {
                let known = self.in_use().contains(id) || self.idle.contains(id);
                cached += u64::from(known && cached == index as u64);
                if !known {
                    self.evict(capacity - 1);
                }
                self.idle.retain(|other| other != id);
                self.running.last_mut().expect("just pushed").0.push(*id);
            }
            self.running.last_mut().expect("just pushed").1 = private;
            self.evict(capacity);
            Some(cached)
        }

        fn evict(&mut self, blocks: u64) {
            while self.in_use().len() as u64 + self.private() + self.idle.len() as u64 > blocks
                && !self.idle.is_empty()
            {
                self.idle.remove(0);
            }
        }

        fn release(&mut self, index: usize) {
            let (ids, _) = self.running.remove(index);
            let in_use = self.in_use();
            for (index, id) in ids.iter().enumerate().rev() {
                // An id that comes twice is used until its first place is given back.
                if !in_use.contains(id) && !ids[..index].contains(id) {
                    self.idle.push(*id);
                }
            }
        }
    }

    #[test]
    fn it_agrees_with_a_naive_cache_on_random_work() {
        let mut seed = 7u64;
        let mut random = |bound: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % bound
        };
        for capacity in [1, 2, 5, 17, 64] {
            let mut cache = KvCache::new(capacity, 16, true);
            let mut oracle = Oracle::default();
            let mut leases = Vec::new();
            for _ in 0..4_000 {
                if random(3) > 0 {
                    // Few families of prompts, so that prefixes meet; an id twice now and then.
                    let family = random(4) * 100;
                    let ids: Vec<u64> =
                        (0..random(9)).map(|index| family + index % (7 + random(2))).collect();
                    let (input, output) = (ids.len() as u64 * 16, random(40));
                    let wanted = cache.blocks_wanted(ids.len(), input, output);
                    let expected = oracle.admit(capacity, &ids, wanted);
                    let admission = cache.admit(&ids, input, output);
                    assert_eq!(admission.as_ref().map(|got| got.cached_tokens / 16), expected);
                    leases.extend(admission.map(|admission| admission.lease));
                } else if !leases.is_empty() {
                    let index = random(leases.len() as u64) as usize;
                    cache.release(leases.remove(index));
                    oracle.release(index);
                }
                let active = oracle.in_use().len() as u64 + oracle.private();
                assert_eq!(cache.active_blocks(), active);
                assert_eq!(cache.table.idle(), oracle.idle.len() as u64);
                assert!(active + cache.table.idle() <= capacity);
            }
        }
    }
}
