#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod check;
mod exposition;
mod fault;
mod format;
pub mod go_float;
pub mod grammar;
mod kind;
mod number;
mod problem;
mod strict;

pub use check::{By, Consumer, Effect, Finding, Judgement, Level, judge};
pub use exposition::{Exemplar, Exposition, Family, Sample};
pub use fault::{Fault, Rule};
pub use format::Format;
pub use kind::Kind;
pub use problem::{PROBLEMS_MAX, Problem};
pub use strict::{openmetrics, parse, parse_as};
