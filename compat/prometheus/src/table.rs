//! Series by their label values, which are compared and not only hashed.

use dynamo_metrics_core::same_bytes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::{BuildHasher, Hasher};
use triomphe::ThinArc;

/// The label values of one series, in one allocation that the series and its family's table share: each value behind its length,
/// which is one more than it in one byte, or in eight behind a [`LONG`].
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct LabelValues(ThinArc<(), u8>);

/// The byte before a length of eight bytes: what no short length is, so that a comparison looks for it only where values differ.
const LONG: u8 = 0;

impl Default for LabelValues {
    fn default() -> Self {
        Self::new::<&str>(&[])
    }
}

impl LabelValues {
    pub(crate) fn new<V: AsRef<str>>(values: &[V]) -> Self {
        let mut packed = Vec::new();
        for value in values {
            let value = value.as_ref();
            let short = u8::try_from(value.len() + 1).unwrap_or(LONG);
            packed.push(short);
            if short == LONG {
                packed.extend_from_slice(&(value.len() as u64).to_le_bytes());
            }
            packed.extend_from_slice(value.as_bytes());
        }
        Self(ThinArc::from_header_and_slice((), &packed))
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes().count()
    }

    /// Returns the value of the label at this place; empty for a place that there is not.
    pub(crate) fn get(&self, at: usize) -> &str {
        self.iter().nth(at).unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let text =
            |value| str::from_utf8(value).unwrap_or_else(|_| unreachable!("made of a `str`"));
        self.bytes().map(text)
    }

    #[inline]
    pub(crate) fn are<V: AsRef<str>>(&self, values: &[V]) -> bool {
        let mut rest = &self.0.slice;
        for value in values {
            let value = value.as_ref().as_bytes();
            let split = match rest {
                [short, after @ ..] if usize::from(*short) == value.len() + 1 => {
                    after.split_at_checked(value.len())
                }
                [LONG, ..] => first(rest),
                _ => None,
            };
            let Some((own, after)) = split else { return false };
            if own.len() != value.len() || !same_bytes(own, value) {
                return false;
            }
            rest = after;
        }
        rest.is_empty()
    }

    fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0.slice;
        std::iter::from_fn(move || {
            let (value, after) = first(rest)?;
            rest = after;
            Some(value)
        })
    }
}

/// Splits the first value off.
#[inline]
fn first(packed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&short, rest) = packed.split_first()?;
    match short {
        LONG => {
            let (long, rest) = rest.split_first_chunk()?;
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(*long)).ok()?)
        }
        short => rest.split_at_checked(usize::from(short) - 1),
    }
}

/// A map from label values.
#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: HashTable<(LabelValues, T)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: HashTable::new() }
    }
}

impl<T> Table<T> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }

    #[inline]
    pub(crate) fn get<V: AsRef<str>>(&self, values: &[V]) -> Option<&T> {
        let hash = hash_values(values);
        self.entries.find(hash, |(found, _)| found.are(values)).map(|(_, value)| value)
    }

    /// Returns the entry of these values, made by `make` if there is none yet.
    pub(crate) fn get_or_insert<V: AsRef<str>, E>(
        &mut self,
        values: &[V],
        make: impl FnOnce(&LabelValues) -> Result<T, E>,
    ) -> Result<&mut T, E> {
        let entry = self.entries.entry(
            hash_values(values),
            |(found, _)| found.are(values),
            |(found, _)| hash_of(found),
        );
        let entry = match entry {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => {
                let values = LabelValues::new(values);
                let value = make(&values)?;
                entry.insert((values, value))
            }
        };
        Ok(&mut entry.into_mut().1)
    }

    pub(crate) fn remove<V: AsRef<str>>(&mut self, values: &[V]) -> Option<T> {
        let hash = hash_values(values);
        let entry = self.entries.find_entry(hash, |(found, _)| found.are(values)).ok()?;
        Some(entry.remove().0.1)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// Returns the hash of these values.
pub(crate) fn hash_values<V: AsRef<str>>(values: &[V]) -> u64 {
    hash(values.iter().map(|value| value.as_ref().as_bytes()))
}

/// Returns the hash of the values of a series.
pub(crate) fn hash_of(values: &LabelValues) -> u64 {
    hash(values.bytes())
}

/// Returns a hash of the values. An end that no text contains stands behind each, or values that only together are equal
/// would all share one place.
fn hash<'a>(values: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    for value in values {
        hasher.write(value);
        hasher.write_u8(0xff);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_only_together_are_equal_are_different_entries() {
        let mut table = Table::default();
        let all = [["ab", "c"], ["a", "bc"], ["", "abc"], ["abc", ""]];
        for (at, values) in all.iter().enumerate() {
            let made = table.get_or_insert(values, |_| Ok::<_, ()>(at)).unwrap();
            assert_eq!(*made, at);
        }
        assert_eq!(table.len(), 4);
        for (at, values) in all.iter().enumerate() {
            assert_eq!(table.get(values), Some(&at));
            assert_eq!(table.remove(values), Some(at));
            assert_eq!(table.get(values), None);
        }
    }

    #[test]
    fn values_are_found_whatever_their_lengths() {
        let values = LabelValues::new(&["", "é", "", "x"]);
        assert_eq!(values.iter().collect::<Vec<_>>(), ["", "é", "", "x"]);
        assert_eq!(values.get(4), "");
        assert!(!values.are(&["", "é", ""]) && values.are(&["", "é", "", "x"]));
    }

    #[test]
    fn lengths_of_one_and_of_nine_bytes() {
        for length in [0, 1, 254, 255, 256, 70_000] {
            let long = "x".repeat(length);
            let values = LabelValues::new(&[&long, "y", &long]);
            assert_eq!((values.len(), values.get(0), values.get(1)), (3, long.as_str(), "y"));
            assert!(values.are(&[&long, "y", &long]) && !values.are(&[&long, "y"]), "{length}");
            assert!(!values.are(&[&long, "y", &format!("{long}x")]), "{length}");
        }
    }
}
