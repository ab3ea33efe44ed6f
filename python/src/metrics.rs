//! The metrics of one level: constructors of every kind, and engines' pages.

use crate::bridge;
use crate::errors::{list, text, value_error};
use crate::family::{CounterVec, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, const_labels};
use crate::fork::Origin;
use crate::kinds::{Counter, Gauge, Histogram, IntCounter, IntGauge};
use dynamo_metrics as native;
use pyo3::prelude::*;
use std::sync::Arc;

/// The metrics of a level of the hierarchy; names get the prefix `dynamo_component_`.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct Metrics(pub(crate) native::Metrics, pub(crate) Origin);

macro_rules! constructors {
    ($($one:ident, $vec:ident: $class:ident, $vec_class:ident, $native:ident;)*) => {
        #[pymethods]
        impl Metrics {
            $(
                /// Creates the metric, or returns the one of this name; `labels` are constant: a dict, or pairs. Raises `ValueError`
                /// where the name, a label or the help text is not valid or conflicts.
                #[pyo3(signature = (name, description, labels=None))]
                fn $one(
                    &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, labels: Option<&Bound<'_, PyAny>>,
                ) -> PyResult<$class> {
                    let name = &metric_name(name)?;
                    self.1.check(format_args!("metric {name:?}"))?;
                    let series = self.0.$native(opts(name, description, labels)?).map_err(value_error)?;
                    Ok($class::new(Arc::from(name.as_str()), series))
                }

                /// Creates a family: a series for each set of values of `label_names`. `labels` are constant.
                #[pyo3(signature = (name, description, label_names, labels=None))]
                fn $vec(
                    &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, label_names: &Bound<'_, PyAny>,
                    labels: Option<&Bound<'_, PyAny>>,
                ) -> PyResult<$vec_class> {
                    let name = &metric_name(name)?;
                    $vec_class::create(self, opts(name, description, labels)?, names(name, label_names)?)
                }
            )*

            /// Creates a histogram; `buckets` are its upper bounds, increasing, without `+Inf`: Prometheus' own unless given.
            #[pyo3(signature = (name, description, labels=None, buckets=None))]
            fn create_histogram(
                &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, labels: Option<&Bound<'_, PyAny>>,
                buckets: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<Histogram> {
                let name = &metric_name(name)?;
                self.1.check(format_args!("metric {name:?}"))?;
                let buckets = bounds(name, buckets)?;
                let series = self.0.histogram(opts(name, description, labels)?, &buckets).map_err(value_error)?;
                Ok(Histogram::new(Arc::from(name.as_str()), series))
            }

            /// Creates a family of histograms.
            #[pyo3(signature = (name, description, label_names, labels=None, buckets=None))]
            fn create_histogramvec(
                &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, label_names: &Bound<'_, PyAny>,
                labels: Option<&Bound<'_, PyAny>>, buckets: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<HistogramVec> {
                let name = &metric_name(name)?;
                let buckets = bounds(name, buckets)?;
                HistogramVec::create(self, opts(name, description, labels)?, names(name, label_names)?, &buckets)
            }

            /// Merges an engine's page: `callback` returns its text in Prometheus' text format. It runs on a thread of its own; a late
            /// or failing callback leaves its last good text, and delays no probe. Families are limited to `prefixes` if given.
            #[pyo3(signature = (callback, *, name="engine", prefixes=None))]
            fn register_prometheus_expfmt_callback(
                &self, py: Python<'_>, callback: Py<PyAny>, name: &str, prefixes: Option<Vec<String>>,
            ) -> PyResult<()> {
                self.1.check(format_args!("engine {name:?}"))?;
                let source = bridge::engine_source(py, name, prefixes, callback)?;
                self.0.exporter().engine(source).map_err(value_error)?;
                Ok(())
            }

            /// Merges the page of a `prometheus_client` registry, as an engine's; see `register_prometheus_expfmt_callback`. Where
            /// `PROMETHEUS_MULTIPROC_DIR` is set, the page has the values of all processes.
            #[pyo3(signature = (registry, *, prefixes=None, name="engine"))]
            fn register_engine_registry(
                &self, py: Python<'_>, registry: Py<PyAny>, prefixes: Option<Vec<String>>, name: &str,
            ) -> PyResult<()> {
                let reader = py.import("dynamo_metrics._engine")?.call_method1("reader", (registry,))?;
                self.register_prometheus_expfmt_callback(py, reader.unbind(), name, prefixes)
            }
        }
    };
}

constructors! {
    create_counter, create_countervec: Counter, CounterVec, float_counter;
    create_intcounter, create_intcountervec: IntCounter, IntCounterVec, counter;
    create_gauge, create_gaugevec: Gauge, GaugeVec, gauge;
    create_intgauge, create_intgaugevec: IntGauge, IntGaugeVec, gauge;
}

fn metric_name(name: &Bound<'_, PyAny>) -> PyResult<String> {
    text("the name of a metric", name)
}

fn names(metric: &str, names: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let what = format!("metric {metric:?}: label names must be str");
    let names: Vec<Bound<'_, PyAny>> = list(&what, names)?;
    names.iter().map(|name| text(format_args!("metric {metric:?}: a label name"), name)).collect()
}

fn opts(
    name: &str,
    help: &Bound<'_, PyAny>,
    labels: Option<&Bound<'_, PyAny>>,
) -> PyResult<native::Opts> {
    let help = text(format_args!("metric {name:?}: the description"), help)?;
    let labels = labels.map_or(Ok(Vec::new()), |labels| const_labels(name, labels))?;
    let with =
        |opts: native::Opts, (label, value): (String, String)| opts.const_label(label, value);
    Ok(labels.into_iter().fold(native::Opts::new(name, help), with))
}

fn bounds(name: &str, bounds: Option<&Bound<'_, PyAny>>) -> PyResult<native::Buckets> {
    let Some(bounds) = bounds else { return Ok(native::Buckets::default()) };
    let mut bounds: Vec<f64> =
        list(format_args!("metric {name:?}: buckets must be numbers"), bounds)?;
    if bounds.last() == Some(&f64::INFINITY) {
        bounds.pop(); // implied; prometheus_client's lists may end with it
    }
    native::Buckets::new(bounds).map_err(|error| value_error(format!("metric {name:?}: {error}")))
}
