//! The samples that a scraper must read of a registry, made from the snapshot's values, without a look at
//! how they are written.

use crate::decode::{Native, buckets, line};
use dynamo_metrics_core::{
    Descriptor, Escaping, Kind, Snapshot,
    snapshot::{NativeValue, PartSnapshot, SeriesSnapshot, Value},
};

/// Everything of one scrape.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// As [`line`] has them, sorted.
    pub(crate) samples: Vec<String>,
    /// Those of native histograms that protobuf has another form for, sorted.
    pub(crate) classic: Vec<String>,
    /// Exemplars of counters and classic buckets.
    pub(crate) exemplars: usize,
}

/// Which names and lines a format has.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) escaping: Escaping,
    pub(crate) openmetrics: bool,
    pub(crate) created: bool,
}

impl Expected {
    pub(crate) fn of(snapshot: &Snapshot, shape: Shape) -> Self {
        let mut expected = Self::default();
        for part in snapshot.families().flat_map(|family| family.parts()) {
            for at in 0..part.len() {
                if let Some(series) = part.series(at) {
                    expected.add(shape, part, series);
                }
            }
        }
        expected.samples.sort();
        expected.classic.sort();
        expected
    }

    fn add(&mut self, shape: Shape, part: PartSnapshot<'_>, series: SeriesSnapshot<'_>) {
        let descriptor = part.descriptor();
        let base = base_name(shape, descriptor);
        let labels = labels(shape, series);
        let value = series.value();
        if matches!(value, Value::Missing) {
            return;
        }
        let mut samples = Vec::new();
        let mut sample = |suffix: &str, own: Option<(&str, String)>, value: f64| {
            let mut labels = labels.clone();
            labels.extend(own.map(|(name, value)| (name.to_owned(), value)));
            samples.push(line(&format!("{base}{suffix}"), labels, value));
        };
        let only = if shape.openmetrics { only_suffix(descriptor.kind()) } else { "" };
        let mut classic = |counts: &[u64], sum: f64, signed: bool| {
            let bounds = descriptor.buckets().map_or(&[][..], |buckets| buckets.bounds());
            let negative = signed || bounds.first().is_some_and(|&bound| bound < 0.0);
            let mut all = 0u64;
            for (bound, count) in bounds.iter().chain([&f64::INFINITY]).zip(counts) {
                all = all.saturating_add(*count);
                sample("_bucket", Some(("le", bound.to_string())), all as f64);
            }
            if !(shape.openmetrics && negative) {
                sample("_sum", None, sum);
                sample("_count", None, all as f64);
            }
        };
        let mut start = series.created();
        match value {
            Value::Unsigned(value) => sample(only, None, value as f64),
            Value::Signed(value) => sample(only, None, value as f64),
            Value::Float(value) => sample(only, None, value),
            Value::Info => sample(only, None, 1.0),
            Value::States(bits) => {
                for (at, state) in descriptor.states().enumerate() {
                    sample("", Some((&base, state.into())), (bits >> at & 1) as f64);
                }
            }
            Value::Histogram { counts, sum } => classic(counts, sum.to_f64(), false),
            Value::Native(native) => {
                classic(native.classic, native.sum, descriptor.is_signed());
                start = native.start.or(start);
            }
            Value::Summary { count, sum, quantiles } => {
                for (level, value) in
                    descriptor.quantiles().unwrap_or_default().iter().zip(quantiles)
                {
                    sample("", Some(("quantile", level.to_string())), *value);
                }
                sample("_sum", None, sum);
                sample("_count", None, count as f64);
            }
            _ => {}
        }
        if let Some(start) = start.filter(|_| shape.created && descriptor.kind().accumulates()) {
            sample("_created", None, start.as_millis() as f64 / 1000.0);
        }
        let native = matches!(value, Value::Native(value) if is_sound(&value));
        if native { &mut self.classic } else { &mut self.samples }.extend(samples);
        let slots = 0..descriptor.exemplar_slots();
        self.exemplars += slots.filter(|&slot| series.exemplar(slot).is_some()).count();
    }
}

/// The name of the family in the lines that describe it.
fn base_name(shape: Shape, descriptor: &Descriptor) -> String {
    let name = shape.escaping.metric_name(descriptor.name());
    let suffix = if shape.openmetrics { only_suffix(descriptor.kind()) } else { "" };
    name.strip_suffix(suffix).unwrap_or(&name).into()
}

fn only_suffix(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter | Kind::FloatCounter | Kind::CounterCallback => "_total",
        Kind::Info => "_info",
        _ => "",
    }
}

/// A label with an empty value is none.
fn labels(shape: Shape, series: SeriesSnapshot<'_>) -> Vec<(String, String)> {
    let descriptor = series.descriptor();
    let own = descriptor.label_names().zip(series.label_values());
    let all = descriptor.const_labels().chain(own).filter(|(_, value)| !value.is_empty());
    all.map(|(name, value)| (shape.escaping.label_name(name).into(), value.into())).collect()
}

/// Whether each bucket fits a signed word, and all of them an unsigned one.
fn is_sound(value: &NativeValue<'_>) -> bool {
    let all =
        || value.positive.populated().chain(value.negative.populated()).map(|(_, count)| count);
    let total: u128 = all().chain([value.zero_count]).map(u128::from).sum();
    all().all(|count| i64::try_from(count).is_ok()) && u64::try_from(total).is_ok()
}

/// Bucket by bucket, what was decoded is what the snapshot holds.
pub(crate) fn assert_natives(snapshot: &Snapshot, decoded: &[Native]) {
    let mut decoded = decoded.iter();
    let parts = snapshot.families().flat_map(|family| family.parts());
    for value in parts.flat_map(|part| part.values()) {
        let Value::Native(value) = value else { continue };
        if !is_sound(&value) {
            continue;
        }
        let native = decoded.next().expect("every sound one is written");
        assert_eq!((native.count, native.zero_count), (value.count, value.zero_count));
        assert_eq!(
            (native.schema, native.sum.to_bits()),
            (value.schema.into(), value.sum.to_bits())
        );
        assert_eq!(native.zero_threshold, value.zero_threshold);
        let mut total = native.zero_count;
        for (spans, deltas, held) in [
            (&native.positive_spans, &native.positive_deltas, value.positive),
            (&native.negative_spans, &native.negative_deltas, value.negative),
        ] {
            // An empty span says that a histogram without buckets is native.
            let spans = if deltas.is_empty() { &[][..] } else { &spans[..] };
            let read = buckets(spans, deltas);
            total += read.iter().map(|(_, count)| count).sum::<u64>();
            assert!(read.into_iter().eq(held.populated().map(|(at, count)| (at.into(), count))));
        }
        assert_eq!(total, native.count);
    }
    assert!(decoded.next().is_none(), "and no other");
}
