//! Blocks of memory that can be found by id: which are there, who uses them, which goes first.
//!
//! ```text
//! in use    held by at least one sequence; stays
//! idle      held by none; in a list from oldest to newest, and evicted from its old end
//! ```
//!
//! The list runs through the slots by their numbers, so that taking a block out of its middle is a
//! few assignments. Invariant: an id is in the table exactly while its block is in memory, and a
//! block is in the list exactly while no sequence holds it. Every operation is O(1).

use std::collections::HashMap;

/// No slot: the end of a list.
const NONE: u32 = u32::MAX;

/// Largest number of slots that can be told apart.
pub(crate) const SLOTS_MAX: u32 = NONE - 1;

/// All blocks with an id, idle or in use.
#[derive(Debug)]
pub(crate) struct BlockTable {
    /// From an id to its slot. Std's keyed hash, as ids may come from a client's prompt.
    slot_of: HashMap<u64, u32>,
    slots: Vec<Slot>,
    /// Slots without a block.
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    idle: u64,
}

#[derive(Debug)]
struct Slot {
    id: u64,
    holds: u32,
    /// Neighbours in the list of idle blocks; meaningless while the block is held.
    older: u32,
    newer: u32,
}

impl Default for BlockTable {
    fn default() -> Self {
        BlockTable {
            slot_of: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            idle: 0,
        }
    }
}

impl BlockTable {
    /// Puts a block in memory, idle and newest. Its id must not be there yet, and the caller keeps
    /// the number of blocks within [`SLOTS_MAX`].
    pub(crate) fn insert(&mut self, id: u64) -> u32 {
        let block = Slot { id, holds: 0, older: NONE, newer: NONE };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = block;
                slot
            }
            None => {
                self.slots.push(block);
                (self.slots.len() - 1) as u32
            }
        };
        self.slot_of.insert(id, slot);
        self.link(slot);
        slot
    }

    /// Holds a block; it stays until as many holds are let go.
    pub(crate) fn hold(&mut self, slot: u32) {
        if self.slots[slot as usize].holds == 0 {
            self.unlink(slot);
        }
        self.slots[slot as usize].holds += 1;
    }

    /// Lets a hold go; after the last one the block is idle and newest.
    pub(crate) fn let_go(&mut self, slot: u32) {
        self.slots[slot as usize].holds -= 1;
        if self.slots[slot as usize].holds == 0 {
            self.link(slot);
        }
    }

    /// Evicts the block that is idle for longest; false when none is idle.
    pub(crate) fn evict_oldest(&mut self) -> bool {
        let slot = self.oldest;
        if slot == NONE {
            return false;
        }
        self.unlink(slot);
        self.slot_of.remove(&self.slots[slot as usize].id);
        self.free.push(slot);
        true
    }

    /// Returns the slot of a block; `None` when it is not in memory.
    pub(crate) fn find(&self, id: u64) -> Option<u32> {
        self.slot_of.get(&id).copied()
    }

    /// Returns whether a block is in memory and held.
    pub(crate) fn is_in_use(&self, id: u64) -> bool {
        self.find(id).is_some_and(|slot| self.slots[slot as usize].holds > 0)
    }

    /// Returns the number of blocks that are held.
    pub(crate) fn in_use(&self) -> u64 {
        self.slot_of.len() as u64 - self.idle
    }

    /// Returns the number of blocks that are in memory and not held.
    pub(crate) fn idle(&self) -> u64 {
        self.idle
    }

    /// Makes a block the newest of the idle ones.
    fn link(&mut self, slot: u32) {
        let newest = std::mem::replace(&mut self.newest, slot);
        self.slots[slot as usize].older = newest;
        self.slots[slot as usize].newer = NONE;
        match newest {
            NONE => self.oldest = slot,
            _ => self.slots[newest as usize].newer = slot,
        }
        self.idle += 1;
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { older, newer, .. } = self.slots[slot as usize];
        match older {
            NONE => self.oldest = newer,
            _ => self.slots[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.slots[newer as usize].older = older,
        }
        self.idle -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_idle_for_longest_goes_first() {
        let mut table = BlockTable::default();
        let slots: Vec<u32> = (0..4).map(|id| table.insert(id)).collect();
        table.hold(slots[0]);
        table.hold(slots[2]);
        table.let_go(slots[0]); // now the newest
        assert_eq!((table.in_use(), table.idle()), (1, 3));
        for id in [1, 3, 0] {
            assert!(table.find(id).is_some());
            assert!(table.evict_oldest());
            assert_eq!(table.find(id), None);
        }
        assert!(!table.evict_oldest() && table.is_in_use(2));
    }

    #[test]
    fn a_block_stays_until_its_last_hold_is_let_go() {
        let mut table = BlockTable::default();
        let slot = table.insert(7);
        table.hold(slot);
        table.hold(slot);
        table.let_go(slot);
        assert!(!table.evict_oldest() && table.is_in_use(7));
        table.let_go(slot);
        assert!(table.evict_oldest());
        assert_eq!((table.find(7), table.in_use(), table.idle()), (None, 0, 0));
    }

    #[test]
    fn slots_of_evicted_blocks_are_used_again() {
        let mut table = BlockTable::default();
        for id in 0..1_000 {
            let slot = table.insert(id);
            assert!(slot < 2);
            if id > 0 {
                assert!(table.evict_oldest());
                assert_eq!(table.find(id), Some(slot));
            }
        }
    }
}
