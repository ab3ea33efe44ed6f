//! The values that a scrape shows, as a map, for the tests of this folder.

use dynamo_metrics::{Registry, Snapshot, Value};
use std::collections::BTreeMap;

/// A value, owned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {
    Number(f64),
    Histogram { counts: Vec<u64>, sum: f64 },
}

/// One scrape.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Family and labels in Prometheus notation, labels sorted: `name{a="x",b="y"}`.
    pub(crate) series: BTreeMap<String, Shown>,
}

impl Page {
    pub(crate) fn of(registry: &Registry) -> Self {
        let mut snapshot = Snapshot::new();
        snapshot.take(registry);
        Self::read(&snapshot)
    }

    pub(crate) fn read(snapshot: &Snapshot) -> Self {
        let mut page = Self::default();
        for family in snapshot.families() {
            for part in family.parts() {
                let descriptor = part.descriptor();
                for series in (0..part.len()).filter_map(|at| part.series(at)) {
                    let mut labels: Vec<String> = descriptor
                        .const_labels()
                        .chain(descriptor.label_names().zip(series.label_values()))
                        .map(|(label, value)| format!("{label}=\"{value}\""))
                        .collect();
                    labels.sort();
                    let shown = match series.value() {
                        Value::Unsigned(value) => Shown::Number(value as f64),
                        Value::Signed(value) => Shown::Number(value as f64),
                        Value::Float(value) => Shown::Number(value),
                        Value::Histogram { counts, sum } => {
                            Shown::Histogram { counts: counts.to_vec(), sum: sum.to_f64() }
                        }
                        other => panic!("{}: {other:?}", family.name()),
                    };
                    let key = format!("{}{{{}}}", family.name(), labels.join(","));
                    assert!(page.series.insert(key, shown).is_none(), "a series twice");
                }
            }
        }
        page
    }

    /// The value of a series without buckets; `None` if it is not shown.
    pub(crate) fn number(&self, series: &str) -> Option<f64> {
        match self.series.get(series)? {
            Shown::Number(value) => Some(*value),
            Shown::Histogram { .. } => panic!("{series} is a histogram"),
        }
    }

    /// Count and sum of a histogram; `None` if it is not shown.
    pub(crate) fn count_and_sum(&self, series: &str) -> Option<(u64, f64)> {
        match self.series.get(series)? {
            Shown::Histogram { counts, sum } => Some((counts.iter().sum(), *sum)),
            Shown::Number(_) => panic!("{series} is no histogram"),
        }
    }
}
