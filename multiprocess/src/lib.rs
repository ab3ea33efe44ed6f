#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#![warn(missing_docs)]
#![cfg(unix)]

mod error;
mod mapping;
mod member;
mod metrics;
mod mode;
mod page;
mod process;
mod record;
mod slot;

pub use error::Error;
pub use member::EXEMPLAR_BYTES_MAX;
pub use metrics::{Counter, Gauge, Histogram, Summary};
pub use mode::{Mode, UnknownMode};
pub use page::{Exemplar, Family, FamilyKind, Page, PageSeries, Value};
pub use process::{Opts, PROCESSES_MAX, Processes, STRINGS_BYTES_MAX};
