//! What was merged, point by point: put in order, judged, and handed to the writer of the format asked for.
//!
//! The last judgement over histograms and summaries falls here, when all their
//! samples are together: buckets are put in order, a bound that comes twice is dropped, and a family with a point
//! that does not add up gives its type up. A family of which nothing remains is not mentioned.

use std::cmp::Ordering;

use bytes::BytesMut;

use super::Report;
use super::arena::{NONE, Span};
use super::merged::{Merged, Scratch, Shape};
use super::protobuf;
use super::source::Role;
use super::store::Store;
use super::text::Style;
use super::weaker::Weaker;
use crate::name_filter::NameFilter;
use crate::negotiate::{Format, Negotiated};
use crate::strict::Kind;
use crate::strict::grammar::Count;

/// What the scraper asked for, and what the caller has itself.
pub(super) struct Wanted<'a> {
    pub(super) asked: Negotiated,
    pub(super) names: &'a NameFilter,
    pub(super) reserved: &'a dyn Fn(&str) -> bool,
}

impl Merged {
    /// Appends all families to `out` and counts them.
    pub(super) fn write(
        &mut self,
        store: &Store,
        wanted: &Wanted<'_>,
        out: &mut BytesMut,
        reports: &mut [Report],
        weaker: &mut Weaker,
    ) {
        let format = wanted.asked.format;
        let openmetrics = !matches!(format, Format::Text | Format::Protobuf);
        let composite = openmetrics && format != Format::OpenMetrics;
        if openmetrics && !composite {
            self.settle_shapes(store, wanted.reserved, reports);
        }
        #[cfg(feature = "openmetrics2")]
        if composite {
            self.settle_starts(store, wanted.reserved);
        }
        for at in 0..self.families.len() {
            let shape = self.families[at].shape;
            if matches!(shape, Shape::Created | Shape::Withheld)
                || !self.shown(store, at, wanted.names)
            {
                continue;
            }
            let mut headed = false;
            let mut next = self.families[at].first;
            while let Some(group) = self.groups.get(next as usize) {
                let this = std::mem::replace(&mut next, group.next);
                let report = &mut reports[group.source as usize];
                let mut whole = self.put_in_order(store, at, this, report);
                if !whole {
                    weaker.add(store.arena.get(self.families[at].raw));
                }
                if openmetrics {
                    whole &= !has_reserved_label(store, self.groups[this as usize].key);
                }
                if whole && openmetrics && !composite {
                    let misfits = self.fit(store, at);
                    report.quarantined += misfits;
                    if misfits > 0 {
                        weaker.add(store.arena.get(self.families[at].raw));
                    }
                }
                let family = &self.families[at];
                if whole && format == Format::Protobuf {
                    let Scratch { message, labels, .. } = &mut self.scratch;
                    if !headed {
                        protobuf::begin(store, family, message);
                    }
                    whole = protobuf::write_metric(
                        store,
                        family,
                        &self.point,
                        stamp(store, &self.point),
                        (message, labels),
                        report,
                    );
                    if !whole && family.kind != Kind::Untyped {
                        weaker.add(store.arena.get(family.raw));
                    }
                } else if whole {
                    let style = Style { openmetrics, composite, stamp: stamp(store, &self.point) };
                    if !headed {
                        style.write_head(store, family, out);
                    }
                    self.write_point(store, (at, this), &style, out, reports);
                }
                let report = &mut reports[self.groups[this as usize].source as usize];
                if !whole {
                    report.quarantined += 1;
                    continue;
                }
                report.families += u64::from(!headed);
                report.series += self.point.len() as u64;
                headed = true;
                if let Shape::OpenMetrics { created } = shape
                    && !composite
                {
                    self.write_created(store, this, created, out, reports);
                }
            }
            if headed && format == Format::Protobuf {
                protobuf::end(&self.scratch.message, out);
            }
            if let Shape::OpenMetrics { created } = shape {
                self.count_unused(created, reports);
            }
        }
    }

    /// Appends the point of a group of a family as text.
    fn write_point(
        &mut self,
        store: &Store,
        (family, group): (usize, u32),
        style: &Style,
        out: &mut BytesMut,
        reports: &mut [Report],
    ) {
        #[cfg(feature = "openmetrics2")]
        if style.composite {
            return self.write_line(store, (family, group), style, out, reports);
        }
        let family = &self.families[family];
        let report = &mut reports[self.groups[group as usize].source as usize];
        let mut below = f64::NEG_INFINITY;
        for &sample in &self.point {
            let sample = &store.samples[sample as usize];
            style.write_sample(store, family, sample, out);
            if style.openmetrics && !sample.exemplar.is_empty() {
                let labels = &mut self.scratch.labels;
                style.write_exemplar(store, family, (sample, below), labels, out, report);
            }
            out.extend_from_slice(b"\n");
            below = sample.bound;
        }
    }

    /// Whether a family is among those that were asked for, by its name or by the one that is shown.
    fn shown(&self, store: &Store, at: usize, names: &NameFilter) -> bool {
        let family = &self.families[at];
        let kind = family.kind.as_str();
        names.admits_all()
            || names.admits(store.arena.name(family.raw), kind)
            || names.admits(store.arena.name(family.names[0]), kind)
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
                if store.is_newer(at, *slot) {
                    *slot = at;
                }
            }
            at = sample.next;
        }
        if group.broken || sum == NONE || count == NONE {
            return false;
        }
        let bound = |at: u32| store.samples[at as usize].bound;
        // No bound is NaN. Of equal bounds the newest comes first, and else the first to come.
        point.sort_unstable_by(|&a, &b| {
            let by_bound = bound(a).partial_cmp(&bound(b)).unwrap_or(Ordering::Equal);
            by_bound.then_with(|| match (store.is_newer(a, b), store.is_newer(b, a)) {
                (true, _) => Ordering::Less,
                (_, true) => Ordering::Greater,
                _ => a.cmp(&b),
            })
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

/// Whether a label's name begins as OpenMetrics reserves it: Python refuses the whole page then. Text takes it.
fn has_reserved_label(store: &Store, at: u32) -> bool {
    let mut labels = store.label_set(&store.samples[at as usize]);
    labels.any(|label| store.arena.get(label.name).starts_with(b"__"))
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

/// The timestamp of a point: that of all its samples, if they agree.
pub(super) fn stamp(store: &Store, point: &[u32]) -> Span {
    let span = |at: u32| store.samples[at as usize].timestamp;
    let Some((&first, others)) = point.split_first() else { return Span::default() };
    let agree = |&at: &u32| store.arena.get(span(at)) == store.arena.get(span(first));
    if others.iter().all(agree) { span(first) } else { Span::default() }
}
