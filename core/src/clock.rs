//! The clock that the caller gives to a registry; this crate reads no clock of its own.
//!
//! It is read when a series is created and when an exemplar has no time, never by a plain recording. A registry
//! without a clock stores no times.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A closure that returns the time since the Unix epoch.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    pub(crate) fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the time, or [`Millis::UNKNOWN`] when the clock panics.
    pub(crate) fn now(&self) -> Millis {
        // Unwind safe: nothing of the registry is borrowed here, and the clock owns the state that it may leave broken.
        catch_unwind(AssertUnwindSafe(|| (self.0)())).map_or(Millis::UNKNOWN, Millis::new)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A time in whole milliseconds since the Unix epoch, or none. At most half the size of an `Option<Duration>`, because a
/// million series keep one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(u64);

impl Millis {
    pub(crate) const UNKNOWN: Self = Self(u64::MAX);

    /// Rounds down to whole milliseconds; the largest time is in the year 584 million.
    pub(crate) fn new(since_epoch: Duration) -> Self {
        Self(since_epoch.as_millis().min(u128::from(u64::MAX - 1)) as u64)
    }

    pub(crate) fn get(self) -> Option<Duration> {
        (self != Self::UNKNOWN).then(|| Duration::from_millis(self.0))
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_milliseconds_and_never_overflow() {
        assert_eq!(Millis::new(Duration::from_micros(1_999)).get(), Some(Duration::from_millis(1)));
        assert_eq!(Millis::new(Duration::ZERO).get(), Some(Duration::ZERO));
        assert_eq!(
            Millis::new(Duration::MAX).get(),
            Some(Duration::from_millis(u64::MAX - 1)),
            "not taken for unknown"
        );
        assert_eq!(Millis::UNKNOWN.get(), None);
        let time = Millis::new(Duration::from_secs(7));
        assert_eq!(Millis::from_bits(time.to_bits()), time);
    }
}
