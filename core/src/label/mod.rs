//! Checks of metric and label names, and the packed label values of one series.

mod label_enum;

pub use label_enum::{LabelEnum, LabelEnums};

use crate::error::RegisterError;
use crate::escaping::{Escaping, is_legacy_label_name, is_legacy_metric_name};

/// Largest number of bytes of a label value; longer values are truncated on a character boundary. Clients choose label
/// values (model names, tenants), and this limit bounds the cost of each in every scrape.
pub const LABEL_VALUE_BYTES_MAX: usize = 128;
/// Largest number of bytes of a label value that the program's operator chooses: of a constant or scope label, or in a
/// family with [`Opts::label_value_bytes_max`](crate::Opts::label_value_bytes_max). It is the longest path of a file system
/// (`PATH_MAX` of Linux), because a model may be named by its path. Longer values of constant and scope labels are refused
/// and not truncated, because two identifiers must not become one.
pub const OPERATOR_LABEL_VALUE_BYTES_MAX: usize = 4096;

/// Label of a histogram's buckets.
pub(crate) const BUCKET_LABEL: &str = "le";
/// Label of a summary's quantiles.
pub(crate) const QUANTILE_LABEL: &str = "quantile";
const OWN_LABELS: [&str; 2] = [BUCKET_LABEL, QUANTILE_LABEL];

/// Checks a metric name against `[a-zA-Z_:][a-zA-Z0-9_:]*` (Prometheus data model).
pub(crate) fn check_metric_name(name: &str) -> Result<(), RegisterError> {
    if is_legacy_metric_name(name) {
        return Ok(());
    }
    Err(RegisterError::InvalidName {
        name: name.into(),
        reason: "it must match [a-zA-Z_:][a-zA-Z0-9_:]*, for example \"requests_total\"; \
                 `Opts::utf8_names` allows any other UTF-8 text",
    })
}

/// Checks a metric name that may be any non-empty UTF-8 text without [`NUL`].
pub(crate) fn check_utf8_metric_name(name: &str) -> Result<(), RegisterError> {
    let reason = if name.is_empty() {
        "it is empty; give it one, for example \"requests_total\""
    } else if name.contains(NUL) {
        "Prometheus' parsers refuse NUL in names; leave it out"
    } else {
        return Ok(());
    };
    Err(RegisterError::InvalidName { name: name.into(), reason })
}

/// A character that names must not contain: in a quoted name it is a syntax error that fails the whole scrape (text and
/// OpenMetrics, Prometheus 3.5.3). Prometheus and the strict Python parser accept every other control character, raw or,
/// as line feeds, escaped.
const NUL: char = '\0';

/// The label that holds a series' name; a label of this name fails a whole scrape. Other names that begin with `__` are
/// reserved by convention only (Prometheus 3.5.3 stores them), so a name that merely *escapes* to one of them is
/// accepted: under `underscores` that is every label that begins with two characters of, for example, Chinese.
const NAME_LABEL: &str = "__name__";

/// Checks a label name against `[a-zA-Z_][a-zA-Z0-9_]*` and the names that Prometheus keeps for itself.
pub(crate) fn check_label_name(name: &str, label: &str) -> Result<(), RegisterError> {
    let reason = if is_legacy_label_name(label) {
        reserved(label)
    } else {
        Some(
            "it must match [a-zA-Z_][a-zA-Z0-9_]* (`Opts::utf8_names` allows any other UTF-8 text \
             in a metric's own labels)",
        )
    };
    usable(name, label, reason)
}

/// Checks a label name that may be any non-empty UTF-8 text without [`NUL`] that neither is reserved nor escapes to
/// [`NAME_LABEL`].
pub(crate) fn check_utf8_label_name(name: &str, label: &str) -> Result<(), RegisterError> {
    let reason = if label.is_empty() {
        Some("it is empty")
    } else if label.contains(NUL) {
        Some("Prometheus' parsers refuse NUL in names")
    } else {
        reserved(label)
    };
    usable(name, label, reason)
}

/// Checks the name of a label that metrics of every kind may have: it must not be the one that samples of some kind have of
/// their own.
pub(crate) fn check_shared_label_name(name: &str, label: &str) -> Result<(), RegisterError> {
    check_label_name(name, label)?;
    OWN_LABELS.iter().try_for_each(|own| check_own_label(name, own, label))
}

