//! The strict parser of OpenMetrics against its table, the values that it reads, and names in quotes in both formats.

use crate::in_words;
use crate::openmetrics_table::{ACCEPTED, REJECTED, WHOLE_ACCEPTED, WHOLE_REJECTED};
use dynamo_metrics_parser::{Format, Kind, Rule, openmetrics, parse, parse_as};
use dynamo_metrics_test_support::pages;
use proptest::prelude::*;
use std::collections::HashSet;

fn with_eof(body: &str) -> String {
    format!("{body}# EOF\n")
}

#[test]
fn bodies_that_every_consumer_reads_are_accepted() {
    let whole = WHOLE_ACCEPTED.iter().map(|(what, body)| (what, (*body).to_owned()));
    for (what, body) in ACCEPTED.iter().map(|(what, body)| (what, with_eof(body))).chain(whole) {
        if let Err(problems) = openmetrics::parse(body.as_bytes()) {
            panic!("{what}: {}\n{body}", in_words(&problems));
        }
    }
}

#[test]
fn bodies_that_some_consumer_refuses_are_rejected_with_line_and_rule() {
    let whole =
        WHOLE_REJECTED.iter().map(|&(what, body, line, rule)| (what, body.to_owned(), line, rule));
    let table = REJECTED.iter().map(|&(what, body, line, rule)| (what, with_eof(body), line, rule));
    for (what, body, line, rule) in table.chain(whole) {
        match openmetrics::parse(body.as_bytes()) {
            Ok(_) => panic!("{what}: accepted\n{body}"),
            Err(problems) => assert!(
                problems.iter().any(|problem| (problem.line, problem.rule()) == (line, rule)),
                "{what}: expected {rule:?} at line {line}, got {}",
                in_words(&problems)
            ),
        }
    }
}

/// The families around a rejected body neither hide nor repair its problem.
#[test]
fn a_rejected_body_stays_rejected_between_good_families() {
    for &(what, body, line, rule) in REJECTED {
        let body = format!("# TYPE first gauge\nfirst 1\n{body}# TYPE last gauge\nlast 1\n# EOF\n");
        let problems = openmetrics::parse(body.as_bytes()).expect_err(what);
        assert!(
            problems.iter().any(|problem| (problem.line, problem.rule()) == (line + 2, rule)),
            "{what}: {}",
            in_words(&problems)
        );
    }
}

#[test]
fn every_rule_of_the_format_has_a_row() {
    let rules: HashSet<Rule> = REJECTED.iter().chain(WHOLE_REJECTED).map(|row| row.3).collect();
    // All but invalid UTF-8, which is no `str`.
    assert_eq!(rules.len(), 23, "{rules:?}");
}

#[test]
fn invalid_utf8_is_rejected_anywhere() {
    for body in [
        &b"a{b=\"\xff\"} 1\n# EOF\n"[..],
        b"# HELP a \xc3\n# EOF\n",
        b"a 1 # {x=\"\xf0\"} 1\n# EOF\n",
    ] {
        let problems = openmetrics::parse(body).unwrap_err();
        assert_eq!((problems[0].line, problems[0].rule()), (1, Rule::Utf8));
    }
}

