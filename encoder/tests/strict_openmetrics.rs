//! The strict OpenMetrics parser: a table of bodies, each with the rule that it keeps or breaks, and thousands
//! of mutated bodies against Python's parser, in one process of it.

mod strict_judge;

use dynamo_metrics_encoder::strict::{Format, Kind, Rule, openmetrics, parse_as};
use proptest::prelude::*;
use strict_judge::{Verdict, judge, mutate, ours};

/// Bodies without their `# EOF` that every consumer takes. The mutations start from them.
const ACCEPTED: &[&str] = &[
    "",
    "a 1\n",
    "a{} 1\n",
    "# TYPE a_s gauge\n# UNIT a_s s\n# HELP a_s C:\\\\ \\\"x\\\" \\n.\na_s{b=\"\\\"\\\\\\n\"} -1.5 12.5\na_s NaN\n",
    "# HELP a \na 1\n",
    "# TYPE c counter\nc_total{x=\"1\"} 3 # {trace_id=\"4b\"} 0.5 1.25\nc_created{x=\"1\"} 1.5\nc_total{x=\"2\"} 7\n",
    "# TYPE c counter\nc_total 3 1 # {} 0.5\n",
    "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {t=\"1\"} 0.5\nh_bucket{le=\"1e+06\"} 2 # {t=\"1\"} 7 1\n\
     h_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\nh_created 5\n",
    "# TYPE h histogram\nh_bucket{le=\"-1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n",
    "# TYPE h histogram\nh_bucket{a=\"1\",le=\"+Inf\"} 2 5\nh_sum{a=\"1\"} 2 5\nh_count{a=\"1\"} 2 5\n\
     h_bucket{a=\"2\",le=\"+Inf\"} 2\nh_sum{a=\"2\"} 2\nh_count{a=\"2\"} 2\n",
    "# TYPE g gaugehistogram\ng_bucket{le=\"-1.0\"} 1\ng_bucket{le=\"+Inf\"} 2\ng_gsum -3.5\ng_gcount 2\n",
    "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns{quantile=\"1.0\"} 2\ns_sum 3\ns_count 2\ns_created 1\n",
    "# TYPE i info\ni_info{a=\"1\"} 1\ni_info{a=\"2\"} 1.0\n",
    "# TYPE e stateset\ne{e=\"x\",b=\"1\"} 1\ne{e=\"y\",b=\"1\"} 0\n",
    "# TYPE u unknown\nu 1\nv 2\n",
    "# TYPE \"my.metric\" counter\n{\"my.metric_total\",\"l.b\"=\"x\",c=\"y\"} 1 # {t=\"1\"} 2\n",
];

