//! The merge of foreign text, case by case: what goes in, what comes out, what is counted.

mod shared;

use bytes::BytesMut;
use dynamo_metrics_encoder::foreign::{Filter, Foreign, Report};
use dynamo_metrics_encoder::strict;

/// Merges through filters, checks the result, and returns it.
fn merge_with(sources: &[(&Filter, &str)], reserved: &[&str]) -> (String, Report) {
    let mut out = BytesMut::new();
    let report = Foreign::new().merge(
        sources.iter().map(|(filter, text)| (*filter, text.as_bytes())),
        &|name| reserved.contains(&name),
        &mut out,
    );
    let exposition = strict::parse(&out)
        .unwrap_or_else(|problems| panic!("{problems:?}\n{}", String::from_utf8_lossy(&out)));
    assert_eq!(exposition.families.len() as u64, report.families);
    assert_eq!(exposition.samples().count() as u64, report.series);
    (String::from_utf8(out.to_vec()).unwrap(), report)
}

fn merge(sources: &[&str]) -> (String, Report) {
    let all = Filter::all();
    let sources: Vec<_> = sources.iter().map(|text| (&all, *text)).collect();
    merge_with(&sources, &[])
}

/// clashes, duplicates, quarantined, dropped lines
fn counts(report: &Report) -> [u64; 4] {
    [report.clashes, report.duplicates, report.quarantined, report.dropped_lines]
}

const POINT: &str = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n";

