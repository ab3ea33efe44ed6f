//! Models of the shards, run through the interleavings that the memory model allows: all of them, or where a model has a
//! `preemption_bound`, all in which threads are interrupted at most so often, since all of those would take hours.
//!
//! Run with `ci/loom.sh`. Each model has a twin that leaves out the one thing the model is about and must fail:
//! so we know that the model would notice.
//!
//! The scrape is always the thread that is spawned last. Loom looks for conflicts with the *latest* access to an
//! atomic only, so a scrape that reads first and is followed by a writer's own load hides its conflict with that
//! writer's store, and half of the interleavings are never run (seen with loom 0.7.3).
#![cfg(loom)]

use dynamo_metrics_core::__private::model::{Step, leave_out};
use dynamo_metrics_core::__private::{
    CellIndex, Shards, add, add_f64_release, add_f64_release_shared, add_release,
    add_release_shared, add_shared,
};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

fn index(i: u32) -> CellIndex {
    CellIndex::new(i).unwrap()
}

fn total(shards: &Shards, i: u32) -> u64 {
    shards.iter().map(|shard| shard.read(index(i))).sum()
}

fn scrape(shards: &Arc<Shards>, read: impl FnOnce(&Shards) + 'static) -> thread::JoinHandle<()> {
    let shards = Arc::clone(shards);
    thread::spawn(move || read(&shards))
}

/// Two threads, one after the other or at the same time, each lease, count and give back; a scrape runs
/// besides. Nothing is lost, the total never steps back, and there are no more shards than threads.
#[test]
fn adoption_loses_nothing_and_never_steps_back() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let shards = Arc::new(Shards::new());
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let shards = Arc::clone(&shards);
                thread::spawn(move || {
                    let shard = shards.lease().unwrap();
                    add(shard, index(0), 1);
                    shards.give_back(shard);
                })
            })
            .collect();
        let scrape = scrape(&shards, |shards| {
            let first = total(shards, 0);
            let second = total(shards, 0);
            assert!(first <= second && second <= 2);
        });
        for thread in writers.into_iter().chain([scrape]) {
            thread.join().unwrap();
        }
        assert_eq!(total(&shards, 0), 2);
        assert!(shards.count() <= 2);
    });
}

/// The twin: a lease that is handed over without Release and Acquire loses a count.
#[test]
#[should_panic(expected = "a count is lost")]
fn a_relaxed_hand_over_loses_counts() {
    loom::model(|| {
        let leased = Arc::new(AtomicBool::new(false));
        let cell = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (leased, cell) = (Arc::clone(&leased), Arc::clone(&cell));
                thread::spawn(move || {
                    let free =
                        leased.compare_exchange(false, true, Ordering::Relaxed, Ordering::Relaxed);
                    if free.is_ok() {
                        let before = cell.load(Ordering::Relaxed);
                        cell.store(before + 1, Ordering::Relaxed);
                        leased.store(false, Ordering::Relaxed);
                        1
                    } else {
                        0
                    }
                })
            })
            .collect();
        let counted: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        assert_eq!(cell.load(Ordering::Relaxed), counted, "a count is lost");
    });
}

/// A thread leases while another one leases both free shards and gives the first back, so that the stack of free shards looks as
/// it did before. Each ends with a shard of its own.
#[test]
fn a_shard_that_comes_back_meanwhile_is_leased_once() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let shards = Arc::new(Shards::new());
        let two = [shards.lease().unwrap(), shards.lease().unwrap()];
        two.into_iter().for_each(|shard| shards.give_back(shard));
        let other = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || {
                let (first, second) = (shards.lease().unwrap(), shards.lease().unwrap());
                shards.give_back(first);
                std::ptr::from_ref(second).addr()
            })
        };
        let own = std::ptr::from_ref(shards.lease().unwrap()).addr();
        assert_ne!(own, other.join().unwrap(), "a shard with two writers");
        assert!(shards.count() <= 3);
    });
}

/// The twin: a top without a tag. Numbers of free shards, 0 for none, and of the one below each.
struct Untagged {
    top: AtomicU64,
    below: [AtomicU64; 3],
}

impl Untagged {
    fn pop(&self) -> Option<u64> {
        let mut top = self.top.load(Ordering::Acquire);
        while top != 0 {
            let below = self.below[top as usize].load(Ordering::Relaxed);
            match self.top.compare_exchange(top, below, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(top),
                Err(seen) => top = seen,
            }
        }
        None
    }

    fn push(&self, number: u64) {
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            self.below[number as usize].store(top, Ordering::Relaxed);
            match self.top.compare_exchange(top, number, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => top = seen,
            }
        }
    }
}

