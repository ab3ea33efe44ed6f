//! A family as Python reads it, sample by sample: values and labels that its type forbids, label sets that come back, and
//! timestamps that fall.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::sample::{Sample, Time};
use super::words::{Labels, float};
use crate::fault::Fault;
use crate::kind::Kind;

/// The family that is being read.
#[derive(Default)]
pub(super) struct Family {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) help: bool,
    pub(super) kind: Option<(usize, String)>,
    pub(super) unit: Option<(usize, String)>,
    pub(super) allowed: Vec<String>,
    pub(super) samples: Vec<Sample>,
    /// True if a line of it was refused: what its points lack may be on that line.
    pub(super) is_partial: bool,
    pub(super) group: Option<Labels>,
    pub(super) group_time: Option<Time>,
    pub(super) group_series: HashSet<(String, Labels)>,
    pub(super) seen_groups: HashSet<Labels>,
}

impl Family {
    pub(super) fn kind(&self) -> &str {
        self.kind.as_ref().map_or("unknown", |(_, kind)| kind)
    }

    /// The labels that a sample shares with its point.
    fn group_of(&self, sample: &Sample) -> Labels {
        let suffix = &sample.name[self.name.len().min(sample.name.len())..];
        let own = match (self.kind(), suffix) {
            ("info", _) => return Labels::new(),
            ("summary", "") => "quantile",
            ("stateset", _) => &self.name,
            ("histogram" | "gaugehistogram", "_bucket") => "le",
            _ => "",
        };
        let mut labels = sample.labels.clone();
        labels.retain(|(name, _)| name != own);
        labels.sort();
        labels
    }

    pub(super) fn add(&mut self, sample: Sample) -> Result<(), Fault> {
        let suffix = sample.name[self.name.len().min(sample.name.len())..].to_owned();
        let (kind, name) = (self.kind().to_owned(), sample.name.clone());
        let typed = Kind::parse(&kind).unwrap_or(Kind::Unknown);
        let value = sample.value;
        let text = || value.to_string();
        let label = |wanted: &str| {
            sample.labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        };
        if kind == "stateset" && label(&self.name).is_none() {
            return Err(Fault::StateLabel { name: self.name.clone() });
        }
        let is_whole = value.is_finite() && value.trunc() == value;
        if suffix == "_bucket" {
            check_bound("le", label("le"), &name, |_| true)?;
        }
        if matches!(&suffix[..], "_bucket" | "_count" | "_gcount") && !is_whole {
            return Err(Fault::NotACount { kind: typed, name, text: text() });
        }
        if kind == "summary" && suffix.is_empty() {
            check_bound("quantile", label("quantile"), &name, |q| (0.0..=1.0).contains(&q))?;
        }
        self.follow(&sample, &kind)?;
        let is_state = value == 0.0 || value == 1.0;
        match (&kind[..], &suffix[..]) {
            ("stateset", _) if !is_state => return Err(Fault::StateValue { name }),
            ("info", _) if value != 1.0 => return Err(Fault::InfoValue { name }),
            ("summary", "") if value < 0.0 => return Err(Fault::QuantileValue { name }),
            _ => {}
        }
        let grows = matches!(&suffix[..], "_total" | "_sum" | "_count" | "_bucket" | "_gcount");
        if (grows || suffix == "_gsum") && value.is_nan() || grows && value < 0.0 {
            return Err(match &suffix[..] {
                "_total" => Fault::CounterValue { name, text: text() },
                "_gsum" => Fault::SumNan { name },
                "_sum" => Fault::SumValue { kind: typed, name, text: text() },
                _ => Fault::NotACount { kind: typed, name, text: text() },
            });
        }
        let may = match &kind[..] {
            "histogram" | "gaugehistogram" => sample.name.ends_with("_bucket"),
            "counter" => sample.name.ends_with("_total"),
            _ => false,
        };
        if sample.exemplar && !may {
            return Err(Fault::ExemplarMisplaced { name });
        }
        Ok(())
    }

    /// Compares a sample with the one before it, and keeps it.
    fn follow(&mut self, sample: &Sample, kind: &str) -> Result<(), Fault> {
        let name = sample.name.clone();
        let group = self.group_of(sample);
        let same = self.group.as_ref() == Some(&group);
        if self.group.is_some() && !same && self.seen_groups.contains(&group) {
            return Err(Fault::LabelSetReturns { name });
        }
        if same {
            match (self.group_time, sample.time) {
                (None, Some(_)) | (Some(_), None) => return Err(Fault::TimestampsMixed { name }),
                (Some(before), Some(now)) => match before.partial_cmp(&now) {
                    _ if before.is_other(&now) => return Err(Fault::TimestampsMixed { name }),
                    Some(Ordering::Greater) if kind != "info" => {
                        return Err(Fault::TimestampsFall { name });
                    }
                    _ => {}
                },
                (None, None) => {}
            }
        } else {
            self.group_series.clear();
        }
        let mut sorted = sample.labels.clone();
        sorted.sort();
        let series = (sample.name.clone(), sorted);
        if sample.time != self.group_time || !self.group_series.contains(&series) {
            self.samples.push(Sample { labels: sample.labels.clone(), name, ..*sample });
        }
        self.group_series.insert(series);
        self.group = Some(group.clone());
        self.group_time = sample.time;
        self.seen_groups.insert(group);
        Ok(())
    }
}

fn check_bound(
    own: &'static str,
    text: Option<String>,
    name: &str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), Fault> {
    let Some(text) = text else { return Err(Fault::LacksLabel { name: name.to_owned(), own }) };
    match float(&text) {
        None => Err(Fault::BoundNumber { own, text }),
        Some(_) if own == "le" && text == "NaN" => Err(Fault::BoundRange { own, text }),
        Some(bound) if !holds(bound) => Err(Fault::BoundRange { own, text }),
        Some(f64::INFINITY) if text != "+Inf" => Err(Fault::NotCanonical { own, text }),
        Some(_) => Ok(()),
    }
}