/// One source in, text out, `counts`.
const REPAIRED: &[(&str, &str, &str)] = &[
    ("nothing", "", ""),
    (
        "a counter whose name is nothing but its suffix",
        "# TYPE _total counter\n_total 1\n",
        "# TYPE _total untyped\n_total 1\n",
    ),
    ("untyped gets a TYPE", "a 1\n", "# TYPE a untyped\na 1\n"),
    (
        "help and type",
        "# HELP a Text.\n# TYPE a gauge\na 1\n",
        "# HELP a Text.\n# TYPE a gauge\na 1\n",
    ),
    (
        "TYPE before HELP",
        "# TYPE a gauge\n# HELP a Text.\na 1\n",
        "# HELP a Text.\n# TYPE a gauge\na 1\n",
    ),
    ("TYPE after the samples", "a 1\n# TYPE a gauge\n", "# TYPE a gauge\na 1\n"),
    ("family without samples", "# HELP a Text.\n# TYPE a gauge\n", ""),
    ("empty help", "# HELP a  \n# TYPE a gauge\na 1\n", "# TYPE a gauge\na 1\n"),
    (
        "second HELP and TYPE",
        "# HELP a x\n# TYPE a gauge\na 1\n# HELP a y\n# TYPE a gauge\na{b=\"1\"} 2\n",
        "# HELP a x\n# TYPE a gauge\na 1\na{b=\"1\"} 2\n",
    ),
    (
        "families interleaved",
        "# TYPE a gauge\n# TYPE b gauge\na 1\nb 1\na{x=\"1\"} 2\n",
        "# TYPE a gauge\na 1\na{x=\"1\"} 2\n# TYPE b gauge\nb 1\n",
    ),
    ("no final line feed", "a 1", "# TYPE a untyped\na 1\n"),
    ("CR LF", "# HELP a x\r\n# TYPE a gauge\r\na 1\r\n\r\n", "# HELP a x\n# TYPE a gauge\na 1\n"),
    ("blank lines", "\n\na 1\n \n\t\n", "# TYPE a untyped\na 1\n"),
    (
        "comments",
        "# any\n#\n#any\n# UNIT a s\n# EOF\na 1\n#TYPE a gauge\n",
        "# TYPE a untyped\na 1\n",
    ),
    (
        "blanks and tabs",
        " \ta\t{ x = \"1\" ,\ty=\"2\" , }  1\t \n",
        "# TYPE a untyped\na{x=\"1\",y=\"2\"} 1\n",
    ),
    (
        "blanks in metadata",
        "#  TYPE\ta  gauge \n# HELP   a \t text \t\na 1\n",
        "# HELP a text\n# TYPE a gauge\na 1\n",
    ),
    ("no blank before the value", "a{x=\"1\"}1\n", "# TYPE a untyped\na{x=\"1\"} 1\n"),
    ("empty braces", "a{} 1\n", "# TYPE a untyped\na 1\n"),
    ("empty label", "a{x=\"\"} 1\na{x=\"\",y=\"1\"} 1\n", "# TYPE a untyped\na 1\na{y=\"1\"} 1\n"),
    (
        "unknown escapes",
        "a{x=\"\\t\\\\\\n\\\"\"} 1\n",
        "# TYPE a untyped\na{x=\"\\\\t\\\\\\n\\\"\"} 1\n",
    ),
    (
        "escapes in help",
        "# HELP a \\\"q\\\" \\d \\\\ \\n \\\na 1\n",
        "# HELP a \"q\" \\\\d \\\\ \\n \\\\\n# TYPE a untyped\na 1\n",
    ),
    (
        "control bytes in a label",
        "a{x=\"\r\u{0}\t\"} 1\n",
        "# TYPE a untyped\na{x=\"\r\u{0}\t\"} 1\n",
    ),
    (
        "value spellings that all read are kept",
        "a 5.\nb 007\nc 1E5\nd 6.0\ne nan\n",
        "# TYPE a untyped\na 5.\n# TYPE b untyped\nb 007\n# TYPE c untyped\nc 1E5\n# TYPE d untyped\nd 6.0\n# TYPE e untyped\ne nan\n",
    ),
    (
        "other spellings are rewritten",
        "a inf\nb -infinity\nc +5\nd .5\ne -NaN\nf Inf\n",
        "# TYPE a untyped\na +Inf\n# TYPE b untyped\nb -Inf\n# TYPE c untyped\nc 5\n# TYPE d untyped\nd 0.5\n# TYPE e untyped\ne NaN\n# TYPE f untyped\nf +Inf\n",
    ),
    ("timestamps in milliseconds", "a 1 1700000000000\n", "# TYPE a untyped\na 1 1700000000000\n"),
    (
        "other timestamps",
        "a 1 -5\nb 1 1.5\nc 1 +7\nd 1 9223372036854775808\n",
        "# TYPE a untyped\na 1\n# TYPE b untyped\nb 1\n# TYPE c untyped\nc 1\n# TYPE d untyped\nd 1\n",
    ),
    ("timestamps in OpenMetrics are seconds", "a 1 1700000000\n# EOF\n", "# TYPE a untyped\na 1\n"),
    (
        "exemplars",
        "a 1 # {t=\"1\"} 1\nb 1 5 # {} 1 1.5\nc 1#\n",
        "# TYPE a untyped\na 1\n# TYPE b untyped\nb 1 5\n# TYPE c untyped\nc 1\n",
    ),
    ("type in capitals", "# TYPE a Gauge\na 1\n", "# TYPE a gauge\na 1\n"),
    (
        "OpenMetrics counter",
        "# HELP a Text.\n# TYPE a counter\na_total{x=\"1\"} 5\na_created{x=\"1\"} 1.7e9\n# EOF\n",
        "# HELP a_total Text.\n# TYPE a_total counter\na_total{x=\"1\"} 5\n# TYPE a_created gauge\na_created{x=\"1\"} 1.7e9\n",
    ),
    ("counter without _total", "# TYPE a counter\na 5\n", "# TYPE a counter\na 5\n"),
    (
        "counter of text 0.0.4",
        "# TYPE a_total counter\na_total 5\n# TYPE a_created gauge\na_created 1.7e9\n",
        "# TYPE a_total counter\na_total 5\n# TYPE a_created gauge\na_created 1.7e9\n",
    ),
    ("unknown", "# TYPE a unknown\na 1\n", "# TYPE a untyped\na 1\n"),
    (
        "info",
        "# HELP a Text.\n# TYPE a info\na_info{v=\"1\"} 1\n",
        "# HELP a_info Text.\n# TYPE a_info gauge\na_info{v=\"1\"} 1\n",
    ),
    (
        "stateset",
        "# TYPE a stateset\na{a=\"x\"} 1\na{a=\"y\"} 0\n",
        "# TYPE a gauge\na{a=\"x\"} 1\na{a=\"y\"} 0\n",
    ),
    (
        "gaugehistogram",
        "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 2\na_gcount 2\na_gsum 1.5\n",
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 2\na_sum 1.5\na_count 2\n",
    ),
    (
        "histogram as Python writes it",
        "# TYPE h histogram\nh_bucket{a=\"b\",le=\"1.0\",m=\"x\"} 6.0\nh_bucket{a=\"b\",le=\"+Inf\",m=\"x\"} 6.0\nh_count{a=\"b\",m=\"x\"} 6.0\nh_sum{a=\"b\",m=\"x\"} 0.06\n",
        "# TYPE h histogram\nh_bucket{a=\"b\",le=\"1.0\",m=\"x\"} 6\nh_bucket{a=\"b\",le=\"+Inf\",m=\"x\"} 6\nh_sum{a=\"b\",m=\"x\"} 0.06\nh_count{a=\"b\",m=\"x\"} 6\n",
    ),
    (
        "histogram out of order",
        "# TYPE h histogram\nh_count 2\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_bucket{le=\"1\"} 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n",
    ),
    (
        "label sets of a histogram mixed",
        "# TYPE h histogram\nh_bucket{x=\"1\",le=\"+Inf\"} 1\nh_bucket{x=\"2\",le=\"+Inf\"} 2\nh_sum{x=\"1\"} 1\nh_sum{x=\"2\"} 2\nh_count{x=\"1\"} 1\nh_count{x=\"2\"} 2\n",
        "# TYPE h histogram\nh_bucket{x=\"1\",le=\"+Inf\"} 1\nh_sum{x=\"1\"} 1\nh_count{x=\"1\"} 1\nh_bucket{x=\"2\",le=\"+Inf\"} 2\nh_sum{x=\"2\"} 2\nh_count{x=\"2\"} 2\n",
    ),
    (
        "label order differs within a point",
        "# TYPE h histogram\nh_bucket{x=\"1\",le=\"+Inf\",y=\"2\"} 1\nh_sum{y=\"2\",x=\"1\"} 1\nh_count{x=\"1\",y=\"2\"} 1\n",
        "# TYPE h histogram\nh_bucket{x=\"1\",le=\"+Inf\",y=\"2\"} 1\nh_sum{y=\"2\",x=\"1\"} 1\nh_count{x=\"1\",y=\"2\"} 1\n",
    ),
    (
        "le spelled Inf",
        "# TYPE h histogram\nh_bucket{x=\"1\",le=\"Inf\"} 1\nh_sum{x=\"1\"} 1\nh_count{x=\"1\"} 1\n",
        "# TYPE h histogram\nh_bucket{x=\"1\",le=\"+Inf\"} 1\nh_sum{x=\"1\"} 1\nh_count{x=\"1\"} 1\n",
    ),
    (
        "histogram named _total",
        "# TYPE h_total histogram\nh_total_bucket{le=\"+Inf\"} 1.0\nh_total_count 1.0\nh_total_sum 2.0\n# TYPE h_created gauge\nh_created 1\n",
        "# TYPE h_total histogram\nh_total_bucket{le=\"+Inf\"} 1\nh_total_sum 2.0\nh_total_count 1\n# TYPE h_created gauge\nh_created 1\n",
    ),
    (
        "counts beyond 2^53",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 18446744073709551615\nh_sum 1\nh_count 18446744073709551615\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 18446744073709551615\nh_sum 1\nh_count 18446744073709551615\n",
    ),
    (
        "counts as 1e+06",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1e+06\nh_sum 1\nh_count 1000000\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1000000\nh_sum 1\nh_count 1000000\n",
    ),
    (
        "summary",
        "# TYPE s summary\ns_sum 2\ns{quantile=\"0.9\"} 2\ns{quantile=\".5\"} 1\ns_count 2.0\n",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.9\"} 2\ns_sum 2\ns_count 2\n",
    ),
    (
        "_sum of nobody",
        "a_sum 1\na_count 1\na_bucket 1\n",
        "# TYPE a_sum untyped\na_sum 1\n# TYPE a_count untyped\na_count 1\n# TYPE a_bucket untyped\na_bucket 1\n",
    ),
];

