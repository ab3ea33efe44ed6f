//! Native histograms: a dense window of exponential buckets, recorded like a [`Histogram`](crate::Histogram).
//!
//! ```text
//! observe(v):  c = cell of |v|                              one table load and one comparison, see grid.rs
//!              cells[c] += 1                                relaxed
//!              sums[turn] += v                              release; see histogram.rs
//! scrape:      all sums (acquire), then all cells; merged and trimmed in place, see scrape.rs
//! ```
//!
//! client_golang keeps a map of the buckets that are populated and halves the resolution when there are too many.
//! Here every bucket of a range has a cell from the start (pages are committed when touched), so a recording never
//! looks anything up, and the resolution is lowered only in what a scrape shows.

mod buckets;
mod grid;
mod scrape;

pub use buckets::NativeBuckets;
pub(crate) use buckets::NativeLayout;
pub use scrape::{NativeBucketCounts, NativeValue};
pub(crate) use scrape::{NativeScrape, NativeState};

use crate::buckets::INFINITY_BITS;
use crate::cut::read;
use crate::descriptor::{Kind, Opts};
use crate::error::RegisterError;
use crate::exemplar::Exemplar;
use crate::family::{Family, Metric, sealed};
use crate::lookup::AnyHandle;
use crate::registry::Registry;
use crate::series::{Numbers, SeriesRef};
use crate::shard::{CellIndex, Writer, own, writer};
use crate::sum::turn;
use std::sync::Arc;

/// A distribution of values over exponential buckets.
///
/// What it does with odd values is what [`Histogram`](crate::Histogram) does: NaN is not counted at all (client_golang
/// counts it in `_count` and spoils the sum); an infinite value is counted in the overflow bucket but left out of the
/// sum (client_golang makes the sum infinite for ever); a negative one is not counted unless the buckets are
/// [`signed`](NativeBuckets::signed). Each of these shows in
/// `dynamo_metrics_rejected_observations_total{family,reason}`.
///
/// ```
/// use dynamo_metrics_core::{NativeBuckets, Registry};
///
/// let registry = Registry::new();
/// let buckets = NativeBuckets::new().schema(0).range(1.0, 1024.0);
/// let tokens = registry.native_histogram(("tokens", "Tokens of an answer."), &buckets)?;
/// tokens.observe(3.0);
/// tokens.observe_n(4.0, 2);
/// tokens.observe(5000.0);
/// let value = tokens.get();
/// assert_eq!(value.positive, [(2, 3), (1025, 1)], "2 < v <= 4, and above the range");
/// assert_eq!(value.sum, 5011.0);
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NativeHistogram {
    layout: Arc<NativeLayout>,
    cells: CellIndex,
    sums: CellIndex,
    series: SeriesRef,
}

/// The numbers of one native histogram at one instant, at full resolution and since the beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeHistogramValue {
    /// Resolution of the indices.
    pub schema: i8,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Native index and count of every populated bucket, ascending, the overflow's included.
    pub positive: Vec<(i32, u64)>,
    /// The same of negative values, by magnitude.
    pub negative: Vec<(i32, u64)>,
    /// Sum of the finite observations.
    pub sum: f64,
}

