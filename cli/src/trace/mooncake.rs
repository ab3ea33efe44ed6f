//! Mooncake traces: one JSON object a line.
//!
//! `timestamp` is in milliseconds (whole in the published files, fractional in ones made by later
//! tools), `input_length` and `output_length` in tokens, and `hash_ids` has one id per
//! [`BLOCK_TOKENS`] tokens of the prompt, in order, the last block perhaps part-filled. Equal ids
//! mean equal text up to and including that block, so only a common *prefix* can be reused. Other
//! keys are ignored. The number of ids is not checked against the length: tools cut other blocks.

use super::{Fault, Row, TOKENS_MAX};
use serde::Deserialize;

/// How many tokens one id stands for in the published traces.
pub(super) const BLOCK_TOKENS: u64 = 512;

/// The keys of a row, for messages.
pub(super) const KEYS: &str = "timestamp (ms), input_length, output_length, hash_ids";

/// The latest timestamp, in milliseconds: a hundred years, far from the end of 64-bit nanoseconds.
const TIMESTAMP_MS_MAX: f64 = 100.0 * 365.25 * 86_400_000.0;

/// Whether a first line is a row of this form: an object, bad or good. A file whose object lacks a
/// key is told so, not called unknown.
pub(super) fn is_row(line: &[u8]) -> bool {
    line.starts_with(b"{")
}

/// Reads a row, puts its ids at the end of `block_ids` and says how many there were.
pub(super) fn parse(line: &[u8], block_ids: &mut Vec<u64>) -> Result<(Row, usize), Fault> {
    let object: Object = serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        // The position that serde_json appends counts lines within this one.
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        fault(format!("column {}: {reason}", error.column()))
    })?;
    if !(0.0..=TIMESTAMP_MS_MAX).contains(&object.timestamp) {
        return Err(fault(format!("timestamp is {}", object.timestamp)));
    }
    for (key, tokens) in
        [("input_length", object.input_length), ("output_length", object.output_length)]
    {
        if tokens > TOKENS_MAX {
            let expected = format!("a whole number from 0 to {TOKENS_MAX}");
            return Err(Fault::new(format!("{key} is {tokens}"), expected));
        }
    }
    block_ids.extend_from_slice(&object.hash_ids);
    let row = Row {
        at_ns: nanoseconds(object.timestamp),
        input_tokens: object.input_length,
        output_tokens: object.output_length,
    };
    Ok((row, object.hash_ids.len()))
}

#[derive(Deserialize)]
struct Object {
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    hash_ids: Vec<u64>,
}

/// Whole milliseconds are multiplied as integers, so that they stay exact; only a fraction is
/// rounded.
fn nanoseconds(ms: f64) -> u64 {
    let whole = ms.trunc();
    whole as u64 * 1_000_000 + ((ms - whole) * 1e6).round() as u64
}

fn fault(reason: String) -> Fault {
    Fault::new(reason, format!("an object with {KEYS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(line: &str) -> String {
        parse(line.as_bytes(), &mut Vec::new()).expect_err("the line is bad").to_string()
    }

    #[test]
    fn a_row_is_read_and_further_keys_are_ignored() {
        let line = br#"{"timestamp":3,"input_length":513,"output_length":0,"hash_ids":[7,18446744073709551615],"x":{"y":[1]}}"#;
        let mut ids = vec![1];
        let (row, blocks) = parse(line, &mut ids).expect("valid");
        assert_eq!(row, Row { at_ns: 3_000_000, input_tokens: 513, output_tokens: 0 });
        assert_eq!((blocks, ids), (2, vec![1, 7, u64::MAX]));
    }

    #[test]
    fn milliseconds_become_nanoseconds() {
        assert_eq!(nanoseconds(0.0), 0);
        assert_eq!(nanoseconds(1_700_158_546_681.0), 1_700_158_546_681_000_000);
        assert_eq!(nanoseconds(1.5), 1_500_000);
        assert_eq!(nanoseconds(0.000_000_9), 1);
    }

    #[test]
    fn a_bad_row_says_which_key_and_what_was_expected() {
        let row = |timestamp: &str, input: &str, ids: &str| {
            message(&format!(
                r#"{{"timestamp":{timestamp},"input_length":{input},"output_length":1,"hash_ids":{ids}}}"#
            ))
        };
        assert!(row("-1", "1", "[]").starts_with("timestamp is -1; expected an object with"));
        assert!(row("1e99", "1", "[]").starts_with("timestamp is 1000000"));
        assert!(row("\"now\"", "1", "[]").contains("invalid type: string \"now\", expected f64"));
        assert!(row("1", "-5", "[]").contains("invalid value: integer `-5`, expected u64"));
        assert!(row("1", "100000001", "[]").starts_with("input_length is 100000001; expected a"));
        assert!(row("1", "1", "[1.5]").contains("expected u64"));
        assert!(row("1", "1", "7").contains("expected a sequence"));
        let missing = message(r#"{"timestamp":1,"input_length":1,"hash_ids":[]}"#);
        assert!(missing.starts_with("column 46: missing field `output_length`; "), "{missing}");
        assert!(message(r#"{"timestamp":1,"#).contains("EOF while parsing"));
        assert!(message("{} {}").contains("missing field"));
    }
}
