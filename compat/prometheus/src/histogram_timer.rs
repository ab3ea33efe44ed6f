//! Timers of histograms, shared and of one thread.

use crate::histogram::Histogram;
use crate::instant::Instant;
use crate::local_histogram::LocalHistogram;

/// A timer of a [`Histogram`].
pub type HistogramTimer = Timer<Histogram>;

/// A timer of a [`LocalHistogram`].
pub type LocalHistogramTimer = Timer<LocalHistogram>;

/// A histogram that a [`Timer`] observes.
#[doc(hidden)]
pub trait Observe {
    fn observe_seconds(&self, seconds: f64);
}

impl Observe for Histogram {
    fn observe_seconds(&self, seconds: f64) {
        self.observe(seconds);
    }
}

impl Observe for LocalHistogram {
    fn observe_seconds(&self, seconds: f64) {
        self.observe(seconds);
    }
}

/// A timer of a histogram. It observes its seconds when it is dropped, unless it was stopped.
#[must_use = "a timer that is dropped at once observes nothing"]
#[derive(Debug)]
pub struct Timer<H: Observe> {
    histogram: H,
    observed: bool,
    start: Instant,
}

impl<H: Observe> Timer<H> {
    pub(crate) fn new(histogram: H, start: Instant) -> Self {
        Self { histogram, observed: false, start }
    }

    /// Observes the seconds since the start.
    pub fn observe_duration(self) {
        self.stop_and_record();
    }

    /// Observes the seconds since the start and returns them.
    pub fn stop_and_record(mut self) -> f64 {
        self.stop(true)
    }

    /// Returns the seconds since the start, and observes nothing.
    pub fn stop_and_discard(mut self) -> f64 {
        self.stop(false)
    }

    fn stop(&mut self, record: bool) -> f64 {
        let seconds = self.start.elapsed_sec();
        self.observed = true;
        if record {
            self.histogram.observe_seconds(seconds);
        }
        seconds
    }
}

impl<H: Observe> Drop for Timer<H> {
    fn drop(&mut self) {
        if !self.observed {
            self.stop(true);
        }
    }
}
