//! The state of a process that shares metrics: its file, its families and its series.

use crate::mapping::Cells;
use crate::slot::{FamilyRecord, Slot};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) directory: PathBuf,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) slot: Slot,
    /// The process that writes the file's records.
    pub(crate) pid: u32,
    /// Raised when a forked process takes a file of its own.
    pub(crate) generation: usize,
    pub(crate) families: Vec<FamilyRecord>,
    /// Places in `families`, by what tells them apart.
    pub(crate) by_key: HashMap<Box<[u8]>, usize>,
    /// By family and values.
    pub(crate) series: HashMap<(usize, Box<[u8]>), Arc<Series>>,
    /// Series that were removed and of which there may be handles.
    pub(crate) removed: Vec<Weak<Series>>,
}

/// A series of this process.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) member: Weak<Member>,
    pub(crate) cells: Cells,
    /// The family and the values.
    pub(crate) key: (usize, Box<[u8]>),
    /// The first word of its record.
    pub(crate) at: AtomicUsize,
    /// That of the file in which the record is.
    pub(crate) generation: AtomicUsize,
    pub(crate) is_removed: AtomicBool,
}

impl Drop for Series {
    fn drop(&mut self) {
        // The counts of a series that was not removed stay, with or without a handle.
        if !self.is_removed.load(Ordering::Relaxed) {
            return;
        }
        let Some(member) = self.member.upgrade() else { return };
        let mut state = member.lock();
        let is_here = state.pid == std::process::id();
        if is_here && state.generation == self.generation.load(Ordering::Relaxed) {
            let at = self.at.load(Ordering::Relaxed);
            state.slot.recycle(at, self.key.1.len(), self.cells.len());
        }
    }
}

impl Member {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in there is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
