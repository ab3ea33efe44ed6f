//! OpenMetrics 1.0, as strict as Python's parser and the format's own rules.
//!
//! This file knows *points*: the samples of one label set within a family, without `le`, `quantile` or the
//! label of a state. A point's lines stand together, their timestamps do not fall, and their values fit
//! together. One pass over the samples of a family and one set of the points seen.
//!
//! Stricter than Python's parser where another consumer is: numbers (Prometheus refuses hexadecimal, VictoriaMetrics
//! a plus sign), blanks (the lexer of Prometheus knows single ones only), `le` and `quantile` in canonical
//! form (Prometheus 2 stores the text), a series once (Prometheus keeps the first), `_created` last (Prometheus
//! looks for it behind the samples).

use std::collections::HashSet;

use super::parse_as;
use crate::exposition::{Exposition, Family, Sample};
use crate::fault::Fault;
use crate::format::Format;
use crate::grammar::{CREATED_END, Count, is_canonical, literal};
use crate::kind::Kind;
use crate::problem::Problem;

/// Reads an OpenMetrics body, names in quotes included; [`parse_as`] with [`Format::OpenMetrics`] refuses those.
///
/// # Errors
///
/// Returns at least one [`Problem`] when any consumer would refuse the body or read it differently.
///
/// ```
/// use dynamo_metrics_parser::{Rule, openmetrics};
///
/// let body = b"# TYPE a counter\n# UNIT a \n# HELP a Text.\na_total 1 # {trace_id=\"x\"} 1\n# EOF\n";
/// assert!(openmetrics::parse(body).is_ok());
///
/// let problems = openmetrics::parse(b"# TYPE a counter\na 1\n# EOF\n").unwrap_err();
/// assert_eq!(problems[0].rule(), Rule::SampleName);
/// ```
pub fn parse(input: &[u8]) -> Result<Exposition, Vec<Problem>> {
    parse_as(Format::OpenMetricsUtf8, input)
}

/// Appends the problems of a family as a whole.
pub(super) fn check(family: &Family, problems: &mut Vec<Problem>) {
    let mut seen = HashSet::new();
    let mut point: Option<Point> = None;
    for sample in &family.samples {
        let key = key(family, sample);
        match &point {
            Some(open) if open.key == key => open.follow(family, sample, problems),
            _ => {
                if let Some(point) = point.take() {
                    point.finish(family, problems);
                    seen.insert(point.key);
                }
                if seen.contains(&key) {
                    let name = sample.name.clone();
                    report(problems, sample, Fault::LabelSetReturns { name });
                }
                point = Some(Point { key, ..Point::default() });
            }
        }
        if let Some(point) = &mut point {
            point.add(family, sample, problems);
        }
    }
    if let Some(point) = point {
        point.finish(family, problems);
    }
}

fn report(problems: &mut Vec<Problem>, sample: &Sample, fault: Fault) {
    problems.push(Problem::at(sample.line, fault));
}

/// Returns the part of a sample's name behind the family's.
fn suffix<'a>(family: &Family, sample: &'a Sample) -> &'a str {
    &sample.name[family.name.len()..]
}

/// The label that tells a point's samples apart, if this sample has one.
fn own_label<'a>(family: &'a Family, suffix: &str) -> Option<&'a str> {
    match (family.kind, suffix) {
        (_, "_bucket") => Some("le"),
        (Kind::Summary, "") => Some("quantile"),
        (Kind::StateSet, _) => Some(&family.name),
        _ => None,
    }
}

/// The label set of a sample's point. An empty value is a label here, as in Python's parser. All samples of
/// an info are one point.
fn key(family: &Family, sample: &Sample) -> Vec<(String, String)> {
    if family.kind == Kind::Info {
        return Vec::new();
    }
    let own = own_label(family, suffix(family, sample));
    let labels = sample.labels.iter().filter(|(name, _)| Some(&name[..]) != own);
    let mut labels: Vec<_> = labels.cloned().collect();
    labels.sort_unstable();
    labels
}

