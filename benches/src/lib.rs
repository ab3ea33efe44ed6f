//! Shared by the criterion benches and the program `versus`: workloads, clocks and counters.
//!
//! ```text
//! values, shape      what is recorded and which registries are scraped, the same for every library
//! measure, scrape    how: rounds interleaved (A B C A B C ...), so that a disturbance hits all alike
//! growth             costs of what comes and goes, at n and 2n
//! heap               an allocator that counts while it is asked to
//! floors             the same work by hand, without any feature
//! ours               our own operations; peers/* those of one other crate each
//! groups, report     which rows belong together, and how they are printed
//! attack             servers in processes of their own, and what is done to them
//! ```
//!
//! The invariant: **every row of a group does the same work on the same data in the same process**, and is
//! compared with ours round by round. Absolute times drift with the machine, ratios do not.

#![warn(missing_docs)]

#[cfg(feature = "attack")]
pub mod attack;
#[cfg(feature = "peers")]
mod floors;
#[cfg(feature = "peers")]
pub mod groups;
pub mod growth;
pub mod heap;
pub mod measure;
pub mod ours;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
pub mod report;
pub mod scrape;
pub mod shape;
pub mod values;
