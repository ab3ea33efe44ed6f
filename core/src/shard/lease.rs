//! Thread -> shard: how a recording finds its cells, and how a shard comes back when its thread ends.
//!
//! The fast path is one load of a const-initialised thread-local without a destructor and a null check. (A
//! lazy or `Drop`-carrying thread-local costs 2 ns a use.) The destructor lives in a second thread-local that
//! only the first recording of a thread touches.
//!
//! ```text
//! LEASE   own     the fast path; None before the first recording and after the thread's end
//!         phase   why `own` is None; one byte, so that a signal handler never sees half of it
//!         shard   the leased shard; read only in the phases that say it is there
//!         locals  local handles alive; the shard is not given back before the last of them
//!         turn    which cell of a sum is next, see arena/sum.rs
//! GUARD   (has a Drop)  gives the shard back when the thread ends
//! ```
//!
//! All that a recording asks of its thread is in `LEASE`: in a shared library each thread-local is a call
//! (docs/decisions/0001-thread-local-in-shared-libraries.md).
//!
//! **What comes after the end.** Destructors of other thread-locals may run after the guard's and record. By then the
//! shard may be another thread's, so they write the fallback. `tests/loom_lease.rs` runs [`Lease`] through every
//! interleaving of that.
//!
//! **A signal handler may record at any instruction**, also in the middle of the thread's first recording. So each field is
//! one word, the compiler may not reorder their stores ([`compiler_fence`]), and `own` is looked at again once the phase says
//! that this thread is attaching. `tests/first_recording.rs` stops after every instruction and records there.

use super::cells::Base;
use super::{CellIndex, Shard, Shards, shards};
use crate::sync::{AtomicU64, Ordering};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::compiler_fence;

#[cfg(not(loom))]
use std::thread_local;

#[cfg(not(loom))]
thread_local! {
    static LEASE: Lease = const { Lease::new() };
    static GUARD: Guard = const { Guard(()) };
}
#[cfg(loom)]
loom::thread_local! {
    static LEASE: Lease = Lease::new();
    static GUARD: Guard = Guard(());
}

/// One thread's record of its shard. It has no destructor, so it is there for as long as the thread runs any code.
#[derive(Debug)]
pub struct Lease {
    own: Cell<Option<Base>>,
    phase: Cell<Phase>,
    shard: Cell<Option<&'static Shard>>,
    locals: Cell<u32>,
    turn: Cell<usize>,
}

const _: () =
    assert!(!std::mem::needs_drop::<Lease>(), "a destructor would make every recording ask for it");
const _: () = assert!(size_of::<Phase>() == 1, "a signal handler could see half of a phase");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// No recording yet.
    Unattached,
    /// The shard is leased, and `own` is set unless the thread's end has just begun.
    Attached,
    /// The guard has run, but local handles still write the shard.
    Ending,
    /// The shard was given back, or there never was one to be had, or it is being leased: recordings go to the fallback.
    Detached,
}

impl Lease {
    /// The lease of a thread that has not recorded yet.
    pub const fn new() -> Self {
        Self {
            own: Cell::new(None),
            phase: Cell::new(Phase::Unattached),
            shard: Cell::new(None),
            locals: Cell::new(0),
            turn: Cell::new(0),
        }
    }

    /// The thread's own block; else what `attach` gives.
    #[inline(always)]
    pub(crate) fn writer_or(&self, attach: impl FnOnce() -> Option<Writer>) -> Option<Writer> {
        self.own.get().map(Writer::Own).or_else(attach)
    }

    /// The writer of a thread whose `own` is `None`: attaches the thread, or falls back. `guard` says whether
    /// [`end`](Self::end) will be called when the thread ends; if not, it is past its end and gets no shard. `None` when even
    /// the fallback cannot be had.
    pub(crate) fn attach(&self, shards: &Shards, guard: impl FnOnce() -> bool) -> Option<Writer> {
        if self.phase.get() == Phase::Unattached {
            // A recording that comes meanwhile on this thread, of a signal handler or of an allocator that counts, takes the
            // fallback: it would come here again, without end, or lease a second shard that is never given back.
            self.set(Phase::Detached);
            if self.own.get().is_some() {
                // A signal handler attached the thread between the look at the phase and the line above.
                self.set(Phase::Attached);
            } else if let Some(shard) = guard().then(|| shards.lease()).flatten() {
                self.shard.set(Some(shard));
                self.set(Phase::Attached);
                self.own.set(Some(shard.cells().base()));
            }
        }
        match self.own.get() {
            Some(base) => Some(Writer::Own(base)),
            None => Some(Writer::Shared(shards.fallback()?.cells().base())),
        }
    }

    /// The thread ends: gives the shard back, or leaves that to the last local handle.
    pub fn end(&self, shards: &Shards) {
        if self.phase.get() == Phase::Attached {
            self.own.set(None);
            if self.locals.get() == 0 {
                self.detach(shards);
            } else {
                self.set(Phase::Ending);
            }
        }
    }

    /// Stores the phase after all stores before this call, and before all after it, as a signal handler on this thread
    /// sees them.
    fn set(&self, phase: Phase) {
        // SeqCst is the strength that orders stores with stores; the partner is a signal handler on the same thread, and no
        // instruction is emitted.
        compiler_fence(Ordering::SeqCst);
        self.phase.set(phase);
        compiler_fence(Ordering::SeqCst);
    }

    /// A local handle begins to write the shard.
    pub fn hold(&self) {
        self.locals.set(self.locals.get() + 1);
    }

    /// A local handle is gone. The last one gives back the shard of a thread that has ended meanwhile.
    pub fn release(&self, shards: &Shards) {
        self.locals.set(self.locals.get() - 1);
        if self.locals.get() == 0 && self.phase.get() == Phase::Ending {
            self.detach(shards);
        }
    }

