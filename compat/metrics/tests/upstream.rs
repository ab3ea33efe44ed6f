//! The same calls on this recorder and on `metrics-exporter-prometheus` give pages of the same meaning.
//!
//! Not generated, because that exporter prints pages there that scrapers refuse or misread (docs/swap.md): keys that would be one series,
//! two kinds of one name, negative values and NaN in histograms. Quantiles of summaries are compared to the digits that ours have.

use dynamo_metrics_facade::{Buckets, Builder, DynamoRecorder, Matcher};
use dynamo_metrics_parser::{Exposition, parse};
use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{Matcher as TheirMatcher, PrometheusBuilder, PrometheusRecorder};
use proptest::prelude::*;
use std::collections::BTreeMap;

static METADATA: Metadata<'static> = Metadata::new("upstream", Level::INFO, None);

/// One use of the facade.
#[derive(Clone, Debug)]
enum Call {
    Increment(u64),
    Absolute(u64),
    Set(f64),
    Move(f64),
    Record(f64),
    RecordMany(f64, usize),
}

/// Names that differ after replacement and by kind, so that no two are a clash.
const NAMES: [[&str; 4]; 3] = [
    ["requests", "http.sent_total", "1st-count", "é:lines"],
    ["depth", "gpu load", "a:b", "temperature_celsius"],
    ["wait", "wait.time", "size_bytes", "tokens-out"],
];
const LABELS: [&str; 4] = ["model", "code", "a b", "2nd"];
const UNITS: [Option<Unit>; 5] =
    [None, Some(Unit::Seconds), Some(Unit::Bytes), Some(Unit::Count), Some(Unit::Percent)];

/// Which name, its labels, and the call.
type Use = (usize, Key, Call);

fn any_key(kind: usize) -> impl Strategy<Value = Key> {
    // Backslashes are left out: that exporter takes one before some characters for an escape of the program's.
    let value = prop_oneof![Just("a".to_string()), "[a-z \"\n=,{}é]{1,6}"];
    let labels = proptest::collection::btree_map(0..LABELS.len(), value, 0..3);
    (0..4usize, labels).prop_map(move |(name, labels)| {
        let labels: Vec<Label> =
            labels.into_iter().map(|(label, value)| Label::new(LABELS[label], value)).collect();
        Key::from_parts(NAMES[kind][name], labels)
    })
}

fn any_use() -> impl Strategy<Value = Use> {
    let small = || (0..2000u32).prop_map(|n| f64::from(n) / 64.0);
    let calls = [
        prop_oneof![(0..1000u64).prop_map(Call::Increment), (0..1000u64).prop_map(Call::Absolute)]
            .boxed(),
        prop_oneof![
            any::<f64>().prop_map(Call::Set),
            small().prop_map(Call::Move),
            small().prop_map(|v| Call::Move(-v))
        ]
        .boxed(),
        prop_oneof![
            small().prop_map(Call::Record),
            (small(), 0..5usize).prop_map(|(v, n)| Call::RecordMany(v, n))
        ]
        .boxed(),
    ];
    (0..3usize).prop_flat_map(move |kind| (Just(kind), any_key(kind), calls[kind].clone()))
}

fn play(recorder: &dyn Recorder, uses: &[Use], descriptions: &BTreeMap<(usize, usize), usize>) {
    for ((kind, name), unit) in descriptions {
        let name = KeyName::from(NAMES[*kind][*name]);
        let (unit, help) = (UNITS[*unit], format!("Help of {} \"quoted\"", name.as_str()).into());
        match kind {
            0 => recorder.describe_counter(name, unit, help),
            1 => recorder.describe_gauge(name, unit, help),
            _ => recorder.describe_histogram(name, unit, help),
        }
    }
    for (_, key, call) in uses {
        match *call {
            Call::Increment(n) => recorder.register_counter(key, &METADATA).increment(n),
            Call::Absolute(n) => recorder.register_counter(key, &METADATA).absolute(n),
            Call::Set(v) => recorder.register_gauge(key, &METADATA).set(v),
            Call::Move(v) if v < 0.0 => recorder.register_gauge(key, &METADATA).decrement(-v),
            Call::Move(v) => recorder.register_gauge(key, &METADATA).increment(v),
            Call::Record(v) => recorder.register_histogram(key, &METADATA).record(v),
            Call::RecordMany(v, n) => recorder.register_histogram(key, &METADATA).record_many(v, n),
        }
    }
}

/// The meaning of a page: type and help of each family, and the bits of each sample by its name and sorted labels.
type Meaning = BTreeMap<String, (String, Option<String>, BTreeMap<String, f64>)>;

