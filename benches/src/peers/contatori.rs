//! `contatori`: 128 padded slots inside each counter, `lock xadd` into the thread's.
//!
//! Its exporter goes through `prometheus`, so it has no encoder of its own to measure.

use crate::measure::Case;
use contatori::counters::signed::Signed;
use contatori::counters::unsigned::Unsigned;
use std::sync::Arc;

pub(crate) fn counter() -> Vec<Case> {
    let shared = Arc::new(Unsigned::new());
    let inc = Case::op("contatori Unsigned", move || {
        let counter = Arc::clone(&shared);
        move || counter.add(1)
    });
    vec![inc]
}

pub(crate) fn updown() -> Vec<Case> {
    let shared = Arc::new(Signed::new());
    let moved = Case::op("contatori Signed", move || {
        let counter = Arc::clone(&shared);
        move || {
            counter.add(1);
            counter.sub(1);
        }
    });
    vec![moved.ops(2)]
}
