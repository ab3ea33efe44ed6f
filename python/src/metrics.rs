//! The metrics of one level: constructors of every kind, and engines' pages.

use crate::bridge;
use crate::errors::{self, list, text, value_error};
use crate::family::{CounterVec, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, const_labels};
use crate::fork::Origin;
use crate::kinds::{Counter, Gauge, Histogram, IntCounter, IntGauge};
use dynamo_metrics as native;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Shortest timeout of an engine, as in Rust.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// The metrics of a level of the hierarchy; names get the prefix `dynamo_component_`.
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct Metrics(pub(crate) native::Metrics, pub(crate) Origin);

macro_rules! constructors {
    (
        counters {$($counter:ident, $counters:ident: $counter_class:ident, $counters_class:ident, $native_counter:ident;)*}
        gauges {$($gauge:ident, $gauges:ident: $gauge_class:ident, $gauges_class:ident;)*}
    ) => {
        #[pymethods]
        impl Metrics {
            $(
                /// Creates the counter, or returns the one of this name; `labels` are constant: a dict, or pairs. With `exemplars`
                /// it keeps the trace of its last increment by `inc_with_exemplar`, at 64 bytes a series. Raises `ValueError` where
                /// the name, a label or the help text is not valid or conflicts.
                #[pyo3(signature = (name, description, labels=None, *, exemplars=false))]
                fn $counter(
                    &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, labels: Option<&Bound<'_, PyAny>>,
                    exemplars: bool,
                ) -> PyResult<$counter_class> {
                    let name = &self.name(name)?;
                    let opts = opts(name, description, labels, exemplars)?;
                    let series = self.0.$native_counter(opts).map_err(value_error)?;
                    Ok($counter_class::new(Arc::from(name.as_str()), series))
                }

                /// Creates a family of counters: a series for each set of values of `label_names`. `labels` are constant.
                #[pyo3(signature = (name, description, label_names, labels=None, *, exemplars=false))]
                fn $counters(
                    &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, label_names: &Bound<'_, PyAny>,
                    labels: Option<&Bound<'_, PyAny>>, exemplars: bool,
                ) -> PyResult<$counters_class> {
                    let name = &metric_name(name)?;
                    let opts = opts(name, description, labels, exemplars)?;
                    $counters_class::create(self, opts, names(name, label_names)?)
                }
            )*

            $(
                /// Creates the gauge, or returns the one of this name; `labels` are constant: a dict, or pairs. Raises `ValueError`
                /// where the name, a label or the help text is not valid or conflicts.
                #[pyo3(signature = (name, description, labels=None))]
                fn $gauge(
                    &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, labels: Option<&Bound<'_, PyAny>>,
                ) -> PyResult<$gauge_class> {
                    let name = &self.name(name)?;
                    let series = self.0.gauge(opts(name, description, labels, false)?).map_err(value_error)?;
                    Ok($gauge_class::new(Arc::from(name.as_str()), series))
                }

                /// Creates a family of gauges: a series for each set of values of `label_names`. `labels` are constant.
                #[pyo3(signature = (name, description, label_names, labels=None))]
                fn $gauges(
                    &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, label_names: &Bound<'_, PyAny>,
                    labels: Option<&Bound<'_, PyAny>>,
                ) -> PyResult<$gauges_class> {
                    let name = &metric_name(name)?;
                    $gauges_class::create(self, opts(name, description, labels, false)?, names(name, label_names)?)
                }
            )*

            /// Creates a histogram; `buckets` are its upper bounds, increasing, without `+Inf`: Prometheus' own unless given. With
            /// `exemplars` each bucket keeps the trace of its last value by `observe_with_exemplar`, at 64 bytes a bucket.
            #[pyo3(signature = (name, description, labels=None, buckets=None, *, exemplars=false))]
            fn create_histogram(
                &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, labels: Option<&Bound<'_, PyAny>>,
                buckets: Option<&Bound<'_, PyAny>>, exemplars: bool,
            ) -> PyResult<Histogram> {
                let name = &self.name(name)?;
                let buckets = bounds(name, buckets)?;
                let opts = opts(name, description, labels, exemplars)?;
                let series = self.0.histogram(opts, &buckets).map_err(value_error)?;
                Ok(Histogram::new(Arc::from(name.as_str()), series))
            }

            /// Creates a family of histograms.
            #[pyo3(signature = (name, description, label_names, labels=None, buckets=None, *, exemplars=false))]
            fn create_histogramvec(
                &self, name: &Bound<'_, PyAny>, description: &Bound<'_, PyAny>, label_names: &Bound<'_, PyAny>,
                labels: Option<&Bound<'_, PyAny>>, buckets: Option<&Bound<'_, PyAny>>, exemplars: bool,
            ) -> PyResult<HistogramVec> {
                let name = &metric_name(name)?;
                let buckets = bounds(name, buckets)?;
                let opts = opts(name, description, labels, exemplars)?;
                HistogramVec::create(self, opts, names(name, label_names)?, &buckets)
            }

            /// Merges an engine's page: `callback` returns its text in Prometheus' text format. It runs on a thread of its own; a late
            /// or failing callback leaves its last good text, and delays no probe. Families are limited to `prefixes` if given.
            #[pyo3(signature = (callback, *, name="engine", prefixes=None))]
            fn register_prometheus_expfmt_callback(
                &self, py: Python<'_>, callback: Py<PyAny>, name: &str,
                #[pyo3(from_py_with = errors::prefixes)] prefixes: Option<Vec<String>>,
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
                &self, py: Python<'_>, registry: Py<PyAny>,
                #[pyo3(from_py_with = errors::prefixes)] prefixes: Option<Vec<String>>, name: &str,
            ) -> PyResult<()> {
                errors::registry(format_args!("engine {name:?}: the registry"), registry.bind(py))?;
                let reader = py.import("dynamo_metrics._engine")?.call_method1("reader", (registry,))?;
                self.register_prometheus_expfmt_callback(py, reader.unbind(), name, prefixes)
            }

            /// Merges the page of an engine in another process, as an engine's: reads `http://host:port/path` once a scrape, in at
            /// most `timeout` seconds, 0.001 to 30. Raises `ValueError` for another kind of address. See
            /// `register_prometheus_expfmt_callback`.
            #[pyo3(signature = (url, *, prefixes=None, name="engine", timeout=1.0))]
            fn register_engine_url(
                &self, url: &str,
                #[pyo3(from_py_with = errors::prefixes)] prefixes: Option<Vec<String>>, name: &str,
                #[pyo3(from_py_with = errors::timeout)] timeout: f64,
            ) -> PyResult<()> {
                self.1.check(format_args!("engine {name:?}"))?;
                let filter = bridge::filter(prefixes)?;
                let timeout = engine_timeout(name, timeout)?;
                let source = native::EngineSource::url(name, filter, url, timeout).map_err(value_error)?;
                self.0.exporter().engine(source).map_err(value_error)?;
                Ok(())
            }
        }
    };
}

