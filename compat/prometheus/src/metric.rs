//! The traits of metrics, and the options that they are made of.

use crate::desc::{Desc, Describer};
use crate::error::Result;
use crate::plan::Plan;
use crate::proto::{self, LabelPair};
use crate::timer;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// A source of families that a registry can have.
pub trait Collector: Sync + Send {
    /// Returns the descriptors of its metrics.
    fn desc(&self) -> Vec<&Desc>;
    /// Returns its families as they are now.
    fn collect(&self) -> Vec<proto::MetricFamily>;

    /// Returns the plan of its family, if this crate made all of its series. `kept` is the collector's place in a registry.
    #[doc(hidden)]
    fn __plan(&self, _kept: &OnceLock<Arc<Plan>>) -> Option<Arc<Plan>> {
        None
    }
}

/// One series.
pub trait Metric: Sync + Send + Clone {
    /// Returns its labels and values as they are now.
    fn metric(&self) -> proto::Metric;
}

/// A metric of one thread.
pub trait LocalMetric {
    /// Adds what was recorded to the shared metric.
    fn flush(&self);
}

/// A metric of one thread that is flushed at intervals. For generated code.
pub trait MayFlush: LocalMetric {
    /// Flushes if `flush_interval_millis` have gone by since `last_flush`, by the clock of [`timer::recent_millis`].
    fn try_flush(&self, last_flush: &Cell<u64>, flush_interval_millis: u64) {
        let now = timer::recent_millis();
        if now >= last_flush.get().saturating_add(flush_interval_millis) {
            self.flush();
            last_flush.set(now);
        }
    }

    /// Calls [`try_flush`](Self::try_flush) with the metric's own interval.
    fn may_flush(&self);
}

/// The name, help and labels that a metric is made with.
#[derive(Debug, Clone)]
pub struct Opts {
    /// The first part of the name; may be empty.
    pub namespace: String,
    /// The second part of the name; may be empty.
    pub subsystem: String,
    /// The last part of the name.
    pub name: String,
    /// The help text.
    pub help: String,
    /// Labels with one value each.
    pub const_labels: HashMap<String, String>,
    /// Names of the labels that have a value for each series.
    pub variable_labels: Vec<String>,
}

impl Opts {
    /// Returns options with this name and help.
    pub fn new<S1: Into<String>, S2: Into<String>>(name: S1, help: S2) -> Self {
        Self {
            namespace: String::new(),
            subsystem: String::new(),
            name: name.into(),
            help: help.into(),
            const_labels: HashMap::new(),
            variable_labels: Vec::new(),
        }
    }

    /// Sets the namespace.
    pub fn namespace<S: Into<String>>(mut self, namespace: S) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the subsystem.
    pub fn subsystem<S: Into<String>>(mut self, subsystem: S) -> Self {
        self.subsystem = subsystem.into();
        self
    }

    /// Replaces the constant labels.
    pub fn const_labels(mut self, const_labels: HashMap<String, String>) -> Self {
        self.const_labels = const_labels;
        self
    }

    /// Adds a constant label.
    pub fn const_label<S1: Into<String>, S2: Into<String>>(mut self, name: S1, value: S2) -> Self {
        self.const_labels.insert(name.into(), value.into());
        self
    }

    /// Replaces the variable labels.
    pub fn variable_labels(mut self, variable_labels: Vec<String>) -> Self {
        self.variable_labels = variable_labels;
        self
    }

    /// Adds a variable label.
    pub fn variable_label<S: Into<String>>(mut self, name: S) -> Self {
        self.variable_labels.push(name.into());
        self
    }

    /// Returns the parts of the name that are not empty, joined by `_`; nothing if the last part is empty.
    ///
    /// ```
    /// use prometheus::Opts;
    ///
    /// let opts = Opts::new("requests_total", "Requests.").namespace("api");
    /// assert_eq!(opts.fq_name(), "api_requests_total");
    /// ```
    pub fn fq_name(&self) -> String {
        if self.name.is_empty() {
            return String::new();
        }
        let parts = [&self.namespace, &self.subsystem, &self.name].map(String::as_str);
        let mut name = String::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            if !name.is_empty() {
                name.push('_');
            }
            name.push_str(part);
        }
        name
    }
}

impl Describer for Opts {
    fn describe(&self) -> Result<Desc> {
        let (variable, constant) = (self.variable_labels.clone(), self.const_labels.clone());
        Desc::new(self.fq_name(), self.help.clone(), variable, constant)
    }
}

/// Labels are ordered by their names.
impl Ord for LabelPair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for LabelPair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for LabelPair {}
