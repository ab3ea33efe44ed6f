//! Traces of JSON objects, one a line or in one array: Mooncake's, Bailian's, and those of tools that write like them.
//!
//! `input_length` and `output_length` are in tokens, and `hash_ids` has one id for each block of the prompt, in order, the last block
//! perhaps part-filled or left out. Equal ids mean equal text up to and including that block, so only a common *prefix* can be reused.
//! Other keys are ignored.
//!
//! **What a file does not say is settled by evidence, and told**: Bailian's traces (`chat_id`, `parent_chat_id`, `turn`) have seconds
//! and blocks of 16 tokens, all others milliseconds and, as a rule, 512. The block size is the one with which every row's number of
//! ids fits its length. A unit or size that was given wins; a size that does not fit is an error that names the row.
//!
//! Tools leave out what they do not need: without a `timestamp` a request comes `delay` milliseconds after the one before it in its
//! session, or at the start; without `output_length` its answer has [`OUTPUT_TOKENS_ASSUMED`] tokens.

use super::{Fault, Reading, Row, TOKENS_MAX, TimeUnit};
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;

/// The keys of a row, for messages.
pub(super) const KEYS: &str = "timestamp, input_length, output_length, hash_ids";

/// Tokens of a block in the published Mooncake traces, and in Bailian's.
const MOONCAKE_BLOCK_TOKENS: u64 = 512;
const BAILIAN_BLOCK_TOKENS: u64 = 16;

/// Sizes that are tried when the usual one does not fit: the powers of two that engines and tools cut prompts by.
const BLOCK_TOKENS_TRIED: [u64; 12] = [16, 512, 32, 64, 128, 256, 1024, 2048, 8, 4, 2, 1];

/// Tokens of an answer whose length a row does not say: what a request gets that does not say how many it wants.
const OUTPUT_TOKENS_ASSUMED: u64 = 128;

/// The latest time, in seconds: a hundred years, far from the end of 64-bit nanoseconds. Times since 1970 are below it.
const TIMESTAMP_SECONDS_MAX: f64 = 100.0 * 365.25 * 86_400.0;

/// Whether a first line is a row of this form: an object, bad or good. A file whose object lacks a
/// key is told so, not called unknown.
pub(super) fn is_row(line: &[u8]) -> bool {
    line.starts_with(b"{")
}

/// A row as it stands.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    #[serde(default, deserialize_with = "number")]
    timestamp: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    delay: Option<f64>,
    session_id: Option<serde_json::Value>,
    chat_id: Option<serde_json::Value>,
    parent_chat_id: Option<serde_json::Value>,
    turn: Option<serde_json::Value>,
    #[serde(deserialize_with = "whole")]
    input_length: u64,
    #[serde(default, deserialize_with = "maybe_whole")]
    output_length: Option<u64>,
    hash_ids: Option<Vec<u64>>,
}

/// Reads a row, and checks what can be checked of it alone.
pub(super) fn parse(line: &[u8]) -> Result<Object, Fault> {
    let object: Object = serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        // The position that serde_json appends counts lines within this one.
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        fault(format!("column {}: {reason}", error.column()))
    })?;
    check(&object)?;
    Ok(object)
}

/// Checks what can be checked of a row alone.
pub(super) fn check(object: &Object) -> Result<(), Fault> {
    for (key, tokens) in [
        ("input_length", object.input_length),
        ("output_length", object.output_length.unwrap_or_default()),
    ] {
        if tokens > TOKENS_MAX {
            let expected = format!("a whole number from 0 to {TOKENS_MAX}");
            return Err(Fault::new(format!("{key} is {tokens}"), expected));
        }
    }
    for (key, value) in [("timestamp", object.timestamp), ("delay", object.delay)] {
        if let Some(value) = value
            && !(0.0..=TIMESTAMP_SECONDS_MAX * 1e3).contains(&value)
        {
            return Err(fault(format!("{key} is {value}")));
        }
    }
    Ok(())
}

/// Rows with all that was missing settled.
pub(super) struct Settled {
    pub(super) rows: Vec<Row>,
    /// Ids of each row, in the order of the rows.
    pub(super) block_ids: Vec<Vec<u64>>,
    /// Tokens of a block; `None` when no row has ids.
    pub(super) block_tokens: Option<u64>,
    /// Sentences about what was assumed.
    pub(super) assumed: Vec<String>,
}