#[test]
fn repaired_without_loss() {
    for &(what, text, expected) in REPAIRED {
        let (out, report) = merge(&[text]);
        assert_eq!(out, expected, "{what}");
        assert_eq!(counts(&report), [0; 4], "{what}");
    }
}

/// One source in, text out, `counts`.
const WITHHELD: &[(&str, &str, &str, [u64; 4])] = &[
    (
        "a name that cannot be",
        "a.b 1\n{\"q\"} 1\n9 1\nc 1\n",
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
        "a{x:y=\"1\"} 1\nb{__name__=\"c\"} 1\nc{x=\"1\",x=\"2\"} 1\nd{x=1} 1\ne{x=\"\\\"} 1\nf{x=\"1\" y=\"2\"} 1\ng{,} 1\n",
        "",
        [0, 0, 7, 7],
    ),
    ("a label twice, once empty", "a{x=\"\",x=\"1\"} 1\n", "", [0, 0, 1, 1]),
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
        "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n",
        [1, 0, 0, 0],
    ),
    (
        "counters that are not",
        "# TYPE a counter\na -1\na{x=\"1\"} NaN\na{x=\"2\"} 3\n",
        "# TYPE a counter\na{x=\"2\"} 3\n",
        [0, 0, 2, 0],
    ),
    (
        "histogram without +Inf",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "histogram without sum",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "histogram without count",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n",
        "",
        [0, 0, 1, 0],
    ),
    ("histogram without buckets", "# TYPE h histogram\nh_sum 1\nh_count 1\n", "", [0, 0, 1, 0]),
    (
        "histogram that does not add up",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "histogram that does not add up beyond 2^53",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 18446744073709551614\nh_sum 1\nh_count 18446744073709551615\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "histogram that is not cumulative",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "histogram with half a count",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 0.5\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "bucket without le",
        "# TYPE h histogram\nh_bucket 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "le that is no number",
        "# TYPE h histogram\nh_bucket{le=\"x\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "le is NaN",
        "# TYPE h histogram\nh_bucket{le=\"NaN\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "le on a sum",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum{le=\"1\"} 1\nh_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "histogram sample without suffix",
        "# TYPE h histogram\nh 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "one label set of two",
        "# TYPE h histogram\nh_bucket{x=\"1\",le=\"+Inf\"} 1\nh_sum{x=\"1\"} 1\nh_count{x=\"1\"} 7\nh_bucket{x=\"2\",le=\"+Inf\"} 1\nh_sum{x=\"2\"} 1\nh_count{x=\"2\"} 1\n",
        "# TYPE h histogram\nh_bucket{x=\"2\",le=\"+Inf\"} 1\nh_sum{x=\"2\"} 1\nh_count{x=\"2\"} 1\n",
        [0, 0, 1, 0],
    ),
    (
        "summary sample without quantile",
        "# TYPE s summary\ns 1\ns_sum 1\ns_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "quantile out of range",
        "# TYPE s summary\ns{quantile=\"2\"} 1\ns_sum 1\ns_count 1\n",
        "",
        [0, 0, 1, 0],
    ),
    (
        "same quantile",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.50\"} 2\ns_sum 1\ns_count 1\n",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n",
        [0, 1, 0, 0],
    ),
    ("summary without count", "# TYPE s summary\ns_sum 1\n", "", [0, 0, 1, 0]),
    (
        "a gauge that a histogram claims",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# TYPE h_sum gauge\nh_sum{x=\"1\"} 1\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        [1, 0, 0, 0],
    ),
    (
        "the same, but the gauge comes first",
        "# TYPE h_sum gauge\nh_sum{x=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n",
        "# TYPE h_sum gauge\nh_sum{x=\"1\"} 1\n",
        [1, 0, 0, 0],
    ),
    (
        "a histogram that claims a gauge",
        "a_sum 1\n# TYPE b gauge\nb 1\n# TYPE a histogram\n",
        "# TYPE b gauge\nb 1\n",
        [0, 0, 1, 0],
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
    let mut out = BytesMut::new();
    let report = Foreign::new().merge([(&Filter::all(), &text[..])], &|_| false, &mut out);
    assert_eq!(std::str::from_utf8(&out).unwrap(), "# TYPE d untyped\nd{x=\"ü\"} 1\n");
    assert_eq!(counts(&report), [0, 0, 2, 3]);
}

