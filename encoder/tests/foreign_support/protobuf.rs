//! A decoder of delimited `io.prometheus.client.MetricFamily`, written from the field numbers alone: it gives the
//! samples that the message stands for, under their names in text.

use std::collections::BTreeMap;

/// A sample: its name, its labels in any order, its value. `le` and `quantile` are spelled by Rust.
pub(crate) type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: u64,
    pub(crate) samples: Samples,
    pub(crate) exemplars: Vec<(BTreeMap<String, String>, f64, Option<f64>)>,
    pub(crate) timestamps: Vec<u64>,
}

enum Value<'a> {
    Number(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(self) -> u64 {
        let Value::Number(v) = self else { panic!("not a varint") };
        v
    }

    fn double(self) -> f64 {
        let Value::Double(v) = self else { panic!("not a double") };
        v
    }

    fn bytes(self) -> &'a [u8] {
        let Value::Bytes(v) = self else { panic!("not delimited") };
        v
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("strings are UTF-8")
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut v = 0;
    for at in 0..10 {
        let (&byte, rest) = bytes.split_first().expect("a varint ends");
        *bytes = rest;
        v |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            assert!(at == 0 || byte != 0, "the shortest varint");
            return v;
        }
    }
    panic!("a varint has at most ten bytes")
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let len = varint(bytes) as usize;
    let (message, rest) = bytes.split_at(len);
    *bytes = rest;
    message
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)),
            1 => {
                let (double, rest) = bytes.split_first_chunk::<8>().expect("eight bytes");
                bytes = rest;
                Value::Double(f64::from_le_bytes(*double))
            }
            2 => Value::Bytes(delimited(&mut bytes)),
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

/// Every family of a body.
pub(crate) fn decode(mut body: &[u8]) -> Vec<Family> {
    let mut families = Vec::new();
    while !body.is_empty() {
        let mut family = Family { kind: u64::MAX, ..Family::default() };
        for (field, value) in fields(delimited(&mut body)) {
            match field {
                1 => family.name = value.text(),
                2 => family.help = value.text(),
                3 => family.kind = value.number(),
                4 => metric(value.bytes(), &mut family),
                other => panic!("field {other} of a family"),
            }
        }
        assert!(!family.samples.is_empty(), "{} is empty", family.name);
        families.push(family);
    }
    families
}

fn pair(bytes: &[u8]) -> (String, String) {
    let mut pair = (String::new(), String::new());
    for (field, value) in fields(bytes) {
        *(if field == 1 { &mut pair.0 } else { &mut pair.1 }) = value.text();
    }
    pair
}

fn metric(bytes: &[u8], family: &mut Family) {
    let mut labels = BTreeMap::new();
    let mut point = None;
    for (field, value) in fields(bytes) {
        match field {
            1 => {
                let (name, value) = pair(value.bytes());
                assert!(labels.insert(name, value).is_none(), "a label twice");
            }
            6 => family.timestamps.push(value.number()),
            field => point = Some((field, fields(value.bytes()))),
        }
    }
    let (field, point) = point.expect("a metric has a value");
    // Counter, gauge, summary, untyped, histogram, by the type of the family.
    assert_eq!(field, [3, 2, 4, 5, 7][family.kind as usize]);
    let mut add = |suffix: &str, own: Option<(&str, f64)>, value: f64| {
        let mut labels = labels.clone();
        labels.extend(own.map(|(name, bound)| (name.to_owned(), format!("{bound:?}"))));
        let known = family.samples.insert((format!("{}{suffix}", family.name), labels), value);
        assert!(known.is_none(), "{} twice", family.name);
    };
    let mut exemplars = Vec::new();
    let mut infinite = None;
    for (number, value) in point {
        match (field, number) {
            (2 | 3 | 5, 1) => add("", None, value.double()),
            (4 | 7, 1) => {
                let count = value.number() as f64;
                add("_count", None, count);
                infinite = Some(count).filter(|_| field == 7);
            }
            (4 | 7, 2) => add("_sum", None, value.double()),
            (4 | 7, 3) => {
                let (mut count, mut own) = (0.0, f64::NAN);
                for (number, value) in fields(value.bytes()) {
                    match (field, number) {
                        (7, 1) => count = value.number() as f64,
                        (4, 1) => own = value.double(),
                        (7, 2) => own = value.double(),
                        (4, 2) => count = value.double(),
                        _ => exemplars.push(exemplar(value.bytes())),
                    }
                }
                let label = if field == 7 { "le" } else { "quantile" };
                if field == 7 && own == f64::INFINITY {
                    continue;
                }
                add(if field == 7 { "_bucket" } else { "" }, Some((label, own)), count);
            }
            (3, 2) => exemplars.push(exemplar(value.bytes())),
            other => panic!("field {other:?}"),
        }
    }
    if let Some(count) = infinite {
        add("_bucket", Some(("le", f64::INFINITY)), count);
    }
    family.exemplars.extend(exemplars);
}

fn exemplar(bytes: &[u8]) -> (BTreeMap<String, String>, f64, Option<f64>) {
    let mut exemplar = (BTreeMap::new(), f64::NAN, None);
    for (field, value) in fields(bytes) {
        match field {
            1 => exemplar.0.extend([pair(value.bytes())]),
            2 => exemplar.1 = value.double(),
            _ => {
                let parts = fields(value.bytes()).into_iter().map(|(_, value)| value.number());
                let parts: Vec<u64> = parts.collect();
                exemplar.2 = Some(parts[0] as f64 + parts[1] as f64 / 1e9);
            }
        }
    }
    exemplar
}
