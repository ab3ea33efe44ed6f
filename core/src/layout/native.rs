//! The configuration of a native histogram, and its layout: the grid, the cells, the classic bounds.
//!
//! ```text
//! cells:  0            zero bucket, |v| <= lower edge of the window
//!         1..=w        buckets of the window, ascending
//!         w + 1        above the window: exposed as the bucket of +Inf
//!         w + 2..      the same w + 1 again for negative values, when signed
//! ```

use super::grid::{Grid, SCHEMA_MAX, SCHEMA_MIN, schema_of_factor};
use crate::error::NativeBucketsError;
use crate::layout::{BOUNDS_MAX, Buckets};
use std::fmt;
use std::time::Duration;

/// Largest number of cells of one series: 512 KiB of address space a thread, enough for the default range, signed, at the
/// finest schema. Pages are committed when they are first written, but every scrape reads all cells.
pub(crate) const NATIVE_CELLS_MAX: u32 = 1 << 16;
/// Number of cells that merging cannot remove: the zero bucket, and of each sign the overflow bucket and the two buckets at
/// the edges of the window, rounded up.
const COARSEST_EDGES: u32 = 8;

/// Default of [`NativeBuckets::max_buckets`]: the number that Prometheus' documents recommend, and OpenTelemetry's
/// default.
const MAX_BUCKETS_DEFAULT: u32 = 160;
/// Largest number of classic bounds unless [`NativeBuckets::classic`] names them: as many as people choose by hand.
const CLASSIC_DEFAULT_MAX: i32 = 20;
/// Smallest lower edge, 2^-1008: a bound at every schema, and above all subnormals.
const RANGE_MIN: f64 = f64::from_bits((1023 - 1008) << 52);

