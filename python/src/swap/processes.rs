//! The processes that share metrics: this process joins a directory when it creates its first metric, and all of its metrics record
//! there. One that creates none, and only reads the page, has no file.
//!
//! All functions run with the interpreter lock and release it nowhere, so a fork never comes while one holds the lock here.

use super::number;
use super::text::{Header, begin_family, label_texts, push_all, push_sample};
use dynamo_metrics::multiprocess::{
    Error, Exemplar, Family, FamilyKind, Opts, Page, PageSeries, Processes, Value,
};
use dynamo_metrics_core::escaping::{is_legacy_label_name, is_legacy_metric_name};
use pyo3::exceptions::{PyOSError, PyRuntimeWarning, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use std::ffi::{CString, OsString};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The directory that this process shares, and the process among those that share it once it has created a metric.
struct Shared {
    directory: PathBuf,
    joined: Option<Processes>,
    /// The time of the last try to join that failed.
    failed: Option<Instant>,
}

/// Metrics that are created within this time of a try that failed do not try again: each try looks at all files.
const JOIN_PAUSE: Duration = Duration::from_secs(1);

pub(crate) const EMPTY_DIRECTORY: &str =
    "the directory of shared metrics is empty: name one, or shm for one in memory";

static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Shared>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns this process among those that share a directory, if it does and has created a metric.
fn joined() -> Option<Processes> {
    lock().as_ref()?.joined.clone()
}

/// Shares the metrics that are created from now on in a directory; returns its absolute path. Raises `OSError` where it cannot be made,
/// and `ValueError` where it has no name or the process shares another one.
#[pyfunction]
pub(crate) fn _share(directory: PathBuf) -> PyResult<OsString> {
    if directory.as_os_str().is_empty() {
        return Err(PyValueError::new_err(EMPTY_DIRECTORY));
    }
    let refused = |error: std::io::Error| {
        os_error(format!("cannot share metrics in {}: {error}", directory.display()))
    };
    // The program may change its present directory before its first metric, and so may a process that it starts.
    let absolute = std::path::absolute(&directory).map_err(refused)?;
    let mut shared = lock();
    match &*shared {
        Some(shared) if shared.directory == absolute => {}
        Some(shared) => {
            return Err(PyValueError::new_err(format!(
                "this process shares metrics in {} already, so it cannot share them in {}",
                shared.directory.display(),
                absolute.display()
            )));
        }
        None => {
            std::fs::create_dir_all(&absolute).map_err(refused)?;
            *shared = Some(Shared { directory: absolute.clone(), joined: None, failed: None });
        }
    }
    Ok(absolute.into())
}

/// Returns the directory that this process shares, or `None`.
#[pyfunction]
pub(crate) fn _shared_directory() -> Option<OsString> {
    Some(lock().as_ref()?.directory.as_os_str().to_owned())
}

/// Gives a forked process a file of its own.
pub(crate) fn rejoin() -> PyResult<()> {
    joined().map_or(Ok(()), |processes| processes.rejoin().map_err(os_error))
}

fn os_error(error: impl std::fmt::Display) -> PyErr {
    PyOSError::new_err(error.to_string())
}

/// The identity of a series on a page of all processes: the name, the help, the unit, the names and the values of the labels.
#[derive(FromPyObject)]
pub(crate) struct Identity<'py>(
    Bound<'py, PyString>,
    Bound<'py, PyString>,
    Bound<'py, PyString>,
    Bound<'py, PyTuple>,
    Bound<'py, PyTuple>,
);

impl Identity<'_> {
    fn opts(&self) -> PyResult<Opts> {
        // A lone surrogate, which no text can have, becomes the replacement character.
        let mut opts = Opts::new(self.0.to_string_lossy(), self.1.to_string_lossy())
            .unit(self.2.to_string_lossy());
        for (name, value) in self.3.iter().zip(self.4.iter()) {
            opts = opts.label(
                name.cast::<PyString>()?.to_string_lossy(),
                value.cast::<PyString>()?.to_string_lossy(),
            );
        }
        Ok(opts)
    }
}

