//! How a summary is configured, and the cells that follow from it.
//!
//! Each octave of the range has 16, 128 or 1024 cells of equal width for 1, 2 or 3 digits, hdrhistogram's layout, so a cell
//! is one of its buckets and nothing is rounded twice.

use crate::error::SummaryError;
use hdrhistogram::Histogram as Hdr;
use std::fmt;
use std::time::Duration;

/// Quantiles of one summary; each is a line in every scrape, and a walk over the cells.
const QUANTILES_MAX: usize = 32;
/// Slices of one window; each keeps the counts of its populated cells.
const SLICES_MAX: u32 = 64;
/// The shortest slice: registries' clocks count whole milliseconds. Without a least length every scrape of one instant
/// would cut another slice, and their number would have no bound.
const SLICE_MIN: Duration = Duration::from_millis(1);
/// Octaves of a range: with the 11 bits of three digits a cell is a number below 2^62, which hdrhistogram takes.
const OCTAVES_MAX: u32 = 48;
const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// The options of a [`Summary`](crate::Summary). Checked at registration, where a mistake is
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

    /// In how many steps the window slides, `1..=64`, of at least a millisecond each.
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

    /// Everything that recording and scrapes need.
    pub(super) fn layout(&self) -> Result<SummaryLayout, SummaryError> {
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
    pub(super) window: Duration,
    pub(super) slices: u32,
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
    pub(super) fn cell(&self, bits: u64) -> usize {
        (bits >> self.shift).saturating_sub(self.first).min(self.last) as usize
    }

    /// The least number of a cell in hdrhistogram's terms: an octave starts at `2^bits`, the next at twice that.
    pub(super) fn number(&self, cell: usize) -> u64 {
        let (octave, sub) = (cell >> self.bits, cell & ((1 << self.bits) - 1));
        ((1 << self.bits) + sub as u64) << octave
    }

    pub(super) fn hdr(&self) -> Option<Hdr<u64>> {
        Hdr::new_with_bounds(1, self.number(self.len() as usize), self.digits).ok()
    }

    /// The middle of the cell that holds a quantile.
    pub(super) fn quantile(&self, hdr: &Hdr<u64>, quantile: f64) -> f64 {
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
