//! The records of one merge: the bytes, and every sample that could be read, of all sources.
//!
//! A sample is a fixed-size record; its labels lie side by side in one list. Both only grow during a
//! merge and are emptied, not freed, before the next. Labels that a source adds to all its samples are kept once:
//! a sample holds the number of the [`Extra`] that it gets as a whole. Only where it has one of them itself are the
//! others listed with its own.

use bytes::BytesMut;
use dynamo_metrics_core::Escaping;

use super::alike::Before;
use super::arena::{Arena, NONE, Seed, Span, unescaped};
use super::bound::{self, Respelled};
use super::cursor::Label;
use super::labels::Labels;
use super::line::Reading;
use super::role::Role;
use crate::number::Text;
use dynamo_metrics_parser::Kind;
use dynamo_metrics_parser::grammar::{label_name_len, literal, metric_name_len};

/// The characters that a backslash escapes in the quotes of names and label values.
const ESCAPES: &[u8] = b"\\n\"";

/// The position of no label.
pub(super) const NO_LABEL: u16 = u16::MAX;

pub(super) struct Sample {
    /// Index of its name in its source.
    pub(super) name: u32,
    pub(super) first_label: u32,
    pub(super) labels: u16,
    /// The index among them of `le`, `quantile` or the state, where that is not part of the label set.
    pub(super) own: u16,
    /// The only label whose value is not that of the sample before, which has the same name and labels otherwise; or
    /// [`NO_LABEL`] where the two were not compared.
    alike: u16,
    pub(super) role: Role,
    /// The labels that its source adds, or [`NONE`].
    pub(super) extra: u32,
    /// See [`Reading`].
    pub(super) braces: Span,
    pub(super) text: Span,
    /// Milliseconds in digits; empty when there is none.
    pub(super) timestamp: Span,
    pub(super) exemplar: Span,
    pub(super) value: f64,
    /// The value of `le` or `quantile`.
    pub(super) bound: f64,
    /// The next sample of its group.
    pub(super) next: u32,
    /// The type of the last TYPE line before it.
    pub(super) below: Kind,
}

/// The labels that a source adds.
#[derive(Clone, Copy)]
pub(super) struct Extra {
    pub(super) first_label: u32,
    pub(super) labels: u32,
    /// The labels as text, without braces.
    pub(super) text: Span,
    /// Their part of a label set's hash.
    pub(super) hash: u64,
}

#[derive(Default)]
pub(super) struct Store {
    pub(super) arena: Arena,
    pub(super) seed: Seed,
    pub(super) samples: Vec<Sample>,
    /// Labels of the samples, and behind them those of the line that is being read.
    pub(super) labels: Vec<Label>,
    pub(super) extras: Vec<Extra>,
    pub(super) added: Vec<Label>,
    pub(super) escaping: Escaping,
    /// A name that is being escaped.
    escaped: String,
    /// A number that is being spelled.
    pub(super) spelled: BytesMut,
    /// The labels that this round has respelled.
    pub(super) respelled: Vec<Respelled>,
    /// True if a sample of this source has a timestamp.
    timestamps: bool,
}

impl Store {
    pub(super) fn clear(&mut self, escaping: Escaping) {
        self.arena.clear();
        self.samples.clear();
        self.labels.clear();
        self.extras.clear();
        self.added.clear();
        self.respelled.clear();
        self.escaping = escaping;
    }

    /// Begins a source, whose samples get these labels.
    pub(super) fn add(&mut self, labels: &Labels) {
        self.timestamps = false;
        let first_label = self.added.len();
        let mut hash = 0_u64;
        for (name, value) in labels.pairs() {
            let (name, value) = (self.arena.push(name.as_bytes()), self.arena.push(value));
            let label = Label { name: self.escape_label(name), value };
            hash = hash.wrapping_add(self.hash_of(&label));
            self.added.push(label);
        }
        let text = self.arena.len();
        for label in &self.added[first_label..] {
            if self.arena.len() > text {
                self.arena.push(b",");
            }
            self.arena.join(b"", label.name, b"=\"");
            self.arena.join(b"", label.value, b"\"");
        }
        let text = Span { start: text as u32, end: self.arena.len() as u32 };
        let labels = (self.added.len() - first_label) as u32;
        self.extras.push(Extra { first_label: first_label as u32, labels, text, hash });
    }

