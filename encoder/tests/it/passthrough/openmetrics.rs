//! Passthrough text as OpenMetrics: types and names of its own, `_created` in its place, exemplars where they may stand.

use super::support;

use super::support::{OPENMETRICS, counts, merge_as, openmetrics};
use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Registry};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};

/// A description, the engine's text, and the OpenMetrics that is written.
const WRITTEN: &[(&str, &str, &str)] = &[
    ("nothing", "# EOF\n", ""),
    (
        "counter",
        "# HELP a_total Say \"x\" \\\\.\n# TYPE a_total counter\na_total{x=\"1\"} 5.0\n",
        "# TYPE a counter\n# HELP a Say \\\"x\\\" \\\\.\na_total{x=\"1\"} 5.0\n",
    ),
    ("counter without _total", "# TYPE a counter\na 5\n", "# TYPE a unknown\na 5\n"),
    ("untyped", "a 5\n", "# TYPE a unknown\na 5\n"),
    (
        "named _total and nothing else",
        "# TYPE _total counter\n_total 1\n",
        "# TYPE _total unknown\n_total 1\n",
    ),
    (
        "_created of a counter, from text 0.0.4",
        "# TYPE a_total counter\na_total{x=\"1\"} 5\na_total{x=\"2\"} 6\n# TYPE a_created gauge\na_created{x=\"2\"} 1.5e+09\na_created{x=\"1\"} 1.25e+09\n",
        "# TYPE a counter\na_total{x=\"1\"} 5\na_created{x=\"1\"} 1.25e+09\na_total{x=\"2\"} 6\na_created{x=\"2\"} 1.5e+09\n",
    ),
    (
        "_created before its counter",
        "# TYPE a_created gauge\na_created 1\n# TYPE a_total counter\na_total 5\n",
        "# TYPE a counter\na_total 5\na_created 1\n",
    ),
    (
        "_created of a histogram",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\",x=\"1\"} 1\nh_count{x=\"1\"} 1\nh_sum{x=\"1\"} 2\n# TYPE h_created gauge\nh_created{x=\"1\"} 7.0\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\",x=\"1\"} 1\nh_sum{x=\"1\"} 2\nh_count{x=\"1\"} 1\nh_created{x=\"1\"} 7.0\n",
    ),
    (
        "_created without a family",
        "# TYPE a_created gauge\na_created 1\n",
        "# TYPE a_created gauge\na_created 1\n",
    ),
    (
        "histogram named _total, with its _created",
        "# TYPE h_total histogram\nh_total_bucket{le=\"+Inf\"} 1.0\nh_total_count 1.0\nh_total_sum 2.0\n# TYPE h_total_created gauge\nh_total_created 3\n",
        "# TYPE h_total histogram\nh_total_bucket{le=\"+Inf\"} 1\nh_total_sum 2.0\nh_total_count 1\nh_total_created 3\n",
    ),
    (
        "bounds in canonical form, le in the middle",
        "# TYPE h histogram\nh_bucket{a=\"b\",le=\"1\",m=\"x\"} 1\nh_bucket{a=\"b\",le=\"1000000\",m=\"x\"} 1\nh_bucket{a=\"b\",le=\"Inf\",m=\"x\"} 2\nh_sum{a=\"b\",m=\"x\"} 1\nh_count{a=\"b\",m=\"x\"} 2\n",
        "# TYPE h histogram\nh_bucket{a=\"b\",le=\"1.0\",m=\"x\"} 1\nh_bucket{a=\"b\",le=\"1e+06\",m=\"x\"} 1\nh_bucket{a=\"b\",le=\"+Inf\",m=\"x\"} 2\nh_sum{a=\"b\",m=\"x\"} 1\nh_count{a=\"b\",m=\"x\"} 2\n",
    ),
    (
        "quantiles in canonical form",
        "# TYPE s summary\ns{quantile=\"1\"} 2\ns{quantile=\"0.50\"} 1\ns_sum 3\ns_count 2\n",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"1.0\"} 2\ns_sum 3\ns_count 2\n",
    ),
    (
        "timestamps of text are milliseconds",
        "# TYPE a gauge\na 1 1700000000123\na{x=\"1\"} 1 1700000000000\na{x=\"2\"} 1 5\na{x=\"3\"} 1 50\n",
        "# TYPE a gauge\na 1 1700000000.123\na{x=\"1\"} 1 1700000000\na{x=\"2\"} 1 0.005\na{x=\"3\"} 1 0.050\n",
    ),
    (
        "timestamps of OpenMetrics are seconds",
        "# TYPE a gauge\na 1 1700000000.5\na{x=\"1\"} 1 -3\n# EOF\n",
        "# TYPE a gauge\na 1 1700000000.500\na{x=\"1\"} 1\n",
    ),
    (
        "one timestamp a point, or none",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 5000\nh_sum 1 5000\nh_count 1 6000\n# TYPE g histogram\ng_bucket{le=\"+Inf\"} 1 5000\ng_sum 1 5000\ng_count 1 5000\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# TYPE g histogram\ng_bucket{le=\"+Inf\"} 1 5\ng_sum 1 5\ng_count 1 5\n",
    ),
    (
        "exemplars of counters and buckets",
        "# TYPE c counter\nc_total 5 # {trace_id=\"ab\"} 1.5 1700000000.5\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {} 0.5\nh_bucket{le=\"+Inf\"} 2  #  { t = \"1\" , }  +2 \nh_sum 3\nh_count 2\n# EOF\n",
        "# TYPE c counter\nc_total 5 # {trace_id=\"ab\"} 1.5 1700000000.5\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {} 0.5\nh_bucket{le=\"+Inf\"} 2 # {t=\"1\"} 2\nh_sum 3\nh_count 2\n",
    ),
    (
        "info and stateset",
        "# TYPE a info\na_info{v=\"1\"} 1\n# TYPE b stateset\nb{b=\"x\"} 1\n# EOF\n",
        "# TYPE a info\na_info{v=\"1\"} 1\n# TYPE b stateset\nb{b=\"x\"} 1\n",
    ),
    (
        "EOF in the middle, CR LF, no last line feed",
        "a 1\r\n# EOF\r\nb 2",
        "# TYPE a unknown\na 1\n# TYPE b unknown\nb 2\n",
    ),
];

