//! The time, from whoever made the registry: this crate reads no clock of its own.
//!
//! It is asked when a series is made and when an exemplar comes without a time, never by a plain recording. A
//! registry without a clock stores no times at all.

use crate::registry::Registry;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

impl Registry {
    /// An empty registry that knows the time: `clock` returns the time since the Unix epoch. Counters and histograms
    /// then remember when each series was made ([`SeriesSnapshot::created`](crate::SeriesSnapshot::created)), and
    /// exemplars that come without a time get one.
    ///
    /// Cost: 8 bytes a series of these kinds, and a call when it is made. A clock that panics is taken for one that
    /// does not know. No lock of the registry is held while it runs.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot};
    /// use std::time::{Duration, SystemTime, UNIX_EPOCH};
    ///
    /// let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    /// let registry = Registry::with_clock(now);
    /// registry.counter(("requests_total", "Requests."))?;
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "requests_total").unwrap();
    /// let created = family.parts().next().unwrap().series(0).unwrap().created().unwrap();
    /// assert!(created <= now() && now() - created < Duration::from_secs(60));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn with_clock(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self::build(Some(Clock(Arc::new(clock))))
    }
}

/// What returns the time since the Unix epoch.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// The time, or [`Millis::UNKNOWN`] when the clock panics.
    pub(crate) fn now(&self) -> Millis {
        // Nothing of ours is borrowed here; what a clock leaves behind when it panics is its own business.
        catch_unwind(AssertUnwindSafe(|| (self.0)())).map_or(Millis::UNKNOWN, Millis::new)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A time in whole milliseconds since the Unix epoch, or none: half the size of an `Option<Duration>` or less, since a
/// million series keep one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(u64);

impl Millis {
    pub(crate) const UNKNOWN: Self = Self(u64::MAX);

    /// Rounds down. The end of time is in the year 584 million.
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
