//! Info: a series that says what something is by its labels, as a version. Its value is 1 and never changes.
//!
//! Queries join it with other series. OpenMetrics prints family `build` with the sample `build_info`; text format 0.0.4
//! prints a gauge `build_info`. So only a name that ends in `_info` has the same sample in both.

use crate::series::SeriesRef;

/// A series of constant value 1. It has no operations: scrapes show it until it is removed from its
/// [`Family`](crate::Family), or its family from the registry.
#[derive(Clone, Debug)]
pub struct Info {
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

impl Info {
    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        Self { series }
    }
}