/// Returns this process among those that share a directory, which it joins with its first metric, if it shares one. An error that was
/// given before is `None`.
fn join() -> Option<Result<Processes, Option<Error>>> {
    let mut guard = lock();
    let shared = guard.as_mut()?;
    if let Some(processes) = &shared.joined {
        return Some(Ok(processes.clone()));
    }
    if shared.failed.is_some_and(|at| at.elapsed() < JOIN_PAUSE) {
        return Some(Err(None));
    }
    let is_first = shared.failed.is_none();
    Some(match Processes::join(&shared.directory) {
        Ok(processes) => Ok(shared.joined.insert(processes).clone()),
        Err(error) => {
            shared.failed = Some(Instant::now());
            Err(Some(error).filter(|_| is_first))
        }
    })
}

/// Returns what `make` makes of the processes, or `None` where the process shares no metrics, cannot join those that do, or has no room
/// for another series; then a warning says that this process's own page has it.
pub(crate) fn shared<T>(
    py: Python<'_>,
    identity: &Identity<'_>,
    make: impl Fn(&Processes, &Opts) -> Result<T, Error>,
) -> PyResult<Option<T>> {
    let opts = identity.opts()?;
    let processes = match join() {
        None => return Ok(None),
        Some(Ok(processes)) => processes,
        Some(Err(None)) => return Ok(None),
        Some(Err(Some(error))) => {
            warn(
                py,
                &format!("{error}; until then only the page of this process has its metrics"),
            )?;
            return Ok(None);
        }
    };
    let made = match make(&processes, &opts) {
        // Of a fork that ran none of Python's hooks.
        Err(Error::Forked { .. }) => processes.rejoin().and_then(|()| make(&processes, &opts)),
        made => made,
    };
    match made {
        Ok(made) => Ok(Some(made)),
        Err(error) => {
            warn(py, &format!("{error}; only the page of this process has it"))?;
            Ok(None)
        }
    }
}

/// A family: its name, help, type and unit, and its samples.
type FamilySamples = (String, String, &'static str, String, Vec<Sample>);
/// A sample: the suffix of its name, its labels, its value, and its exemplar.
type Sample = (&'static str, Vec<(String, String)>, f64, Option<SampleExemplar>);
/// The labels, the value and the time of an exemplar.
type SampleExemplar = (Vec<(String, String)>, f64, f64);

/// Returns the families of all processes of a directory.
#[pyfunction]
pub(crate) fn _shared_families(py: Python<'_>, directory: PathBuf) -> PyResult<Vec<FamilySamples>> {
    let page = read(py, directory)?;
    let families = page.families.iter().map(|family| {
        let mut all = Vec::new();
        let bounds = bounds(family);
        for series in &family.series {
            samples(series, &bounds, |suffix, le, value, exemplar| {
                let mut labels = series.labels.clone();
                labels.extend(le.map(|le| ("le".to_owned(), le.to_owned())));
                let exemplar = exemplar.map(|it| (it.labels.clone(), it.value, it.time));
                all.push((suffix, labels, value, exemplar));
            });
        }
        (name(family).into(), family.help.clone(), kind(family), family.unit.clone(), all)
    });
    Ok(families.collect())
}

/// Returns the page of all processes of a directory as text, or `None` where a name needs to be escaped.
#[pyfunction]
pub(crate) fn _shared_text(
    py: Python<'_>,
    directory: PathBuf,
    openmetrics: bool,
) -> PyResult<Option<Bound<'_, PyBytes>>> {
    let page = read(py, directory)?;
    let mut out = String::new();
    for family in &page.families {
        let mut labels = family.series.iter().flat_map(|series| &series.labels);
        if !is_legacy_metric_name(&family.name)
            || !labels.all(|(name, _)| is_legacy_label_name(name))
        {
            return Ok(None);
        }
        let header = Header {
            name: name(family).into(),
            help: family.help.clone(),
            unit: family.unit.clone(),
            openmetrics,
            created: false,
        };
        begin_family(&mut out, &header, kind(family));
        let bounds = bounds(family);
        for series in &family.series {
            let labels = series.labels.iter().map(|(name, value)| (&**name, &**value));
            let [before, after] = label_texts(labels);
            samples(series, &bounds, |suffix, le, value, exemplar| {
                push_sample(&mut out, [&header.name, suffix], [&before, &after], le, value);
                if let Some(exemplar) = exemplar.filter(|_| openmetrics) {
                    push_exemplar(&mut out, exemplar);
                }
                out.push('\n');
            });
        }
    }
    Ok(Some(PyBytes::new(py, out.as_bytes())))
}

fn read(py: Python<'_>, directory: PathBuf) -> PyResult<Page> {
    let page = Page::read(&directory)
        .map_err(|error| os_error(format!("{}: {error}", directory.display())))?;
    if !page.conflicts.is_empty() {
        let names = page.conflicts.join(", ");
        let text = format!(
            "{names}: not all are shown, because processes disagree on the kind, mode or buckets"
        );
        warn(py, &text)?;
    }
    Ok(page)
}

fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    let text = CString::new(text.replace('\0', "")).unwrap_or_default();
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1)
}