#[derive(Default)]
struct Point {
    key: Vec<(String, String)>,
    line: usize,
    /// The timestamp of the last sample.
    at: Option<i128>,
    /// The bound and count of the last bucket.
    bucket: Option<(f64, u128)>,
    count: Option<u128>,
    sum: Option<f64>,
    negative_buckets: bool,
    /// True if a count or a bound of it cannot be read: the part is there for all that.
    partial: bool,
    /// True if there is anything besides `_created`.
    values: bool,
    created: bool,
}

impl Point {
    /// Compares a sample's timestamp with the one before it.
    fn follow(&self, family: &Family, sample: &Sample, problems: &mut Vec<Problem>) {
        let at = sample.timestamp_nanos();
        let whole = matches!(family.kind, Kind::Histogram | Kind::GaugeHistogram);
        let name = sample.name.clone();
        let fault = match (self.at, at) {
            (None, None) => return,
            (Some(before), Some(now)) if now == before || now > before && !whole => return,
            (Some(_), Some(_)) if family.kind == Kind::Info => return,
            (Some(_), Some(_)) if whole => Fault::TimestampsDiffer { name },
            (Some(_), Some(_)) => Fault::TimestampsFall { name },
            _ => Fault::TimestampsMixed { name },
        };
        report(problems, sample, fault);
    }

    fn add(&mut self, family: &Family, sample: &Sample, problems: &mut Vec<Problem>) {
        self.line = sample.line;
        self.at = sample.timestamp_nanos();
        let suffix = suffix(family, sample);
        let mut problem = |fault: Fault| report(problems, sample, fault);
        let (kind, name) = (family.kind, || sample.name.clone());
        let text = || sample.text.clone();
        let value = sample.value;
        let falls = value.is_nan() || value < 0.0;
        if suffix == "_created" {
            self.created = true;
            if !(0.0..CREATED_END).contains(&value) {
                problem(Fault::CreatedTime { name: name() });
            }
        } else {
            if self.created && family.kind != Kind::Info {
                problem(Fault::CreatedFirst { name: name() });
            }
            self.values = true;
        }
        let has_exemplars =
            matches!((family.kind, suffix), (Kind::Counter, "_total") | (_, "_bucket"));
        if sample.exemplar.is_some() && !has_exemplars {
            problem(Fault::ExemplarMisplaced { name: name() });
        }
        let distribution = family.kind == Kind::Summary || family.kind == Kind::Histogram;
        let own = if family.kind == Kind::Summary { "quantile" } else { "le" };
        if (distribution || family.kind == Kind::GaugeHistogram)
            && own_label(family, suffix).is_none()
            && sample.label(own).is_some()
        {
            problem(Fault::HasLabel { name: name(), own });
        }
        match (family.kind, suffix) {
            (Kind::Counter, "_total") if falls => {
                problem(Fault::CounterValue { name: name(), text: text() });
            }
            (Kind::Info, _) if value != 1.0 => problem(Fault::InfoValue { name: name() }),
            (Kind::StateSet, _) => {
                if sample.label(&family.name).is_none() {
                    problem(Fault::StateLabel { name: family.name.clone() });
                }
                if value != 0.0 && value != 1.0 {
                    problem(Fault::StateValue { name: name() });
                }
            }
            (Kind::Summary, "") => {
                read_bound(sample, "quantile", |q| (0.0..=1.0).contains(&q), &mut problem);
                if value < 0.0 {
                    problem(Fault::QuantileValue { name: name() });
                }
            }
            (_, "_sum") if distribution => {
                self.sum = Some(value);
                if falls {
                    problem(Fault::SumValue { kind, name: name(), text: text() });
                }
            }
            (_, "_gsum") => {
                self.sum = Some(value);
                if value.is_nan() {
                    problem(Fault::SumNan { name: name() });
                }
            }
            (_, "_count" | "_gcount") if distribution || kind == Kind::GaugeHistogram => {
                self.count = read_count(kind, sample, &mut problem);
                self.partial |= self.count.is_none();
            }
            (_, "_bucket") => self.add_bucket(kind, sample, &mut problem),
            _ => {}
        }
    }

