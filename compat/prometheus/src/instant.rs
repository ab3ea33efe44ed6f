//! Reading the clock.

use std::time::{Duration, Instant as StdInstant};

/// The instant at which a timer was started.
#[derive(Debug)]
pub(crate) struct Instant(StdInstant);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(StdInstant::now())
    }

    /// Returns the seconds since then.
    pub(crate) fn elapsed_sec(&self) -> f64 {
        duration_to_seconds(self.0.elapsed())
    }
}

/// Returns a duration in seconds.
pub(crate) fn duration_to_seconds(duration: Duration) -> f64 {
    duration.as_secs() as f64 + f64::from(duration.subsec_nanos()) / 1e9
}