/// Checks that a label is not the one that samples of a metric's kind have of their own. Metrics of other kinds may have it, as in
/// the official clients: a gauge with a label `quantile` shows quantiles that a program computes.
pub(crate) fn check_own_label(name: &str, own: &str, label: &str) -> Result<(), RegisterError> {
    let reason = "it is the label of histogram buckets or summary quantiles";
    usable(name, label, (label == own).then_some(reason))
}

fn usable(name: &str, label: &str, reason: Option<&'static str>) -> Result<(), RegisterError> {
    reason.map_or(Ok(()), |reason| {
        Err(RegisterError::InvalidLabel { name: name.into(), label: label.into(), reason })
    })
}

/// Returns the reason why a label name is reserved for all kinds of metrics, if it is.
fn reserved(label: &str) -> Option<&'static str> {
    if label.starts_with("__") {
        Some("names that begin with `__` are Prometheus' own")
    } else if Escaping::ALL.iter().any(|scheme| scheme.label_name(label) == NAME_LABEL) {
        Some("some scrapers would get it escaped as `__name__`, which fails a scrape")
    } else {
        None
    }
}

/// Checks the length of a label value that is never truncated.
pub(crate) fn check_operator_value(
    name: &str,
    label: &str,
    value: &str,
) -> Result<(), RegisterError> {
    if value.len() <= OPERATOR_LABEL_VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(RegisterError::LabelValueTooLong {
        name: name.into(),
        label: label.into(),
        bytes: value.len(),
        max: OPERATOR_LABEL_VALUE_BYTES_MAX,
    })
}

/// Truncates a value to `max` bytes, on a character boundary.
#[inline]
pub(crate) fn truncate(value: &str, max: usize) -> &str {
    if value.len() <= max {
        return value;
    }
    &value[..value.floor_char_boundary(max)]
}

/// The label values of one series, in the order of the family's label names.
///
/// They are packed into bytes in the allocation of the series: each value after its length, which has two bytes,
/// little-endian. A length of one byte with an escape for long values cost a lookup six instructions more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabelValues<'a>(&'a [u8]);

const _: () = assert!(OPERATOR_LABEL_VALUE_BYTES_MAX <= u16::MAX as usize, "a length is two bytes");

impl<'a> LabelValues<'a> {
    /// Packs values that are already [truncated](truncate).
    pub(crate) fn pack(values: &[&str]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(values.iter().map(|value| value.len() + 2).sum());
        for value in values {
            debug_assert!(value.len() <= OPERATOR_LABEL_VALUE_BYTES_MAX);
            packed.extend_from_slice(&(value.len() as u16).to_le_bytes());
            packed.extend_from_slice(value.as_bytes());
        }
        packed
    }

    /// Returns the values that [`pack`](Self::pack) packed.
    #[inline]
    pub(crate) fn of(packed: &'a [u8]) -> Self {
        Self(packed)
    }

    /// Iterates over the values.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (length, after) = length(rest)?;
            let (value, after) = after.split_at(length);
            rest = after;
            // Checked, because only `unsafe` could skip the check; a scrape renders a series once.
            Some(str::from_utf8(value).unwrap_or_else(|_| unreachable!("packed from a `str`")))
        })
    }

    /// Returns whether these are exactly `values`.
    #[inline]
    pub(crate) fn are(self, values: &[&str]) -> bool {
        let mut rest = self.0;
        for value in values {
            let Some((length, after)) = length(rest) else { return false };
            // A value that is too long has no equal, because it is longer than every packed value.
            if length != value.len() {
                return false;
            }
            let Some((packed, after)) = after.split_at_checked(value.len()) else { return false };
            if !same_bytes(packed, value.as_bytes()) {
                return false;
            }
            rest = after;
        }
        rest.is_empty()
    }
}

/// Splits the length of the first value from packed bytes.
#[inline(always)]
fn length(packed: &[u8]) -> Option<(usize, &[u8])> {
    let (length, after) = packed.split_first_chunk()?;
    Some((usize::from(u16::from_le_bytes(*length)), after))
}

