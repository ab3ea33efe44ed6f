//! Real LLM request traces, read into one shape.
//!
//! Two public forms are understood, told apart by their first line and never by the file's name:
//!
//! * **Azure CSV** ([`azure`]): when a request came, how long its prompt and its answer were.
//! * **Mooncake JSONL** ([`mooncake`]): the same, and one id per 512-token block of the prompt,
//!   so that a prefix cache can be simulated.
//!
//! Whatever the form, a [`Trace`] holds its requests in order of arrival, the first at time zero.
//! Lines out of order are sorted by arrival; lines of the same instant keep the order of the file.
//! A bad line is an error that names file, line, reason and expectation: a replay of half a trace
//! would print figures that look right and are not. Blank lines are skipped.
//!
//! Cost: one pass over a buffered reader, about 48 bytes a request plus 8 bytes a block id.

mod azure;
mod lines;
mod mooncake;

use lines::{Lines, excerpt};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// The most tokens that one side of a request may have: ten times the longest context on offer in
/// 2025. A corrupt figure of 10^18 would otherwise keep a replay busy for centuries.
const TOKENS_MAX: u64 = 100_000_000;

/// What a trace was written by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceFormat {
    /// CSV with the columns `TIMESTAMP,ContextTokens,GeneratedTokens`.
    Azure,
    /// One JSON object a line with `timestamp`, `input_length`, `output_length`, `hash_ids`.
    Mooncake,
}

impl TraceFormat {
    /// How many prompt tokens one block id stands for; `None` when the form has no ids.
    pub(crate) fn block_tokens(self) -> Option<u64> {
        match self {
            TraceFormat::Azure => None,
            TraceFormat::Mooncake => Some(mooncake::BLOCK_TOKENS),
        }
    }
}

/// One request of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceRequest {
    /// The line it was read from, counted from 1.
    pub(crate) line: usize,
    /// When it arrived, counted from the first request of the trace.
    pub(crate) arrival_ns: u64,
    /// The length of its prompt.
    pub(crate) input_tokens: u64,
    /// The length of its answer; 0 is legal and yields no token.
    pub(crate) output_tokens: u64,
    /// Its block ids in the arena of the trace; read them with [`Trace::blocks`].
    blocks: Range<usize>,
}

/// A whole trace in memory, in order of arrival.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    format: TraceFormat,
    requests: Vec<TraceRequest>,
    block_ids: Vec<u64>,
}

impl Trace {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Trace, TraceError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Trace::read_from(&name, file),
            Err(source) => Err(TraceError::Read { file: name, source }),
        }
    }

    /// Reads a trace from any reader; `name` is what errors call it.
    pub(crate) fn read_from(name: &str, reader: impl Read) -> Result<Trace, TraceError> {
        let mut lines = Lines::new(name, reader);
        let Some(first) = lines.next_line()? else {
            return Err(TraceError::Empty { file: name.to_owned() });
        };
        let mut trace = if azure::is_header(first) {
            let columns = azure::Columns::from_header(first).map_err(|fault| lines.error(fault))?;
            let mut trace = Trace::empty(TraceFormat::Azure);
            while let Some(line) = lines.next_line()? {
                let row = columns.parse(line).map_err(|fault| lines.error(fault))?;
                trace.push(lines.number(), row, 0);
            }
            trace
        } else if mooncake::is_row(first) {
            let mut trace = Trace::empty(TraceFormat::Mooncake);
            let mut next = mooncake::parse(first, &mut trace.block_ids);
            loop {
                let (row, blocks) = next.map_err(|fault| lines.error(fault))?;
                trace.push(lines.number(), row, blocks);
                match lines.next_line()? {
                    Some(line) => next = mooncake::parse(line, &mut trace.block_ids),
                    None => break trace,
                }
            }
        } else {
            let first_line = excerpt(first);
            return Err(TraceError::UnknownFormat { file: name.to_owned(), first_line });
        };
        if trace.requests.is_empty() {
            return Err(TraceError::Empty { file: name.to_owned() });
        }
        trace.order();
        Ok(trace)
    }

    /// What the trace was written by.
    pub(crate) fn format(&self) -> TraceFormat {
        self.format
    }

    /// All requests, in order of arrival; never empty.
    pub(crate) fn requests(&self) -> &[TraceRequest] {
        &self.requests
    }

    /// The block ids of a request's prompt, in order; empty when the form has none.
    pub(crate) fn blocks(&self, request: &TraceRequest) -> &[u64] {
        self.block_ids.get(request.blocks.clone()).unwrap_or_default()
    }

    fn empty(format: TraceFormat) -> Trace {
        Trace { format, requests: Vec::new(), block_ids: Vec::new() }
    }

    /// Adds a row whose `blocks` ids are the last ones of the arena.
    fn push(&mut self, line: usize, row: Row, blocks: usize) {
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

/// Why a trace could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TraceError {
    /// The file cannot be opened, or reading it failed half-way.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// The file as the caller named it.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no request in it.
    #[error("{file}: holds no request")]
    Empty {
        /// The file as the caller named it.
        file: String,
    },
    /// The first line belongs to no known form.
    #[error(
        "{file}: unknown trace format, it starts with `{first_line}`; supported are Azure CSV \
         (header `{}`) and Mooncake JSONL (a line is an object with {})",
        azure::HEADER,
        mooncake::KEYS
    )]
    UnknownFormat {
        /// The file as the caller named it.
        file: String,
        /// How it starts.
        first_line: String,
    },
    /// One line is not what the form says.
    #[error("{file}:{line}: {fault}")]
    Line {
        /// The file as the caller named it.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What was found and what was expected.
        fault: Fault,
    },
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; expected {expected}")]
pub(crate) struct Fault {
    reason: String,
    expected: String,
}

