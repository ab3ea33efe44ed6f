//! Generated programs have the same results, errors, panics and pages on this crate and on the published `prometheus` crate.
//!
//! Not generated, because the published crate's answer is random: families of two types under one name, two wrong constant labels. Label
//! values begin with the place of their label, so that no two series there have one hash.

use proptest::prelude::*;

/// One step. Numbers that name a collector or a registry are taken modulo how many there are.
#[derive(Clone, Debug)]
enum Step {
    Make {
        kind: usize,
        vec: bool,
        name: usize,
        help: usize,
        constants: usize,
        labels: usize,
        buckets: usize,
    },
    /// Wraps a collector in one of the program's own.
    Wrap(usize, usize),
    Register(usize, usize),
    Unregister(usize, usize),
    Record(usize, Values, f64),
    /// Records through the collector's local metrics, and then does something with them.
    Local(usize, Values, f64, usize),
    Remove(usize, Values),
    RemoveByName(usize, Values),
    Reset(usize),
    Collect(usize),
    Gather(usize),
}

/// The label values, and how many of them.
type Values = ([usize; 3], usize);

const NAMES: [&str; 6] = ["a", "b:c", "_", "", "1a", "é"];
const HELPS: [&str; 5] = ["Help.", "Other.", "\\ \n \"é\"\r\t", " ", ""];
const CONSTANTS: [Labels; 7] = [
    &[],
    &[("zone", "a")],
    &[("zone", "b")],
    &[("model", "x\n"), ("b", "")],
    &[("le", "1")],
    &[("a-b", "1")],
    &[("code", "\\\"")],
];
const LABELS: [&[&str]; 7] =
    [&[], &["code"], &["model", "code"], &["z", "a", "m"], &["code", "code"], &["le"], &["é"]];
const VALUES: [[&str; 4]; 3] =
    [["", "0a", "0\n\"\\", "0é,}"], ["", "1a", "1 ", "1="], ["", "2a", "2b", "2\u{0}"]];
const BUCKETS: [&[f64]; 10] = [
    &[],
    &[1.0, 2.0],
    &[-1.5, -0.0, 1e-300, 1e300],
    &[1.0, 1.0],
    &[2.0, 1.0],
    &[0.5, f64::INFINITY],
    &[f64::INFINITY],
    &[f64::NEG_INFINITY, 0.0],
    &[f64::NAN, 1.0],
    &[f64::INFINITY, f64::INFINITY],
];
const NUMBERS: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    2.5,
    -1.0,
    1e17,
    1e300,
    -1e300,
    0.1,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];
/// Constant labels, or those of a registry.
type Labels = &'static [(&'static str, &'static str)];

/// Prefixes and labels of the registries.
const REGISTRIES: [(Option<&str>, Option<Labels>); 4] =
    [(None, None), (Some("app"), None), (None, Some(&[("zone", "r\"")])), (Some("9"), Some(&[]))];

fn step() -> impl Strategy<Value = Step> {
    // The first ones are valid: most of what is made has to be of use.
    let often = |valid: usize, all: usize| prop_oneof![6 => 0..valid, 1 => 0..all];
    let values = || (any::<[u8; 3]>().prop_map(|all| all.map(|n| n as usize % 4)), 0..16usize);
    let number = || prop::sample::select(&NUMBERS[..]);
    let index = || 0..1000usize;
    prop_oneof![
        4 => (0..5usize, any::<bool>(), often(3, 6), often(2, 5), often(4, 7), often(4, 7), often(3, 10)).prop_map(
            |(kind, vec, name, help, constants, labels, buckets)| Step::Make {
                kind, vec, name, help, constants, labels: if vec || labels > 3 { labels } else { 0 }, buckets
            }
        ),
        1 => (index(), 0..6usize).prop_map(|(at, how)| Step::Wrap(at, how)),
        5 => (index(), index()).prop_map(|(at, of)| Step::Register(at, of)),
        1 => (index(), index()).prop_map(|(at, of)| Step::Unregister(at, of)),
        8 => (index(), values(), number()).prop_map(|(of, values, v)| Step::Record(of, values, v)),
        3 => (index(), values(), number(), 0..6usize).prop_map(|(of, values, v, then)| Step::Local(of, values, v, then)),
        1 => (index(), values()).prop_map(|(of, values)| Step::Remove(of, values)),
        1 => (index(), values()).prop_map(|(of, values)| Step::RemoveByName(of, values)),
        1 => index().prop_map(Step::Reset),
        1 => index().prop_map(Step::Collect),
        3 => index().prop_map(Step::Gather),
    ]
}