/// One rejected body for each rule at least, without `# EOF`, and the line. `None`: Python refuses it too.
/// Else who minds what Python takes.
const REJECTED: &[(&str, usize, Rule, Option<&str>)] = &[
    ("a 1\n\n", 2, Rule::LineEnd, None),
    ("# TYPE a gauge\r\n", 1, Rule::LineEnd, None),
    ("# HELP a x\r\n", 1, Rule::LineEnd, Some("the CR becomes part of the text")),
    ("a  1\n", 1, Rule::Blank, None),
    ("# UNIT a_s  s\n", 1, Rule::Blank, Some("the lexer of Prometheus takes one blank")),
    ("# TYPE  a gauge\n", 1, Rule::Name, Some("the lexer of Prometheus takes one blank")),
    ("# TYPE a  gauge\n", 1, Rule::Blank, Some("the lexer of Prometheus takes one blank")),
    (
        "# TYPE h histogram\nh_bucket{le=\"1.0\t\"} 1\nh_bucket{le=\"+Inf\"} 1\n",
        2,
        Rule::Canonical,
        Some("Python trims it; Prometheus does not"),
    ),
    ("#  TYPE a gauge\n", 1, Rule::Blank, Some("the lexer of Prometheus takes one blank")),
    ("a{b=\"1\", c=\"2\"} 1\n", 1, Rule::Blank, Some("the lexer of Prometheus takes no blank")),
    ("a{b=\"1\"}x1\n", 1, Rule::Blank, Some("Python skips a byte unseen; Prometheus fails")),
    ("nan\n", 1, Rule::Value, Some("Python reads it as na NaN; Prometheus fails")),
    ("# TYPE a gauge\n# TYPE a gauge\n", 2, Rule::Metadata, None),
    ("# TYPE a untyped\n", 1, Rule::Metadata, None),
    ("a 1\n# HELP a x\n", 2, Rule::Metadata, None),
    ("# HELP a\n", 1, Rule::Metadata, None),
    ("# HELP a say \"x\"\n", 1, Rule::Escape, Some("the grammar of OpenMetrics wants it escaped")),
    ("a{b=\"\\t\"} 1\n", 1, Rule::Escape, Some("expfmt refuses it, Prometheus keeps it")),
    (
        "# TYPE a counter\na_total 1 # {b=\"\\\\\"} 1\n",
        2,
        Rule::Escape,
        Some("Prometheus does not unescape it"),
    ),
    ("a.b 1\n", 1, Rule::Name, None),
    ("{\"a.b\"} 1\n", 1, Rule::Name, None),
    ("{\"b\"=\"1\",\"a\"} 1\n", 1, Rule::Name, Some("the format wants the name first")),
    ("a{b=\"1\",} 1\n", 1, Rule::Label, None),
    ("a{b=\"1\",b=\"2\"} 1\n", 1, Rule::Label, None),
    ("a{__b=\"1\"} 1\n", 1, Rule::Label, None),
    ("a{b:c=\"1\"} 1\n", 1, Rule::Label, Some("Prometheus fails on a colon in a label name")),
    ("a +5\n", 1, Rule::Value, Some("VictoriaMetrics drops the line")),
    ("a 0x10\n", 1, Rule::Value, None),
    ("a 1 -1\n", 1, Rule::Timestamp, Some("Python reads -0.5 as 0.5")),
    ("a 1 1e3\n", 1, Rule::Timestamp, Some("Python cannot compare it with another")),
    ("# TYPE s summary\ns_sum 1 2\ns_count 1 1\n", 3, Rule::Timestamp, None),
    ("# TYPE s summary\ns_sum 1 2\ns_count 1\n", 3, Rule::Timestamp, None),
    ("a 1 # {t=\"1\"} 1\n", 1, Rule::Exemplar, None),
    ("# TYPE a counter\na_total 1 #{t=\"1\"} 1\n", 2, Rule::Exemplar, None),
    (
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {} NaN\n",
        2,
        Rule::Exemplar,
        Some("the format wants it within the bucket"),
    ),
    ("# TYPE a counter\na 1\n", 2, Rule::SampleName, None),
    ("# TYPE h histogram\nh 1\n", 2, Rule::SampleName, None),
    ("a 1\nb 1\na{x=\"1\"} 1\n", 3, Rule::Grouping, None),
    (
        "# TYPE c counter\nc_total{x=\"1\"} 1\nc_total{x=\"2\"} 1\nc_created{x=\"1\"} 1\n",
        4,
        Rule::Grouping,
        None,
    ),
    ("# TYPE a counter\na_total 1\n# TYPE a_created gauge\n", 3, Rule::Clash, None),
    ("a 1\na 1\n", 2, Rule::Duplicate, Some("Prometheus keeps the first")),
    ("a 1 1\na 1 2\n", 2, Rule::Duplicate, Some("Prometheus keeps the first")),
    ("# TYPE a counter\na_total -1\n", 2, Rule::Counter, None),
    ("# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\n", 2, Rule::Histogram, None),
    ("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n", 4, Rule::Histogram, None),
    (
        "# TYPE h histogram\nh_bucket{le=\"-1.0\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        5,
        Rule::Histogram,
        None,
    ),
    ("# TYPE s summary\ns{quantile=\"2.0\"} 1\n", 2, Rule::Summary, None),
    (
        "# TYPE s summary\ns_sum{quantile=\"1.0\"} 1\n",
        2,
        Rule::Summary,
        Some("expfmt takes the label away"),
    ),
    ("# HELP a x\n# EOF\n", 3, Rule::Eof, None),
    ("# comment\n", 1, Rule::Comment, None),
    ("#x HELP a x\n", 1, Rule::Comment, Some("Python looks at the second word; Prometheus fails")),
    ("# TYPE a gauge\n# UNIT a s\n", 2, Rule::Unit, None),
    ("# UNIT a_s s\n# TYPE a_s info\n", 2, Rule::Unit, None),
    (
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\n",
        2,
        Rule::Canonical,
        Some("Prometheus 2 makes another series of it"),
    ),
    ("# TYPE c counter\nc_created 1\n", 2, Rule::Created, Some("the format wants a total")),
    (
        "# TYPE c counter\nc_created 1\nc_total 1\n",
        3,
        Rule::Created,
        Some("Prometheus looks for it behind the samples"),
    ),
    ("# TYPE c counter\nc_total 1\nc_created -1\n", 3, Rule::Created, Some("it is no time")),
    ("# TYPE i info\ni_info 2\n", 2, Rule::Info, None),
    ("# TYPE e stateset\ne{e=\"x\"} 2\n", 2, Rule::StateSet, None),
];

#[test]
fn accepted() {
    for body in ACCEPTED {
        for end in ["# EOF\n", "# EOF"] {
            let body = format!("{body}{end}");
            openmetrics::parse(body.as_bytes()).unwrap_or_else(|p| panic!("{body}\n{p:?}"));
            let plain = parse_as(Format::OpenMetrics, body.as_bytes());
            assert_eq!(plain.is_ok(), !body.contains("my.metric"), "{body}");
        }
    }
}