    fn detach(&self, shards: &Shards) {
        self.set(Phase::Detached);
        if let Some(shard) = self.shard.take() {
            shards.give_back(shard);
        }
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self::new()
    }
}

/// The way of one recording: the thread through its own shard, or one of many through the fallback.
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
    LEASE.with(|lease| lease.own.get())
}

/// The writer of one recording for a thread whose [`own`] is `None`: attaches it, or falls back, which is counted. `None`
/// when even the fallback cannot be had, which registration has already reported as an error.
#[cold]
#[inline(never)]
pub(crate) fn writer() -> Option<Writer> {
    let writer = attach();
    if let Some(Writer::Shared(_)) = writer {
        shards().count_fallback_recording();
    }
    writer
}

/// [`writer`] without a recording.
fn attach() -> Option<Writer> {
    // Touching the guard registers its destructor. When that is impossible the thread is past its end.
    LEASE.with(|lease| lease.attach(shards(), || GUARD.try_with(|_| ()).is_ok()))
}

/// [`Writer::add`] for a thread whose [`own`] is `None`. A whole recording and not only the writer, so that the caller ends
/// with a jump and keeps no registers: an `inc` is half as long, and of three in a row only the first asks for the shard.
#[cold]
#[inline(never)]
pub(crate) fn add_first(cell: CellIndex, n: u64) {
    if let Some(writer) = writer() {
        writer.add(cell, n);
    }
}

/// [`Writer::add_release`] for a thread whose [`own`] is `None`; see [`add_first`].
#[cold]
#[inline(never)]
pub(crate) fn add_release_first(cell: CellIndex, n: u64) {
    if let Some(writer) = writer() {
        writer.add_release(cell, n);
    }
}

/// [`Writer::add_f64_release`] for a thread whose [`own`] is `None`; see [`add_first`].
#[cold]
#[inline(never)]
pub(crate) fn add_f64_release_first(cell: CellIndex, v: f64) {
    if let Some(writer) = writer() {
        writer.add_f64_release(cell, v);
    }
}

/// A number that is 0 and 1 in turn, each thread on its own.
#[inline(always)]
pub(crate) fn turn() -> usize {
    LEASE.with(|lease| {
        let mine = lease.turn.get() ^ 1;
        lease.turn.set(mine);
        mine
    })
}

/// Adds to a cell of the calling thread's own shard, wrapping at 2^64, and returns what was in it before.
#[inline(always)]
pub(crate) fn add_own(cell: &AtomicU64, n: u64) -> u64 {
    // Relaxed: this thread is the only writer; readers need no order for a single number.
    let before = cell.load(Ordering::Relaxed);
    cell.store(before.wrapping_add(n), Ordering::Relaxed);
    before
}

impl Writer {
    /// Adds to a cell, wrapping at 2^64, and returns what was in it before.
    #[inline(always)]
    pub(crate) fn add(self, index: CellIndex, n: u64) -> u64 {
        match self {
            Self::Own(base) => add_own(base.cell(index), n),
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
    not_send: PhantomData<*const ()>,
}

impl LocalLease {
    /// The calling thread's block, and the lease that keeps it the thread's. `None` for a thread without a shard: the
    /// fallback is written by read-modify-write, and a local handle is the plain addition.
    pub(crate) fn take() -> Option<(Self, Base)> {
        LEASE.with(|lease| match lease.writer_or(attach)? {
            Writer::Own(base) => {
                lease.hold();
                Some((Self { not_send: PhantomData }, base))
            }
            Writer::Shared(_) => None,
        })
    }
}

impl Drop for LocalLease {
    fn drop(&mut self) {
        LEASE.with(|lease| lease.release(shards()));
    }
}

/// Gives the thread's shard back when the thread ends.
struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        // It is always there but in a model, where all of a thread's go at once; then the shard stays leased.
        let _ = LEASE.try_with(|lease| lease.end(shards()));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_records_while_the_shard_is_being_leased_takes_the_fallback() {
        let shards: &'static Shards = Box::leak(Box::new(Shards::new()));
        let lease = Lease::new();
        let cell = CellIndex::new(0).unwrap();
        // A signal handler, or an allocator that counts, in the middle of the thread's first recording.
        let guard = || {
            lease.attach(shards, || true).unwrap().add(cell, 1);
            true
        };
        lease.attach(shards, guard).unwrap().add(cell, 10);
        lease.writer_or(|| unreachable!("attached by now")).unwrap().add(cell, 10);
        assert_eq!(shards.fallback().unwrap().read(cell), 1);
        assert_eq!(shards.iter().map(|shard| shard.read(cell)).sum::<u64>(), 21);
        lease.end(shards);
        assert_eq!(shards.lease().unwrap().read(cell), 20, "given back, the only one");
        assert_eq!(shards.count(), 1);
    }

    #[test]
    fn a_thread_past_its_end_has_no_local_handles() {
        struct Late(crate::Counter);
        impl Drop for Late {
            fn drop(&mut self) {
                assert!(self.0.local().is_none(), "no plain addition in a shared block");
                self.0.inc();
            }
        }
        thread_local! {
            static LATE: Cell<Option<Late>> = const { Cell::new(None) };
        }
        let counter = crate::Registry::new().counter(("late_total", "")).unwrap();
        let late = Late(counter.clone());
        std::thread::spawn(move || {
            LATE.with(|place| place.set(Some(late)));
            // The guard comes later and goes first.
            LATE.with(|place| {
                let late = place.take().unwrap();
                late.0.local().unwrap().inc();
                place.set(Some(late));
            });
        })
        .join()
        .unwrap();
        assert_eq!(counter.get(), 2);
    }
}