/// Returns the values; mostly as many as there are labels.
fn values(names: &[&str], (at, count): &Values) -> Vec<&'static str> {
    let len = match count {
        0 => names.len() + 1,
        1 => names.len().saturating_sub(1),
        _ => names.len(),
    };
    (0..len).map(|label| VALUES[label % 3][at[label % 3]]).collect()
}

/// Defines a function that runs a program with one of the crates, and returns what each step returned.
macro_rules! player {
    ($name:ident, $library:ident) => {
        mod $name {
            use super::*;
            use $library::core::{Collector, Desc};
            use $library::*;
            use std::cell::RefCell;
            use std::collections::HashMap;
            use std::panic::{AssertUnwindSafe, catch_unwind};

            type Answer = std::result::Result<String, Error>;

            /// The uses of a metric of any type.
            struct Made {
                names: &'static [&'static str],
                collector: Box<dyn Fn() -> Box<dyn Collector>>,
                record: Box<dyn Fn(&[&str], f64) -> Answer>,
                local: Box<dyn Fn(&[&str], f64, usize) -> Answer>,
                remove: Box<dyn Fn(&[&str], bool) -> Answer>,
                reset: Box<dyn Fn()>,
            }

            struct Own(Box<dyn Collector>, usize);

            impl Collector for Own {
                fn desc(&self) -> Vec<&Desc> {
                    let mut all = self.0.desc();
                    if self.1 == 3 {
                        all.extend(self.0.desc());
                    }
                    if self.1 == 4 { Vec::new() } else { all }
                }

                fn collect(&self) -> Vec<proto::MetricFamily> {
                    let mut all = self.0.collect();
                    match self.1 {
                        0 => {}
                        // Names by type and help text, as a page has one of each under a name.
                        1 | 4 => all.iter_mut().for_each(|family| {
                            let (kind, help) = (family.get_field_type(), family.help().len());
                            family.set_name(format!("own_{kind:?}_{help}"));
                        }),
                        2 => all.push(proto::MetricFamily::default()),
                        3 => all.extend(self.0.collect()),
                        _ => {
                            for metric in all.iter_mut().flat_map(|family| family.mut_metric().iter_mut()) {
                                metric.set_timestamp_ms(-5);
                                let labels = metric.take_label().into_iter().rev().collect();
                                metric.set_label(labels);
                            }
                        }
                    }
                    all
                }
            }

            fn no_labels(values: &[&str]) -> Result<()> {
                match values.len() {
                    0 => Ok(()),
                    got => Err(Error::InconsistentCardinality { expect: 0, got }),
                }
            }

            fn page(families: &[proto::MetricFamily]) -> Answer {
                let mut protobuf = Vec::<u8>::new();
                #[cfg(feature = "protobuf")]
                ProtobufEncoder::new().encode(families, &mut protobuf)?;
                _ = &mut protobuf;
                let text = TextEncoder::new().encode_to_string(families)?;
                // The bits of a NaN are not promised.
                Ok(if text.contains("NaN") { text } else { format!("{text}{protobuf:?}") })
            }

            fn map<'a>(names: &[&'a str], values: &[&'a str]) -> HashMap<&'a str, &'a str> {
                let other = ["other", "another", "third", "fourth"];
                names.iter().chain(&other).copied().zip(values.iter().copied()).collect()
            }

            fn make(kind: usize, vec: bool, opts: Opts, names: &'static [&'static str], buckets: &[f64]) -> Result<Made> {
                macro_rules! made {
                    ($one:expr, $vec:expr, $record:expr, |$shared:ident, $state:ident| $local:expr, $use_local:expr) => {{
                        if vec {
                            let made = $vec?;
                            let [a, b, c, d] = [0; 4].map(|_| made.clone());
                            let local = RefCell::new({
                                let ($shared, $state) = (&made, ());
                                $local
                            });
                            Ok(Made {
                                names,
                                collector: Box::new(move || Box::new(a.clone())),
                                record: Box::new(move |values, v| {
                                    let metric = b.get_metric_with_label_values(values)?;
                                    Ok($record(&metric, v))
                                }),
                                local: Box::new(move |values, v, then| $use_local(&mut *local.borrow_mut(), values, v, then)),
                                remove: Box::new(move |values, by_name| {
                                    if by_name {
                                        let by_name = map(names, values);
                                        c.get_metric_with(&by_name)?;
                                        c.remove(&by_name)?;
                                    } else {
                                        c.remove_label_values(values)?;
                                    }
                                    Ok(String::new())
                                }),
                                reset: Box::new(move || d.reset()),
                            })
                        } else {
                            let made = $one?;
                            let a = made.clone();
                            Ok(Made {
                                names: &[],
                                collector: Box::new(move || Box::new(a.clone())),
                                record: Box::new(move |values, v| {
                                    no_labels(values)?;
                                    Ok($record(&made, v))
                                }),
                                local: Box::new(|_, _, _| Ok(String::new())),
                                remove: Box::new(|_, _| Ok(String::new())),
                                reset: Box::new(|| {}),
                            })
                        }
                    }};
                }
                let with = opts.clone().variable_labels(names.iter().map(ToString::to_string).collect());
                let histogram = |opts: Opts| HistogramOpts::from(opts).buckets(buckets.to_vec());
                macro_rules! use_counter {
                    ($type:ty) => {
                        |local: &mut $type, values: &[&str], v: f64, then: usize| -> Answer {
                            let one = local.with_label_values(values);
                            one.inc_by(v as _);
                            match then {
                                0 => one.flush(),
                                1 => one.reset(),
                                2 => local.remove_label_values(values)?,
                                3 => *local = local.clone(),
                                4 => local.flush(),
                                _ => {}
                            }
                            Ok(format!("{:?}", local.with_label_values(values).get()))
                        }
                    };
                }
                let nothing = |_: &mut (), _: &[&str], _: f64, _: usize| -> Answer { Ok(String::new()) };
                match kind {
                    0 => made!(
                        Counter::with_opts(with.clone()),
                        CounterVec::new(opts, names),
                        |c: &Counter, v: f64| {
                            c.inc_by(v);
                            if v == 2.5 {
                                c.reset();
                            }
                            c.get().to_string()
                        },
                        |vec, _state| vec.local(),
                        use_counter!($library::local::LocalCounterVec)
                    ),
                    1 => made!(
                        IntCounter::with_opts(with.clone()),
                        IntCounterVec::new(opts, names),
                        |c: &IntCounter, v: f64| {
                            c.inc_by(if v < 0.0 { u64::MAX } else { v as u64 });
                            if v == 2.5 {
                                c.reset();
                            }
                            c.get().to_string()
                        },
                        |vec, _state| vec.local(),
                        use_counter!($library::local::LocalIntCounterVec)
                    ),
                    2 => made!(
                        Gauge::with_opts(with.clone()),
                        GaugeVec::new(opts, names),
                        |g: &Gauge, v: f64| {
                            if v == 2.5 { g.set(v) } else if v > 0.0 { g.add(v) } else { g.sub(v) }
                            g.get().to_string()
                        },
                        |_vec, _state| (),
                        nothing
                    ),
                    3 => made!(
                        IntGauge::with_opts(with.clone()),
                        IntGaugeVec::new(opts, names),
                        |g: &IntGauge, v: f64| {
                            if v == 2.5 { g.set(v as i64) } else if v > 0.0 { g.add(v as i64) } else { g.sub(v as i64) }
                            g.get().to_string()
                        },
                        |_vec, _state| (),
                        nothing
                    ),
                    _ => made!(
                        Histogram::with_opts(histogram(with.clone())),
                        HistogramVec::new(histogram(opts), names),
                        |h: &Histogram, v: f64| {
                            h.observe(v);
                            if v == 2.5 {
                                h.start_timer().stop_and_discard();
                            }
                            format!("{} {}", h.get_sample_sum(), h.get_sample_count())
                        },
                        |vec, _state| vec.local(),
                        |local: &mut $library::local::LocalHistogramVec, values: &[&str], v: f64, then: usize| -> Answer {
                            let one = local.with_label_values(values);
                            one.observe(v);
                            match then {
                                0 => one.flush(),
                                1 => one.clear(),
                                2 => local.remove_label_values(values)?,
                                3 => *local = local.clone(),
                                4 => local.flush(),
                                _ => {}
                            }
                            let one = local.with_label_values(values);
                            Ok(format!("{} {}", one.get_sample_sum(), one.get_sample_count()))
                        }
                    ),
                }
            }

            pub fn play(steps: &[Step]) -> Vec<String> {
                let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
                let registries = REGISTRIES.map(|(prefix, labels)| {
                    let labels = labels.map(|labels| labels.iter().map(owned).collect());
                    Registry::new_custom(prefix.map(str::to_owned), labels).unwrap()
                });
                let mut all: Vec<Made> = Vec::new();
                let mut wrapped: Vec<(usize, usize)> = Vec::new();
                let mut answers = Vec::new();
                for step in steps {
                    let answer = catch_unwind(AssertUnwindSafe(|| -> Answer {
                        let collector = |of: usize| -> Box<dyn Collector> {
                            let of = of % (all.len() + wrapped.len());
                            match wrapped.get(of) {
                                Some(&(of, how)) => Box::new(Own((all[of].collector)(), how)),
                                None => (all[of - wrapped.len()].collector)(),
                            }
                        };
                        match *step {
                            Step::Make { kind, vec, name, help, constants, labels, buckets } => {
                                let name = NAMES[name];
                                let name = if name.is_empty() { String::new() } else { format!("{name}{kind}") };
                                let opts = Opts::new(name, HELPS[help])
                                    .const_labels(CONSTANTS[constants].iter().map(owned).collect());
                                all.push(make(kind, vec, opts, LABELS[labels], BUCKETS[buckets])?);
                            }
                            _ if all.is_empty() => {}
                            Step::Wrap(of, how) => wrapped.push((of % all.len(), how)),
                            Step::Register(at, of) => registries[at % 4].register(collector(of))?,
                            Step::Unregister(at, of) => registries[at % 4].unregister(collector(of))?,
                            Step::Record(of, ref at, v) => {
                                let made = &all[of % all.len()];
                                return (made.record)(&values(made.names, at), v);
                            }
                            Step::Local(of, ref at, v, then) => {
                                let made = &all[of % all.len()];
                                return (made.local)(&values(made.names, at), v, then);
                            }
                            Step::Remove(of, ref at) => {
                                let made = &all[of % all.len()];
                                return (made.remove)(&values(made.names, at), false);
                            }
                            Step::RemoveByName(of, ref at) => {
                                let made = &all[of % all.len()];
                                return (made.remove)(&values(made.names, at), true);
                            }
                            Step::Reset(of) => (all[of % all.len()].reset)(),
                            Step::Collect(of) => {
                                let made = &all[of % all.len()];
                                let mut families = (made.collector)().collect();
                                families.iter_mut().for_each(|family| {
                                    family.mut_metric().sort_by_key(|metric| format!("{:?}", metric.get_label()));
                                });
                                return page(&families);
                            }
                            Step::Gather(at) => return page(&registries[at % 4].gather()),
                        }
                        Ok(String::new())
                    }));
                    answers.push(match answer {
                        Ok(Ok(text)) => text,
                        Ok(Err(error)) => error.to_string(),
                        Err(_) => "panics".to_owned(),
                    });
                }
                answers
            }
        }
    };
}

player!(ours, prometheus);
player!(upstream, prometheus_upstream);

/// Equal series have no order, and those of a page are compared in one.
fn sorted(answer: &str) -> Vec<&str> {
    let text = answer.split("\n[").next().unwrap_or_default();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_have_the_results_of_upstream(steps in prop::collection::vec(step(), 1..80)) {
        // The panics are answers, and not to be printed.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let (ours, upstream) = (ours::play(&steps), upstream::play(&steps));
        std::panic::set_hook(hook);
        for ((step, answer), expected) in steps.iter().zip(&ours).zip(&upstream) {
            let own = steps.iter().any(|step| matches!(step, Step::Wrap(..)));
            if !(own && sorted(answer) == sorted(expected)) {
                prop_assert_eq!(answer, expected, "{:?}", step);
            }
        }
    }
}
