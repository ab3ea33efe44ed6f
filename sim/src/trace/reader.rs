//! The reading of a trace: its form is told by its first bytes and its first line, and never by the file's name.

use super::lines::{self, Lines, excerpt};
use super::{Fault, Reading, Trace, TraceError, csv, json};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The first bytes of packed forms that are not read, and their names.
const PACKED: [(&[u8], &str); 5] = [
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"BZh", "compressed by bzip2"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PAR1", "a Parquet file"),
];

impl Trace {
    /// Reads the file at `path`.
    pub fn read(path: &Path, reading: &Reading) -> Result<Trace, TraceError> {
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
        let mut trace = Trace::empty();
        if json::is_row(first) {
            let at = |(line, fault)| TraceError::Line { file: name.to_owned(), line, fault };
            let mut converter = json::Converter::new(*reading, &mut trace);
            let mut object = json::parse(first).map_err(|fault| lines.error(fault))?;
            loop {
                converter.push(lines.number(), object).map_err(at)?;
                let Some(line) = lines.next_line()? else { break };
                object = json::parse(line).map_err(|fault| lines.error(fault))?;
            }
            converter.finish().map_err(at)?;
            return Ok(trace);
        }
        if !csv::is_header(first) {
            let first_line = excerpt(first);
            return Err(TraceError::UnknownFormat { file: name.to_owned(), first_line });
        }
        let mut columns =
            csv::Columns::from_header(first, reading).map_err(|fault| lines.error(fault))?;
        while let Some(line) = lines.next_line()? {
            let row = columns.parse(line).map_err(|fault| lines.error(fault))?;
            trace.push(lines.number(), &row, 0);
        }
        trace.assumed.extend(columns.assumed());
        Ok(trace)
    }

    fn read_array(
        name: &str,
        mut reader: impl BufRead,
        reading: &Reading,
    ) -> Result<Trace, TraceError> {
        let unreadable = |source| TraceError::Read { file: name.to_owned(), source };
        if reader.fill_buf().map_err(unreadable)?.starts_with(lines::BYTE_ORDER_MARK) {
            reader.consume(lines::BYTE_ORDER_MARK.len());
        }
        let at = |(line, fault)| TraceError::Line { file: name.to_owned(), line, fault };
        let mut trace = Trace::empty();
        let mut converter = json::Converter::new(*reading, &mut trace);
        json::read_array(reader, &mut converter).map_err(|error| match error {
            json::ArrayError::Row(place, fault) => at((place, fault)),
            json::ArrayError::Json(error) if error.is_io() => unreadable(error.into()),
            json::ArrayError::Json(error) => {
                let expected = format!("an array of objects with {}", json::KEYS);
                at((error.line(), Fault::new(error.to_string(), expected)))
            }
        })?;
        converter.finish().map_err(at)?;
        Ok(trace)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use std::io;

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
        let array = message("[[500,null,null,null,null,null,10,20,null]]");
        assert!(array.starts_with("t:1: invalid type: sequence, expected an object"), "{array}");
        let later = message(&format!("{rows}\n[500,null,null,null,null,null,10,20,null]\n"));
        assert!(later.starts_with("t:2: column 1: invalid type: sequence, expected an"), "{later}");
        let bad = message(&format!("[{rows},\n {}]", rows.replace("600", "6000")));
        assert!(bad.starts_with("t:2: input_length 6000 has 2 hash_ids"), "{bad}");
        let after = message(&format!("[{rows}] x"));
        assert!(after.starts_with("t:1: trailing characters"), "{after}");
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
    fn commas_in_quotes_do_not_move_the_columns() {
        let header = csv::BURST_HEADER;
        let trace = read(&format!("{header}\n5,\"x,10,20,30\",100,200,300,y\n")).expect("valid");
        assert_eq!(totals(&trace), (1, 100, 200));
        let open = message(&format!("{header}\n5,m,1,2,3,y\n5,\"m,1,2,3,y\n6,m\",1,2,3,y\n"));
        assert!(open.starts_with("t:3: a quote does not end on its line in `5,"), "{open}");
    }

    #[test]
    fn dates_among_numbers_are_an_error_with_its_line() {
        let mixed =
            message("TIMESTAMP,ContextTokens,GeneratedTokens\n0,1,2\n2023-11-16 18:15:46,1,2\n");
        assert!(
            mixed.starts_with("t:3: TIMESTAMP is `2023-11-16 18:15:46`; expected a n"),
            "{mixed}"
        );
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
