//! The label sets of samples: all labels but the one that holds a bound, a quantile or a state; and which sets are equal.

use super::cursor::Label;
use super::store::{NO_LABEL, Sample, Store};

impl Store {
    /// The labels that a sample was read with, and those of its source that it cannot get as one.
    pub(super) fn labels(&self, sample: &Sample) -> &[Label] {
        let first = sample.first_label as usize;
        &self.labels[first..first + usize::from(sample.labels)]
    }

    /// The labels that a sample's source adds, as labels and as text.
    pub(super) fn added(&self, sample: &Sample) -> (&[Label], &[u8]) {
        let Some(extra) = self.extras.get(sample.extra as usize) else { return (&[], b"") };
        let first = extra.first_label as usize;
        (&self.added[first..first + extra.labels as usize], self.arena.get(extra.text))
    }

    /// Returns whether a sample's source adds labels to it as a whole.
    pub(super) fn adds(&self, sample: &Sample) -> bool {
        self.extras.get(sample.extra as usize).is_some_and(|extra| extra.labels > 0)
    }

    /// The position of a sample's `le`, `quantile` or state, where that is not part of the label set.
    pub(super) fn own_label(&self, sample: &Sample) -> Option<usize> {
        (sample.own != NO_LABEL).then_some(usize::from(sample.own))
    }

    /// The value of a sample's `le`, `quantile` or state; empty where there is none.
    pub(super) fn own_value(&self, at: u32) -> &[u8] {
        let sample = &self.samples[at as usize];
        let own = self.own_label(sample).map(|own| self.labels(sample)[own].value);
        self.arena.get(own.unwrap_or_default())
    }

    /// All labels but `le` of a histogram, `quantile` of a summary and the state of a state set.
    pub(super) fn label_set<'a>(&'a self, sample: &'a Sample) -> impl Iterator<Item = &'a Label> {
        self.read_set(sample).chain(self.added(sample).0)
    }

    fn read_set<'a>(&'a self, sample: &'a Sample) -> impl Iterator<Item = &'a Label> {
        let own = usize::from(sample.own);
        let labels = self.labels(sample).iter().enumerate();
        labels.filter(move |&(position, _)| position != own).map(|(_, label)| label)
    }

    /// A hash of a sample's label set, whatever the order of the labels.
    pub(super) fn label_hash(&self, at: u32) -> u64 {
        let sample = &self.samples[at as usize];
        let added = self.extras.get(sample.extra as usize).map_or(0, |extra| extra.hash);
        let read = self.read_set(sample).map(|label| self.hash_of(label));
        read.fold(added, u64::wrapping_add)
    }

    pub(super) fn hash_of(&self, label: &Label) -> u64 {
        let name = self.seed.hash(self.arena.get(label.name));
        self.seed.extend(name, self.arena.get(label.value))
    }

    /// Returns whether two samples have one label set, whatever the order of the labels.
    pub(super) fn same_labels(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.samples[a as usize], &self.samples[b as usize]);
        let count = |sample: &Sample| {
            let read = sample.labels - u16::from(sample.own != NO_LABEL);
            usize::from(read) + self.added(sample).0.len()
        };
        if count(a) != count(b) {
            return false;
        }
        let equal = |x: &Label, y: &Label| {
            self.arena.get(x.value) == self.arena.get(y.value)
                && self.arena.get(x.name) == self.arena.get(y.name)
        };
        // Almost always of one source, and in one order.
        if a.extra == b.extra && self.read_set(a).zip(self.read_set(b)).all(|(x, y)| equal(x, y)) {
            return true;
        }
        // No line names a label twice, so equal counts and one inclusion are enough.
        self.label_set(a).all(|x| self.label_set(b).any(|y| equal(x, y)))
    }
}
