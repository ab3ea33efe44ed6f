//! Programs with hostile names, labels and values: each key is recorded, or refused for a reason, and the page is the one that
//! `metrics-exporter-prometheus` prints for the calls that are recorded, to the last digit of a count.
//!
//! Where docs/swap.md says that the exporters differ, the other one gets the call that it takes as ours is meant: labels sorted and without
//! empty values, the first description of a name before its first use, a stand-in for backslashes, and no values that histograms reject.

use dynamo_metrics_facade::{Buckets, Builder, Handle, MetricKind, Problem};
use dynamo_metrics_parser::{Kind, parse};
use metrics::{Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

static METADATA: Metadata<'static> = Metadata::new("hostile", Level::INFO, None);

/// Names of counters and gauges. That exporter prints the sum of a histogram whose name ends with `sum` under that name.
const NAMES: [&str; 22] = [
    "x",
    "x.y",
    "x_y",
    "x:y",
    "x_total",
    "x_created",
    "x_seconds",
    "x_y_total",
    "x_bytes_total",
    "",
    "é",
    "1",
    "_",
    "__name__",
    "quote\"",
    "line\n",
    "back\\",
    "le",
    REFUSED,
    "x_sum",
    "x_count",
    "x_bucket",
];
const NAMES_OF_HISTOGRAMS: usize = 19;
const REFUSED: &str = dynamo_metrics_facade::REFUSED_TOTAL;
const LABELS: [&str; 11] =
    ["", "le", "quantile", "__name__", "__x", "a", "a.b", "a_b", "é", "1", "zone"];
const VALUES: [&str; 10] = ["", "a", "b", "\"", "\\", "\\n", "\n", "é\u{10ffff}", "other", " "];
const NUMBERS: [f64; 11] =
    [0.0, -0.0, 1.0, -1.0, 2.5, 1e300, -1e300, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
const COUNTS: [u64; 6] = [0, 1, 7, 1 << 53, (1 << 53) + 1, u64::MAX];
const BOUNDS: [f64; 2] = [1.0, 4.0];

#[derive(Clone, Debug)]
enum Call {
    Describe(Option<Unit>),
    Increment(u64),
    Absolute(u64),
    Set(f64),
    Raise(f64),
    Lower(f64),
    Record(f64),
    RecordMany(f64, usize),
}

type Labels = BTreeMap<&'static str, &'static str>;

/// One call of a program.
#[derive(Clone, Debug)]
struct Use {
    kind: MetricKind,
    name: &'static str,
    labels: Vec<(&'static str, &'static str)>,
    call: Call,
}

fn any_use() -> impl Strategy<Value = Use> {
    use MetricKind::{Counter, Gauge, Histogram};
    let number = || prop::sample::select(&NUMBERS[..]);
    let count = || prop::sample::select(&COUNTS[..]);
    let unit = || prop::sample::select(vec![None, Some(Unit::Seconds), Some(Unit::Bytes)]);
    let kind = prop::sample::select(vec![Counter, Gauge, Histogram]);
    let calls = prop_oneof![
        (kind, unit()).prop_map(|(kind, unit)| (kind, Call::Describe(unit))),
        count().prop_map(|n| (Counter, Call::Increment(n))),
        count().prop_map(|n| (Counter, Call::Absolute(n))),
        number().prop_map(|v| (Gauge, Call::Set(v))),
        number().prop_map(|v| (Gauge, Call::Raise(v))),
        number().prop_map(|v| (Gauge, Call::Lower(v))),
        number().prop_map(|v| (Histogram, Call::Record(v))),
        (number(), 0..4usize).prop_map(|(v, n)| (Histogram, Call::RecordMany(v, n))),
    ];
    calls.prop_flat_map(|(kind, call)| {
        let names = if kind == Histogram { &NAMES[..NAMES_OF_HISTOGRAMS] } else { &NAMES[..] };
        let label = (prop::sample::select(&LABELS[..]), prop::sample::select(&VALUES[..]));
        (prop::sample::select(names), prop::collection::vec(label, 0..4))
            .prop_map(move |(name, labels)| Use { kind, name, labels, call: call.clone() })
    })
}

impl Use {
    fn key(&self) -> Key {
        let labels = self.labels.iter().map(|(name, value)| Label::new(*name, *value));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }

    /// The labels as they are meant: the last value of each, and no empty one, but one that takes a global label away.
    fn meant(&self, zone: bool) -> Labels {
        let mut meant: Labels = self.labels.iter().copied().collect();
        meant.retain(|name, value| !value.is_empty() || (zone && *name == "zone"));
        meant
    }

    /// The key as problems name it.
    fn written(&self, zone: bool) -> String {
        let labels = self.meant(zone);
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let braces = if labels.is_empty() { ["", ""] } else { ["{", "}"] };
        format!("{}{}{}{}", self.name, braces[0], labels.join(","), braces[1])
    }

    /// The key for the other exporter.
    fn their_key(&self, zone: bool) -> Key {
        let labels = self.meant(zone).into_iter();
        let labels = labels.map(|(name, value)| Label::new(name, value.replace('\\', "\u{1}")));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }

    fn play(&self, recorder: &dyn Recorder, key: &Key) {
        let name = || key.name_shared();
        let help = || format!("Help of {} bytes.", self.name.len()).into();
        match (self.kind, &self.call) {
            (MetricKind::Counter, Call::Describe(unit)) => {
                recorder.describe_counter(name(), *unit, help())
            }
            (MetricKind::Gauge, Call::Describe(unit)) => {
                recorder.describe_gauge(name(), *unit, help())
            }
            (_, Call::Describe(unit)) => recorder.describe_histogram(name(), *unit, help()),
            (_, Call::Increment(n)) => recorder.register_counter(key, &METADATA).increment(*n),
            (_, Call::Absolute(n)) => recorder.register_counter(key, &METADATA).absolute(*n),
            (_, Call::Set(v)) => recorder.register_gauge(key, &METADATA).set(*v),
            (_, Call::Raise(v)) => recorder.register_gauge(key, &METADATA).increment(*v),
            (_, Call::Lower(v)) => recorder.register_gauge(key, &METADATA).decrement(*v),
            (_, Call::Record(v)) => recorder.register_histogram(key, &METADATA).record(*v),
            (_, Call::RecordMany(v, n)) => {
                recorder.register_histogram(key, &METADATA).record_many(*v, *n);
            }
        }
    }

    /// Plays the call on the other exporter; of a value that histograms reject here, only the registration.
    fn play_theirs(&self, recorder: &dyn Recorder, zone: bool) {
        let key = self.their_key(zone);
        match self.call {
            Call::Record(v) | Call::RecordMany(v, _) if v.is_nan() || v < 0.0 => {
                drop(recorder.register_histogram(&key, &METADATA));
            }
            _ => self.play(recorder, &key),
        }
    }

    /// The names of the samples that the metric prints in some format.
    fn samples(&self) -> Vec<String> {
        let name = replaced(self.name, true);
        // Of a summary, `_bucket` is one too many, which makes the check of reasons laxer.
        let (stem, ends): (&str, &[&str]) = match self.kind {
            MetricKind::Counter => {
                (name.strip_suffix("_total").unwrap_or(&name), &["_total", "_created", ""])
            }
            MetricKind::Gauge => (&name, &[""]),
            MetricKind::Histogram => (&name, &["_bucket", "_sum", "_count", "_created", ""]),
        };
        ends.iter().map(|end| format!("{stem}{end}")).chain([name.clone()]).collect()
    }

    /// Returns whether no page can have this key beside the others.
    fn is_to_be_refused(&self, kept: &[&Use], zone: bool, own_label: &str) -> bool {
        let labels = |of: &Use| -> Vec<(String, &str)> {
            let mut globals = Labels::new();
            if zone {
                globals.insert("zone", "us");
            }
            globals.extend(of.meant(zone));
            globals.into_iter().map(|(name, value)| (replaced(name, false), value)).collect()
        };
        let mine = labels(self);
        let names: HashSet<&String> = mine.iter().map(|(name, _)| name).collect();
        let invalid = |name: &&String| name.is_empty() || name.starts_with("__");
        let own = |(name, _): &(String, &str)| name == own_label;
        let own = self.kind == MetricKind::Histogram && mine.iter().any(own);
        let samples = self.samples();
        let clash = |of: &&Use| {
            let same = of.kind == self.kind && replaced(of.name, true) == replaced(self.name, true);
            match same {
                true => labels(of).iter().collect::<HashSet<_>>() == mine.iter().collect(),
                false => of.samples().iter().any(|sample| samples.contains(sample)),
            }
        };
        self.name.is_empty()
            || self.name == REFUSED
            || names.len() < mine.len()
            || names.iter().any(invalid)
            || own
            || kept.iter().any(clash)
    }
}

/// A name with `_` for what a page does not take.
fn replaced(name: &str, colons: bool) -> String {
    let keeps = |at: usize, c: char| {
        c.is_ascii_alphabetic() || (colons && c == ':') || (at > 0 && c.is_ascii_digit())
    };
    name.chars().enumerate().map(|(at, c)| if keeps(at, c) { c } else { '_' }).collect()
}

/// The kinds and keys that are refused.
fn refused(handle: &Handle) -> HashSet<(MetricKind, String)> {
    let problems = handle.problems().into_iter();
    let refused = problems.map(|problem| match problem {
        Problem::SameSeries { kind, key, .. } | Problem::Register { kind, key, .. } => (kind, key),
        other => panic!("{other}"),
    });
    refused.collect()
}

/// The lines of a page, by name and sorted labels with a value; counts as they are spelled, other values as numbers. Types are lines, too.
type Meaning = BTreeMap<String, String>;

fn meaning(page: &str) -> Result<Meaning, TestCaseError> {
    let faults = |faults| TestCaseError::fail(format!("{faults:?}\n{page}"));
    let page = parse(page.as_bytes()).map_err(faults)?;
    let mut meaning = Meaning::new();
    for family in page.families.iter().filter(|family| !family.name.starts_with("dynamo_metrics")) {
        meaning.insert(family.name.clone(), format!("{:?}", family.kind));
        for sample in &family.samples {
            let labels: BTreeMap<_, _> =
                sample.labels.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
            // Quantiles have other digits in each: tests/upstream.rs compares them.
            let is_quantile = family.kind == Kind::Summary && sample.name == family.name;
            let is_count = sample.text.parse::<u64>().is_ok();
            let number = format!("{:?}", sample.value);
            let value = if is_count { sample.text.clone() } else { number };
            let value = if is_quantile { String::new() } else { value };
            meaning.insert(format!("{} {labels:?}", sample.name), value);
        }
    }
    Ok(meaning)
}

/// The other exporter's page as a scraper takes it: families of one name and type together, which it prints apart where their keys have
/// other names, without empty lines, and numbers as they are spelled elsewhere.
fn their_page(page: &str) -> String {
    let mut families: Vec<(&str, String)> = Vec::new();
    let mut at = 0;
    for line in page.lines().filter(|line| !line.is_empty() && !line.starts_with("# HELP ")) {
        if line.starts_with("# TYPE ") {
            at = families.iter().position(|(kind, _)| *kind == line).unwrap_or(families.len());
            if at == families.len() {
                families.push((line, String::new()));
            }
        } else {
            families[at].1 += &format!("{line}\n");
        }
    }
    let page: String =
        families.into_iter().map(|(kind, lines)| format!("{kind}\n{lines}")).collect();
    page.replace('\u{1}', "\\\\").replace(" inf\n", " +Inf\n").replace(" -inf\n", " -Inf\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_keys_are_recorded_or_refused_for_a_reason(
        uses in prop::collection::vec(any_use(), 0..40),
        named in any::<bool>(),
        zone in any::<bool>(),
        summaries in any::<bool>(),
    ) {
        let mut ours = Builder::new().recommended_naming(named);
        let mut theirs = PrometheusBuilder::new().with_recommended_naming(named);
        let own_label = if summaries { "quantile" } else { "le" };
        if !summaries {
            ours = ours.buckets(&Buckets::new(BOUNDS).unwrap());
            theirs = theirs.set_buckets(&BOUNDS).unwrap();
        }
        if zone {
            ours = ours.global_label("zone", "us");
            theirs = theirs.add_global_label("zone", "us");
        }
        let (ours, theirs) = (ours.build().unwrap(), theirs.build_recorder());
        let (mut first, uses): (Vec<_>, Vec<_>) =
            uses.into_iter().partition(|of| matches!(of.call, Call::Describe(_)));
        let mut described = HashSet::new();
        first.retain(|of| described.insert(replaced(of.name, true)));
        for of in &first {
            of.play(&ours, &of.key());
            of.play_theirs(&theirs, zone);
        }
        uses.iter().for_each(|of| of.play(&ours, &of.key()));
        let refused = refused(&ours.handle());
        let (refused, kept): (Vec<&Use>, Vec<&Use>) =
            uses.iter().partition(|of| refused.contains(&(of.kind, of.written(zone))));
        kept.iter().for_each(|of| of.play_theirs(&theirs, zone));
        let page = ours.handle().render();
        let (mut mine, mut other) = (meaning(&page)?, meaning(&their_page(&theirs.handle().render()))?);
        // The sum of a histogram with infinite values is that of the others here.
        let is_sum = |line: &str| line.contains("_sum ");
        let infinite = other.extract_if(.., |line, value| is_sum(line) && *value == "inf");
        infinite.for_each(|(line, _)| drop(mine.remove(&line)));
        prop_assert_eq!(&mine, &other, "{}", page);
        // Names with units are left to the comparison.
        for of in refused.iter().filter(|_| !named) {
            prop_assert!(of.is_to_be_refused(&kept, zone, own_label), "{} {}", of.kind, of.written(zone));
        }
    }
}
