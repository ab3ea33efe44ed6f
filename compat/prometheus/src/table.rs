//! Series by their label values, which are compared and not only hashed.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// The label values of one series, in one text.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct LabelValues {
    text: Box<str>,
    /// The end of each value.
    ends: Box<[usize]>,
}

impl LabelValues {
    pub(crate) fn new<V: AsRef<str>>(values: &[V]) -> Self {
        let mut text = String::new();
        let ends = values.iter().map(|value| {
            text.push_str(value.as_ref());
            text.len()
        });
        let ends = ends.collect();
        Self { text: text.into(), ends }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the value of the label at this place; empty for a place that there is not.
    pub(crate) fn get(&self, at: usize) -> &str {
        let start = if at == 0 { Some(0) } else { self.ends.get(at - 1).copied() };
        match (start, self.ends.get(at)) {
            (Some(start), Some(&end)) => &self.text[start..end],
            _ => "",
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }

    pub(crate) fn are<V: AsRef<str>>(&self, values: &[V]) -> bool {
        // Bytes, which need no search for the boundaries of characters.
        let (text, mut start) = (self.text.as_bytes(), 0);
        self.len() == values.len()
            && self.ends.iter().zip(values).all(|(&end, value)| {
                let own = text.get(start..end);
                start = end;
                own == Some(value.as_ref().as_bytes())
            })
    }
}

/// A map from label values.
#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: HashTable<(Arc<LabelValues>, T)>,
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
        make: impl FnOnce(&Arc<LabelValues>) -> Result<T, E>,
    ) -> Result<&mut T, E> {
        let entry = self.entries.entry(
            hash_values(values),
            |(found, _)| found.are(values),
            |(found, _)| hash_of(found),
        );
        let entry = match entry {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => {
                let values = Arc::new(LabelValues::new(values));
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
    hash(values.iter().map(AsRef::as_ref))
}

/// Returns the hash of the values of a series.
pub(crate) fn hash_of(values: &LabelValues) -> u64 {
    hash(values.iter())
}

/// Returns a hash of the values. An end that no text contains stands behind each, or values that only together are equal
/// would all share one place.
fn hash<'a>(values: impl Iterator<Item = &'a str>) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    for value in values {
        hasher.write(value.as_bytes());
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
        assert!(!values.are(&["", "é", ""]));
    }
}
