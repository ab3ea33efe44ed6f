//! Bytes: a registry becomes an exposition, an engine's exposition is merged in, and a strict parser checks
//! both.
//!
//! * [`Encoder`] writes Prometheus text 0.0.4 into the caller's reusable buffer. Everything but the numbers
//!   is rendered once; in steady state a scrape allocates nothing.
//! * [`foreign`] filters and repairs what an engine printed and appends it, so that one engine's bad line costs
//!   that line's family and nothing else.
//! * [`strict`] is the parser that forgives nothing: it rejects what any known consumer of the format rejects.
//!   Tests, fuzzing and `dynamo-metrics check` use it as their oracle.
//!
//! ```
//! use bytes::BytesMut;
//! use dynamo_metrics_core::Registry;
//! use dynamo_metrics_encoder::{Encoder, strict};
//!
//! let registry = Registry::new();
//! registry.counter(("tokens_total", "Tokens \\ produced."))?.add(3);
//! let mut body = BytesMut::new();
//! Encoder::new().encode(&registry, &mut body);
//! let exposition = strict::parse(&body).expect("valid by construction");
//! assert_eq!(exposition.value("tokens_total", &[]), Some(3.0));
//! # Ok::<(), dynamo_metrics_core::RegisterError>(())
//! ```

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod cursor;
mod encoder;
pub mod escape;
pub mod foreign;
mod integer;
mod layout;
pub mod name_filter;
pub mod negotiate;
pub mod number;
mod protobuf;
pub mod strict;
mod text;

pub use encoder::Encoder;
