//! The state of a process that shares metrics: its file, its families and its series.

use crate::mapping::Cells;
use crate::mode::Reading;
use crate::record;
use crate::slot::{FamilyRecord, Slot};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of the labels of an exemplar: the 128 characters that OpenMetrics allows, in the longest form. A longer one is not kept.
pub const EXEMPLAR_BYTES_MAX: usize = 512;

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
    /// The series, by family and values.
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

impl Drop for Member {
    /// Takes the cells from handles of removed series, because the next process gives them to other series.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for removed in state.removed.drain(..).filter_map(|it| it.upgrade()) {
            removed.cells.move_to(&Cells::nowhere(removed.cells.len()));
        }
    }
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

impl State {
    /// Takes series off the page that are no longer in `series`.
    pub(crate) fn hide(&mut self, gone: &[Arc<Series>]) {
        let removed = &mut self.removed;
        // Only those that have no handle any more go, and only where the list would grow: each removal takes as long as the first.
        if removed.len() == removed.capacity() {
            removed.retain(|series| series.strong_count() > 0);
        }
        removed.extend(gone.iter().map(Arc::downgrade));
        for series in gone {
            series.is_removed.store(true, Ordering::Relaxed);
            self.slot.hide(series.at.load(Ordering::Relaxed));
        }
    }
}

/// Handles of a series without another one than the caller's: that one, and the state's.
const LAST: usize = 2;

impl Series {
    /// Removes this process's share, unless there is another handle; returns whether it did. The caller has one handle.
    pub(crate) fn remove(self: &Arc<Self>) -> bool {
        let Some(member) = self.member.upgrade() else { return false };
        let mut state = member.lock();
        // In a fork that has not joined again, the record is the parent's.
        if state.pid != std::process::id() || Arc::strong_count(self) > LAST {
            return false;
        }
        // Removed before, and another one may have the place.
        if self.is_removed.load(Ordering::Relaxed) || state.series.remove(&self.key).is_none() {
            return false;
        }
        state.hide(std::slice::from_ref(self));
        true
    }

    /// Makes this the newest exemplar of a bucket. The caller records the value before. In a fork that has not joined again, and where
    /// there is no room, the one before stays.
    pub(crate) fn exemplify(&self, bucket: usize, value: f64, labels: &[(&str, &str)]) {
        let Some(member) = self.member.upgrade() else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut strings = Vec::new();
        let all = || labels.iter().flat_map(|&(name, value)| [name, value]);
        if all().map(str::len).sum::<usize>() > EXEMPLAR_BYTES_MAX {
            return;
        }
        record::pack(&mut strings, all());
        let mut state = member.lock();
        let is_here = state.generation == self.generation.load(Ordering::Relaxed);
        if state.pid != std::process::id() || !is_here || self.is_removed.load(Ordering::Relaxed) {
            return;
        }
        let kind = state.families[self.key.0].kind;
        let at = self.at.load(Ordering::Relaxed);
        let reading = Reading { value, time: now };
        if state.slot.exemplify(at, (kind, bucket), &strings, reading).is_err() {
            state.slot.count_refused();
        }
    }
}

impl Member {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in there is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
