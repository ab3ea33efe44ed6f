//! Instants, which the caller of each recording passes.
//!
//! A frontend reads the clock once for a chunk of tokens and passes the reading to each recording; a simulation or a
//! replay passes virtual instants. So recording takes a [`Timestamp`] and never reads a clock. The one exception is a
//! request that is dropped before its end: it reads the [`Clock`] of its metrics.

use dynamo_metrics_core::Scale;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An instant: nanoseconds since an origin that is fixed for as long as the process runs. 2^64 of them are 584
/// years.
///
/// ```
/// use dynamo_metrics::Timestamp;
/// use std::time::Duration;
///
/// let start = Timestamp::from_nanos(5);
/// let end = start.saturating_add(Duration::from_millis(250));
/// assert_eq!(end.seconds_since(start), 0.25);
/// assert_eq!(start.seconds_since(end), 0.0, "time that goes backwards counts as none");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Returns the instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the instant `duration` later, at most the last representable one.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// Returns the time from `earlier` to this instant, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns [`since`](Self::since) in seconds.
    #[inline]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        Scale::Nano.fraction(self.nanos_since(earlier), 1)
    }

    /// Returns [`since`](Self::since) in nanoseconds.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A source of instants. Readings should not go backwards; where they do, durations are zero.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the present instant.
    fn now(&self) -> Timestamp;
}

/// The operating system's monotonic clock, with its origin at the creation of the value.
///
/// ```
/// use dynamo_metrics::{Clock, MonotonicClock};
///
/// let clock = MonotonicClock::new();
/// let before = clock.now();
/// assert!(clock.now() >= before);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    origin: Instant,
}

impl MonotonicClock {
    /// Creates a clock whose origin is the present instant.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Timestamp {
        Timestamp(nanos(self.origin.elapsed()))
    }
}

/// A clock that stands still until it is moved: for tests, simulations and replays.
///
/// ```
/// use dynamo_metrics::{Clock, Timestamp, VirtualClock};
/// use std::time::Duration;
///
/// let clock = VirtualClock::new();
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now(), Timestamp::from_nanos(2_000_000_000));
/// clock.set(Timestamp::from_nanos(1));
/// assert_eq!(clock.now().as_nanos(), 1);
/// ```
#[derive(Debug, Default)]
pub struct VirtualClock {
    nanos: AtomicU64,
}

impl VirtualClock {
    /// Creates a clock that stands at its origin.
    pub const fn new() -> Self {
        Self { nanos: AtomicU64::new(0) }
    }

    /// Sets the clock to an instant, which may be before the present one.
    pub fn set(&self, now: Timestamp) {
        // Relaxed: one number that orders nothing else, here and below.
        self.nanos.store(now.0, Ordering::Relaxed);
    }

    /// Moves the clock forward by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.nanos.fetch_add(nanos(duration), Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_the_closest_double() {
        let at = |nanos| Timestamp::from_nanos(nanos);
        assert_eq!(at(1_900_000).seconds_since(at(0)), 0.0019);
        assert_eq!(at(2_200_000).seconds_since(at(0)), 0.0022);
        assert_eq!(Scale::Nano.fraction(at(9_000_000).nanos_since(at(3_000_000)), 3), 0.002);
        assert_eq!(at(260_000_000_000).seconds_since(at(0)), 260.0);
    }

    #[test]
    fn the_ends_of_time_saturate() {
        let last = Timestamp::from_nanos(u64::MAX);
        assert_eq!(last.saturating_add(Duration::from_secs(1)), last);
        assert_eq!(Timestamp::default().saturating_add(Duration::MAX), last);
        assert_eq!(Timestamp::default().since(last), Duration::ZERO);
    }
}
