//! A native histogram as it was sent.

use super::wire::{Field, fields, varint};
use super::{exemplar, timestamp};

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

impl Native {
    /// As scrapers tell it from a classic one: by a span.
    pub(super) fn is_native(fields: &[(u64, Field<'_>)]) -> bool {
        fields.iter().any(|(number, _)| matches!(number, 9 | 12))
    }

    pub(super) fn of(fields: &[(u64, Field<'_>)]) -> Self {
        let mut native = Self::default();
        for &(number, field) in fields {
            match number {
                1 => native.count = field.number(),
                2 => native.sum = field.double(),
                5 => native.schema = unzigzag(field.number()),
                6 => native.zero_threshold = field.double(),
                7 => native.zero_count = field.number(),
                9 => native.negative_spans.push(span(field.bytes())),
                10 => native.negative_deltas = deltas(field.bytes()),
                12 => native.positive_spans.push(span(field.bytes())),
                13 => native.positive_deltas = deltas(field.bytes()),
                15 => native.created = Some(timestamp(field.bytes())),
                16 => native.exemplars.push(exemplar(field.bytes())),
                other => panic!("field {other} of a native histogram"),
            }
        }
        native
    }
}

/// Index and count of every bucket that is not empty, as a scraper reads spans and differences: all of both are used, no
/// span but the first begins below the end of the one before, and no count is negative.
pub(crate) fn buckets(spans: &[(i64, u64)], deltas: &[i64]) -> Vec<(i64, u64)> {
    let (mut buckets, mut deltas) = (Vec::new(), deltas.iter());
    let (mut next, mut count) = (0i64, 0i64);
    for (at, &(offset, length)) in spans.iter().enumerate() {
        assert!(at == 0 || offset >= 0, "{spans:?}");
        next += offset;
        for _ in 0..length {
            count = count.checked_add(*deltas.next().expect("a difference a bucket")).unwrap();
            buckets.push((next, u64::try_from(count).expect("no count is negative")));
            next += 1;
        }
    }
    assert_eq!(deltas.next(), None, "a bucket a difference");
    buckets.retain(|&(_, count)| count != 0);
    buckets
}

fn span(bytes: &[u8]) -> (i64, u64) {
    let mut span = (0, 0);
    for (number, field) in fields(bytes) {
        match number {
            1 => span.0 = unzigzag(field.number()),
            2 => span.1 = field.number(),
            other => panic!("field {other} of a span"),
        }
    }
    span
}

fn deltas(mut bytes: &[u8]) -> Vec<i64> {
    let mut deltas = Vec::new();
    while !bytes.is_empty() {
        deltas.push(unzigzag(varint(&mut bytes)));
    }
    deltas
}

fn unzigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -((v & 1).cast_signed())
}
