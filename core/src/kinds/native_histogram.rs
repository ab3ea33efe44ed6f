//! Native histograms: a dense window of exponential buckets, recorded like a [`Histogram`](crate::Histogram).
//!
//! ```text
//! observe(v):  c = cell of |v|                              one table load and one comparison, see layout/grid.rs
//!              cells[c] += 1                                relaxed
//!              sums[turn] += v                              release; see histogram.rs
//! scrape:      all sums (acquire), then all cells; merged and trimmed in place, see snapshot/native.rs
//! ```
//!
//! client_golang keeps a map of the populated buckets and halves the resolution when there are too many. Here every
//! bucket of a range has a cell from the start (pages are committed when they are first written), so a recording needs no
//! lookup in a map, and only scrapes lower the resolution.

use crate::arena::baseline::read;
use crate::arena::sum::turn;
use crate::layout::{INFINITY_BITS, NativeLayout, overflow_index};
use crate::series::Exemplar;
use crate::series::{SeriesRef, Storage};
use crate::shard::{SpanStart, Writer, own, writer};
use std::sync::Arc;

/// A distribution of values over exponential buckets.
///
/// [`NativeBuckets`](crate::NativeBuckets) has the defaults: buckets that grow by 9 % over 2^-32 to 2^32. Values above the
/// range are counted in the overflow bucket, which has no upper bound; values up to its lower end are counted in the zero
/// bucket.
///
/// Cost of [`observe`](Self::observe): a table lookup, a comparison and two additions in memory that only this thread writes. A
/// series has a cell of 8 bytes for each bucket in the range, in each thread that records in it: 4 KiB for the defaults.
///
/// Special values, each counted in `dynamo_metrics_rejected_observations_total{family,reason}`, are treated as by
/// [`Histogram`](crate::Histogram):
///
/// * NaN is not recorded. (client_golang counts it in `_count`, and the sum becomes NaN.)
/// * An infinite value is counted in the overflow bucket but not added to the sum. (client_golang makes the sum infinite.)
/// * A negative value is not recorded unless the buckets are [`signed`](crate::NativeBuckets::signed).
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
    cells: SpanStart,
    sums: SpanStart,
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

/// The values of one native histogram at one instant, at full resolution and since its creation.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeHistogramValue {
    /// The resolution of the indices.
    pub schema: i8,
    /// The number of observations in the zero bucket.
    pub zero_count: u64,
    /// The native index and count of every populated bucket, ascending, the overflow bucket included.
    pub positive: Vec<(i32, u64)>,
    /// The same for negative values, by magnitude.
    pub negative: Vec<(i32, u64)>,
    /// The sum of the finite observations.
    pub sum: f64,
}

impl NativeHistogram {
    /// Records one value.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.observe_n(v, 1);
    }

    /// Records `n` equal values at the cost of one. The sum grows by `v * n`.
    #[inline]
    pub fn observe_n(&self, v: f64, n: u64) {
        let bits = v.to_bits();
        // One comparison excludes NaN, infinities and all values with a sign.
        if bits < INFINITY_BITS
            && (n == 1 || (v * n as f64).is_finite())
            && let Some(base) = own()
        {
            self.write(Writer::Own(base), self.layout.grid.cell(bits), v, n);
        } else {
            self.observe_slowly(v, n);
        }
    }

    /// Records one value and stores an exemplar in place of the *classic* bucket's previous one, as
    /// [`Histogram::observe_with_exemplar`](crate::Histogram::observe_with_exemplar) does, at the same cost.
    pub fn observe_with_exemplar(&self, v: f64, exemplar: &Exemplar) {
        // The count first, so that a scrape that sees the exemplar has counted its value.
        self.observe(v);
        if v.is_finite()
            && (v >= 0.0 || self.layout.signed)
            && let Some(classic) = self.series.metadata.descriptor.buckets()
        {
            self.series.exemplify(classic.index(v), v, exemplar);
        }
    }

    /// Counts `n` values that have no finite sum, without reporting them.
    pub(super) fn count_infinite(&self, v: f64, n: u64) {
        let cell = match v.is_infinite() {
            true => self.layout.side(),
            false => self.layout.grid.cell(v.abs().to_bits()),
        };
        let cell = if v < 0.0 && cell > 0 { self.layout.side() + cell } else { cell };
        if let Some(writer) = own().map(Writer::Own).or_else(writer) {
            self.write(writer, cell, 0.0, n);
        }
    }

    /// Returns the values over all threads. For tests and displays, because it reads every shard and allocates.
    pub fn get(&self) -> NativeHistogramValue {
        let layout = &*self.layout;
        let mut cells = vec![0; layout.len() as usize];
        let sum = read(self.cells, &mut cells, self.sums);
        let edge = layout.grid.edge_index();
        let overflow = overflow_index(layout.grid.schema);
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

    /// Records NaN, infinities, negative values and -0.0; a thread's first observation.
    #[inline(never)]
    fn observe_slowly(&self, v: f64, n: u64) {
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

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        let baseline = match series.storage() {
            Storage::Native(baseline) => baseline,
            Storage::Dual(dual) => &dual.native,
            _ => unreachable!("a native histogram has its cells"),
        };
        let (cells, sums) = (baseline.cells.start(), baseline.sums.start());
        let layout = series.metadata.descriptor.native.clone();
        let layout = layout.unwrap_or_else(|| unreachable!("a native histogram has a layout"));
        Self { layout, cells, sums, series }
    }
}
