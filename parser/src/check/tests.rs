use super::*;

const E: Level = Level::Error;
const W: Level = Level::Warning;

fn levels(format: Format, text: &str) -> Vec<(usize, Level)> {
    let judgement = judge(format, text.as_bytes());
    judgement.findings.iter().map(|finding| (finding.line, finding.level)).collect()
}

/// The first finding, as it is printed.
fn first(format: Format, text: &str) -> String {
    let judgement = judge(format, text.as_bytes());
    judgement.findings.first().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn legal_spellings_of_text_are_warnings_and_their_samples_are_read() {
    let text = "\n# HELP a_total  counter with blanks\n# TYPE   a_total counter\n\n\
                a_total { x = \"y\" , } 3\na_total{} 4\nb\t5\nc  1e3\nd .5\ne inf\n#comment\n# HELP f\nf 2\n";
    let judgement = judge(Format::Text, text.as_bytes());
    assert_eq!(judgement.count(E), 0, "{:#?}", judgement.findings);
    assert_eq!(judgement.samples, 7);
    let lines: Vec<usize> = judgement.findings.iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "{:#?}", judgement.findings);
}

#[test]
fn an_error_names_each_consumer_and_what_it_does() {
    for (text, says) in [
        (
            "\ta 1\n",
            "blank before the metric name (refused by Prometheus 2; misread by Prometheus 3)",
        ),
        ("# TYPE a  gauge\na 1\n", "more than one blank before the type (refused by Prometheus)"),
        ("a 1 \n", "blank at the end of the line (refused by promtool)"),
        ("a 1", "the last line lacks its line feed (refused by promtool)"),
        ("a 1 -5\n", "timestamp \"-5\" is not a plain whole number (refused by Prometheus)"),
        ("a{x=\"\\t\"} 1\n", "'t' may not be escaped here (refused by promtool)"),
        (
            "a{x=\"1\" y=\"2\"} 1\n",
            "expected , or } after label x (refused by promtool and Python's prometheus_client; left out by VictoriaMetrics)",
        ),
        (
            "# TYPE a gauge\na 1\n# TYPE a gauge\na{x=\"1\"} 2\n",
            "second TYPE of a (refused by promtool)",
        ),
        ("a 1\n# TYPE a gauge\n", "TYPE of a after its samples (refused by promtool)"),
        (
            "# TYPE s summary\n# TYPE s_sum gauge\n",
            "summary s claims the samples of the family s_sum (refused by promtool)",
        ),
        (
            "a +5\n",
            "\"+5\" is not a number that every consumer reads (left out by VictoriaMetrics)",
        ),
        (
            "{\"a.b\"} 1\n",
            "a name in quotes, which was not asked for (refused by Prometheus 2 and promtool 2)",
        ),
        (
            "\0b 2\n",
            "a NUL byte (refused by promtool and Python's prometheus_client; misread by Prometheus)",
        ),
        ("a 1\na 2\n", "series of a is there twice (left out by Prometheus)"),
    ] {
        assert_eq!(first(Format::Text, text), format!("error: {says}"), "{text:?}");
    }
}

#[test]
fn a_fault_that_no_consumer_of_text_minds_is_a_warning() {
    for (text, line) in [
        ("# TYPE a gauge\na 1\n# HELP a x\n", 3),
        ("# TYPE a_total counter\na_total -1\n", 2),
        ("# TYPE a counter\na 1\n", 2),
        ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 9\nh_count 4\n", 4),
        ("a 1 1700000000000\na 2 1700000000001\n", 2),
        ("a{x=\"1\"}1\n", 1),
        ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na{x=\"1\"} 2\n", 5),
    ] {
        assert_eq!(levels(Format::Text, text), [(line, W)], "{text:?}");
    }
}

#[test]
fn a_help_text_with_another_metadata_line_in_it_is_a_warning() {
    let text = "# HELP a A# TYPE a gaugea{x=\"y\"} 3\n# TYPE b gauge\nb 1\n";
    assert_eq!(levels(Format::Text, text), [(1, W)]);
    assert!(first(Format::Text, text).contains("line feed missing"));
}

