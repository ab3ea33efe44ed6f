//! The words of both formats: names, numbers and counts, as the narrowest consumer reads them.
//!
//! A program that writes expositions can use the same functions, so that its output and the parser's demands
//! cannot drift apart. Each function takes one pass over its input and, but for [`is_canonical`], allocates nothing.

mod canonical;
mod count;
mod literal;
mod names;

pub use canonical::is_canonical;
pub use count::{Count, EXACT_MAX};
pub use literal::{CREATED_END, decimal, literal, seconds};
pub use names::{label_name_len, metric_name_len};

pub(crate) use canonical::canonical;
pub(crate) use names::closing_quote;
