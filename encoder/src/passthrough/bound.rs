//! Bounds and quantiles as Prometheus 3 stores them: the label `le` below a histogram's TYPE line and `quantile` below a summary's
//! are numbers, spelled as in OpenMetrics.
//!
//! Prometheus decides **by the last TYPE line that it has read**, whatever the name of the sample. So each sample remembers that
//! line's type, and what the page that is written would make of the label must be the same: where it would change another
//! spelling, the family gives its type up; where it would not, the label is respelled here.

use bytes::BytesMut;

use super::arena::Span;
use super::store::Store;
use crate::number::write_f64_openmetrics;
use dynamo_metrics_parser::{Kind, go_float};

/// A label that was respelled, and its sample, as they were.
pub(super) struct Respelled {
    sample: u32,
    braces: Span,
    label: u32,
    value: Span,
}

/// Returns the label that holds a number below a TYPE line of this type.
pub(super) fn label(below: Kind) -> Option<&'static [u8]> {
    match below {
        Kind::Histogram => Some(b"le"),
        Kind::Summary => Some(b"quantile"),
        _ => None,
    }
}

/// Returns the number of a label, as Go reads it; `None` for a text that Prometheus leaves as it is.
pub(super) fn read(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok().and_then(go_float::parse)
}

/// Spells a bound as OpenMetrics does. Zero has no sign, as Prometheus writes it.
pub(super) fn spell(out: &mut BytesMut, bound: f64) {
    out.clear();
    write_f64_openmetrics(out, bound + 0.0);
}

impl Store {
    /// Spells the number in a label as Prometheus 3 stores it, because the page that is written would not make Prometheus do so.
    pub(super) fn respell_number(&mut self, at: u32, label: &[u8]) {
        let sample = &self.samples[at as usize];
        let labels = self.labels(sample);
        let Some(place) = labels.iter().position(|own| self.arena.get(own.name) == label) else {
            return;
        };
        let text = self.arena.get(labels[place].value);
        let Some(number) = read(text) else { return };
        spell(&mut self.spelled, number);
        if text != &self.spelled[..] {
            let place = sample.first_label as usize + place;
            let value = self.arena.push(&self.spelled);
            self.set_value(at, place, value);
        }
    }

    /// Gives a label of a sample another value, until [`restore`](Self::restore).
    pub(super) fn set_value(&mut self, at: u32, place: usize, value: Span) {
        let (sample, label) = (&mut self.samples[at as usize], &mut self.labels[place]);
        let (braces, value) =
            (std::mem::take(&mut sample.braces), std::mem::replace(&mut label.value, value));
        self.respelled.push(Respelled { sample: at, braces, label: place as u32, value });
    }

    /// Undoes what a round has respelled, because the next one may give its family another type.
    pub(super) fn restore(&mut self) {
        while let Some(Respelled { sample, braces, label, value }) = self.respelled.pop() {
            self.samples[sample as usize].braces = braces;
            self.labels[label as usize].value = value;
        }
    }
}
