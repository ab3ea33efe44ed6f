//! Models of a thread's end: what it records afterwards, while another thread has already adopted its shard.
//!
//! Run with `ci/loom.sh`; each model has its twin, see `loom_shards.rs`, also for why the scrape is spawned last.
//!
//! The thread-locals themselves are not modelled. Loom takes all of a thread's away before it drops the first, in no
//! fixed order; std destroys one after the other and leaves those without a destructor alone. So a model's thread has its
//! [`Lease`] on the stack and plays the destructors: the guard's is [`Lease::end`], and what comes before or after that
//! line stands for another thread-local's.
#![cfg(loom)]

use dynamo_metrics_core::__private::{CellIndex, Lease, Shards, add, local, record};
use loom::sync::Arc;
use loom::thread;

const CELL: u32 = 0;

fn cell() -> CellIndex {
    CellIndex::new(CELL).unwrap()
}

fn total(shards: &Shards) -> u64 {
    shards.iter().map(|shard| shard.read(cell())).sum()
}

/// A thread runs and ends; another one records once, and adopts the shard if it is free by then; a scrape runs besides. At
/// the end all of the `recorded` are counted, in at most two shards and the fallback.
fn check(recorded: u64, life_and_death: fn(&Lease, &Shards)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let shards = Arc::new(Shards::new());
        let ending = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || life_and_death(&Lease::new(), &shards))
        };
        let adopting = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || {
                let lease = Lease::new();
                record(&lease, &shards, true, cell(), 1);
                lease.end(&shards);
            })
        };
        let scrape = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || {
                let first = total(&shards);
                let second = total(&shards);
                assert!(first <= second, "a counter went from {first} to {second}");
            })
        };
        for thread in [ending, adopting, scrape] {
            thread.join().unwrap();
        }
        assert_eq!(total(&shards), recorded + 1, "a count is lost");
        assert!(shards.count() <= 2);
    });
}

/// One recording in the life, one in a destructor before the guard's, one in a destructor after it: the last one goes to
/// the fallback, since the shard may have been adopted.
#[test]
fn a_recording_after_the_end_is_not_lost() {
    check(3, |lease, shards| {
        record(lease, shards, true, cell(), 1);
        record(lease, shards, true, cell(), 1);
        lease.end(shards);
        record(lease, shards, false, cell(), 1);
        let fallback = shards.fallback().expect("memory");
        assert_eq!(fallback.read(cell()), 1, "the late recording is not in the fallback");
    });
}

/// The twin: the thread still knows where its shard was and writes there, with a load and a store.
#[test]
#[should_panic(expected = "a count is lost")]
fn a_recording_to_the_shard_that_was_given_back_is_lost() {
    check(2, |_, shards| {
        let shard = shards.lease().expect("memory");
        add(shard, cell(), 1);
        shards.give_back(shard);
        add(shard, cell(), 1);
    });
}

/// The first recording of a thread comes after its end: it gets no shard, because no destructor would give it back.
#[test]
fn a_thread_that_begins_after_its_end_gets_no_shard() {
    check(2, |lease, shards| {
        record(lease, shards, false, cell(), 1);
        record(lease, shards, false, cell(), 1);
        lease.end(shards);
        let fallback = shards.fallback().expect("memory");
        assert_eq!(fallback.read(cell()), 2, "a thread past its end has leased a shard");
    });
}

/// Two threads past their end write the same fallback.
#[test]
fn late_recordings_of_two_threads_do_not_overwrite_each_other() {
    loom::model(|| {
        let shards = Arc::new(Shards::new());
        let late = [(); 2].map(|()| {
            let shards = Arc::clone(&shards);
            thread::spawn(move || record(&Lease::new(), &shards, false, cell(), 1))
        });
        for thread in late {
            thread.join().unwrap();
        }
        assert_eq!(total(&shards), 2, "a count is lost");
        assert_eq!(shards.count(), 0, "a thread past its end has leased a shard");
    });
}

/// The twin: with a load and a store instead of `fetch_add` they do.
#[test]
#[should_panic(expected = "a count is lost")]
fn plain_stores_to_the_fallback_overwrite_each_other() {
    loom::model(|| {
        let shards = Arc::new(Shards::new());
        let late = [(); 2].map(|()| {
            let shards = Arc::clone(&shards);
            thread::spawn(move || _ = add(shards.fallback().expect("memory"), cell(), 1))
        });
        for thread in late {
            thread.join().unwrap();
        }
        assert_eq!(total(&shards), 2, "a count is lost");
    });
}

/// A local handle that lives in another thread-local outlives the guard and keeps the shard: it writes there with a load
/// and a store, so no thread may adopt it before.
#[test]
fn a_local_handle_keeps_the_shard_beyond_the_end() {
    check(3, |lease, shards| {
        let local = local(lease, shards, cell()).expect("memory");
        local(1);
        lease.end(shards);
        local(1);
        // A plain handle meanwhile: the shard is still this thread's, but not for long.
        record(lease, shards, false, cell(), 1);
        lease.release(shards);
    });
}

/// The twin: the local handle's destructor comes first and it records all the same.
#[test]
#[should_panic(expected = "a count is lost")]
fn a_local_handle_without_its_lease_loses_a_count() {
    check(2, |lease, shards| {
        let local = local(lease, shards, cell()).expect("memory");
        local(1);
        lease.release(shards);
        lease.end(shards);
        local(1);
    });
}