fn meaning(page: &Exposition) -> Meaning {
    let family = |family: &dynamo_metrics_parser::Family| {
        let samples = family.samples.iter().map(|sample| {
            let mut labels: Vec<String> = sample
                .labels
                .iter()
                .map(|(name, value)| match &**name {
                    // Bounds are numbers, which may be spelled in several ways.
                    "le" | "quantile" => {
                        format!("{name}={:?}", value.replace("+Inf", "inf").parse::<f64>().unwrap())
                    }
                    _ => format!("{name}={value:?}"),
                })
                .collect();
            labels.sort_unstable();
            (format!("{} {labels:?}", sample.name), sample.value)
        });
        let kind = format!("{:?}", family.kind);
        (family.name.clone(), (kind, family.help.clone(), samples.collect()))
    };
    page.families.iter().map(family).collect()
}

/// Compares two meanings; quantiles as far as they go.
fn compare(ours: &Meaning, theirs: &Meaning) -> Result<(), TestCaseError> {
    let names = |of: &Meaning| of.keys().cloned().collect::<Vec<_>>();
    prop_assert_eq!(names(ours), names(theirs));
    for (name, (kind, help, samples)) in ours {
        let (their_kind, their_help, their_samples) = &theirs[name];
        prop_assert_eq!((name, kind, help), (name, their_kind, their_help));
        let keys = |of: &BTreeMap<String, f64>| of.keys().cloned().collect::<Vec<_>>();
        prop_assert_eq!(keys(samples), keys(their_samples));
        for (sample, &value) in samples {
            let their = their_samples[sample];
            if sample.contains("quantile=") {
                // Two digits of ours; and zero is a value like any other there, and the lower end of the range here.
                let empty = value.is_nan() && their == 0.0;
                let near = empty || (value - their).abs() <= 0.01 * their.abs() + 1e-6;
                // Quantiles between two values may be either.
                prop_assert!(near || !is_edge(sample), "{sample}: {value} and {their}");
            } else {
                let same = value == their || (value.is_nan() && their.is_nan());
                prop_assert!(same, "{sample}: {value} and {their}");
            }
        }
    }
    Ok(())
}

/// Whether a quantile is that of the smallest or the largest value, which is the same by every definition.
fn is_edge(sample: &str) -> bool {
    sample.contains("quantile=0.0\"") || sample.contains("quantile=1.0\"")
}

fn both(named: bool, buckets: bool) -> (DynamoRecorder, PrometheusRecorder) {
    let (tokens, wait) = ([1.0, 8.0, 30.5], [0.5, 4.0]);
    let mut ours = Builder::new()
        .buckets_for(Matcher::Full("tokens-out".into()), &Buckets::new(tokens).unwrap())
        .buckets_for(Matcher::Prefix("wait".into()), &Buckets::new(wait).unwrap())
        .global_label("zone", "us \"1\"")
        .recommended_naming(named);
    let mut theirs = PrometheusBuilder::new()
        .set_buckets_for_metric(TheirMatcher::Full("tokens-out".into()), &tokens)
        .and_then(|theirs| {
            theirs.set_buckets_for_metric(TheirMatcher::Prefix("wait".into()), &wait)
        })
        .unwrap()
        .add_global_label("zone", "us \"1\"")
        .with_recommended_naming(named);
    if buckets {
        ours = ours.buckets(&Buckets::new([2.0, 16.0]).unwrap());
        theirs = theirs.set_buckets(&[2.0, 16.0]).unwrap();
    }
    (ours.build().unwrap(), theirs.build_recorder())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_of_the_same_calls_have_the_same_meaning(
        uses in proptest::collection::vec(any_use(), 0..60),
        // Each name at most once: of two descriptions before a page, the last one counts there and the first one here.
        descriptions in proptest::collection::btree_map((0..3usize, 0..4usize), 0..UNITS.len(), 0..8),
        named in any::<bool>(),
        buckets in any::<bool>(),
    ) {
        let (ours, theirs) = both(named, buckets);
        play(&ours, &uses, &descriptions);
        play(&theirs, &uses, &descriptions);
        prop_assert_eq!(ours.handle().problems(), []);
        // It writes empty lines, which the strict parser takes for a fault.
        let (page, their_page) = (ours.handle().render(), theirs.handle().render().replace("\n\n", "\n"));
        let their_parsed = parse(their_page.as_bytes());
        prop_assert!(their_parsed.is_ok(), "{their_parsed:?}\n{their_page}");
        compare(&meaning(&parse(page.as_bytes()).unwrap()), &meaning(&their_parsed.unwrap()))?;
    }
}

#[test]
fn a_difference_is_found() {
    let page = |text: &str| meaning(&parse(text.as_bytes()).unwrap());
    let one = page("# TYPE x counter\nx{a=\"1\"} 1\n");
    for other in [
        "# TYPE x counter\nx{a=\"1\"} 2\n",
        "# TYPE x gauge\nx{a=\"1\"} 1\n",
        "# TYPE x counter\nx{a=\"2\"} 1\n",
    ] {
        assert!(compare(&one, &page(other)).is_err(), "{other}");
    }
    assert!(compare(&one, &one.clone()).is_ok());
}