/// The name without the suffix that the samples of a counter have.
fn name(family: &Family) -> &str {
    match family.kind {
        FamilyKind::Counter => family.name.strip_suffix("_total").unwrap_or(&family.name),
        _ => &family.name,
    }
}

fn kind(family: &Family) -> &'static str {
    match family.kind {
        FamilyKind::Counter => "counter",
        FamilyKind::Gauge => "gauge",
        FamilyKind::Histogram => "histogram",
        FamilyKind::Summary => "summary",
        _ => "unknown",
    }
}

/// The bounds of a histogram, and as values of the label `le`.
struct Bounds {
    is_gauge: bool,
    texts: Vec<String>,
    are_positive: bool,
}

fn bounds(family: &Family) -> Bounds {
    let all = family.bounds.iter().copied().chain([f64::INFINITY]);
    Bounds {
        is_gauge: family.kind == FamilyKind::Gauge,
        texts: all.map(number::go_string).collect(),
        are_positive: family.bounds.first().is_none_or(|&bound| bound >= 0.0),
    }
}

fn push_exemplar(out: &mut String, exemplar: &Exemplar) {
    let labels = exemplar.labels.iter().map(|(name, value)| (&**name, &**value));
    // `le` has no place of its own here.
    let [before, after] = label_texts(labels);
    let comma = if before.is_empty() || after.is_empty() { "" } else { "," };
    push_all(out, [" # {", &before, comma, &after, "} "]);
    number::push(out, exemplar.value);
    _ = write!(out, " {}", exemplar.time);
}

/// Calls `sample` for each sample of a series: the suffix of its name, the bucket, the value, and the exemplar.
fn samples(
    series: &PageSeries,
    bounds: &Bounds,
    mut sample: impl FnMut(&'static str, Option<&str>, f64, Option<&Exemplar>),
) {
    let exemplar = |bucket| series.exemplars.iter().find(|it| it.bucket == bucket);
    match &series.value {
        Value::Number(value) if bounds.is_gauge => sample("", None, *value, None),
        Value::Number(value) => sample("_total", None, *value, exemplar(0)),
        Value::Histogram(counts, sum) => {
            let mut total = 0.0;
            for (bucket, (count, le)) in counts.iter().zip(&bounds.texts).enumerate() {
                total += *count as f64;
                sample("_bucket", Some(le), total, exemplar(bucket));
            }
            sample("_count", None, total, None);
            // A sum of negative values may fall, so it is no counter.
            if bounds.are_positive {
                sample("_sum", None, *sum, None);
            }
        }
        Value::Summary(count, sum) => {
            sample("_count", None, *count as f64, None);
            sample("_sum", None, *sum, None);
        }
        _ => {}
    }
}
