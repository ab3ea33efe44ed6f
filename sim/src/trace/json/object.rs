//! A row as it stands: an object with the keys that matter, and the checks that need no other row.
//!
//! Tools write numbers in quotes, whole numbers as floats, and `null` for a key that they have no value of: these are read.

use crate::json::FromObject;
use crate::trace::{Fault, TIMESTAMP_EXPECTED, TIMESTAMP_SECONDS_MAX, TOKENS_MAX};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// The keys of a row, for messages.
pub(crate) const KEYS: &str = "timestamp, input_length, output_length, hash_ids";

/// Returns whether a first line is a row of this form: an object, bad or good. A file whose object lacks a key is told so, not
/// called unknown.
pub(crate) fn is_row(line: &[u8]) -> bool {
    line.starts_with(b"{")
}

/// A row as it stands.
#[derive(Debug, Deserialize)]
pub(crate) struct Object {
    #[serde(default, deserialize_with = "number")]
    pub(super) timestamp: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    pub(super) delay: Option<f64>,
    pub(super) session_id: Option<serde_json::Value>,
    chat_id: Option<IgnoredAny>,
    parent_chat_id: Option<IgnoredAny>,
    turn: Option<IgnoredAny>,
    #[serde(deserialize_with = "whole")]
    pub(super) input_length: u64,
    #[serde(default, deserialize_with = "maybe_whole")]
    pub(super) output_length: Option<u64>,
    pub(super) hash_ids: Option<Vec<u64>>,
}

impl Object {
    /// Returns the number of its block ids.
    pub(super) fn ids(&self) -> u64 {
        self.hash_ids.as_ref().map_or(0, Vec::len) as u64
    }
}

/// Reads a row, and checks what can be checked of it alone.
pub(crate) fn parse(line: &[u8]) -> Result<Object, Fault> {
    let FromObject(object) =
        serde_json::from_slice::<FromObject<Object>>(line).map_err(|error| {
            let text = error.to_string();
            // The position that serde_json appends counts lines within this one.
            let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
            // It counts a value of the wrong kind from 0.
            fault(format!("column {}: {reason}", error.column().max(1)))
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
            // A hundred years of nanoseconds. In the file's own unit they are checked when that is settled.
            && !(0.0..=TIMESTAMP_SECONDS_MAX * 1e9).contains(&value)
        {
            let expected = if value < 0.0 { "a number from 0 on" } else { TIMESTAMP_EXPECTED };
            return Err(Fault::new(format!("{key} is {}", shown(value)), expected));
        }
    }
    Ok(())
}

/// A number, of which 1e300 has no 301 digits.
fn shown(number: f64) -> String {
    if number.abs() < 1e20 { number.to_string() } else { format!("{number:e}") }
}

/// Returns whether a row has the keys of Bailian's traces.
pub(super) fn is_bailian(object: &Object) -> bool {
    object.chat_id.is_some() && (object.parent_chat_id.is_some() || object.turn.is_some())
}

/// A fault that names the keys of a row.
pub(super) fn fault(reason: String) -> Fault {
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
            let number = shown(number);
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

    fn message(line: &str) -> String {
        parse(line.as_bytes()).expect_err("the line is bad").to_string()
    }

    #[test]
    fn a_bad_row_says_which_key_and_what_was_expected() {
        let row = |timestamp: &str, input: &str, ids: &str| {
            message(&format!(
                r#"{{"timestamp":{timestamp},"input_length":{input},"output_length":1,"hash_ids":{ids}}}"#
            ))
        };
        assert_eq!(row("-1", "1", "[]"), "timestamp is -1; expected a number from 0 on");
        let far = row("1e99", "1", "[]");
        assert_eq!(far, "timestamp is 1e99; expected at most a hundred years; see --time-unit");
        let delay = message(r#"{"delay":-4,"input_length":5}"#);
        assert_eq!(delay, "delay is -4; expected a number from 0 on");
        assert!(row("1", "1e99", "[]").contains("1e99 is no whole number"));
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
        let array = message("[500,null,null,null,null,null,10,20,null]");
        assert!(array.contains("invalid type: sequence, expected an object; expected"), "{array}");
    }
}
