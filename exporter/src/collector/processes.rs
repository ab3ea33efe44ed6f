//! Metrics of many processes: what a directory of `dynamo-metrics-multiprocess` has, as one collection.

use super::{Collected, CollectedExemplar, Collector, CollectorError};
use dynamo_metrics_multiprocess::{Exemplar, Family, FamilyKind, Page, Value};
use std::path::PathBuf;

/// Reads the page of all processes of a directory. A directory that no process has made yet has no metrics.
#[derive(Debug)]
pub(crate) struct ProcessesCollector(pub(crate) PathBuf);

impl Collector for ProcessesCollector {
    fn collect(&self, families: &mut Collected) -> Result<(), CollectorError> {
        let page = match Page::read(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("{}: {error}", self.0.display()).into()),
            Ok(page) => page,
        };
        page.families.iter().for_each(|family| write(family, families));
        // From the first on, as other limits.
        if page.refused > 0 {
            let mut refused = families.counter(
                "dynamo_metrics_multiprocess_refused_series_total",
                "Series of any process that found no room in its file.",
            );
            refused.sample(&[], page.refused);
        }
        if !page.conflicts.is_empty() {
            let mut conflicts = families.gauge(
                "dynamo_metrics_multiprocess_conflicting_families",
                "Families that are not shown, because another process has one of this name with another kind, mode or buckets.",
            );
            conflicts.sample(&[], page.conflicts.len() as f64);
        }
        Ok(())
    }
}

fn write(family: &Family, families: &mut Collected) {
    let labels = |at: usize| borrowed(&family.series[at].labels);
    let all = family.series.iter().enumerate();
    match family.kind {
        FamilyKind::Counter => {
            // Clients of Python name a counter without its suffix.
            let name = match family.name.strip_suffix("_total") {
                Some(_) => family.name.clone(),
                None => format!("{}_total", family.name),
            };
            let mut counter = families.counter(&name, &family.help);
            for (at, series) in all {
                let Value::Number(value) = series.value else { continue };
                match series.exemplars.first() {
                    None => counter.sample(&labels(at), value),
                    Some(one) => {
                        let names = borrowed(&one.labels);
                        counter.sample_with_exemplar(&labels(at), value, exemplar(one, &names))
                    }
                };
            }
        }
        FamilyKind::Gauge => {
            let mut gauge = families.gauge(&family.name, &family.help);
            for (at, series) in all {
                if let Value::Number(value) = series.value {
                    gauge.sample(&labels(at), value);
                }
            }
        }
        FamilyKind::Histogram => {
            let mut histogram = families.histogram(&family.name, &family.help);
            for (at, series) in all {
                let Value::Histogram(counts, sum) = &series.value else { continue };
                let exemplars = series.exemplars.iter();
                let exemplars: Vec<_> = exemplars.map(|one| (one, borrowed(&one.labels))).collect();
                let of_bucket = |bucket| {
                    let (one, names) = exemplars.iter().find(|(one, _)| one.bucket == bucket)?;
                    Some(exemplar(one, names))
                };
                let (bounds, labels) = (&family.bounds, labels(at));
                histogram.sample_with_exemplars(&labels, bounds, counts, *sum, of_bucket);
            }
        }
        FamilyKind::Summary => {
            let mut summary = families.summary(&family.name, &family.help);
            for (at, series) in all {
                if let Value::Summary(count, sum) = series.value {
                    summary.sample(&labels(at), count, sum);
                }
            }
        }
        // A kind of a later version.
        _ => {}
    }
}

fn borrowed(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn exemplar<'a>(one: &Exemplar, labels: &'a [(&'a str, &'a str)]) -> CollectedExemplar<'a> {
    CollectedExemplar { labels, value: one.value, seconds: Some(one.time) }
}