    fn add_bucket(&mut self, kind: Kind, sample: &Sample, problem: &mut impl FnMut(Fault)) {
        let bound = read_bound(sample, "le", |bound| !bound.is_nan(), problem);
        let count = read_count(kind, sample, problem);
        let name = || sample.name.clone();
        let Some((bound, count)) = bound.zip(count) else {
            self.partial = true;
            return;
        };
        let (below, below_count) = self.bucket.unwrap_or((f64::NEG_INFINITY, 0));
        if self.bucket.is_some() && bound <= below {
            let (bound, below) = (bound.to_string(), below.to_string());
            problem(Fault::BucketOrder { name: name(), bound, below });
        }
        if count < below_count {
            problem(Fault::BucketFalls { name: name() });
        }
        if let Some(exemplar) = &sample.exemplar {
            let above = self.bucket.is_none() || exemplar.value > below;
            if !(above && exemplar.value <= bound) {
                problem(Fault::ExemplarOutside { name: name(), text: exemplar.text.clone() });
            }
        }
        self.negative_buckets |= bound < 0.0;
        self.bucket = Some((bound, count));
    }

    fn finish(&self, family: &Family, problems: &mut Vec<Problem>) {
        let mut problem = |fault: Fault| problems.push(Problem::at(self.line, fault));
        let name = || family.name.clone();
        if self.created && !self.values {
            problem(Fault::CreatedAlone { name: name() });
        }
        if !matches!(family.kind, Kind::Histogram | Kind::GaugeHistogram) {
            return;
        }
        match self.bucket {
            _ if self.partial => {}
            Some((f64::INFINITY, bucket)) => {
                if self.count.is_some_and(|count| count != bucket) {
                    problem(Fault::CountDiffers { name: name() });
                }
            }
            _ => problem(Fault::NoInf { name: name() }),
        }
        if !self.partial && self.count.is_some() != self.sum.is_some() {
            problem(Fault::SumOrCount { name: name() });
        }
        if family.kind == Kind::Histogram && self.negative_buckets && self.sum.is_some() {
            problem(Fault::SumOfNegatives { name: name() });
        }
        let negative = self.sum.is_some_and(|sum| sum < 0.0);
        if family.kind == Kind::GaugeHistogram && negative && !self.negative_buckets {
            problem(Fault::NegativeSum { name: name() });
        }
    }
}

/// Reads `le` or `quantile`, unless it is missing, no number or out of range.
fn read_bound(
    sample: &Sample,
    own: &'static str,
    holds: impl Fn(f64) -> bool,
    problem: &mut impl FnMut(Fault),
) -> Option<f64> {
    let Some(text) = sample.label(own) else {
        problem(Fault::LacksLabel { name: sample.name.clone(), own });
        return None;
    };
    let text = text.to_owned();
    let Some(bound) = literal(text.as_bytes()) else {
        problem(Fault::NotCanonical { own, text });
        return None;
    };
    if !holds(bound) {
        problem(Fault::BoundRange { own, text });
        return None;
    }
    if !is_canonical(&text, bound) {
        problem(Fault::NotCanonical { own, text });
    }
    Some(bound)
}

fn read_count(kind: Kind, sample: &Sample, problem: &mut impl FnMut(Fault)) -> Option<u128> {
    if Count::new(sample.text.as_bytes(), sample.value).is_none() {
        let (name, text) = (sample.name.clone(), sample.text.clone());
        problem(Fault::NotACount { kind, name, text });
        return None;
    }
    Some(Count::whole(sample.text.as_bytes(), sample.value))
}
