//! The strict parser against a table of bodies, each with the rule that it keeps or breaks; against
//! recorded answers of Dynamo 0.9.0; and against arbitrary bytes.

use crate::in_words;
use crate::text_table::{ACCEPTED, HISTOGRAM, REJECTED, SUMMARY};
use dynamo_metrics_parser::{Exposition, Format, Kind, Level, PROBLEMS_MAX, Rule, judge, parse};
use dynamo_metrics_test_support::pages;
use proptest::prelude::*;

#[test]
fn bodies_that_every_consumer_reads_are_accepted() {
    for (what, body) in ACCEPTED {
        if let Err(problems) = parse(body.as_bytes()) {
            panic!("{what}: {}\n{body}", in_words(&problems));
        }
    }
}

#[test]
fn bodies_that_some_consumer_refuses_are_rejected_with_line_and_rule() {
    for &(what, body, line, rule) in REJECTED {
        match parse(body.as_bytes()) {
            Ok(_) => panic!("{what}: accepted\n{body}"),
            Err(problems) => assert!(
                problems.iter().any(|problem| (problem.line, problem.rule()) == (line, rule)),
                "{what}: expected {rule:?} at line {line}, got {problems:?}"
            ),
        }
    }
}

#[test]
fn the_table_is_large_enough() {
    assert!(ACCEPTED.len() >= 40 && REJECTED.len() >= 80, "{} {}", ACCEPTED.len(), REJECTED.len());
}

/// Each rejected body stays rejected between two good families, at the shifted line: the families around
/// it neither hide nor repair it.
#[test]
fn a_rejected_body_stays_rejected_between_good_families() {
    for &(what, body, line, rule) in REJECTED {
        if rule == Rule::LineEnd && !body.ends_with('\n') {
            continue;
        }
        let body = format!("# TYPE first gauge\nfirst 1\n{body}# TYPE last gauge\nlast 1\n");
        let problems = parse(body.as_bytes()).expect_err(what);
        assert!(
            problems.iter().any(|problem| (problem.line, problem.rule()) == (line + 2, rule)),
            "{what}: {problems:?}"
        );
    }
}

#[test]
fn invalid_utf8_is_rejected_anywhere() {
    for body in
        [&b"a{b=\"\xff\"} 1\n"[..], b"# HELP a \xc3\n", b"# \x80\n", b"\xff\n", b"a \xf0\x9f\n"]
    {
        let problems = parse(body).unwrap_err();
        assert_eq!((problems[0].line, problems[0].rule()), (1, Rule::Utf8));
    }
}

#[test]
fn problems_are_in_the_order_of_lines_and_bounded() {
    let problems = parse(b"a inf\nb{} 1\n# TYPE c x\nd 1\nd 1").unwrap_err();
    let rules: Vec<_> = problems.iter().map(|problem| (problem.line, problem.rule())).collect();
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
    let many = parse("a inf\n".repeat(10 * PROBLEMS_MAX).as_bytes()).unwrap_err();
    assert_eq!(many.len(), PROBLEMS_MAX);
    let mut many = "# TYPE s summary\n".to_owned();
    for i in 0..10 * PROBLEMS_MAX {
        many += &format!("s{{i=\"{i}\"}} 1\n");
    }
    assert_eq!(parse(many.as_bytes()).unwrap_err().len(), PROBLEMS_MAX);
}

#[test]
fn names_labels_values_and_times_are_read() {
    let body = format!(
        "# HELP a_total C:\\\\ and\\nnext\n# TYPE a_total counter\na_total{{y=\"\\\"\\n\\\\\",x=\"🦀\"}} 5. 12\n\
         a_total 7\n{HISTOGRAM}{SUMMARY}u NaN\n"
    );
    let exposition = parse(body.as_bytes()).unwrap();
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
fn recorded_answers_of_dynamo_are_accepted_but_for_their_known_faults() {
    for (name, body) in pages::reference() {
        let result = parse(&body);
        if name.contains("duplicate-families") {
            let problems = result.expect_err(&name);
            assert!(
                problems.iter().any(|problem| problem.rule() == Rule::Metadata
                    && problem.to_string().contains("dynamo_component_uptime_seconds")),
                "{name}: {problems:?}"
            );
            continue;
        }
        // Two of the bodies end in a blank line, one of the defects not to copy. Nothing else.
        let blank = body.ends_with(b"\n\n");
        if blank {
            let problems = result.expect_err(&name);
            assert!(problems.iter().all(|problem| problem.rule() == Rule::LineEnd), "{name}");
        }
        let body = if blank { &body[..body.len() - 1] } else { &body[..] };
        match parse(body) {
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
    assert_eq!(parse(body.as_bytes()).unwrap().samples().count(), 200_000);
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
fn an_exposition_can_be_written_and_read_again() {
    for (what, body) in ACCEPTED {
        let first = parse(body.as_bytes()).unwrap();
        let second = parse(write(&first).as_bytes()).unwrap_or_else(|p| panic!("{what}: {p:?}"));
        assert_eq!(write(&first), write(&second), "{what}");
        assert_eq!(first.families.len(), second.families.len(), "{what}");
    }
}

proptest! {
    #[test]
    fn never_panics_on_bytes(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&body);
        for format in [Format::Text, Format::TextUtf8, Format::OpenMetrics, Format::OpenMetricsUtf8] {
            let _ = judge(format, &body);
        }
    }

    #[test]
    fn never_panics_on_near_misses(body in pages::any_text()) {
        if parse(&body).is_ok() {
            let findings = judge(Format::Text, &body).findings;
            let errors: Vec<_> = findings.iter().filter(|f| f.level == Level::Error).collect();
            prop_assert!(errors.iter().all(|f| f.fault.id() == "ReservedLabel"), "{errors:?}");
        }
        let _ = judge(Format::OpenMetricsUtf8, &body);
        if let Ok(exposition) = parse(&body) {
            let again = parse(write(&exposition).as_bytes());
            prop_assert!(again.is_ok(), "{:?}", again);
        }
    }
}
