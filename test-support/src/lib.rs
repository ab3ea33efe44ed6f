//! Shared by the tests of several packages: an allocator that counts, one that fails ([`FailAt`]), pages that are nearly
//! valid ([`pages`]), and work in a forked process (`Forked`).
//!
//! Counts are of the thread that asks, so what the test harness and other tests do meanwhile is not among them. Freeing is
//! not counted: "allocates nothing" is what the tests say, and what is freed was allocated.
//!
//! The `unsafe` here is that of handing calls on to the system's allocator and of forking; nothing that is published links it.

mod failing;
#[cfg(unix)]
mod forked;
pub mod pages;

pub use failing::FailAt;
#[cfg(unix)]
pub use forked::Forked;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Const and without destructor, so that the count itself allocates nothing and can be read until a thread's end.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting. A test file installs it for its process:
///
/// ```
/// use dynamo_metrics_test_support::{Counting, allocations};
///
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting;
///
/// // That it counts is for each test to show first: without the two lines above everything "allocates nothing".
/// assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
/// assert_eq!(allocations(|| drop(std::hint::black_box([0; 64]))), 0);
/// ```
#[derive(Debug)]
pub struct Counting;

/// Does `work` and tells how often this thread allocated or reallocated meanwhile. 0 unless [`Counting`] is installed.
pub fn allocations(work: impl FnOnce()) -> u64 {
    let before = allocated();
    work();
    allocated() - before
}

/// Returns the number of times that this thread has allocated or reallocated since it began; for work that is not one closure.
#[must_use]
pub fn allocated() -> u64 {
    ALLOCATIONS.get()
}

fn note() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every method hands its arguments to `System`, which keeps the contract, and does nothing else with them;
// counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: `memory` came from `System` through a method here.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` through a method here.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::sync::Barrier;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn each_way_to_get_memory_is_counted_once() {
        assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
        assert_eq!(allocations(|| drop(black_box(vec![0u8; 1 << 20]))), 1, "zeroed");
        let mut grown = Vec::<u64>::with_capacity(1);
        assert_eq!(allocations(|| black_box(&mut grown).reserve_exact(1000)), 1, "reallocated");
        assert_eq!(allocations(|| drop(black_box(grown))), 0, "freed");
    }

    #[test]
    fn other_threads_are_not_counted() {
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                barrier.wait();
                let counted = allocations(|| drop(black_box(vec![Box::new(1); 100])));
                barrier.wait();
                counted
            });
            let meanwhile = allocations(|| {
                barrier.wait();
                barrier.wait();
            });
            assert_eq!(meanwhile, 0);
            assert!(other.join().unwrap() > 100);
        });
    }
}
