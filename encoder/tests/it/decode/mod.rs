//! A decoder of delimited `io.prometheus.client.MetricFamily`, written from the field numbers alone: it gives the samples
//! that the messages stand for, in a form that can be compared with what text says.
#![allow(dead_code)] // each test that shares it uses a part

mod line;
mod native;
mod wire;

pub(crate) use line::line;
#[allow(unused_imports)] // as above
pub(crate) use native::{Native, buckets};

use wire::{Field, fields, message};

/// One message, and what text would have for it.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) unit: String,
    /// Counter, gauge, summary, untyped, histogram.
    pub(crate) kind: u64,
    /// See [`line()`].
    pub(crate) samples: Vec<String>,
    /// Exemplars and start times, a line for each.
    pub(crate) extras: Vec<String>,
    /// Milliseconds.
    pub(crate) timestamps: Vec<u64>,
    pub(crate) natives: Vec<Native>,
}

/// Every family of a body.
pub(crate) fn decode(mut body: &[u8]) -> Vec<Family> {
    let mut families = Vec::new();
    while !body.is_empty() {
        families.push(Family::of(message(&mut body)));
    }
    families
}

/// Every sample as text 0.0.4 would have it, sorted.
pub(crate) fn samples(body: &[u8]) -> Vec<String> {
    let mut all: Vec<_> = decode(body).into_iter().flat_map(|family| family.samples).collect();
    all.sort();
    all
}

/// Exemplars and start times, a line for each.
pub(crate) fn extras(body: &[u8]) -> Vec<String> {
    decode(body).into_iter().flat_map(|family| family.extras).collect()
}

/// Native histograms, in the order in which they come.
pub(crate) fn natives(body: &[u8]) -> Vec<Native> {
    decode(body).into_iter().flat_map(|family| family.natives).collect()
}

impl Family {
    fn of(bytes: &[u8]) -> Self {
        let mut family = Self { kind: u64::MAX, ..Self::default() };
        for (number, field) in fields(bytes) {
            match number {
                1 => family.name = field.text(),
                2 => family.help = field.text(),
                3 => family.kind = field.number(),
                4 => family.metric(field.bytes()),
                5 => family.unit = field.text(),
                other => panic!("field {other} of a family"),
            }
        }
        assert!(family.samples.len() + family.natives.len() > 0, "{} is empty", family.name);
        family
    }

    fn metric(&mut self, bytes: &[u8]) {
        let mut labels = Vec::new();
        let mut value = None;
        for (number, field) in fields(bytes) {
            match number {
                1 => labels.push(label(field.bytes())),
                6 => self.timestamps.push(field.number()),
                other => assert!(value.replace((other, fields(field.bytes()))).is_none()),
            }
        }
        let mut names: Vec<_> = labels.iter().map(|(name, _)| name).collect();
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a label twice: {names:?}");
        let (number, value) = value.expect("a metric has a value");
        assert_eq!(number, [3, 2, 4, 5, 7][self.kind as usize], "by the type of the family");
        match number {
            4 => self.summary(&labels, &value),
            7 if Native::is_native(&value) => {
                let (classic, native) = value.iter().partition::<Vec<_>, _>(|(n, _)| *n == 3);
                self.natives.push(Native::of(&native));
                if !classic.is_empty() {
                    // The count and the sum belong to both.
                    let shared = native.into_iter().filter(|(n, _)| matches!(n, 1 | 2));
                    self.histogram(&labels, &shared.chain(classic).collect::<Vec<_>>());
                }
            }
            7 => self.histogram(&labels, &value),
            _ => self.number(&labels, &value),
        }
    }

