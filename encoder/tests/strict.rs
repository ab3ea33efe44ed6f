//! The strict parser against a table of bodies, each with the rule that it keeps or breaks; against
//! what Dynamo 0.9.0 really answered; and against arbitrary bytes.

mod shared;

use dynamo_metrics_encoder::strict::{self, Exposition, Kind, PROBLEMS_MAX, Problem, Rule};
use proptest::prelude::*;

const HISTOGRAM: &str = "# TYPE h histogram
h_bucket{le=\"1\"} 1
h_bucket{le=\"+Inf\"} 2
h_sum 3.5
h_count 2
";

const SUMMARY: &str = "# TYPE s summary
s{quantile=\"0.5\"} 1
s_sum 2
s_count 2
";

/// Bodies that every consumer takes, each with what it shows.
const ACCEPTED: &[(&str, &str)] = &[
    ("empty body", ""),
    ("one sample without metadata", "a 1\n"),
    ("counter", "# HELP a_total Text.\n# TYPE a_total counter\na_total 1\n"),
    ("TYPE before HELP", "# TYPE a gauge\n# HELP a Text.\na 1\n"),
    ("HELP without TYPE", "# HELP a Text.\na 1\n"),
    ("TYPE without HELP", "# TYPE a gauge\na 1\n"),
    ("family without samples", "# HELP a Text.\n# TYPE a gauge\n# TYPE b gauge\nb 1\n"),
    ("histogram without samples", "# TYPE h histogram\n"),
    ("untyped", "# TYPE a untyped\na -1\n"),
    ("two untyped families", "a 1\nb 1\n"),
    ("colons in names", "vllm:a 1\n:b 1\n_c 1\n"),
    ("labels", "a{b=\"c\",d_1=\"e\",_f=\"g\"} 1\n"),
    ("two series", "a{b=\"1\"} 1\na{b=\"2\"} 1\na 1\n"),
    ("le on a gauge is a label like any other", "# TYPE a gauge\na{le=\"x\"} 1\n"),
    ("empty label value", "a{b=\"\"} 1\n"),
    ("reserved label names other than __name__", "a{__b=\"1\"} 1\n"),
    ("all three escapes", "a{b=\"\\\\ \\n \\\"\"} 1\n"),
    ("braces, comma, equals, hash, blanks in a value", "a{b=\"{} ,=# \"} 1\n"),
    ("a value that ends in a backslash", "a{b=\"\\\\\",c=\"d\"} 1\n"),
    ("control bytes in a value", "a{b=\"\t\r\u{0}\u{7f}\"} 1\n"),
    ("four-byte characters", "# HELP a 🦀\na{b=\"🦀\"} 1\n"),
    ("a quote in HELP", "# HELP a \"quoted\" text; a = b\na 1\n"),
    ("escapes in HELP", "# HELP a C:\\\\ \\n next\na 1\n"),
    ("blanks inside HELP", "# HELP a two  blanks \na 1\n"),
    ("HELP may mention TYPE", "# HELP a # TYPE a gauge\na 1\n"),
    ("integers", "a 0\nb 18446744073709551615\nc 007\nd -0\n"),
    ("floats", "a 1.5\nb 5.\nc 1e+06\nd 1E5\ne 1e-05\nf 1e-400\ng 1.7682643398698673e+09\n"),
    ("not finite", "a NaN\nb nan\nc +Inf\nd -Inf\n"),
    ("timestamp", "a 1 1700000000000\nb 1 0\n"),
    ("largest timestamp", "a 1 9223372036854775807\n"),
    ("plain comments", "# EOF\n# UNIT a seconds\n#\n# any text\na 1\n# help a x\n# HELPER\n"),
    ("comment within a family", "# TYPE a gauge\na{b=\"1\"} 1\n# note\na 1\n"),
    ("comment between metadata", "# HELP a Text.\n# note\n# TYPE a gauge\na 1\n"),
    ("histogram", HISTOGRAM),
    ("summary", SUMMARY),
    ("summary without quantiles", "# TYPE s summary\ns_sum 2\ns_count 2\n"),
    (
        "summary with NaN quantiles",
        "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 0\ns_count 0\n",
    ),
    (
        "count before sum, le in the middle, counts as floats",
        "# TYPE h histogram\nh_bucket{a=\"b\",le=\"1.0\",z=\"y\"} 6.0\n\
         h_bucket{a=\"b\",le=\"+Inf\",z=\"y\"} 6.0\nh_count{a=\"b\",z=\"y\"} 6.0\n\
         h_sum{a=\"b\",z=\"y\"} 0.06\n",
    ),
    (
        "two label sets, label order differs within one",
        "# TYPE h histogram\nh_bucket{a=\"1\",b=\"2\",le=\"+Inf\"} 1\nh_sum{b=\"2\",a=\"1\"} 1\n\
         h_count{b=\"2\",a=\"1\"} 1\nh_bucket{a=\"1\",le=\"+Inf\"} 1\nh_sum{a=\"1\"} 1\n\
         h_count{a=\"1\"} 1\n",
    ),
    ("only the +Inf bucket", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0\n"),
    (
        "negative bounds and a negative sum",
        "# TYPE h histogram\nh_bucket{le=\"-1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum -5\nh_count 1\n",
    ),
    (
        "a histogram that is named _total",
        "# TYPE h_total histogram\nh_total_bucket{le=\"+Inf\"} 0\nh_total_sum 0\nh_total_count 0\n",
    ),
    (
        "_created as a gauge of its own",
        "# TYPE a_total counter\na_total 1\n# TYPE a_created gauge\na_created 1\n",
    ),
    ("_sum and _count of nobody", "a_sum 1\na_count 1\na_bucket 1\n"),
    ("a gauge does not claim suffixes", "# TYPE a gauge\na 1\na_sum 1\n"),
    ("a summary does not claim _bucket", "# TYPE s summary\ns_sum 2\ns_count 2\ns_bucket 1\n"),
    ("counter at infinity", "# TYPE a counter\na +Inf\n"),
    (
        "counts of full 64 bits",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 18446744073709551615\nh_sum 0\n\
         h_count 18446744073709551615\n",
    ),
];

/// Bodies that some consumer refuses or misreads, with the line and the rule.
const REJECTED: &[(&str, &str, usize, Rule)] = &[
    ("no final LF", "a 1", 1, Rule::LineEnd),
    ("no final LF after a comment", "a 1\n# x", 2, Rule::LineEnd),
    ("blank line", "a 1\n\nb 1\n", 2, Rule::LineEnd),
    ("blank line at the end", "a 1\n\n", 2, Rule::LineEnd),
    ("nothing but a blank line", "\n", 1, Rule::LineEnd),
    ("CR LF on a sample", "a 1\r\n", 1, Rule::LineEnd),
    ("CR LF on TYPE", "# TYPE a gauge\r\na 1\n", 1, Rule::LineEnd),
    ("CR LF on HELP", "# HELP a x\r\na 1\n", 1, Rule::LineEnd),
    ("CR LF on a comment", "# x\r\na 1\n", 1, Rule::LineEnd),
    ("CR within a sample", "a\r1\n", 1, Rule::Name),
    ("leading blank", " a 1\n", 1, Rule::Blank),
    ("leading tab", "\ta 1\n", 1, Rule::Blank),
    ("trailing blank", "a 1 \n", 1, Rule::Blank),
    ("trailing tab", "a 1\t\n", 1, Rule::Value),
    ("two blanks before the value", "a  1\n", 1, Rule::Blank),
    ("tab before the value", "a\t1\n", 1, Rule::Blank),
    ("no blank before the value", "a{b=\"1\"}1\n", 1, Rule::Blank),
    ("blank before the braces", "a {b=\"1\"} 1\n", 1, Rule::Value),
    ("blank after {", "a{ b=\"1\"} 1\n", 1, Rule::Blank),
    ("blank before }", "a{b=\"1\" } 1\n", 1, Rule::Blank),
    ("blank after the comma", "a{b=\"1\", c=\"2\"} 1\n", 1, Rule::Blank),
    ("blank around =", "a{b =\"1\"} 1\n", 1, Rule::Label),
    ("empty braces", "a{} 1\n", 1, Rule::Label),
    ("trailing comma", "a{b=\"1\",} 1\n", 1, Rule::Label),
    ("lone comma", "a{,} 1\n", 1, Rule::Label),
    ("no comma", "a{b=\"1\"c=\"2\"} 1\n", 1, Rule::Label),
    ("value without quotes", "a{b=1} 1\n", 1, Rule::Label),
    ("single quotes", "a{b='1'} 1\n", 1, Rule::Label),
    ("label without value", "a{b} 1\n", 1, Rule::Label),
    ("value does not end", "a{b=\"1} 1\n", 1, Rule::Label),
    ("braces do not end", "a{b=\"1\" 1\n", 1, Rule::Blank),
    ("line ends in the braces", "a{b=\"1\"\n", 1, Rule::Label),
    ("line ends at {", "a{\n", 1, Rule::Label),
    ("colon in a label name", "a{x:y=\"1\"} 1\n", 1, Rule::Label),
    ("digit in front of a label name", "a{1b=\"1\"} 1\n", 1, Rule::Label),
    ("__name__", "a{__name__=\"b\"} 1\n", 1, Rule::Label),
    ("a label twice", "a{b=\"1\",b=\"2\"} 1\n", 1, Rule::Label),
    ("a label twice, far apart", "a{b=\"1\",c=\"2\",b=\"1\"} 1\n", 1, Rule::Label),
    ("quoted UTF-8 name", "{\"a.b\"} 1\n", 1, Rule::Name),
    ("quoted label name", "a{\"b.c\"=\"1\"} 1\n", 1, Rule::Label),
    ("point in a name", "a.b 1\n", 1, Rule::Name),
    ("digit in front of a name", "1a 1\n", 1, Rule::Name),
    ("letter beyond ASCII in a name", "é 1\n", 1, Rule::Name),
    ("byte order mark", "\u{feff}a 1\n", 1, Rule::Name),
    ("no value", "a\n", 1, Rule::Value),
    ("no value after the blank", "a \n", 1, Rule::Value),
    ("no value after labels", "a{b=\"1\"}\n", 1, Rule::Value),
    ("unknown escape", "a{b=\"\\t\"} 1\n", 1, Rule::Escape),
    ("escaped quote in HELP", "# HELP a \\\"x\\\"\na 1\n", 1, Rule::Escape),
    ("unknown escape in HELP", "# HELP a \\d\na 1\n", 1, Rule::Escape),
    ("backslash at the end of HELP", "# HELP a x\\\na 1\n", 1, Rule::Escape),
    ("plus sign", "a +5\n", 1, Rule::Value),
    ("no digit before the point", "a .5\n", 1, Rule::Value),
    ("inf", "a inf\n", 1, Rule::Value),
    ("Inf without sign", "a Inf\n", 1, Rule::Value),
    ("Infinity", "a Infinity\n", 1, Rule::Value),
    ("-NaN", "a -NaN\n", 1, Rule::Value),
    ("beyond f64", "a 1e400\n", 1, Rule::Value),
    ("hexadecimal", "a 0x10\n", 1, Rule::Value),
    ("hexadecimal float", "a 0x1p3\n", 1, Rule::Value),
    ("underscores", "a 1_000\n", 1, Rule::Value),
    ("comma in a number", "a 1,5\n", 1, Rule::Value),
    ("word for a value", "a true\n", 1, Rule::Value),
    ("negative timestamp", "a 1 -1\n", 1, Rule::Timestamp),
    ("fractional timestamp", "a 1 1.5\n", 1, Rule::Timestamp),
    ("signed timestamp", "a 1 +1\n", 1, Rule::Timestamp),
    ("timestamp beyond i64", "a 1 9223372036854775808\n", 1, Rule::Timestamp),
    ("two blanks before the timestamp", "a 1  5\n", 1, Rule::Blank),
    ("blank after the timestamp", "a 1 5 \n", 1, Rule::Blank),
    ("a third number", "a 1 5 6\n", 1, Rule::Timestamp),
    ("exemplar", "a 1 # {t=\"1\"} 1\n", 1, Rule::Exemplar),
    ("exemplar after a timestamp", "a 1 5 # {t=\"1\"} 1\n", 1, Rule::Exemplar),
    ("comment without a blank", "#comment\na 1\n", 1, Rule::Blank),
    ("#TYPE without a blank", "#TYPE a gauge\na 1\n", 1, Rule::Blank),
    ("two blanks before TYPE", "#  TYPE a gauge\na 1\n", 1, Rule::Blank),
    ("two blanks before the name", "# TYPE  a gauge\na 1\n", 1, Rule::Name),
    ("tab after TYPE", "# TYPE\ta gauge\na 1\n", 1, Rule::Blank),
    ("TYPE of nothing", "# TYPE\na 1\n", 1, Rule::Blank),
    ("TYPE without a type", "# TYPE a\na 1\n", 1, Rule::Metadata),
    ("HELP without a text", "# HELP a\na 1\n", 1, Rule::Metadata),
    ("HELP with an empty text", "# HELP a \na 1\n", 1, Rule::Metadata),
    ("HELP of an invalid name", "# HELP a.b x\na 1\n", 1, Rule::Name),
    ("quoted name in TYPE", "# TYPE \"a.b\" gauge\na 1\n", 1, Rule::Name),
    ("type unknown", "# TYPE a unknown\na 1\n", 1, Rule::Metadata),
    ("type info", "# TYPE a info\na 1\n", 1, Rule::Metadata),
    ("type stateset", "# TYPE a stateset\na 1\n", 1, Rule::Metadata),
    ("type gaugehistogram", "# TYPE a gaugehistogram\na 1\n", 1, Rule::Metadata),
    ("type in capitals", "# TYPE a GAUGE\na 1\n", 1, Rule::Metadata),
    ("blank after the type", "# TYPE a gauge \na 1\n", 1, Rule::Metadata),
    ("two blanks before the type", "# TYPE a  gauge\na 1\n", 1, Rule::Metadata),
    ("second TYPE", "# TYPE a gauge\n# TYPE a gauge\na 1\n", 2, Rule::Metadata),
    ("second HELP", "# HELP a x\n# HELP a x\na 1\n", 2, Rule::Metadata),
    (
        "second TYPE far away",
        "# TYPE a gauge\na 1\n# TYPE b gauge\n# TYPE a gauge\n",
        4,
        Rule::Metadata,
    ),
    ("TYPE after the samples", "a 1\n# TYPE a gauge\n", 2, Rule::Metadata),
    ("HELP after the samples", "# TYPE a gauge\na 1\n# HELP a x\n", 3, Rule::Metadata),
    ("family comes back", "a{x=\"1\"} 1\nb 1\na{x=\"2\"} 1\n", 3, Rule::Grouping),
    ("metadata apart", "# HELP a x\n# TYPE b gauge\n# TYPE a gauge\na 1\n", 3, Rule::Grouping),
    ("samples apart from TYPE", "# TYPE a gauge\n# TYPE b gauge\na 1\n", 3, Rule::Grouping),
    (
        "histogram comes back",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\n# TYPE b gauge\nb 1\nh_count 1\n",
        6,
        Rule::Grouping,
    ),
    ("same series", "a 1\na 1\n", 2, Rule::Duplicate),
    ("same series with another timestamp", "a 1 1\na 1 2\n", 2, Rule::Duplicate),
    (
        "same series in another order",
        "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n",
        2,
        Rule::Duplicate,
    ),
    ("same series with an empty label", "a 1\na{x=\"\"} 1\n", 2, Rule::Duplicate),
    ("same series, escaped", "a{x=\"\\\\\"} 1\na{x=\"\\\\\"} 1\n", 2, Rule::Duplicate),
    ("negative counter", "# TYPE a counter\na -1\n", 2, Rule::Counter),
    ("counter is NaN", "# TYPE a counter\na NaN\n", 2, Rule::Counter),
    ("histogram with a bare sample", "# TYPE h histogram\nh 1\n", 2, Rule::SampleName),
    (
        "a family that a histogram claims",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0\n# TYPE h_sum gauge\nh_sum{a=\"b\"} 1\n",
        5,
        Rule::Clash,
    ),
    (
        "a histogram that claims a family",
        "# TYPE h_sum gauge\nh_sum 1\n# TYPE h histogram\n",
        3,
        Rule::Clash,
    ),
    ("a summary that claims a family", "s_count 1\n# TYPE s summary\n", 2, Rule::Clash),
    (
        "bucket without le",
        "# TYPE h histogram\nh_bucket 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        2,
        Rule::Histogram,
    ),
    (
        "le is not a number",
        "# TYPE h histogram\nh_bucket{le=\"x\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        2,
        Rule::Histogram,
    ),
    (
        "le is NaN",
        "# TYPE h histogram\nh_bucket{le=\"NaN\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        2,
        Rule::Histogram,
    ),
    (
        "le is Inf without sign",
        "# TYPE h histogram\nh_bucket{le=\"Inf\"} 1\nh_sum 0\nh_count 1\n",
        2,
        Rule::Histogram,
    ),
    (
        "buckets descend",
        "# TYPE h histogram\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        3,
        Rule::Histogram,
    ),
    (
        "one bound twice, spelled differently",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        3,
        Rule::Histogram,
    ),
    (
        "buckets are not cumulative",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        3,
        Rule::Histogram,
    ),
    (
        "bucket is not whole",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 0.5\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        2,
        Rule::Histogram,
    ),
    (
        "bucket is negative",
        "# TYPE h histogram\nh_bucket{le=\"1\"} -1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        2,
        Rule::Histogram,
    ),
    (
        "bucket is NaN",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} NaN\nh_sum 0\nh_count 1\n",
        2,
        Rule::Histogram,
    ),
    (
        "no +Inf bucket",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 0\nh_count 1\n",
        4,
        Rule::Histogram,
    ),
    ("no buckets", "# TYPE h histogram\nh_sum 0\nh_count 1\n", 3, Rule::Histogram),
    ("no sum", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n", 3, Rule::Histogram),
    ("no count", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n", 3, Rule::Histogram),
    (
        "+Inf and count differ",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 2\n",
        4,
        Rule::Histogram,
    ),
    (
        "+Inf and count differ beyond 2^53",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 18446744073709551614\nh_sum 0\nh_count 18446744073709551615\n",
        4,
        Rule::Histogram,
    ),
    (
        "count is not whole",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1.5\n",
        4,
        Rule::Histogram,
    ),
    (
        "le on the sum",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum{le=\"1\"} 0\nh_count 1\n",
        3,
        Rule::Histogram,
    ),
    (
        "label sets mixed",
        "# TYPE h histogram\nh_bucket{a=\"1\",le=\"+Inf\"} 1\nh_bucket{a=\"2\",le=\"+Inf\"} 1\n\
         h_sum{a=\"1\"} 0\nh_count{a=\"1\"} 1\nh_sum{a=\"2\"} 0\nh_count{a=\"2\"} 1\n",
        4,
        Rule::Grouping,
    ),
    (
        "summary sample without quantile",
        "# TYPE s summary\ns 1\ns_sum 2\ns_count 2\n",
        2,
        Rule::Summary,
    ),
    (
        "quantile above 1",
        "# TYPE s summary\ns{quantile=\"1.5\"} 1\ns_sum 2\ns_count 2\n",
        2,
        Rule::Summary,
    ),
    (
        "quantile below 0",
        "# TYPE s summary\ns{quantile=\"-0.1\"} 1\ns_sum 2\ns_count 2\n",
        2,
        Rule::Summary,
    ),
    (
        "quantile is not a number",
        "# TYPE s summary\ns{quantile=\"x\"} 1\ns_sum 2\ns_count 2\n",
        2,
        Rule::Summary,
    ),
    (
        "one quantile twice, spelled differently",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.50\"} 1\ns_sum 2\ns_count 2\n",
        3,
        Rule::Summary,
    ),
    (
        "quantiles 0 and -0",
        "# TYPE s summary\ns{quantile=\"0\"} 1\ns{quantile=\"-0\"} 1\ns_sum 2\ns_count 2\n",
        3,
        Rule::Summary,
    ),
    (
        "summary without sum",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 2\n",
        3,
        Rule::Summary,
    ),
    (
        "summary without count",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\n",
        3,
        Rule::Summary,
    ),
    ("summary count is negative", "# TYPE s summary\ns_sum 2\ns_count -2\n", 3, Rule::Summary),
];

#[test]
fn accepted() {
    for (what, body) in ACCEPTED {
        if let Err(problems) = strict::parse(body.as_bytes()) {
            panic!("{what}: {}\n{body}", in_words(&problems));
        }
    }
}

#[test]
fn rejected() {
    for &(what, body, line, rule) in REJECTED {
        match strict::parse(body.as_bytes()) {
            Ok(_) => panic!("{what}: accepted\n{body}"),
            Err(problems) => assert!(
                problems.iter().any(|problem| (problem.line, problem.rule) == (line, rule)),
                "{what}: expected {rule:?} at line {line}, got {problems:?}"
            ),
        }
    }
}

#[test]
fn the_table_is_large_enough() {
    assert!(ACCEPTED.len() >= 40 && REJECTED.len() >= 80, "{} {}", ACCEPTED.len(), REJECTED.len());
}

/// Each rejected body stays rejected between two good families, at the shifted line: nothing before
/// it hides it, nothing behind it heals it.
#[test]
fn rejected_in_company() {
    for &(what, body, line, rule) in REJECTED {
        if rule == Rule::LineEnd && !body.ends_with('\n') {
            continue;
        }
        let body = format!("# TYPE first gauge\nfirst 1\n{body}# TYPE last gauge\nlast 1\n");
        let problems = strict::parse(body.as_bytes()).expect_err(what);
        assert!(
            problems.iter().any(|problem| (problem.line, problem.rule) == (line + 2, rule)),
            "{what}: {problems:?}"
        );
    }
}

#[test]
fn invalid_utf8_anywhere() {
    for body in
        [&b"a{b=\"\xff\"} 1\n"[..], b"# HELP a \xc3\n", b"# \x80\n", b"\xff\n", b"a \xf0\x9f\n"]
    {
        let problems = strict::parse(body).unwrap_err();
        assert_eq!((problems[0].line, problems[0].rule), (1, Rule::Utf8));
    }
}

#[test]
fn everything_is_reported_in_order_and_bounded() {
    let problems = strict::parse(b"a inf\nb{} 1\n# TYPE c x\nd 1\nd 1").unwrap_err();
    let rules: Vec<_> = problems.iter().map(|problem| (problem.line, problem.rule)).collect();
    assert_eq!(
        rules,
        [
            (1, Rule::Value),
            (2, Rule::Label),
            (3, Rule::Metadata),
            (5, Rule::Duplicate),
            (5, Rule::LineEnd)
        ]
    );
    let many = strict::parse("a inf\n".repeat(10 * PROBLEMS_MAX).as_bytes()).unwrap_err();
    assert_eq!(many.len(), PROBLEMS_MAX);
    let mut many = "# TYPE s summary\n".to_owned();
    for i in 0..10 * PROBLEMS_MAX {
        many += &format!("s{{i=\"{i}\"}} 1\n");
    }
    assert_eq!(strict::parse(many.as_bytes()).unwrap_err().len(), PROBLEMS_MAX);
}

#[test]
fn what_is_read() {
    let body = format!(
        "# HELP a_total C:\\\\ and\\nnext\n# TYPE a_total counter\na_total{{y=\"\\\"\\n\\\\\",x=\"🦀\"}} 5. 12\n\
         a_total 7\n{HISTOGRAM}{SUMMARY}u NaN\n"
    );
    let exposition = strict::parse(body.as_bytes()).unwrap();
    let names: Vec<_> =
        exposition.families.iter().map(|family| (&family.name[..], family.kind)).collect();
    assert_eq!(
        names,
        [
            ("a_total", Kind::Counter),
            ("h", Kind::Histogram),
            ("s", Kind::Summary),
            ("u", Kind::Untyped)
        ]
    );
    let a = exposition.family("a_total").unwrap();
    assert_eq!(a.help.as_deref(), Some("C:\\ and\nnext"));
    let sample = &a.samples[0];
    assert_eq!((sample.line, sample.value, &sample.text[..]), (3, 5.0, "5."));
    assert_eq!(sample.timestamp, Some(12));
    assert_eq!((sample.label("y"), sample.label("x")), (Some("\"\n\\"), Some("🦀")));
    assert_eq!(exposition.value("a_total", &[("x", "🦀"), ("y", "\"\n\\")]), Some(5.0));
    assert_eq!(exposition.value("a_total", &[("x", "🦀")]), None);
    assert_eq!(exposition.value("a_total", &[("z", "")]), Some(7.0));
    assert_eq!(exposition.sum("a_total"), Some(12.0));
    assert_eq!(exposition.value("h_bucket", &[("le", "1")]), Some(1.0));
    assert_eq!(exposition.value("h_count", &[]), Some(2.0));
    assert_eq!(exposition.sum("h"), None);
    assert_eq!(exposition.samples().count(), 10);
    assert!(exposition.value("u", &[]).unwrap().is_nan());
}

#[test]
fn what_dynamo_really_answered() {
    for (name, body) in shared::reference() {
        let result = strict::parse(&body);
        if name.contains("duplicate-families") {
            let problems = result.expect_err(&name);
            assert!(
                problems.iter().any(|problem| problem.rule == Rule::Metadata
                    && problem.message.contains("dynamo_component_uptime_seconds")),
                "{name}: {problems:?}"
            );
            continue;
        }
        // Two of the bodies end in a blank line, one of the defects not to copy. Nothing else.
        let blank = body.ends_with(b"\n\n");
        if blank {
            let problems = result.expect_err(&name);
            assert!(problems.iter().all(|problem| problem.rule == Rule::LineEnd), "{name}");
        }
        let body = if blank { &body[..body.len() - 1] } else { &body[..] };
        match strict::parse(body) {
            Ok(exposition) => assert!(exposition.samples().count() > 5, "{name}"),
            Err(problems) => panic!("{name}: {}", in_words(&problems)),
        }
    }
}

/// Many series and one lookup table each: a quadratic check would take minutes.
#[test]
fn time_is_linear_in_the_series() {
    let mut body = String::from("# TYPE h histogram\n");
    for i in 0..50_000 {
        body += &format!(
            "h_bucket{{i=\"{i}\",le=\"+Inf\"}} {i}\nh_sum{{i=\"{i}\"}} 1\nh_count{{i=\"{i}\"}} {i}\n"
        );
    }
    for i in 0..50_000 {
        body += &format!("f{i} 1\n");
    }
    assert_eq!(strict::parse(body.as_bytes()).unwrap().samples().count(), 200_000);
}

fn in_words(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

/// Writes an exposition back, as plainly as can be.
fn write(exposition: &Exposition) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('\n', "\\n");
    let mut out = String::new();
    for family in &exposition.families {
        if let Some(help) = &family.help {
            out += &format!("# HELP {} {}\n", family.name, escape(help));
        }
        out += &format!("# TYPE {} {}\n", family.name, family.kind.as_str());
        for sample in &family.samples {
            let labels: Vec<_> = sample
                .labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escape(value).replace('"', "\\\"")))
                .collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let timestamp = sample.timestamp.map(|at| format!(" {at}")).unwrap_or_default();
            out += &format!("{}{labels} {}{timestamp}\n", sample.name, sample.text);
        }
    }
    out
}

#[test]
fn what_was_read_can_be_written_and_read_again() {
    for (what, body) in ACCEPTED {
        let first = strict::parse(body.as_bytes()).unwrap();
        let second =
            strict::parse(write(&first).as_bytes()).unwrap_or_else(|p| panic!("{what}: {p:?}"));
        assert_eq!(write(&first), write(&second), "{what}");
        assert_eq!(first.families.len(), second.families.len(), "{what}");
    }
}

proptest! {
    #[test]
    fn never_panics_on_bytes(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = strict::parse(&body);
    }

    #[test]
    fn never_panics_on_near_misses(body in shared::any_text()) {
        if let Ok(exposition) = strict::parse(&body) {
            let again = strict::parse(write(&exposition).as_bytes());
            prop_assert!(again.is_ok(), "{:?}", again);
        }
    }
}
