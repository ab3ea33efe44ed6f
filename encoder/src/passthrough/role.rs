//! The part that a sample plays in its family.

/// A sample's part in its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The value of a counter, gauge, info or untyped series.
    Value,
    /// A bucket of a histogram or gauge histogram.
    Bucket,
    /// `_sum`, or `_gsum` of a gauge histogram.
    Sum,
    /// `_count`, or `_gcount` of a gauge histogram.
    Count,
    /// A quantile of a summary.
    Quantile,
    /// One state of a state set.
    State,
    /// A histogram's sample without suffix, which no format has.
    Stray,
}