#[test]
fn written_without_loss() {
    for &(what, text, expected) in WRITTEN {
        let (out, report) = openmetrics(text);
        assert_eq!(out, expected, "{what}");
        assert_eq!(report.withheld(), 0, "{what}");
    }
}

/// A description, the engine's text, the OpenMetrics that is written, and `counts`.
const WITHHELD: &[(&str, &str, &str, [u64; 4])] = &[
    (
        "a _created that is no time",
        "# TYPE a_total counter\na_total 5\n# TYPE a_created gauge\na_created 17099999999999991\n",
        "# TYPE a_total unknown\na_total 5\n# TYPE a_created gauge\na_created 17099999999999991\n",
        [0; 4],
    ),
    (
        "a label whose name is reserved",
        "# TYPE a gauge\na{__x=\"1\"} 1\na{x=\"1\"} 2\n",
        "# TYPE a gauge\na{x=\"1\"} 2\n",
        [0, 0, 1, 0],
    ),
    (
        "a gauge has the counter's name",
        "# TYPE a gauge\na 1\n# TYPE a_total counter\na_total 2\n",
        "# TYPE a gauge\na 1\n# TYPE a_total unknown\na_total 2\n",
        [0; 4],
    ),
    (
        "a counter has the name of a histogram's _created",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# TYPE h_created counter\nh_created 1\n",
        "# TYPE h_bucket unknown\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum unknown\nh_sum 1\n# TYPE h_count unknown\nh_count 1\n# TYPE h_created unknown\nh_created 1\n",
        [0; 4],
    ),
    (
        "_created of other labels",
        "# TYPE a_total counter\na_total{x=\"1\"} 5\n# TYPE a_created gauge\na_created{x=\"2\"} 1\n",
        "# TYPE a_total unknown\na_total{x=\"1\"} 5\n# TYPE a_created gauge\na_created{x=\"2\"} 1\n",
        [0; 4],
    ),
    (
        "_created that is no time",
        "# TYPE a_total counter\na_total 5\n# TYPE a_created gauge\na_created NaN\n",
        "# TYPE a_total unknown\na_total 5\n# TYPE a_created gauge\na_created NaN\n",
        [0; 4],
    ),
    (
        "a histogram with negative bounds has no sum there",
        "# TYPE h histogram\nh_bucket{le=\"-1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum -4\nh_count 1\n",
        "# TYPE h_bucket unknown\nh_bucket{le=\"-1.0\"} 1\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum unknown\nh_sum -4\n# TYPE h_count unknown\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "a summary of negative values",
        "# TYPE s summary\ns{quantile=\"0.5\"} -1\ns{quantile=\"1\"} NaN\ns_sum -4\ns_count 4\n",
        "# TYPE s unknown\ns{quantile=\"0.5\"} -1\ns{quantile=\"1.0\"} NaN\n# TYPE s_sum unknown\ns_sum -4\n# TYPE s_count unknown\ns_count 4\n",
        [0, 0, 0, 0],
    ),
];

#[test]
fn withheld_and_counted() {
    for &(what, text, expected, expected_counts) in WITHHELD {
        let (out, report) = openmetrics(text);
        assert_eq!(out, expected, "{what}");
        assert_eq!(counts(&report), expected_counts, "{what}");
    }
}