#[test]
fn families_of_several_sources_become_one() {
    let (out, report) = merge(&[
        "# HELP a First.\n# TYPE a counter\na{engine=\"0\"} 1\n# TYPE b gauge\nb 1\n",
        "# HELP a Second.\n# TYPE a counter\na{engine=\"1\"} 2\n# HELP b Late.\n# TYPE b gauge\nb{x=\"1\"} 2\n",
    ]);
    assert_eq!(
        out,
        "# HELP a First.\n# TYPE a counter\na{engine=\"0\"} 1\na{engine=\"1\"} 2\n\
         # HELP b Late.\n# TYPE b gauge\nb 1\nb{x=\"1\"} 2\n"
    );
    assert_eq!(counts(&report), [0; 4]);
}

#[test]
fn the_earlier_source_wins() {
    let (out, report) = merge(&[
        "# TYPE a gauge\na 1\n",
        "# TYPE a counter\na 2\n",
        "a 3\n",
        "# TYPE a gauge\na 4\n",
    ]);
    assert_eq!(out, "# TYPE a gauge\na 1\n");
    assert_eq!(counts(&report), [2, 1, 0, 0]);
}

#[test]
fn a_point_is_of_one_source() {
    let point = format!("# TYPE h histogram\n{POINT}");
    let other =
        "# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 9\nh_sum 9\nh_count 9\n";
    let (out, report) = merge(&[&point, other]);
    assert_eq!(out, point);
    assert_eq!(counts(&report), [0, 4, 0, 0]);
}

