//! Histograms and summaries as wholes: what a single line cannot tell.
//!
//! The samples of such a family fall into *points*, one per label set without `le` or `quantile`.
//! A point's lines must stand together; each point is judged when its last line is behind us.
//! One pass over the samples, one hash set of the points seen.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::exposition::{Family, Sample};
use super::grammar::{Count, literal};
use super::{Kind, Problem, Rule, series_key};

/// Appends what is wrong with a histogram or summary family; other families are never wrong here.
pub(super) fn check(family: &Family, problems: &mut Vec<Problem>) {
    let (own_label, rule) = match family.kind {
        Kind::Histogram => ("le", Rule::Histogram),
        Kind::Summary => ("quantile", Rule::Summary),
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
                problems.push(Problem {
                    line: sample.line,
                    rule: Rule::Grouping,
                    message: format!("{}: its label set was left and comes back", sample.name),
                });
            }
            point = Some(Point { key, rule, ..Point::default() });
        }
        if let Some(point) = &mut point {
            point.add(family, sample, own_label, problems);
        }
    }
    if let Some(point) = point {
        point.finish(family, problems);
    }
}

struct Point {
    key: Vec<u8>,
    rule: Rule,
    line: usize,
    /// The bound and count of the last bucket.
    bucket: Option<(f64, Count)>,
    /// The quantiles seen, as bits: `0.5` and `0.50` are one.
    quantiles: HashSet<u64>,
    sum: bool,
    count: Option<Count>,
}

impl Default for Point {
    fn default() -> Self {
        Point {
            key: Vec::new(),
            rule: Rule::Histogram,
            line: 0,
            bucket: None,
            quantiles: HashSet::new(),
            sum: false,
            count: None,
        }
    }
}

impl Point {
    fn add(&mut self, family: &Family, sample: &Sample, own: &str, problems: &mut Vec<Problem>) {
        self.line = sample.line;
        let mut problem = |message: String| {
            let message = format!("{}: {message}", sample.name);
            problems.push(Problem { line: sample.line, rule: self.rule, message });
        };
        let suffix = &sample.name[family.name.len()..];
        let bound = sample.label(own);
        if suffix == "_sum" || suffix == "_count" {
            if bound.is_some() {
                problem(format!("must not have the label {own}"));
            }
            if suffix == "_sum" {
                self.sum = true;
                return;
            }
            match Count::new(sample.text.as_bytes(), sample.value) {
                Some(count) => self.count = Some(count),
                None => problem(format!("{} is not a count", sample.text)),
            }
            return;
        }
        let Some(bound) = bound else {
            problem(format!("lacks the label {own}"));
            return;
        };
        let Some(bound) = literal(bound.as_bytes()).filter(|bound| !bound.is_nan()) else {
            problem(format!("{own}={bound:?} is not a number that every consumer reads"));
            return;
        };
        if family.kind == Kind::Summary {
            if !(0.0..=1.0).contains(&bound) {
                problem(format!("quantile {bound} is not within 0 and 1"));
            }
            // + 0.0 turns -0 into 0.
            if !self.quantiles.insert((bound + 0.0).to_bits()) {
                problem(format!("quantile {bound} is there twice"));
            }
            return;
        }
        let Some(count) = Count::new(sample.text.as_bytes(), sample.value) else {
            problem(format!("{} is not a count", sample.text));
            return;
        };
        if let Some((last_bound, last_count)) = &self.bucket {
            if bound <= *last_bound {
                problem(format!("le {bound} comes after {last_bound}"));
            }
            if count.order(last_count) == Ordering::Less {
                problem("bucket is less than the one below it".to_owned());
            }
        }
        self.bucket = Some((bound, count));
    }

    fn finish(&self, family: &Family, problems: &mut Vec<Problem>) {
        let mut problem = |message: &str| {
            let message = format!("{}: {message}", family.name);
            problems.push(Problem { line: self.line, rule: self.rule, message });
        };
        if !self.sum {
            problem("a label set lacks _sum");
        }
        if self.count.is_none() {
            problem("a label set lacks _count");
        }
        if family.kind == Kind::Summary {
            return;
        }
        match (&self.bucket, &self.count) {
            (Some((bound, bucket)), Some(count)) if *bound == f64::INFINITY => {
                if bucket.order(count) != Ordering::Equal {
                    problem("the +Inf bucket and _count differ");
                }
            }
            (Some((f64::INFINITY, _)), None) => {}
            _ => problem("a label set lacks the +Inf bucket"),
        }
    }
}
