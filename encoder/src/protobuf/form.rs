//! The fields that protobuf renders once: a family's name, help, type and unit, and a series' labels.
//!
//! ```text
//! text = labels                        of most series
//!      | labels created length         of counters and histograms that may have a start time but no exemplars
//! ```
//!
//! A start time never changes, so its field is kept with the labels, although it stands behind the value in the
//! message. Its length is one byte, 0 if the time is unknown.

use crate::cursor::{Text, Texts};
use crate::layout::{Form, exemplars, help, labels};
use crate::protobuf::messages::{self, LabelPair, Timestamp};
use crate::protobuf::native::NativeHistogram;
use crate::protobuf::wire::{Growing, Message, Sink, Size};
use crate::text::unit;
use dynamo_metrics_core::{
    Escaping, Kind,
    limits::{SPAN_ID_BYTES_MAX, TRACE_ID_BYTES_MAX},
    snapshot::{FamilySnapshot, NativeValue, PartSnapshot, SeriesSnapshot},
};

/// The texts that all series of a part share.
#[derive(Debug)]
pub(crate) struct ProtobufForm {
    /// Bytes that the value of one series takes at most, but for exemplars.
    value_bytes_max: usize,
    /// True if a series is a native histogram, alone or with classic buckets.
    natives: bool,
    /// The label of each state of a state set, as a field.
    pub(crate) states: Texts,
    /// The field for the start time in the message that is a series' value, where it is rendered with the labels.
    created: Option<u32>,
}

/// Most bytes of the lengths of a message and what is nested in it.
const LENGTHS_BYTES_MAX: usize = 32;
/// An exemplar: two labels, a value and a time, with their tags and lengths.
const EXEMPLAR_BYTES_MAX: usize = TRACE_ID_BYTES_MAX + SPAN_ID_BYTES_MAX + 80;
/// A bucket or quantile: tag, length, count and bound.
const BUCKET_BYTES_MAX: usize = 2 + 11 + 9;

impl Form for ProtobufForm {
    const HEADER_EXTRA_BYTES: usize = super::FAMILY_LENGTH_BYTES;

    type Dialect = Escaping;

    fn escaping(dialect: Escaping) -> Escaping {
        dialect
    }

    fn new(escaping: Escaping, part: PartSnapshot<'_>) -> Self {
        let descriptor = part.descriptor();
        let buckets = descriptor.buckets().map_or(0, |buckets| buckets.bounds().len() + 1);
        let name = escaping.metric_name(descriptor.name());
        let mut states = Texts::default();
        for value in descriptor.states() {
            let pair = LabelPair { name: &name, value };
            states.push(|text| {
                let _ = Growing(text).message(1, &pair);
            });
        }
        let quantiles = descriptor.quantiles().map_or(0, <[f64]>::len);
        let value_bytes_max =
            buckets * BUCKET_BYTES_MAX + quantiles * BUCKET_BYTES_MAX + 2 * LENGTHS_BYTES_MAX;
        let natives = descriptor.native_buckets_max() > 0;
        let created = match descriptor.kind() {
            _ if descriptor.exemplar_slots() > 0 || natives => None,
            Kind::Counter | Kind::FloatCounter => Some(messages::COUNTER_CREATED),
            Kind::Histogram => Some(messages::HISTOGRAM_CREATED),
            _ => None,
        };
        Self { value_bytes_max, natives, states, created }
    }

    fn render(
        &self,
        escaping: Escaping,
        part: PartSnapshot<'_>,
        series: SeriesSnapshot<'_>,
        text: &mut Vec<u8>,
    ) {
        for (label, value) in labels(series) {
            let pair = LabelPair { name: &escaping.label_name(label), value };
            let _ = Growing(text).message(1, &pair);
        }
        let Some(field) = self.created.filter(|_| part.has_created()) else { return };
        let start = text.len();
        if let Some(created) = series.created() {
            let _ = Growing(text).message(field, &Timestamp(created));
        }
        text.push((text.len() - start) as u8);
    }

    fn header(escaping: Escaping, family: FamilySnapshot<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        let Some(first) = family.parts().next() else { return text };
        let name = escaping.metric_name(family.name());
        let help = help(family);
        let mut fields = Growing(&mut text).string(1, name.as_bytes());
        if !help.is_empty() {
            fields = fields.string(2, help.as_bytes());
        }
        fields = fields.unsigned(3, exposed_type(first.descriptor().kind()));
        if let Some(unit) = unit(first.descriptor(), &name) {
            fields = fields.string(5, unit.as_bytes());
        }
        let _ = fields;
        text
    }

    fn bytes_max(&self, texts: &Texts, part: PartSnapshot<'_>) -> usize {
        if self.natives {
            return texts.bytes_len()
                + texts.len() * LENGTHS_BYTES_MAX
                + exemplars(part) * EXEMPLAR_BYTES_MAX;
        }
        let lines = self.states.len().max(1);
        lines * (texts.bytes_len() + texts.len() * self.value_bytes_max)
            + texts.len() * self.states.bytes_len()
            + exemplars(part) * EXEMPLAR_BYTES_MAX
    }

    fn natives(&self) -> bool {
        self.natives
    }

    fn native_bytes(&self, value: &NativeValue<'_>, series: SeriesSnapshot<'_>) -> usize {
        NativeHistogram { value: *value, series }.write(Size(0)).0
    }

    fn classic_bytes_max(&self) -> usize {
        self.value_bytes_max
    }

    fn touch(&self) -> usize {
        self.states.touch()
    }
}

/// The labels of a series that [has a start time](PartSnapshot::has_created), and the field that says it.
#[inline(always)]
pub(crate) fn split_created(text: Text<'_>) -> (Text<'_>, Text<'_>) {
    let end = text.len() - 1;
    let start = end - usize::from(text.last());
    (text.part(0..start), text.part(start..end))
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
