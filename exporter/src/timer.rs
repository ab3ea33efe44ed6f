//! Timers: a histogram gets the time that a piece of code takes, in seconds.
//!
//! Recording in the core reads no clock, since most programs have an instant at hand. A timer reads the monotonic clock
//! twice, some 25 ns each.

use dynamo_metrics_core::{Histogram, IntegerHistogram, NativeHistogram, Summary};
use std::time::{Duration, Instant};

/// A metric that takes durations: a [`Histogram`], an [`IntegerHistogram`], a [`NativeHistogram`] or a
/// [`Summary`].
///
/// ```
/// use dynamo_metrics_exporter::{Buckets, ObserveDuration, Registry};
///
/// let registry = Registry::new();
/// let buckets = Buckets::new([0.01, 0.1, 1.0])?;
/// let latency = registry.histogram(("latency_seconds", "Time to answer."), &buckets)?;
///
/// let timer = latency.start_timer();
/// let seconds = timer.observe_duration();
/// assert!(seconds < 1.0);
/// let answer = latency.observe_closure_duration(|| 6 * 7);
/// assert_eq!((answer, latency.get().counts.iter().sum::<u64>()), (42, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ObserveDuration {
    /// Observes a number of seconds.
    fn observe_seconds(&self, seconds: f64);

    /// Observes a duration, in seconds.
    fn observe_time(&self, duration: Duration) {
        self.observe_seconds(duration.as_secs_f64());
    }

    /// Starts a timer, which observes the time since then when it is stopped or dropped.
    fn start_timer(&self) -> Timer<'_, Self>
    where
        Self: Sized,
    {
        Timer { metric: self, start: Instant::now() }
    }

    /// Calls `f`, observes the time that it took, also where it panics, and returns its value.
    fn observe_closure_duration<T>(&self, f: impl FnOnce() -> T) -> T
    where
        Self: Sized,
    {
        let _timer = self.start_timer();
        f()
    }
}

impl ObserveDuration for Histogram {
    fn observe_seconds(&self, seconds: f64) {
        self.observe(seconds);
    }
}

impl ObserveDuration for IntegerHistogram {
    fn observe_seconds(&self, seconds: f64) {
        self.observe_float(seconds);
    }

    fn observe_time(&self, duration: Duration) {
        const NANOS: u128 = 1_000_000_000;
        // Rounded to whole units; in nanoseconds exact. The product of the longest duration has 124 bits.
        let units = (duration.as_nanos() * u128::from(self.scale().per_one()) + NANOS / 2) / NANOS;
        self.observe(u64::try_from(units).unwrap_or(u64::MAX));
    }
}

impl ObserveDuration for NativeHistogram {
    fn observe_seconds(&self, seconds: f64) {
        self.observe(seconds);
    }
}

impl ObserveDuration for Summary {
    fn observe_seconds(&self, seconds: f64) {
        self.observe(seconds);
    }
}

/// A running timer. Observes its time once: at [`observe_duration`](Self::observe_duration) or when it is dropped, and
/// never after [`discard`](Self::discard).
///
/// ```
/// use dynamo_metrics_exporter::{Buckets, ObserveDuration, Registry};
///
/// let registry = Registry::new();
/// let latency = registry.histogram(("latency_seconds", "Time."), &Buckets::new([1.0])?)?;
/// let timer = latency.start_timer();
/// let seconds = timer.discard(); // the request failed, and its time would distort the others
/// assert!(seconds >= 0.0);
/// assert_eq!(latency.get().counts, [0, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a timer that is dropped at once observes next to nothing"]
pub struct Timer<'a, M: ObserveDuration> {
    metric: &'a M,
    start: Instant,
}

impl<M: ObserveDuration> Timer<'_, M> {
    /// Returns the time since the start.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Stops the timer, observes its time and returns it, in seconds.
    pub fn observe_duration(self) -> f64 {
        let seconds = self.stop();
        self.metric.observe_seconds(seconds);
        std::mem::forget(self);
        seconds
    }

    /// Stops the timer without an observation and returns its time, in seconds.
    pub fn discard(self) -> f64 {
        let seconds = self.stop();
        std::mem::forget(self);
        seconds
    }

    fn stop(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

impl<M: ObserveDuration> Drop for Timer<'_, M> {
    fn drop(&mut self) {
        self.metric.observe_seconds(self.stop());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[derive(Default)]
    struct Observed(RefCell<Vec<f64>>);

    impl ObserveDuration for Observed {
        fn observe_seconds(&self, seconds: f64) {
            self.0.borrow_mut().push(seconds);
        }
    }

    #[test]
    fn a_timer_observes_once_however_it_ends() {
        let observed = Observed::default();
        let seconds = observed.start_timer().observe_duration();
        assert_eq!(*observed.0.borrow(), [seconds]);
        drop(observed.start_timer());
        assert_eq!(observed.0.borrow().len(), 2);
        observed.start_timer().discard();
        assert_eq!(observed.0.borrow().len(), 2);
    }

    #[test]
    fn seconds_become_whole_units() {
        let buckets = dynamo_metrics_core::Buckets::new([1.0]).unwrap();
        let registry = dynamo_metrics_core::Registry::new();
        let scale = dynamo_metrics_core::Scale::Nano;
        let times = registry.integer_histogram(("t_seconds", ""), &buckets, scale).unwrap();
        // More digits than an `f64` has.
        times.observe_time(Duration::new(10_000_000, 234_567_891));
        [0.1, -1.0, f64::NAN].into_iter().for_each(|seconds| times.observe_seconds(seconds));
        let value = times.get();
        assert_eq!(
            (value.sum.to_string(), value.counts),
            ("10000000.334567891".into(), vec![1, 1])
        );
    }

    #[test]
    fn a_closure_that_panics_is_observed() {
        let observed = Observed::default();
        let panics = || -> u8 { std::panic::resume_unwind(Box::new("on purpose")) };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            observed.observe_closure_duration(panics)
        }));
        assert!(result.is_err());
        assert_eq!(observed.0.borrow().len(), 1);
    }

    #[test]
    fn times_are_seconds_since_the_start() {
        let observed = Observed::default();
        let start = Instant::now().checked_sub(Duration::from_secs(3)).unwrap();
        let seconds = Timer { metric: &observed, start }.observe_duration();
        assert!((3.0..60.0).contains(&seconds), "{seconds}");
        observed.observe_time(Duration::from_millis(250));
        assert_eq!(observed.0.borrow()[1], 0.25);
    }
}
