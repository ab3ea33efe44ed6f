//! Real LLM request traces, read into one shape.
//!
//! Public forms are understood, told apart by their content and never by the file's name:
//!
//! * **CSV** (`csv`) of Azure and of BurstGPT: when a request came, how long its prompt and its answer were.
//! * **JSON** (`json`) of Mooncake, Bailian and tools like them, an object a line or one array: the same, and one id for each block
//!   of the prompt, so that a prefix cache can be simulated.
//!
//! Either may be compressed by gzip. Whatever the form, a [`Trace`] holds its requests in order of arrival, the first at time zero.
//! Lines out of order are sorted by arrival; lines of the same instant keep the order of the file.
//! A bad line is an error that names file, line, reason and expectation: a replay of half a trace
//! would print figures that look right and are not. Blank lines are skipped.
//!
//! Cost: one pass over a buffered reader; a row is dropped when its request is made, so a trace takes 48 bytes a request and 8 a
//! block id, twice that while its tables grow, and the names of its sessions.

mod csv;
mod error;
mod fields;
mod json;
mod lines;
mod reader;

use std::ops::Range;

pub use error::{Fault, TraceError};

/// The most tokens that one side of a request may have: ten times the longest context on offer in
/// 2025. A corrupt figure of 10^18 would otherwise keep a replay busy for centuries.
const TOKENS_MAX: u64 = 100_000_000;

/// The latest time, in seconds: a hundred years, far from the end of 64-bit nanoseconds. Times since 1970 are below it.
const TIMESTAMP_SECONDS_MAX: f64 = 100.0 * 365.25 * 86_400.0;
/// The expectation for a number beyond it, which as a rule is of a smaller unit.
const TIMESTAMP_EXPECTED: &str = "at most a hundred years; see --time-unit";

/// The unit of a trace's timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    /// Nanoseconds of one.
    fn each_ns(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }

    /// Its name in sentences.
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }

    fn seconds(self) -> f64 {
        self.each_ns() as f64 / 1e9
    }

    /// Whole units are multiplied as integers, so that they stay exact; only a fraction is rounded.
    fn nanoseconds(self, time: f64) -> u64 {
        let (whole, each) = (time.trunc(), self.each_ns());
        let fraction = ((time - whole) * each as f64).round() as u64;
        (whole as u64).saturating_mul(each).saturating_add(fraction)
    }
}

/// The sentence about a unit that neither the user nor the file states.
fn unit_assumed(unit: TimeUnit, reason: &str) -> String {
    format!("timestamps are {}, {reason}; --time-unit overrides it", unit.name())
}

/// Facts about a trace that the user gives because the file has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// The unit of its timestamps.
    pub time_unit: Option<TimeUnit>,
    /// Tokens that one block id stands for.
    pub block_tokens: Option<u64>,
}

/// One request of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRequest {
    /// The line it was read from, counted from 1.
    pub line: usize,
    /// Time of its arrival, in nanoseconds from the first request of the trace.
    pub arrival_ns: u64,
    /// The length of its prompt.
    pub input_tokens: u64,
    /// The length of its answer; 0 is legal and yields no token.
    pub output_tokens: u64,
    /// Its block ids in the arena of the trace; read them with [`Trace::blocks`].
    blocks: Range<usize>,
}

/// A whole trace in memory, in order of arrival.
#[derive(Clone, Debug)]
pub struct Trace {
    requests: Vec<TraceRequest>,
    block_ids: Vec<u64>,
    block_tokens: Option<u64>,
    assumed: Vec<String>,
}

impl Trace {
    /// Returns the number of prompt tokens that one block id stands for; `None` when the trace has no ids.
    pub fn block_tokens(&self) -> Option<u64> {
        self.block_tokens
    }

    /// Returns the assumptions about the trace, a sentence each.
    pub(crate) fn assumed(&self) -> &[String] {
        &self.assumed
    }

    /// All requests, in order of arrival; never empty.
    pub fn requests(&self) -> &[TraceRequest] {
        &self.requests
    }

    /// The block ids of a request's prompt, in order; empty when the form has none.
    pub fn blocks(&self, request: &TraceRequest) -> &[u64] {
        self.block_ids.get(request.blocks.clone()).unwrap_or_default()
    }

    fn empty() -> Trace {
        let (requests, block_ids, assumed) = (Vec::new(), Vec::new(), Vec::new());
        Trace { requests, block_ids, block_tokens: None, assumed }
    }

    /// Adds a row whose `blocks` ids are the last ones of the arena.
    fn push(&mut self, line: usize, row: &Row, blocks: usize) {
        let end = self.block_ids.len();
        self.requests.push(TraceRequest {
            line,
            arrival_ns: row.at_ns,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            blocks: end - blocks..end,
        });
    }

    /// Sorts by arrival (stable) and moves the first arrival to zero.
    fn order(&mut self) {
        self.requests.sort_by_key(|request| request.arrival_ns);
        let start_ns = self.requests.first().map_or(0, |request| request.arrival_ns);
        for request in &mut self.requests {
            request.arrival_ns -= start_ns;
        }
    }
}

/// The facts of a request that every form has. `at_ns` counts from the zero of its form.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    at_ns: u64,
    input_tokens: u64,
    output_tokens: u64,
}

#[cfg(test)]
pub(crate) mod samples {
    //! The sample traces, which the project does not ship.

    use crate::trace::{Reading, Trace};
    use std::path::PathBuf;

    pub(crate) const AZURE: &str = "azure-llm-2023-conv.csv";
    pub(crate) const MOONCAKE: &str = "mooncake-synthetic.jsonl";

    /// Reads a sample, or says loudly that the test which needs it proves nothing.
    pub(crate) fn read(name: &str) -> Option<Trace> {
        let shared = std::env::var_os("DYNAMO_METRICS_SHARED").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
            PathBuf::from,
        );
        let path = shared.join("traces").join(name);
        if !path.exists() {
            eprintln!("SKIPPED: {} is absent; set DYNAMO_METRICS_SHARED", path.display());
            return None;
        }
        Some(Trace::read(&path, &Reading::default()).expect("the sample traces are well-formed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_sorted_and_counted_from_the_first() {
        let row = |ms: u32, id: u32| {
            format!(
                "{{\"timestamp\":{ms},\"input_length\":{id},\"output_length\":1,\"hash_ids\":[{id}]}}\n"
            )
        };
        let text = [row(30, 1), row(10, 2), row(30, 3), row(20, 4)].concat();
        let trace = Trace::read_from("t", text.as_bytes()).expect("valid");
        let seen: Vec<_> = trace
            .requests()
            .iter()
            .map(|request| (request.line, request.arrival_ns, trace.blocks(request)[0]))
            .collect();
        assert_eq!(seen, [(2, 0, 2), (4, 10_000_000, 4), (1, 20_000_000, 1), (3, 20_000_000, 3)]);
    }
}
