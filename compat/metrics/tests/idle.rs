//! Generated programs under a clock: which series are idle, which names are free again, and what keys that were refused do then, by a model
//! that is a map.

use dynamo_metrics_facade::{Buckets, Builder, DynamoRecorder, MetricKind, MetricKinds};
use dynamo_metrics_parser::parse;
use metrics::{Key, Label, Level, Metadata, Recorder};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static METADATA: Metadata<'static> = Metadata::new("idle", Level::INFO, None);
const TIMEOUT: u64 = 2;
/// The first two are one name on the page.
const NAMES: [&str; 3] = ["x.y", "x_y", "z"];
/// The first two are one series.
const VALUES: [Option<&str>; 4] = [None, Some(""), Some("1"), Some("2")];
const KINDS: [(MetricKind, MetricKinds); 3] = [
    (MetricKind::Counter, MetricKinds::COUNTER),
    (MetricKind::Gauge, MetricKinds::GAUGE),
    (MetricKind::Histogram, MetricKinds::HISTOGRAM),
];

#[derive(Clone, Debug)]
enum Step {
    Record { kind: MetricKind, name: &'static str, value: Option<&'static str>, count: u32 },
    Register { kind: MetricKind, name: &'static str, value: Option<&'static str> },
    Advance(u64),
    Page,
}

fn any_step() -> impl Strategy<Value = Step> {
    let kind = || (0..KINDS.len()).prop_map(|at| KINDS[at].0);
    let name = || prop::sample::select(&NAMES[..]);
    let value = || prop::sample::select(&VALUES[..]);
    prop_oneof![
        4 => (kind(), name(), value(), 0..4u32)
            .prop_map(|(kind, name, value, count)| Step::Record { kind, name, value, count }),
        1 => (kind(), name(), value())
            .prop_map(|(kind, name, value)| Step::Register { kind, name, value }),
        2 => (1..=TIMEOUT + 1).prop_map(Step::Advance),
        3 => Just(Step::Page),
    ]
}

/// One series of the model.
#[derive(Debug)]
struct Series {
    written: &'static str,
    kind: MetricKind,
    sum: u64,
    is_touched: bool,
    seen: Option<u64>,
}

/// All series, by name and label value on the page.
#[derive(Debug, Default)]
struct Model(BTreeMap<(String, &'static str), Series>);

impl Model {
    /// Returns the series of a key; `None` if the key is refused.
    fn find(
        &mut self,
        kind: MetricKind,
        written: &'static str,
        value: Option<&'static str>,
    ) -> Option<&mut Series> {
        let (name, value) = (written.replace('.', "_"), value.unwrap_or_default());
        if self.0.iter().any(|((other, _), series)| *other == name && series.kind != kind) {
            return None;
        }
        let new = Series { written, kind, sum: 0, is_touched: false, seen: None };
        let series = self.0.entry((name, value)).or_insert(new);
        (series.written == written).then_some(series)
    }

    fn sweep(&mut self, now: u64, kinds: MetricKinds) {
        self.0.retain(|_, series| {
            if series.is_touched || series.seen.is_none() {
                series.seen = Some(now);
            }
            series.is_touched = false;
            !kinds.contains(series.kind) || series.seen.is_none_or(|seen| now - seen <= TIMEOUT)
        });
    }

    fn page(&self) -> BTreeMap<(String, String), f64> {
        let line = |((name, value), series): (&(String, &str), &Series)| {
            let end = if series.kind == MetricKind::Histogram { "_sum" } else { "" };
            ((format!("{name}{end}"), value.to_string()), series.sum as f64)
        };
        self.0.iter().map(line).collect()
    }
}

fn page(recorder: &DynamoRecorder) -> BTreeMap<(String, String), f64> {
    let page = parse(recorder.handle().render().as_bytes()).unwrap();
    let samples = page.families.iter().flat_map(|family| &family.samples);
    let is_shown = |name: &str| {
        !["_bucket", "_count"].iter().any(|end| name.ends_with(end)) && !name.starts_with("dynamo")
    };
    let samples = samples.filter(|sample| is_shown(&sample.name)).map(|sample| {
        let value = sample.labels.first().map(|(_, value)| value.clone()).unwrap_or_default();
        ((sample.name.clone(), value), sample.value)
    });
    samples.collect()
}

fn key(name: &'static str, value: Option<&'static str>) -> Key {
    Key::from_parts(name, value.map(|value| Label::new("l", value)).into_iter().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn idle_series_and_free_names_are_those_of_a_simple_model(
        steps in prop::collection::vec(any_step(), 0..60),
        chosen in 0..8usize,
    ) {
        let kinds = KINDS.iter().enumerate().filter(|(at, _)| chosen & (1 << at) != 0);
        let kinds = kinds.fold(MetricKinds::NONE, |all, (_, (_, kind))| all | *kind);
        let now = Arc::new(AtomicU64::new(1_700_000_000));
        let clock = Arc::clone(&now);
        let builder = Builder::new().clock(move || Duration::from_secs(clock.load(Ordering::Relaxed)));
        let builder = builder.idle_timeout(kinds, Some(Duration::from_secs(TIMEOUT)));
        let recorder = builder.buckets(&Buckets::new([1.0]).unwrap()).build().unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Record { kind, name, value, count } => {
                    let key = key(name, value);
                    match kind {
                        MetricKind::Counter => recorder.register_counter(&key, &METADATA).increment(count.into()),
                        MetricKind::Gauge => recorder.register_gauge(&key, &METADATA).increment(count),
                        MetricKind::Histogram => recorder.register_histogram(&key, &METADATA).record(count),
                    }
                    if let Some(series) = model.find(kind, name, value) {
                        series.sum += u64::from(count);
                        series.is_touched = true;
                    }
                }
                Step::Register { kind, name, value } => {
                    let key = key(name, value);
                    match kind {
                        MetricKind::Counter => drop(recorder.register_counter(&key, &METADATA)),
                        MetricKind::Gauge => drop(recorder.register_gauge(&key, &METADATA)),
                        MetricKind::Histogram => drop(recorder.register_histogram(&key, &METADATA)),
                    }
                    model.find(kind, name, value);
                }
                Step::Advance(seconds) => drop(now.fetch_add(seconds, Ordering::Relaxed)),
                Step::Page => {
                    model.sweep(now.load(Ordering::Relaxed), kinds);
                    prop_assert_eq!(page(&recorder), model.page());
                }
            }
        }
    }
}