    /// Keeps a sample; its labels are those from `first_label` on. Returns whether it could: not if two of its labels
    /// have one name once they are escaped.
    pub(super) fn push(
        &mut self,
        reading: &Reading,
        name: u32,
        first_label: usize,
        below: Kind,
    ) -> bool {
        let mut braces = reading.braces;
        if reading.respell {
            for label in &mut self.labels[first_label..] {
                label.name = self.arena.respell(label.name, ESCAPES);
                label.value = self.arena.respell(label.value, ESCAPES);
            }
        }
        let changes = match self.escaping {
            // Two spellings of one name.
            Escaping::AllowUtf8 => reading.quoted && reading.respell,
            Escaping::Dots => true,
            _ => reading.quoted,
        };
        if changes {
            braces = Span::default();
            for at in first_label..self.labels.len() {
                let name = self.escape_label(self.labels[at].name);
                let before = &self.labels[first_label..at];
                if before.iter().any(|other| self.arena.get(other.name) == self.arena.get(name)) {
                    return false;
                }
                self.labels[at].name = name;
            }
        }
        let mut extra = self.extras.len() as u32 - 1;
        if !self.add_whole(first_label, extra) {
            (extra, braces) = (NONE, Span::default());
        }
        self.timestamps |= !reading.timestamp.is_empty();
        self.samples.push(Sample {
            name,
            first_label: first_label as u32,
            labels: (self.labels.len() - first_label) as u16,
            own: NO_LABEL,
            alike: NO_LABEL,
            role: Role::Value,
            extra,
            braces,
            text: reading.text,
            timestamp: reading.timestamp,
            exemplar: reading.exemplar,
            value: reading.value,
            bound: 0.0,
            next: NONE,
            below,
        });
        true
    }

    /// Keeps a sample that is like the last one but for the value of one label; it gets the same labels of its source.
    pub(super) fn push_alike(
        &mut self,
        reading: &Reading,
        first_label: usize,
        which: usize,
        below: Kind,
    ) {
        let Some(last) = self.samples.last() else { return };
        self.timestamps |= !reading.timestamp.is_empty();
        self.samples.push(Sample {
            name: last.name,
            first_label: first_label as u32,
            labels: last.labels,
            own: NO_LABEL,
            alike: which as u16,
            role: Role::Value,
            extra: last.extra,
            braces: reading.braces,
            text: reading.text,
            timestamp: reading.timestamp,
            exemplar: reading.exemplar,
            value: reading.value,
            bound: 0.0,
            next: NONE,
            below,
        });
    }

    /// The last sample, with this name, for comparison with the next line; `None` if its braces cannot be copied.
    pub(super) fn before(&self, name: Span) -> Option<Before> {
        let sample = self.samples.last()?;
        let plain = !sample.braces.is_empty() && sample.braces.start == name.end;
        plain.then(|| Before {
            name,
            braces: sample.braces,
            first_label: sample.first_label as usize,
            labels: sample.labels.into(),
        })
    }

    /// Clears the role and the group that an earlier round gave a sample.
    pub(super) fn reset(&mut self, at: u32) {
        let sample = &mut self.samples[at as usize];
        (sample.role, sample.own, sample.next) = (Role::Value, NO_LABEL, NONE);
    }

    /// Returns whether a sample has the label set of the one before, once both have their roles.
    pub(super) fn continues(&self, at: u32) -> bool {
        let sample = &self.samples[at as usize];
        sample.alike != NO_LABEL && sample.alike == sample.own
    }

    /// Returns whether all labels of a source can be added as one; if not, those that can were listed.
    fn add_whole(&mut self, first_label: usize, extra: u32) -> bool {
        let extra = self.extras[extra as usize];
        let added = extra.first_label as usize..(extra.first_label + extra.labels) as usize;
        let end = self.labels.len();
        let has = |store: &Store, name: Span| {
            let name = store.arena.get(name);
            store.labels[first_label..end].iter().any(|own| store.arena.get(own.name) == name)
        };
        if !added.clone().any(|at| has(self, self.added[at].name)) {
            return true;
        }
        for at in added {
            if !has(self, self.added[at].name) {
                self.labels.push(self.added[at]);
            }
        }
        false
    }

    /// Makes milliseconds of the timestamps from sample `first` on, which are seconds in OpenMetrics. Drops those that some
    /// format cannot have: a negative one, and in text 0.0.4 a fraction.
    pub(super) fn settle_timestamps(&mut self, first: usize, openmetrics: bool) {
        if !self.timestamps {
            return;
        }
        for at in first..self.samples.len() {
            let span = self.samples[at].timestamp;
            let text = self.arena.get(span);
            let digits = text.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(text).unwrap_or_default();
            if span.is_empty() || (digits && !openmetrics && text.parse::<i64>().is_ok()) {
                continue;
            }
            let milliseconds =
                text.parse::<f64>().map_or(f64::NAN, |seconds| seconds * 1e3).round();
            // Up to 2^53, the year 287396.
            let whole = (0.0..=9_007_199_254_740_992.0).contains(&milliseconds) && openmetrics;
            self.samples[at].timestamp = if whole {
                self.arena.push(itoa::Buffer::new().format(milliseconds as u64).as_bytes())
            } else {
                Span::default()
            };
        }
    }

