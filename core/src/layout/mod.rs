//! The mapping of values to cells: the bounds of each kind of distribution, and the O(1) lookup of a value's cell.
//!
//! A layout is computed once, at registration, and shared by all series of a family. It knows no cells, no threads and
//! no series.

mod buckets;
mod exponent_table;
mod grid;
mod integer;
mod integer_sum;
mod native;
mod summary;

pub(crate) use buckets::INFINITY_BITS;
pub use buckets::{BOUNDS_DEFAULT, BOUNDS_MAX, Buckets};
pub(crate) use grid::{SCHEMA_MIN, overflow_index};
pub(crate) use integer::IntegerLayout;
pub use integer::Scale;
pub use integer_sum::IntegerSum;
pub use native::NativeBuckets;
pub(crate) use native::NativeLayout;
pub(crate) use summary::SummaryLayout;
pub use summary::SummaryOpts;
