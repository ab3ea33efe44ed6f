//! The points of a histogram as Python checks them, once the family is at its end.

use super::family::Family;
use super::openmetrics::Spot;
use super::sample::Time;
use super::words::{Labels, float};
use crate::fault::Fault;

/// The point that is open.
#[derive(Default)]
struct Point {
    line: usize,
    bucket: Option<f64>,
    value: f64,
    count: Option<f64>,
    sum: bool,
    gsum: bool,
    negative_bucket: bool,
    negative_gsum: bool,
}

impl Point {
    fn check(&self, name: &str) -> Result<(), Fault> {
        let name = name.to_owned();
        if self.bucket != Some(f64::INFINITY) {
            return Err(Fault::NoInf { name });
        }
        if self.count.is_some_and(|count| count != self.value) {
            return Err(Fault::CountDiffers { name });
        }
        if (self.sum || self.gsum) != self.count.is_some() {
            return Err(Fault::SumOrCount { name });
        }
        if self.negative_bucket && self.sum {
            return Err(Fault::SumOfNegatives { name });
        }
        if !self.negative_bucket && self.negative_gsum {
            return Err(Fault::NegativeSum { name });
        }
        Ok(())
    }
}

pub(super) fn check_histogram(family: &Family) -> Vec<Spot> {
    let mut found = Vec::new();
    let mut open: Option<(Labels, Option<Time>, Point)> = None;
    for sample in &family.samples {
        let suffix = &sample.name[family.name.len().min(sample.name.len())..];
        if suffix.is_empty() {
            continue;
        }
        let mut group = sample.labels.clone();
        if suffix == "_bucket" {
            group.retain(|(name, _)| name != "le");
        }
        group.sort();
        if open.as_ref().is_none_or(|(own, time, _)| *own != group || *time != sample.time) {
            if let Some((_, _, point)) = open.take()
                && let Err(fault) = point.check(&family.name)
            {
                found.push((point.line, fault));
            }
            open = Some((group, sample.time, Point::default()));
        }
        let Some((_, _, point)) = &mut open else { continue };
        point.line = sample.line;
        let name = || sample.name.clone();
        match suffix {
            "_bucket" => {
                let le = sample.labels.iter().find(|(name, _)| name == "le");
                let Some(bound) = le.and_then(|(_, le)| float(le)) else { continue };
                point.negative_bucket |= bound < 0.0;
                if let Some(below) = point.bucket.filter(|below| bound <= *below) {
                    let (bound, below) = (bound.to_string(), below.to_string());
                    found.push((sample.line, Fault::BucketOrder { name: name(), bound, below }));
                }
                if sample.value < point.value {
                    found.push((sample.line, Fault::BucketFalls { name: name() }));
                }
                point.bucket = Some(bound);
                point.value = sample.value;
            }
            "_count" | "_gcount" => point.count = Some(sample.value),
            "_sum" => point.sum = true,
            "_gsum" => {
                point.gsum = true;
                point.negative_gsum |= sample.value < 0.0;
            }
            _ => {}
        }
    }
    if let Some((_, _, point)) = open
        && let Err(fault) = point.check(&family.name)
    {
        found.push((point.line, fault));
    }
    found
}