#[test]
fn a_broken_family_costs_its_source_only() {
    let (out, report) =
        merge(&["# TYPE a gauge\na{e=\"0\"} x\n", "# TYPE a counter\na{e=\"1\"} 2\n"]);
    assert_eq!(out, "# TYPE a counter\na{e=\"1\"} 2\n");
    assert_eq!(counts(&report), [0, 0, 1, 1]);
}

#[test]
fn suffixed_names_clash_across_sources() {
    let histogram = format!("# TYPE h histogram\n{POINT}");
    for gauge in [
        "# TYPE h_sum gauge\nh_sum 1\n",
        "h_count 1\n",
        "# TYPE h_bucket counter\nh_bucket 1\n",
        "# TYPE h gauge\nh 1\n",
    ] {
        let (out, report) = merge(&[&histogram, gauge]);
        assert_eq!(out, histogram);
        assert_eq!(counts(&report), [1, 0, 0, 0], "{gauge}");
        let (out, report) = merge(&[gauge, &histogram]);
        assert!(!out.contains("histogram"), "{gauge}");
        assert_eq!(counts(&report), [1, 0, 0, 0], "{gauge}");
    }
}

#[test]
fn a_suffixed_name_is_no_family_of_its_own() {
    let histogram = format!("# TYPE h histogram\n{POINT}");
    let other =
        histogram.replace("h_", "h_sum_").replace("h hist", "h_sum hist").replace("} ", "} 1");
    let (out, report) = merge(&[&histogram, &other]);
    assert_eq!(out, histogram);
    assert_eq!(counts(&report), [1, 0, 0, 0]);
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
fn reserved_names_are_left_to_us() {
    let all = Filter::all();
    let text = format!(
        "# TYPE up gauge\nup 1\n# TYPE h histogram\n{POINT}# TYPE s summary\ns_sum 1\ns_count 1\n# TYPE c counter\nc_total 1\nd 1\n"
    );
    let (out, report) = merge_with(&[(&all, &text)], &["up", "h_count", "s_sum", "c_total"]);
    assert_eq!(out, "# TYPE d untyped\nd 1\n");
    assert_eq!(counts(&report), [4, 0, 0, 0]);
    let (_, report) = merge_with(&[(&all, &text)], &["c", "s_bucket", "h_total"]);
    assert_eq!(counts(&report), [0; 4]);
}

#[test]
fn filters_see_names_as_they_are_spelled() {
    let text = "# HELP vllm:a A.\n# TYPE vllm:a gauge\nvllm:a 1\n# TYPE lmcache:b counter\nlmcache:b_total 1\n\
                # TYPE python_info gauge\npython_info{x=\"1\"} 1\nprocess_start 5\nsglang:c 1\ngarbage here\n";
    let (out, report) = merge_with(&[(&Filter::vllm(), text)], &[]);
    assert_eq!(
        out,
        "# HELP vllm:a A.\n# TYPE vllm:a gauge\nvllm:a 1\n# TYPE lmcache:b_total counter\nlmcache:b_total 1\n"
    );
    assert_eq!(counts(&report), [0; 4]);
    let (out, _) = merge_with(&[(&Filter::sglang(), text)], &[]);
    assert_eq!(out, "# TYPE sglang:c untyped\nsglang:c 1\n");
}

#[test]
fn prefixes_are_added_once() {
    let text = format!(
        "# HELP x X.\n# TYPE x counter\nx 1\n# TYPE h histogram\n{POINT}trtllm_y 1\nprocess_z 1\n"
    );
    let (out, report) = merge_with(&[(&Filter::trtllm(), &text)], &[]);
    assert_eq!(
        out,
        "# HELP trtllm_x X.\n# TYPE trtllm_x counter\ntrtllm_x 1\n# TYPE trtllm_h histogram\n\
         trtllm_h_bucket{le=\"1\"} 1\ntrtllm_h_bucket{le=\"+Inf\"} 2\ntrtllm_h_sum 3.5\ntrtllm_h_count 2\n\
         # TYPE trtllm_y untyped\ntrtllm_y 1\n"
    );
    assert_eq!(counts(&report), [0; 4]);
    // What is reserved, and what clashes, goes by the name that comes out.
    let (_, report) =
        merge_with(&[(&Filter::trtllm(), &text), (&Filter::all(), "trtllm_x 5\n")], &["trtllm_y"]);
    assert_eq!(counts(&report), [2, 0, 0, 0]);
}

#[test]
fn a_merge_forgets_the_one_before() {
    let mut foreign = Foreign::new();
    let all = Filter::all();
    for text in
        ["# TYPE a gauge\na 1\n", "# TYPE a counter\na 2\n", "", "a{x=\"1\"} zzz\n", "a 3\n"]
    {
        let (mut reused, mut fresh) = (BytesMut::new(), BytesMut::new());
        let sources = [(&all, text.as_bytes())];
        let report = foreign.merge(sources, &|_| false, &mut reused);
        assert_eq!(report, Foreign::new().merge(sources, &|_| false, &mut fresh));
        assert_eq!(reused, fresh);
    }
}

#[test]
fn appends_to_what_is_there() {
    let mut out = BytesMut::from(&b"# TYPE up gauge\nup 1\n"[..]);
    Foreign::new().merge([(&Filter::all(), &b"a 1"[..])], &|name| name == "up", &mut out);
    assert_eq!(&out[..], b"# TYPE up gauge\nup 1\n# TYPE a untyped\na 1\n");
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
    let large = "# x\n".repeat(dynamo_metrics_encoder::foreign::TEXT_BYTES_MAX / 4);
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
    assert_eq!(merge(&[&line(64)]).1.series, 1);
    assert_eq!(counts(&merge(&[&line(65)]).1), [0, 0, 1, 1]);
}

#[test]
fn what_dynamo_really_answered() {
    for (name, body) in shared::reference() {
        let text = String::from_utf8(body).unwrap();
        let (out, report) = merge(&[&text]);
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        assert_eq!(report.series + report.duplicates + report.clashes, lines as u64, "{name}");
        assert_eq!((report.quarantined, report.dropped_lines), (0, 0), "{name}");
        if !name.contains("duplicate-families") {
            // Nothing is lost and no value changes.
            let (before, after) =
                (strict::parse(text.trim_end().as_bytes()), strict::parse(out.as_bytes()).unwrap());
            assert!(before.is_err(), "the last line feed was cut off");
            let before = strict::parse(format!("{}\n", text.trim_end()).as_bytes()).unwrap();
            assert_eq!(before.families.len(), after.families.len(), "{name}");
            for sample in before.samples() {
                let labels: Vec<_> = sample.labels.iter().map(|(n, v)| (&n[..], &v[..])).collect();
                assert_eq!(
                    after.value(&sample.name, &labels),
                    Some(sample.value),
                    "{name}: {sample:?}"
                );
            }
        }
        // The engine's part of a worker, as the worker would pass it on.
        let (out, report) = merge_with(&[(&Filter::vllm(), &text)], &[]);
        assert!(!out.contains("dynamo_"), "{name}");
        if name.contains("with-engine-text") {
            assert_eq!((report.families, report.series), (5, 11), "{name}");
        }
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