/// Settles units, sizes and what rows left out. An error comes with the index of its row.
pub(super) fn settle(objects: Vec<Object>, reading: &Reading) -> Result<Settled, (usize, Fault)> {
    let mut assumed = Vec::new();
    let bailian = objects.iter().any(|object| {
        object.chat_id.is_some() && (object.parent_chat_id.is_some() || object.turn.is_some())
    });
    let unit = reading.time_unit.unwrap_or(match bailian {
        true => TimeUnit::Seconds,
        false => TimeUnit::Milliseconds,
    });
    if bailian && reading.time_unit.is_none() {
        assumed.push("timestamps are seconds, as in Bailian's traces (chat_id, turn)".into());
    }
    let block_tokens = block_tokens(&objects, bailian, reading, &mut assumed)?;
    let mut rows = Vec::with_capacity(objects.len());
    let mut block_ids = Vec::with_capacity(objects.len());
    let mut sessions: HashMap<String, u64> = HashMap::new();
    let (mut without_time, mut without_output, mut without_ids) = (0u64, 0u64, 0u64);
    for (index, object) in objects.into_iter().enumerate() {
        let session = object.session_id.as_ref().map(ToString::to_string);
        let before = session.as_ref().and_then(|session| sessions.get(session)).copied();
        let at_ns = match (object.timestamp, object.delay) {
            (Some(timestamp), _) => {
                if timestamp * unit.seconds() > TIMESTAMP_SECONDS_MAX {
                    let expected = "at most a hundred years; see --time-unit".to_string();
                    return Err((index, Fault::new(format!("timestamp is {timestamp}"), expected)));
                }
                unit.nanoseconds(timestamp)
            }
            (None, delay) => {
                without_time += 1;
                // Tools write delays in milliseconds, whatever the unit of timestamps.
                before.unwrap_or_default()
                    + TimeUnit::Milliseconds.nanoseconds(delay.unwrap_or_default())
            }
        };
        if let Some(session) = session {
            sessions.insert(session, at_ns);
        }
        without_output += u64::from(object.output_length.is_none());
        without_ids += u64::from(object.hash_ids.is_none());
        rows.push(Row {
            at_ns,
            input_tokens: object.input_length,
            output_tokens: object.output_length.unwrap_or(OUTPUT_TOKENS_ASSUMED),
        });
        block_ids.push(object.hash_ids.unwrap_or_default());
    }
    if without_time > 0 {
        assumed.push(format!(
            "{without_time} requests have no timestamp: they come `delay` ms after the one before in their session, or at the start"
        ));
    }
    if without_output > 0 {
        assumed.push(format!(
            "{without_output} requests have no output_length: {OUTPUT_TOKENS_ASSUMED} tokens each"
        ));
    }
    if without_ids > 0 && block_tokens.is_some() {
        assumed.push(format!("{without_ids} requests have no hash_ids: they share no prefix"));
    }
    Ok(Settled { rows, block_ids, block_tokens, assumed })
}

/// The size with which each row's number of ids fits its length.
fn block_tokens(
    objects: &[Object],
    bailian: bool,
    reading: &Reading,
    assumed: &mut Vec<String>,
) -> Result<Option<u64>, (usize, Fault)> {
    let with_ids = || {
        let rows = objects.iter().enumerate();
        rows.filter_map(|(index, object)| {
            let ids = object.hash_ids.as_ref()?;
            (!ids.is_empty()).then_some((index, object.input_length, ids.len() as u64))
        })
    };
    if with_ids().next().is_none() {
        return Ok(None);
    }
    let misfit = |size: u64| with_ids().find(|&(_, input, ids)| !fits(size, input, ids));
    if let Some(size) = reading.block_tokens {
        return match misfit(size) {
            None => Ok(Some(size)),
            Some((index, input, ids)) => Err((
                index,
                Fault::new(
                    format!("input_length {input} has {ids} hash_ids"),
                    format!("{} for --block-size {size}", input.div_ceil(size)),
                ),
            )),
        };
    }
    let usual = if bailian { BAILIAN_BLOCK_TOKENS } else { MOONCAKE_BLOCK_TOKENS };
    let tried = std::iter::once(usual).chain(BLOCK_TOKENS_TRIED);
    if let Some(size) = tried.into_iter().find(|&size| misfit(size).is_none()) {
        if size != usual || bailian {
            assumed.push(format!("a block has {size} tokens, by the number of hash_ids"));
        }
        return Ok(Some(size));
    }
    let (index, input, ids) = misfit(usual).unwrap_or_default();
    Err((
        index,
        Fault::new(
            format!("input_length {input} has {ids} hash_ids, and no block size fits all rows"),
            format!("one id for each {usual} tokens, or --block-size"),
        ),
    ))
}

/// Whether a prompt of so many tokens has so many whole blocks, or one more that is not full.
fn fits(size: u64, input: u64, ids: u64) -> bool {
    ids == input.div_ceil(size) || ids == input / size
}

fn fault(reason: String) -> Fault {
    Fault::new(reason, format!("an object with {KEYS}"))
}

/// A number, or one in quotes.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<serde_json::Value>::deserialize(deserializer)? {
        None => Ok(None),
        Some(serde_json::Value::Number(number)) => Ok(number.as_f64()),
        Some(serde_json::Value::String(text)) => match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(serde::de::Error::custom(format!("{text:?} is no number"))),
        },
        Some(other) => Err(serde::de::Error::custom(format!("{other} is no number"))),
    }
}

