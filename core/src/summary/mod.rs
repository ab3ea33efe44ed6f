//! Summaries: quantiles over a sliding window, in cells laid out as hdrhistogram lays out its counts.
//!
//! ```text
//! observe(v):  c = top bits of v, from the range's lower octave     one shift and one subtraction
//!              cells[c] += 1;  sums[turn] += v                    see histogram.rs
//! scrape:      open slice = totals - totals at the last cut
//!              quantiles of the open slice and the closed ones of the window, by hdrhistogram
//!              cut, when the open slice is older than window / slices
//! ```
//!
//! Recording knows nothing of time: the scrape cuts.

mod opts;
mod scrape;

pub(crate) use opts::SummaryLayout;
pub use opts::SummaryOpts;
pub(crate) use scrape::{SummaryScrape, SummaryState};

use crate::buckets::INFINITY_BITS;
use crate::cut::read;
use crate::descriptor::{Kind, Opts};
use crate::error::RegisterError;
use crate::family::{Family, Metric, sealed};
use crate::lookup::AnyHandle;
use crate::registry::Registry;
use crate::series::{Numbers, SeriesRef};
use crate::shard::{CellIndex, Writer, own, writer};
use crate::sum::turn;
use scrape::total;
use std::sync::Arc;

/// A distribution of values as quantiles over a sliding window.
///
/// Quantiles cannot be aggregated over processes; prefer a [`NativeHistogram`](crate::NativeHistogram) where the
/// scraper takes them. NaN, negative and infinite values are treated as by [`Histogram`](crate::Histogram): the first
/// two are not counted, an infinite one is counted and left out of the sum.
///
/// ```
/// use dynamo_metrics_core::{Registry, Snapshot, SummaryOpts, Value};
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
    cells: CellIndex,
    sums: CellIndex,
    series: SeriesRef,
}

/// Count and sum of one summary at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryValue {
    /// Observations since the beginning.
    pub count: u64,
    /// Sum of the finite ones.
    pub sum: f64,
}

impl Summary {
    /// Records one value.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.observe_n(v, 1);
    }

    /// Records `n` equal values at the price of one. The sum grows by `v * n`.
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

    /// Count and sum now, over all threads. For tests and displays: it reads every shard and allocates.
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

    /// NaN, infinities, negative values and -0.0; a thread's first observation.
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
}

impl sealed::Sealed for Summary {}
impl Metric for Summary {
    const KIND: Kind = Kind::Summary;

    fn into_any(self) -> AnyHandle {
        AnyHandle::Summary(self)
    }

    #[inline]
    fn from_any(any: &AnyHandle) -> Option<&Self> {
        match any {
            AnyHandle::Summary(handle) => Some(handle),
            _ => None,
        }
    }

    #[inline]
    fn series(&self) -> &SeriesRef {
        &self.series
    }

    fn bind(series: SeriesRef) -> Self {
        let Numbers::Summary(cut) = series.numbers() else {
            unreachable!("a summary has its cells")
        };
        let (cells, sums) = (cut.cells.cell(), cut.sums.cell());
        let layout = series.shape.descriptor.summary.clone();
        let layout = layout.unwrap_or_else(|| unreachable!("a summary has a layout"));
        Self { layout, cells, sums, series }
    }
}

impl Registry {
    /// A summary without labels of its own.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::SummaryOpts;
    ///
    /// let wait = registry.summary(("wait_seconds", "Time in the queue."), &SummaryOpts::new())?;
    /// wait.observe(0.5);
    /// assert_eq!((wait.get().count, wait.get().sum), (1, 0.5));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::Summary`] for options that cannot be.
    pub fn summary(
        &self,
        opts: impl Into<Opts>,
        summary: &SummaryOpts,
    ) -> Result<Summary, RegisterError> {
        Ok(self.summary_family(opts, [], summary)?.with([]))
    }

    /// Summaries told apart by label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::SummaryOpts;
    ///
    /// let wait = registry.summary_family(("wait_seconds", "Time."), ["model"], &SummaryOpts::new())?;
    /// wait.with(["qwen3-0.6b"]).observe(0.5);
    /// assert_eq!(wait.with(["qwen3-0.6b"]).get().count, 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    pub fn summary_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        summary: &SummaryOpts,
    ) -> Result<Family<Summary, N>, RegisterError> {
        let opts = opts.into();
        let layout = summary
            .layout()
            .map_err(|source| RegisterError::Summary { name: opts.name.clone(), source })?;
        let mut asked = self.descriptor(opts, Kind::Summary, &label_names, None)?;
        asked.summary = Some(Arc::new(layout));
        self.family_of(asked)
    }
}
