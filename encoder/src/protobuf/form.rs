//! What protobuf renders once: a family's name, help, type and unit, and a series' labels, as fields.

use crate::cursor::Texts;
use crate::layout::{Form, help, labels};
use crate::protobuf::wire::{Growing, Message, Sink};
use dynamo_metrics_core::{Escaping, FamilySnapshot, Kind, PartSnapshot, SeriesSnapshot};

/// What all series of a part share.
#[derive(Debug)]
pub(crate) struct ProtobufForm {
    /// Bytes that the value of one series takes at most.
    value_bytes_max: usize,
}

/// Most bytes of the lengths of a message and what is nested in it.
const LENGTHS_BYTES_MAX: usize = 32;
/// A bucket: tag, length, count and bound.
const BUCKET_BYTES_MAX: usize = 2 + 11 + 9;

impl Form for ProtobufForm {
    type Dialect = Escaping;

    fn escaping(dialect: Escaping) -> Escaping {
        dialect
    }

    fn new(_: Escaping, part: PartSnapshot<'_>) -> Self {
        let buckets = part.descriptor().buckets().map_or(0, |buckets| buckets.bounds().len() + 1);
        Self { value_bytes_max: buckets * BUCKET_BYTES_MAX + 2 * LENGTHS_BYTES_MAX }
    }

    fn render(&self, escaping: Escaping, series: SeriesSnapshot<'_>, text: &mut Vec<u8>) {
        for (label, value) in labels(series) {
            let pair = LabelPair { name: &escaping.label_name(label), value };
            let _ = Growing(text).message(1, &pair);
        }
    }

    fn header(escaping: Escaping, family: FamilySnapshot<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        let Some(first) = family.parts().next() else { return text };
        let mut fields = Growing(&mut text)
            .string(1, escaping.metric_name(family.name()).as_bytes())
            .string(2, help(family).as_bytes())
            .unsigned(3, exposed_type(first.descriptor().kind()));
        if let Some(unit) = first.descriptor().unit() {
            fields = fields.string(5, unit.as_bytes());
        }
        let _ = fields;
        text
    }

    fn bytes_max(&self, texts: &Texts) -> usize {
        texts.bytes_len() + texts.len() * self.value_bytes_max
    }
}

/// `io.prometheus.client.LabelPair`.
pub(crate) struct LabelPair<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
}

impl Message for LabelPair<'_> {
    fn write<S: Sink>(&self, sink: S) -> S {
        sink.string(1, self.name.as_bytes()).string(2, self.value.as_bytes())
    }
}

/// `io.prometheus.client.MetricType`.
fn exposed_type(kind: Kind) -> u64 {
    match kind.exposed() {
        "counter" => 0,
        "gauge" => 1,
        "summary" => 2,
        "histogram" => 4,
        _ => 3,
    }
}
