//! Thread -> shard: how a recording finds its cells, and how a shard comes back when its thread ends.
//!
//! The fast path is one load of a const-initialised thread-local without a destructor and a null check. (A
//! lazy or `Drop`-carrying thread-local costs 2 ns a use.) The destructor lives in a second thread-local that
//! only the first recording of a thread touches.
//!
//! ```text
//! OWN     Cell<Option<Base>>   the fast path; None before the first recording and after the thread's end
//! PHASE   Cell<Phase>          why OWN is None
//! GUARD   Guard (has a Drop)   gives the shard back when the thread ends
//! LOCALS  Cell<u32>            local handles alive; the shard is not given back before the last of them
//! ```

use super::cells::Base;
use super::{CellIndex, Shard, shards};
use crate::sync::{AtomicU64, Ordering};
use std::cell::Cell;
use std::marker::PhantomData;

#[cfg(not(loom))]
use std::thread_local;

#[cfg(not(loom))]
thread_local! {
    static OWN: Cell<Option<Base>> = const { Cell::new(None) };
    static PHASE: Cell<Phase> = const { Cell::new(Phase::Unattached) };
    static LOCALS: Cell<u32> = const { Cell::new(0) };
    static GUARD: Guard = const { Guard(()) };
}
#[cfg(loom)]
loom::thread_local! {
    static OWN: Cell<Option<Base>> = Cell::new(None);
    static PHASE: Cell<Phase> = Cell::new(Phase::Unattached);
    static LOCALS: Cell<u32> = Cell::new(0);
    static GUARD: Guard = Guard(());
}

#[derive(Clone, Copy)]
enum Phase {
    /// No recording yet.
    Unattached,
    /// `OWN` is set.
    Attached(&'static Shard),
    /// The guard has run, but local handles still write the shard.
    Ending(&'static Shard),
    /// The shard was given back, or there never was one to be had: recordings go to the fallback.
    Detached,
}

/// Who records: the thread through its own shard, or one of many through the fallback.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writer {
    /// The only writer of this block: load, add, store.
    Own(Base),
    /// One of many: read-modify-write.
    Shared(Base),
}

/// The calling thread's block, when it has one already.
#[inline(always)]
pub(crate) fn own() -> Option<Base> {
    OWN.with(Cell::get)
}

/// The writer for a thread whose [`own`] is `None`: attaches it, or falls back. `None` when even the fallback
/// cannot be had, which registration has already reported as an error.
#[cold]
#[inline(never)]
pub(crate) fn writer() -> Option<Writer> {
    if let Phase::Unattached = PHASE.with(Cell::get) {
        attach();
    }
    match PHASE.with(Cell::get) {
        Phase::Attached(shard) => Some(Writer::Own(shard.cells().base())),
        _ => Some(Writer::Shared(shards().fallback()?.cells().base())),
    }
}

fn attach() {
    // Touching the guard registers its destructor. When that is impossible the thread is past its end.
    let shard = GUARD.try_with(|_| ()).ok().and_then(|()| shards().lease());
    match shard {
        Some(shard) => {
            PHASE.with(|phase| phase.set(Phase::Attached(shard)));
            OWN.with(|own| own.set(Some(shard.cells().base())));
        }
        None => PHASE.with(|phase| phase.set(Phase::Detached)),
    }
}

impl Writer {
    /// Adds to a cell, wrapping at 2^64, and returns what was in it before.
    #[inline(always)]
    pub(crate) fn add(self, index: CellIndex, n: u64) -> u64 {
        match self {
            Self::Own(base) => {
                let cell = base.cell(index);
                // Relaxed: this thread is the only writer; readers need no order for a single number.
                let before = cell.load(Ordering::Relaxed);
                cell.store(before.wrapping_add(n), Ordering::Relaxed);
                before
            }
            Self::Shared(base) => base.cell(index).fetch_add(n, Ordering::Relaxed),
        }
    }

    /// [`add`](Self::add), ordered after everything this thread wrote before: a reader that sees the new value
    /// (`Shard::read`, Acquire) sees those writes too.
    #[inline(always)]
    pub(crate) fn add_release(self, index: CellIndex, n: u64) {
        match self {
            Self::Own(base) => {
                let cell = base.cell(index);
                let before = cell.load(Ordering::Relaxed);
                // Release pairs with the Acquire in `Shard::read`.
                cell.store(before.wrapping_add(n), Ordering::Release);
            }
            Self::Shared(base) => {
                base.cell(index).fetch_add(n, Ordering::Release);
            }
        }
    }

    /// Adds to a cell that holds an `f64`, with the order of [`add_release`](Self::add_release).
    #[inline(always)]
    pub(crate) fn add_f64_release(self, index: CellIndex, v: f64) {
        match self {
            Self::Own(base) => {
                let cell = base.cell(index);
                let before = f64::from_bits(cell.load(Ordering::Relaxed));
                // Release pairs with the Acquire in `Shard::read`.
                cell.store((before + v).to_bits(), Ordering::Release);
            }
            Self::Shared(base) => {
                add_f64_shared(base.cell(index), v);
            }
        }
    }
}

/// Adds to a shared `f64` by compare-and-swap. Release on success pairs with the Acquire in `Shard::read`.
pub(crate) fn add_f64_shared(cell: &AtomicU64, v: f64) {
    let mut before = cell.load(Ordering::Relaxed);
    loop {
        let after = (f64::from_bits(before) + v).to_bits();
        match cell.compare_exchange_weak(before, after, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(seen) => before = seen,
        }
    }
}

/// Keeps the thread's shard leased for as long as a local handle may write it, even past the guard's `Drop`
/// (a local handle may itself sit in a thread-local that is torn down later).
#[derive(Debug)]
pub(crate) struct LocalLease {
    /// Whether this lease counts in `LOCALS` (the fallback needs no lease).
    counted: bool,
    not_send: PhantomData<*const ()>,
}

impl LocalLease {
    /// The calling thread's writer, and the lease that keeps it valid. `None` as for [`writer`].
    pub(crate) fn take() -> Option<(Self, Writer)> {
        let writer = match own() {
            Some(base) => Writer::Own(base),
            None => writer()?,
        };
        let counted = matches!(writer, Writer::Own(_));
        if counted {
            LOCALS.with(|locals| locals.set(locals.get() + 1));
        }
        Some((Self { counted, not_send: PhantomData }, writer))
    }
}

impl Drop for LocalLease {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let left = LOCALS.with(|locals| {
            locals.set(locals.get() - 1);
            locals.get()
        });
        if left == 0
            && let Phase::Ending(shard) = PHASE.with(Cell::get)
        {
            detach(shard);
        }
    }
}

/// Gives the thread's shard back when the thread ends.
struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        if let Phase::Attached(shard) = PHASE.with(Cell::get) {
            OWN.with(|own| own.set(None));
            if LOCALS.with(Cell::get) == 0 {
                detach(shard);
            } else {
                PHASE.with(|phase| phase.set(Phase::Ending(shard)));
            }
        }
    }
}

fn detach(shard: &'static Shard) {
    OWN.with(|own| own.set(None));
    PHASE.with(|phase| phase.set(Phase::Detached));
    shards().give_back(shard);
}
