//! Histograms and summaries as wholes: the faults that no single line shows.
//!
//! The samples of such a family fall into *points*, one per label set without `le` or `quantile`.
//! A point's lines must stand together; each point is judged after its last line.
//! One pass over the samples, one hash set of the points seen.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::exposition::{Family, Sample, series_key};
use crate::fault::Fault;
use crate::grammar::{Count, literal};
use crate::kind::Kind;
use crate::problem::Problem;

/// Appends the problems of a histogram or summary; other families have none here.
pub(super) fn check(family: &Family, problems: &mut Vec<Problem>) {
    let own_label = match family.kind {
        Kind::Histogram => "le",
        Kind::Summary => "quantile",
        _ => return,
    };
    let mut seen = HashSet::new();
    let mut point: Option<Point> = None;
    for sample in &family.samples {
        let key = series_key("", sample.labels.iter().filter(|(name, _)| name != own_label));
        if point.as_ref().is_none_or(|point| point.key != key) {
            if let Some(point) = point.take() {
                point.finish(family, problems);
                seen.insert(point.key);
            }
            if seen.contains(&key) {
                let name = sample.name.clone();
                problems.push(Problem::at(sample.line, Fault::LabelSetReturns { name }));
            }
            point = Some(Point { key, ..Point::default() });
        }
        if let Some(point) = &mut point {
            point.add(family, sample, own_label, problems);
        }
    }
    if let Some(point) = point {
        point.finish(family, problems);
    }
}

#[derive(Default)]
struct Point {
    key: Vec<u8>,
    line: usize,
    /// The bound of the last bucket, and the bound and count of the last one that had a count.
    bound: Option<f64>,
    bucket: Option<(f64, Count)>,
    /// The quantiles seen, as bits: `0.5` and `0.50` are one.
    quantiles: HashSet<u64>,
    sum: bool,
    /// True if there is a `_count`, and its value if it is a count.
    has_count: bool,
    count: Option<Count>,
}

impl Point {
    fn add(
        &mut self,
        family: &Family,
        sample: &Sample,
        own: &'static str,
        problems: &mut Vec<Problem>,
    ) {
        self.line = sample.line;
        let kind = family.kind;
        let mut problem = |fault: Fault| problems.push(Problem::at(sample.line, fault));
        let name = || sample.name.clone();
        let suffix = &sample.name[family.name.len()..];
        let bound = sample.label(own);
        if suffix == "_sum" || suffix == "_count" {
            if bound.is_some() {
                problem(Fault::HasLabel { name: name(), own });
            }
            if suffix == "_sum" {
                self.sum = true;
                return;
            }
            self.has_count = true;
            match Count::new(sample.text.as_bytes(), sample.value) {
                Some(count) => self.count = Some(count),
                None => problem(Fault::NotACount { kind, name: name(), text: sample.text.clone() }),
            }
            return;
        }
        let Some(bound) = bound else {
            problem(Fault::LacksLabel { name: name(), own });
            return;
        };
        let text = bound.to_owned();
        let Some(bound) = literal(bound.as_bytes()).filter(|bound| !bound.is_nan()) else {
            problem(Fault::BoundNumber { own, text });
            return;
        };
        if family.kind == Kind::Summary {
            if !(0.0..=1.0).contains(&bound) {
                problem(Fault::BoundRange { own, text: text.clone() });
            }
            // + 0.0 turns -0 into 0.
            if !self.quantiles.insert((bound + 0.0).to_bits()) {
                problem(Fault::QuantileTwice { name: name(), text });
            }
            return;
        }
        self.bound = Some(bound);
        let Some(count) = Count::new(sample.text.as_bytes(), sample.value) else {
            problem(Fault::NotACount { kind, name: name(), text: sample.text.clone() });
            return;
        };
        if let Some((last_bound, last_count)) = &self.bucket {
            if bound <= *last_bound {
                problem(Fault::BucketOrder {
                    name: name(),
                    bound: text,
                    below: last_bound.to_string(),
                });
            }
            if count.order(last_count) == Ordering::Less {
                problem(Fault::BucketFalls { name: name() });
            }
        }
        self.bucket = Some((bound, count));
    }

    fn finish(&self, family: &Family, problems: &mut Vec<Problem>) {
        let mut problem = |fault: Fault| problems.push(Problem::at(self.line, fault));
        let (kind, name) = (family.kind, || family.name.clone());
        if !self.sum {
            problem(Fault::NoSum { kind, name: name() });
        }
        if !self.has_count {
            problem(Fault::NoCount { kind, name: name() });
        }
        if family.kind == Kind::Summary {
            return;
        }
        if self.bound != Some(f64::INFINITY) {
            problem(Fault::NoInf { name: name() });
        } else if let (Some((f64::INFINITY, bucket)), Some(count)) = (&self.bucket, &self.count)
            && bucket.order(count) != Ordering::Equal
        {
            problem(Fault::CountDiffers { name: name() });
        }
    }
}
