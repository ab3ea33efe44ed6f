//! A decoder of `io.prometheus.client.MetricFamily`, written from the field numbers alone.
#![allow(dead_code)] // each test that shares it uses a part

mod line;

pub(crate) use line::line;

/// One field: its number and what it holds.
enum Field<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a varint ends");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes")
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    taken
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => Field::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let len = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, len))
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Every sample as text 0.0.4 would have it, sorted.
pub(crate) fn samples(body: &[u8]) -> Vec<String> {
    let mut all = Decoded::of(body);
    all.samples.sort();
    all.samples
}

/// Exemplars and start times, a line for each.
pub(crate) fn extras(body: &[u8]) -> Vec<String> {
    Decoded::of(body).extras
}

/// Native histograms, in the order in which they come.
pub(crate) fn natives(body: &[u8]) -> Vec<Native> {
    Decoded::of(body).natives
}

/// A native histogram as it was sent.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Native {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) schema: i64,
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: u64,
    /// Offset and length.
    pub(crate) negative_spans: Vec<(i64, u64)>,
    pub(crate) negative_deltas: Vec<i64>,
    pub(crate) positive_spans: Vec<(i64, u64)>,
    pub(crate) positive_deltas: Vec<i64>,
    pub(crate) exemplars: Vec<String>,
    pub(crate) created: Option<String>,
}

#[derive(Default)]
struct Decoded {
    samples: Vec<String>,
    extras: Vec<String>,
    natives: Vec<Native>,
}

impl Decoded {
    fn of(mut body: &[u8]) -> Self {
        let mut all = Self::default();
        while !body.is_empty() {
            let len = varint(&mut body) as usize;
            family(take(&mut body, len), &mut all);
        }
        all
    }
}

fn timestamp(bytes: &[u8]) -> String {
    let (mut seconds, mut nanos) = (0, 0);
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Varint(value)) => seconds = value,
            (2, Field::Varint(value)) => nanos = value,
            (other, _) => panic!("field {other} of a timestamp"),
        }
    }
    format!("{seconds}.{nanos:09}")
}

fn label(bytes: &[u8]) -> (String, String) {
    let mut pair = ["", ""].map(String::from);
    for (number, field) in fields(bytes) {
        let Field::Bytes(bytes) = field else { panic!("a label is text") };
        pair[number as usize - 1] = text(bytes);
    }
    let [name, value] = pair;
    (name, value)
}

fn exemplar(bytes: &[u8]) -> String {
    let (mut labels, mut value, mut time) = (Vec::new(), f64::NAN, "never".into());
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Bytes(bytes)) => labels.push(label(bytes)),
            (2, Field::Double(double)) => value = double,
            (3, Field::Bytes(bytes)) => time = timestamp(bytes),
            (other, _) => panic!("field {other} of an exemplar"),
        }
    }
    labels.sort();
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("exemplar {} {value:?} at {time}", labels.join(" "))
}

fn family(bytes: &[u8], samples: &mut Decoded) {
    let mut name = String::new();
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = text(bytes),
            (2 | 5, Field::Bytes(bytes)) => assert!(std::str::from_utf8(bytes).is_ok()),
            (3, Field::Varint(kind)) => assert!(kind <= 5),
            (4, Field::Bytes(bytes)) => metric(&name, bytes, samples),
            (other, _) => panic!("field {other} of a family"),
        }
    }
}

fn metric(name: &str, bytes: &[u8], all: &mut Decoded) {
    let mut labels = Vec::new();
    for (number, field) in fields(bytes) {
        let Field::Bytes(bytes) = field else { panic!("field {number} of a metric") };
        match number {
            1 => labels.push(label(bytes)),
            2 | 3 | 5 => {
                for (number, field) in fields(bytes) {
                    match (number, field) {
                        (1, Field::Double(value)) => {
                            all.samples.push(line(name, labels.clone(), value));
                        }
                        (2, Field::Bytes(bytes)) => {
                            all.extras.push(format!("{name} {}", exemplar(bytes)));
                        }
                        (3, Field::Bytes(bytes)) => {
                            all.extras.push(format!("{name} created {}", timestamp(bytes)));
                        }
                        (other, _) => panic!("field {other} of a number"),
                    }
                }
            }
            4 => summary(name, &labels, bytes, all),
            7 if is_native(bytes) => all.natives.push(native(bytes)),
            7 => histogram(name, &labels, bytes, all),
            other => panic!("field {other} of a metric"),
        }
    }
}

