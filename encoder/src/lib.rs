#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! * [`Encoder`] writes a registry into the caller's reusable buffer.
//! * [`negotiate`] chooses format and escaping by a scraper's `Accept` header, [`name_filter`] the families by its query.
//! * [`passthrough`] filters and repairs the text of engines and appends it.
//! * [`escape`] and [`number`] write single texts and numbers as the formats spell them.

#![deny(unsafe_code)] // but for one operation in cursor.rs
#![warn(missing_docs)]

mod cursor;
mod encoder;
pub mod escape;
mod integer;
mod layout;
pub mod name_filter;
mod native;
pub mod negotiate;
pub mod number;
pub mod passthrough;
mod protobuf;
mod text;

pub use encoder::Encoder;
