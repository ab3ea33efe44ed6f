//! Real LLM request traces, read into one shape.
//!
//! Public forms are understood, told apart by their content and never by the file's name:
//!
//! * **CSV** ([`csv`]) of Azure and of BurstGPT: when a request came, how long its prompt and its answer were.
//! * **JSON** ([`json`]) of Mooncake, Bailian and tools like them, an object a line or one array: the same, and one id for each block
//!   of the prompt, so that a prefix cache can be simulated.
//!
//! Either may be compressed by gzip. Whatever the form, a [`Trace`] holds its requests in order of arrival, the first at time zero.
//! Lines out of order are sorted by arrival; lines of the same instant keep the order of the file.
//! A bad line is an error that names file, line, reason and expectation: a replay of half a trace
//! would print figures that look right and are not. Blank lines are skipped.
//!
//! Cost: one pass over a buffered reader, some 200 bytes a request plus 8 bytes a block id. The objects of
//! a JSON trace are all in memory at once beside that, because the units are settled when the last one is read.

mod csv;
mod json;
mod lines;

use flate2::read::MultiGzDecoder;
use lines::{Lines, excerpt};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

/// The most tokens that one side of a request may have: ten times the longest context on offer in
/// 2025. A corrupt figure of 10^18 would otherwise keep a replay busy for centuries.
const TOKENS_MAX: u64 = 100_000_000;

/// Bytes of a trace in one JSON array, which is read whole: a week of a busy service.
const ARRAY_BYTES_MAX: u64 = 4 << 30;

/// The unit of a trace's timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TimeUnit {
    /// Seconds.
    #[value(name = "s")]
    Seconds,
    /// Milliseconds.
    #[value(name = "ms")]
    Milliseconds,
    /// Microseconds.
    #[value(name = "us")]
    Microseconds,
    /// Nanoseconds.
    #[value(name = "ns")]
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

    fn seconds(self) -> f64 {
        self.each_ns() as f64 / 1e9
    }

    /// Whole units are multiplied as integers, so that they stay exact; only a fraction is rounded.
    fn nanoseconds(self, time: f64) -> u64 {
        let (whole, each) = (time.trunc(), self.each_ns());
        (whole as u64).saturating_mul(each) + ((time - whole) * each as f64).round() as u64
    }
}

/// Facts about a trace that the user gives because the file has none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) time_unit: Option<TimeUnit>,
    pub(crate) block_tokens: Option<u64>,
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
    requests: Vec<TraceRequest>,
    block_ids: Vec<u64>,
    block_tokens: Option<u64>,
    assumed: Vec<String>,
}

