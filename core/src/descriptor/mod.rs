//! The description of a metric: name, help, kind, labels, bounds, unit, limits.

use crate::error::RegisterError;
use crate::escaping::Escaping;
use crate::label::check_operator_value;
use crate::layout::Buckets;
use crate::layout::IntegerLayout;
use crate::layout::NativeLayout;
use crate::layout::Scale;
use crate::layout::SummaryLayout;
use std::sync::Arc;

mod checks;
mod kind;
mod opts;

pub(crate) use kind::INFO_SUFFIX;
pub use kind::Kind;
pub use opts::{Opts, SERIES_MAX_DEFAULT};

/// The properties of a family that are fixed when it is registered.
///
/// ```
/// use dynamo_metrics_core::{Buckets, Kind, Opts, Registry, Snapshot};
///
/// let registry = Registry::new().scope(&[("component", "worker")])?;
/// let opts = Opts::new("wait_seconds", "Time in the queue.").unit("seconds").exemplars();
/// registry.histogram_family(opts, ["model"], &Buckets::new([0.1, 1.0])?)?;
/// let mut snapshot = Snapshot::new();
/// snapshot.take(&registry);
/// let descriptor = snapshot.families().next().unwrap().parts().next().unwrap().descriptor();
/// assert_eq!((descriptor.name(), descriptor.help()), ("wait_seconds", "Time in the queue."));
/// assert_eq!((descriptor.kind(), descriptor.unit()), (Kind::Histogram, Some("seconds")));
/// assert_eq!(descriptor.const_labels().collect::<Vec<_>>(), [("component", "worker")]);
/// assert_eq!(descriptor.label_names().collect::<Vec<_>>(), ["model"]);
/// assert_eq!(descriptor.buckets().unwrap().bounds(), [0.1, 1.0]);
/// assert_eq!(descriptor.exemplar_slots(), 3, "one a bucket");
/// // Properties of other kinds are empty.
/// assert_eq!((descriptor.native_buckets_max(), descriptor.quantiles()), (0, None));
/// assert_eq!(descriptor.scale(), None);
/// assert_eq!(descriptor.states().len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Descriptor {
    pub(crate) name: Box<str>,
    pub(crate) help: Box<str>,
    pub(crate) kind: Kind,
    pub(crate) unit: Option<Box<str>>,
    /// The scope's labels, then the metric's own. No value is empty, because an empty value is the same as no label.
    pub(crate) const_labels: Box<[(Box<str>, Box<str>)]>,
    pub(crate) label_names: Box<[Box<str>]>,
    pub(crate) buckets: Option<Arc<Buckets>>,
    /// The bounds in whole units, of a histogram of integers.
    pub(crate) integer: Option<Arc<IntegerLayout>>,
    pub(crate) native: Option<Arc<NativeLayout>>,
    pub(crate) summary: Option<Arc<SummaryLayout>>,
    pub(crate) series_max: usize,
    pub(crate) label_value_bytes_max: usize,
    pub(crate) nested: bool,
    pub(crate) exemplars: bool,
    pub(crate) states: Box<[Box<str>]>,
    /// True if no label value is empty, so that families that differ in their label names have no series in common.
    pub(crate) dynamic: bool,
}

impl Descriptor {
    /// Returns a descriptor after all checks that need no other metric.
    pub(crate) fn new(
        opts: Opts,
        kind: Kind,
        scope: &[(Box<str>, Box<str>)],
        label_names: &[&str],
        buckets: Option<Arc<Buckets>>,
    ) -> Result<Self, RegisterError> {
        let own = opts.const_labels.iter().map(|(label, value)| (&**label, &**value));
        let scope = scope.iter().map(|(label, value)| (&**label, &**value));
        let constant: Vec<(&str, &str)> = scope.chain(own).collect();
        let names = constant.iter().map(|&(label, _)| label).chain(label_names.iter().copied());
        checks::check(&opts, kind, &names.collect::<Vec<_>>())?;
        for (label, value) in &constant {
            check_operator_value(&opts.name, label, value)?;
        }
        // An empty value is the same as no label.
        let labels = constant.into_iter().filter(|(_, value)| !value.is_empty());
        let const_labels = labels.map(|(label, value)| (label.into(), value.into())).collect();
        let label_names = label_names.iter().map(|&label| label.into()).collect();
        Ok(Self {
            name: opts.name.into(),
            help: opts.help.into(),
            kind,
            unit: opts.unit.map(Into::into),
            const_labels,
            label_names,
            buckets,
            integer: None,
            native: None,
            summary: None,
            series_max: opts.series_max,
            label_value_bytes_max: opts.label_value_bytes_max,
            nested: opts.nested,
            exemplars: opts.exemplars,
            states: opts.states.into_iter().map(Into::into).collect(),
            dynamic: false,
        })
    }

