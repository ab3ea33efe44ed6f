//! Label names, and the series of a metric by their values: a dictionary of Python, so that a lookup is one.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyClass, PyClassInitializer, PyTraverseError, PyVisit, intern};
use std::sync::OnceLock;

/// The native part of every metric: `labels`.
#[pyclass(subclass, frozen, module = "dynamo_metrics._native")]
#[derive(Debug, Default)]
pub(crate) struct Labelled {
    /// The label names, and the series by their values, of a metric with label names, which has series and no value.
    family: OnceLock<(Py<PyTuple>, Py<PyDict>)>,
}

impl Labelled {
    /// Returns an object of a class that extends this one, without labels as yet.
    pub(crate) fn base_of<T: PyClass<BaseType = Self>>(object: T) -> PyClassInitializer<T> {
        PyClassInitializer::from(Self::default()).add_subclass(object)
    }

    /// Returns the label names and the series by their values, of a metric that has label names.
    pub(crate) fn family(&self) -> Option<&(Py<PyTuple>, Py<PyDict>)> {
        self.family.get()
    }
}

#[pymethods]
impl Labelled {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    /// Makes this the metric of these label names, with its series in this dictionary.
    fn _set_family(&self, names: Py<PyTuple>, series: Py<PyDict>) {
        _ = self.family.set((names, series));
    }

    /// Takes the series off the page of all processes, unless another object records into it; returns whether it did. Kinds that
    /// processes share have methods of their own.
    fn _remove_shared(&self) -> bool {
        false
    }

    /// Returns the series of these label values, by position or by name; creates it if it does not exist. Keep the result for
    /// hot loops.
    #[pyo3(signature = (*labelvalues, **labelkwargs))]
    fn labels<'py>(
        slf: &Bound<'py, Self>,
        labelvalues: &Bound<'py, PyTuple>,
        labelkwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Some((names, series)) = slf.get().family() else {
            return Err(refused(slf, "has no labels, or its labels are set already"));
        };
        let (names, series) = (names.bind(py), series.bind(py));
        let key = match labelkwargs.filter(|by_name| !by_name.is_empty()) {
            None => by_position(slf, names, labelvalues)?,
            Some(_) if !labelvalues.is_empty() => {
                return Err(refused(slf, "was given label values both by position and by name"));
            }
            Some(by_name) => values_by_name(slf, names, by_name)?,
        };
        if let Some(found) = series.get_item(&key)? {
            return Ok(found);
        }
        let made = slf.call_method1(intern!(py, "_make_series"), (&key,))?;
        // Another thread may have been faster; then its series is the one.
        series.call_method1(intern!(py, "setdefault"), (key, made))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.family.get() {
            Some((names, series)) => visit.call(names).and_then(|()| visit.call(series)),
            None => Ok(()),
        }
    }
}

fn by_position<'py>(
    metric: &Bound<'py, Labelled>,
    names: &Bound<'py, PyTuple>,
    values: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    if values.len() != names.len() {
        let given = format!("has the labels {names}, but was given {} values", values.len());
        return Err(refused(metric, &given));
    }
    if values.iter().all(|value| value.is_exact_instance_of::<PyString>()) {
        return Ok(values.clone());
    }
    let texts = values.iter().map(|value| value.str()).collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(metric.py(), texts)
}

fn values_by_name<'py>(
    metric: &Bound<'py, Labelled>,
    names: &Bound<'py, PyTuple>,
    by_name: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyTuple>> {
    let wrong =
        || refused(metric, &format!("has the labels {names}, but was given {}", by_name.keys()));
    if by_name.len() != names.len() {
        return Err(wrong());
    }
    let value = |name| by_name.get_item(name)?.ok_or_else(wrong)?.str();
    let texts = names.iter().map(value).collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(metric.py(), texts)
}

#[cold]
fn refused(metric: &Bound<'_, Labelled>, why: &str) -> PyErr {
    let name = metric.str().map_or_else(|_| "?".into(), |name| name.to_string());
    PyValueError::new_err(format!("metric {name} {why}"))
}
