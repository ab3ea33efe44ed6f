//! Instants come from the caller.
//!
//! A frontend reads the clock once for a chunk of tokens and hands the reading to everything that wants one;
//! a simulation or a replay hands in virtual instants. So recording takes a [`Timestamp`] and never reads a
//! clock. The one exception is a guard that is dropped without a last word: it asks the [`Clock`] that its
//! metrics were made with.

use dynamo_metrics_core::Registry;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant and `duration` more; the last representable instant if that is beyond it.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// Time from `earlier` to this instant, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// [`since`](Self::since) in seconds.
    #[inline]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.seconds_since_over(earlier, 1)
    }

    /// The `n`th part of [`seconds_since`](Self::seconds_since), for `n > 0`, rounded once.
    #[inline]
    pub(crate) fn seconds_since_over(self, earlier: Self, n: u64) -> f64 {
        // One division, so that 1.9 ms is the double closest to 0.0019 and falls into the bucket of that name.
        let elapsed_ns = self.0.saturating_sub(earlier.0);
        let elapsed_ns = if elapsed_ns < 1 << 52 {
            // The number as the mantissa of 2^52 + number. The plain conversion instruction of x86-64 waits for
            // what was in its register before, which in a token loop is the last token's sum (seen: 15 ns a token
            // instead of 4).
            f64::from_bits(TWO_TO_THE_52.to_bits() | elapsed_ns) - TWO_TO_THE_52
        } else {
            far(elapsed_ns)
        };
        elapsed_ns / (NANOS_PER_SECOND * n as f64)
    }
}

const NANOS_PER_SECOND: f64 = 1e9;
const TWO_TO_THE_52: f64 = 4_503_599_627_370_496.0;

/// More than 52 days. Not inlined: the compiler would convert both ways for every token and take one.
#[cold]
#[inline(never)]
fn far(elapsed_ns: u64) -> f64 {
    elapsed_ns as f64
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Where instants come from. Readings should not go backwards; where they do, durations are zero.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The instant now.
    fn now(&self) -> Timestamp;
}

/// The operating system's monotonic clock, with its origin where the value was made.
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
    /// A clock whose origin is now.
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
    /// A clock that stands at its origin.
    pub const fn new() -> Self {
        Self { nanos: AtomicU64::new(0) }
    }

    /// Sets it to an instant, which may lie before the present one.
    pub fn set(&self, now: Timestamp) {
        // Relaxed: one number that orders nothing else, here and below.
        self.nanos.store(now.0, Ordering::Relaxed);
    }

    /// Moves it on by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.nanos.fetch_add(nanos(duration), Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.nanos.load(Ordering::Relaxed))
    }
}

/// A registry whose series know when they were made, by the system's clock: scrapers that ask for protobuf get start
/// timestamps, exemplars get a time, and windows of summaries move. Recording reads no clock.
///
/// ```
/// let registry = dynamo_metrics::new_registry();
/// registry.counter(("requests_total", "Requests."))?.inc();
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
pub fn new_registry() -> Registry {
    // A clock set before 1970 is taken for one that stands at the epoch.
    Registry::with_clock(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_the_closest_double() {
        let at = |nanos| Timestamp::from_nanos(nanos);
        assert_eq!(at(1_900_000).seconds_since(at(0)), 0.0019);
        assert_eq!(at(2_200_000).seconds_since(at(0)), 0.0022);
        assert_eq!(at(9_000_000).seconds_since_over(at(3_000_000), 3), 0.002);
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
