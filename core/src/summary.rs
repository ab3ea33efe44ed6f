//! Summaries: quantiles over a sliding window, in cells laid out as hdrhistogram lays out its counts.
//!
//! ```text
//! observe(v):  c = top bits of v, from the range's lower octave     one shift and one subtraction
//!              cells[c] += 1;  sums[turn] += v                               see histogram.rs
//! scrape:      open slice = totals - totals at the last cut
//!              quantiles of the open slice and the closed ones of the window, by hdrhistogram
//!              cut, when the open slice is older than window / slices
//! ```
//!
//! Recording knows nothing of time: the scrape cuts. Each octave has 16, 128 or 1024 cells of equal width for 1, 2 or 3
//! digits, hdrhistogram's layout, so a cell is one of its buckets and nothing is rounded twice.

use crate::buckets::INFINITY_BITS;
use crate::cut::{Cut, read};
use crate::descriptor::{Kind, Opts};
use crate::error::{RegisterError, SummaryError};
use crate::family::{Family, Metric, sealed};
use crate::histogram::turn;
use crate::lookup::AnyHandle;
use crate::registry::Registry;
use crate::series::{Numbers, SeriesRef};
use crate::shard::{CellIndex, Writer, own, writer};
use hdrhistogram::Histogram as Hdr;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Quantiles of one summary; each is a line in every scrape, and a walk over the cells.
const QUANTILES_MAX: usize = 32;
/// Slices of one window; each keeps the counts of its populated cells.
const SLICES_MAX: u32 = 64;
/// Octaves of a range: with the 11 bits of three digits a cell is a number below 2^62, which hdrhistogram takes.
const OCTAVES_MAX: u32 = 48;
const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// The options of a [`Summary`]. Checked at registration, where a mistake is
/// [`RegisterError::Summary`](crate::RegisterError::Summary).
///
/// ```
/// use dynamo_metrics_core::{Registry, SummaryOpts};
///
/// let registry = Registry::new();
/// let opts = SummaryOpts::new().quantiles([0.5, 0.99]).range(0.001, 100.0);
/// let latency = registry.summary(("latency_seconds", "Time to answer."), &opts)?;
/// latency.observe(0.25);
/// assert_eq!(latency.get().count, 1);
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryOpts {
    quantiles: Vec<f64>,
    window: Duration,
    slices: u32,
    range: (f64, f64),
    digits: u8,
}

impl SummaryOpts {
    /// The quantiles 0.5, 0.9 and 0.99 of the last ten minutes in five slices, over 10^-6..10^6, to two digits.
    pub fn new() -> Self {
        Self {
            quantiles: vec![0.5, 0.9, 0.99],
            window: Duration::from_secs(600),
            slices: 5,
            range: (1e-6, 1e6),
            digits: 2,
        }
    }

    /// The quantiles, ascending, each in `0..=1`; at most 32.
    #[must_use]
    pub fn quantiles(mut self, quantiles: impl IntoIterator<Item = f64>) -> Self {
        self.quantiles = quantiles.into_iter().collect();
        self
    }

    /// How far back quantiles look, in the time of the scrapes
    /// ([`Snapshot::take_at`](crate::Snapshot::take_at)); scrapes without a time never cut, and then quantiles are of
    /// everything since the last cut.
    ///
    /// A scrape covers at most `window` and at least `window - window / slices`, when scrapes are more frequent than
    /// slices. When they are rarer, each scrape cuts a slice; and when they are rarer than the window, a scrape
    /// covers everything since the last cut, which was less than a slice before the scrape before. All scrapers share the slices.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// In how many steps the window slides, `1..=64`.
    #[must_use]
    pub fn slices(mut self, slices: u32) -> Self {
        self.slices = slices;
        self
    }

    /// The values that quantiles tell apart, in the metric's unit. Values outside, 0 among them, count as the nearer
    /// end; the sum has them as they are. At most 48 octaves.
    ///
    /// A series has a cell of 8 bytes for each step of the resolution, in each thread that records there (pages are
    /// committed as they are touched), and the same once more for its scrapes: 41 KiB for the defaults.
    #[must_use]
    pub fn range(mut self, min: f64, max: f64) -> Self {
        self.range = (min, max);
        self
    }

    /// Significant digits, `1..=3`: a quantile differs from the value it stands for by at most `10^-digits` of it.
    #[must_use]
    pub fn digits(mut self, digits: u8) -> Self {
        self.digits = digits;
        self
    }