fn summary(name: &str, labels: &[(String, String)], bytes: &[u8], all: &mut Decoded) {
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Varint(count)) => {
                all.samples.push(line(&format!("{name}_count"), labels.to_vec(), count as f64));
            }
            (2, Field::Double(sum)) => {
                all.samples.push(line(&format!("{name}_sum"), labels.to_vec(), sum));
            }
            (3, Field::Bytes(bytes)) => {
                let mut pair = [f64::NAN; 2];
                for (number, field) in fields(bytes) {
                    let Field::Double(value) = field else { panic!("a quantile is a double") };
                    pair[number as usize - 1] = value;
                }
                let labels =
                    [labels, &[("quantile".to_owned(), format!("{:?}", pair[0]))]].concat();
                all.samples.push(line(name, labels, pair[1]));
            }
            (4, Field::Bytes(bytes)) => {
                all.extras.push(format!("{name} created {}", timestamp(bytes)));
            }
            (other, _) => panic!("field {other} of a summary"),
        }
    }
}

/// As scrapers tell: by a span.
fn is_native(bytes: &[u8]) -> bool {
    fields(bytes).iter().any(|(number, _)| matches!(number, 9 | 12))
}

fn unzigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -((v & 1).cast_signed())
}

fn native(bytes: &[u8]) -> Native {
    let span = |bytes| {
        let mut span = (0, 0);
        for (number, field) in fields(bytes) {
            match (number, field) {
                (1, Field::Varint(offset)) => span.0 = unzigzag(offset),
                (2, Field::Varint(length)) => span.1 = length,
                (other, _) => panic!("field {other} of a span"),
            }
        }
        span
    };
    let deltas = |mut bytes: &[u8]| {
        let mut deltas = Vec::new();
        while !bytes.is_empty() {
            deltas.push(unzigzag(varint(&mut bytes)));
        }
        deltas
    };
    let mut native = Native::default();
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Varint(count)) => native.count = count,
            (2, Field::Double(sum)) => native.sum = sum,
            (5, Field::Varint(schema)) => native.schema = unzigzag(schema),
            (6, Field::Double(threshold)) => native.zero_threshold = threshold,
            (7, Field::Varint(count)) => native.zero_count = count,
            (9, Field::Bytes(bytes)) => native.negative_spans.push(span(bytes)),
            (10, Field::Bytes(bytes)) => native.negative_deltas = deltas(bytes),
            (12, Field::Bytes(bytes)) => native.positive_spans.push(span(bytes)),
            (13, Field::Bytes(bytes)) => native.positive_deltas = deltas(bytes),
            (15, Field::Bytes(bytes)) => native.created = Some(timestamp(bytes)),
            (16, Field::Bytes(bytes)) => native.exemplars.push(exemplar(bytes)),
            (other, _) => panic!("field {other} of a native histogram"),
        }
    }
    native
}

fn histogram(name: &str, labels: &[(String, String)], bytes: &[u8], all: &mut Decoded) {
    let bucket = |bound: f64, count: u64| {
        let bound = if bound == f64::INFINITY { "+Inf".into() } else { format!("{bound:?}") };
        let labels = [labels, &[("le".to_owned(), bound)]].concat();
        line(&format!("{name}_bucket"), labels, count as f64)
    };
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Varint(count)) => {
                all.samples.push(line(&format!("{name}_count"), labels.to_vec(), count as f64));
                all.samples.push(bucket(f64::INFINITY, count));
            }
            (2, Field::Double(sum)) => {
                all.samples.push(line(&format!("{name}_sum"), labels.to_vec(), sum));
            }
            (3, Field::Bytes(bytes)) => {
                let (mut count, mut bound, mut seen) = (0, f64::NAN, None);
                for (number, field) in fields(bytes) {
                    match (number, field) {
                        (1, Field::Varint(value)) => count = value,
                        (2, Field::Double(value)) => bound = value,
                        (3, Field::Bytes(bytes)) => seen = Some(exemplar(bytes)),
                        (other, _) => panic!("field {other} of a bucket"),
                    }
                }
                all.extras.extend(seen.map(|seen| format!("{name} bucket {bound:?} {seen}")));
                // The one for `+Inf` repeats the count, above.
                if bound.is_finite() {
                    all.samples.push(bucket(bound, count));
                }
            }
            (15, Field::Bytes(bytes)) => {
                all.extras.push(format!("{name} created {}", timestamp(bytes)));
            }
            (other, _) => panic!("field {other} of a histogram"),
        }
    }
}
