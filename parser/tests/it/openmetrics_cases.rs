//! The cases of the OpenMetrics project's parser suite, each with its name there: `check` has no error for a page that a parser
//! should take, and one for each that it should not. The pages are minimal ones of our own for the same cases.

use dynamo_metrics_parser::{Format, Level, judge};

/// Pages that every parser should take.
const SHOULD_PARSE: &[(&str, &str)] = &[
    ("simple_counter", "# TYPE a counter\n# HELP a help\na_total 1\n# EOF\n"),
    ("uint64_counter", "# TYPE a counter\na_total 9223372036854775808\n# EOF\n"),
    ("simple_gauge", "# TYPE a gauge\n# HELP a help\na 1\n# EOF\n"),
    ("float_gauge", "# TYPE a gauge\na 1.2\n# EOF\n"),
    (
        "leading_zeros_simple_gauge",
        "# TYPE a gauge\na 00000000000000000000000000000000001\n# EOF\n",
    ),
    ("leading_zeros_float_gauge", "# TYPE a gauge\na 000000000000000000000000000001.2e-1\n# EOF\n"),
    ("nan_gauge", "# TYPE a gauge\na NaN\n# EOF\n"),
    ("unit_gauge", "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n# EOF\n"),
    ("simple_summary", "# TYPE a summary\na_count 1\na_sum 2\n# EOF\n"),
    (
        "summary_quantiles",
        "# TYPE a summary\na_count 1\na_sum 2\na{quantile=\"0.5\"} 0.7\na{quantile=\"1\"} 0.8\n# EOF\n",
    ),
    (
        "simple_histogram",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 0\na_bucket{le=\"+Inf\"} 3\na_count 3\na_sum 2\n# EOF\n",
    ),
    (
        "simple_histogram_float_values",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 0.0\na_bucket{le=\"+Inf\"} 3.0\na_count 3.0\na_sum 2.0\n# EOF\n",
    ),
    (
        "histogram_noncanonical",
        "# TYPE a histogram\na_bucket{le=\"0\"} 0\na_bucket{le=\"0.00000000001\"} 0\na_bucket{le=\"1e-04\"} 0\na_bucket{le=\"1.1e-4\"} 0\na_bucket{le=\"1\"} 0\na_bucket{le=\"1e+05\"} 0\na_bucket{le=\"10000000000\"} 0\na_bucket{le=\"+Inf\"} 3\na_count 3\na_sum 2\n# EOF\n",
    ),
    (
        "negative_bucket_histogram",
        "# TYPE a histogram\na_bucket{le=\"-1.0\"} 0\na_bucket{le=\"1.0\"} 1\na_bucket{le=\"+Inf\"} 3\n# EOF\n",
    ),
    (
        "histogram_exemplars",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 0 # {a=\"b\"} 0.5\na_bucket{le=\"2.0\"} 2 # {a=\"c\"} 0.5\na_bucket{le=\"+Inf\"} 3 # {a=\"d\"} 4 123\n# EOF\n",
    ),
    (
        "simple_gaugehistogram",
        "# TYPE a gaugehistogram\na_bucket{le=\"1.0\"} 0\na_bucket{le=\"+Inf\"} 3\na_gcount 3\na_gsum 2\n# EOF\n",
    ),
    (
        "negative_bucket_gaugehistogram",
        "# TYPE a gaugehistogram\na_bucket{le=\"-1.0\"} 1\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 3\na_gcount 3\na_gsum -5\n# EOF\n",
    ),
    (
        "gaugehistogram_exemplars",
        "# TYPE a gaugehistogram\na_bucket{le=\"1.0\"} 0 123 # {a=\"b\"} 0.5\na_bucket{le=\"2.0\"} 2 123 # {a=\"c\"} 0.5\na_bucket{le=\"+Inf\"} 3 123 # {a=\"d\"} 4 123\n# EOF\n",
    ),
    ("counter_exemplars", "# TYPE a counter\na_total 0 123 # {a=\"b\"} 0.5\n# EOF\n"),
    (
        "counter_exemplars_empty_brackets",
        "# TYPE a counter\na_total{} 0 123 # {a=\"b\"} 0.5\n# EOF\n",
    ),
    ("simple_info", "# TYPE a info\na_info{foo=\"bar\"} 1\n# EOF\n"),
    (
        "info_timestamps",
        "# TYPE a info\na_info{a=\"1\",foo=\"bar\"} 1 1\na_info{a=\"2\",foo=\"bar\"} 1 0\n# EOF\n",
    ),
    ("simple_stateset", "# TYPE a stateset\na{a=\"bar\"} 0\na{a=\"foo\"} 1.0\n# EOF\n"),
    (
        "duplicate_timestamps",
        "# TYPE a gauge\na{a=\"1\",foo=\"bar\"} 1 0.0000000000\na{a=\"1\",foo=\"bar\"} 2 0.0000000001\na{a=\"1\",foo=\"bar\"} 3 0.0000000010\na{a=\"2\",foo=\"bar\"} 4 0.0000000000\na{a=\"2\",foo=\"bar\"} 5 0.0000000001\n# EOF\n",
    ),
    ("no_metadata", "a 1\n# EOF\n"),
    ("empty_metadata", "# HELP a \n# UNIT a \n# EOF\n"),
    (
        "untyped",
        "# HELP clients Connected.\n# TYPE clients unknown\nclients{port=\"6380\"} 10.0\nclients{port=\"6381\"} 12.0\n# EOF\n",
    ),
    ("type_help_switched", "# HELP a help\n# TYPE a counter\na_total 1\n# EOF\n"),
    ("labels_with_curly_braces", "# TYPE a counter\na_total{foo=\"bar\",bar=\"b{a}z\"} 1\n# EOF\n"),
    ("empty_help", "# TYPE a counter\n# HELP a \na_total 1\n# EOF\n"),
    ("labels_and_infinite", "# TYPE a gauge\na{foo=\"bar\"} +Inf\na{foo=\"baz\"} -Inf\n# EOF\n"),
    ("empty_brackets", "# TYPE a counter\na_total{} 1\n# EOF\n"),
    ("nan", "a NaN\n# EOF\n"),
    ("no_newline_after_eof", "# TYPE a gauge\na 1\n# EOF"),
    ("empty_label", "# TYPE a counter\na_total{foo=\"bar\"} 1\na_total{foo=\"\"} 2\n# EOF\n"),
    (
        "label_escaping",
        "# TYPE a counter\na_total{foo=\"\\foo\",bar=\"baz\"} 1\na_total{foo=\"\\\\foo\",bar=\"baz\"} 1\na_total{foo=\"foo\\\\\",bar=\"baz\"} 1\na_total{foo=\"\\n\",bar=\"baz\"} 1\na_total{foo=\"\\\\\\n\",bar=\"baz\"} 1\na_total{foo=\"\\\"\",bar=\"baz\"} 1\n# EOF\n",
    ),
    (
        "help_escaping",
        "# HELP a foo\\\\\n# HELP b \\foo\n# HELP c foo\\\n# HELP d \\\\\\n\n# HELP e \\\\\\\"\n# EOF\n",
    ),
    (
        "escaping",
        "# TYPE a counter\n# HELP a he\\n\\\\l\\tp\na_total{foo=\"b\\\"a\\nr\"} 1\na_total{foo=\"b\\\\a\\z\"} 2\n# EOF\n",
    ),
    ("null_byte", "# TYPE a counter\n# HELP a he\0lp\n# EOF\n"),
    (
        "timestamps",
        "# TYPE a counter\na_total{foo=\"1\"} 1 000\na_total{foo=\"2\"} 1 0.0\na_total{foo=\"3\"} 1 1.1\na_total{foo=\"4\"} 1 12345678901234567890.1234567890\na_total{foo=\"5\"} 1 1.5e3\n# TYPE b counter\nb_total 2 1234567890\n# EOF\n",
    ),
    (
        "hash_in_label_value",
        "# TYPE a counter\na_total{foo=\"foo # bar\"} 1\na_total{foo=\"} foo # bar # \"} 1\n# EOF\n",
    ),
    (
        "exemplars_with_hash_in_label_values",
        "# TYPE a histogram\na_bucket{le=\"1.0\",foo=\"bar # \"} 0 # {a=\"b\",foo=\"bar # bar\"} 0.5\na_bucket{le=\"+Inf\",foo=\"bar # \"} 3 # {a=\"d\",foo=\"bar # bar\"} 4\n# EOF\n",
    ),
    (
        "exemplars_wide_chars",
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {a=\"日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語\"} 1 1\n# EOF\n",
    ),
    (
        "roundtrip",
        "# HELP d_seconds Durations.\n# TYPE d_seconds summary\nd_seconds{quantile=\"0.0\"} 0.013300656000000001\nd_seconds{quantile=\"0.25\"} 0.013638736\nd_seconds{quantile=\"1.0\"} 0.021383540000000003\nd_seconds_sum 56.12904785\nd_seconds_count 7476.0\n# TYPE m_bytes gauge\nm_bytes 2.478268416e+09\n# TYPE build_info gauge\nbuild_info{branch=\"HEAD\"} 1.0\n# TYPE foo histogram\nfoo_bucket{le=\"0.0\"} 0.0\nfoo_bucket{le=\"1e-05\"} 0.0\nfoo_bucket{le=\"1e+23\"} 17.0\nfoo_bucket{le=\"+Inf\"} 17.0\nfoo_count 17.0\nfoo_sum 324789.3\nfoo_created 1.520430000123e+09\n# TYPE bar histogram\nbar_bucket{a=\"b\",le=\"+Inf\"} 0.0\nbar_bucket{a=\"c\",le=\"+Inf\"} 0.0\n# EOF\n",
    ),
];

/// Pages that every parser should refuse, by the case or by the first case of several.
const SHOULD_NOT_PARSE: &[(&str, &[&str])] = &[
    ("bad_no_eof", &["", "a 1\n"]),
    ("bad_blank_line", &["a 1\n\n# EOF\n"]),
    ("bad_text_after_eof", &["a 1\n# EOF\nblah", "a 1\n# EOFblah"]),
    (
        "bad_missing_or_invalid_labels",
        &[
            "a{a=1} 1\n# EOF\n",
            "a{a=\"1} 1\n# EOF\n",
            "a{a='1'} 1\n# EOF\n",
            "a{a} 1\n# EOF\n",
            "a{a\"value\"} 1\n# EOF\n",
            "a{a\"\"} 1\n# EOF\n",
            "a{a=} 1\n# EOF\n",
            "a{a=\"} 1\n# EOF\n",
        ],
    ),
    (
        "bad_extra_commas",
        &[
            "a{a=\"1\"b=\"2\"} 1\n# EOF\n",
            "a{a=\"1\",,b=\"2\"} 1\n# EOF\n",
            "a{a=\"1\",b=\"2\",} 1\n# EOF\n",
        ],
    ),
    (
        "bad_invalid_labels",
        &[
            "a{1=\"1\"} 1\n# EOF\n",
            "a{1=\"1\"}1\n# EOF\n",
            "a{a=\"1\",a=\"1\"} 1\n# EOF\n",
            "a{a=\"1\"b} 1\n# EOF\n",
            "a{1=\" # \"} 1\n# EOF\n",
            "a{a=\" # \",a=\" # \"} 1\n# EOF\n",
            "a{a=\" # \"}1\n# EOF\n",
            "a{a=\" # \",b=}1\n# EOF\n",
            "a{a=\" # \"b}1\n# EOF\n",
        ],
    ),
    ("bad_missing_value", &["a\n# EOF\n", "a \n# EOF\n"]),
    (
        "bad_help",
        &[
            "# HELP\n# EOF\n",
            "# HELP \n# EOF\n",
            "# HELP a\n# EOF\n",
            "# HELP a\t\n# EOF\n",
            " # HELP a meh\n# EOF\n",
        ],
    ),
    (
        "bad_type",
        &[
            "# TYPE\n# EOF\n",
            "# TYPE \n# EOF\n",
            "# TYPE a\n# EOF\n",
            "# TYPE a\t\n# EOF\n",
            "# TYPE a meh\n# EOF\n",
            "# TYPE a meh \n# EOF\n",
            "# TYPE a gauge \n# EOF\n",
            "# TYPE a untyped\n# EOF\n",
        ],
    ),
    (
        "bad_unit",
        &[
            "# UNIT\n# EOF\n",
            "# UNIT \n# EOF\n",
            "# UNIT a\n# EOF\n",
            "# UNIT a\t\n# EOF\n",
            "# UNIT a seconds\n# EOF\n",
            "# UNIT a_seconds seconds \n# EOF\n",
            "# TYPE x_u info\n# UNIT x_u u\n# EOF\n",
            "# TYPE x_u stateset\n# UNIT x_u u\n# EOF\n",
        ],
    ),
    (
        "bad_metadata_in_wrong_place",
        &[
            "# HELP a x\na 1\n# TYPE a gauge\n# EOF\n",
            "# TYPE a gauge\na 1\n# HELP a gauge\n# EOF\n",
            "# TYPE a_s gauge\na_s 1\n# UNIT a_s s\n# EOF\n",
        ],
    ),
    (
        "bad_repeated_metadata",
        &[
            "# HELP a \n# HELP a \n# EOF\n",
            "# HELP a x\n# HELP a x\n# EOF\n",
            "# TYPE a unknown\n# TYPE a unknown\n# EOF\n",
            "# UNIT a_s s\n# UNIT a_s s\n# EOF\n",
        ],
    ),
    ("bad_metadata", &["# FOO a x\n# EOF\n"]),
    ("bad_metric_names", &["0a 1\n# EOF\n", "a.b 1\n# EOF\n", "a-b 1\n# EOF\n"]),
    (
        "bad_value",
        &[
            "a a\n# EOF\n",
            "a  1\n# EOF\n",
            "a 1\t\n# EOF\n",
            "a 1 \n# EOF\n",
            "a 1_2\n# EOF\n",
            "a 0x1p-3\n# EOF\n",
            "a 0x1P-3\n# EOF\n",
            "a 0b1\n# EOF\n",
            "a 0x1\n# EOF\n",
            "a 0o1\n# EOF\n",
        ],
    ),
    (
        "bad_timestamp",
        &[
            "a 1 z\n# EOF\n",
            "a 1 1z\n# EOF\n",
            "a 1 1_2\n# EOF\n",
            "a 1 1.1.1\n# EOF\n",
            "a 1 NaN\n# EOF\n",
            "a 1 Inf\n# EOF\n",
            "a 1 +Inf\n# EOF\n",
            "a 1 -Inf\n# EOF\n",
            "a 1 0x1p-3\n# EOF\n",
        ],
    ),
    (
        "bad_exemplars",
        &[
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 #\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1# {} 1\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 #{} 1\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {}1\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {} 1 \n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {} 1 1 \n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {} 0x1p-3\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {} 1 0x1p-3\n# EOF\n",
            "# TYPE a counter\na_total 1 1 # {id=\"a\"}  \n# EOF\n",
            "# TYPE a counter\na_total 1 1 # id=\"a\"} 1\n# EOF\n",
            "# TYPE a counter\na_total 1 1 #id=\" # \"} 1\n# EOF\n",
            "# TYPE a counter\na_total 1 1 id=\" # \"} 1\n# EOF\n",
            "# TYPE a histogram\na_sum 1 # {a=\"b\"} 0.5\n# EOF\n",
            "# TYPE a_bucket gauge\na_bucket 1 # {a=\"b\"} 0.5\n# EOF\n",
            "# TYPE a counter\na_total 1\na_created 1 # {a=\"b\"} 0.5\n# EOF\n",
            "# TYPE a gauge\na 1 # {a=\"b\"} 1\n# EOF\n",
            "# TYPE a info\na_info 1 # {a=\"b\"} 1\n# EOF\n",
            "# TYPE a stateset\na{a=\"b\"} 1 # {c=\"d\"} 1\n# EOF\n",
        ],
    ),
    (
        "bad_exemplar_timestamp",
        &[
            "# TYPE a counter\na_total 1 # {a=\"b\"} 1 NaN\n# EOF\n",
            "# TYPE a counter\na_total 1 # {a=\"b\"} 1 Inf\n# EOF\n",
            "# TYPE a counter\na_total 1 # {a=\"b\"} 1 -Inf\n# EOF\n",
        ],
    ),
    (
        "bad_stateset_info_values",
        &[
            "# TYPE a stateset\na 2\n# EOF\n",
            "# TYPE a info\na 2\n# EOF\n",
            "# TYPE a info\na_info{foo=\"bar\"} 2\n# EOF\n",
            "# TYPE a stateset\na{a=\"bar\"} 2\n# EOF\n",
        ],
    ),
    (
        "bad_missing_or_invalid_labels_for_a_type",
        &[
            "# TYPE a summary\na 0\n# EOF\n",
            "# TYPE a summary\na{quantile=\"-1\"} 0\n# EOF\n",
            "# TYPE a summary\na{quantile=\"foo\"} 0\n# EOF\n",
            "# TYPE a summary\na{quantile=\"1.01\"} 0\n# EOF\n",
            "# TYPE a summary\na{quantile=\"NaN\"} 0\n# EOF\n",
            "# TYPE a histogram\na_bucket 0\n# EOF\n",
            "# TYPE a gaugehistogram\na_bucket 0\n# EOF\n",
            "# TYPE a stateset\na 0\n# EOF\n",
        ],
    ),
    (
        "bad_counter_values",
        &[
            "# TYPE a counter\na_total NaN\n# EOF\n",
            "# TYPE a counter\na_total -1\n# EOF\n",
            "# TYPE a histogram\na_sum NaN\n# EOF\n",
            "# TYPE a histogram\na_count NaN\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} NaN\n# EOF\n",
            "# TYPE a histogram\na_sum -1\n# EOF\n",
            "# TYPE a histogram\na_count -1\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} -1\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"-1.0\"} 1\na_bucket{le=\"+Inf\"} 2\na_sum -1\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"-1.0\"} 1\na_bucket{le=\"+Inf\"} 2\na_sum 1\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0.5\n# EOF\n",
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} NaN\n# EOF\n",
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} -1\n# EOF\n",
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gsum -1\n# EOF\n",
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gsum NaN\n# EOF\n",
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 0.5\n# EOF\n",
            "# TYPE a summary\na_sum NaN\n# EOF\n",
            "# TYPE a summary\na_count NaN\n# EOF\n",
            "# TYPE a summary\na_sum -1\n# EOF\n",
            "# TYPE a summary\na_count -1\n# EOF\n",
            "# TYPE a summary\na_count 0.5\n# EOF\n",
            "# TYPE a summary\na{quantile=\"0.5\"} -1\n# EOF\n",
        ],
    ),
    (
        "bad_histograms",
        &[
            "# TYPE a histogram\na_sum 1\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0\na_sum 0\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0\na_count 0\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"-1\"} 0\na_bucket{le=\"+Inf\"} 0\na_sum 0\na_count 0\n# EOF\n",
            "# TYPE a gaugehistogram\na_gsum 1\n# EOF\n",
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 0\na_gsum 0\n# EOF\n",
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gsum -1\na_gcount 1\n# EOF\n",
            "# TYPE a histogram\na_count 1\na_bucket{le=\"+Inf\"} 0\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0\na_count 1\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"+INF\"} 0\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"2\"} 0\na_bucket{le=\"1\"} 0\na_bucket{le=\"+Inf\"} 0\n# EOF\n",
            "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"2\"} 1\na_bucket{le=\"+Inf\"} 0\n# EOF\n",
        ],
    ),
    (
        "bad_grouping_or_ordering",
        &[
            "# TYPE a histogram\na_sum{a=\"1\"} 0\na_sum{a=\"2\"} 0\na_count{a=\"1\"} 0\n# EOF\n",
            "# TYPE a histogram\na_bucket{a=\"1\",le=\"1\"} 0\na_bucket{a=\"2\",le=\"+Inf\"} 0\na_bucket{a=\"1\",le=\"+Inf\"} 0\n# EOF\n",
            "# TYPE a gaugehistogram\na_gsum{a=\"1\"} 0\na_gsum{a=\"2\"} 0\na_gcount{a=\"1\"} 0\n# EOF\n",
            "# TYPE a summary\na{quantile=\"0\"} 0\na_sum{a=\"1\"} 0\na{quantile=\"1\"} 0\n# EOF\n",
            "# TYPE a gauge\na 0 -1\na 0 -2\n# EOF\n",
            "# TYPE a gauge\na 0 -1\na 0 -1.1\n# EOF\n",
            "# TYPE a gauge\na 0 1\na 0 -1\n# EOF\n",
            "# TYPE a gauge\na 0 1.1\na 0 1\n# EOF\n",
            "# TYPE a gauge\na 0\na 0 0\n# EOF\n",
            "# TYPE a gauge\na 0 0\na 0\n# EOF\n",
        ],
    ),
    (
        "bad_clashing_names",
        &[
            "# TYPE a counter\n# TYPE a counter\n# EOF\n",
            "# TYPE a info\n# TYPE a counter\n# EOF\n",
            "# TYPE a_created gauge\n# TYPE a counter\n# EOF\n",
        ],
    ),
];

/// 129 code points, of which some take several to make one character.
fn long_exemplars() -> [String; 2] {
    let page = |value: String| {
        format!("# TYPE a histogram\na_bucket{{le=\"+Inf\"}} 1 # {{a=\"{value}\"}} 1 1\n# EOF\n")
    };
    [page("2".repeat(128)), page("e\u{301}".repeat(64))]
}

fn errors(page: &str) -> Vec<String> {
    let findings = judge(Format::OpenMetrics, page.as_bytes()).findings;
    let errors = findings.iter().filter(|finding| finding.level == Level::Error);
    errors.map(|finding| format!("line {}: {finding}", finding.line)).collect()
}

#[test]
fn a_page_that_parsers_should_take_has_no_error() {
    for (case, page) in SHOULD_PARSE {
        assert_eq!(errors(page), [""; 0], "{case}\n{page}");
    }
}

#[test]
fn a_page_that_parsers_should_refuse_has_an_error() {
    for (case, pages) in SHOULD_NOT_PARSE {
        for page in *pages {
            assert!(!errors(page).is_empty(), "{case}\n{page}");
        }
    }
    for page in long_exemplars() {
        assert!(!errors(&page).is_empty(), "bad_exemplars_size\n{page}");
    }
}
