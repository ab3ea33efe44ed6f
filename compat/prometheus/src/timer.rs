//! A clock of milliseconds that is cheap to read: a background thread keeps it up to date.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The beginning of the clock: its first reading.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// The latest reading, in milliseconds.
static RECENT: AtomicU64 = AtomicU64::new(0);
static UPDATER_STARTED: AtomicBool = AtomicBool::new(false);

/// Time between two readings of the background thread.
const UPDATE_INTERVAL: Duration = Duration::from_millis(200);

/// Returns a duration in milliseconds.
#[inline]
pub fn duration_to_millis(dur: Duration) -> u64 {
    dur.as_secs() * 1000 + u64::from(dur.subsec_millis())
}

/// Reads the clock: milliseconds since its first reading. It never decreases.
pub fn now_millis() -> u64 {
    let now = duration_to_millis(START.elapsed());
    RECENT.fetch_max(now, Ordering::Relaxed).max(now)
}

/// Returns the latest reading of [`now_millis`].
pub fn recent_millis() -> u64 {
    RECENT.load(Ordering::Relaxed)
}

/// Starts the thread that reads the clock every 200 ms, if none was started. Without a thread [`recent_millis`] stands still.
pub fn ensure_updater() {
    if !UPDATER_STARTED.swap(true, Ordering::AcqRel) {
        let thread = thread::Builder::new().name("time updater".into());
        let started = thread.spawn(|| {
            loop {
                thread::sleep(UPDATE_INTERVAL);
                now_millis();
            }
        });
        if started.is_err() {
            // The next caller tries again.
            UPDATER_STARTED.store(false, Ordering::Release);
        }
    }
}
