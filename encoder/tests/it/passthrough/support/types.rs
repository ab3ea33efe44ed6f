//! Pages of one family each, of every type of both text formats, and what may be unusual about them. `docs/passthrough.md` has a
//! row for each; the tests of types and the judges read them all.

/// The input format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Text,
    OpenMetrics,
}

/// A page of an engine.
pub(crate) struct Case {
    pub(crate) input: Input,
    /// The type, and what is unusual about it.
    pub(crate) what: &'static str,
    pub(crate) page: &'static str,
}

const fn text(what: &'static str, page: &'static str) -> Case {
    Case { input: Input::Text, what, page }
}

const fn openmetrics(what: &'static str, page: &'static str) -> Case {
    Case { input: Input::OpenMetrics, what, page }
}

/// Every case; none loses a sample in any format.
pub(crate) const CASES: &[Case] = &[
    text("counter", "# TYPE c_total counter\nc_total{x=\"1\"} 5\nc_total 6\n"),
    text("counter without `_total`", "# TYPE c counter\nc 5\n"),
    text("counter below zero", "# TYPE c_total counter\nc_total -5\nc_total{x=\"1\"} 2\n"),
    text(
        "counter with `_created`",
        "# TYPE c_total counter\nc_total 5\n# TYPE c_created gauge\nc_created 1700000000\n",
    ),
    text(
        "counter with a `_created` that is no time",
        "# TYPE c_total counter\nc_total 5\n# TYPE c_created gauge\nc_created -1\n",
    ),
    text("gauge", "# TYPE g gauge\ng -1.5\n"),
    text("gauge named `_info`", "# TYPE g_info gauge\ng_info{version=\"1\"} 1\n"),
    text("untyped, or without TYPE", "u 1\nu{x=\"1\"} NaN\n"),
    text(
        "histogram",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n",
    ),
    text(
        "histogram with `_created`",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n# TYPE h_created gauge\nh_created 1700000000\n",
    ),
    text(
        "histogram without `+Inf`",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_sum 3.5\nh_count 2\n",
    ),
    text("histogram without sum", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_count 2\n"),
    text("histogram without sum and count", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\n"),
    text(
        "histogram of negative values",
        "# TYPE h histogram\nh_bucket{le=\"-1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum -3.5\nh_count 2\n",
    ),
    text(
        "histogram that does not add up",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 3\n",
    ),
    text(
        "summary",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.99\"} NaN\ns_sum 3\ns_count 2\n",
    ),
    text("summary without sum", "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 2\n"),
    text(
        "summary of negative values",
        "# TYPE s summary\ns{quantile=\"0.5\"} -1\ns_sum -3\ns_count 2\n",
    ),
    text("TYPE behind the samples", "g 1\ng{x=\"1\"} 2\n# TYPE g gauge\n"),
    text(
        "two families, interleaved",
        "# TYPE a gauge\n# TYPE b gauge\na{x=\"1\"} 1\nb{x=\"1\"} 1\na{x=\"2\"} 1\nb{x=\"2\"} 1\n",
    ),
    text(
        "two types for one name",
        "# TYPE g gauge\n# TYPE g_sum gauge\ng 1\ng_sum{x=\"1\"} 1\n# TYPE g histogram\n",
    ),
    text(
        "a name of another family's sample",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# TYPE h_count gauge\nh_count{x=\"1\"} 1\n",
    ),
    text("a name in quotes", "# TYPE \"a.b\" gauge\n{\"a.b\",\"x.y\"=\"1\"} 1\n"),
    openmetrics("counter", "# TYPE c counter\n# HELP c Text.\nc_total 5\n"),
    openmetrics("counter without `_total`", "# TYPE c counter\nc 5\n"),
    openmetrics("counter with `_created`", "# TYPE c counter\nc_total 5\nc_created 1700000000.5\n"),
    openmetrics(
        "counter with an exemplar",
        "# TYPE c counter\nc_total 5 # {trace_id=\"ab\"} 1 1700000000.5\n",
    ),
    openmetrics(
        "counter in a unit",
        "# TYPE c_seconds counter\n# UNIT c_seconds seconds\nc_seconds_total 5\n",
    ),
    openmetrics("gauge", "# TYPE g gauge\ng -1.5\n"),
    openmetrics("gauge in a unit", "# TYPE g_bytes gauge\n# UNIT g_bytes bytes\ng_bytes 1\n"),
    openmetrics("unknown", "# TYPE u unknown\nu 1\n"),
    openmetrics("info", "# TYPE i info\ni_info{version=\"1\"} 1\ni_info{version=\"2\"} 1.0\n"),
    openmetrics("info that is not 1", "# TYPE i info\ni_info{version=\"1\"} 2\n"),
    openmetrics(
        "info beside a counter of its name",
        "# TYPE c counter\nc_total 5\n# TYPE c info\nc_info{version=\"1\"} 1\n",
    ),
    openmetrics("stateset", "# TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0\n"),
    openmetrics(
        "stateset, label sets interleaved",
        "# TYPE s stateset\ns{s=\"on\",x=\"1\"} 1\ns{x=\"2\",s=\"on\"} 0\ns{s=\"off\",x=\"1\"} 0\ns{x=\"2\",s=\"off\"} 1\n",
    ),
    openmetrics(
        "stateset with another value",
        "# TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0.5\n",
    ),
    openmetrics("stateset without its label", "# TYPE s stateset\ns{state=\"on\"} 1\n"),
    openmetrics(
        "gaugehistogram",
        "# TYPE q gaugehistogram\nq_bucket{le=\"1.0\"} 1\nq_bucket{le=\"+Inf\"} 2\nq_gcount 2\nq_gsum 3.5\n",
    ),
    openmetrics(
        "gaugehistogram with exemplars",
        "# TYPE q gaugehistogram\nq_bucket{le=\"1.0\"} 1 # {trace_id=\"ab\"} 0.5\nq_bucket{le=\"+Inf\"} 2\nq_gcount 2\nq_gsum 3.5\n",
    ),
    openmetrics(
        "gaugehistogram of negative values",
        "# TYPE q gaugehistogram\nq_bucket{le=\"-1.0\"} 1\nq_bucket{le=\"+Inf\"} 2\nq_gcount 2\nq_gsum -3.5\n",
    ),
    openmetrics(
        "gaugehistogram, negative only in sum",
        "# TYPE q gaugehistogram\nq_bucket{le=\"1.0\"} 1\nq_bucket{le=\"+Inf\"} 2\nq_gcount 2\nq_gsum -3.5\n",
    ),
    openmetrics(
        "gaugehistogram without sum and count",
        "# TYPE q gaugehistogram\nq_bucket{le=\"1.0\"} 1\nq_bucket{le=\"+Inf\"} 2\n",
    ),
    openmetrics(
        "gaugehistogram without sum",
        "# TYPE q gaugehistogram\nq_bucket{le=\"+Inf\"} 2\nq_gcount 2\n",
    ),
    openmetrics(
        "gaugehistogram, a bound spelled otherwise",
        "# TYPE q gaugehistogram\nq_bucket{le=\"1\"} 1\nq_bucket{le=\"+Inf\"} 2\nq_gcount 2\nq_gsum 3.5\n",
    ),
    openmetrics(
        "gaugehistogram with a sample of a histogram",
        "# TYPE q gaugehistogram\nq_bucket{le=\"+Inf\"} 2\nq_gcount 2\nq_gsum 3.5\nq_sum 3.5\nq 1\n",
    ),
    openmetrics(
        "histogram",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\nh_created 1700000000\n",
    ),
    openmetrics(
        "histogram of negative values, without sum and count",
        "# TYPE h histogram\nh_bucket{le=\"-1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n",
    ),
    openmetrics(
        "summary",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\ns_created 1700000000\n",
    ),
    openmetrics("summary of quantiles alone", "# TYPE s summary\ns{quantile=\"0.5\"} 1\n"),
    openmetrics("timestamps", "# TYPE g gauge\ng 1 1700000000.5\ng{x=\"1\"} 2 1700000000\n"),
];

/// A name, labels and a value.
pub(crate) type Sample = (String, Vec<(String, String)>, f64);

/// Every sample of a page, with dots in names as underscores, by a reading of its own: the merge may not ask more of a page than
/// these few lines do.
pub(crate) fn samples_of(page: &str) -> Vec<Sample> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(sample_of).collect()
}

fn sample_of(line: &str) -> Sample {
    let line = line.split(" # ").next().unwrap_or_default();
    let (series, rest) = line.split_once('}').or_else(|| line.split_once(' ')).expect("a value");
    let value = rest.split_whitespace().next().and_then(|value| value.parse().ok());
    let (mut name, labels) = series.split_once('{').unwrap_or((series, ""));
    let mut pairs = Vec::new();
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        match label.split_once('=') {
            Some((own, value)) => {
                let own = own.trim_matches('"').replace('.', "_");
                pairs.push((own, value.trim_matches('"').to_owned()));
            }
            None => name = label.trim_matches('"'),
        }
    }
    (name.replace('.', "_"), pairs, value.expect("a number"))
}