    fn layout(&self) -> Result<SummaryLayout, SummaryError> {
        let Self { quantiles, window, slices, range: (min, max), digits } = self;
        let (min, max) = (*min, *max);
        if quantiles.len() > QUANTILES_MAX {
            return Err(SummaryError::TooMany { len: quantiles.len(), max: QUANTILES_MAX });
        }
        if let Some(&quantile) = quantiles.iter().find(|q| !(0.0..=1.0).contains(*q)) {
            return Err(SummaryError::Quantile { quantile });
        }
        if let Some(pair) = quantiles.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(SummaryError::NotIncreasing { before: pair[0], after: pair[1] });
        }
        if window.is_zero() || !(1..=SLICES_MAX).contains(slices) {
            return Err(SummaryError::Window { window: *window, slices: *slices, max: SLICES_MAX });
        }
        if !(1..=3).contains(digits) {
            return Err(SummaryError::Digits { digits: *digits });
        }
        if !(min >= f64::MIN_POSITIVE && min < max && max.is_finite()) {
            return Err(SummaryError::Range { min, max, octaves: OCTAVES_MAX });
        }
        // hdrhistogram's: half of the power of two above 2 * 10^digits.
        let bits = [4, 7, 10][usize::from(*digits) - 1];
        let exponent = |v: f64| v.to_bits() >> MANTISSA_BITS;
        if exponent(max) - exponent(min) >= u64::from(OCTAVES_MAX) {
            return Err(SummaryError::Range { min, max, octaves: OCTAVES_MAX });
        }
        let shift = MANTISSA_BITS - bits;
        let first = exponent(min) << bits;
        Ok(SummaryLayout {
            quantiles: quantiles.iter().map(|q| q + 0.0).collect(),
            window: *window,
            slices: *slices,
            range: (min, max),
            digits: *digits,
            bits,
            shift,
            first,
            last: (max.to_bits() >> shift) - first,
        })
    }
}

impl Default for SummaryOpts {
    fn default() -> Self {
        Self::new()
    }
}

/// What a family's [`SummaryOpts`] come to.
#[derive(Debug)]
pub(crate) struct SummaryLayout {
    pub(crate) quantiles: Box<[f64]>,
    window: Duration,
    slices: u32,
    range: (f64, f64),
    digits: u8,
    /// Cells an octave, as a power of two.
    bits: u32,
    shift: u32,
    /// What the lower octave's start has left after the shift.
    first: u64,
    /// The last cell.
    last: u64,
}

impl SummaryLayout {
    /// Cells of one series.
    pub(crate) fn len(&self) -> u32 {
        self.last as u32 + 1
    }

    /// The cell of a positive value, given by its bits. What is outside of the range is in the first or last.
    #[inline(always)]
    fn cell(&self, bits: u64) -> usize {
        (bits >> self.shift).saturating_sub(self.first).min(self.last) as usize
    }

    /// The least number of a cell in hdrhistogram's terms: an octave starts at `2^bits`, the next at twice that.
    fn number(&self, cell: usize) -> u64 {
        let (octave, sub) = (cell >> self.bits, cell & ((1 << self.bits) - 1));
        ((1 << self.bits) + sub as u64) << octave
    }

    fn hdr(&self) -> Option<Hdr<u64>> {
        Hdr::new_with_bounds(1, self.number(self.len() as usize), self.digits).ok()
    }

    /// The middle of the cell that holds a quantile.
    fn quantile(&self, hdr: &Hdr<u64>, quantile: f64) -> f64 {
        let number = hdr.value_at_quantile(quantile);
        let middle =
            hdr.lowest_equivalent(number) as f64 + hdr.equivalent_range(number) as f64 / 2.0;
        let start = f64::from_bits(self.first << self.shift);
        (middle / (1u64 << self.bits) as f64 * start).clamp(self.range.0, self.range.1)
    }
}

