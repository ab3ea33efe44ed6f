//! The text of one metric, in the form of `prometheus_client`: `1.0` where this project's encoder writes `1`, and `le="1.0"`,
//! because series of another spelling would be other series. Text 0.0.4, and OpenMetrics 1.0.
//!
//! Names are plain here (letters, digits, underscores); metrics with other names are written in Python.

use super::cells::Exemplars;
use super::labelled::Labelled;
use super::number;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyBytes, PyString, PyTuple};
use pyo3::{PyClass, intern};

const LE: &str = "le";
/// Bytes of a usual line beside the name: room for them is made at once for all series.
const LINE_BYTES: usize = 56;

/// The lines before a metric's samples, and the format.
#[derive(Debug, FromPyObject)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) unit: String,
    pub(crate) openmetrics: bool,
    pub(crate) created: bool,
}

/// A kind of metric, which writes the samples of one series.
pub(crate) trait Kind: PyClass<Frozen = True, BaseType = Labelled> + Sync {
    const TYPE: &'static str;

    fn write(slf: &Bound<'_, Self>, lines: &mut Lines<'_>) -> PyResult<()>;
}

/// Lines of samples, and the label values of the series that is written.
pub(crate) struct Lines<'h> {
    header: &'h Header,
    out: String,
    /// Samples with times of creation, which the text format has in a gauge of their own.
    created: String,
    /// `a="x",b="y"`, up to where `le` is in the order of names, and behind it.
    before: String,
    after: String,
    /// Memory for the counts of a histogram.
    pub(crate) counts: Vec<u64>,
}

/// Returns the text of the metric: its header, and the samples of all of its series.
pub(crate) fn family_text<'py, T: Kind>(
    slf: &Bound<'py, T>,
    header: &Header,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = slf.py();
    let mut lines = Lines::new(header, T::TYPE);
    match slf.as_super().get().family() {
        None => T::write(slf, &mut lines)?,
        Some((names, series)) => {
            let order = sorted(names.bind(py))?;
            lines.out.reserve(series.bind(py).len() * (header.name.len() + LINE_BYTES));
            // A copy, because a gauge's function may be Python code that makes series.
            for (values, one) in series.bind(py).copy()?.iter() {
                lines.set_labels(&order, values.cast::<PyTuple>()?)?;
                T::write(one.cast::<T>()?, &mut lines)?;
            }
        }
    }
    lines.end();
    Ok(PyBytes::new(py, lines.out.as_bytes()))
}

/// Returns the label names in their order on a line, with their places among the values.
fn sorted(names: &Bound<'_, PyTuple>) -> PyResult<Vec<(String, usize)>> {
    let places = names.iter().enumerate();
    let mut order: Vec<_> =
        places.map(|(at, name)| Ok((name.extract()?, at))).collect::<PyResult<_>>()?;
    order.sort_unstable();
    Ok(order)
}

impl<'h> Lines<'h> {
    fn new(header: &'h Header, kind: &str) -> Self {
        let mut lines = Self {
            header,
            out: String::new(),
            created: String::new(),
            before: String::new(),
            after: String::new(),
            counts: Vec::new(),
        };
        begin_family(&mut lines.out, header, kind);
        lines
    }

    fn set_labels(
        &mut self,
        order: &[(String, usize)],
        values: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        self.before.clear();
        self.after.clear();
        for (name, at) in order {
            // A lone surrogate, which no text can have, becomes the replacement character.
            let value = values.get_item(*at)?;
            let value = value.cast::<PyString>()?.to_string_lossy();
            push_label([&mut self.before, &mut self.after], name, &value);
        }
        Ok(())
    }

    /// Writes a sample of the series.
    pub(crate) fn sample(
        &mut self,
        suffix: &str,
        le: Option<&str>,
        value: f64,
        exemplar: Option<&str>,
    ) {
        let name = &self.header.name;
        push_sample(&mut self.out, [name, suffix], [&self.before, &self.after], le, value);
        if let Some(exemplar) = exemplar {
            self.out.push_str(exemplar);
        }
        self.out.push('\n');
    }

