//! The rules of OpenMetrics for families beyond text 0.0.4: other names, fewer values, and the place of `_created`.
//!
//! A counter's family there lacks the `_total` of its sample, and counters, histograms and summaries own the name
//! `x_created`; an info's family lacks the `_info` of its sample, which is always 1. So names that live side by side in text
//! can clash. The series are worth more than their type: a counter that cannot have its family's name is written as
//! `unknown`, under the name that it has in text, and other families give their type up.

use bytes::BytesMut;

use super::arena::NONE;
use super::merged::{Family, Merged, Shape, suffixes};
use super::point::stamp;
use super::report::Report;
use super::store::Store;
use super::text::Style;
use super::weaker::{Cause, Limit, Weaker};
use dynamo_metrics_parser::Kind;
use dynamo_metrics_parser::grammar::CREATED_END;

/// The owner of the name of `_created` series.
enum Created {
    /// A family of them, or [`NONE`].
    Of(u32),
    /// A family that is something else.
    Taken,
    /// The caller.
    Reserved,
}

impl Merged {
    /// Settles how each family is written.
    pub(super) fn settle_shapes(
        &mut self,
        store: &Store,
        reserved: &dyn Fn(&str) -> bool,
        reports: &mut [Report],
        weaker: &mut Weaker,
    ) {
        for at in 0..self.families.len() {
            let Family { kind, shape, raw, .. } = self.families[at];
            if shape != Shape::Plain {
                continue;
            }
            let raw = store.arena.get(raw);
            let shape = match kind {
                _ if self.is_ours(store, at, reserved) => {
                    weaker.note_reserved();
                    if !suffixes(kind).is_empty() {
                        weaker.limit(raw, Limit::below(kind), Cause::Passing);
                    }
                    Shape::Withheld
                }
                Kind::Counter => self.counter_shape(store, at, reserved),
                Kind::Histogram | Kind::Summary => {
                    match self.created(
                        store,
                        store.arena.name(self.families[at].names[0]),
                        reserved,
                    ) {
                        Created::Of(created) => Shape::OpenMetrics { created },
                        taken => {
                            let cause = match taken {
                                Created::Reserved => Cause::Passing,
                                _ => Cause::Structure,
                            };
                            weaker.limit(raw, Limit::Untyped, cause);
                            Shape::Withheld
                        }
                    }
                }
                Kind::Info => {
                    if let Err(cause) = self.judge_info(store, at, reserved) {
                        weaker.limit(raw, Limit::Gauge, cause);
                    }
                    Shape::Plain
                }
                Kind::Gauge
                | Kind::Untyped
                | Kind::Unknown
                | Kind::StateSet
                | Kind::GaugeHistogram => Shape::Plain,
            };
            self.families[at].shape = shape;
            if let Shape::OpenMetrics { created } = shape
                && let Some(created) = self.families.get_mut(created as usize)
            {
                created.shape = Shape::Created;
            }
            if shape == Shape::Withheld
                && let Some(first) = self.groups.get(self.families[at].first as usize)
            {
                reports[first.source as usize].clashes += 1;
            }
        }
    }

    /// Returns whether the caller has a counter or an info of this family's name, or the owner of this `_created`.
    fn is_ours(&mut self, store: &Store, at: usize, reserved: &dyn Fn(&str) -> bool) -> bool {
        let name = store.arena.name(self.families[at].names[0]);
        let created_of = name.strip_suffix("_created").unwrap_or_default();
        ["_total", "_info"].iter().any(|end| self.is_reserved(name, end, reserved))
            || !created_of.is_empty()
                && ["_total", "_count"]
                    .iter()
                    .any(|end| self.is_reserved(created_of, end, reserved))
    }

    fn is_reserved(&mut self, stem: &str, suffix: &str, reserved: &dyn Fn(&str) -> bool) -> bool {
        let scratch = &mut self.scratch.name;
        scratch.clear();
        scratch.push_str(stem);
        scratch.push_str(suffix);
        reserved(scratch)
    }

    fn counter_shape(
        &mut self,
        store: &Store,
        at: usize,
        reserved: &dyn Fn(&str) -> bool,
    ) -> Shape {
        let name = store.arena.name(self.families[at].names[0]);
        let stem = name.strip_suffix("_total").unwrap_or_default();
        let free = !stem.is_empty()
            && !reserved(stem)
            && !self.is_reserved(stem, "_info", reserved)
            && self.claim(store, stem.as_bytes()).is_none();
        match self.created(store, stem, reserved) {
            Created::Of(created) if free => Shape::OpenMetrics { created },
            _ => Shape::Unknown,
        }
    }

