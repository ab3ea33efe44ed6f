//! OpenMetrics 1.0, as strictly as Python's parser and the rules of the format itself ask for.
//!
//! This file knows *points*: the samples of one label set within a family, without `le`, `quantile` or the
//! label of a state. A point's lines stand together, their timestamps do not fall, and what they say fits
//! together. One pass over the samples of a family and one set of the points seen.
//!
//! Stricter than Python's parser where another consumer is: numbers (Prometheus refuses hexadecimal, VictoriaMetrics
//! a plus sign), blanks (the lexer of Prometheus knows single ones only), `le` and `quantile` in canonical
//! form (Prometheus 2 stores the text), a series once (Prometheus keeps the first), `_created` last (Prometheus
//! looks for it behind the samples).

use std::collections::HashSet;

use super::exposition::{Exposition, Family, Sample};
use super::grammar::{CREATED_END, Count, is_canonical, literal};
use super::{Format, Kind, Problem, Rule, parse_as};

/// Reads an OpenMetrics body, names in quotes included; [`parse_as`] with [`Format::OpenMetrics`] refuses those.
///
/// # Errors
///
/// Returns at least one [`Problem`] when any consumer would refuse the body or read it differently.
///
/// ```
/// use dynamo_metrics_encoder::strict::{Rule, openmetrics};
///
/// let body = b"# TYPE a counter\n# UNIT a \n# HELP a Text.\na_total 1 # {trace_id=\"x\"} 1\n# EOF\n";
/// assert!(openmetrics::parse(body).is_ok());
///
/// let problems = openmetrics::parse(b"# TYPE a counter\na 1\n# EOF\n").unwrap_err();
/// assert_eq!(problems[0].rule, Rule::SampleName);
/// ```
pub fn parse(input: &[u8]) -> Result<Exposition, Vec<Problem>> {
    parse_as(Format::OpenMetricsUtf8, input)
}

/// Appends what is wrong with a family as a whole.
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
                    let message = "its label set was left and comes back";
                    report(problems, sample, Rule::Grouping, message);
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

fn report(problems: &mut Vec<Problem>, sample: &Sample, rule: Rule, message: &str) {
    let message = format!("{}: {message}", sample.name);
    problems.push(Problem { line: sample.line, rule, message });
}

/// What is appended to the family's name in a sample's.
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
    /// Whether there is anything besides `_created`.
    values: bool,
    created: bool,
}

impl Point {
    /// Compares a sample's timestamp with the one before it.
    fn follow(&self, family: &Family, sample: &Sample, problems: &mut Vec<Problem>) {
        let at = sample.timestamp_nanos();
        let whole = matches!(family.kind, Kind::Histogram | Kind::GaugeHistogram);
        let message = match (self.at, at) {
            (None, None) => return,
            (Some(before), Some(now)) if now == before || now > before && !whole => return,
            (Some(_), Some(_)) if family.kind == Kind::Info => return,
            (Some(_), Some(_)) if whole => "the timestamps of one histogram differ",
            (Some(_), Some(_)) => "the timestamps of one label set fall",
            _ => "some samples of one label set have a timestamp and some do not",
        };
        report(problems, sample, Rule::Timestamp, message);
    }

    fn add(&mut self, family: &Family, sample: &Sample, problems: &mut Vec<Problem>) {
        self.line = sample.line;
        self.at = sample.timestamp_nanos();
        let suffix = suffix(family, sample);
        let mut problem = |rule: Rule, message: &str| report(problems, sample, rule, message);
        let value = sample.value;
        let falls = value.is_nan() || value < 0.0;
        if suffix == "_created" {
            self.created = true;
            if !(0.0..CREATED_END).contains(&value) {
                problem(Rule::Created, "is not a time in seconds");
            }
        } else {
            if self.created && family.kind != Kind::Info {
                problem(Rule::Created, "comes after _created; Prometheus looks for that behind");
            }
            self.values = true;
        }
        let has_exemplars =
            matches!((family.kind, suffix), (Kind::Counter, "_total") | (_, "_bucket"));
        if sample.exemplar.is_some() && !has_exemplars {
            problem(Rule::Exemplar, "only _total of counters and _bucket may have an exemplar");
        }
        let distribution = family.kind == Kind::Summary || family.kind == Kind::Histogram;
        let rule = if family.kind == Kind::Summary { Rule::Summary } else { Rule::Histogram };
        let reserved = if family.kind == Kind::Summary { "quantile" } else { "le" };
        if (distribution || family.kind == Kind::GaugeHistogram)
            && own_label(family, suffix).is_none()
            && sample.label(reserved).is_some()
        {
            problem(rule, &format!("must not have the label {reserved}"));
        }
        match (family.kind, suffix) {
            (Kind::Counter, "_total") if falls => {
                problem(Rule::Counter, &format!("counter is {}", sample.text));
            }
            (Kind::Info, _) if value != 1.0 => problem(Rule::Info, "an info is always 1"),
            (Kind::StateSet, _) => {
                if sample.label(&family.name).is_none() {
                    problem(
                        Rule::StateSet,
                        &format!("lacks the label {} of the state", family.name),
                    );
                }
                if value != 0.0 && value != 1.0 {
                    problem(Rule::StateSet, "a state is 0 or 1");
                }
            }
            (Kind::Summary, "") => {
                read_bound(sample, "quantile", |q| (0.0..=1.0).contains(&q), &mut problem);
                if value < 0.0 {
                    problem(rule, "the value of a quantile is negative");
                }
            }
            (_, "_sum") if distribution => {
                self.sum = Some(value);
                if falls {
                    problem(rule, &format!("{} is no sum of what only grows", sample.text));
                }
            }
            (_, "_gsum") => {
                self.sum = Some(value);
                if value.is_nan() {
                    problem(rule, "a sum is not NaN");
                }
            }
            (_, "_count") if distribution => self.count = read_count(sample, rule, &mut problem),
            (_, "_gcount") => self.count = read_count(sample, rule, &mut problem),
            (_, "_bucket") => self.add_bucket(sample, &mut problem),
            _ => {}
        }
    }