#[test]
fn units_exemplars_and_quoted_names_are_read() {
    let body = "# TYPE h_s gaugehistogram\n# UNIT h_s s\n# HELP h_s a\\\"\\n\\\\\n\
                h_s_bucket{le=\"1.0\",x=\"\\\"\"} 1 1.000000001 # {t=\"é\",s=\"2\"} 0.5 2.25\n\
                h_s_bucket{le=\"+Inf\",x=\"\\\"\"} 1 1.000000001\nb 1\n# TYPE \"u.v\" info\n{\"u.v_info\",\"k.l\"=\"m\"} 1\n# EOF\n";
    let exposition = openmetrics::parse(body.as_bytes()).unwrap();
    let families: Vec<_> = exposition.families.iter().map(|f| (&f.name[..], f.kind)).collect();
    assert_eq!(
        families,
        [("h_s", Kind::GaugeHistogram), ("b", Kind::Unknown), ("u.v", Kind::Info)]
    );
    let family = &exposition.families[0];
    assert_eq!((family.unit.as_deref(), family.help.as_deref()), (Some("s"), Some("a\"\n\\")));
    let sample = &family.samples[0];
    assert_eq!((sample.line, sample.label("x"), sample.value), (4, Some("\""), 1.0));
    assert_eq!((sample.timestamp, sample.timestamp_nanos()), (Some(1000), Some(1_000_000_001)));
    let exemplar = sample.exemplar.as_ref().unwrap();
    assert_eq!(
        exemplar.labels,
        [("t".to_owned(), "é".to_owned()), ("s".to_owned(), "2".to_owned())]
    );
    assert_eq!((exemplar.value, exemplar.timestamp), (0.5, Some(2250)));
    assert_eq!(exposition.value("u.v_info", &[("k.l", "m")]), Some(1.0));
}

/// A scraper that did not ask for names in quotes cannot read them.
#[test]
fn names_in_quotes_are_accepted_only_in_the_formats_that_have_them() {
    let text = [
        "{\"a.b\"} 1\n",
        "{\"a.b\",\"x.y\"=\"1\",z=\"2\"} 1\n",
        "# HELP \"a.b\" Text.\n# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n",
        "# TYPE \"h\\\"\\n\\\\\" histogram\n{\"h\\\"\\n\\\\_bucket\",le=\"+Inf\"} 1\n{\"h\\\"\\n\\\\_sum\"} 1\n{\"h\\\"\\n\\\\_count\"} 1\n",
        "a{\"x.y\"=\"1\"} 1\n",
    ];
    for body in text {
        assert!(parse_as(Format::TextUtf8, body.as_bytes()).is_ok(), "{body}");
        assert!(parse(body.as_bytes()).is_err(), "{body}");
    }
    for (what, body) in ACCEPTED {
        let quoted = body.contains("\"a") || body.contains("\"e.f\"") || body.contains("\"x y\"");
        let plain = parse_as(Format::OpenMetrics, with_eof(body).as_bytes());
        assert_eq!(plain.is_err(), quoted, "{what}");
    }
    for body in [
        "{\"a.b\" } 1\n",
        "{\"\"} 1\n",
        "{\"a\0\"} 1\n",
        "{\"a.b\",} 1\n",
        "{} 1\n",
        "{\"a.b\"}1\n",
        "{\"a.b} 1\n",
    ] {
        assert!(parse_as(Format::TextUtf8, body.as_bytes()).is_err(), "{body}");
    }
}

/// Many series and one lookup table each: a quadratic check would take minutes.
#[test]
fn time_is_linear_in_the_series() {
    let mut body = String::from("# TYPE h histogram\n");
    for i in 0..50_000 {
        body += &format!(
            "h_bucket{{i=\"{i}\",le=\"+Inf\"}} {i} # {{t=\"{i}\"}} 1\nh_sum{{i=\"{i}\"}} 1\nh_count{{i=\"{i}\"}} {i}\n"
        );
    }
    for i in 0..50_000 {
        body += &format!("# TYPE f{i} counter\nf{i}_total 1\n");
    }
    assert_eq!(openmetrics::parse(with_eof(&body).as_bytes()).unwrap().samples().count(), 200_000);
}

proptest! {
    #[test]
    fn never_panics_on_bytes(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = openmetrics::parse(&body);
    }

    /// A body that passes without names in quotes passes with them, and reads the same.
    #[test]
    fn never_panics_on_near_misses(body in pages::any_text()) {
        let body = [&body[..], b"# EOF\n"].concat();
        if let Ok(exposition) = parse_as(Format::OpenMetrics, &body) {
            prop_assert_eq!(format!("{exposition:?}"), format!("{:?}", openmetrics::parse(&body).unwrap()));
        }
    }
}
