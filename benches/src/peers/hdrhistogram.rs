//! `hdrhistogram`: a histogram of thousands of buckets, by a shift. Not of the same kind as those with bounds of
//! one's own, and without an exposition; listed because it is the fastest that others measure with.

use crate::measure::Case;
use crate::values::Data;
use hdrhistogram::{Histogram, SyncHistogram};
use std::sync::Mutex;

/// Microseconds up to a minute, with 3 digits.
const MICROS_MAX: u64 = 60_000_000;

pub(crate) fn histogram(data: &Data) -> Vec<Case> {
    let shared = Mutex::new(SyncHistogram::from(plain()));
    vec![
        Case::over("hdrhistogram record (one thread's own)", &data.latencies_micros, || {
            let mut histogram = plain();
            move |value| histogram.saturating_record(value)
        }),
        Case::over("hdrhistogram Recorder", &data.latencies_micros, move || {
            let mut recorder = shared.lock().expect("nobody panics here").recorder();
            move |value| recorder.saturating_record(value)
        }),
    ]
}

fn plain() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("valid bounds")
}
