//! The samples of a registry, as a scraper that asked for some format must have stored them. Walks the snapshot and knows
//! nothing of the encoder.

use crate::line::line;
use dynamo_metrics_core::{
    Escaping, Registry, Snapshot,
    snapshot::{NativeValue, Value},
};
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};

type Labels = Vec<(String, String)>;

/// Every sample as a line, sorted.
pub(crate) fn samples(registry: &Registry, asked: Negotiated) -> Vec<String> {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    let mut lines = Vec::new();
    for family in snapshot.families() {
        let name = asked.escaping.metric_name(family.name());
        for part in family.parts() {
            for at in 0..part.len() {
                let series = part.series(at).unwrap();
                let descriptor = series.descriptor();
                let own = descriptor.label_names().zip(series.label_values());
                let labels: Labels = descriptor
                    .const_labels()
                    .chain(own)
                    // To Prometheus an empty label is none.
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(name, value)| (label_name(asked.escaping, name), value.to_owned()))
                    .collect();
                let plain = |value: f64| line(&name, labels.clone(), value);
                match series.value() {
                    Value::Unsigned(count) => lines.push(plain(count as f64)),
                    Value::Signed(count) => lines.push(plain(count as f64)),
                    Value::Float(value) => lines.push(plain(value)),
                    Value::Info => lines.push(plain(1.0)),
                    Value::Missing => {}
                    Value::States(bits) => {
                        let states = descriptor.states().enumerate();
                        lines.extend(states.map(|(bit, state)| {
                            let set = f64::from(u8::from(bits >> bit & 1 == 1));
                            line(&name, with(&labels, &name, state), set)
                        }));
                    }
                    Value::Summary { count, sum, quantiles } => {
                        let known = descriptor.quantiles().unwrap().iter();
                        lines.extend(known.zip(quantiles).map(|(quantile, &value)| {
                            line(&name, with(&labels, "quantile", &quantile.to_string()), value)
                        }));
                        lines.push(line(&format!("{name}_sum"), labels.clone(), sum));
                        lines.push(line(&format!("{name}_count"), labels, count as f64));
                    }
                    Value::Native(value) if asked.format == Format::Protobuf => {
                        lines.push(native(&line(&name, labels, 0.0), value));
                    }
                    value @ (Value::Native(_) | Value::Histogram { .. }) => {
                        let (counts, sum) = match value {
                            Value::Native(native) => (native.classic, native.sum),
                            Value::Histogram { counts, sum } => (counts, sum.to_f64()),
                            _ => unreachable!("one of the two"),
                        };
                        let bounds = descriptor.buckets().unwrap().bounds();
                        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
                        let mut total = 0;
                        for (bound, count) in bounds.clone().zip(counts) {
                            total += count;
                            let labels = with(&labels, "le", &bound.to_string());
                            lines.push(line(&format!("{name}_bucket"), labels, total as f64));
                        }
                        // OpenMetrics forbids a sum where there may be negative observations, and then a count.
                        let signed =
                            descriptor.is_signed() || bounds.clone().any(|bound| bound < 0.0);
                        if asked.format != Format::OpenMetrics || !signed {
                            lines.push(line(&format!("{name}_sum"), labels.clone(), sum));
                            lines.push(line(&format!("{name}_count"), labels, total as f64));
                        }
                    }
                    other => panic!("{other:?} is new"),
                }
            }
        }
    }
    lines.sort();
    lines
}

/// The series of lines, without their values.
pub(crate) fn series(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// The line of a native histogram: the bound of each bucket that is not empty, as its index, and its count.
pub(crate) fn native_line(
    name_and_labels: &str,
    count: u64,
    sum: f64,
    mut buckets: Vec<(String, u64)>,
) -> String {
    buckets.sort();
    format!("{name_and_labels} count={count};sum={sum:?};{buckets:?}").replace(", ", ",")
}

fn native(zero: &str, value: NativeValue<'_>) -> String {
    let name_and_labels = zero.rsplit_once(' ').unwrap().0;
    let mut buckets = Vec::new();
    if value.zero_count > 0 {
        buckets.push(("zero".to_owned(), value.zero_count));
    }
    for (sign, side) in [("", value.positive), ("-", value.negative)] {
        // Prometheus shows no resolution: bounds are told by their binary logarithm.
        let logarithm = |index: i32| f64::from(index) * (-f64::from(value.schema)).exp2();
        buckets.extend(side.populated().map(|(index, count)| {
            let overflow = side.overflow_index == index;
            (bound(sign, if overflow { f64::INFINITY } else { logarithm(index) }), count)
        }));
    }
    native_line(name_and_labels, value.count, value.sum, buckets)
}

/// A bucket's outer bound, by the logarithm of its magnitude. The finest grid has 256 steps an octave.
pub(crate) fn bound(sign: &str, logarithm: f64) -> String {
    format!("{sign}2^{:?}", (logarithm * 256.0).round() / 256.0)
}

fn with(labels: &[(String, String)], name: &str, value: &str) -> Labels {
    [labels, &[(name.to_owned(), value.to_owned())]].concat()
}

fn label_name(escaping: Escaping, name: &str) -> String {
    escaping.label_name(name).into_owned()
}
