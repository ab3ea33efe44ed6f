//! Pages that `expfmt` before and from 0.60 on read in different ways, as promtool 2.42 and 3.5 do.

use dynamo_metrics_parser::{By, Consumer, Effect, Format, judge};

/// A page, and the finding of promtool 3 about it, if there is one. Promtool 2 takes those without names in quotes.
pub(crate) const PAGES: &[(&str, Option<&str>)] = &[
    ("# TYPE h histogram\nh_count -1\n", Some("2: h: -1 is not a count")),
    ("# TYPE h histogram\nh_count -0.5 5\n", Some("2: h: -0.5 is not a count")),
    ("# TYPE h histogram\nh_count -Inf\n", Some("2: h: -Inf is not a count")),
    ("# TYPE h histogram\nh_count{le=\"NaN\"} -1\n", Some("2: h: -1 is not a count")),
    ("# TYPE h Histogram\nh_count -1e-300\n", Some("2: h: -1e-300 is not a count")),
    ("# TYPE h histogram\nh_bucket{le=\"1\"} -1\n", Some("2: h: -1 is not a count")),
    ("# TYPE h histogram\nh{le=\"1\"} -1\n", Some("2: h: -1 is not a count")),
    ("# TYPE h histogram\nh_bucket{le=\"NaN\",le=\"1\"} -1\n", Some("2: h: -1 is not a count")),
    ("# TYPE h histogram\nh_bucket{le=\"1\",le=\"NaN\"} -1\n", None),
    ("# TYPE h histogram\nh_bucket -1\n", None),
    ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh -1\n", None),
    ("# TYPE h histogram\nh_sum{le=\"1\"} -1\n", None),
    ("# TYPE h histogram\nh_gcount -1\nh_created -1\n", None),
    ("# TYPE h_count gauge\n# TYPE h histogram\nh_count -1\n", None),
    ("h_count -1\n# TYPE h histogram\n", None),
    // Values that are no counts, and not below zero.
    (
        "# TYPE h histogram\nh_count -0\nh_count NaN\nh_count 1.5\nh_count 1e30\nh_count +Inf\n",
        None,
    ),
    ("# TYPE h histogram\nh_count -1e-400\nh_bucket{le=\"1\"} 0.5\nh_bucket{le=\"2\"} NaN\n", None),
    ("# TYPE s summary\ns{quantile=\"1\"} -1\ns_sum -1\ns_count -1\n", None),
    // A type that Prometheus refuses, and that is one of histograms since 0.60.
    ("# TYPE h gauge_histogram\nh_count -1\n", Some("2: h: -1 is not a count")),
    (
        "# TYPE h gauge_histogram\nh_bucket{le=\"x\"} 1\n",
        Some("2: le=\"x\" is not a number that every consumer reads"),
    ),
    (
        "# TYPE h gauge_histogram\n# TYPE h_sum gauge\n",
        Some("2: histogram h claims the samples of the family h_sum"),
    ),
    ("# TYPE h gauge_histogram\nh_gcount -1\n", None),
    // With the name in the braces, the bound of a line before may be the one that is asked about.
    ("# TYPE h histogram\n{\"h_count\"} -1\n", Some("2: h: -1 is not a count")),
    ("# TYPE h histogram\n{\"h_bucket\",le=\"1\"} -1\n", Some("2: h: -1 is not a count")),
    (
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\na 1\n{\"h\"} -1\n",
        Some("4: h: -1 is not a count"),
    ),
    ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\na 1\n{\"h_sum\"} -1\n", None),
    ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\n{\"h\"} -1\n", None),
    ("{le=\"1\"} 1\n", Some("1: the first entry of the braces must be the metric name")),
];

/// The findings of a consumer, with their lines.
fn refusals(page: &str, consumer: Consumer) -> Vec<String> {
    let judgement = judge(Format::TextUtf8, page.as_bytes());
    let is_own =
        |by: &By| matches!(by, By::Consumers(by) if by.contains(&(Effect::Refused, consumer)));
    let own = judgement.findings.iter().filter(|finding| is_own(&finding.by));
    own.map(|finding| format!("{}: {}", finding.line, finding.fault)).collect()
}

#[test]
fn promtool_3_refuses_negative_counts_and_buckets_of_histograms() {
    for (page, finding) in PAGES {
        let expected: Vec<&str> = finding.iter().copied().collect();
        assert_eq!(refusals(page, Consumer::Promtool3), expected, "{page}");
    }
    let judgement = judge(Format::Text, b"# HELP c x\n# TYPE c histogram\nc_count -1\n");
    let finding = &judgement.findings[0];
    assert_eq!(finding.to_string(), "error: c: -1 is not a count (refused by promtool 3)");
    assert_eq!((finding.line, finding.column), (3, Some(9)));
}