    fn number(&mut self, labels: &Labels, value: &[(u64, Field<'_>)]) {
        for &(number, field) in value {
            match number {
                1 => self.sample("", labels, None, field.double()),
                2 => self.extra("", &exemplar(field.bytes())),
                3 => self.created(field),
                other => panic!("field {other} of a number"),
            }
        }
    }

    fn summary(&mut self, labels: &Labels, value: &[(u64, Field<'_>)]) {
        for &(number, field) in value {
            match number {
                1 => self.sample("_count", labels, None, field.number() as f64),
                2 => self.sample("_sum", labels, None, field.double()),
                3 => {
                    let mut pair = [f64::NAN; 2];
                    for (number, field) in fields(field.bytes()) {
                        pair[number as usize - 1] = field.double();
                    }
                    self.sample("", labels, Some(("quantile", pair[0])), pair[1]);
                }
                4 => self.created(field),
                other => panic!("field {other} of a summary"),
            }
        }
    }

    fn histogram(&mut self, labels: &Labels, value: &[(u64, Field<'_>)]) {
        // An absent count is zero, and is the bucket for `+Inf`.
        let total = value.iter().find(|(number, _)| *number == 1);
        let total = total.map_or(0, |(_, field)| field.number());
        self.sample("_count", labels, None, total as f64);
        self.sample("_bucket", labels, Some(("le", f64::INFINITY)), total as f64);
        let mut before = 0;
        for &(number, field) in value {
            match number {
                1 => {}
                2 => self.sample("_sum", labels, None, field.double()),
                3 => {
                    let (mut count, mut bound, mut seen) = (0, f64::NAN, None);
                    for (number, field) in fields(field.bytes()) {
                        match number {
                            1 => count = field.number(),
                            2 => bound = field.double(),
                            3 => seen = Some(exemplar(field.bytes())),
                            other => panic!("field {other} of a bucket"),
                        }
                    }
                    if let Some(seen) = seen {
                        self.extra(" bucket", &format!("{bound:?} {seen}"));
                    }
                    assert!(before <= count && count <= total, "{before}, {count} of {total}");
                    before = count;
                    if bound == f64::INFINITY {
                        assert_eq!(count, total, "what is sent for `+Inf` repeats the count");
                    } else {
                        self.sample("_bucket", labels, Some(("le", bound)), count as f64);
                    }
                }
                15 => self.created(field),
                other => panic!("field {other} of a histogram"),
            }
        }
    }

    fn sample(&mut self, suffix: &str, labels: &Labels, own: Option<(&str, f64)>, value: f64) {
        let own = own.map(|(name, bound)| (name.to_owned(), format!("{bound:?}")));
        let labels = labels.iter().cloned().chain(own).collect();
        self.samples.push(line(&format!("{}{suffix}", self.name), labels, value));
    }

    fn extra(&mut self, suffix: &str, what: &str) {
        self.extras.push(format!("{}{suffix} {what}", self.name));
    }

    fn created(&mut self, field: Field<'_>) {
        self.extra(" created", &timestamp(field.bytes()));
    }
}

type Labels = Vec<(String, String)>;

fn label(bytes: &[u8]) -> (String, String) {
    let mut pair = ["", ""].map(String::from);
    for (number, field) in fields(bytes) {
        pair[number as usize - 1] = field.text();
    }
    let [name, value] = pair;
    (name, value)
}

/// `exemplar NAME=VALUE... VALUE at TIME`, labels sorted; the time is `never` if it has none.
fn exemplar(bytes: &[u8]) -> String {
    let (mut labels, mut value, mut time) = (Vec::new(), f64::NAN, "never".into());
    for (number, field) in fields(bytes) {
        match number {
            1 => labels.push(label(field.bytes())),
            2 => value = field.double(),
            3 => time = timestamp(field.bytes()),
            other => panic!("field {other} of an exemplar"),
        }
    }
    labels.sort();
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("exemplar {} {value:?} at {time}", labels.join(" "))
}

fn timestamp(bytes: &[u8]) -> String {
    let (mut seconds, mut nanos) = (0, 0);
    for (number, field) in fields(bytes) {
        match number {
            1 => seconds = field.number(),
            2 => nanos = field.number(),
            other => panic!("field {other} of a timestamp"),
        }
    }
    format!("{seconds}.{nanos:09}")
}