#[test]
fn bad_exemplars_are_dropped_and_counted() {
    let long = format!("{{t=\"{}\"}} 1", "x".repeat(128));
    let fits = format!("{{t=\"{}\"}} 1", "é".repeat(127));
    for bad in [
        "{t=\"1\"}",
        "{t=\"1\" 1",
        "{t=\"\\\"\"} 1",
        "{t=\"1\"} NaN",
        "{t=\"1\"} 1 x",
        "{t=\"1\"} 1 -5",
        "{t=\"1\"} 1 1.2.3",
        "{t=\"1\"} 1 170000666666666660",
        "{t=\"1\"} 1 2 3",
        "{t=\"1\",t=\"2\"} 1",
        "{t=\"\",t=\"2\"} 1",
        "{t=\"1\",t=\"\"} 1",
        "{t:t=\"1\"} 1",
        &long,
    ] {
        let (out, report) = openmetrics(&format!("# TYPE c counter\nc_total 5 # {bad}\n"));
        assert_eq!(out, "# TYPE c counter\nc_total 5\n", "{bad}");
        assert_eq!((report.exemplars, report.withheld()), (1, 1), "{bad}");
    }
    let (out, report) = openmetrics(&format!("# TYPE c counter\nc_total 5 # {fits}\n"));
    assert!(out.ends_with(&format!(" # {fits}\n")), "{out}");
    assert_eq!(report.exemplars, 0);
    // Where none may stand, or outside of the bucket.
    let text = "# TYPE g gauge\ng 1 # {} 1\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {} 2\n\
                h_bucket{le=\"+Inf\"} 1 # {} 1\nh_sum 1 # {} 1\nh_count 1 # {} 1\n";
    let (out, report) = openmetrics(text);
    assert!(!out.contains(" # "), "{out}");
    assert_eq!(report.exemplars, 5);
}

#[test]
fn our_names_are_left_to_us() {
    let all = Filter::all();
    let text = "# TYPE c_created gauge\nc_created 1\n# TYPE c gauge\nc 1\n# TYPE up_total counter\nup_total 1\n\
                # TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# TYPE d gauge\nd 1\n\
                # TYPE w_created gauge\nw_created 1\n";
    let source = Source::new(&all, text.as_bytes());
    // Ours: a counter c, a gauge up, a gauge h_created, a histogram w.
    let ours = ["c_total", "up", "h_created", "w", "w_bucket", "w_sum", "w_count"];
    let (out, report) = merge_as(OPENMETRICS, &[source], &ours);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(
        out,
        "# TYPE up_total unknown\nup_total 1\n# TYPE h_bucket unknown\nh_bucket{le=\"+Inf\"} 1\n\
         # TYPE h_sum unknown\nh_sum 1\n# TYPE h_count unknown\nh_count 1\n# TYPE d gauge\nd 1\n"
    );
    assert_eq!(counts(&report), [3, 0, 0, 0]);
}

#[test]
fn only_what_was_asked_for_is_written() {
    let all = Filter::all();
    let text = b"# TYPE a_total counter\na_total 5\n# TYPE a_created gauge\na_created 1\n# TYPE b gauge\nb 1\n";
    let written = |query: &str, asked| {
        let (mut out, names) = (BytesMut::new(), NameFilter::from_query(query).unwrap());
        let sources = [Source::new(&all, text)];
        let report = Passthrough::new().merge(sources, &|_| false, asked, &names, &mut out);
        assert_eq!(report.withheld(), 0);
        String::from_utf8(out.to_vec()).unwrap()
    };
    let counter = "# TYPE a counter\na_total 5\na_created 1\n";
    assert_eq!(written("name[]=a_total", OPENMETRICS), counter);
    assert_eq!(written("name[]=a", OPENMETRICS), counter);
    assert_eq!(written("name[]=b", OPENMETRICS), "# TYPE b gauge\nb 1\n");
    assert_eq!(written("name[]=b", support::TEXT), "# TYPE b gauge\nb 1\n");
    assert_eq!(written("name[]=c", support::PROTOBUF), "");
}

#[test]
fn the_end_comes_behind_the_engines() {
    let registry = Registry::new();
    registry.counter(("ours_total", "")).unwrap().inc();
    registry.histogram(("wait", ""), &Buckets::new([1.0]).unwrap()).unwrap().observe(0.5);
    let (all, names) = (Filter::all(), NameFilter::default());
    let text = b"# TYPE ours_created gauge\nours_created 1\n# TYPE wait_sum gauge\nwait_sum 1\nx 1\n# EOF\n";
    let mut body = BytesMut::new();
    Encoder::new().encode_with(&registry, OPENMETRICS, &names, &mut body, |_, body| {
        let ours = |name: &str| registry.occupies(name);
        let sources = [Source::new(&all, text)];
        let report = Passthrough::new().merge(sources, &ours, OPENMETRICS, &names, body);
        assert_eq!(report.clashes, 2);
    });
    let body = std::str::from_utf8(&body).unwrap();
    assert!(body.ends_with("wait_count 1\n# TYPE x unknown\nx 1\n# EOF\n"), "{body}");
    assert_eq!(body.matches("EOF").count(), 1);
}
