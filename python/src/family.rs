//! Families of Python: label values by position or by name, for any number of label names up to [`LABEL_NAMES_MAX`].
//!
//! The crate's families know their number of labels by type; here it is known at run time, and [`SeriesOf`] hides it. Values
//! given by name are put in the order of the family's names, so the order of a dictionary means nothing.

use crate::errors::{no_text, not_unicode, value_error};
use crate::fork::Origin;
use crate::kinds::{Counter, Gauge, Histogram, IntCounter, IntGauge};
use crate::metrics::Metrics;
use dynamo_metrics as native;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::fmt;
use std::sync::Arc;

/// Label names of a family; each number is compiled, and families of Dynamo have 3 at most.
pub(crate) const LABEL_NAMES_MAX: usize = 8;

/// Label values of one series, as many as the family has names, the first ones.
type Values<'py> = [Option<Bound<'py, PyString>>; LABEL_NAMES_MAX];

/// A family whose number of label names is not part of its type. Slices must have one value for each name.
pub(crate) trait SeriesOf<M>: Send + Sync {
    fn with(&self, values: &[&str]) -> M;
    fn remove(&self, values: &[&str]) -> bool;
    fn clear(&self);
    fn len(&self) -> usize;
}

pub(crate) struct Labelled<M> {
    pub(crate) name: Arc<str>,
    pub(crate) label_names: Vec<String>,
    pub(crate) family: Box<dyn SeriesOf<M>>,
    pub(crate) origin: Origin,
}

impl<M> fmt::Debug for Labelled<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labelled").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<M> Labelled<M> {
    /// Raises `RuntimeError` where the family's lock may be held for ever.
    #[inline]
    fn check(&self) -> PyResult<()> {
        self.origin.check(format_args!("metric {:?}", self.name))
    }

    /// Returns the label values in the order of the family's names; their bytes stay in Python's strings.
    fn values<'py>(
        &self,
        positional: &Bound<'py, PyTuple>,
        by_name: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Values<'py>> {
        let by_name = by_name.filter(|by_name| !by_name.is_empty());
        let Some(by_name) = by_name else {
            // One dictionary stands for values by name, as in Dynamo's API.
            if let Ok(first) = positional.get_item(0)
                && positional.len() == 1
                && let Ok(by_name) = first.cast::<PyDict>()
            {
                return self.values_by_name(by_name);
            }
            if positional.len() != self.label_names.len() {
                return Err(self.wrong_names(&format!("{} values", positional.len())));
            }
            let mut values = Values::default();
            for ((slot, label), value) in values.iter_mut().zip(&self.label_names).zip(positional) {
                *slot = Some(self.text(label, &value)?);
            }
            return Ok(values);
        };
        if !positional.is_empty() {
            return Err(self.wrong_names("values both by position and by name"));
        }
        self.values_by_name(by_name)
    }

    fn values_by_name<'py>(&self, by_name: &Bound<'py, PyDict>) -> PyResult<Values<'py>> {
        if by_name.len() != self.label_names.len() {
            return Err(self.wrong_names(&format!("{}", by_name.keys())));
        }
        let mut values = Values::default();
        for (slot, label) in values.iter_mut().zip(&self.label_names) {
            let value = by_name.get_item(label)?;
            let value = value.ok_or_else(|| self.wrong_names(&format!("{}", by_name.keys())))?;
            *slot = Some(self.text(label, &value)?);
        }
        Ok(values)
    }

    /// Returns the value as a string that has bytes of UTF-8.
    fn text<'py>(&self, label: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        let what = || format!("metric {:?}: the value of label {label:?}", self.name);
        let text = value.str().map_err(|error| no_text(&what(), value, error))?;
        match text.to_str() {
            Ok(_) => Ok(text),
            Err(_) => Err(not_unicode(&what())),
        }
    }

    /// Calls `of` with the label values.
    fn with_values<T>(&self, values: &Values<'_>, of: impl FnOnce(&[&str]) -> T) -> PyResult<T> {
        let mut texts = [""; LABEL_NAMES_MAX];
        for (text, value) in texts.iter_mut().zip(values.iter().flatten()) {
            *text = value.to_str()?;
        }
        Ok(of(&texts[..self.label_names.len()]))
    }

    #[cold]
    fn wrong_names(&self, given: &str) -> PyErr {
        value_error(format!(
            "metric {:?} has labels {:?}, but was given {given}",
            self.name, self.label_names
        ))
    }

    fn with(
        &self,
        positional: &Bound<'_, PyTuple>,
        by_name: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<M> {
        self.check()?;
        let values = self.values(positional, by_name)?;
        self.with_values(&values, |values| self.family.with(values))
    }

    fn remove(
        &self,
        positional: &Bound<'_, PyTuple>,
        by_name: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.check()?;
        let values = self.values(positional, by_name)?;
        self.with_values(&values, |values| self.family.remove(values))
    }
}

