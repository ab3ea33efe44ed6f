//! What a metric is, apart from its numbers: name, help, type, labels, bounds, unit, limits.

use crate::buckets::Buckets;
use crate::error::RegisterError;
use crate::escaping::Escaping;
use crate::info::INFO_SUFFIX;
use crate::label::{
    check_label_name, check_metric_name, check_operator_value, check_utf8_label_name,
    check_utf8_metric_name,
};
use crate::native::NativeLayout;
use crate::summary::SummaryLayout;
use std::sync::Arc;

mod kind;
mod opts;

pub use kind::Kind;
pub use opts::{Opts, SERIES_MAX_DEFAULT};

/// Everything that is fixed about a family when it is registered.
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
/// // What other kinds have.
/// assert_eq!((descriptor.native_buckets_max(), descriptor.quantiles()), (0, None));
/// assert_eq!(descriptor.states().len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Descriptor {
    pub(crate) name: Box<str>,
    pub(crate) help: Box<str>,
    pub(crate) kind: Kind,
    pub(crate) unit: Option<Box<str>>,
    /// The scope's labels, then the metric's own. None has an empty value: that is the same as no label.
    pub(crate) const_labels: Box<[(Box<str>, Box<str>)]>,
    pub(crate) label_names: Box<[Box<str>]>,
    pub(crate) buckets: Option<Arc<Buckets>>,
    pub(crate) native: Option<Arc<NativeLayout>>,
    pub(crate) summary: Option<Arc<SummaryLayout>>,
    pub(crate) series_max: usize,
    pub(crate) label_value_bytes_max: usize,
    pub(crate) nested: bool,
    pub(crate) exemplars: bool,
    pub(crate) states: Box<[Box<str>]>,
}

impl Descriptor {
    /// Checks everything that can be checked without looking at other metrics.
    pub(crate) fn new(
        opts: Opts,
        kind: Kind,
        scope: &[(Box<str>, Box<str>)],
        label_names: &[&str],
        buckets: Option<Arc<Buckets>>,
    ) -> Result<Self, RegisterError> {
        let Opts {
            name,
            help,
            unit,
            const_labels,
            series_max,
            label_value_bytes_max,
            nested,
            utf8_names,
            exemplars,
            states,
        } = opts;
        if utf8_names { check_utf8_metric_name(&name) } else { check_metric_name(&name) }?;
        let suffix = match kind {
            Kind::Counter | Kind::FloatCounter | Kind::CounterCallback => "_total",
            Kind::Info => INFO_SUFFIX,
            _ => "",
        };
        if Escaping::ALL.iter().any(|scheme| scheme.metric_name(&name) == suffix) {
            // OpenMetrics names the family without the suffix, and so does Python's parser of text.
            let reason = "it is nothing but the suffix of its type; put a name before that";
            return Err(RegisterError::InvalidName { name, reason });
        }
        let unsupported = [
            ("a unit", unit.is_some() && matches!(kind, Kind::Info | Kind::StateSet)),
            ("exemplars", exemplars && (!kind.accumulates() || kind == Kind::Summary)),
        ];
        if let Some((what, _)) = unsupported.into_iter().find(|&(_, asked)| asked) {
            return Err(RegisterError::Unsupported { name, kind: kind.named(), what });
        }
        let own = const_labels.into_iter().map(|(label, value)| (label.into(), value.into()));
        let const_labels: Box<[(Box<str>, Box<str>)]> = scope.iter().cloned().chain(own).collect();
        let all: Vec<&str> = const_labels
            .iter()
            .map(|(label, _)| &**label)
            .chain(label_names.iter().copied())
            .collect();
        for (at, label) in all.iter().enumerate() {
            if utf8_names {
                check_utf8_label_name(&name, label)?;
            } else {
                check_label_name(&name, label)?;
            }
            if all[..at].contains(label) {
                return Err(RegisterError::DuplicateLabel { name, label: (*label).into() });
            }
            if let Some((scheme, other)) = Escaping::ALL.into_iter().find_map(|scheme| {
                let escaped = scheme.label_name(label);
                let meets = |other: &&&str| scheme.label_name(other) == escaped;
                all[..at].iter().find(meets).map(|&other| (scheme, other))
            }) {
                let (label, other) = (label.to_string(), other.to_string());
                let escaped = scheme.label_name(&label).into_owned();
                return Err(RegisterError::EscapedLabels { name, label, other, scheme, escaped });
            }
        }
        if kind == Kind::StateSet {
            // The name is a label of the samples: the one that tells which state they are about.
            let meeting = Escaping::ALL.into_iter().find_map(|scheme| {
                let own = scheme.metric_name(&name);
                let other = all.iter().find(|other| scheme.label_name(other) == own)?;
                Some((scheme, *other, own.into_owned()))
            });
            if let Some((scheme, other, escaped)) = meeting {
                let (label, other) = (name.clone(), other.to_owned());
                return Err(RegisterError::EscapedLabels { name, label, other, scheme, escaped });
            }
        }
        if let Some(unit) = &unit {
            // The name's pattern no longer says what a unit may consist of, and formats cannot quote units.
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            if !unit.chars().all(plain) {
                return Err(RegisterError::InvalidUnit { name, unit: unit.clone() });
            }
            let stem = kind.stem(&name);
            if unit.is_empty()
                || !stem.strip_suffix(unit.as_str()).is_some_and(|s| s.ends_with('_'))
            {
                return Err(RegisterError::Unit { name, unit: unit.clone() });
            }
        }
        for (label, value) in &const_labels {
            check_operator_value(&name, label, value)?;
        }
        let label_names = label_names.iter().map(|&label| label.into()).collect();
        let told = const_labels.into_iter().filter(|(_, value)| !value.is_empty());
        Ok(Self {
            name: name.into(),
            help: help.into(),
            kind,
            unit: unit.map(Into::into),
            const_labels: told.collect(),
            label_names,
            buckets,
            native: None,
            summary: None,
            series_max,
            label_value_bytes_max,
            nested,
            exemplars,
            states: states.into_iter().map(Into::into).collect(),
        })
    }

