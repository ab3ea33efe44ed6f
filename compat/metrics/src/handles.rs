//! The handles that the facade records through, over those of the core.

use crate::recency::Recency;
use dynamo_metrics_core::{Counter, Gauge, Histogram, NativeHistogram, Summary};
use metrics::{CounterFn, GaugeFn, HistogramFn};
use parking_lot::Mutex;
use std::sync::Arc;

/// Puts calls of `absolute` in order. One for all counters: such calls are rare, and each reads every shard.
static ABSOLUTE: Mutex<()> = Mutex::new(());

/// A handle that tells the sweep of idle series of each recording.
#[derive(Debug)]
pub(crate) struct Tracked<T> {
    pub(crate) inner: T,
    pub(crate) recency: Arc<Recency>,
}

impl<T> Tracked<T> {
    #[inline]
    fn touch(&self) {
        self.recency.touch();
    }
}

/// A counter of the core.
#[derive(Debug)]
pub(crate) struct CounterHandle(pub(crate) Counter);

impl CounterFn for CounterHandle {
    #[inline]
    fn increment(&self, value: u64) {
        self.0.add(value);
    }

    /// Adds what the total lacks to `value`. Increments that come during the call count as later ones.
    fn absolute(&self, value: u64) {
        if self.0.get() >= value {
            return;
        }
        // Two calls with one value must not both add what it lacks.
        let _one_at_a_time = ABSOLUTE.lock();
        let lacking = value.saturating_sub(self.0.get());
        if lacking > 0 {
            self.0.add(lacking);
        }
    }
}

/// A gauge of the core.
#[derive(Debug)]
pub(crate) struct GaugeHandle(pub(crate) Gauge);

impl GaugeFn for GaugeHandle {
    #[inline]
    fn increment(&self, value: f64) {
        self.0.add(value);
    }

    #[inline]
    fn decrement(&self, value: f64) {
        self.0.sub(value);
    }

    #[inline]
    fn set(&self, value: f64) {
        self.0.set(value);
    }
}

/// A histogram, native histogram or summary of the core.
#[derive(Debug)]
pub(crate) struct HistogramHandle<H>(pub(crate) H);

/// Implements the facade's trait over handles with `observe` and `observe_n`.
macro_rules! histogram {
    ($($handle:ty),*) => {
        $(impl HistogramFn for HistogramHandle<$handle> {
            #[inline]
            fn record(&self, value: f64) {
                self.0.observe(value);
            }

            #[inline]
            fn record_many(&self, value: f64, count: usize) {
                self.0.observe_n(value, count as u64);
            }
        })*
    };
}

histogram!(Histogram, NativeHistogram, Summary);

impl<T: CounterFn> CounterFn for Tracked<T> {
    #[inline]
    fn increment(&self, value: u64) {
        self.inner.increment(value);
        self.touch();
    }

    fn absolute(&self, value: u64) {
        self.inner.absolute(value);
        self.touch();
    }
}

impl<T: GaugeFn> GaugeFn for Tracked<T> {
    #[inline]
    fn increment(&self, value: f64) {
        self.inner.increment(value);
        self.touch();
    }

    #[inline]
    fn decrement(&self, value: f64) {
        self.inner.decrement(value);
        self.touch();
    }

    #[inline]
    fn set(&self, value: f64) {
        self.inner.set(value);
        self.touch();
    }
}

impl<T: HistogramFn> HistogramFn for Tracked<T> {
    #[inline]
    fn record(&self, value: f64) {
        self.inner.record(value);
        self.touch();
    }

    #[inline]
    fn record_many(&self, value: f64, count: usize) {
        self.inner.record_many(value, count);
        self.touch();
    }
}
