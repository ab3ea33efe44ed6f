//! A point as a message `io.prometheus.client.Metric`, and a family as a `MetricFamily` behind its length.
//!
//! Nested messages stand behind their lengths. A family is put together in a reused buffer: each message leaves one
//! byte for its length, and moves what it wrote by a byte or two where that is not enough. The bucket for `+Inf` is
//! left out, since it is the count, unless it has an exemplar.

use bytes::{BufMut, BytesMut};

use super::arena::{Span, unescape};
use super::cursor::Label;
use super::exemplar;
use super::merged::Family;
use super::report::Report;
use super::role::Role;
use super::store::{Sample, Store};
use crate::protobuf::wire::{DELIMITED, Growing, Sink};
use dynamo_metrics_parser::Kind;
use dynamo_metrics_parser::grammar::Count;

/// The first number beyond `u64`.
const COUNT_END: f64 = 18_446_744_073_709_551_616.0;

/// A varint's digit is seven bits.
const VARINT_DIGIT_END: usize = 0x80;

/// Begins a family in `message`: name, help, type, unit.
pub(super) fn begin(store: &Store, family: &Family, message: &mut Vec<u8>) {
    message.clear();
    // By `write_metric` the header may stand in front of no metric at all; then the next one begins again.
    let kind = match family.kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Summary => 2,
        Kind::Histogram => 4,
        _ => 3,
    };
    nested(message, 1, |out| unescape(store.arena.get(family.names[0]), out));
    if !family.help.is_empty() {
        nested(message, 2, |out| unescape(store.arena.get(family.help), out));
    }
    let _ = Growing(message).unsigned(3, kind);
    let (name, unit) = (store.arena.get(family.names[0]), store.arena.get(family.unit));
    let stem = match family.kind {
        Kind::Counter => name.strip_suffix(b"_total").unwrap_or(name),
        _ => name,
    };
    if family.is_in_unit(stem, unit) {
        let _ = Growing(message).string(5, unit);
    }
}

/// Appends the family behind its length.
pub(super) fn end(message: &[u8], out: &mut BytesMut) {
    let mut length = message.len();
    while length >= VARINT_DIGIT_END {
        out.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
    out.put_slice(message);
}

/// Appends a point. Returns whether it has a form in protobuf: not if a count is beyond `u64`.
pub(super) fn write_metric(
    store: &Store,
    family: &Family,
    point: &[u32],
    stamp: Span,
    (message, labels): (&mut Vec<u8>, &mut Vec<Label>),
    report: &mut Report,
) -> bool {
    let samples = || point.iter().map(|&at| &store.samples[at as usize]);
    let Some(first) = samples().next() else { return false };
    let counts = |sample: &&Sample| matches!(sample.role, Role::Bucket | Role::Count);
    if samples().filter(counts).any(|sample| count_of(store, sample).is_none()) {
        return false;
    }
    nested(message, 4, |out| {
        for label in store.label_set(first) {
            write_label(store, label, out);
        }
        let field = match family.kind {
            Kind::Gauge => 2,
            Kind::Counter => 3,
            Kind::Summary => 4,
            Kind::Histogram => 7,
            _ => 5,
        };
        nested(out, field, |out| {
            let mut below = f64::NEG_INFINITY;
            for sample in samples() {
                let count = || count_of(store, sample).unwrap_or_default();
                let counter = family.kind == Kind::Counter;
                let exemplar = if sample.exemplar.is_empty() {
                    None
                } else {
                    let read = exemplar::read(store, (sample, below), counter, labels);
                    report.exemplars += u64::from(read.is_none());
                    read.map(|exemplar| (exemplar, &labels[..]))
                };
                below = sample.bound;
                match sample.role {
                    Role::Value | Role::State | Role::Stray => {
                        let _ = Growing(out).double(1, sample.value);
                        if let Some(exemplar) = exemplar {
                            nested(out, 2, |out| write_exemplar(store, exemplar, out));
                        }
                    }
                    Role::Sum => drop(Growing(out).double(2, sample.value)),
                    Role::Count => drop(Growing(out).unsigned(1, count())),
                    Role::Quantile => nested(out, 3, |out| {
                        let _ = Growing(out).double(1, sample.bound).double(2, sample.value);
                    }),
                    Role::Bucket if sample.bound == f64::INFINITY && exemplar.is_none() => {}
                    Role::Bucket => nested(out, 3, |out| {
                        let _ = Growing(out).unsigned(1, count()).double(2, sample.bound);
                        if let Some(exemplar) = exemplar {
                            nested(out, 3, |out| write_exemplar(store, exemplar, out));
                        }
                    }),
                }
            }
        });
        let stamp = std::str::from_utf8(store.arena.get(stamp)).unwrap_or_default();
        if let Ok(milliseconds) = stamp.parse() {
            let _ = Growing(out).unsigned(6, milliseconds);
        }
    });
    true
}

fn count_of(store: &Store, sample: &Sample) -> Option<u64> {
    let text = store.arena.get(sample.text);
    let exact = Count::new(text, sample.value)?.exact;
    exact.or_else(|| (sample.value < COUNT_END).then_some(sample.value as u64))
}

fn write_label(store: &Store, label: &Label, out: &mut Vec<u8>) {
    nested(out, 1, |out| {
        nested(out, 1, |out| unescape(store.arena.get(label.name), out));
        nested(out, 2, |out| unescape(store.arena.get(label.value), out));
    });
}

fn write_exemplar(
    store: &Store,
    (exemplar, labels): (exemplar::Exemplar, &[Label]),
    out: &mut Vec<u8>,
) {
    for label in labels {
        write_label(store, label, out);
    }
    let _ = Growing(out).double(2, exemplar.value);
    let text = std::str::from_utf8(store.arena.get(exemplar.timestamp)).unwrap_or_default();
    if let Ok(seconds) = text.parse::<f64>() {
        nested(out, 3, |out| {
            let whole = seconds.trunc();
            let nanos = ((seconds - whole) * 1e9).min(999_999_999.0);
            let _ = Growing(out).unsigned(1, whole as u64).unsigned(2, nanos as u64);
        });
    }
}

/// Writes a field that stands behind its length.
fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let _ = Growing(out).tag(field, DELIMITED);
    let start = out.len();
    out.push(0);
    write(out);
    let mut length = out.len() - start - 1;
    let mut digits = 1;
    while length >> (7 * digits) > 0 {
        digits += 1;
    }
    if digits > 1 {
        let end = out.len();
        out.resize(end + digits - 1, 0);
        out.copy_within(start + 1..end, start + digits);
    }
    for digit in &mut out[start..start + digits] {
        *digit = length as u8 | 0x80;
        length >>= 7;
    }
    out[start + digits - 1] &= 0x7f;
}
