//! An allocator that counts with a counter of ours: its recordings come from inside of a thread's first allocation, which
//! is where a recording must not allocate, or it would come back to itself without end.

use dynamo_metrics_core::{Counter, Registry, shard_count};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

struct CountedByUs;

#[global_allocator]
static ALLOCATOR: CountedByUs = CountedByUs;

static COUNTER: OnceLock<Counter> = OnceLock::new();
/// The same count, by other means.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every method hands its arguments to `System`, which keeps the contract, and does nothing else with them.
unsafe impl GlobalAlloc for CountedByUs {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(counter) = COUNTER.get() {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            counter.inc();
        }
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` through the method above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[test]
fn an_allocator_may_count_with_a_counter_and_every_allocation_counts() {
    let registry = Registry::new();
    let counter = registry.counter(("allocations_total", "")).unwrap();
    assert!(COUNTER.set(counter.clone()).is_ok());
    for _ in 0..20 {
        thread::spawn(|| drop(black_box(Box::new(1)))).join().unwrap();
    }
    // The harness has threads of its own, which may allocate between two of these lines.
    loop {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let counted = counter.get();
        if ALLOCATIONS.load(Ordering::Relaxed) == before {
            assert_eq!(counted, before);
            assert!(counted >= 20, "{counted}");
            break;
        }
    }
    // This thread, one other at a time, and the harness: none has leased a second one.
    assert!(shard_count() <= 4, "{} shards", shard_count());
}
