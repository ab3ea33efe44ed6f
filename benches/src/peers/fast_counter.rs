//! `fast-counter`: a padded slot a shard, `lock xadd` into the thread's. Counters only, no exposition.

use super::SHARDS;
use crate::measure::Case;
use fast_counter::ConcurrentCounter;
use std::sync::Arc;

pub(crate) fn counter() -> Vec<Case> {
    let shared = Arc::new(ConcurrentCounter::new(SHARDS));
    let inc = Case::op("fast-counter ConcurrentCounter", move || {
        let counter = Arc::clone(&shared);
        move || counter.add(1)
    });
    vec![inc]
}

pub(crate) fn updown() -> Vec<Case> {
    let shared = Arc::new(ConcurrentCounter::new(SHARDS));
    let moved = Case::op("fast-counter ConcurrentCounter", move || {
        let counter = Arc::clone(&shared);
        move || {
            counter.add(1);
            counter.add(-1);
        }
    });
    vec![moved.ops(2)]
}
