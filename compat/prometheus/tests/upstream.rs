//! The text and the protobuf of this crate and of the published `prometheus` crate are equal for generated registries.
//!
//! Label values are all 3 bytes long: that crate hashes them without an end, so others could be one series there. The order of
//! several labels of a registry is random there, so there is one.

use proptest::prelude::*;

/// A family and the recordings to it.
#[derive(Clone, Debug)]
struct Family {
    kind: Kind,
    /// Distinguishes families of one name by the value of a constant label.
    twin: bool,
    constant: bool,
    labels: usize,
    recordings: Vec<([usize; 3], f64)>,
    buckets: Option<Vec<f64>>,
    local: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    IntCounter,
    Gauge,
    IntGauge,
    Histogram,
}

const VALUES: [&str; 6] = ["abc", "a\"\\", "\n\n ", "é ", "{,}", "   "];
const LABELS: [&str; 3] = ["zone", "a", "model"];

fn family() -> impl Strategy<Value = Family> {
    let kind = prop::sample::select(vec![
        Kind::Counter,
        Kind::IntCounter,
        Kind::Gauge,
        Kind::IntGauge,
        Kind::Histogram,
    ]);
    let special = prop::sample::select(vec![
        0.0,
        -0.0,
        0.1,
        0.3,
        1.0,
        2.5,
        1e-300,
        1e300,
        9_007_199_254_740_993.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        -1.5,
    ]);
    let number = prop_oneof![special, any::<f64>(), -10.0..10.0];
    let recordings = prop::collection::vec((any::<[prop::sample::Index; 3]>(), number), 0..20)
        .prop_map(|all| all.into_iter().map(|(at, v)| (at.map(|at| at.index(6)), v)).collect());
    let buckets = prop::option::of(
        prop::collection::btree_set(-50i32..50, 0..8)
            .prop_map(|bounds| bounds.into_iter().map(|bound| f64::from(bound) / 7.0).collect()),
    );
    (kind, any::<bool>(), any::<bool>(), 0..4usize, recordings, buckets, any::<bool>()).prop_map(
        |(kind, twin, constant, labels, recordings, buckets, local)| Family {
            kind,
            twin,
            constant,
            labels,
            recordings,
            buckets,
            local,
        },
    )
}