#[test]
fn a_label_value_across_lines_is_one_fault_where_it_begins() {
    let judgement = judge(Format::Text, b"a{x=\"1} 1\nb{y=\"2\"} 1\nc 1\n");
    let finding = &judgement.findings[0];
    assert_eq!((finding.line, finding.column), (1, Some(5)));
    assert_eq!(finding.fault, Fault::OpenValue { label: "x".into() });
    assert_eq!(judgement.count(E), 1, "{:#?}", judgement.findings);
}

#[test]
fn openmetrics_has_errors_and_warnings_of_its_own() {
    for (body, expected) in [
        (
            "# TYPE a counter\na_total 3\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n\
             h_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 1\n",
            vec![(4, W)],
        ),
        ("# TYPE a counter\na 1\n", vec![(2, E)]),
        ("a{ x=\"1\"} 1\n", vec![(1, E)]),
        ("a 1 1700000001\na 2 1700000002\n", vec![]),
        // Left out by Prometheus; for Python the time went backwards.
        ("a 1 1700000002\na 2 1700000001\n", vec![(2, E), (2, E)]),
        ("a 1\na 1\n", vec![(2, E)]),
        ("a .5\n", vec![(1, W)]),
    ] {
        assert_eq!(levels(Format::OpenMetrics, &format!("{body}# EOF\n")), expected, "{body}");
    }
}

#[test]
fn a_plain_page_has_no_findings() {
    let page =
        "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"y\"} 3\n# TYPE g gauge\ng +Inf\n";
    assert_eq!(levels(Format::Text, page), []);
}

#[test]
fn consumers_that_refuse_a_line_for_one_reason_are_in_one_finding() {
    for value in ["0x10", "1_000", "NULL", "-", "1,5", "\"1\"", "1e", "0b11"] {
        let not_a_number = Fault::NotANumber { text: value.to_owned() };
        for line in [format!("a {value}\n"), format!("a{{}} {value}\n"), format!("a{{}}{value}\n")]
        {
            let judgement = judge(Format::Text, line.as_bytes());
            let faults: Vec<_> = judgement.findings.iter().map(|it| &it.fault).collect();
            assert_eq!(faults, [&not_a_number], "{line}");
        }
    }
    for (text, expected) in [
        ("a 1e400\n", "1e400 is beyond the range of a 64-bit float"),
        ("a-b 1\n", "'-' in the metric name"),
        ("a{x=1} 1\n", "expected =\" after the label name x"),
        ("a{x:\"1\"} 1\n# EOF\n", "expected =\" after the label name x"),
        ("a{} 1\n", "empty braces"),
        ("a{,} 1\n", "expected a label name"),
        ("a{\n", "expected a label name"),
    ] {
        let judgement = judge(Format::Text, text.as_bytes());
        let first = judgement.findings[0].fault.to_string();
        assert_eq!(first, expected, "{text}");
    }
    for line in ["a{x=\"1\"}1", "a{x=\"1\"}} 1", "a{x=\"1\"}"] {
        let judgement = judge(Format::OpenMetrics, format!("{line}\n# EOF\n").as_bytes());
        let text = judgement.findings.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(text[0].contains("refused by Prometheus and Python's"), "{line}: {text:?}");
    }
}

#[test]
fn a_part_with_a_wrong_value_is_not_called_absent() {
    let page = "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1.5\nh_bucket{le=\"+Inf\"} 1.5\n\
                h_count 1.5\nh_sum 1\n";
    assert_eq!(levels(Format::Text, page), [(2, W), (3, W), (4, W)]);
    let page = format!("{page}# EOF\n");
    assert_eq!(levels(Format::OpenMetrics, &page), [(2, E), (3, E), (4, E)]);
    let page = page.replace("1.5", "x");
    let judgement = judge(Format::OpenMetrics, page.as_bytes());
    assert!(judgement.findings.iter().all(|it| it.line < 5 || it.level == W), "{page}");
}

#[test]
fn findings_are_bounded() {
    let page = "a{x=1} 1\n".repeat(20_000);
    let judgement = judge(Format::Text, page.as_bytes());
    assert!(judgement.findings.len() <= 6 * PROBLEMS_MAX, "{}", judgement.findings.len());
}