    /// The name of the family.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The help text, unescaped.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The unit, if one was given.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Labels that all series share: those of the scopes from the outermost, then the metric's own.
    pub fn const_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.const_labels.iter().map(|(label, value)| (&**label, &**value))
    }

    /// Names of the labels whose values differ from series to series.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.label_names.iter().map(|label| &**label)
    }

    /// The bounds of a histogram; of a native one those of its classic form.
    pub fn buckets(&self) -> Option<&Buckets> {
        self.buckets.as_deref()
    }

    /// At most so many buckets does a native histogram show in one scrape; 0 for other kinds.
    pub fn native_buckets_max(&self) -> usize {
        self.native.as_deref().map_or(0, NativeLayout::shown_max)
    }

    /// Whether a native histogram takes negative values too, so that its sum may be negative and may fall.
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

    /// The quantiles of a summary, ascending.
    pub fn quantiles(&self) -> Option<&[f64]> {
        self.summary.as_deref().map(|layout| &*layout.quantiles)
    }

    /// The states of a state set; the first is the lowest bit of [`Value::States`](crate::Value::States). Empty for
    /// other kinds.
    pub fn states(&self) -> impl ExactSizeIterator<Item = &str> {
        self.states.iter().map(|state| &**state)
    }

    /// How many exemplars a series keeps: none unless the family opted in, else one, or one a bucket (of the classic
    /// form, in a native histogram).
    pub fn exemplar_slots(&self) -> usize {
        match (self.exemplars, self.buckets()) {
            (false, _) => 0,
            (true, None) => 1,
            (true, Some(buckets)) => buckets.bounds().len() + 1,
        }
    }

    /// The error that says how `self`, which is registered, differs from `asked`, which is not.
    pub(crate) fn conflict(&self, asked: &Self) -> Option<RegisterError> {
        let list = |names: &[Box<str>]| format!("[{}]", names.join(", "));
        let bytes_max = |of: &Self| of.label_value_bytes_max.to_string();
        let properties: [(&'static str, String, String); 12] = [
            ("type", self.kind.named().into(), asked.kind.named().into()),
            ("help", format!("{:?}", self.help), format!("{:?}", asked.help)),
            ("label names", list(&self.label_names), list(&asked.label_names)),
            ("bucket bounds", bounds(self), bounds(asked)),
            ("native buckets", text(&self.native), text(&asked.native)),
            ("summary options", text(&self.summary), text(&asked.summary)),
            ("unit", format!("{:?}", self.unit), format!("{:?}", asked.unit)),
            ("series limit", self.series_max.to_string(), asked.series_max.to_string()),
            ("limit of label values", bytes_max(self), bytes_max(asked)),
            ("nesting", self.nested.to_string(), asked.nested.to_string()),
            ("exemplar setting", self.exemplars.to_string(), asked.exemplars.to_string()),
            ("list of states", list(&self.states), list(&asked.states)),
        ];
        let (what, existing, requested) = properties.into_iter().find(|(_, a, b)| a != b)?;
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

    /// Whether a family of this description prints samples of this name under any escaping scheme.
    pub(crate) fn prints(&self, sample: &str) -> bool {
        let names = Escaping::ALL.into_iter();
        names
            .flat_map(|scheme| self.occupied_as(&scheme.metric_name(self.name())))
            .any(|name| name == sample)
    }

    /// The scheme under which `self` and `other`, of one name in two scopes, could have a series in common. A label whose
    /// value is empty is the same as none, so what varies may be there or not: only constant labels tell series apart,
    /// by another value, or by not being a label of the other at all.
    pub(crate) fn may_meet(&self, other: &Self) -> Option<Escaping> {
        let differ = |same: &dyn Fn(&str, &str) -> bool| {
            self.const_labels().any(|(label, value)| {
                other.const_labels().any(|(also, theirs)| value != theirs && same(label, also))
            })
        };
        // Scopes mostly differ in a value. What is one label as it is, is one under every scheme: this answers
        // for all of them and escapes nothing, which counts where a name is registered in thousands of scopes.
        if differ(&|a, b| a == b) {
            return None;
        }
        Escaping::ALL.into_iter().find(|scheme| {
            let same = |a: &str, b: &str| scheme.label_name(a) == scheme.label_name(b);
            self.is_covered_by(other, &same) && other.is_covered_by(self, &same) && !differ(&same)
        })
    }

    /// Whether a series of `other` can have every constant label of `self`.
    fn is_covered_by(&self, other: &Self, same: &dyn Fn(&str, &str) -> bool) -> bool {
        self.const_labels().all(|(label, _)| {
            let constant = other.const_labels().map(|(also, _)| also);
            constant.chain(other.label_names()).any(|also| same(label, also))
        })
    }

    /// The constant labels as `{a="x"}`, for error messages.
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
