//! The time of a series' last recording, as sweeps find it.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time at which a series was last recorded, as sweeps find it.
#[derive(Debug, Default)]
pub(crate) struct Recency {
    /// True if it was recorded since the last sweep.
    touched: AtomicBool,
    /// The time of the sweep that found it recorded, or found it first.
    seen: Mutex<Option<Duration>>,
}

impl Recency {
    /// Notes a recording. Relaxed: the flag orders nothing. It is read first, so that threads share its line until a sweep resets
    /// it.
    #[inline]
    pub(crate) fn touch(&self) {
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
    }

    /// Notes the time if the series is new, or was recorded since the last sweep.
    pub(crate) fn look(&self, now: Duration) {
        let touched = self.touched.swap(false, Ordering::Relaxed);
        let mut seen = self.seen.lock();
        if touched || seen.is_none() {
            *seen = Some(now);
        }
    }

    /// Returns whether the series was not recorded for longer than the timeout.
    pub(crate) fn is_idle(&self, now: Duration, timeout: Duration) -> bool {
        self.seen.lock().is_some_and(|seen| now.saturating_sub(seen) > timeout)
    }
}
