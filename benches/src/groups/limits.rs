//! Cost of memory itself: the floor under every other group, in the same process.

use super::{Options, record};
use crate::measure::Case;
use crate::peers::dynamo_metrics;
use crate::report::{self, Row};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static WORD: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn run(options: Options) -> (Vec<Row>, String) {
    let beside = |others: fn() -> Vec<Case>| {
        move || dynamo_metrics::counter().into_iter().take(1).chain(others()).collect()
    };
    let mut rows = record::time("limits", beside(operations), &[1, 2], options);
    // Copies only beside what they are compared with, which has its row already.
    rows.extend(record::time("limits", beside(copies), &[1], options).into_iter().skip(1));
    let table = report::operations("limits", &rows);
    (rows, table)
}

fn operations() -> Vec<Case> {
    let shared = Arc::new(AtomicU64::new(0));
    vec![
        Case::op("empty loop", || || black_box(())),
        Case::op("u64 += 1 in a const thread-local", || {
            || WORD.with(|word| word.set(word.get() + 1))
        }),
        Case::op("relaxed load + store", || {
            let own = Box::new(AtomicU64::new(0));
            move || own.store(own.load(Ordering::Relaxed) + 1, Ordering::Relaxed)
        }),
        Case::op("relaxed fetch_add, shared", move || {
            let shared = Arc::clone(&shared);
            move || _ = shared.fetch_add(1, Ordering::Relaxed)
        }),
        Case::op("f64 add in memory", || {
            let mut own = Box::new(0.0);
            move || *own += 1.0
        }),
    ]
}

/// Copies from one piece of memory to another; the last as an encoder makes them, 189 KB in all.
fn copies() -> Vec<Case> {
    let whole = |what: &str, len: usize| {
        Case::op(what, move || {
            let (from, mut to) = (vec![1u8; len], vec![0u8; len]);
            move || to.copy_from_slice(&from)
        })
    };
    let pieces = Case::op("memcpy 125 B, of 189 KB in turn", || {
        const PIECE: usize = 125;
        const PIECES: usize = 1508;
        let (from, mut to) = (vec![1u8; PIECE * PIECES], vec![0u8; PIECE * PIECES]);
        let mut at = 0;
        move || {
            to[at..at + PIECE].copy_from_slice(&from[at..at + PIECE]);
            at = if at + PIECE == from.len() { 0 } else { at + PIECE };
        }
    });
    vec![
        whole("memcpy 4 KiB", 4 << 10),
        whole("memcpy 1 MiB", 1 << 20),
        whole("memcpy 64 MiB", 64 << 20),
        pieces,
    ]
}
