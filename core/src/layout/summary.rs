//! The configuration of a summary, and its layout of cells.
//!
//! Each octave of the range has 16, 128 or 1024 cells of equal width for 1, 2 or 3 digits. That is hdrhistogram's layout,
//! so a cell is one of its buckets and no value is rounded twice.

use crate::error::SummaryError;
use hdrhistogram::Histogram as Hdr;
use std::fmt;
use std::time::Duration;

/// Largest number of quantiles of one summary; each is a line in every scrape, and a pass over the cells.
const QUANTILES_MAX: usize = 32;
/// Largest number of slices of one window; each keeps the counts of its populated cells.
const SLICES_MAX: u32 = 64;
/// Shortest slice: registries' clocks count whole milliseconds. Without a minimum every scrape at one instant would close
/// another slice, and the number of slices would be unbounded.
const SLICE_MIN: Duration = Duration::from_millis(1);
/// Largest number of octaves of a range: with the 11 bits of three digits a cell's number is below 2^62, hdrhistogram's limit.
const OCTAVES_MAX: u32 = 48;
const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// The options of a [`Summary`](crate::Summary). They are checked at registration, which fails with
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
    /// Returns the defaults: quantiles 0.5, 0.9 and 0.99 of the last ten minutes in five slices, over 10^-6..10^6, to two
    /// digits.
    pub fn new() -> Self {
        Self {
            quantiles: vec![0.5, 0.9, 0.99],
            window: Duration::from_secs(600),
            slices: 5,
            range: (1e-6, 1e6),
            digits: 2,
        }
    }

    /// Sets the quantiles, ascending, each in `0..=1`; at most 32.
    #[must_use]
    pub fn quantiles(mut self, quantiles: impl IntoIterator<Item = f64>) -> Self {
        self.quantiles = quantiles.into_iter().collect();
        self
    }

    /// Sets the length of the sliding window, in the time of the scrapes
    /// ([`Snapshot::take_at`](crate::Snapshot::take_at)). Scrapes without a time never close a slice; the quantiles then
    /// cover all observations since the last slice was closed.
    ///
    /// When scrapes are more frequent than slices, a scrape covers at least `window - window / slices` and at most
    /// `window`. When they are rarer, each scrape closes a slice. When they are rarer than the window, a scrape covers all
    /// observations since the last slice was closed, less than one slice before the previous scrape. All scrapers share the
    /// slices.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets the number of steps in which the window slides, `1..=64`, each of at least a millisecond.
    #[must_use]
    pub fn slices(mut self, slices: u32) -> Self {
        self.slices = slices;
        self
    }

    /// Sets the range of values that quantiles tell apart, in the metric's unit; at most 48 octaves. Values outside, 0
    /// included, count as the nearer end; the sum counts them as they are.
    ///
    /// A series has a cell of 8 bytes for each step of the resolution, in each thread that records in it (pages are
    /// committed when they are first written), and as many again for its scrapes: some 40 KiB for the defaults.
    #[must_use]
    pub fn range(mut self, min: f64, max: f64) -> Self {
        self.range = (min, max);
        self
    }

    /// Sets the number of significant digits, `1..=3`: the relative error of a quantile is at most `10^-digits`.
    #[must_use]
    pub fn digits(mut self, digits: u8) -> Self {
        self.digits = digits;
        self
    }

    /// Returns the layout that recording and scrapes use.
    pub(crate) fn layout(&self) -> Result<SummaryLayout, SummaryError> {
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
        if !(1..=SLICES_MAX).contains(slices) || *window / *slices < SLICE_MIN {
            return Err(SummaryError::Window {
                window: *window,
                slices: *slices,
                max: SLICES_MAX,
                least: SLICE_MIN,
            });
        }
        if !(1..=3).contains(digits) {
            return Err(SummaryError::Digits { digits: *digits });
        }
        if !(min >= f64::MIN_POSITIVE && min < max && max.is_finite()) {
            return Err(SummaryError::Range { min, max, octaves: OCTAVES_MAX });
        }
        // hdrhistogram's number of cells an octave: half of the power of two above 2 * 10^digits.
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

/// The layout that follows from a family's [`SummaryOpts`].
#[derive(Debug)]
pub(crate) struct SummaryLayout {
    pub(crate) quantiles: Box<[f64]>,
    pub(crate) window: Duration,
    pub(crate) slices: u32,
    range: (f64, f64),
    digits: u8,
    /// Number of cells of an octave, as a power of two.
    bits: u32,
    shift: u32,
    /// The start of the lowest octave, shifted.
    first: u64,
    /// The last cell.
    last: u64,
}

impl SummaryLayout {
    /// Returns the number of cells of one series.
    pub(crate) fn len(&self) -> u32 {
        self.last as u32 + 1
    }

    /// Returns the cell of a positive value, given by its bits; the first or last cell for values outside of the range.
    #[inline(always)]
    pub(crate) fn cell(&self, bits: u64) -> usize {
        (bits >> self.shift).saturating_sub(self.first).min(self.last) as usize
    }

    /// Returns the smallest number of a cell in hdrhistogram's terms: an octave starts at `2^bits`, the next at twice that.
    pub(crate) fn number(&self, cell: usize) -> u64 {
        let (octave, sub) = (cell >> self.bits, cell & ((1 << self.bits) - 1));
        ((1 << self.bits) + sub as u64) << octave
    }

    pub(crate) fn hdr(&self) -> Option<Hdr<u64>> {
        Hdr::new_with_bounds(1, self.number(self.len() as usize), self.digits).ok()
    }

    /// Returns the middle of the cell that holds a quantile.
    pub(crate) fn quantile(&self, hdr: &Hdr<u64>, quantile: f64) -> f64 {
        let number = hdr.value_at_quantile(quantile);
        let middle =
            hdr.lowest_equivalent(number) as f64 + hdr.equivalent_range(number) as f64 / 2.0;
        let start = f64::from_bits(self.first << self.shift);
        (middle / (1u64 << self.bits) as f64 * start).clamp(self.range.0, self.range.1)
    }
}

/// Writes the properties that an error of conflicting registrations shows.
impl fmt::Display for SummaryLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quantiles, window, slices, range: (min, max), digits, .. } = self;
        write!(f, "quantiles {quantiles:?}, window {window:?}, slices {slices}, ")?;
        write!(f, "range {min:?}..{max:?}, digits {digits}")
    }
}
