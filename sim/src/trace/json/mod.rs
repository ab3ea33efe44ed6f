//! Traces of JSON objects, one a line or in one array: Mooncake's, Bailian's, and those of tools that write like them.
//!
//! `input_length` and `output_length` are in tokens, and `hash_ids` has one id for each block of the prompt, in order, the last block
//! perhaps part-filled or left out. Equal ids mean equal text up to and including that block, so only a common *prefix* can be reused.
//! Other keys are ignored. `object` is a row as it stands; `converter` makes requests of rows.
//!
//! **Units that a file does not state are settled by evidence, and reported** (`time_unit`, `block_sizes`): Bailian's traces (`chat_id`,
//! `parent_chat_id`, `turn`, or fractions beside blocks of 16 tokens) have seconds and blocks of 16 tokens, and so have numbers as large as
//! times since 1970 seconds; all others have milliseconds and, as a rule, blocks of 512. If the first row with a timestamp has Bailian's keys,
//! a row without is an error, and the other way round. The block size is the one with which every row's number of ids fits its length. A unit
//! or size that was given wins; a size that does not fit is an error that names the row.
//!
//! Tools leave out what they do not need: without a `timestamp` a request comes `delay` milliseconds after the one before it in its
//! session, or after the earliest of the first rows; without `output_length` its answer has `OUTPUT_TOKENS_ASSUMED` tokens.

mod block_sizes;
mod converter;
mod object;
mod time_unit;

use super::Fault;
use crate::json::FromObject;
use object::{Object, check};
use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};
use std::fmt;
use std::io::Read;

pub(super) use converter::Converter;
pub(super) use object::{KEYS, is_row, parse};

/// The reason why an array could not be read.
pub(super) enum ArrayError {
    /// A row at this place, counted from 1.
    Row(usize, Fault),
    /// The text, or reading it.
    Json(serde_json::Error),
}

/// Reads one array of objects and adds each as soon as it is read.
pub(super) fn read_array(
    reader: impl Read,
    converter: &mut Converter<'_>,
) -> Result<(), ArrayError> {
    let mut text = serde_json::Deserializer::from_reader(reader);
    let mut bad_row = None;
    let rows = Rows { converter, bad_row: &mut bad_row };
    let result = text.deserialize_seq(rows).and_then(|()| text.end());
    match (bad_row, result) {
        (Some((place, fault)), _) => Err(ArrayError::Row(place, fault)),
        (None, result) => result.map_err(ArrayError::Json),
    }
}

struct Rows<'r, 'a> {
    converter: &'r mut Converter<'a>,
    bad_row: &'r mut Option<(usize, Fault)>,
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let mut place = 0;
        while let Some(FromObject(object)) = rows.next_element::<FromObject<Object>>()? {
            place += 1;
            let checked = check(&object).map_err(|fault| (place, fault));
            if let Err(bad_row) = checked.and_then(|()| self.converter.push(place, object)) {
                *self.bad_row = Some(bad_row);
                return Err(serde::de::Error::custom("a bad row"));
            }
        }
        Ok(())
    }
}