impl Fault {
    fn new(reason: impl Into<String>, expected: impl Into<String>) -> Fault {
        Fault { reason: reason.into(), expected: expected.into() }
    }
}

/// What both forms say about a request; `at_ns` has the form's own zero.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    at_ns: u64,
    input_tokens: u64,
    output_tokens: u64,
}

#[cfg(test)]
pub(crate) mod samples {
    //! The sample traces, which the project does not ship.

    use super::Trace;
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
        Some(Trace::read(&path).expect("the sample traces are well-formed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Trace, TraceError> {
        Trace::read_from("t", text.as_bytes())
    }

    fn message(text: &str) -> String {
        read(text).expect_err("the text is not a trace").to_string()
    }

    fn totals(trace: &Trace) -> (usize, u64, u64) {
        let requests = trace.requests();
        (
            requests.len(),
            requests.iter().map(|request| request.input_tokens).sum(),
            requests.iter().map(|request| request.output_tokens).sum(),
        )
    }

    #[test]
    fn the_azure_sample_is_read_whole() {
        let Some(trace) = samples::read(samples::AZURE) else { return };
        assert_eq!(trace.format(), TraceFormat::Azure);
        assert_eq!(totals(&trace), (19_366, 22_361_870, 4_088_665));
        let last = &trace.requests()[19_365];
        assert_eq!((last.line, last.input_tokens, last.output_tokens), (19_367, 197, 183));
        assert_eq!(last.arrival_ns, 3_501_721_937_000); // 18:15:46.6805900 to 19:14:08.4025270
        assert!(trace.blocks(last).is_empty());
    }

    #[test]
    fn the_mooncake_sample_is_read_whole() {
        let Some(trace) = samples::read(samples::MOONCAKE) else { return };
        assert_eq!(trace.format(), TraceFormat::Mooncake);
        assert_eq!(totals(&trace), (3_993, 61_194_628, 595_432));
        for request in trace.requests() {
            assert_eq!(trace.blocks(request).len() as u64, request.input_tokens.div_ceil(512));
        }
        assert_eq!(trace.blocks(&trace.requests()[1])[0], 79);
    }

    #[test]
    fn arrivals_are_sorted_and_counted_from_the_first() {
        let row = |ms: u32, id: u32| {
            format!(
                "{{\"timestamp\":{ms},\"input_length\":{id},\"output_length\":1,\"hash_ids\":[{id}]}}\n"
            )
        };
        let text = [row(30, 1), row(10, 2), row(30, 3), row(20, 4)].concat();
        let trace = read(&text).expect("valid");
        let seen: Vec<_> = trace
            .requests()
            .iter()
            .map(|request| (request.line, request.arrival_ns, trace.blocks(request)[0]))
            .collect();
        assert_eq!(seen, [(2, 0, 2), (4, 10_000_000, 4), (1, 20_000_000, 1), (3, 20_000_000, 3)]);
    }

    #[test]
    fn line_ends_blank_lines_and_a_byte_order_mark_do_not_matter() {
        let lines = [azure::HEADER, "2023-11-16 18:15:46,1,2", "", "2023-11-16 18:15:47,3,4"];
        let unix = read(&(lines.join("\n") + "\n")).expect("valid");
        let dos = read(&("\u{feff}".to_owned() + &lines.join("\r\n"))).expect("valid");
        assert_eq!(unix.requests(), dos.requests());
        assert_eq!(unix.requests()[1].line, 4);
    }

    #[test]
    fn errors_say_where_and_what() {
        assert_eq!(message(""), "t: holds no request");
        assert_eq!(message("\n \r\n"), "t: holds no request");
        assert_eq!(message(azure::HEADER), "t: holds no request");
        let unknown = message("time;tokens\n1;2\n");
        assert!(unknown.contains("`time;tokens`") && unknown.contains("Mooncake"), "{unknown}");
        let bad = message(&format!("{}\n2023-11-16 18:15:46,x,2\n", azure::HEADER));
        assert!(bad.starts_with("t:2: ContextTokens is `x`; expected a whole number"), "{bad}");
        let missing = Trace::read(Path::new("/absent/trace.csv")).expect_err("there is none");
        assert!(missing.to_string().starts_with("/absent/trace.csv: cannot be read"));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = 1u64;
        let pieces = [
            azure::HEADER,
            "\n",
            ",",
            "2023-11-16 18:15:46.5",
            "-1",
            "\u{0}",
            "é",
            "{\"timestamp\":1,\"input_length\":2,\"output_length\":3,\"hash_ids\":[1]}",
            "{",
            "1e999",
        ];
        for _ in 0..5_000 {
            let mut text = String::new();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let _ = read(&text);
        }
    }
}
