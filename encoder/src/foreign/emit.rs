//! What was merged, written as text 0.0.4 that passes [`strict`](crate::strict).
//!
//! The last judgement over histograms and summaries falls here, point by point, when all their
//! samples are together: buckets are put in order, a bound that comes twice is dropped, and a point
//! that does not add up is withheld as a whole. A family of which nothing remains is not mentioned.

use std::cmp::Ordering;

use bytes::{BufMut, BytesMut};

use super::Report;
use super::arena::NONE;
use super::merged::{Family, Merged};
use super::source::Role;
use super::store::{Sample, Store};
use crate::number::{write_f64, write_u64};
use crate::strict::Kind;
use crate::strict::grammar::Count;

impl Merged {
    /// Appends all families to `out` and counts them.
    pub(super) fn write(&mut self, store: &Store, out: &mut BytesMut, report: &mut Report) {
        for at in 0..self.families.len() {
            let mut headed = false;
            let mut group = self.families[at].first;
            while group != NONE {
                let whole = self.put_in_order(store, at, group, report);
                group = self.groups[group as usize].next;
                if !whole {
                    report.quarantined += 1;
                    continue;
                }
                let family = &self.families[at];
                if !headed {
                    write_head(store, family, out);
                    report.families += 1;
                    headed = true;
                }
                for &sample in &self.point {
                    write_sample(store, family, &store.samples[sample as usize], out);
                }
                report.series += self.point.len() as u64;
            }
        }
    }

    /// Fills `point` with the samples of a group in the order of writing. Returns whether they make a
    /// whole.
    fn put_in_order(
        &mut self,
        store: &Store,
        family: usize,
        group: u32,
        report: &mut Report,
    ) -> bool {
        let (kind, group) = (self.families[family].kind, &self.groups[group as usize]);
        let point = &mut self.point;
        point.clear();
        if !matches!(kind, Kind::Histogram | Kind::Summary) {
            point.push(group.first);
            return true;
        }
        let (mut sum, mut count) = (NONE, NONE);
        let mut at = group.first;
        while at != NONE {
            let sample = &store.samples[at as usize];
            let slot = match sample.role {
                Role::Sum => &mut sum,
                Role::Count => &mut count,
                _ => {
                    point.push(at);
                    at = sample.next;
                    continue;
                }
            };
            if *slot == NONE {
                *slot = at;
            } else {
                report.duplicates += 1;
            }
            at = sample.next;
        }
        if group.broken || sum == NONE || count == NONE {
            return false;
        }
        let bound = |at: u32| store.samples[at as usize].bound;
        // No bound is NaN. Of equal bounds the first to come stays the first.
        point.sort_unstable_by(|&a, &b| {
            bound(a).partial_cmp(&bound(b)).unwrap_or(Ordering::Equal).then(a.cmp(&b))
        });
        let before = point.len();
        point.dedup_by(|later, earlier| bound(*later) == bound(*earlier));
        report.duplicates += (before - point.len()) as u64;
        let whole = match (kind, count_of(store, count)) {
            (_, None) => false,
            (Kind::Summary, Some(_)) => true,
            (_, Some(count)) => adds_up(store, point, &count),
        };
        point.extend([sum, count]);
        whole
    }
}

/// Whether ordered buckets are cumulative and end in a `+Inf` that equals the count.
fn adds_up(store: &Store, buckets: &[u32], count: &Count) -> bool {
    let Some(&last) = buckets.last() else { return false };
    if store.samples[last as usize].bound != f64::INFINITY {
        return false;
    }
    let mut below: Option<Count> = None;
    for &bucket in buckets {
        let Some(bucket) = count_of(store, bucket) else { return false };
        if below.is_some_and(|below| bucket.order(&below) == Ordering::Less) {
            return false;
        }
        below = Some(bucket);
    }
    below.is_some_and(|last| last.order(count) == Ordering::Equal)
}

fn count_of(store: &Store, at: u32) -> Option<Count> {
    let sample = &store.samples[at as usize];
    Count::new(store.arena.get(sample.text), sample.value)
}

fn write_head(store: &Store, family: &Family, out: &mut BytesMut) {
    let name = store.arena.get(family.names[0]);
    if !family.help.is_empty() {
        out.extend_from_slice(b"# HELP ");
        out.extend_from_slice(name);
        out.put_u8(b' ');
        write_help(store.arena.get(family.help), out);
        out.put_u8(b'\n');
    }
    out.extend_from_slice(b"# TYPE ");
    out.extend_from_slice(name);
    out.put_u8(b' ');
    out.extend_from_slice(family.kind.as_str().as_bytes());
    out.put_u8(b'\n');
}

/// Writes a raw help text so that only the two escapes of text 0.0.4 remain: OpenMetrics' `\"` becomes
/// a quote, and any other backslash is kept as the character that it is.
fn write_help(mut raw: &[u8], out: &mut BytesMut) {
    while let Some(at) = raw.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&raw[..at]);
        let (written, read): (&[u8], usize) = match raw.get(at + 1) {
            Some(b'\\') => (br"\\", 2),
            Some(b'n') => (br"\n", 2),
            Some(b'"') => (b"\"", 2),
            _ => (br"\\", 1),
        };
        out.extend_from_slice(written);
        raw = &raw[at + read..];
    }
    out.extend_from_slice(raw);
}

fn write_sample(store: &Store, family: &Family, sample: &Sample, out: &mut BytesMut) {
    out.extend_from_slice(store.arena.get(family.sample_name(sample.role)));
    if sample.braces.is_empty() {
        let mut before = b'{';
        for label in store.labels(sample) {
            out.put_u8(before);
            out.extend_from_slice(store.arena.get(label.name));
            out.extend_from_slice(b"=\"");
            out.extend_from_slice(store.arena.get(label.value));
            out.put_u8(b'"');
            before = b',';
        }
        if before == b',' {
            out.put_u8(b'}');
        }
    } else {
        out.extend_from_slice(store.arena.get(sample.braces));
    }
    out.put_u8(b' ');
    let text = store.arena.get(sample.text);
    let counts = matches!(sample.role, Role::Bucket | Role::Count);
    match Count::new(text, sample.value).filter(|_| counts).and_then(|count| count.exact) {
        Some(exact) => write_u64(out, exact),
        None if text.is_empty() => write_f64(out, sample.value),
        None => out.extend_from_slice(text),
    }
    if !sample.timestamp.is_empty() {
        out.put_u8(b' ');
        out.extend_from_slice(store.arena.get(sample.timestamp));
    }
    out.put_u8(b'\n');
}