/// For the error that says how two registrations differ.
impl fmt::Display for SummaryLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quantiles, window, slices, range: (min, max), digits, .. } = self;
        write!(f, "quantiles {quantiles:?}, window {window:?}, slices {slices}, ")?;
        write!(f, "range {min:?}..{max:?}, digits {digits}")
    }
}

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
            return self.series.reject("nan");
        }
        if v < 0.0 {
            return self.series.reject("negative");
        }
        let finite = (v * n as f64).is_finite();
        if !finite {
            self.series.reject("infinite");
        }
        if let Some(writer) = own().map(Writer::Own).or_else(writer) {
            self.write(writer, v.abs().to_bits(), if finite { v } else { 0.0 }, n);
        }
    }

    #[inline]
    pub(crate) fn series(&self) -> &SeriesRef {
        &self.series
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

/// What scrapes remember of one summary.
#[derive(Debug, Default)]
pub(crate) struct SummaryState {
    /// Totals at the last cut; empty before the first.
    before: Box<[u64]>,
    /// When the open slice began.
    open: Option<Duration>,
    /// Closed slices, oldest first.
    closed: VecDeque<Slice>,
    /// Memory of slices that left the window.
    spare: Vec<Vec<(u32, u64)>>,
}

#[derive(Debug)]
struct Slice {
    start: Duration,
    /// Cells that are not zero.
    counts: Vec<(u32, u64)>,
}

impl SummaryState {
    /// Turns the totals in `cells` into the counts of the window; says whether a slice was cut.
    fn slide(&mut self, cells: &mut [u64], layout: &SummaryLayout, now: Option<Duration>) -> bool {
        for (cell, before) in cells.iter_mut().zip(&self.before) {
            *cell = cell.wrapping_sub(*before);
        }
        let mut cut = false;
        let mut newest = None;
        if let Some(now) = now {
            // A clock that was set back must not stop the window until it has caught up.
            let start = self.open.map_or(now, |open| open.min(now));
            self.open = Some(start);
            let old = |slice: &Slice| slice.start + layout.window < now || slice.start > now;
            while self.closed.front().is_some_and(old) {
                self.spare.extend(self.closed.pop_front().map(|slice| slice.counts));
            }
            if now - start >= layout.window / layout.slices {
                newest = Some(self.close(cells, start));
                self.open = Some(now);
                cut = true;
            }
        }
        for &(cell, count) in self.closed.iter().flat_map(|slice| &slice.counts) {
            cells[cell as usize] = cells[cell as usize].wrapping_add(count);
        }
        self.closed.extend(newest);
        cut
    }

    /// The open slice, whose counts are in `cells`; the totals become the new zero.
    fn close(&mut self, cells: &[u64], start: Duration) -> Slice {
        if self.before.is_empty() {
            self.before = cells.into();
        } else {
            for (before, cell) in self.before.iter_mut().zip(cells) {
                *before = before.wrapping_add(*cell);
            }
        }
        let mut counts = self.spare.pop().unwrap_or_default();
        counts.clear();
        counts.extend((0..).zip(cells.iter().copied()).filter(|&(_, count)| count != 0));
        Slice { start, counts }
    }
}

/// One part's summaries at one scrape; memory is reused.
#[derive(Debug, Default)]
pub(crate) struct SummaryScrape {
    seen: Vec<u64>,
    totals: Vec<(u64, f64)>,
    /// Series after series.
    quantiles: Vec<f64>,
    hdr: Option<Hdr<u64>>,
}

impl SummaryScrape {
    /// To be called before the cells are read.
    pub(crate) fn begin(&mut self, list: &[SeriesRef]) {
        self.seen.clear();
        self.seen.extend(list.iter().map(|series| cut_of(series).generation()));
    }

    /// To be called when they are.
    pub(crate) fn finish(
        &mut self,
        list: &[SeriesRef],
        words: &mut [u64],
        floats: &[u64],
        now: Option<Duration>,
    ) {
        self.totals.clear();
        self.quantiles.clear();
        for (series, &seen) in list.iter().zip(&self.seen) {
            let layout = layout_of(series);
            let cut = cut_of(series);
            let (cells, sum) = cut.totals(words, floats);
            let totals = cut.with(seen, cells, sum, |state, cells, sum| {
                let totals = (total(cells), sum);
                let cut = state.slide(cells, layout, now);
                (totals, cut)
            });
            self.totals.push(totals);
            if self.hdr.is_none() {
                self.hdr = layout.hdr();
            }
            let Some(hdr) = self.hdr.as_mut() else { unreachable!("checked bounds make one") };
            hdr.reset();
            // hdrhistogram's ranks are exact up to 2^53 and its sums overflow beyond 2^64: larger counts are scaled down.
            let all: u128 = cells.iter().map(|&count| u128::from(count)).sum();
            let scale = (u128::BITS - all.leading_zeros()).saturating_sub(f64::MANTISSA_DIGITS);
            for (cell, &count) in cells.iter().enumerate().filter(|(_, count)| **count != 0) {
                hdr.saturating_record_n(layout.number(cell), count >> scale);
            }
            let empty = hdr.is_empty();
            let value = |&q| if empty { f64::NAN } else { layout.quantile(hdr, q) };
            self.quantiles.extend(layout.quantiles.iter().map(value));
        }
    }

    /// Count, sum and quantiles of the series at `at`.
    pub(crate) fn value(&self, at: usize) -> (u64, f64, &[f64]) {
        let (count, sum) = self.totals[at];
        let len = self.quantiles.len() / self.totals.len();
        (count, sum, &self.quantiles[at * len..][..len])
    }
}

fn total(cells: &[u64]) -> u64 {
    cells.iter().fold(0, |total, cell| total.wrapping_add(*cell))
}

fn cut_of(series: &SeriesRef) -> &Cut<SummaryState> {
    match series.numbers() {
        Numbers::Summary(cut) => cut,
        _ => unreachable!("a summary's series"),
    }
}

fn layout_of(series: &SeriesRef) -> &SummaryLayout {
    match &series.shape.descriptor.summary {
        Some(layout) => layout,
        None => unreachable!("a summary has a layout"),
    }
}
