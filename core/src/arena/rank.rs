//! Ranks: the order in which a scrape reads cells.

/// The turn of a cell within a scrape. The scrape reads one rank of *all* shards before the next rank, in
/// this order. The order is what makes values of different cells fit together, whichever threads wrote them:
///
/// * a histogram writes its bucket, then its sum; the sum is read first, so it is never ahead of the buckets;
/// * an up/down counter is two monotone cells; its falls are read before its rises, so it is never negative;
/// * a nested one rises after and falls before the one around it, so it never exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Falls of up/down counters.
    OuterFall,
    /// Falls of nested up/down counters.
    InnerFall,
    /// Sums of histograms of integers.
    IntegerSum,
    /// `f64` sums and float counters.
    Float,
    /// Counters and buckets.
    Word,
    /// Rises of nested up/down counters.
    InnerRise,
    /// Rises of up/down counters.
    OuterRise,
}

impl Rank {
    /// All ranks, in the order in which a scrape reads them.
    pub(crate) const ALL: [Self; 7] = [
        Self::OuterFall,
        Self::InnerFall,
        Self::IntegerSum,
        Self::Float,
        Self::Word,
        Self::InnerRise,
        Self::OuterRise,
    ];
}