    /// Returns why an info cannot be one, if so: its family's name is taken, also by a counter, a value is not 1, or some
    /// samples have timestamps and others have not, since all are one point.
    fn judge_info(
        &mut self,
        store: &Store,
        at: usize,
        reserved: &dyn Fn(&str) -> bool,
    ) -> Result<(), Cause> {
        let name = store.arena.name(self.families[at].names[0]);
        let stem = name.strip_suffix("_info").unwrap_or_default();
        if stem.is_empty() {
            return Err(Cause::Structure);
        }
        if reserved(stem) || self.is_reserved(stem, "_total", reserved) {
            return Err(Cause::Passing);
        }
        let counter = &self.scratch.name;
        if [stem, counter].iter().any(|name| self.claim(store, name.as_bytes()).is_some()) {
            return Err(Cause::Structure);
        }
        let mut next = self.families[at].first;
        let mut timed = None;
        while let Some(group) = self.groups.get(next as usize) {
            let sample = &store.samples[group.first as usize];
            let this = !sample.timestamp.is_empty();
            if sample.value != 1.0 || *timed.get_or_insert(this) != this {
                return Err(Cause::Passing);
            }
            next = group.next;
        }
        Ok(())
    }

    /// The family of the `_created` series of `stem`.
    fn created(&mut self, store: &Store, stem: &str, reserved: &dyn Fn(&str) -> bool) -> Created {
        let mut name = std::mem::take(&mut self.scratch.name);
        name.clear();
        name.push_str(stem);
        name.push_str("_created");
        let created = match self.claim(store, name.as_bytes()) {
            _ if reserved(&name) => Created::Reserved,
            None => Created::Of(NONE),
            Some(claim) => {
                let family = &self.families[claim.family as usize];
                let free = matches!(family.kind, Kind::Gauge | Kind::Untyped)
                    && family.shape == Shape::Plain;
                if free { Created::Of(claim.family) } else { Created::Taken }
            }
        };
        self.scratch.name = name;
        created
    }

    /// Appends when a group of a counter, histogram or summary began, if `created` has a series of its labels.
    pub(super) fn write_created(
        &mut self,
        store: &Store,
        group: u32,
        created: u32,
        out: &mut BytesMut,
        reports: &mut [Report],
    ) {
        let Some(at) = self.created_of(store, group, created, reports, CREATED_END) else {
            return;
        };
        let stamp = stamp(store, &self.point);
        let style = Style { openmetrics: true, composite: false, stamp };
        let family = &self.families[created as usize];
        style.write_sample(store, family, &store.samples[at as usize], out);
        out.extend_from_slice(b"\n");
    }

    /// The sample of `created` that says when a group began, below `end`; it is counted as written.
    pub(super) fn created_of(
        &mut self,
        store: &Store,
        group: u32,
        created: u32,
        reports: &mut [Report],
        end: f64,
    ) -> Option<u32> {
        self.families.get(created as usize)?;
        let at = self.group(store, self.groups[group as usize].key, created).ok()?;
        let found = &mut self.groups[at as usize];
        let value = store.samples[found.first as usize].value;
        if !(value >= 0.0 && value < end) {
            return None;
        }
        found.used = true;
        reports[found.source as usize].series += 1;
        Some(found.first)
    }

    /// The family of the `_created` series of `stem`, or [`NONE`] where there is none or it is another's.
    #[cfg(feature = "openmetrics2")]
    pub(super) fn created_family(
        &mut self,
        store: &Store,
        stem: &str,
        reserved: &dyn Fn(&str) -> bool,
    ) -> u32 {
        match self.created(store, stem, reserved) {
            Created::Of(family) => family,
            Created::Taken | Created::Reserved => NONE,
        }
    }

    /// Counts the `_created` series that found no place, and returns how many.
    pub(super) fn count_unused(&self, created: u32, reports: &mut [Report]) -> u64 {
        let Some(family) = self.families.get(created as usize) else { return 0 };
        let (mut next, mut unused) = (family.first, 0);
        while let Some(group) = self.groups.get(next as usize) {
            reports[group.source as usize].clashes += u64::from(!group.used);
            unused += u64::from(!group.used);
            next = group.next;
        }
        unused
    }
}
