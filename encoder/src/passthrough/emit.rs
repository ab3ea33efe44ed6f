//! Everything that was merged, written family by family in the format asked for.
//!
//! Each group is judged as it comes up (`point.rs`): a family with a point that cannot have the family's type is noted, and the merge
//! is done once more without that type. A family of which nothing remains is not mentioned.

use bytes::BytesMut;

use super::arena::unescaped;
use super::merged::{Merged, Scratch, Shape};
use super::point::stamp;
use super::protobuf;
use super::report::Report;
use super::store::Store;
use super::text::Style;
use super::weaker::{Cause, Limit, Weaker};
use crate::name_filter::NameFilter;
use crate::negotiate::{Format, Negotiated};
use dynamo_metrics_parser::Kind;

/// The output that the scraper asked for, and the names that the caller has itself.
pub(super) struct Wanted<'a> {
    pub(super) asked: Negotiated,
    pub(super) names: &'a NameFilter,
    pub(super) reserved: &'a dyn Fn(&str) -> bool,
}

impl Wanted<'_> {
    fn is_openmetrics(&self) -> bool {
        !matches!(self.asked.format, Format::Text | Format::Protobuf)
    }

    /// OpenMetrics 2.0, where a point is one line.
    fn is_composite(&self) -> bool {
        self.is_openmetrics() && self.asked.format != Format::OpenMetrics
    }

    /// The format of the parser that has the types of this output.
    pub(super) fn types(&self) -> dynamo_metrics_parser::Format {
        match self.is_openmetrics() {
            true => dynamo_metrics_parser::Format::OpenMetrics,
            false => dynamo_metrics_parser::Format::Text,
        }
    }
}

/// Everything outside the merged families that writing one of them takes.
struct Writing<'a> {
    store: &'a Store,
    wanted: &'a Wanted<'a>,
    reports: &'a mut [Report],
    weaker: &'a mut Weaker,
    out: &'a mut BytesMut,
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
        match wanted.is_openmetrics() {
            #[cfg(feature = "openmetrics2")]
            true if wanted.is_composite() => self.settle_starts(store, wanted.reserved, weaker),
            true => self.settle_shapes(store, wanted.reserved, reports, weaker),
            false => {}
        }
        let mut writing = Writing { store, wanted, reports, weaker, out };
        for at in 0..self.families.len() {
            let hidden = matches!(self.families[at].shape, Shape::Created | Shape::Withheld);
            if !hidden && self.shown(store, at, wanted.names) {
                self.write_family(at, &mut writing);
            }
        }
    }

    /// Returns whether a family is among those that were asked for, by its name or by the one that is shown.
    fn shown(&self, store: &Store, at: usize, names: &NameFilter) -> bool {
        let family = &self.families[at];
        let kind = family.kind.as_str();
        names.admits_all()
            || names.admits(&unescaped(store.arena.name(family.raw)), kind)
            || names.admits(&unescaped(store.arena.name(family.names[0])), kind)
    }

    /// Appends the points of a family, with its head before the first of them.
    fn write_family(&mut self, at: usize, writing: &mut Writing<'_>) {
        let mut headed = false;
        let mut next = self.families[at].first;
        while let Some(group) = self.groups.get(next as usize) {
            let this = std::mem::replace(&mut next, group.next);
            let source = group.source as usize;
            if !(self.is_whole(at, this, writing) && self.write_group(at, this, headed, writing)) {
                writing.reports[source].quarantined += 1;
                continue;
            }
            writing.reports[source].families += u64::from(!headed);
            writing.reports[source].series += self.point.len() as u64;
            headed = true;
            if let Shape::OpenMetrics { created } = self.families[at].shape
                && !writing.wanted.is_composite()
            {
                self.write_created(writing.store, this, created, writing.out, writing.reports);
            }
        }
        if headed && writing.wanted.asked.format == Format::Protobuf {
            protobuf::end(&self.scratch.message, writing.out);
        }
        if let Shape::OpenMetrics { created } = self.families[at].shape
            && self.count_unused(created, writing.reports) > 0
        {
            // Without its type the family leaves the `_created` series alone.
            self.limit(at, Cause::Passing, writing);
        }
    }

    /// Puts a group in order and returns whether the format has a place for it; if the family's type is in the way, the family
    /// gives it up.
    fn is_whole(&mut self, at: usize, group: u32, writing: &mut Writing<'_>) -> bool {
        let Writing { store, wanted, reports, .. } = writing;
        let report = &mut reports[self.groups[group as usize].source as usize];
        let one_zero = wanted.asked.format == Format::OpenMetrics;
        let mut cause = self.put_in_order(store, (at, group), one_zero, report);
        if cause.is_none() && one_zero {
            cause = self.judge_openmetrics(store, at);
        }
        if let Some(cause) = cause {
            self.limit(at, cause, writing);
            return false;
        }
        let key = self.groups[group as usize].key;
        !(writing.wanted.is_openmetrics() && has_reserved_label(writing.store, key))
    }

    fn limit(&self, at: usize, cause: Cause, writing: &mut Writing<'_>) {
        let family = &self.families[at];
        let raw = writing.store.arena.get(family.raw);
        if family.kind != Kind::Untyped {
            writing.weaker.limit(raw, Limit::below(family.kind), cause);
        }
    }

    /// Appends the point of a group, behind its family's head unless that is there. Returns whether the format has a form for it.
    fn write_group(
        &mut self,
        at: usize,
        group: u32,
        headed: bool,
        writing: &mut Writing<'_>,
    ) -> bool {
        let Writing { store, wanted, reports, out, .. } = writing;
        let stamp = stamp(store, &self.point);
        let family = &self.families[at];
        if wanted.asked.format != Format::Protobuf {
            let (openmetrics, composite) = (wanted.is_openmetrics(), wanted.is_composite());
            let style = Style { openmetrics, composite, stamp };
            if !headed {
                style.write_head(store, family, out);
            }
            self.write_point(store, (at, group), &style, out, reports);
            return true;
        }
        let Scratch { message, labels, .. } = &mut self.scratch;
        if !headed {
            protobuf::begin(store, family, message);
        }
        let report = &mut reports[self.groups[group as usize].source as usize];
        let buffers = (message, labels);
        let written = protobuf::write_metric(store, family, &self.point, stamp, buffers, report);
        if !written {
            self.limit(at, Cause::Passing, writing);
        }
        written
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
}

/// Returns whether a label's name begins as OpenMetrics reserves it: Python refuses the whole page then. Text takes it.
fn has_reserved_label(store: &Store, at: u32) -> bool {
    let mut labels = store.label_set(&store.samples[at as usize]);
    labels.any(|label| store.arena.get(label.name).starts_with(b"__"))
}
