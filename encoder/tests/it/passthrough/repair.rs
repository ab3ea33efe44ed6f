//! Passthrough text that is odd but clear: it is repaired, and nothing of it is lost.

use dynamo_metrics_test_support::pages;

use super::support::{counts, merge, merge_with};
use dynamo_metrics_encoder::passthrough::Filter;
use dynamo_metrics_parser as strict;

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
    (
        "timestamps in OpenMetrics are seconds",
        "a 1 1700000000.25\nb 1 -1\n# EOF\n",
        "# TYPE a untyped\na 1 1700000000250\n# TYPE b untyped\nb 1\n",
    ),
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
        "# TYPE a_bucket untyped\na_bucket{le=\"+Inf\"} 2\n# TYPE a_gcount untyped\na_gcount 2\n# TYPE a_gsum untyped\na_gsum 1.5\n",
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
        "_sum without a family",
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

#[test]
fn pages_of_a_real_dynamo_are_repaired() {
    for (name, body) in pages::reference() {
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
