//! A point as lines of text 0.0.4 or OpenMetrics.
//!
//! The braces of most lines, and a number whose spelling every consumer reads, are copied from the source's text. OpenMetrics wants bounds in canonical form, timestamps in seconds, and the same one on all
//! lines of a point.

use bytes::{BufMut, BytesMut};

use super::arena::Span;
use super::cursor::Label;
use super::exemplar;
use super::merged::{Family, Shape};
use super::report::Report;
use super::role::Role;
use super::store::{Sample, Store};
use crate::number::{write_f64, write_f64_openmetrics, write_u64};
use dynamo_metrics_parser::Kind;
use dynamo_metrics_parser::grammar::{Count, EXACT_MAX, label_name_len};

/// Milliseconds of a second, in digits.
const MILLISECOND_DIGITS: usize = 3;

/// Longest text of a bound that is looked at to see whether it is canonical: six digits before the point and
/// nine behind it are always the shortest text of their number.
const PLAIN_BOUND_LEN_MAX: usize = 15;

/// The form in which a point is written.
pub(super) struct Style {
    pub(super) openmetrics: bool,
    /// True for the rules of OpenMetrics 2.0: names keep their suffixes, exemplars must have a time.
    pub(super) composite: bool,
    /// The timestamp of all its samples, for OpenMetrics.
    pub(super) stamp: Span,
}

