//! Errors as Python exceptions, and numbers of Python with errors that name the metric.

use dynamo_metrics_core::Exemplar;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::fmt::Display;

/// Integers up to here are exact in an `f64`, in which a gauge keeps its value.
const EXACT_MAX: i64 = 1 << 53;

pub(crate) fn value_error(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Reads a count: an integer from 0 to 2^64 - 1.
#[inline]
pub(crate) fn count(metric: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    value.extract().map_err(|error| named(metric, value, "an integer from 0 to 2**64 - 1", error))
}

/// Reads an integer that a gauge can hold exactly.
#[inline]
pub(crate) fn integer(metric: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let expected = "an integer from -2**53 to 2**53";
    match value.extract::<i64>() {
        Ok(n) if (-EXACT_MAX..=EXACT_MAX).contains(&n) => Ok(n),
        Ok(n) => Err(value_error(format!("metric {metric:?}: {n} is not {expected}"))),
        Err(error) => Err(named(metric, value, expected, error)),
    }
}

/// Reads a number, NaN and infinities included.
#[inline]
pub(crate) fn number(metric: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.extract().map_err(|error| named(metric, value, "a number", error))
}

/// Reads an observation: any number but NaN.
#[inline]
pub(crate) fn observation(metric: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    let number = number(metric, value)?;
    if number.is_nan() {
        return Err(value_error(format!("metric {metric:?}: NaN cannot be observed")));
    }
    Ok(number)
}

/// Reads an increment of a counter of fractions: finite, not negative.
#[inline]
pub(crate) fn increment(metric: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    let number = number(metric, value)?;
    if number >= 0.0 && number.is_finite() {
        return Ok(number);
    }
    Err(value_error(format!(
        "metric {metric:?}: a counter cannot be increased by {number}; use a gauge for values that fall"
    )))
}

/// Reads the identifiers of a trace and, if given, of a span.
pub(crate) fn exemplar(
    metric: &str,
    trace_id: &Bound<'_, PyAny>,
    span_id: Option<&Bound<'_, PyAny>>,
) -> PyResult<Exemplar> {
    let refused = |error| value_error(format!("metric {metric:?}: {error}"));
    let trace_id = text(format_args!("metric {metric:?}: trace_id"), trace_id)?;
    let exemplar = Exemplar::new(&trace_id).map_err(refused)?;
    let Some(span_id) = span_id else { return Ok(exemplar) };
    let span_id = text(format_args!("metric {metric:?}: span_id"), span_id)?;
    exemplar.span_id(&span_id).map_err(refused)
}

/// Reads a text; the error begins with `what`.
pub(crate) fn text(what: impl Display, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("{what} must be str, not {}", kind(value))));
    };
    let text = text.to_cow().map_err(|_| not_unicode(&what))?;
    Ok(text.into_owned())
}

/// Returns the error of a text that has no UTF-8.
#[cold]
pub(crate) fn not_unicode(what: &dyn Display) -> PyErr {
    value_error(format!("{what} is not valid Unicode (it has a lone surrogate)"))
}

/// Returns the error of a value whose `str()` raises.
#[cold]
pub(crate) fn no_text(what: &dyn Display, value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = value.py();
    if error.is_instance_of::<PyTypeError>(py) {
        return PyTypeError::new_err(format!("{what}, {}, has no text: {error}", kind(value)));
    }
    if error.is_instance_of::<PyValueError>(py) {
        return value_error(format!("{what}, {}, has no text: {error}", kind(value)));
    }
    error // raised by the object's own `__str__`
}

/// Declares functions that read an argument of their name, for `from_py_with`: an `OverflowError` of Python names none.
macro_rules! arguments {
    ($($name:ident: $kind:ty, $expected:literal;)*) => {
        $(pub(crate) fn $name(value: &Bound<'_, PyAny>) -> PyResult<$kind> {
            value.extract().map_err(|error| argument(stringify!($name), value, $expected, error))
        })*
    };
}

arguments! {
    port: u16, "an integer from 0 to 65535";
    instance_id: u64, "an integer from 0 to 2**64 - 1";
    context_length: u64, "an integer from 0 to 2**64 - 1";
    kv_cache_block_size: u64, "an integer from 0 to 2**64 - 1";
    migration_limit: u64, "an integer from 0 to 2**64 - 1";
    worker_id: u64, "an integer from 0 to 2**64 - 1";
    canary_wait_time: Option<f64>, "a number of seconds";
    canary_timeout: f64, "a number of seconds";
    timeout: f64, "a number of seconds";
    grace: f64, "a number of seconds";
    prefixes: Option<Vec<String>>, "str, in a list or tuple";
    use_endpoint_health_status: Option<Vec<String>>, "str, in a list or tuple";
}

#[cold]
fn argument(name: &str, value: &Bound<'_, PyAny>, expected: &str, error: PyErr) -> PyErr {
    let py = value.py();
    if error.is_instance_of::<PyOverflowError>(py) {
        return value_error(format!("{name} must be {expected}"));
    }
    if error.is_instance_of::<PyTypeError>(py) {
        return PyTypeError::new_err(format!("{name} must be {expected}, not {}", kind(value)));
    }
    error // raised by the object's own `__float__` or `__index__`
}

/// Checks that a value can be called; the error begins with `what`.
pub(crate) fn callable(what: impl Display, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match value.is_callable() {
        true => Ok(()),
        false => Err(PyTypeError::new_err(format!("{what} must be callable, not {}", kind(value)))),
    }
}

/// Checks that a value has a method `collect`, as registries have; the error begins with `what`.
pub(crate) fn registry(what: impl Display, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match value.hasattr("collect")? {
        true => Ok(()),
        false => {
            let kind = kind(value);
            Err(PyTypeError::new_err(format!("{what} must be a CollectorRegistry, not {kind}")))
        }
    }
}

/// Reads a list or tuple; the error begins with `what`.
pub(crate) fn list<'py, T>(what: impl Display, value: &Bound<'py, PyAny>) -> PyResult<Vec<T>>
where
    Vec<T>: for<'a> FromPyObject<'a, 'py>,
{
    value.extract().map_err(|_| {
        PyTypeError::new_err(format!("{what}, in a list or tuple, not {}", kind(value)))
    })
}

fn kind(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string())
}

#[cold]
fn named(metric: &str, value: &Bound<'_, PyAny>, expected: &str, error: PyErr) -> PyErr {
    let py = value.py();
    if error.is_instance_of::<PyOverflowError>(py) || error.is_instance_of::<PyValueError>(py) {
        return value_error(format!("metric {metric:?}: the value is not {expected}"));
    }
    if error.is_instance_of::<PyTypeError>(py) {
        let kind = kind(value);
        return PyTypeError::new_err(format!("metric {metric:?}: expected {expected}, not {kind}"));
    }
    error // raised by the object's own `__float__` or `__index__`
}