#[test]
#[should_panic(expected = "a shard with two writers")]
fn a_top_without_a_tag_gives_a_shard_away_twice() {
    loom::model(|| {
        let below = [0, 0, 0].map(AtomicU64::new);
        let free = Arc::new(Untagged { top: AtomicU64::new(0), below });
        [1, 2].into_iter().for_each(|number| free.push(number));
        let other = {
            let free = Arc::clone(&free);
            thread::spawn(move || {
                let (first, second) = (free.pop(), free.pop());
                first.into_iter().for_each(|first| free.push(first));
                second
            })
        };
        let mut own = vec![free.pop(), free.pop()];
        own.push(other.join().unwrap());
        let mut held: Vec<u64> = own.into_iter().flatten().collect();
        let count = held.len();
        held.sort_unstable();
        held.dedup();
        assert_eq!(held.len(), count, "a shard with two writers");
    });
}

/// An observation writes its bucket, then its sum; a scrape reads the sum, then the bucket. The sum is never
/// ahead of the count.
#[test]
fn a_sum_is_never_ahead_of_its_buckets() {
    loom::model(|| {
        let shards = Arc::new(Shards::new());
        let writer = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || {
                let shard = shards.lease().unwrap();
                for _ in 0..2 {
                    add(shard, index(0), 1);
                    add_f64_release(shard, index(1), 1.0);
                }
            })
        };
        let scrape = scrape(&shards, |shards| {
            let sum: f64 = shards.iter().map(|shard| f64::from_bits(shard.read(index(1)))).sum();
            let count = total(shards, 0);
            assert!(sum <= count as f64, "sum {sum} of {count} observations of 1");
        });
        writer.join().unwrap();
        scrape.join().unwrap();
    });
}

/// The twin: without Release and Acquire the sum can be seen before its bucket.
#[test]
#[should_panic(expected = "a sum ahead of its bucket")]
fn a_relaxed_sum_can_be_ahead() {
    loom::model(|| {
        let cells = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let writer = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || {
                cells[0].store(1, Ordering::Relaxed);
                cells[1].store(1, Ordering::Relaxed);
            })
        };
        let sum = cells[1].load(Ordering::Relaxed);
        let count = cells[0].load(Ordering::Relaxed);
        assert!(sum <= count, "a sum ahead of its bucket");
        writer.join().unwrap();
    });
}

// Cells of the two up/down counters below, in the order in which a scrape reads them.
const OUTER_FALL: u32 = 0;
const INNER_FALL: u32 = 1;
const INNER_RISE: u32 = 2;
const OUTER_RISE: u32 = 3;

/// One thread begins a request (outer rises, then inner); another one ends it (inner falls, then outer).
fn begin_here_end_there(shards: &Arc<Shards>) -> Vec<thread::JoinHandle<()>> {
    let begun = Arc::new(AtomicBool::new(false));
    let begin = {
        let (shards, begun) = (Arc::clone(shards), Arc::clone(&begun));
        thread::spawn(move || {
            let shard = shards.lease().unwrap();
            add_release(shard, index(OUTER_RISE), 1);
            add_release(shard, index(INNER_RISE), 1);
            begun.store(true, Ordering::Release);
        })
    };
    let end = {
        let shards = Arc::clone(shards);
        thread::spawn(move || {
            let shard = shards.lease().unwrap();
            if begun.load(Ordering::Acquire) {
                add_release(shard, index(INNER_FALL), 1);
                add_release(shard, index(OUTER_FALL), 1);
            }
        })
    };
    vec![begin, end]
}

/// Whatever the scrape sees of a request that begins on one thread and ends on another, inner is at most outer
/// and neither is negative.
#[test]
fn nested_counts_stay_nested_across_threads() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let shards = Arc::new(Shards::new());
        let threads = begin_here_end_there(&shards);
        let scrape = scrape(&shards, |shards| {
            let [outer_fall, inner_fall, inner_rise, outer_rise] =
                [OUTER_FALL, INNER_FALL, INNER_RISE, OUTER_RISE].map(|i| total(shards, i));
            assert!(inner_fall <= inner_rise, "inner is negative");
            assert!(outer_fall <= outer_rise, "outer is negative");
            assert!(inner_rise - inner_fall <= outer_rise - outer_fall, "inner exceeds outer");
        });
        for thread in threads.into_iter().chain([scrape]) {
            thread.join().unwrap();
        }
    });
}

/// The twin: a scrape that reads rises first sees counts that are negative or not nested.
#[test]
#[should_panic(expected = "a fall without its rise")]
fn reading_rises_first_breaks_the_nesting() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let shards = Arc::new(Shards::new());
        let threads = begin_here_end_there(&shards);
        let scrape = scrape(&shards, |shards| {
            let [outer_rise, inner_rise, inner_fall, outer_fall] =
                [OUTER_RISE, INNER_RISE, INNER_FALL, OUTER_FALL].map(|i| total(shards, i));
            let falls_have_rises = inner_fall <= inner_rise && outer_fall <= outer_rise;
            assert!(falls_have_rises, "a fall without its rise");
        });
        for thread in threads.into_iter().chain([scrape]) {
            thread.join().unwrap();
        }
    });
}