    fn add_bucket(&mut self, sample: &Sample, problem: &mut impl FnMut(Rule, &str)) {
        let bound = read_bound(sample, "le", |bound| !bound.is_nan(), problem);
        let count = read_count(sample, Rule::Histogram, problem);
        let Some((bound, count)) = bound.zip(count) else { return };
        let (below, below_count) = self.bucket.unwrap_or((f64::NEG_INFINITY, 0));
        if self.bucket.is_some() && bound <= below {
            problem(Rule::Histogram, &format!("le {bound} comes after {below}"));
        }
        if count < below_count {
            problem(Rule::Histogram, "bucket is less than the one below it");
        }
        if let Some(exemplar) = &sample.exemplar {
            let above = self.bucket.is_none() || exemplar.value > below;
            if !(above && exemplar.value <= bound) {
                problem(
                    Rule::Exemplar,
                    &format!("exemplar {} is not in the bucket", exemplar.text),
                );
            }
        }
        self.negative_buckets |= bound < 0.0;
        self.bucket = Some((bound, count));
    }

    fn finish(&self, family: &Family, problems: &mut Vec<Problem>) {
        let mut problem = |rule: Rule, message: &str| {
            let message = format!("{}: {message}", family.name);
            problems.push(Problem { line: self.line, rule, message });
        };
        if self.created && !self.values {
            problem(Rule::Created, "a label set has nothing but _created");
        }
        if !matches!(family.kind, Kind::Histogram | Kind::GaugeHistogram) {
            return;
        }
        match self.bucket {
            Some((f64::INFINITY, bucket)) => {
                if self.count.is_some_and(|count| count != bucket) {
                    problem(Rule::Histogram, "the +Inf bucket and the count differ");
                }
            }
            _ => problem(Rule::Histogram, "a label set lacks the +Inf bucket"),
        }
        if self.count.is_some() != self.sum.is_some() {
            problem(Rule::Histogram, "a label set has one of sum and count, not both");
        }
        if family.kind == Kind::Histogram && self.negative_buckets && self.sum.is_some() {
            problem(Rule::Histogram, "with negative buckets there is no sum");
        }
        let negative = self.sum.is_some_and(|sum| sum < 0.0);
        if family.kind == Kind::GaugeHistogram && negative && !self.negative_buckets {
            problem(Rule::Histogram, "the sum is negative and no bucket is");
        }
    }
}

fn read_bound(
    sample: &Sample,
    label: &str,
    holds: impl Fn(f64) -> bool,
    problem: &mut impl FnMut(Rule, &str),
) -> Option<f64> {
    let rule = if label == "le" { Rule::Histogram } else { Rule::Summary };
    let Some(text) = sample.label(label) else {
        problem(rule, &format!("lacks the label {label}"));
        return None;
    };
    let Some(bound) = literal(text.as_bytes()) else {
        problem(Rule::Canonical, &format!("{label}={text:?} is no number in canonical form"));
        return None;
    };
    if !holds(bound) {
        problem(rule, &format!("{label}={text:?} is out of range"));
        return None;
    }
    if !is_canonical(text, bound) {
        problem(Rule::Canonical, &format!("{label}={text:?} is not in canonical form"));
    }
    Some(bound)
}

fn read_count(sample: &Sample, rule: Rule, problem: &mut impl FnMut(Rule, &str)) -> Option<u128> {
    if Count::new(sample.text.as_bytes(), sample.value).is_none() {
        problem(rule, &format!("{} is not a count", sample.text));
        return None;
    }
    Some(Count::whole(sample.text.as_bytes(), sample.value))
}
