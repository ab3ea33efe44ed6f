//! Passthrough text that is broken: what is withheld is no more than it must be, and counted.

use super::support::{TEXT, counts, merge, merge_as};
use dynamo_metrics_encoder::passthrough::{Filter, Source};

/// A description, the engine's text, the text that is written, and `counts`.
const WITHHELD: &[(&str, &str, &str, [u64; 4])] = &[
    (
        "a name that cannot be",
        "a.b 1\n{\"q\\\"} 1\n9 1\nc 1\n",
        "# TYPE c untyped\nc 1\n",
        [0, 0, 0, 3],
    ),
    (
        "metadata of a name that cannot be",
        "# TYPE a.b gauge\n# HELP\n# TYPE\na 1\n",
        "# TYPE a untyped\na 1\n",
        [0, 0, 0, 3],
    ),
    (
        "a bad line costs its family",
        "# TYPE a gauge\na 1\na{x=\"1\"} zzz\n# TYPE b gauge\nb 1\n",
        "# TYPE b gauge\nb 1\n",
        [0, 0, 1, 1],
    ),
    (
        "a bad line before the good ones",
        "a{x=\"1\"\na 1\nb 1\n",
        "# TYPE b untyped\nb 1\n",
        [0, 0, 1, 1],
    ),
    (
        "a line cut off costs its histogram",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_bucket{le=\"+I",
        "",
        [0, 0, 1, 1],
    ),
    ("a number that is none", "a 0x10\nb 1_0\nc 1e400\nd --1\ne 1,5\n", "", [0, 0, 5, 5]),
    ("words behind the value", "a 1 x\nb 1 5 6\nc 1 st@5\n", "", [0, 0, 3, 3]),
    (
        "labels that cannot be",
        "a{x:y=\"1\"} 1\nb{__name__=\"c\"} 1\nc{x=\"1\",x=\"2\"} 1\nd{x=1} 1\ne{x=\"\\\"} 1\ng{,} 1\nh{x=\"1\",,y=\"2\"} 1\n",
        "",
        [0, 0, 7, 7],
    ),
    (
        "labels without a comma between them, which Prometheus reads",
        "f{x=\"1\" y=\"2\"} 1\nf{x=\"3\"y=\"4\"} 1\n",
        "# TYPE f untyped\nf{x=\"1\",y=\"2\"} 1\nf{x=\"3\",y=\"4\"} 1\n",
        [0; 4],
    ),
    (
        "type unknown to all",
        "# TYPE h histogramm\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nhh 1\n",
        "# TYPE hh untyped\nhh 1\n",
        [0, 0, 3, 1],
    ),
    ("TYPE without a type", "# TYPE a\na 1\n", "", [0, 0, 1, 1]),
    ("TYPE with two types", "# TYPE a gauge counter\na 1\n", "", [0, 0, 1, 1]),
    (
        "same series",
        "a 1\na 2\na{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\na{x=\"\"} 3\n",
        "# TYPE a untyped\na 1\na{x=\"1\",y=\"2\"} 1\n",
        [0, 3, 0, 0],
    ),
    (
        "same series by another escape",
        "a{x=\"\\t\"} 1\na{x=\"\\\\t\"} 2\n",
        "# TYPE a untyped\na{x=\"\\\\t\"} 1\n",
        [0, 1, 0, 0],
    ),
    (
        "same buckets, sums, counts",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 2\nh_count 2\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        [0, 3, 0, 0],
    ),
    (
        "same bound by another spelling",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        [0, 1, 0, 0],
    ),
    (
        "another type for one name",
        "# TYPE a gauge\na 1\n# TYPE a counter\na{x=\"1\"} 2\n# TYPE b gauge\nb 1\n",
        "# TYPE a untyped\na 1\na{x=\"1\"} 2\n# TYPE b gauge\nb 1\n",
        [0; 4],
    ),
    (
        "counters that are not",
        "# TYPE a counter\na -1\na{x=\"1\"} NaN\na{x=\"2\"} 3\n",
        "# TYPE a untyped\na -1\na{x=\"1\"} NaN\na{x=\"2\"} 3\n",
        [0, 0, 0, 0],
    ),
    (
        "histogram without +Inf",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"1.0\"} 1\n# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "histogram without sum",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "histogram without count",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum 1\n",
        [0, 0, 0, 0],
    ),
    (
        "histogram without buckets",
        "# TYPE h histogram\nh_sum 1\nh_count 1\n",
        "# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "histogram that does not add up",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 2\n",
        [0, 0, 0, 0],
    ),
    (
        "histogram that does not add up beyond 2^53",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 18446744073709551614\nh_sum 1\nh_count 18446744073709551615\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"+Inf\"} 18446744073709551614\n# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 18446744073709551615\n",
        [0, 0, 0, 0],
    ),
    (
        "histogram that is not cumulative",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "histogram with half a count",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 0.5\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"1.0\"} 0.5\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "bucket without le",
        "# TYPE h histogram\nh_bucket 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h_bucket untyped\nh_bucket 1\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "le that is no number",
        "# TYPE h histogram\nh_bucket{le=\"x\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"x\"} 1\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "le is NaN",
        "# TYPE h histogram\nh_bucket{le=\"NaN\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"NaN\"} 1\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "le on a sum",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum{le=\"1\"} 1\nh_count 1\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum{le=\"1.0\"} 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "histogram sample without suffix",
        "# TYPE h histogram\nh 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h untyped\nh 1\n# TYPE h_bucket untyped\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "one label set of two",
        "# TYPE h histogram\nh_bucket{x=\"1\",le=\"+Inf\"} 1\nh_sum{x=\"1\"} 1\nh_count{x=\"1\"} 7\nh_bucket{x=\"2\",le=\"+Inf\"} 1\nh_sum{x=\"2\"} 1\nh_count{x=\"2\"} 1\n",
        "# TYPE h_bucket untyped\nh_bucket{x=\"1\",le=\"+Inf\"} 1\nh_bucket{x=\"2\",le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum{x=\"1\"} 1\nh_sum{x=\"2\"} 1\n# TYPE h_count untyped\nh_count{x=\"1\"} 7\nh_count{x=\"2\"} 1\n",
        [0, 0, 0, 0],
    ),
    (
        "summary sample without quantile",
        "# TYPE s summary\ns 1\ns_sum 1\ns_count 1\n",
        "# TYPE s untyped\ns 1\n# TYPE s_sum untyped\ns_sum 1\n# TYPE s_count untyped\ns_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "quantile out of range",
        "# TYPE s summary\ns{quantile=\"2\"} 1\ns_sum 1\ns_count 1\n",
        "# TYPE s untyped\ns{quantile=\"2.0\"} 1\n# TYPE s_sum untyped\ns_sum 1\n# TYPE s_count untyped\ns_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "same quantile",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.50\"} 2\ns_sum 1\ns_count 1\n",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n",
        [0, 1, 0, 0],
    ),
    (
        "summary without count",
        "# TYPE s summary\ns_sum 1\n",
        "# TYPE s_sum untyped\ns_sum 1\n",
        [0, 0, 0, 0],
    ),
    (
        "a gauge that a histogram claims",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# TYPE h_sum gauge\nh_sum{x=\"1\"} 1\n",
        "# TYPE h_bucket untyped\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_sum untyped\nh_sum 1\nh_sum{x=\"1\"} 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "the same, but the gauge comes first",
        "# TYPE h_sum gauge\nh_sum{x=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n",
        "# TYPE h_sum untyped\nh_sum{x=\"1\"} 1\n# TYPE h_bucket untyped\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_count untyped\nh_count 1\n",
        [0, 0, 0, 0],
    ),
    (
        "a histogram that claims a gauge",
        "a_sum 1\n# TYPE b gauge\nb 1\n# TYPE a histogram\n",
        "# TYPE a_sum untyped\na_sum 1\n# TYPE b gauge\nb 1\n",
        [0, 0, 0, 0],
    ),
];

#[test]
fn withheld_and_counted() {
    for &(what, text, expected, expected_counts) in WITHHELD {
        let (out, report) = merge(&[text]);
        assert_eq!(out, expected, "{what}");
        assert_eq!(counts(&report), expected_counts, "{what}");
    }
}

#[test]
fn invalid_utf8_costs_its_family_only() {
    let text = b"# HELP a \xff\na 1\nb{x=\"\xff\"} 1\nb 1\nc\xff 1\n# \xff\nd{x=\"\xc3\xbc\"} 1\n";
    let (out, report) = merge_as(TEXT, &[Source::new(&Filter::all(), text)], &[]);
    assert_eq!(std::str::from_utf8(&out).unwrap(), "# TYPE d untyped\nd{x=\"ü\"} 1\n");
    assert_eq!(counts(&report), [0, 0, 2, 3]);
}

#[test]
fn of_many_equal_bounds_the_first_wins() {
    let mut text =
        String::from("# TYPE h histogram\nh_sum 1\nh_count 99\nh_bucket{le=\"+Inf\"} 99\n");
    for i in 0..99 {
        text += &format!("h_bucket{{le=\"1.{:0<width$}\"}} {i}\n", "", width = 1 + (i * 37) % 99);
    }
    let (out, report) = merge(&[&text]);
    assert_eq!(
        out,
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 0\nh_bucket{le=\"+Inf\"} 99\nh_sum 1\nh_count 99\n"
    );
    assert_eq!(counts(&report), [0, 98, 0, 0]);
}

#[test]
fn too_many_families_are_counted() {
    let text: String = (0..10_005).map(|i| format!("f{i} 1\n")).collect();
    let (_, report) = merge(&[&text, "f0{x=\"1\"} 1\n"]);
    assert_eq!((report.families, report.series, report.quarantined), (10_000, 10_001, 5));
}

#[test]
fn too_many_names_are_dropped_and_counted() {
    let text: String = (0..40_005).map(|i| format!("f{i}\n")).collect();
    let (out, report) = merge(&[&text, "# TYPE t gauge\nt 1\n"]);
    assert_eq!(out, "# TYPE t gauge\nt 1\n");
    assert_eq!(counts(&report), [0, 0, 40_000, 40_005]);
    let text: String = (0..40_005).map(|i| format!("# TYPE f{i} gauge\n")).collect();
    assert_eq!(counts(&merge(&[&(text + "f1 1\n")]).1), [0, 0, 0, 5]);
}

#[test]
fn too_much_text_is_dropped_by_the_source() {
    let large = "# x\n".repeat(dynamo_metrics_encoder::passthrough::TEXT_BYTES_MAX / 4);
    let (out, report) = merge(&["a 1\n", &large, "b 1\n"]);
    assert_eq!(out, "# TYPE a untyped\na 1\n# TYPE b untyped\nb 1\n");
    assert_eq!(report.dropped_lines, (large.len() / 4) as u64);
}

#[test]
fn too_many_labels_cost_their_family() {
    let line = |n: usize| {
        let labels: Vec<_> = (0..n).map(|i| format!("l{i}=\"1\"")).collect();
        format!("a{{{}}} 1\n", labels.join(","))
    };
    assert_eq!(merge(&[&line(256)]).1.series, 1);
    assert_eq!(counts(&merge(&[&line(257)]).1), [0, 0, 1, 1]);
}

#[test]
fn a_series_of_the_most_labels_keeps_them_all() {
    let page = |separator: &str| {
        let labels: Vec<_> = (1..256).map(|i| format!("l{i}=\"1\"")).collect();
        let labels = labels.join(separator);
        let buckets =
            ["1", "+Inf"].map(|le| format!("h_bucket{{{labels}{separator}le=\"{le}\"}} 1\n"));
        let gauges = ["x", "y"].map(|last| format!("g{{{labels}{separator}last=\"{last}\"}} 1\n"));
        let (buckets, gauges) = (buckets.concat(), gauges.concat());
        format!(
            "# TYPE h histogram\n{buckets}h_sum{{{labels}}} 1\nh_count{{{labels}}} 1\n# TYPE g gauge\n{gauges}"
        )
    };
    // Copied as they stand, and written label by label.
    for separator in [",", ", "] {
        assert_eq!(
            merge(&[&page(separator)]),
            (page(","), merge(&[&page(",")]).1),
            "{separator:?}"
        );
    }
}

/// Shapes that make quadratic code visible.
#[test]
fn time_is_linear() {
    let mut text = String::new();
    for i in 0..100_000 {
        text += &format!(
            "# TYPE a {}\na_{}{{x=\"{i}\"}} 1\n",
            if i % 2 == 0 { "gauge" } else { "counter" },
            i % 5000
        );
    }
    let (_, report) = merge(&[&text, &text]);
    assert_eq!((report.series, report.duplicates), (100_000, 100_000));
}
