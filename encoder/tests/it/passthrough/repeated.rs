//! A label name that a series has twice: what Prometheus stores is passed on, what fails its page is withheld.
//!
//! `encoder/tests/scrapers/engine.rs` shows the same pages to Prometheus.

use super::support::{OPENMETRICS, PROTOBUF, TEXT, counts, merge, merge_as};
use crate::decode::{line, samples};
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Labels, Source};

const ROWS: [(&str, &str); 10] = [
    ("a{x=\"\",x=\"1\"} 1\n", "a 1\n"),
    ("a{x=\"1\",x=\"\"} 1\n", "a 1\n"),
    ("a{x=\"\",x=\"\"} 1\n", "a 1\n"),
    ("a{x=\"1\",x=\"\",x=\"2\"} 1\n", "a 1\n"),
    ("a{x=\"1\",x=\"1\",x=\"\"} 1\n", "a 1\n"),
    ("a{x=\"\",y=\"2\",x=\"1\",xx=\"3\"} 1\n", "a{y=\"2\",xx=\"3\"} 1\n"),
    ("a{x=\"\\t\",y=\"\\t\",x=\"\"} 1\n", "a{y=\"\\\\t\"} 1\n"),
    ("{\"a\",x=\"\",x=\"1\"} 1\n", "a 1\n"),
    ("a{\"x\"=\"\",x=\"1\",\"y\"=\"2\"} 1\n", "a{y=\"2\"} 1\n"),
    ("a{\"x.y\"=\"\",x_y=\"1\"} 1\n", "a{x_y=\"1\"} 1\n"),
];

#[test]
fn a_label_that_is_there_twice_and_once_empty_is_left_out() {
    for (row, expected) in ROWS {
        let (out, report) = merge(&[row]);
        assert_eq!(out, format!("# TYPE a untyped\n{expected}"), "{row}");
        assert_eq!(report.withheld(), 0, "{row}");
    }
}

#[test]
fn every_format_leaves_out_a_label_that_is_there_twice_and_once_empty() {
    let (all, row) = (Filter::all(), "a{x.=\"\",y=\"2\",x.=\"1\"} 1\n".replace("x.", "\"x.\""));
    let source = [Source::new(&all, row.as_bytes())];
    let (out, _) = merge_as(OPENMETRICS, &source, &[]);
    assert_eq!(std::str::from_utf8(&out).unwrap(), "# TYPE a unknown\na{y=\"2\"} 1\n");
    let (out, _) = merge_as(PROTOBUF, &source, &[]);
    assert_eq!(samples(&out), [line("a", vec![("y".into(), "2".into())], 1.0)]);
    let utf8 = Negotiated::new(Format::Text, Escaping::AllowUtf8);
    let (out, report) = merge_as(utf8, &source, &[]);
    assert_eq!(std::str::from_utf8(&out).unwrap(), "# TYPE a untyped\na{y=\"2\"} 1\n");
    assert_eq!(report.withheld(), 0);
}

#[test]
fn a_label_twice_with_a_value_fails_a_page_of_prometheus_and_costs_its_family() {
    for row in [
        "a{x=\"1\",x=\"1\"} 1\n",
        "a{x=\"1\",x=\"2\"} 1\n",
        "a{x=\"1\",y=\"\",x=\"1\"} 1\n",
        "a{y=\"\",y=\"1\",x=\"1\",x=\"1\"} 1\n",
        "{\"a\",x=\"1\",x=\"2\"} 1\n",
        "a{\"x\"=\"1\",x=\"1\"} 1\n",
        "a{\"x.y\"=\"1\",\"x.y\"=\"2\"} 1\n",
    ] {
        let (out, report) = merge(&[&format!("{row}b 1\n")]);
        assert_eq!(out, "# TYPE b untyped\nb 1\n", "{row}");
        assert_eq!(counts(&report), [0, 0, 1, 1], "{row}");
    }
}

#[test]
fn a_bound_that_is_there_twice_and_once_empty_is_no_bound() {
    for le in ["le=\"\",le=\"1\"", "le=\"1\",le=\"\""] {
        let rest = "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        let (out, report) = merge(&[&format!("# TYPE h histogram\nh_bucket{{{le}}} 1\n{rest}")]);
        assert_eq!(
            out,
            "# TYPE h_bucket untyped\nh_bucket 1\nh_bucket{le=\"+Inf\"} 1\n\
             # TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 1\n"
        );
        assert_eq!(report.withheld(), 0);
    }
    for quantile in ["quantile=\"\",quantile=\"0.5\"", "quantile=\"0.5\",quantile=\"\""] {
        let rest = "s{quantile=\"0.9\"} 1\ns_sum 1\ns_count 1\n";
        let (out, report) = merge(&[&format!("# TYPE s summary\ns{{{quantile}}} 1\n{rest}")]);
        assert_eq!(
            out,
            "# TYPE s untyped\ns 1\ns{quantile=\"0.9\"} 1\n\
             # TYPE s_sum untyped\ns_sum 1\n# TYPE s_count untyped\ns_count 1\n"
        );
        assert_eq!(report.withheld(), 0);
    }
}

#[test]
fn a_bound_twice_with_a_value_costs_its_family() {
    for bounds in ["le=\"1\",le=\"1\"", "le=\"1\",le=\"2\"", "le=\"1\",le=\"1.0\""] {
        let rest = "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        let (out, report) =
            merge(&[&format!("# TYPE h histogram\nh_bucket{{{bounds}}} 1\n{rest}")]);
        assert_eq!((&*out, counts(&report)), ("", [0, 0, 1, 1]));
    }
    let (out, report) =
        merge(&["# TYPE s summary\ns{quantile=\"0.5\",quantile=\"0.9\"} 1\ns_sum 1\ns_count 1\n"]);
    assert_eq!((&*out, counts(&report)), ("", [0, 0, 1, 1]));
}

#[test]
fn series_that_differ_only_in_a_label_that_is_left_out_are_the_same() {
    let (out, report) = merge(&["a{x=\"\",x=\"1\"} 1\na{x=\"2\",x=\"\"} 2\na 3\na{x=\"2\"} 4\n"]);
    assert_eq!(out, "# TYPE a untyped\na 1\na{x=\"2\"} 4\n");
    assert_eq!(counts(&report), [0, 2, 0, 0]);
}

#[test]
fn a_source_adds_its_label_where_the_series_has_it_twice_and_once_empty() {
    let (all, labels) = (Filter::all(), Labels::new([("worker", "7")]).unwrap());
    let text = b"a{worker=\"\",worker=\"1\"} 1\n";
    let (out, _) = merge_as(TEXT, &[Source::new(&all, text).labelled(&labels)], &[]);
    assert_eq!(std::str::from_utf8(&out).unwrap(), "# TYPE a untyped\na{worker=\"7\"} 1\n");
}

#[test]
fn a_label_that_is_there_many_times_is_one_of_the_most_labels() {
    let others: String = (1..256).map(|at| format!("l{at}=\"1\",")).collect();
    let row = |last: &str| format!("a{{{others}{}x=\"{last}\"}} 1\n", "x=\"1\",".repeat(300));
    let expected = format!("# TYPE a untyped\na{{{}}} 1\n", others.trim_end_matches(','));
    let (out, report) = merge(&[&row("")]);
    assert_eq!((out, report.withheld()), (expected, 0));
    assert_eq!(counts(&merge(&[&row("1")]).1), [0, 0, 1, 1]);
}