macro_rules! families {
    ($($(#[$doc:meta])* $class:ident -> $child:ident, $native:ty, $create:ident $(, $extra:ident: $type:ty)?;)*) => { $(
        $(#[$doc])*
        #[pyclass(frozen, module = "dynamo_metrics")]
        #[derive(Debug)]
        pub(crate) struct $class(Labelled<$native>);

        #[pymethods]
        impl $class {
            /// Returns the series of these label values, by position, by name, or as one dictionary; creates it if it does not
            /// exist. Keep the result for hot loops: a lookup costs more than a recording.
            #[pyo3(signature = (*values, **by_name))]
            fn labels(&self, values: &Bound<'_, PyTuple>, by_name: Option<&Bound<'_, PyDict>>) -> PyResult<$child> {
                Ok($child::new(Arc::clone(&self.0.name), self.0.with(values, by_name)?))
            }

            /// Removes the series of these label values; returns whether there was one.
            #[pyo3(signature = (*values, **by_name))]
            fn remove(&self, values: &Bound<'_, PyTuple>, by_name: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
                self.0.remove(values, by_name)
            }

            /// Removes all series.
            fn clear(&self) -> PyResult<()> {
                self.0.check()?;
                self.0.family.clear();
                Ok(())
            }

            fn __len__(&self) -> PyResult<usize> {
                self.0.check()?;
                Ok(self.0.family.len())
            }

            /// The label names, in the order of values by position.
            #[getter]
            fn label_names(&self) -> Vec<String> {
                self.0.label_names.clone()
            }
        }

        impl $class {
            pub(crate) fn create(
                metrics: &Metrics,
                opts: native::Opts,
                label_names: Vec<String>
                $(, $extra: $type)?
            ) -> PyResult<Self> {
                let name = Arc::from(opts.name());
                metrics.1.check(format_args!("metric {name:?}"))?;
                let names: Vec<&str> = label_names.iter().map(String::as_str).collect();
                macro_rules! of_arity {
                    ($n:literal) => {{
                        let names: [&str; $n] = std::array::from_fn(|i| names[i]);
                        let family = metrics.0.$create(opts, names $(, $extra)?).map_err(value_error)?;
                        Box::new(family) as Box<dyn SeriesOf<$native>>
                    }};
                }
                let family = match names.len() {
                    1 => of_arity!(1),
                    2 => of_arity!(2),
                    3 => of_arity!(3),
                    4 => of_arity!(4),
                    5 => of_arity!(5),
                    6 => of_arity!(6),
                    7 => of_arity!(7),
                    LABEL_NAMES_MAX => of_arity!(8),
                    n => return Err(value_error(format!(
                        "metric {name:?} has {n} label names; a family has 1 to {LABEL_NAMES_MAX}"
                    ))),
                };
                Ok(Self(Labelled { name, label_names, family, origin: metrics.1 }))
            }
        }
    )* };
}

macro_rules! series_of {
    ($($native:ty),*) => { $(
        impl<const N: usize> SeriesOf<$native> for native::Family<$native, N> {
            fn with(&self, values: &[&str]) -> $native {
                native::Family::with(self, std::array::from_fn(|i| values[i]))
            }
            fn remove(&self, values: &[&str]) -> bool {
                native::Family::remove(self, std::array::from_fn(|i| values[i]))
            }
            fn clear(&self) {
                native::Family::clear(self);
            }
            fn len(&self) -> usize {
                native::Family::len(self)
            }
        }
    )* };
}

series_of!(native::FloatCounter, native::Counter, native::Gauge, native::Histogram);

families! {
    /// Counters of fractions, one for each set of label values.
    CounterVec -> Counter, native::FloatCounter, float_counter_family;
    /// Counters of whole things, one for each set of label values.
    IntCounterVec -> IntCounter, native::Counter, counter_family;
    /// Gauges, one for each set of label values.
    GaugeVec -> Gauge, native::Gauge, gauge_family;
    /// Gauges of integers, one for each set of label values.
    IntGaugeVec -> IntGauge, native::Gauge, gauge_family;
    /// Histograms, one for each set of label values.
    HistogramVec -> Histogram, native::Histogram, histogram_family, buckets: &native::Buckets;
}

/// Reads constant labels: a mapping, or pairs of name and value.
pub(crate) fn const_labels(
    metric: &str,
    labels: &Bound<'_, PyAny>,
) -> PyResult<Vec<(String, String)>> {
    let pairs = match labels.cast::<PyDict>() {
        Ok(labels) => labels.items().extract(),
        Err(_) => labels.extract(),
    };
    pairs.map_err(|_| {
        PyTypeError::new_err(format!(
            "metric {metric:?}: labels must be a dict of str, or a list of pairs of str, all valid Unicode"
        ))
    })
}