    /// Returns the name of the family.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the help text, unescaped.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the unit, if there is one.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Iterates over the labels that all series share: the scopes' from the outermost, then the metric's own.
    pub fn const_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.const_labels.iter().map(|(label, value)| (&**label, &**value))
    }

    /// Iterates over the names of the labels whose values tell series apart.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.label_names.iter().map(|label| &**label)
    }

    /// Returns the buckets of a histogram; of a native histogram, those of its classic form.
    pub fn buckets(&self) -> Option<&Buckets> {
        self.buckets.as_deref()
    }

    /// Returns the unit that a histogram of integers records in; `None` for histograms of floats and for other kinds.
    pub fn scale(&self) -> Option<Scale> {
        self.integer.as_deref().map(|layout| layout.scale)
    }

    /// Returns the largest number of buckets of a native histogram in one scrape; 0 for other kinds.
    pub fn native_buckets_max(&self) -> usize {
        self.native.as_deref().map_or(0, NativeLayout::shown_max)
    }

    /// Returns whether a native histogram accepts negative values, so that its sum may be negative and may decrease.
    ///
    /// ```
    /// use dynamo_metrics_core::{NativeBuckets, Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// registry.native_histogram(("drift_seconds", ""), &NativeBuckets::new().signed())?;
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "drift_seconds").unwrap();
    /// assert!(family.parts().next().unwrap().descriptor().is_signed());
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn is_signed(&self) -> bool {
        self.native.as_deref().is_some_and(|layout| layout.signed)
    }

    /// Returns the quantiles of a summary, ascending.
    pub fn quantiles(&self) -> Option<&[f64]> {
        self.summary.as_deref().map(|layout| &*layout.quantiles)
    }

    /// Iterates over the states of a state set; the first is the lowest bit of [`Value::States`](crate::snapshot::Value::States). Empty for
    /// other kinds.
    pub fn states(&self) -> impl ExactSizeIterator<Item = &str> {
        self.states.iter().map(|state| &**state)
    }

    /// Returns the number of exemplars that a series keeps: 0 unless the family opted in, else 1, or one for each bucket
    /// (of the classic form in a native histogram).
    pub fn exemplar_slots(&self) -> usize {
        match (self.exemplars, self.buckets()) {
            (false, _) => 0,
            (true, None) => 1,
            (true, Some(buckets)) => buckets.bounds().len() + 1,
        }
    }

    /// Returns the error that names the first difference between `self`, which is registered, and `asked`, which is not.
    ///
    /// Two dynamic families may differ in their label names, and in their help, which may come before or after the first of them.
    pub(crate) fn conflict(&self, asked: &Self) -> Option<RegisterError> {
        let labels = |of: &Self| if of.dynamic { "dynamic" } else { "fixed" }.to_string();
        let free: &[&str] =
            if self.dynamic && asked.dynamic { &["help", "label names"] } else { &[] };
        let list = |names: &[Box<str>]| format!("[{}]", names.join(", "));
        let bytes_max = |of: &Self| of.label_value_bytes_max.to_string();
        let properties: [(&'static str, String, String); 14] = [
            ("type", self.kind.named().into(), asked.kind.named().into()),
            ("help", format!("{:?}", self.help), format!("{:?}", asked.help)),
            ("kind of label names", labels(self), labels(asked)),
            ("label names", list(&self.label_names), list(&asked.label_names)),
            ("bucket bounds", bounds(self), bounds(asked)),
            ("unit of recording", text(&self.integer), text(&asked.integer)),
            ("native buckets", text(&self.native), text(&asked.native)),
            ("summary options", text(&self.summary), text(&asked.summary)),
            ("unit", format!("{:?}", self.unit), format!("{:?}", asked.unit)),
            ("series limit", self.series_max.to_string(), asked.series_max.to_string()),
            ("limit of label values", bytes_max(self), bytes_max(asked)),
            ("nesting", self.nested.to_string(), asked.nested.to_string()),
            ("exemplar setting", self.exemplars.to_string(), asked.exemplars.to_string()),
            ("list of states", list(&self.states), list(&asked.states)),
        ];
        let mut compared = properties.into_iter().filter(|(what, ..)| !free.contains(what));
        let (what, existing, requested) = compared.find(|(_, a, b)| a != b)?;
        Some(RegisterError::Conflict { name: self.name.to_string(), what, existing, requested })
    }

    /// Sample and family names, in any format, that this metric occupies where its name is printed as `name`:
    /// it is the name that is escaped, and suffixes come and go afterwards.
    pub(crate) fn occupied_as(&self, name: &str) -> Vec<String> {
        let suffixes: &[&str] = match self.kind {
            Kind::Counter | Kind::FloatCounter | Kind::CounterCallback => {
                let stem = self.kind.stem(name);
                return ["", "_total", "_created"].map(|suffix| format!("{stem}{suffix}")).into();
            }
            Kind::Histogram | Kind::NativeHistogram => {
                &["", "_bucket", "_sum", "_count", "_created"]
            }
            Kind::Summary => &["", "_sum", "_count", "_created"],
            Kind::Gauge | Kind::UpDownCounter | Kind::GaugeCallback | Kind::StateSet => &[""],
            // OpenMetrics' family has the name without the suffix.
            Kind::Info => {
                let stem = name.strip_suffix(INFO_SUFFIX).unwrap_or(name);
                return vec![stem.into(), name.into()];
            }
        };
        suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
    }

    /// Returns whether a family with this descriptor prints samples of this name under any escaping scheme.
    pub(crate) fn prints(&self, sample: &str) -> bool {
        let names = Escaping::ALL.into_iter();
        names
            .flat_map(|scheme| self.occupied_as(&scheme.metric_name(self.name())))
            .any(|name| name == sample)
    }

    /// Returns the constant labels as `{a="x"}`, for error messages.
    pub(crate) fn scope_text(&self) -> String {
        let labels: Vec<String> =
            self.const_labels().map(|(label, value)| format!("{label}={value:?}")).collect();
        format!("{{{}}}", labels.join(","))
    }
}

fn text<T: std::fmt::Display>(layout: &Option<Arc<T>>) -> String {
    layout.as_ref().map_or_else(|| "none".into(), |layout| layout.to_string())
}

fn bounds(descriptor: &Descriptor) -> String {
    descriptor.buckets().map_or_else(|| "none".into(), |buckets| format!("{:?}", buckets.bounds()))
}