/// The buckets of a [`NativeHistogram`](crate::NativeHistogram): resolution, range, and the limits of a scrape.
///
/// They are checked at registration, which fails with [`RegisterError::Native`](crate::RegisterError::Native).
///
/// ```
/// use dynamo_metrics_core::{NativeBuckets, Registry};
///
/// let registry = Registry::new();
/// let latency = registry.native_histogram(
///     ("latency_seconds", "Time to answer."),
///     &NativeBuckets::new().factor(1.1).range(0.001, 100.0),
/// )?;
/// latency.observe(0.25);
/// assert_eq!(latency.get().positive, [(-16, 1)], "2^(-17/8) < 0.25 <= 2^(-16/8)");
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NativeBuckets {
    resolution: Resolution,
    range: (f64, f64),
    signed: bool,
    classic: Option<Vec<f64>>,
    max_buckets: u32,
    min_reset: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Resolution {
    Schema(i8),
    Factor(f64),
}

impl NativeBuckets {
    /// Returns buckets that grow by 9 % (schema 3) over 2^-32..2^32, for positive values, at most 160 of them in a scrape.
    pub fn new() -> Self {
        Self {
            resolution: Resolution::Schema(3),
            range: (2f64.powi(-32), 2f64.powi(32)),
            signed: false,
            classic: None,
            max_buckets: MAX_BUCKETS_DEFAULT,
            min_reset: None,
        }
    }

    /// Sets the resolution as a schema of the format, `-4..=8`: each bound is `2^(2^-schema)` times the one before.
    #[must_use]
    pub fn schema(mut self, schema: i8) -> Self {
        self.resolution = Resolution::Schema(schema);
        self
    }

    /// Sets the resolution as a growth factor, as client_golang does: the coarsest schema whose bounds grow by at most
    /// `factor`, which is above 1. A factor of 1.1 is schema 3; below 1.0027 it is the finest, 8; above 65,536 the coarsest,
    /// -4.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.resolution = Resolution::Factor(factor);
        self
    }

    /// Sets the range of values that have buckets of their own, in the metric's unit; widened to whole powers of two (at
    /// negative schemas to whole buckets). Magnitudes up to the lower end count in the zero bucket, whose threshold it is;
    /// magnitudes above the upper end count in the overflow bucket, which has no upper bound.
    ///
    /// A series has a cell of 8 bytes for each bucket in the range, in each thread that records in it.
    #[must_use]
    pub fn range(mut self, min: f64, max: f64) -> Self {
        self.range = (min, max);
        self
    }

    /// Accepts negative values too, in buckets that mirror the positive ones. The sum may then decrease.
    #[must_use]
    pub fn signed(mut self) -> Self {
        self.signed = true;
        self
    }

    /// Sets the bounds for formats without native histograms. Each must be a bound of the grid, so that the counts are
    /// exact. The default is at most 20 powers of two, evenly spread over the range.
    #[must_use]
    pub fn classic(mut self, bounds: impl IntoIterator<Item = f64>) -> Self {
        self.classic = Some(bounds.into_iter().collect());
        self
    }

    /// Sets the largest number of populated buckets (the zero bucket not counted) in a scrape, at least 1. A scrape with
    /// more merges pairs of buckets, schema by schema, until they fit or schema -4 is reached. Recording keeps the full
    /// resolution.
    #[must_use]
    pub fn max_buckets(mut self, max_buckets: u32) -> Self {
        self.max_buckets = max_buckets;
        self
    }

    /// Enables resets, which restore the full resolution: when a scrape had to merge buckets and the last reset (or the
    /// first scrape with a time) is at least `min_reset` ago, later scrapes show only observations after this one, with a new
    /// start time.
    ///
    /// All scrapers of the series share the reset, so another scraper misses the observations between its last scrape and
    /// the reset. An observation during the scrape that resets may be counted before the reset and summed after it. Resets
    /// need scrapes with a time, see [`Snapshot::take_at`](crate::Snapshot::take_at).
    #[must_use]
    pub fn min_reset(mut self, min_reset: Duration) -> Self {
        self.min_reset = Some(min_reset);
        self
    }

    /// Returns these buckets for a histogram that has classic ones of its own, and is never reset.
    pub(crate) fn beside(&self, signed: bool) -> Self {
        Self { signed, classic: None, min_reset: None, ..self.clone() }
    }

    /// Returns the layout that recording and scrapes use, and the classic buckets.
    pub(crate) fn layout(&self) -> Result<(NativeLayout, Buckets), NativeBucketsError> {
        let schema = match self.resolution {
            Resolution::Schema(schema) if (SCHEMA_MIN..=SCHEMA_MAX).contains(&schema) => schema,
            Resolution::Schema(schema) => return Err(NativeBucketsError::Schema { schema }),
            Resolution::Factor(factor) if factor > 1.0 => schema_of_factor(factor),
            Resolution::Factor(factor) => return Err(NativeBucketsError::Factor { factor }),
        };
        let (min, max) = self.range;
        if !(min >= RANGE_MIN && min < max && max.is_finite()) {
            return Err(NativeBucketsError::Range { min, max, least: RANGE_MIN });
        }
        if self.max_buckets == 0 {
            return Err(NativeBucketsError::MaxBuckets);
        }
        let grid = Grid::new(schema, min, max);
        let cells = 1 + (grid.width + 1) * if self.signed { 2 } else { 1 };
        if cells > NATIVE_CELLS_MAX {
            return Err(NativeBucketsError::TooMany { cells, max: NATIVE_CELLS_MAX });
        }
        let bounds = match &self.classic {
            Some(bounds) => bounds.clone(),
            None => default_classic(&grid),
        };
        let classic = Buckets::new(bounds).map_err(NativeBucketsError::Classic)?;
        let classic_ends: Result<_, _> =
            classic.bounds().iter().map(|&bound| grid_cell(&grid, bound)).collect();
        let (signed, max_buckets, min_reset) = (self.signed, self.max_buckets, self.min_reset);
        Ok((
            NativeLayout { grid, signed, classic_ends: classic_ends?, max_buckets, min_reset },
            classic,
        ))
    }
}

impl Default for NativeBuckets {
    fn default() -> Self {
        Self::new()
    }
}

/// The layout that follows from a family's [`NativeBuckets`].
#[derive(Debug)]
pub(crate) struct NativeLayout {
    pub(crate) grid: Grid,
    pub(crate) signed: bool,
    /// The last cell of each classic bucket.
    pub(crate) classic_ends: Box<[u32]>,
    pub(crate) max_buckets: u32,
    pub(crate) min_reset: Option<Duration>,
}

impl NativeLayout {
    /// Returns the number of cells of one series.
    pub(crate) fn len(&self) -> u32 {
        1 + self.side() as u32 * if self.signed { 2 } else { 1 }
    }

    /// Returns the largest number of buckets in one scrape: the configured limit, or the number of cells at the coarsest
    /// resolution if that is larger.
    pub(crate) fn shown_max(&self) -> usize {
        let coarsest = (self.len() >> (self.grid.schema - SCHEMA_MIN)) + COARSEST_EDGES;
        self.max_buckets.max(coarsest).min(self.len()) as usize
    }

    /// Returns the number of cells of one sign: the window and the overflow bucket.
    pub(crate) fn side(&self) -> usize {
        self.grid.width as usize + 1
    }
}