/// Defines a function that makes the registry with one of the two crates and returns its text and its protobuf.
macro_rules! pages {
    ($name:ident, $library:ident) => {
        fn $name(families: &[Family], prefix: bool, label: bool) -> (String, Vec<u8>) {
            use $library::{self as library, *};
            let prefix = prefix.then(|| "app".to_owned());
            let label = label.then(|| library::labels! {"zz".to_owned() => "x\"".to_owned()});
            let registry = Registry::new_custom(prefix, label).unwrap();
            let mut collectors: Vec<Box<dyn Fn() -> Box<dyn library::core::Collector>>> =
                Vec::new();
            let mut second_halves: Vec<Box<dyn Fn() + '_>> = Vec::new();
            for (at, family) in families.iter().enumerate() {
                let mut opts =
                    Opts::new(format!("m{}", 9 - at), "Help with \\ and\nlines, \"quoted\".");
                if family.constant {
                    opts = opts.const_label("k", "v\\").const_label("b", "");
                }
                let names = &LABELS[..family.labels];
                let series = |at: &[usize; 3]| at.map(|at| VALUES[at]);
                for twin in 0..=usize::from(family.twin && family.constant) {
                    let opts = if twin == 1 {
                        opts.clone().const_label("k", "other")
                    } else {
                        opts.clone()
                    };
                    macro_rules! record {
                        ($vec:expr, $each:expr) => {{
                            let vec = $vec.unwrap();
                            let (first, second) =
                                family.recordings.split_at(family.recordings.len() / 2);
                            for (at, v) in first {
                                let values = series(at);
                                $each(vec.with_label_values(&values[..family.labels]), *v);
                            }
                            let again = vec.clone();
                            second_halves.push(Box::new(move || {
                                for (at, v) in second {
                                    let values = series(at);
                                    $each(again.with_label_values(&values[..family.labels]), *v);
                                }
                                // The labels of one series go, and it may be of the first half.
                                if let Some((at, _)) = family.recordings.last() {
                                    let values = series(at);
                                    again.remove_label_values(&values[..family.labels]).unwrap();
                                }
                            }));
                            collectors.push(Box::new(move || Box::new(vec.clone())));
                        }};
                    }
                    match family.kind {
                        Kind::Counter => {
                            record!(CounterVec::new(opts, names), |c: Counter, v: f64| {
                                if v >= 0.0 {
                                    c.inc_by(v);
                                }
                                if v == 2.5 {
                                    c.reset();
                                }
                            })
                        }
                        Kind::IntCounter => {
                            record!(IntCounterVec::new(opts, names), |c: IntCounter, v: f64| {
                                if family.local {
                                    let local = c.local();
                                    local.inc_by(v as u64);
                                    local.flush();
                                } else {
                                    c.inc_by(v as u64);
                                }
                                if v == 2.5 {
                                    c.reset();
                                }
                            })
                        }
                        Kind::Gauge => record!(GaugeVec::new(opts, names), |g: Gauge, v: f64| {
                            if v > 1.0 { g.set(v) } else { g.sub(v) }
                        }),
                        Kind::IntGauge => {
                            record!(IntGaugeVec::new(opts, names), |g: IntGauge, v: f64| {
                                if v > 1.0 { g.set(v as i64) } else { g.dec() }
                            })
                        }
                        Kind::Histogram => {
                            let mut opts: HistogramOpts = opts.into();
                            if let Some(buckets) = &family.buckets {
                                opts = opts.buckets(buckets.clone());
                            }
                            record!(HistogramVec::new(opts, names), |h: Histogram, v: f64| {
                                if family.local { h.local().observe(v) } else { h.observe(v) }
                            })
                        }
                    }
                }
            }
            for collector in &collectors {
                registry.register(collector()).unwrap();
            }
            let (mut text, mut protobuf) = (String::new(), Vec::new());
            let encode = |text: &mut String, protobuf: &mut Vec<u8>| {
                let families = registry.gather();
                let page = TextEncoder::new().encode_to_string(&families).unwrap();
                #[cfg(feature = "protobuf")]
                ProtobufEncoder::new().encode(&families, protobuf).unwrap();
                _ = protobuf;
                let mut written = Vec::new();
                TextEncoder::new().encode(&families, &mut written).unwrap();
                assert_eq!(written, page.as_bytes());
                // A family that was changed is written from its message.
                let mut changed = families.clone();
                changed.iter_mut().for_each(|family| _ = family.mut_metric());
                assert_eq!(TextEncoder::new().encode_to_string(&changed).unwrap(), page);
                text.push_str(&page);
            };
            encode(&mut text, &mut protobuf);
            second_halves.iter().for_each(|record| record());
            encode(&mut text, &mut protobuf);
            (text, protobuf)
        }
    };
}

pages!(ours, prometheus);
pages!(upstream, prometheus_upstream);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn pages_are_those_of_upstream(
        families in prop::collection::vec(family(), 0..8),
        prefix in any::<bool>(),
        label in any::<bool>(),
    ) {
        let (text, protobuf) = ours(&families, prefix, label);
        let (expected, expected_protobuf) = upstream(&families, prefix, label);
        for (line, expected) in text.lines().zip(expected.lines()) {
            prop_assert_eq!(line, expected);
        }
        prop_assert_eq!(text.lines().count(), expected.lines().count());
        // The bits of a NaN differ by the order of an addition's operands, which no format promises.
        if !text.contains("NaN") {
            prop_assert_eq!(protobuf, expected_protobuf);
        }
    }
}