#[test]
fn rejected() {
    for &(body, line, rule, _) in REJECTED {
        let problems = openmetrics::parse(format!("{body}# EOF\n").as_bytes()).expect_err(body);
        let found = problems.iter().any(|p| (p.line, p.rule) == (line, rule));
        assert!(found, "{body}: expected {rule:?} at {line}, got {problems:?}");
    }
    for (body, rule) in [
        (&b""[..], Rule::Eof),
        (b"a 1\n", Rule::Eof),
        (b"a 1\n# EOF ", Rule::Eof),
        (b"\xff\n# EOF\n", Rule::Utf8),
    ] {
        let problems = openmetrics::parse(body).unwrap_err();
        assert!(problems.iter().any(|problem| problem.rule == rule), "{problems:?}");
    }
    let long =
        |n: usize| format!("# TYPE c counter\nc_total 1 # {{a=\"{}\"}} 1\n# EOF\n", "é".repeat(n));
    assert!(openmetrics::parse(long(127).as_bytes()).is_ok());
    assert_eq!(openmetrics::parse(long(128).as_bytes()).unwrap_err()[0].rule, Rule::Exemplar);
}

#[test]
fn names_in_quotes_in_text() {
    let body = b"# TYPE \"my.metric\" gauge\n{\"my.metric\",\"l.b\"=\"x\"} 1\n{\"n.\"} 2\n";
    let exposition = parse_as(Format::TextUtf8, body).unwrap();
    assert_eq!(exposition.value("my.metric", &[("l.b", "x")]), Some(1.0));
    assert_eq!(exposition.family("my.metric").unwrap().kind, Kind::Gauge);
    assert!(parse_as(Format::Text, body).is_err());
}

/// The table against Python's parser: it takes what we take, and what we refuse only where a reason says so.
#[test]
fn the_table_is_judged_by_python() {
    let accepted = ACCEPTED.iter().map(|body| (format!("{body}# EOF\n"), true));
    let rejected =
        REJECTED.iter().map(|(body, _, _, why)| (format!("{body}# EOF\n"), why.is_some()));
    let (bodies, expected): (Vec<_>, Vec<_>) = accepted.chain(rejected).unzip();
    let Some(verdicts) = judge("prometheus_client.openmetrics.parser", &bodies) else { return };
    for ((body, expected), verdict) in bodies.iter().zip(expected).zip(verdicts) {
        assert_eq!(verdict.is_some(), expected, "{body}\n{verdict:?}");
    }
}

/// What Python refuses we refuse; what both take we read alike; what only we refuse has a problem of a
/// rule that the table names as stricter. A line left out may make a second problem before it.
#[test]
fn mutated_bodies_are_judged_by_python() {
    let stricter: Vec<Rule> =
        REJECTED.iter().filter(|row| row.3.is_some()).map(|row| row.2).collect();
    let bodies = mutate(ACCEPTED);
    let Some(verdicts) = judge("prometheus_client.openmetrics.parser", &bodies) else { return };
    let (mut both, mut neither) = (0, 0);
    let mut wrong = Vec::new();
    for (body, verdict) in bodies.iter().zip(verdicts) {
        match (openmetrics::parse(body.as_bytes()), verdict) {
            (Ok(exposition), Some(theirs)) if ours(&exposition) == theirs => both += 1,
            (Ok(exposition), theirs) => {
                wrong.push(format!("{body}ours {:?}\ntheirs {theirs:?}", ours(&exposition)));
            }
            (Err(_), None) => neither += 1,
            (Err(problems), Some(_))
                if problems.iter().any(|problem| stricter.contains(&problem.rule)) => {}
            (Err(problems), Some(_)) => wrong.push(format!("{body}{problems:?}")),
        }
    }
    let few: Vec<_> = wrong.iter().take(5).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} bodies, the first:\n{}", wrong.len(), few.join("\n---\n"));
    assert!(both > 100 && neither > 100, "{both} taken by both, {neither} by neither");
}

/// What the strict text parser takes, Python's reads alike.
#[test]
fn mutated_text_is_read_alike_by_python() {
    let bodies: Vec<_> =
        mutate(&ACCEPTED.iter().filter(|b| !b.contains("# {")).copied().collect::<Vec<_>>())
            .iter()
            .map(|body| body.replace("# EOF\n", ""))
            .filter(|body| {
                parse_as(Format::TextUtf8, body.as_bytes()).is_ok() && !body.contains("__")
            })
            .collect();
    let Some(verdicts) = judge("prometheus_client.parser", &bodies) else { return };
    assert!(bodies.len() > 100, "{}", bodies.len());
    for (body, verdict) in bodies.iter().zip(verdicts) {
        let mut ours: Verdict = ours(&parse_as(Format::TextUtf8, body.as_bytes()).unwrap());
        // Python calls every counter's sample `_total` and has seconds.
        for line in body.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let Some(name) = line.strip_suffix(" counter").filter(|n| !n.ends_with("_total"))
            else {
                continue;
            };
            ours.iter_mut().filter(|row| row.0 == name).for_each(|row| row.0 += "_total");
        }
        assert_eq!(Some(ours), verdict, "{body}");
    }
}

proptest! {
    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..400)) {
        for format in [Format::OpenMetrics, Format::OpenMetricsUtf8, Format::TextUtf8] {
            let _ = parse_as(format, &body);
        }
    }
}