/// Writes the properties that an error of conflicting registrations shows.
impl fmt::Display for NativeLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grid, signed, max_buckets, min_reset, .. } = self;
        let Grid { schema, floor, ceiling, .. } = grid;
        write!(f, "schema {schema}, range 2^{floor}..2^{ceiling}, signed {signed}, ")?;
        write!(f, "max_buckets {max_buckets}, min_reset {min_reset:?}")
    }
}

/// Returns powers of two whose exponents are multiples of one step, so that 1 is among them if it is in the range.
fn default_classic(grid: &Grid) -> Vec<f64> {
    let grain = 1 << (-grid.schema).max(0);
    let octaves = (grid.ceiling - grid.floor) / grain;
    let step = grain * ((octaves + CLASSIC_DEFAULT_MAX - 1) / CLASSIC_DEFAULT_MAX);
    let bounds = (grid.floor + 1..=grid.ceiling).filter(|exponent| exponent % step == 0);
    let bounds: Vec<f64> = bounds.map(|e| 2f64.powi(e)).filter(|bound| bound.is_finite()).collect();
    // A window of the last octave has no finite bound except its lower edge.
    if bounds.is_empty() { vec![grid.bound(0)] } else { bounds }
}

/// Returns the cell whose upper bound is `bound`.
fn grid_cell(grid: &Grid, bound: f64) -> Result<u32, NativeBucketsError> {
    let width = grid.width as usize;
    let cell = if bound <= 0.0 { 0 } else { grid.cell(bound.to_bits()).min(width) };
    if grid.bound(cell) == bound {
        return Ok(cell as u32);
    }
    let candidates = [cell.saturating_sub(1), cell].map(|cell| grid.bound(cell));
    let finite = candidates.into_iter().filter(|candidate| candidate.is_finite());
    let nearest = finite.min_by(|a, b| (a - bound).abs().total_cmp(&(b - bound).abs()));
    Err(NativeBucketsError::OffGrid { bound, nearest: nearest.unwrap_or(f64::MAX) })
}

const _: () = assert!(CLASSIC_DEFAULT_MAX as usize <= BOUNDS_MAX);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn classic_bounds_off_the_grid_are_refused() {
        let (layout, classic) = NativeBuckets::new().layout().unwrap();
        assert_eq!(classic.bounds().len(), 16);
        assert!(classic.bounds().contains(&1.0));
        assert_eq!(layout.len(), 514);
        for schema in SCHEMA_MIN..=SCHEMA_MAX {
            for range in [(1e-9, 1e9), (0.5, 1.0), (1e-300, 1e-290), (1.7e308, f64::MAX)] {
                let (layout, classic) =
                    NativeBuckets::new().schema(schema).range(range.0, range.1).layout().unwrap();
                assert!((1..=20).contains(&classic.bounds().len()));
                for (&cell, &bound) in layout.classic_ends.iter().zip(classic.bounds()) {
                    assert_eq!(layout.grid.bound(cell as usize), bound);
                }
            }
        }
        let error = NativeBuckets::new().classic([0.1]).layout().unwrap_err();
        let NativeBucketsError::OffGrid { bound: 0.1, nearest } = error else { panic!("{error}") };
        assert!((nearest - 0.1).abs() < 0.01, "{nearest}");
        assert!(NativeBuckets::new().classic([nearest]).layout().is_ok());
        for off in [-1.0, 0.0, 1e300] {
            let error = NativeBuckets::new().signed().classic([off]).layout().unwrap_err();
            assert!(matches!(error, NativeBucketsError::OffGrid { .. }), "{error}");
        }
    }

    #[test]
    fn bad_options_are_refused_by_name() {
        let error = |buckets: NativeBuckets| buckets.layout().unwrap_err().to_string();
        let new = NativeBuckets::new;
        assert!(error(new().schema(9)).contains("schema 9"));
        assert!(error(new().schema(i8::MIN)).contains("schema -128"));
        assert!(error(new().factor(1.0)).contains("factor 1"));
        assert!(error(new().factor(f64::NAN)).contains("factor NaN"));
        for (min, max) in
            [(0.0, 1.0), (1.0, 1.0), (1.0, f64::INFINITY), (f64::NAN, 1.0), (1e-308, 1.0)]
        {
            assert!(error(new().range(min, max)).contains("range"), "{min} {max}");
        }
        assert!(error(new().schema(8).range(1e-300, 1e300)).contains("cells"));
        assert!(error(new().max_buckets(0)).contains("max_buckets"));
        assert!(error(new().classic([])).contains("classic"));
    }
}
