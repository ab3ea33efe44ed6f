//! Series of one descriptor share it: the descriptor, and the order in which its labels are printed.

use crate::desc::{Desc, label_pair};
use crate::error::{Error, Result};
use crate::proto::{LabelPair, Metric, MetricFamily, MetricType};
use crate::table::LabelValues;
use std::sync::atomic::{AtomicBool, Ordering};

/// A descriptor and the order of its labels.
#[doc(hidden)]
#[derive(Debug)]
pub struct Family {
    pub(crate) desc: Desc,
    /// The labels in the order of their names.
    order: Box<[Label]>,
    /// True if a counter in the shards was ever reset.
    reset: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
enum Label {
    Constant(usize),
    Variable(usize),
}

impl Family {
    pub(crate) fn new(desc: Desc) -> Self {
        let variable = 0..desc.variable_labels.len();
        let constant = 0..desc.const_label_pairs.len();
        let mut order: Box<[_]> =
            variable.map(Label::Variable).chain(constant.map(Label::Constant)).collect();
        order.sort_by_key(|label| match *label {
            Label::Constant(at) => desc.const_label_pairs[at].name(),
            Label::Variable(at) => &desc.variable_labels[at],
        });
        Self { desc, order, reset: AtomicBool::new(false) }
    }

    /// Returns an error unless there is a value for each variable label.
    pub(crate) fn check(&self, values: usize) -> Result<()> {
        let expect = self.desc.variable_labels.len();
        if values == expect {
            Ok(())
        } else {
            Err(Error::InconsistentCardinality { expect, got: values })
        }
    }

    /// Returns the labels of the series with these values, and others behind them.
    pub(crate) fn labels(&self, values: &LabelValues, appended: &[LabelPair]) -> Vec<LabelPair> {
        let mut labels = Vec::with_capacity(self.order.len() + appended.len());
        let pair = |(name, value): (&str, &str)| label_pair(name.to_owned(), value.to_owned());
        labels.extend(self.printed(values).map(pair));
        labels.extend_from_slice(appended);
        labels
    }

    /// Returns names and values of the labels of the series with these values, in the order of the names.
    pub(crate) fn printed<'a>(
        &'a self,
        values: &'a LabelValues,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.order.iter().map(|label| match *label {
            Label::Constant(at) => {
                let pair = &self.desc.const_label_pairs[at];
                (pair.name(), pair.value())
            }
            Label::Variable(at) => (self.desc.variable_labels[at].as_str(), values.get(at)),
        })
    }

    /// Returns the number of labels.
    pub(crate) fn label_count(&self) -> usize {
        self.order.len()
    }

    /// Notes that a counter in the shards is reset.
    pub(crate) fn note_reset(&self) {
        // Relaxed: a gathering that does not see it shows the counter as it was before.
        self.reset.store(true, Ordering::Relaxed);
    }

    /// Returns whether a counter in the shards was ever reset.
    pub(crate) fn was_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// Returns the family with these series.
    pub(crate) fn collect(&self, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(kind);
        family.set_metric(metrics);
        family
    }
}
