//! Forks of a process in which threads of the library run.
//!
//! These threads (a server's, an engine's) read pages without the interpreter lock, so a fork may come while one of them holds a
//! lock of the registry, which no thread of the child will release. So **in the child of such a process, whatever may take a lock
//! raises `RuntimeError` for metrics that the parent made**; recordings take none, and a runtime that the child makes has
//! locks of its own. (One lock of the process is shared, that of the arena, which no page takes.) The child of a process without such
//! threads has full use of all metrics.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::fmt::Display;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Forks between the first process and this one that came while threads ran.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// Servers, engines, and pages that are being written in this process. Raised with the interpreter lock, which a fork has, too.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Told by the package, with `os.register_at_fork`, that this process is a new child.
#[pyfunction]
pub(crate) fn _forked() -> PyResult<()> {
    if RUNNING.swap(0, Ordering::Relaxed) > 0 {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    crate::swap::rejoin()
}

/// The process in which something was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin(u32);

impl Origin {
    pub(crate) fn here() -> Self {
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Raises `RuntimeError` in a child of a process whose threads may have held the locks of `thing`.
    #[inline]
    pub(crate) fn check(self, thing: impl Display) -> PyResult<()> {
        if self == Self::here() { Ok(()) } else { Err(forked(&thing)) }
    }
}

#[cold]
fn forked(thing: &dyn Display) -> PyErr {
    PyRuntimeError::new_err(format!(
        "{thing} is of a process that forked this one while its page was served or its engines were read, so its locks may never \
         be released; create a DistributedRuntime after the fork"
    ))
}

/// A thread of the library, from before it begins until after it has ended.
#[derive(Debug)]
pub(crate) struct Running(Origin);

impl Running {
    pub(crate) fn begin(_py: Python<'_>) -> Self {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        Self(Origin::here())
    }

    /// Returns whether the thread is in this process, and not in one that forked it.
    pub(crate) fn is_here(&self) -> bool {
        self.0 == Origin::here()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_here() {
            RUNNING.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
