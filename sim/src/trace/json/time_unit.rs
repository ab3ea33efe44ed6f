//! The unit of timestamps, which no file states: settled by the first rows, and reported unless the form leaves no doubt.
//!
//! Only Mooncake's form leaves none: whole numbers beside blocks of 512 tokens. Bailian's keys, fractions beside blocks of 16 tokens
//! and the size of times since 1970 are evidence for seconds; without any, a unit is assumed.

use super::block_sizes::{BAILIAN_BLOCK_TOKENS, BlockSizes, MOONCAKE_BLOCK_TOKENS};
use super::object::Object;
use crate::trace::{Reading, TIMESTAMP_SECONDS_MAX, TimeUnit, unit_assumed};

/// From here on numbers are taken for seconds since 1970: the year 2001, and 11 days of milliseconds.
const EPOCH_SECONDS_MIN: f64 = 1e9;

/// A unit, and why it is that.
#[derive(Clone, Copy, Debug)]
pub(super) struct SettledUnit {
    pub(super) unit: TimeUnit,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The user gave it.
    Given,
    /// The keys of Bailian's traces.
    Keys,
    /// Fractions beside Bailian's blocks.
    Fractions,
    /// Numbers as large as seconds since 1970.
    Epoch,
    /// The unit of most traces.
    Usual,
}

impl SettledUnit {
    /// Settles the unit by the first rows; `is_bailian` says whether they have the keys of Bailian's traces.
    pub(super) fn by<'o>(
        rows: impl Iterator<Item = &'o Object> + Clone,
        is_bailian: bool,
        reading: &Reading,
    ) -> Self {
        if let Some(unit) = reading.time_unit {
            return Self { unit, reason: Reason::Given };
        }
        let times = rows.clone().filter_map(|object| object.timestamp);
        let is_timed = times.clone().next().is_some();
        let reason = if is_bailian {
            Reason::Keys
        } else if is_timed && times.clone().all(is_epoch) {
            Reason::Epoch
        } else if times.clone().any(is_fraction) && has_small_blocks(rows, reading) {
            Reason::Fractions
        } else {
            Reason::Usual
        };
        let unit = match reason {
            Reason::Usual => TimeUnit::Milliseconds,
            _ => TimeUnit::Seconds,
        };
        Self { unit, reason }
    }

    /// Returns the sentence about the unit, unless it was given or is certain. `block_tokens` is the size of the file's blocks, and
    /// `fractions` whether a timestamp had one.
    pub(super) fn assumed(self, block_tokens: Option<u64>, fractions: bool) -> Option<String> {
        let reason = match self.reason {
            Reason::Given => return None,
            Reason::Keys => "as in Bailian's traces (chat_id, turn)",
            Reason::Fractions => "as in Bailian's traces (fractions, blocks of 16 tokens)",
            Reason::Epoch => "as large as those since 1970",
            Reason::Usual if block_tokens == Some(MOONCAKE_BLOCK_TOKENS) && !fractions => {
                return None;
            }
            Reason::Usual => "as in Mooncake's traces",
        };
        Some(unit_assumed(self.unit, reason))
    }
}

/// Returns whether a time is no whole number.
pub(super) fn is_fraction(time: f64) -> bool {
    time.fract() != 0.0
}

fn is_epoch(time: f64) -> bool {
    (EPOCH_SECONDS_MIN..=TIMESTAMP_SECONDS_MAX).contains(&time)
}

/// Returns whether blocks have as many tokens as Bailian's.
fn has_small_blocks<'o>(rows: impl Iterator<Item = &'o Object>, reading: &Reading) -> bool {
    let mut sizes = BlockSizes::new(reading.block_tokens, false);
    for object in rows {
        // A row that fits no size is an error with its number when it is converted.
        if sizes.narrow(object.input_length, object.ids()).is_err() {
            return false;
        }
    }
    sizes.settled() == Some(BAILIAN_BLOCK_TOKENS)
}
