//! Errors of a kind's options: bounds, native buckets, quantiles.

use thiserror::Error;

/// The reason why bounds of a histogram were refused.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum BucketsError {
    /// No finite bound was given.
    #[error("a histogram needs at least one finite bucket bound; `+Inf` alone is implied")]
    Empty,
    /// More bounds than [`BOUNDS_MAX`](crate::limits::BOUNDS_MAX).
    #[error(
        "{len} bucket bounds are more than {max}; each one is a line in every scrape, use fewer"
    )]
    TooMany {
        /// The number given.
        len: usize,
        /// The number allowed.
        max: usize,
    },
    /// A bound is NaN or `-Inf`, or `+Inf` is not the last.
    #[error("bucket bound {bound} is not a finite number; leave `+Inf` out, it is implied")]
    NotFinite {
        /// The bound.
        bound: f64,
    },
    /// Two neighbours are equal or decrease.
    #[error(
        "bucket bounds must increase strictly, but {after} comes after {before}; sort them and remove duplicates"
    )]
    NotIncreasing {
        /// The left one.
        before: f64,
        /// The right one.
        after: f64,
    },
    /// A bound of a histogram of integers is negative, or no whole unit above the one before.
    #[error(
        "bucket bound {bound} is negative or not a whole 1/{per_one} above the bound before; choose a finer scale, or a histogram of floats"
    )]
    NotInteger {
        /// The bound.
        bound: f64,
        /// The number of units of recording in one.
        per_one: u64,
    },
    /// The generator's range is empty.
    #[error("bucket range {min}..{max} needs 0 < min < max, both finite")]
    Range {
        /// Lower end.
        min: f64,
        /// Upper end.
        max: f64,
    },
}

impl PartialEq for BucketsError {
    fn eq(&self, other: &Self) -> bool {
        // NaN bounds must compare equal to themselves, or no test could name the error.
        self.to_string() == other.to_string()
    }
}

/// The reason why the buckets of a native histogram were refused.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum NativeBucketsError {
    /// The schema is not one of the format's.
    #[error(
        "schema {schema} is not in -4..=8; 3 lets buckets grow by 9 %, each step halves or doubles that"
    )]
    Schema {
        /// The schema.
        schema: i8,
    },
    /// The factor is not above 1, or NaN.
    #[error("bucket factor {factor} must be above 1, for example 1.1")]
    Factor {
        /// The factor.
        factor: f64,
    },
    /// The range is empty, or an end is not usable.
    #[error("bucket range {min}..{max} needs {least:e} <= min < max, both finite")]
    Range {
        /// Lower end.
        min: f64,
        /// Upper end.
        max: f64,
        /// The least lower end.
        least: f64,
    },
    /// Range and resolution make too many buckets.
    #[error(
        "the buckets need {cells} cells, more than {max}; choose a lower schema or a narrower range"
    )]
    TooMany {
        /// Cells needed.
        cells: u32,
        /// Cells allowed.
        max: u32,
    },
    /// The limit of buckets is 0.
    #[error("max_buckets is 0, but a scrape shows at least one bucket; 160 is the default")]
    MaxBuckets,
    /// The classic bounds are not usable by themselves.
    #[error("classic bounds: {0}")]
    Classic(BucketsError),
    /// A classic bound is not on the native grid, or not in the range.
    #[error(
        "classic bound {bound} is not a bound of the native grid within its range (positive ones only); the nearest is {nearest:?}"
    )]
    OffGrid {
        /// The bound.
        bound: f64,
        /// The nearest bound of the grid.
        nearest: f64,
    },
}

/// The reason why the options of a summary were refused.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum SummaryError {
    /// Too many quantiles.
    #[error("{len} quantiles are more than {max}; each one is a line in every scrape, use fewer")]
    TooMany {
        /// The number given.
        len: usize,
        /// The number allowed.
        max: usize,
    },
    /// A quantile is not in `0..=1`.
    #[error("quantile {quantile} is not in 0..=1; the 99th percentile is 0.99")]
    Quantile {
        /// The quantile.
        quantile: f64,
    },
    /// Two neighbours are equal or decrease.
    #[error(
        "quantiles must increase strictly, but {after} comes after {before}; sort them and remove duplicates"
    )]
    NotIncreasing {
        /// The left one.
        before: f64,
        /// The right one.
        after: f64,
    },
    /// The window is empty, or has too few or too many slices.
    #[error(
        "a window of {window:?} in {slices} slices is not usable; it needs 1 to {max} slices of at least {least:?}"
    )]
    Window {
        /// The window.
        window: std::time::Duration,
        /// The slices.
        slices: u32,
        /// The number of slices allowed.
        max: u32,
        /// The shortest slice.
        least: std::time::Duration,
    },
    /// The significant digits are not in `1..=3`.
    #[error("{digits} significant digits are not in 1..=3; 2 is the default")]
    Digits {
        /// The digits.
        digits: u8,
    },
    /// The range is empty or too wide.
    #[error(
        "value range {min}..{max} needs 0 < min < max, both finite, no subnormals, and at most {octaves} octaves (powers of two) apart"
    )]
    Range {
        /// Lower end.
        min: f64,
        /// Upper end.
        max: f64,
        /// Octaves allowed.
        octaves: u32,
    },
}
