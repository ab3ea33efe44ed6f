//! An allocator that counts with a counter of this crate. Its recordings happen inside of allocations, so a recording must
//! not allocate, or it would call itself without end.

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
/// The same count in a plain atomic.
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
fn an_allocator_can_count_every_allocation_with_a_counter() {
    let registry = Registry::new();
    let counter = registry.counter(("allocations_total", "")).unwrap();
    assert!(COUNTER.set(counter.clone()).is_ok());
    for _ in 0..20 {
        thread::spawn(|| drop(black_box(Box::new(1)))).join().unwrap();
    }
    // Threads of the harness may allocate between two of these lines.
    loop {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let counted = counter.get();
        if ALLOCATIONS.load(Ordering::Relaxed) == before {
            assert_eq!(counted, before);
            assert!(counted >= 20, "{counted}");
            break;
        }
    }
    // This thread, one other at a time, and the harness: no thread has leased a second shard.
    assert!(shard_count() <= 4, "{} shards", shard_count());
}
