//! The loom seam: everything else in this crate imports its atomics and locks from here.
//!
//! Under `--cfg loom` the same names come from `loom`, so that the models in `tests/loom_*.rs` run the real
//! code of this crate through the interleavings. The locks are `parking_lot`'s: they never poison, so a
//! panicking thread cannot take the registry down with it.
//!
//! **Twins.** A model is worth something if it fails when the code is wrong. So each has twins that run the same code but for one
//! [`Step`], or with weaker orderings, and must fail. Outside of models nothing is ever left out, and the question costs nothing.

#[cfg(loom)]
pub use self::model::leave_out;
#[cfg(loom)]
pub(crate) use self::model::*;
#[cfg(not(loom))]
pub(crate) use self::real::*;

/// A step that a model's twin leaves out or takes in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(loom), allow(unreachable_pub, reason = "public for the models"))]
pub enum Step {
    /// Cells are zeroed before they are handed out again.
    Zero,
    /// A removal gives the family a new key.
    NewKey,
    /// A lookup reads the family's key before it searches, and not after.
    KeyBeforeSearch,
    /// A new series is announced to snapshots.
    Announce,
    /// A snapshot reads the number of changes before it lists, and not after.
    NumberBeforeListing,
    /// A snapshot reads the registry's generation before it lists, and not after.
    GenerationBeforeListing,
    /// A scrape reads its cells again when another one has cut.
    ReadAgain,
    /// A lease looks at what was handed out once its shard can be found.
    LookAfterLease,
    /// Loads are Acquire where they are said to be.
    #[cfg(loom)]
    AcquireLoads,
    /// Stores are Release where they are said to be.
    #[cfg(loom)]
    ReleaseStores,
}

#[cfg(not(loom))]
mod real {
    use crate::sync::Step;
    use parking_lot::RwLockWriteGuard;
    pub(crate) use parking_lot::{Mutex, RwLock};
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};

    /// Unlocks, and lets waiting threads come first: a thread that only unlocked and locked again would mostly be faster.
    pub(crate) fn hand_over<T>(guard: RwLockWriteGuard<'_, T>) {
        RwLockWriteGuard::unlock_fair(guard);
    }

    /// Returns whether a twin leaves this step out: never.
    #[inline(always)]
    pub(crate) const fn left_out(_: Step) -> bool {
        false
    }
}

#[cfg(loom)]
mod model {
    use crate::sync::Step;
    pub(crate) use loom::sync::atomic::{AtomicPtr, Ordering, fence};
    use std::cell::Cell;

    thread_local! {
        /// The step that the models of this test leave out. Kept by the test's thread, on which loom runs all threads of a model.
        static LEFT_OUT: Cell<Option<Step>> = const { Cell::new(None) };
    }

    /// Leaves a step out of every model that the calling test runs from here on.
    pub fn leave_out(step: Step) {
        LEFT_OUT.set(Some(step));
    }

    /// Returns whether a twin leaves this step out.
    pub(crate) fn left_out(step: Step) -> bool {
        LEFT_OUT.get() == Some(step)
    }

    /// `loom`'s atomic, with the orderings that a twin weakens.
    #[derive(Debug)]
    pub struct AtomicU64(loom::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> Self {
            Self(loom::sync::atomic::AtomicU64::new(value))
        }

        pub fn load(&self, order: Ordering) -> u64 {
            let relaxed = left_out(Step::AcquireLoads);
            self.0.load(if relaxed { Ordering::Relaxed } else { order })
        }

        pub fn store(&self, value: u64, order: Ordering) {
            let relaxed = left_out(Step::ReleaseStores);
            self.0.store(value, if relaxed { Ordering::Relaxed } else { order });
        }

        pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_add(value, order)
        }

        pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_sub(value, order)
        }

        pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_max(value, order)
        }

        pub(crate) fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_or(value, order)
        }

        pub(crate) fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_and(value, order)
        }

        pub(crate) fn compare_exchange(
            &self,
            before: u64,
            after: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.0.compare_exchange(before, after, success, failure)
        }

        pub(crate) fn compare_exchange_weak(
            &self,
            before: u64,
            after: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.0.compare_exchange_weak(before, after, success, failure)
        }
    }

    /// `loom`'s mutex behind `parking_lot`'s signature.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a model that panics has already failed")
        }
    }

    /// `loom`'s read-write lock behind `parking_lot`'s signature.
    #[derive(Debug)]
    pub(crate) struct RwLock<T>(loom::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> loom::sync::RwLockReadGuard<'_, T> {
            self.0.read().expect("a model that panics has already failed")
        }

        pub(crate) fn write(&self) -> loom::sync::RwLockWriteGuard<'_, T> {
            self.0.write().expect("a model that panics has already failed")
        }
    }

    /// Unlocks: a model tries every order in which others come then.
    pub(crate) fn hand_over<T>(guard: loom::sync::RwLockWriteGuard<'_, T>) {
        drop(guard);
    }
}
