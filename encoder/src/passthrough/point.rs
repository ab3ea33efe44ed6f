//! The samples of one group, put in order and judged: only together do they show whether they are a point of their family's type.
//!
//! Buckets are put in order, a bound or state that comes twice is dropped, and a point that lacks a part, does not add up, or has a
//! value that OpenMetrics excludes says why its family cannot have its type.

use std::cmp::Ordering;

use dynamo_metrics_parser::Kind;
use dynamo_metrics_parser::grammar::Count;

use super::arena::{NONE, Span};
use super::merged::{Merged, has_points};
use super::report::Report;
use super::role::Role;
use super::store::Store;
use super::weaker::Cause;

impl Merged {
    /// Fills `point` with the samples of a group in the order of writing. Returns why they are no point of their family's type
    /// in text, if so. With `bare`, as in OpenMetrics 1.0, a histogram may lack both sum and count, and a summary each.
    pub(super) fn put_in_order(
        &mut self,
        store: &Store,
        (family, group): (usize, u32),
        bare: bool,
        report: &mut Report,
    ) -> Option<Cause> {
        let (kind, group) = (self.families[family].kind, &self.groups[group as usize]);
        let point = &mut self.point;
        point.clear();
        if !has_points(kind) {
            point.push(group.first);
            return None;
        }
        if kind == Kind::StateSet {
            // Its value may be neither 0 nor 1.
            let cause = group.broken.then_some(Cause::Passing);
            collect_states(store, group.first, point, report);
            return cause;
        }
        let [sum, count] = collect(store, group.first, point, report);
        sort_by_bound(store, point, report);
        let cause = match (sum, count) {
            _ if group.broken => Some(Cause::Structure),
            (_, NONE) if bare && kind == Kind::Summary => None,
            (NONE, NONE) if bare => judge_buckets(store, point, None),
            (NONE, _) if bare && kind == Kind::Summary => judge_count(store, count),
            (NONE, _) | (_, NONE) => Some(Cause::Structure),
            _ if kind == Kind::Summary => judge_count(store, count),
            _ => match count_of(store, count) {
                None => Some(Cause::Passing),
                Some(count) => judge_buckets(store, point, Some(&count)),
            },
        };
        point.extend([sum, count].into_iter().filter(|&at| at != NONE));
        cause
    }

    /// Returns why a point cannot have its type in OpenMetrics 1.0, if so: a histogram's sum and count where a bound is negative,
    /// negative quantiles, a sum that is negative or NaN.
    pub(super) fn judge_openmetrics(&self, store: &Store, family: usize) -> Option<Cause> {
        let kind = self.families[family].kind;
        let samples = || self.point.iter().map(|&at| &store.samples[at as usize]);
        let with = |role: Role| samples().filter(move |sample| sample.role == role);
        let negative_bounds = with(Role::Bucket).any(|sample| sample.bound < 0.0);
        let odd_sum =
            |least: f64| with(Role::Sum).any(|sum| sum.value.is_nan() || sum.value < least);
        match kind {
            Kind::Histogram if negative_bounds && with(Role::Sum).next().is_some() => {
                Some(Cause::Structure)
            }
            Kind::GaugeHistogram if negative_bounds => {
                odd_sum(f64::NEG_INFINITY).then_some(Cause::Passing)
            }
            Kind::Histogram | Kind::GaugeHistogram => odd_sum(0.0).then_some(Cause::Passing),
            // A quantile that is NaN stays: a summary without observations.
            Kind::Summary if odd_sum(0.0) || with(Role::Quantile).any(|one| one.value < 0.0) => {
                Some(Cause::Passing)
            }
            _ => None,
        }
    }
}

/// Appends the samples from `first` on, but for the sum and the count, which it returns.
fn collect(store: &Store, first: u32, point: &mut Vec<u32>, report: &mut Report) -> [u32; 2] {
    let (mut sum, mut count, mut at) = (NONE, NONE, first);
    while at != NONE {
        let sample = &store.samples[at as usize];
        let this = std::mem::replace(&mut at, sample.next);
        let slot = match sample.role {
            Role::Sum => &mut sum,
            Role::Count => &mut count,
            _ => {
                point.push(this);
                continue;
            }
        };
        if *slot == NONE {
            *slot = this;
        } else {
            report.duplicates += 1;
            if store.is_newer(this, *slot) {
                *slot = this;
            }
        }
    }
    [sum, count]
}

/// Appends the samples of a state set from `first` on, each state once, in their order.
fn collect_states(store: &Store, first: u32, point: &mut Vec<u32>, report: &mut Report) {
    let mut at = first;
    while at != NONE {
        point.push(at);
        at = store.samples[at as usize].next;
    }
    point.sort_unstable_by(|&a, &b| {
        store.own_value(a).cmp(store.own_value(b)).then_with(|| by_age(store, a, b))
    });
    let before = point.len();
    point.dedup_by(|later, earlier| store.own_value(*later) == store.own_value(*earlier));
    report.duplicates += (before - point.len()) as u64;
    point.sort_unstable();
}

/// Sorts buckets or quantiles, and drops all but one of equal bounds. No bound is NaN.
fn sort_by_bound(store: &Store, point: &mut Vec<u32>, report: &mut Report) {
    let bound = |at: u32| store.samples[at as usize].bound;
    point.sort_unstable_by(|&a, &b| {
        let by_bound = bound(a).partial_cmp(&bound(b)).unwrap_or(Ordering::Equal);
        by_bound.then_with(|| by_age(store, a, b))
    });
    let before = point.len();
    point.dedup_by(|later, earlier| bound(*later) == bound(*earlier));
    report.duplicates += (before - point.len()) as u64;
}

/// The newest sample first, and else the first to come.
fn by_age(store: &Store, a: u32, b: u32) -> Ordering {
    match (store.is_newer(a, b), store.is_newer(b, a)) {
        (true, _) => Ordering::Less,
        (_, true) => Ordering::Greater,
        _ => a.cmp(&b),
    }
}

/// Returns why ordered buckets are not cumulative, or do not end in a `+Inf` that equals the count, if so.
fn judge_buckets(store: &Store, buckets: &[u32], count: Option<&Count>) -> Option<Cause> {
    let last = buckets.last().map(|&last| store.samples[last as usize].bound);
    if last != Some(f64::INFINITY) {
        return Some(Cause::Structure);
    }
    let mut below: Option<Count> = None;
    for &bucket in buckets {
        let bucket = count_of(store, bucket);
        let falls = match (&bucket, &below) {
            (None, _) => true,
            (Some(bucket), Some(below)) => bucket.order(below) == Ordering::Less,
            (Some(_), None) => false,
        };
        if falls {
            return Some(Cause::Passing);
        }
        below = bucket;
    }
    let equal = |count: &Count| below.is_some_and(|last| last.order(count) == Ordering::Equal);
    (!count.is_none_or(equal)).then_some(Cause::Passing)
}

/// Returns why a sample is no count, if so.
fn judge_count(store: &Store, at: u32) -> Option<Cause> {
    count_of(store, at).is_none().then_some(Cause::Passing)
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