/// Returns whether two values of equal length are equal. Most label values have 8 to 16 bytes, so two overlapping words cover
/// them; a call of `memcmp` takes three times as long. Public for `compat/prometheus`, which compares label values as lookups
/// here do, and not for programs.
#[doc(hidden)]
#[inline(always)]
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    let ends = |value: &[u8]| {
        let (first, last) = (*value.first_chunk()?, *value.last_chunk()?);
        Some((u64::from_ne_bytes(first), u64::from_ne_bytes(last)))
    };
    if a.len() <= 16
        && let (Some(a), Some(b)) = (ends(a), ends(b))
    {
        return a == b;
    }
    a == b
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "_a", ":a", "vllm:num_requests", "A9"] {
            assert!(check_metric_name(good).is_ok(), "{good}");
        }
        for bad in ["", "9a", "a-b", "a.b", "ä", "a b"] {
            assert!(check_metric_name(bad).is_err(), "{bad}");
        }
        for good in ["a", "_a", "model_9"] {
            assert!(check_label_name("x", good).is_ok(), "{good}");
        }
        for bad in ["", "9a", "a:b", "__name__", "__x", "_name_"] {
            assert!(check_label_name("x", bad).is_err(), "{bad}");
        }
        for own in ["le", "quantile"] {
            assert!(check_label_name("x", own).is_ok(), "{own}");
            assert!(check_shared_label_name("x", own).is_err(), "{own}");
        }
    }

    #[test]
    fn utf8_names_are_checked() {
        for good in ["a", "a.b", "9", "größe", "\"{},\n\r\t\u{1} \u{7f}", "\u{feff}", "__x"] {
            assert!(check_utf8_metric_name(good).is_ok(), "{good:?}");
        }
        for bad in ["", "\0", "a.b\0"] {
            assert!(check_utf8_metric_name(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "k8s.pod", "a:b", "0", "\n", "花火", "..x", "name_", "_name"] {
            assert!(check_utf8_label_name("x", good).is_ok(), "{good:?}");
        }
        // The last three escape to `__name__` under `underscores` or `dots`.
        for bad in ["", "\0", "__x", ".-name..", "-name_", "_name_"] {
            assert!(check_utf8_label_name("x", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_are_truncated_on_a_character_boundary() {
        let kept = |value: &str| truncate(value, LABEL_VALUE_BYTES_MAX).to_owned();
        assert_eq!(kept("short"), "short");
        assert_eq!(kept(&"x".repeat(129)).len(), 128);
        let wide = format!("{}{}", "x".repeat(126), "é é");
        assert_eq!(kept(&wide), format!("{}é", "x".repeat(126)));
        let four = format!("{}{}", "x".repeat(127), "🦀");
        assert_eq!(kept(&four).len(), 127);
    }

    #[test]
    fn packing_keeps_values_as_they_are() {
        for bytes in [128, 254, 255, 256, 257, OPERATOR_LABEL_VALUE_BYTES_MAX] {
            let long = "y".repeat(bytes);
            let values = ["", "foo", "\0\n\"\\", &long, "é"];
            let packed = LabelValues::pack(&values);
            let packed = LabelValues::of(&packed);
            assert_eq!(packed.iter().collect::<Vec<_>>(), values);
            assert!(packed.are(&values));
            assert!(!packed.are(&values[..4]));
            assert!(!packed.are(&["", "foo", "\0\n\"\\", &long[1..], "é"]));
        }
    }

    #[test]
    fn values_with_the_same_concatenation_differ() {
        let upstream_bug = LabelValues::pack(&["foo", "chat_completions"]);
        let upstream_bug = LabelValues::of(&upstream_bug);
        assert!(!upstream_bug.are(&["foochat_", "completions"]));
        assert!(!upstream_bug.are(&["foo", "chat_completions", ""]));
        assert!(!upstream_bug.are(&["foo", "chat_completion"]));
    }

    #[test]
    fn every_byte_of_a_value_is_compared() {
        for length in 0..=LABEL_VALUE_BYTES_MAX {
            let value = "v".repeat(length);
            let packed = LabelValues::pack(&[&value]);
            assert!(LabelValues::of(&packed).are(&[&value]));
            for at in 0..length {
                let mut other = value.clone();
                other.replace_range(at..=at, "w");
                assert!(!LabelValues::of(&packed).are(&[&other]), "{length} bytes, byte {at}");
            }
        }
    }
}
