//! Memory for one block of cells: reserved at once, made writable from its beginning as cells are handed out.
//!
//! ```text
//! reserved   [ header, cells that were handed out | cells that may be handed out later        ]
//! access       read and write                       read; nothing is charged or resident
//! ```
//!
//! Only what may be written is charged to a process: by `RLIMIT_DATA`, and to the machine where
//! `vm.overcommit_memory` is 2. The rest costs address space, which `RLIMIT_AS` counts (see `headroom.rs`). It can be read,
//! so that a scrape may look at any cell of any shard, whoever grows what meanwhile.
//!
//! **What is locked.** `mlockall(MCL_FUTURE)` would make the whole reservation resident and charge it to `RLIMIT_MEMLOCK`. So the
//! block is made without any access, which leaves nothing to make resident, and unlocked before it gets some. Its pages are
//! resident once they are touched, and not locked.

#![allow(unsafe_code)]

pub(super) use imp::Memory;

/// Bytes that become writable at once: the largest page that a kernel may have, so its ends are ends of pages.
#[cfg(not(miri))]
pub(super) const COMMIT_BYTES: usize = 1 << 16;

#[cfg(all(unix, not(miri)))]
mod imp {
    use super::COMMIT_BYTES;
    #[cfg(target_os = "linux")]
    use rustix::mm::{Advice, madvise};
    use rustix::mm::{
        MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munlock, munmap,
    };
    use std::ptr::{NonNull, null_mut};

    /// A private mapping, all zero at first.
    #[derive(Debug)]
    pub(in super::super) struct Memory {
        start: NonNull<u8>,
        len: usize,
    }

    impl Memory {
        /// Reserves `len` bytes that can be read. `None` when the operating system refuses.
        pub(in super::super) fn reserve(len: usize) -> Option<Self> {
            #[cfg(target_os = "linux")]
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            #[cfg(not(target_os = "linux"))]
            let flags = MapFlags::PRIVATE;
            // SAFETY: a new mapping, at an address of the kernel's choice.
            let start =
                unsafe { mmap_anonymous(null_mut(), len, ProtFlags::empty(), flags) }.ok()?;
            let memory = Self { start: NonNull::new(start.cast())?, len };
            // A refusal means that nothing was locked.
            // SAFETY: all of the mapping made above.
            let _ = unsafe { munlock(start, len) };
            // One touched cell should cost a page, not a huge one. A kernel without the advice has no huge pages
            // either, so a refusal changes nothing.
            // SAFETY: all of the mapping made above, and the advice changes no contents.
            #[cfg(target_os = "linux")]
            let _ = unsafe { madvise(start, len, Advice::LinuxNoHugepage) };
            if memory.protect(len, MprotectFlags::READ) {
                return Some(memory);
            }
            memory.release();
            None
        }

        /// Makes the first `bytes` bytes writable, and what follows up to the next multiple of [`COMMIT_BYTES`]. False when
        /// the operating system refuses.
        pub(in super::super) fn commit(&self, bytes: usize) -> bool {
            let bytes = bytes.next_multiple_of(COMMIT_BYTES).min(self.len);
            self.protect(bytes, MprotectFlags::READ | MprotectFlags::WRITE)
        }

        /// Sets the access to the first `bytes` bytes, of which there are no more than `len`.
        fn protect(&self, bytes: usize, access: MprotectFlags) -> bool {
            debug_assert!(bytes <= self.len);
            // SAFETY: a part of the own mapping, which is never read-only again once it was made writable.
            unsafe { mprotect(self.start.as_ptr().cast(), bytes, access) }.is_ok()
        }

        /// The first byte.
        pub(in super::super) fn start(&self) -> NonNull<u8> {
            self.start
        }

        /// Gives the memory back. No other code may have its address.
        pub(in super::super) fn release(self) {
            // SAFETY: the own mapping, whose address only `self` has.
            let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}

/// Zeroed memory of the system's allocator, where nothing can be reserved without being charged, and for Miri, which knows no
/// mappings. The program's allocator is not used: it may count by our own counters.
#[cfg(any(not(unix), miri))]
mod imp {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::ptr::NonNull;

    /// Memory of the system's allocator, all zero at first.
    #[derive(Debug)]
    pub(in super::super) struct Memory {
        start: NonNull<u8>,
        layout: Layout,
    }

    impl Memory {
        /// Takes `len` bytes. `None` when there are none.
        pub(in super::super) fn reserve(len: usize) -> Option<Self> {
            let layout = Layout::from_size_align(len, crate::shard::cells::ALIGNMENT).ok()?;
            // SAFETY: no block is empty.
            let start = unsafe { System.alloc_zeroed(layout) };
            Some(Self { start: NonNull::new(start)?, layout })
        }

        /// Everything can be written.
        pub(in super::super) fn commit(&self, _bytes: usize) -> bool {
            true
        }

        /// The first byte.
        pub(in super::super) fn start(&self) -> NonNull<u8> {
            self.start
        }

        /// Gives the memory back. No other code may have its address.
        pub(in super::super) fn release(self) {
            // SAFETY: taken from the same allocator with this layout, and only `self` has the address.
            unsafe { System.dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}
