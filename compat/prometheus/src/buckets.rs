//! The buckets of histograms: options, bounds, and generators of bounds.

use crate::desc::{Desc, Describer};
use crate::error::{Error, Result};
use crate::metric::Opts;
use dynamo_metrics_core::Buckets;
use std::collections::HashMap;
use std::sync::OnceLock;

/// The upper bounds of buckets where none are given: 5 ms to 10 s, in seconds.
pub const DEFAULT_BUCKETS: &[f64; 11] = &dynamo_metrics_core::BOUNDS_DEFAULT;

/// The label of a bucket's upper bound, which no histogram can have as a label of its own.
pub(crate) const BUCKET_LABEL: &str = "le";

/// The name, help, labels and buckets that a histogram is made with.
#[derive(Clone, Debug)]
pub struct HistogramOpts {
    /// Name, help and labels.
    pub common_opts: Opts,
    /// The upper bounds of the buckets, which must increase; [`DEFAULT_BUCKETS`] if empty. `+Inf` is implied.
    pub buckets: Vec<f64>,
}

impl HistogramOpts {
    /// Returns options with this name and help.
    pub fn new<S1: Into<String>, S2: Into<String>>(name: S1, help: S2) -> Self {
        Opts::new(name, help).into()
    }

    /// Sets the namespace.
    pub fn namespace<S: Into<String>>(mut self, namespace: S) -> Self {
        self.common_opts = self.common_opts.namespace(namespace);
        self
    }

    /// Sets the subsystem.
    pub fn subsystem<S: Into<String>>(mut self, subsystem: S) -> Self {
        self.common_opts = self.common_opts.subsystem(subsystem);
        self
    }

    /// Replaces the constant labels.
    pub fn const_labels(mut self, const_labels: HashMap<String, String>) -> Self {
        self.common_opts = self.common_opts.const_labels(const_labels);
        self
    }

    /// Adds a constant label.
    pub fn const_label<S1: Into<String>, S2: Into<String>>(mut self, name: S1, value: S2) -> Self {
        self.common_opts = self.common_opts.const_label(name, value);
        self
    }

    /// Replaces the variable labels.
    pub fn variable_labels(mut self, variable_labels: Vec<String>) -> Self {
        self.common_opts = self.common_opts.variable_labels(variable_labels);
        self
    }

    /// Adds a variable label.
    pub fn variable_label<S: Into<String>>(mut self, name: S) -> Self {
        self.common_opts = self.common_opts.variable_label(name);
        self
    }

    /// Returns the parts of the name, joined; see [`Opts::fq_name`].
    pub fn fq_name(&self) -> String {
        self.common_opts.fq_name()
    }

    /// Sets the upper bounds of the buckets.
    pub fn buckets(mut self, buckets: Vec<f64>) -> Self {
        self.buckets = buckets;
        self
    }
}

impl Describer for HistogramOpts {
    fn describe(&self) -> Result<Desc> {
        self.common_opts.describe()
    }
}

impl From<Opts> for HistogramOpts {
    fn from(opts: Opts) -> Self {
        Self { common_opts: opts, buckets: DEFAULT_BUCKETS.to_vec() }
    }
}

/// The upper bounds of a histogram, and the lookup of a value's bucket.
#[doc(hidden)]
#[derive(Debug)]
pub struct Bounds {
    /// The bounds as they are printed, without `+Inf`.
    pub(crate) upper: Box<[f64]>,
    /// `None` for bounds that the core refuses: too many, or not finite.
    lookup: Option<Buckets>,
    /// `le="..."` of each bucket, `+Inf` included.
    labels: OnceLock<Box<[String]>>,
}

impl Bounds {
    pub(crate) fn new(opts: &HistogramOpts) -> Result<Self> {
        let mut upper = opts.buckets.clone();
        if upper.is_empty() {
            upper.extend(DEFAULT_BUCKETS);
        }
        if let Some(pair) = upper.windows(2).find(|pair| pair[0] >= pair[1]) {
            let (before, after) = (pair[0], pair[1]);
            let text =
                format!("histogram buckets must be in increasing order: {before} >= {after}");
            return Err(Error::Msg(text));
        }
        upper.pop_if(|last| *last == f64::INFINITY);
        let lookup = Buckets::new(upper.iter().copied()).ok();
        Ok(Self { upper: upper.into(), lookup, labels: OnceLock::new() })
    }

    /// Returns the label of each bucket as the text format writes it, `+Inf` included.
    pub(crate) fn labels(&self) -> &[String] {
        self.labels.get_or_init(|| {
            let bounds = self.upper.iter().map(ToString::to_string);
            let all = bounds.chain(["+Inf".to_owned()]);
            all.map(|bound| format!("{BUCKET_LABEL}=\"{bound}\"")).collect()
        })
    }

    /// Returns the first bucket whose bound is not below the value; that of `+Inf` for NaN.
    #[inline]
    pub(crate) fn index(&self, v: f64) -> usize {
        match &self.lookup {
            Some(buckets) => buckets.index(v),
            None => self.upper.iter().position(|bound| v <= *bound).unwrap_or(self.upper.len()),
        }
    }
}

/// Returns `count` bounds: `start`, `start + width`, ...
///
/// # Errors
/// No bound, or a width that is not positive.
pub fn linear_buckets(start: f64, width: f64, count: usize) -> Result<Vec<f64>> {
    if count < 1 {
        let text = format!("LinearBuckets needs a positive count, count: {count}");
        return Err(Error::Msg(text));
    }
    if width <= 0.0 {
        let text = format!("LinearBuckets needs a width greater then 0, width: {width}");
        return Err(Error::Msg(text));
    }
    Ok((0..count).map(|step| start + width * step as f64).collect())
}

/// Returns `count` bounds: `start`, `start * factor`, ...
///
/// # Errors
/// No bound, a start that is not positive, or a factor that is not above one.
pub fn exponential_buckets(start: f64, factor: f64, count: usize) -> Result<Vec<f64>> {
    if count < 1 {
        let text = format!("exponential_buckets needs a positive count, count: {count}");
        return Err(Error::Msg(text));
    }
    if start <= 0.0 {
        let text = format!("exponential_buckets needs a positive start value, start: {start}");
        return Err(Error::Msg(text));
    }
    if factor <= 1.0 {
        let text = format!("exponential_buckets needs a factor greater than 1, factor: {factor}");
        return Err(Error::Msg(text));
    }
    Ok(std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_the_core_refuses_are_searched() {
        let opts = HistogramOpts::new("h", "help").buckets(vec![f64::NEG_INFINITY, 0.0, 1.0]);
        let bounds = Bounds::new(&opts).unwrap();
        assert!(bounds.lookup.is_none());
        let found = [f64::NEG_INFINITY, -1.0, 0.5, 2.0, f64::NAN].map(|v| bounds.index(v));
        assert_eq!(found, [0, 1, 2, 3, 3]);
    }
}