    /// Returns the text of an exemplar, which only OpenMetrics has.
    pub(crate) fn exemplar(
        &self,
        py: Python<'_>,
        exemplars: &Exemplars,
        bucket: usize,
    ) -> PyResult<Option<String>> {
        if !self.header.openmetrics {
            return Ok(None);
        }
        let Some(exemplar) = exemplars.get(py, bucket) else { return Ok(None) };
        let module = py.import("dynamo_metrics.prometheus.openmetrics.exposition")?;
        module.call_method1("exemplar_text", (exemplar,))?.extract()
    }

    /// Writes the time at which the series was created, where it is asked for.
    pub(crate) fn created<T: PyClass>(&mut self, series: &Bound<'_, T>) -> PyResult<()> {
        if self.header.created {
            let created = series.as_any().getattr(intern!(series.py(), "_created"))?.extract()?;
            let out = if self.header.openmetrics { &mut self.out } else { &mut self.created };
            let names = [&*self.header.name, "_created"];
            push_sample(out, names, [&self.before, &self.after], None, created);
            out.push('\n');
        }
        Ok(())
    }

    fn end(&mut self) {
        if !self.created.is_empty() {
            push_header(&mut self.out, self.header, "_created", "gauge");
            self.out.push_str(&self.created);
        }
    }
}

/// Writes the lines before the samples of a family.
pub(crate) fn begin_family(out: &mut String, header: &Header, kind: &str) {
    let total = if kind == "counter" && !header.openmetrics { "_total" } else { "" };
    push_header(out, header, total, kind);
    if header.openmetrics && !header.unit.is_empty() {
        push_all(out, ["# UNIT ", &header.name, " ", &header.unit, "\n"]);
    }
}

/// Returns the text of labels in the order of their names, up to where `le` is in it, and behind it.
pub(crate) fn label_texts<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> [String; 2] {
    let mut labels: Vec<_> = labels.collect();
    labels.sort_unstable();
    let [mut before, mut after] = [String::new(), String::new()];
    for (name, value) in labels {
        push_label([&mut before, &mut after], name, value);
    }
    [before, after]
}

fn push_label([before, after]: [&mut String; 2], name: &str, value: &str) {
    let text = if name < LE { before } else { after };
    if !text.is_empty() {
        text.push(',');
    }
    push_all(text, [name, "=\""]);
    push_escaped(text, value, true);
    text.push('"');
}

fn push_header(out: &mut String, header: &Header, suffix: &str, kind: &str) {
    push_all(out, ["# HELP ", &header.name, suffix, " "]);
    push_escaped(out, &header.help, header.openmetrics);
    push_all(out, ["\n# TYPE ", &header.name, suffix, " ", kind, "\n"]);
}

/// Writes a sample without the end of its line.
pub(crate) fn push_sample(
    out: &mut String,
    name: [&str; 2],
    labels: [&str; 2],
    le: Option<&str>,
    value: f64,
) {
    push_all(out, name);
    let mut separator = "{";
    let le = le.map(|le| ["le=\"", le, "\""]).unwrap_or_default();
    for parts in [[labels[0], "", ""], le, [labels[1], "", ""]] {
        if !parts[0].is_empty() {
            out.push_str(separator);
            push_all(out, parts);
            separator = ",";
        }
    }
    out.push_str(if separator == "," { "} " } else { " " });
    number::push(out, value);
}

pub(crate) fn push_all<const N: usize>(out: &mut String, parts: [&str; N]) {
    for part in parts {
        out.push_str(part);
    }
}

fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    let mut rest = text;
    // All of them are ASCII, so each is a character of its own.
    let special = |&c: &u8| c == b'\\' || c == b'\n' || (quotes && c == b'"');
    while let Some(at) = rest.as_bytes().iter().position(special) {
        let (plain, from) = rest.split_at(at);
        let escaped = match from.as_bytes()[0] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        };
        push_all(out, [plain, escaped]);
        rest = &from[1..];
    }
    out.push_str(rest);
}