impl Style {
    /// HELP and TYPE, or TYPE and HELP.
    pub(super) fn write_head(&self, store: &Store, family: &Family, out: &mut BytesMut) {
        let sample_name = store.arena.get(family.names[0]);
        let mut name = sample_name;
        let mut word = family.kind.as_str();
        if self.openmetrics {
            match (family.kind, family.shape) {
                (Kind::Untyped, _) | (_, Shape::Unknown) => word = "unknown",
                (Kind::Counter, _) if !self.composite => {
                    name = name.strip_suffix(b"_total").unwrap_or(name)
                }
                (Kind::Info, _) if !self.composite => {
                    name = name.strip_suffix(b"_info").unwrap_or(name)
                }
                _ => {}
            }
        }
        let write = |what: &[u8], out: &mut BytesMut| {
            out.put_slice(what);
            if family.quoted {
                out.put_u8(b'"');
                out.put_slice(name);
                out.put_u8(b'"');
            } else {
                out.put_slice(name);
            }
            out.put_u8(b' ');
        };
        if !self.openmetrics && !family.help.is_empty() {
            write(b"# HELP ", out);
            write_help(store.arena.get(family.help), b"\"", out);
            out.put_u8(b'\n');
        }
        write(b"# TYPE ", out);
        out.put_slice(word.as_bytes());
        out.put_u8(b'\n');
        let unit = store.arena.get(family.unit);
        if self.openmetrics && family.is_in_unit(name, unit) {
            write(b"# UNIT ", out);
            out.put_slice(unit);
            out.put_u8(b'\n');
        }
        if self.openmetrics && !family.help.is_empty() {
            write(b"# HELP ", out);
            write_help(store.arena.get(family.help), br#"\""#, out);
            out.put_u8(b'\n');
        }
    }

    /// A line without its end.
    pub(super) fn write_sample(
        &self,
        store: &Store,
        family: &Family,
        sample: &Sample,
        out: &mut BytesMut,
    ) {
        let name = store.arena.get(family.sample_name(sample.role));
        if let Some(line) = self.as_it_stands(store, family, name, sample) {
            let end = sample.text.end;
            if !is_count(sample) {
                out.put_slice(store.arena.get(Span { end, ..line }));
            } else if let [b'1'..=b'9', .., b'.', b'0'] = store.arena.get(sample.text)
                && sample.value <= EXACT_MAX
            {
                // As Python prints a whole number; what is before the point has no exponent.
                out.put_slice(store.arena.get(Span { end: end - ".0".len() as u32, ..line }));
            } else {
                out.put_slice(store.arena.get(line));
                self.write_number(store, sample, out);
            }
        } else {
            if family.quoted {
                out.put_slice(b"{\"");
                out.put_slice(name);
                out.put_u8(b'"');
            } else {
                out.put_slice(name);
            }
            self.write_labels(store, family, sample, out);
            self.write_number(store, sample, out);
        }
        self.write_stamp(store, if self.openmetrics { self.stamp } else { sample.timestamp }, out);
    }

    /// The part of a source's line up to the number, where it is what would be written: most often.
    fn as_it_stands(
        &self,
        store: &Store,
        family: &Family,
        name: &[u8],
        sample: &Sample,
    ) -> Option<Span> {
        let Span { start, end } = sample.braces;
        let plain = start < end
            && sample.text.start == end + 1
            && !family.quoted
            && !store.adds(sample)
            && store.arena.get(Span { start: end, end: end + 1 }) == b" "
            && !self.respells(store, sample);
        let line = Span { start: start.checked_sub(name.len() as u32)?, end: end + 1 };
        let same = || store.arena.get(Span { end: start, ..line }) == name;
        (plain && same()).then_some(line)
    }

    /// Returns whether the bound of a sample must be spelled anew.
    fn respells(&self, store: &Store, sample: &Sample) -> bool {
        self.openmetrics
            && matches!(sample.role, Role::Bucket | Role::Quantile)
            && store
                .own_label(sample)
                .is_some_and(|own| !is_canonical(store.arena.get(store.labels(sample)[own].value)))
    }

    /// The number of a sample, a count as a whole one.
    pub(super) fn write_number(&self, store: &Store, sample: &Sample, out: &mut BytesMut) {
        let text = store.arena.get(sample.text);
        let count = is_count(sample).then(|| Count::new(text, sample.value)).flatten();
        match count.and_then(|count| count.exact) {
            Some(exact) => write_u64(out, exact),
            None if text.is_empty() => write_f64(out, sample.value),
            None => out.put_slice(text),
        }
    }

    /// A timestamp behind a number, if there is one.
    pub(super) fn write_stamp(&self, store: &Store, stamp: Span, out: &mut BytesMut) {
        if !stamp.is_empty() {
            out.put_u8(b' ');
            self.write_timestamp(store.arena.get(stamp), out);
        }
    }

    /// Appends the labels, and the blank before the value.
    fn write_labels(&self, store: &Store, family: &Family, sample: &Sample, out: &mut BytesMut) {
        let labels = store.labels(sample);
        let (own, respell) = (store.own_label(sample), self.respells(store, sample));
        let (_, added) = store.added(sample);
        let braces = store.arena.get(sample.braces);
        let mut before: &[u8] = if family.quoted { b"," } else { b"{" };
        if let ([b'{', inside @ .., b'}'], false) = (braces, respell) {
            out.put_slice(before);
            out.put_slice(inside);
            before = b",";
        } else {
            for (at, label) in labels.iter().enumerate() {
                let name = store.arena.get(label.name);
                out.put_slice(before);
                if label_name_len(name) == name.len() {
                    out.put_slice(name);
                    out.put_slice(b"=\"");
                } else {
                    out.put_u8(b'"');
                    out.put_slice(name);
                    out.put_slice(b"\"=\"");
                }
                if respell && own == Some(at) {
                    write_f64_openmetrics(out, sample.bound);
                } else {
                    out.put_slice(store.arena.get(label.value));
                }
                out.put_u8(b'"');
                before = b",";
            }
        }
        if !added.is_empty() {
            out.put_slice(before);
            out.put_slice(added);
            before = b",";
        }
        out.put_slice(if before == b"," { b"} " } else { b" " });
    }

    /// An exemplar behind a sample, or nothing and a count of it. `below` is the bound of the bucket before.
    pub(super) fn write_exemplar(
        &self,
        store: &Store,
        family: &Family,
        (sample, below): (&Sample, f64),
        labels: &mut Vec<Label>,
        out: &mut BytesMut,
        report: &mut Report,
    ) {
        let counter = family.kind == Kind::Counter && family.shape != Shape::Unknown;
        let exemplar = exemplar::read(store, (sample, below), counter, labels);
        let timed = |exemplar: &exemplar::Exemplar| !exemplar.timestamp.is_empty();
        let Some(exemplar) = exemplar.filter(|exemplar| !self.composite || timed(exemplar)) else {
            report.exemplars += 1;
            return;
        };
        out.put_slice(b" # ");
        let mut before = b'{';
        for label in &*labels {
            out.put_u8(before);
            out.put_slice(store.arena.get(label.name));
            out.put_slice(b"=\"");
            out.put_slice(store.arena.get(label.value));
            out.put_u8(b'"');
            before = b',';
        }
        out.put_slice(if before == b'{' { b"{} " } else { b"} " });
        write_f64(out, exemplar.value);
        if !exemplar.timestamp.is_empty() {
            out.put_u8(b' ');
            out.put_slice(store.arena.get(exemplar.timestamp));
        }
    }

    /// Milliseconds, given in digits.
    fn write_timestamp(&self, digits: &[u8], out: &mut BytesMut) {
        if !self.openmetrics {
            return out.put_slice(digits);
        }
        let (seconds, milliseconds) =
            digits.split_at(digits.len().saturating_sub(MILLISECOND_DIGITS));
        out.put_slice(if seconds.is_empty() { b"0" } else { seconds });
        if milliseconds.iter().any(|&digit| digit != b'0') {
            out.put_slice(&b".000"[..1 + MILLISECOND_DIGITS - milliseconds.len()]);
            out.put_slice(milliseconds);
        }
    }
}

/// Returns whether a sample's number is one of observations.
fn is_count(sample: &Sample) -> bool {
    matches!(sample.role, Role::Bucket | Role::Count)
}

/// Writes a raw help text so that only the escapes of the format remain: `\"` becomes `quote`, and
/// any other backslash is kept as the character that it is.
pub(super) fn write_help(mut raw: &[u8], quote: &[u8], out: &mut BytesMut) {
    while let Some(at) = raw.iter().position(|&byte| matches!(byte, b'\\' | b'"')) {
        out.put_slice(&raw[..at]);
        let (written, read): (&[u8], usize) = match (raw[at], raw.get(at + 1)) {
            (b'"', _) => (quote, 1),
            (_, Some(b'\\')) => (br"\\", 2),
            (_, Some(b'n')) => (br"\n", 2),
            (_, Some(b'"')) => (quote, 2),
            _ => (br"\\", 1),
        };
        out.put_slice(written);
        raw = &raw[at + read..];
    }
    out.put_slice(raw);
}

/// Returns whether a bound is surely spelled as OpenMetrics wants it. Cheap, because almost all are, and because Python's
/// client, which most engines use, spells them so.
fn is_canonical(text: &[u8]) -> bool {
    if text == b"+Inf" {
        return true;
    }
    let Some(point) = text.iter().position(|&byte| byte == b'.') else { return false };
    let (whole, fraction) = (&text[..point], &text[point + 1..]);
    let digits = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    let plain = text.len() <= PLAIN_BOUND_LEN_MAX
        && (1..=6).contains(&whole.len())
        && digits(whole)
        && digits(fraction);
    match (whole, fraction) {
        // Below 0.0001 there would be an exponent.
        ([b'0'], [b'0', b'0', b'0', b'0', ..]) => false,
        (_, b"0") => plain && (whole == b"0" || whole[0] != b'0'),
        (_, [.., last]) => plain && *last != b'0' && (whole == b"0" || whole[0] != b'0'),
        (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_that_is_copied_is_canonical() {
        let mut taken = 0;
        let texts = (0..2_000_000_u64).step_by(37).flat_map(|i| {
            let v = i as f64 / 1000.0;
            [format!("{v}"), format!("{v:?}"), format!("{v:.1}"), format!("0{v}"), format!("{i}")]
        });
        let odd =
            ["", ".", "1.", ".5", "1e+06", "1.0e5", "00.5", "0.00001", "1000000.0", "NaN", "+Inf"];
        for text in texts.chain(odd.map(str::to_owned)) {
            if is_canonical(text.as_bytes()) {
                let mut expected = BytesMut::new();
                write_f64_openmetrics(&mut expected, text.parse().unwrap());
                assert_eq!(expected, text.as_bytes());
                taken += 1;
            }
        }
        assert!(taken > 50_000, "{taken}");
        for text in ["0.0", "1.0", "0.5", "0.001", "0.3", "100000.0", "7.5", "+Inf"] {
            assert!(is_canonical(text.as_bytes()), "{text}");
        }
    }
}