fn maybe_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match number(deserializer)? {
        None => Ok(None),
        // Some tools write whole numbers as floats.
        Some(number) if number >= 0.0 && number.fract() == 0.0 && number < 1e18 => {
            Ok(Some(number as u64))
        }
        Some(number) => {
            Err(serde::de::Error::custom(format!("{number} is no whole number of tokens")))
        }
    }
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    maybe_whole(deserializer)?.ok_or_else(|| serde::de::Error::custom("input_length is null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(lines: &[&str], reading: Reading) -> Result<Settled, String> {
        let objects = lines.iter().map(|line| parse(line.as_bytes()).unwrap()).collect();
        settle(objects, &reading).map_err(|(index, fault)| format!("{index}: {fault}"))
    }

    fn message(line: &str) -> String {
        parse(line.as_bytes()).expect_err("the line is bad").to_string()
    }

    #[test]
    fn seconds_and_small_blocks_are_told_by_bailians_keys() {
        let ids: Vec<u64> = (0..20).collect();
        let row = |chat: u32, at: &str| {
            format!(
                r#"{{"chat_id":{chat},"parent_chat_id":-1,"timestamp":{at},"input_length":320,"output_length":10,"turn":1,"hash_ids":{ids:?}}}"#
            )
        };
        let rows = [row(1, "0.0"), row(2, "600.5")];
        let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
        let read = settled(&lines, Reading::default()).unwrap();
        assert_eq!((read.rows[1].at_ns, read.block_tokens), (600_500_000_000, Some(16)));
        assert_eq!(read.assumed.len(), 2, "{:?}", read.assumed);
        let reading = Reading { time_unit: Some(TimeUnit::Milliseconds), block_tokens: None };
        assert_eq!(settled(&lines, reading).unwrap().rows[1].at_ns, 600_500_000);
        let reading = Reading { time_unit: None, block_tokens: Some(512) };
        let error = settled(&lines, reading).err().unwrap();
        assert!(
            error.starts_with("0: input_length 320 has 20 hash_ids; expected 1 for"),
            "{error}"
        );
    }

    #[test]
    fn rows_of_milliseconds_and_blocks_of_any_usual_size() {
        let row = |ms: &str, input: u64, ids: usize| {
            format!(
                r#"{{"timestamp":{ms},"input_length":{input},"output_length":0,"hash_ids":{:?}}}"#,
                vec![7; ids]
            )
        };
        for (rows, size) in [
            (vec![row("3", 513, 2), row("1.5", 512, 1), row("\"4\"", 5.0 as u64, 1)], 512),
            (vec![row("0", 655, 6), row("1", 128, 1)], 128),
            (vec![row("0", 655, 5)], 128),
            (vec![row("0", 655, 1)], 512),
        ] {
            let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
            assert_eq!(
                settled(&lines, Reading::default()).unwrap().block_tokens,
                Some(size),
                "{lines:?}"
            );
        }
        let rows = [row("0", 512, 1), row("1", 512, 32), row("2", 16, 16)];
        let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
        let error = settled(&lines, Reading::default()).err().unwrap();
        assert!(error.starts_with("1: input_length 512 has 32 hash_ids"), "{error}");
    }

    #[test]
    fn what_tools_leave_out_is_assumed_and_told() {
        let lines = [
            r#"{"session_id":"s1","input_length":655,"output_length":52,"hash_ids":[46,47]}"#,
            r#"{"session_id":"s1","delay":500,"input_length":700,"output_length":null,"hash_ids":null}"#,
            r#"{"session_id":"s1","delay":1,"timestamp":null,"input_length":"700"}"#,
        ];
        let read = settled(&lines, Reading::default()).unwrap();
        let at: Vec<u64> = read.rows.iter().map(|row| row.at_ns).collect();
        assert_eq!(at, [0, 500_000_000, 501_000_000]);
        assert_eq!(read.rows[1].output_tokens, OUTPUT_TOKENS_ASSUMED);
        assert_eq!(read.assumed.len(), 3, "{:?}", read.assumed);
        let bare = settled(&[r#"{"timestamp":1,"input_length":2.0}"#], Reading::default()).unwrap();
        assert_eq!((bare.block_tokens, bare.rows[0].input_tokens), (None, 2));
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
        assert!(row("\"now\"", "1", "[]").contains("\"now\" is no number"));
        assert!(row("1", "-5", "[]").contains("-5 is no whole number"));
        assert!(row("1", "1.5", "[]").contains("1.5 is no whole number"));
        assert!(row("1", "100000001", "[]").starts_with("input_length is 100000001; expected a"));
        assert!(row("1", "1", "[1.5]").contains("expected u64"));
        assert!(row("1", "1", "7").contains("expected a sequence"));
        let missing = message(r#"{"timestamp":1,"output_length":1,"hash_ids":[]}"#);
        assert!(missing.contains("missing field `input_length`"), "{missing}");
        assert!(message(r#"{"timestamp":1,"#).contains("EOF while parsing"));
        assert!(message("{} {}").contains("missing field"));
    }
}