constructors! {
    counters {
        create_counter, create_countervec: Counter, CounterVec, float_counter;
        create_intcounter, create_intcountervec: IntCounter, IntCounterVec, counter;
    }
    gauges {
        create_gauge, create_gaugevec: Gauge, GaugeVec;
        create_intgauge, create_intgaugevec: IntGauge, IntGaugeVec;
    }
}

impl Metrics {
    /// Returns the name of a metric that is created here, in the process that made this level.
    fn name(&self, name: &Bound<'_, PyAny>) -> PyResult<String> {
        let name = metric_name(name)?;
        self.1.check(format_args!("metric {name:?}"))?;
        Ok(name)
    }
}

fn engine_timeout(name: &str, seconds: f64) -> PyResult<Duration> {
    let most = native::engine::ENGINE_TIMEOUT_MAX;
    let timeout = Duration::try_from_secs_f64(seconds).ok();
    timeout.filter(|timeout| (TIMEOUT_MIN..=most).contains(timeout)).ok_or_else(|| {
        value_error(format!(
            "engine {name:?}: the timeout is {seconds} s; it must be from {} to {} s",
            TIMEOUT_MIN.as_secs_f64(),
            most.as_secs_f64()
        ))
    })
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
    exemplars: bool,
) -> PyResult<native::Opts> {
    let help = text(format_args!("metric {name:?}: the description"), help)?;
    let labels = labels.map_or(Ok(Vec::new()), |labels| const_labels(name, labels))?;
    let with =
        |opts: native::Opts, (label, value): (String, String)| opts.const_label(label, value);
    let opts = labels.into_iter().fold(native::Opts::new(name, help), with);
    Ok(if exemplars { opts.exemplars() } else { opts })
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
