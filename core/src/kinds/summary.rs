//! Summaries: quantiles over a sliding window, in cells laid out as hdrhistogram lays out its counts.
//!
//! ```text
//! observe(v):  c = top bits of v, from the range's lower octave     one shift and one subtraction
//!              cells[c] += 1;  sums[turn] += v                    see histogram.rs
//! scrape:      open slice = totals - totals when the slice began
//!              quantiles of the open slice and the closed ones of the window, by hdrhistogram
//!              close the open slice if it is older than window / slices
//! ```
//!
//! Recordings read no clock; scrapes move the window.

use crate::arena::baseline::{read, total};
use crate::arena::sum::turn;
use crate::layout::{INFINITY_BITS, SummaryLayout};
use crate::series::{SeriesRef, Storage};
use crate::shard::{SpanStart, Writer, own, writer};
use std::sync::Arc;

/// A distribution of values as quantiles over a sliding window.
///
/// Quantiles cannot be aggregated over processes; prefer a [`NativeHistogram`](crate::NativeHistogram) if the scraper
/// supports it. NaN and negative values are not recorded; an infinite value is counted but not added to the sum, as by
/// [`Histogram`](crate::Histogram).
///
/// [`SummaryOpts`](crate::SummaryOpts) has the defaults: the quantiles 0.5, 0.9 and 0.99 of the last ten minutes in five
/// slices, to 1 % of values from 1e-6 to 1e6. Values outside of that range count as its nearer end; the sum counts them as they
/// are. The window moves only in scrapes with a time: of a registry [with a clock](crate::Registry::with_clock), or by
/// [`Snapshot::take_at`](crate::Snapshot::take_at).
///
/// Cost of [`observe`](Self::observe): a shift and two additions in memory that only this thread writes. A series with the
/// defaults takes some 40 KiB in each thread that records in it, in pages that are committed when they are first written, and as
/// many again for its scrapes.
///
/// ```
/// use dynamo_metrics_core::{Registry, Snapshot, SummaryOpts, snapshot::Value};
///
/// let registry = Registry::new();
/// let tokens = registry.summary(("tokens", "Tokens of an answer."), &SummaryOpts::new())?;
/// (1..=1000).for_each(|n| tokens.observe(f64::from(n)));
/// let mut snapshot = Snapshot::new();
/// snapshot.take(&registry);
/// let family = snapshot.families().find(|family| family.name() == "tokens").unwrap();
/// let value = family.parts().next().unwrap().series(0).unwrap().value();
/// let Value::Summary { count: 1000, sum: 500_500.0, quantiles } = value else { panic!() };
/// assert!((quantiles[1] - 900.0).abs() <= 9.0, "0.9 to two digits");
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Summary {
    layout: Arc<SummaryLayout>,
    cells: SpanStart,
    sums: SpanStart,
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

/// The count and sum of one summary at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryValue {
    /// The number of observations since its creation.
    pub count: u64,
    /// The sum of the finite observations.
    pub sum: f64,
}

impl Summary {
    /// Records one value.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.observe_n(v, 1);
    }

    /// Records `n` equal values at the cost of one. The sum grows by `v * n`.
    #[inline]
    pub fn observe_n(&self, v: f64, n: u64) {
        let bits = v.to_bits();
        if bits < INFINITY_BITS
            && (n == 1 || (v * n as f64).is_finite())
            && let Some(base) = own()
        {
            self.write(Writer::Own(base), bits, v, n);
        } else {
            self.observe_slowly(v, n);
        }
    }

    /// Returns count and sum over all threads. For tests and displays, because it reads every shard and allocates.
    pub fn get(&self) -> SummaryValue {
        let mut cells = vec![0; self.layout.len() as usize];
        let sum = read(self.cells, &mut cells, self.sums);
        SummaryValue { count: total(&cells), sum }
    }

    #[inline(always)]
    fn write(&self, writer: Writer, bits: u64, v: f64, n: u64) {
        writer.add(self.cells.offset(self.layout.cell(bits)), n);
        writer.add_f64_release(self.sums.offset(turn()), v * n as f64);
    }

    /// Records NaN, infinities, negative values and -0.0; a thread's first observation.
    #[cold]
    #[inline(never)]
    fn observe_slowly(&self, v: f64, n: u64) {
        if n == 0 {
            return;
        }
        if v.is_nan() {
            return self.series.reject("nan", n);
        }
        if v < 0.0 {
            return self.series.reject("negative", n);
        }
        let finite = (v * n as f64).is_finite();
        if !finite {
            self.series.reject("infinite", n);
        }
        if let Some(writer) = own().map(Writer::Own).or_else(writer) {
            self.write(writer, v.abs().to_bits(), if finite { v } else { 0.0 }, n);
        }
    }

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        let Storage::Summary(baseline) = series.storage() else {
            unreachable!("a summary has its cells")
        };
        let (cells, sums) = (baseline.cells.start(), baseline.sums.start());
        let layout = series.metadata.descriptor.summary.clone();
        let layout = layout.unwrap_or_else(|| unreachable!("a summary has a layout"));
        Self { layout, cells, sums, series }
    }
}