    /// Returns whether a sample without a time comes after one of the same series with a time. Prometheus stores the first one at that time
    /// and the second one at the time of the scrape, if the series is spelled otherwise; spelled the same it leaves the second one out.
    pub(super) fn is_now(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.samples[a as usize], &self.samples[b as usize]);
        a.timestamp.is_empty()
            && !b.timestamp.is_empty()
            && self.arena.get(a.braces) != self.arena.get(b.braces)
    }

    /// Returns whether both samples have timestamps, and that of `a` is later than that of `b`.
    pub(super) fn is_newer(&self, a: u32, b: u32) -> bool {
        let at = |sample: u32| {
            let digits = self.arena.get(self.samples[sample as usize].timestamp);
            std::str::from_utf8(digits).ok()?.parse::<i64>().ok()
        };
        at(a).zip(at(b)).is_some_and(|(a, b)| a > b)
    }

    /// A metric's name, spelled with known escapes only, and its surroundings.
    pub(super) fn respelled(&mut self, name: Span) -> (Span, &Arena, &Seed) {
        // Only a name in quotes has escapes.
        let before = Span { start: name.start.saturating_sub(1), end: name.start };
        let name = match self.arena.get(before) {
            b"\"" => self.arena.respell(name, ESCAPES),
            _ => name,
        };
        (name, &self.arena, &self.seed)
    }

    /// A metric's name, escaped as the scraper wants it.
    pub(super) fn escape_name(&mut self, name: Span) -> Span {
        if self.stands(name, metric_name_len) {
            return name;
        }
        self.escape(name, Escaping::write_metric_name)
    }

    fn escape_label(&mut self, name: Span) -> Span {
        if self.stands(name, label_name_len) {
            return name;
        }
        self.escape(name, Escaping::write_label_name)
    }

    /// Returns whether a name stays as it is: a legacy-valid one, but for dots, and in UTF-8 any.
    fn stands(&self, name: Span, valid_len: fn(&[u8]) -> usize) -> bool {
        let bytes = self.arena.get(name);
        match self.escaping {
            Escaping::AllowUtf8 => true,
            Escaping::Dots => false,
            _ => valid_len(bytes) == bytes.len(),
        }
    }

    fn escape(&mut self, name: Span, write: impl Fn(Escaping, &str, &mut String)) -> Span {
        self.escaped.clear();
        write(self.escaping, &unescaped(self.arena.name(name)), &mut self.escaped);
        if self.escaped.as_bytes() == self.arena.get(name) {
            return name;
        }
        self.arena.push(self.escaped.as_bytes())
    }

    /// Sets the role of a sample whose family, of this type and name, has several samples a point, and takes its `le`, its
    /// `quantile` or the label of its state out of its label set. Returns whether the sample makes sense; if not, the whole
    /// point does not.
    pub(super) fn take_role(&mut self, at: u32, (kind, family): (Kind, Span), role: Role) -> bool {
        let own_name: &[u8] = match kind {
            Kind::Histogram | Kind::GaugeHistogram => b"le",
            Kind::StateSet => self.arena.get(family),
            _ => b"quantile",
        };
        let sample = &self.samples[at as usize];
        let own = if sample.alike == NO_LABEL {
            self.labels(sample).iter().position(|label| self.arena.get(label.name) == own_name)
        } else {
            // Of the same name, so that it got its role by the same rules.
            self.own_label(&self.samples[at as usize - 1])
        };
        let first_label = sample.first_label as usize;
        let sample = &mut self.samples[at as usize];
        sample.role = role;
        sample.own = own.map_or(NO_LABEL, |own| own as u16);
        match role {
            Role::Sum | Role::Count => own.is_none(),
            Role::State => own.is_some() && matches!(sample.value, 0.0 | 1.0),
            Role::Bucket | Role::Quantile => {
                let Some(own) = own else { return false };
                let text = self.arena.get(self.labels[first_label + own].value);
                let plain = literal(text);
                let Some(bound) = plain.or_else(|| bound::read(text)) else { return false };
                // Stored as it is spelled, which this page would change, or which some consumers of it would not take.
                if kind == Kind::GaugeHistogram || sample.below != kind {
                    bound::spell(&mut self.spelled, bound);
                    if text != &self.spelled[..] {
                        return false;
                    }
                }
                let in_range = match role {
                    Role::Bucket => !bound.is_nan(),
                    _ => (0.0..=1.0).contains(&bound),
                };
                sample.bound = bound;
                if plain.is_none() {
                    let value = self.arena.push(Text::of(bound).as_bytes());
                    self.set_value(at, first_label + own, value);
                }
                in_range
            }
            Role::Value | Role::Stray => false,
        }
    }
}