impl NativeHistogram {
    /// Records one value.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.observe_n(v, 1);
    }

    /// Records `n` equal values at the price of one. The sum grows by `v * n`.
    #[inline]
    pub fn observe_n(&self, v: f64, n: u64) {
        let bits = v.to_bits();
        // One comparison sorts out NaN, infinities and everything with a sign.
        if bits < INFINITY_BITS
            && (n == 1 || (v * n as f64).is_finite())
            && let Some(base) = own()
        {
            self.write(Writer::Own(base), self.layout.grid.cell(bits), v, n);
        } else {
            self.observe_otherwise(v, n);
        }
    }

    /// Records one value, and remembers what it was for: the newest exemplar of each *classic* bucket is kept, as by
    /// [`Histogram::observe_with_exemplar`](crate::Histogram::observe_with_exemplar), at the same price.
    pub fn observe_with_exemplar(&self, v: f64, exemplar: &Exemplar) {
        // First the count: a scrape that sees the exemplar sees what it stands for.
        self.observe(v);
        if v.is_finite()
            && (v >= 0.0 || self.layout.signed)
            && let Some(classic) = self.series.shape.descriptor.buckets()
        {
            self.series.exemplify(classic.index(v), v, exemplar);
        }
    }

    /// The numbers now, over all threads. For tests and displays: it reads every shard and allocates.
    pub fn get(&self) -> NativeHistogramValue {
        let layout = &*self.layout;
        let mut cells = vec![0; layout.len() as usize];
        let sum = read(self.cells, &mut cells, self.sums);
        let edge = layout.grid.edge_index();
        let overflow = grid::overflow_index(layout.grid.schema);
        let width = layout.grid.width as usize;
        let mut sides = cells[1..].chunks_exact(layout.side()).map(|side| {
            let counts = side.iter().enumerate().filter(|(_, count)| **count != 0);
            counts
                .map(|(at, &count)| {
                    (if at < width { edge + 1 + at as i32 } else { overflow }, count)
                })
                .collect()
        });
        NativeHistogramValue {
            schema: layout.grid.schema,
            zero_count: cells[0],
            positive: sides.next().unwrap_or_default(),
            negative: sides.next().unwrap_or_default(),
            sum,
        }
    }

    #[inline(always)]
    fn write(&self, writer: Writer, cell: usize, v: f64, n: u64) {
        writer.add(self.cells.offset(cell), n);
        writer.add_f64_release(self.sums.offset(turn()), v * n as f64);
    }

    /// NaN, infinities, negative values and -0.0; a thread's first observation.
    #[inline(never)]
    fn observe_otherwise(&self, v: f64, n: u64) {
        if n == 0 {
            return;
        }
        if v.is_nan() {
            return self.series.reject("nan", n);
        }
        if v < 0.0 && !self.layout.signed {
            return self.series.reject("negative", n);
        }
        let finite = (v * n as f64).is_finite();
        if !finite {
            self.series.reject("infinite", n);
        }
        let side = self.layout.side();
        let magnitude =
            if v.is_infinite() { side } else { self.layout.grid.cell(v.abs().to_bits()) };
        let cell = if v < 0.0 && magnitude > 0 { side + magnitude } else { magnitude };
        if let Some(writer) = own().map(Writer::Own).or_else(writer) {
            self.write(writer, cell, if finite { v } else { 0.0 }, n);
        }
    }
}

impl sealed::Sealed for NativeHistogram {}
impl Metric for NativeHistogram {
    const KIND: Kind = Kind::NativeHistogram;

    fn into_any(self) -> AnyHandle {
        AnyHandle::NativeHistogram(self)
    }

    #[inline]
    fn from_any(any: &AnyHandle) -> Option<&Self> {
        match any {
            AnyHandle::NativeHistogram(handle) => Some(handle),
            _ => None,
        }
    }

    #[inline]
    fn series(&self) -> &SeriesRef {
        &self.series
    }

    fn bind(series: SeriesRef) -> Self {
        let Numbers::Native(cut) = series.numbers() else {
            unreachable!("a native histogram has its cells")
        };
        let (cells, sums) = (cut.cells.cell(), cut.sums.cell());
        let layout = series.shape.descriptor.native.clone();
        let layout = layout.unwrap_or_else(|| unreachable!("a native histogram has a layout"));
        Self { layout, cells, sums, series }
    }
}

impl Registry {
    /// A native histogram without labels of its own. Formats without native histograms show it as a classic one, see
    /// [`NativeBuckets::classic`].
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::NativeBuckets;
    ///
    /// let latency = registry.native_histogram(("latency_seconds", "Time."), &NativeBuckets::new())?;
    /// latency.observe(0.02);
    /// latency.observe_n(0.5, 2);
    /// assert_eq!((latency.get().positive.len(), latency.get().sum), (2, 1.02));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::Native`] for buckets that cannot be.
    pub fn native_histogram(
        &self,
        opts: impl Into<Opts>,
        buckets: &NativeBuckets,
    ) -> Result<NativeHistogram, RegisterError> {
        Ok(self.native_histogram_family(opts, [], buckets)?.with([]))
    }

    /// Native histograms told apart by label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::NativeBuckets;
    ///
    /// let opts = ("latency_seconds", "Time.");
    /// let latency = registry.native_histogram_family(opts, ["model"], &NativeBuckets::new())?;
    /// latency.with(["qwen3-0.6b"]).observe(0.02);
    /// assert_eq!(latency.with(["qwen3-0.6b"]).get().sum, 0.02);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`native_histogram`](Self::native_histogram).
    pub fn native_histogram_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        buckets: &NativeBuckets,
    ) -> Result<Family<NativeHistogram, N>, RegisterError> {
        let opts = opts.into();
        let (layout, classic) = buckets
            .layout()
            .map_err(|source| RegisterError::Native { name: opts.name.clone(), source })?;
        let classic = Some(Arc::new(classic));
        let mut asked = self.descriptor(opts, Kind::NativeHistogram, &label_names, classic)?;
        asked.native = Some(Arc::new(layout));
        self.family_of(asked)
    }
}
