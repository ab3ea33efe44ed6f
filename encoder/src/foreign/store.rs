//! The records of one merge: the bytes, and every sample that could be read, of all sources.
//!
//! A sample is a fixed-size record; its labels lie side by side in one list. Both only grow during a
//! merge and are emptied, not freed, before the next.

use super::arena::{Arena, NONE, Seed, Span};
use super::line::{Label, Reading, number};
use super::source::Role;
use crate::number::Text;
use crate::strict::Kind;

/// The position of no label.
const NO_LABEL: u8 = u8::MAX;

pub(super) struct Sample {
    /// Index of its name in its source.
    pub(super) name: u32,
    first_label: u32,
    labels: u8,
    /// Which of them is `le` or `quantile`, where that is not part of the label set.
    own: u8,
    pub(super) role: Role,
    /// See [`Reading`].
    pub(super) braces: Span,
    pub(super) text: Span,
    pub(super) timestamp: Span,
    pub(super) value: f64,
    /// The value of `le` or `quantile`.
    pub(super) bound: f64,
    /// The next sample of its group.
    pub(super) next: u32,
}

#[derive(Default)]
pub(super) struct Store {
    pub(super) arena: Arena,
    pub(super) seed: Seed,
    pub(super) samples: Vec<Sample>,
    /// Labels of the samples, and behind them those of the line that is being read.
    pub(super) labels: Vec<Label>,
}

impl Store {
    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.samples.clear();
        self.labels.clear();
    }

    /// Keeps a sample; its labels are those from `first_label` on.
    pub(super) fn push(&mut self, reading: &Reading, name: u32, first_label: usize) {
        if reading.respell {
            for label in &mut self.labels[first_label..] {
                label.value = self.arena.respell(label.value, b"\\n\"");
            }
        }
        self.samples.push(Sample {
            name,
            first_label: first_label as u32,
            labels: (self.labels.len() - first_label) as u8,
            own: NO_LABEL,
            role: Role::Value,
            braces: reading.braces,
            text: reading.text,
            timestamp: reading.timestamp,
            value: reading.value,
            bound: 0.0,
            next: NONE,
        });
    }

    pub(super) fn labels(&self, sample: &Sample) -> &[Label] {
        let first = sample.first_label as usize;
        &self.labels[first..first + usize::from(sample.labels)]
    }

    /// Sets a histogram's or summary's sample's role and takes its `le` or `quantile` out of its
    /// label set. Returns whether the sample makes sense; if not, the whole point does not.
    pub(super) fn take_role(&mut self, at: u32, kind: Kind, role: Role) -> bool {
        let own_name: &[u8] = if kind == Kind::Histogram { b"le" } else { b"quantile" };
        let sample = &self.samples[at as usize];
        let own =
            self.labels(sample).iter().position(|label| self.arena.get(label.name) == own_name);
        let first_label = sample.first_label as usize;
        let sample = &mut self.samples[at as usize];
        sample.role = role;
        sample.own = own.map_or(NO_LABEL, |own| own as u8);
        match role {
            Role::Sum | Role::Count => own.is_none(),
            Role::Bucket | Role::Quantile => {
                let Some(own) = own else { return false };
                let text = self.labels[first_label + own].value;
                let Some((bound, as_it_stands)) = number(self.arena.get(text)) else {
                    return false;
                };
                let in_range = match role {
                    Role::Bucket => !bound.is_nan(),
                    _ => (0.0..=1.0).contains(&bound),
                };
                if !as_it_stands {
                    sample.braces = Span::default();
                    self.labels[first_label + own].value =
                        self.arena.push(Text::of(bound).as_bytes());
                }
                sample.bound = bound;
                in_range
            }
            Role::Value | Role::Stray => false,
        }
    }

    /// A hash of a sample's label set, whatever the order of the labels.
    pub(super) fn label_hash(&self, at: u32) -> u64 {
        let sample = &self.samples[at as usize];
        let mut sum = 0_u64;
        for (position, label) in self.labels(sample).iter().enumerate() {
            if position != usize::from(sample.own) {
                let name = self.seed.hash(self.arena.get(label.name));
                sum = sum.wrapping_add(self.seed.extend(name, self.arena.get(label.value)));
            }
        }
        sum
    }

    /// Whether two samples have one label set, whatever the order of the labels.
    pub(super) fn same_labels(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.samples[a as usize], &self.samples[b as usize]);
        let count = |sample: &Sample| sample.labels - u8::from(sample.own != NO_LABEL);
        if count(a) != count(b) {
            return false;
        }
        let equal = |x: &Label, y: &Label| {
            self.arena.get(x.value) == self.arena.get(y.value)
                && self.arena.get(x.name) == self.arena.get(y.name)
        };
        // Almost always in one order.
        if self.label_set(a).zip(self.label_set(b)).all(|(x, y)| equal(x, y)) {
            return true;
        }
        // No line names a label twice, so equal counts and one inclusion are enough.
        self.label_set(a).all(|x| self.label_set(b).any(|y| equal(x, y)))
    }

    fn label_set<'a>(&'a self, sample: &'a Sample) -> impl Iterator<Item = &'a Label> {
        let own = usize::from(sample.own);
        let labels = self.labels(sample).iter().enumerate();
        labels.filter(move |&(position, _)| position != own).map(|(_, label)| label)
    }
}
