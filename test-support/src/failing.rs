//! An allocator that has no more memory, from one large allocation of another thread than the test's on.
//!
//! The allocations of the test itself and its client must not fail, so the thread that arms it is spared.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

thread_local! {
    /// Const and without destructor, so that it can be read in an allocation.
    static SPARED: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, which fails from an allocation on that it is told. A test file installs it for its process:
///
/// ```
/// use dynamo_metrics_test_support::FailAt;
///
/// #[global_allocator]
/// static ALLOCATOR: FailAt = FailAt::new();
///
/// let reserve = || Vec::<u8>::new().try_reserve(4096).is_ok();
/// ALLOCATOR.arm(2, 4096);
/// let others = std::thread::spawn(move || [reserve(), reserve(), reserve()]).join().unwrap();
/// assert_eq!(others, [true, false, false]);
/// assert!(ALLOCATOR.disarm(), "it was come to");
/// ```
#[derive(Debug)]
pub struct FailAt {
    /// Large allocations that succeed, and the first that fails.
    countdown: AtomicU64,
    bytes_min: AtomicUsize,
}

impl FailAt {
    /// One that never fails until it is armed.
    #[must_use]
    pub const fn new() -> Self {
        Self { countdown: AtomicU64::new(0), bytes_min: AtomicUsize::new(usize::MAX) }
    }

    /// Makes the `k`-th allocation (from 1) of at least `bytes_min` bytes fail that any thread but this one asks for,
    /// and all such after it.
    pub fn arm(&self, k: u64, bytes_min: usize) {
        SPARED.set(true);
        // Relaxed: what hands the work to the other threads orders it.
        self.bytes_min.store(bytes_min, Ordering::Relaxed);
        self.countdown.store(k, Ordering::Relaxed);
    }

    /// Fails no more, and tells whether it has since it was armed.
    pub fn disarm(&self) -> bool {
        self.bytes_min.store(usize::MAX, Ordering::Relaxed);
        self.countdown.swap(0, Ordering::Relaxed) == 0
    }

    fn fails(&self, bytes: usize) -> bool {
        if bytes < self.bytes_min.load(Ordering::Relaxed) || SPARED.get() {
            return false;
        }
        let left = self
            .countdown
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.is_err() || left == Ok(1)
    }
}

impl Default for FailAt {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: every method hands its arguments to `System`, which keeps the contract, or returns null, which says that there is
// no memory and leaves what there was as it is; deciding which neither allocates nor unwinds.
unsafe impl GlobalAlloc for FailAt {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.fails(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.fails(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.fails(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: `memory` came from `System` through a method here.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` through a method here.
        unsafe { System.dealloc(memory, layout) }
    }
}