/// Threads without a shard share the fallback, which two of them may make at the same time.
#[test]
fn the_fallback_is_made_once_and_counts_every_writer() {
    loom::model(|| {
        let shards = Arc::new(Shards::new());
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let shards = Arc::clone(&shards);
                thread::spawn(move || add_shared(shards.fallback().unwrap(), index(0), 1))
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(total(&shards, 0), 2);
        assert_eq!(shards.count(), 0);
    });
}

/// The fallback is made while the shards are counted; it is none of them.
fn count_beside_the_fallback(count: fn(&Shards) -> Option<usize>) {
    loom::model(move || {
        let shards = Arc::new(Shards::new());
        let maker = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || _ = shards.fallback().unwrap())
        };
        let scrape =
            scrape(&shards, move |shards| assert_eq!(count(shards), Some(0), "a wrong number"));
        maker.join().unwrap();
        scrape.join().unwrap();
    });
}

#[test]
fn the_fallback_is_not_counted_whenever_it_is_made() {
    count_beside_the_fallback(|shards| Some(shards.count()));
}

/// The twin: counts everything, and takes off the fallback that is there by then.
#[test]
#[should_panic(expected = "a wrong number")]
fn taking_the_fallback_off_again_counts_less_than_none() {
    count_beside_the_fallback(|shards| {
        let all = shards.iter().count();
        all.checked_sub(shards.iter().count())
    });
}

/// Recordings through the fallback keep the order that recordings through a shard keep: the sum is not ahead of its
/// bucket, and a fall is not seen without its rise, although another thread makes the fallback's other changes.
#[test]
fn the_fallback_keeps_the_order_of_its_writers() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let shards = Arc::new(Shards::new());
        let observer = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || {
                let fallback = shards.fallback().unwrap();
                add_shared(fallback, index(0), 1);
                add_f64_release_shared(fallback, index(1), 1.0);
            })
        };
        let request = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || {
                let fallback = shards.fallback().unwrap();
                add_release_shared(fallback, index(2), 1);
                add_release_shared(fallback, index(3), 1);
            })
        };
        let scrape = scrape(&shards, |shards| {
            let sum: f64 = shards.iter().map(|shard| f64::from_bits(shard.read(index(1)))).sum();
            let fall = total(shards, 3);
            assert!(sum <= total(shards, 0) as f64, "a sum ahead of its bucket");
            assert!(fall <= total(shards, 2), "a fall without its rise");
        });
        for thread in [observer, request, scrape] {
            thread.join().unwrap();
        }
    });
}

/// The twin: with relaxed read-modify-writes the fall can be seen without its rise.
#[test]
#[should_panic(expected = "a fall without its rise")]
fn a_relaxed_fallback_loses_the_order() {
    loom::model(|| {
        let cells = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let writer = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || {
                cells[0].fetch_add(1, Ordering::Relaxed);
                cells[1].fetch_add(1, Ordering::Relaxed);
            })
        };
        let scrape = thread::spawn(move || {
            let fall = cells[1].load(Ordering::Acquire);
            let rise = cells[0].load(Ordering::Acquire);
            assert!(fall <= rise, "a fall without its rise");
        });
        writer.join().unwrap();
        scrape.join().unwrap();
    });
}

/// Cells are handed out while a thread leases a shard: whoever has both can write them.
fn cells_handed_out_beside_a_lease() {
    const CELLS: u32 = 8;
    loom::model(|| {
        let shards = Arc::new(Shards::new());
        let handed_out = Arc::new(AtomicBool::new(false));
        let leasing = {
            let (shards, handed_out) = (Arc::clone(&shards), Arc::clone(&handed_out));
            thread::spawn(move || {
                let shard = shards.lease().unwrap();
                let writable = !handed_out.load(Ordering::Acquire) || shard.writable() >= CELLS;
                assert!(writable, "cells that cannot be written");
            })
        };
        let handing_out = thread::spawn(move || {
            assert!(shards.grow(CELLS));
            handed_out.store(true, Ordering::Release);
            shards
        });
        leasing.join().unwrap();
        let shards = handing_out.join().unwrap();
        let all = shards.iter().all(|shard| shard.writable() >= CELLS);
        assert!(all, "cells that cannot be written");
    });
}

#[test]
fn whoever_leases_can_write_what_was_handed_out() {
    cells_handed_out_beside_a_lease();
}

/// The twin: a shard that is not in the list yet is not found by whoever hands out, and its owner does not look again.
#[test]
#[should_panic(expected = "cells that cannot be written")]
fn a_lease_that_does_not_look_again_cannot_write_what_was_handed_out() {
    leave_out(Step::LookAfterLease);
    cells_handed_out_beside_a_lease();
}
