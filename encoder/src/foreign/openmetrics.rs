//! What OpenMetrics asks of families beyond text 0.0.4: other names, fewer values, and `_created` in its place.
//!
//! A counter's family there lacks the `_total` of its sample, and counters, histograms and summaries own the name
//! `x_created`. So names that live side by side in text can clash. The series are worth more than their type: a
//! counter that cannot have its family's name is written as `unknown`, under the name that it has in text.

use bytes::BytesMut;

use super::Report;
use super::arena::NONE;
use super::merged::{Merged, Shape};
use super::source::Role;
use super::store::Store;
use super::text::Style;
use crate::strict::Kind;
use crate::strict::grammar::CREATED_END;

/// Who has the name of `_created` series.
enum Created {
    /// A family of them, or [`NONE`].
    Of(u32),
    Taken,
}

impl Merged {
    /// Settles how each family is written.
    pub(super) fn settle_shapes(
        &mut self,
        store: &Store,
        reserved: &dyn Fn(&str) -> bool,
        reports: &mut [Report],
    ) {
        for at in 0..self.families.len() {
            if self.families[at].shape != Shape::Plain {
                continue;
            }
            let kind = self.families[at].kind;
            let name = store.arena.name(self.families[at].names[0]);
            let is_reserved = |scratch: &mut String, stem: &str, suffix: &str| {
                scratch.clear();
                scratch.push_str(stem);
                scratch.push_str(suffix);
                reserved(scratch)
            };
            let scratch = &mut self.scratch.name;
            // Ours: a counter or an info of this name, or the owner of this `_created`.
            let created_of = name.strip_suffix("_created").unwrap_or_default();
            let withheld = ["_total", "_info"].iter().any(|end| is_reserved(scratch, name, end))
                || !created_of.is_empty()
                    && ["_total", "_count"].iter().any(|end| is_reserved(scratch, created_of, end));
            let shape = match kind {
                _ if withheld => Shape::Withheld,
                Kind::Gauge
                | Kind::Untyped
                | Kind::Unknown
                | Kind::Info
                | Kind::StateSet
                | Kind::GaugeHistogram => Shape::Plain,
                Kind::Counter => {
                    let stem = name.strip_suffix("_total").unwrap_or_default();
                    let free = !stem.is_empty()
                        && !reserved(stem)
                        && !is_reserved(scratch, stem, "_info")
                        && self.claim(store, stem.as_bytes()).is_none();
                    match self.created(store, stem, reserved) {
                        Created::Of(created) if free => Shape::OpenMetrics { created },
                        _ => Shape::Unknown,
                    }
                }
                Kind::Histogram | Kind::Summary => match self.created(store, name, reserved) {
                    Created::Of(created) => Shape::OpenMetrics { created },
                    Created::Taken => Shape::Withheld,
                },
            };
            self.families[at].shape = shape;
            if let Shape::OpenMetrics { created } = shape
                && let Some(created) = self.families.get_mut(created as usize)
            {
                created.shape = Shape::Created;
            }
            if shape == Shape::Withheld {
                let first = self.groups.get(self.families[at].first as usize);
                if let Some(first) = first {
                    reports[first.source as usize].clashes += 1;
                }
            }
        }
    }

    /// The family of the `_created` series of `stem`.
    fn created(&mut self, store: &Store, stem: &str, reserved: &dyn Fn(&str) -> bool) -> Created {
        let mut name = std::mem::take(&mut self.scratch.name);
        name.clear();
        name.push_str(stem);
        name.push_str("_created");
        let created = match self.claim(store, name.as_bytes()) {
            _ if reserved(&name) => Created::Taken,
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

    /// Takes out of the point what OpenMetrics has no place for, and returns how many samples that were: negative
    /// quantiles, a sum that is negative or NaN, a histogram's sum and count where a bound is negative.
    pub(super) fn fit(&mut self, store: &Store, family: usize) -> u64 {
        let kind = self.families[family].kind;
        if !matches!(kind, Kind::Histogram | Kind::Summary) {
            return 0;
        }
        let before = self.point.len();
        let sample = |at: &u32| &store.samples[*at as usize];
        let mut sums = true;
        for at in &self.point {
            let sample = sample(at);
            match sample.role {
                Role::Sum => sums &= sample.value >= 0.0,
                Role::Bucket => sums &= sample.bound >= 0.0,
                _ => {}
            }
        }
        self.point.retain(|at| {
            let sample = sample(at);
            match (sample.role, kind) {
                (Role::Sum, _) | (Role::Count, Kind::Histogram) => sums,
                // NaN stays: a summary without observations.
                (Role::Quantile, _) => sample.value >= 0.0 || sample.value.is_nan(),
                _ => true,
            }
        });
        (before - self.point.len()) as u64
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
        let stamp = super::emit::stamp(store, &self.point);
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
            Created::Taken => NONE,
        }
    }

    /// Counts the `_created` series that found no place.
    pub(super) fn count_unused(&self, created: u32, reports: &mut [Report]) {
        let Some(family) = self.families.get(created as usize) else { return };
        let mut next = family.first;
        while let Some(group) = self.groups.get(next as usize) {
            reports[group.source as usize].clashes += u64::from(!group.used);
            next = group.next;
        }
    }
}