impl Trace {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path, reading: &Reading) -> Result<Trace, TraceError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Trace::read_as(&name, file, reading),
            Err(source) => Err(TraceError::Read { file: name, source }),
        }
    }

    /// Reads a trace from any reader, without a word of the user's; `name` is what errors call it.
    #[cfg(test)]
    pub(crate) fn read_from(name: &str, reader: impl Read) -> Result<Trace, TraceError> {
        Self::read_as(name, reader, &Reading::default())
    }

    fn read_as(name: &str, reader: impl Read, reading: &Reading) -> Result<Trace, TraceError> {
        let mut reader = BufReader::new(reader);
        let unreadable = |source| TraceError::Read { file: name.to_owned(), source };
        let start = reader.fill_buf().map_err(unreadable)?;
        match start {
            [0x1f, 0x8b, ..] => {
                let plain = BufReader::new(MultiGzDecoder::new(reader));
                Self::read_plain(name, plain, reading)
            }
            _ => {
                if let Some((_, form)) = PACKED.iter().find(|(magic, _)| start.starts_with(magic)) {
                    return Err(TraceError::Packed { file: name.to_owned(), form });
                }
                Self::read_plain(name, reader, reading)
            }
        }
    }

    fn read_plain(
        name: &str,
        mut reader: impl BufRead,
        reading: &Reading,
    ) -> Result<Trace, TraceError> {
        let unreadable = |source| TraceError::Read { file: name.to_owned(), source };
        let start = reader.fill_buf().map_err(unreadable)?;
        let text = start.strip_prefix(lines::BYTE_ORDER_MARK).unwrap_or(start);
        let mut trace = if text.trim_ascii_start().starts_with(b"[") {
            Self::read_array(name, reader, reading)?
        } else {
            Self::read_lines(name, reader, reading)?
        };
        if trace.requests.is_empty() {
            return Err(TraceError::Empty { file: name.to_owned() });
        }
        trace.order();
        Ok(trace)
    }

    fn read_lines(
        name: &str,
        reader: impl BufRead,
        reading: &Reading,
    ) -> Result<Trace, TraceError> {
        let mut lines = Lines::new(name, reader);
        let Some(first) = lines.next_line()? else {
            return Err(TraceError::Empty { file: name.to_owned() });
        };
        if json::is_row(first) {
            let mut objects = vec![json::parse(first).map_err(|fault| lines.error(fault))?];
            let mut numbers = vec![lines.number()];
            while let Some(line) = lines.next_line()? {
                objects.push(json::parse(line).map_err(|fault| lines.error(fault))?);
                numbers.push(lines.number());
            }
            return Self::of_objects(name, objects, &numbers, reading);
        }
        if !csv::is_header(first) {
            let first_line = excerpt(first);
            return Err(TraceError::UnknownFormat { file: name.to_owned(), first_line });
        }
        let columns =
            csv::Columns::from_header(first, reading).map_err(|fault| lines.error(fault))?;
        let mut trace = Trace::empty();
        trace.assumed.extend(columns.assumed());
        while let Some(line) = lines.next_line()? {
            let row = columns.parse(line).map_err(|fault| lines.error(fault))?;
            trace.push(lines.number(), &row, 0);
        }
        Ok(trace)
    }

    fn read_array(name: &str, reader: impl Read, reading: &Reading) -> Result<Trace, TraceError> {
        let mut bytes = Vec::new();
        let read = reader.take(ARRAY_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|source| TraceError::Read { file: name.to_owned(), source })?;
        let at = |line, fault| TraceError::Line { file: name.to_owned(), line, fault };
        if bytes.len() as u64 > ARRAY_BYTES_MAX {
            let expected = format!("at most {ARRAY_BYTES_MAX} bytes; write an object a line");
            return Err(at(1, Fault::new("the array does not end", expected)));
        }
        let bytes = bytes.strip_prefix(lines::BYTE_ORDER_MARK).unwrap_or(&bytes);
        let objects: Vec<json::Object> = serde_json::from_slice(bytes).map_err(|error| {
            let expected = format!("an array of objects with {}", json::KEYS);
            at(error.line(), Fault::new(error.to_string(), expected))
        })?;
        for (index, object) in objects.iter().enumerate() {
            json::check(object).map_err(|fault| at(index + 1, fault))?;
        }
        let numbers: Vec<usize> = (1..=objects.len()).collect();
        Self::of_objects(name, objects, &numbers, reading)
    }

    /// `numbers` are the lines of the objects, or their places in an array.
    fn of_objects(
        name: &str,
        objects: Vec<json::Object>,
        numbers: &[usize],
        reading: &Reading,
    ) -> Result<Trace, TraceError> {
        let settled = json::settle(objects, reading).map_err(|(index, fault)| {
            let line = numbers.get(index).copied().unwrap_or_default();
            TraceError::Line { file: name.to_owned(), line, fault }
        })?;
        let mut trace = Trace::empty();
        trace.block_tokens = settled.block_tokens;
        trace.assumed = settled.assumed;
        for ((row, ids), &number) in settled.rows.iter().zip(&settled.block_ids).zip(numbers) {
            trace.block_ids.extend_from_slice(ids);
            trace.push(number, row, ids.len());
        }
        Ok(trace)
    }

    /// How many prompt tokens one block id stands for; `None` when the trace has no ids.
    pub(crate) fn block_tokens(&self) -> Option<u64> {
        self.block_tokens
    }

    /// Returns the assumptions about the trace, a sentence each.
    pub(crate) fn assumed(&self) -> &[String] {
        &self.assumed
    }

    /// All requests, in order of arrival; never empty.
    pub(crate) fn requests(&self) -> &[TraceRequest] {
        &self.requests
    }

    /// The block ids of a request's prompt, in order; empty when the form has none.
    pub(crate) fn blocks(&self, request: &TraceRequest) -> &[u64] {
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
        "{file}: unknown trace format, it starts with `{first_line}`; supported are CSV of Azure \
         (header `{}`) and BurstGPT (header `{}`), and JSON of Mooncake and Bailian (objects with {}), plain or by gzip",
        csv::AZURE_HEADER,
        csv::BURST_HEADER,
        json::KEYS
    )]
    UnknownFormat {
        /// The file as the caller named it.
        file: String,
        /// How it starts.
        first_line: String,
    },
    /// A compression or container that is not read.
    #[error("{file}: is {form}; unpack it first")]
    Packed {
        /// The file as the caller named it.
        file: String,
        /// The form of compression or archive.
        form: &'static str,
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

/// How files begin that are not read, and what they are.
const PACKED: [(&[u8], &str); 5] = [
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"BZh", "compressed by bzip2"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PAR1", "a Parquet file"),
];

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
        Some(
            Trace::read(&path, &super::Reading::default())
                .expect("the sample traces are well-formed"),
        )
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
        assert_eq!(trace.block_tokens(), None);
        assert_eq!(totals(&trace), (19_366, 22_361_870, 4_088_665));
        let last = &trace.requests()[19_365];
        assert_eq!((last.line, last.input_tokens, last.output_tokens), (19_367, 197, 183));
        assert_eq!(last.arrival_ns, 3_501_721_937_000); // 18:15:46.6805900 to 19:14:08.4025270
        assert!(trace.blocks(last).is_empty());
    }

    #[test]
    fn the_mooncake_sample_is_read_whole() {
        let Some(trace) = samples::read(samples::MOONCAKE) else { return };
        assert_eq!(trace.block_tokens(), Some(512));
        assert_eq!(trace.assumed(), [""; 0]);
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
        let lines = [csv::AZURE_HEADER, "2023-11-16 18:15:46,1,2", "", "2023-11-16 18:15:47,3,4"];
        let unix = read(&(lines.join("\n") + "\n")).expect("valid");
        let dos = read(&("\u{feff}".to_owned() + &lines.join("\r\n"))).expect("valid");
        assert_eq!(unix.requests(), dos.requests());
        assert_eq!(unix.requests()[1].line, 4);
    }

    #[test]
    fn errors_say_where_and_what() {
        assert_eq!(message(""), "t: holds no request");
        assert_eq!(message("\n \r\n"), "t: holds no request");
        assert_eq!(message(csv::AZURE_HEADER), "t: holds no request");
        let unknown = message("time;tokens\n1;2\n");
        assert!(unknown.contains("`time;tokens`") && unknown.contains("Mooncake"), "{unknown}");
        let bad = message(&format!("{}\n2023-11-16 18:15:46,x,2\n", csv::AZURE_HEADER));
        assert!(bad.starts_with("t:2: ContextTokens is `x`; expected a whole number"), "{bad}");
        let missing = Trace::read(Path::new("/absent/trace.csv"), &Reading::default())
            .expect_err("there is none");
        assert!(missing.to_string().starts_with("/absent/trace.csv: cannot be read"));
    }

    #[test]
    fn arrays_gzip_and_other_packings_are_read_or_refused() {
        let rows = r#"{"timestamp":0,"input_length":600,"output_length":1,"hash_ids":[1,2]}"#;
        let array = format!("\u{feff} [{rows},\n {}]", rows.replace(":0,", ":5,"));
        let trace = read(&array).expect("an array");
        assert_eq!((totals(&trace), trace.requests()[1].arrival_ns), ((2, 1200, 2), 5_000_000));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packed, array.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(Trace::read_from("t", &*packed).expect("gzip").requests(), trace.requests());
        let cut = Trace::read_from("t", &packed[..packed.len() / 2]).unwrap_err().to_string();
        assert!(cut.starts_with("t: cannot be read"), "{cut}");
        let zstd = Trace::read_from("t", &b"\x28\xb5\x2f\xfd...."[..]).unwrap_err().to_string();
        assert_eq!(zstd, "t: is compressed by zstd; unpack it first");
        assert!(message("[{}]").starts_with("t:1: missing field"), "{}", message("[{}]"));
        assert_eq!(message("[]"), "t: holds no request");
    }

    #[test]
    fn burst_gpt_is_read() {
        let text = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                    5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,\"1087\",230,1317,API log\n";
        let trace = read(text).expect("valid");
        assert_eq!(totals(&trace), (2, 1559, 248));
        assert_eq!(trace.requests()[1].arrival_ns, 40_500_000_000);
        assert_eq!(trace.assumed().len(), 1, "{:?}", trace.assumed());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = 1u64;
        let pieces = [
            csv::AZURE_HEADER,
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
