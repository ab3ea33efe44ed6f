//! Labels that sources carry, and UTF-8 names: what is added to lines, and how names come out.

use super::support::{OPENMETRICS, POINT, TEXT, counts, merge_as, vllm_text};
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Labels, Report, Source};
use dynamo_metrics_parser as strict;

fn labelled(sources: &[(&str, &[(&str, &str)])]) -> (String, Report) {
    let all = Filter::all();
    let labels: Vec<_> =
        sources.iter().map(|(_, pairs)| Labels::new(pairs.iter().copied()).unwrap()).collect();
    let texts = sources.iter().map(|(text, _)| text.as_bytes());
    let sources: Vec<_> =
        texts.zip(&labels).map(|(text, labels)| Source::new(&all, text).labelled(labels)).collect();
    let (out, report) = merge_as(TEXT, &sources, &[]);
    strict::parse(&out).unwrap_or_else(|problems| panic!("{problems:?}"));
    (String::from_utf8(out).unwrap(), report)
}

#[test]
fn labels_are_added_and_existing_ones_win() {
    let text = "a 1\na{} 2\nb{x=\"1\"} 1\nc{ worker=\"own\" } 1\nd{worker=\"own\",x=\"1\"} 1\ne{worker=\"\"} 1\nf{x=\"\\t\"} 1\n";
    let (out, report) = labelled(&[(text, &[("ns", "p\"q"), ("worker", "7")])]);
    let samples: Vec<&str> = out.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        samples,
        [
            "a{ns=\"p\\\"q\",worker=\"7\"} 1",
            "b{x=\"1\",ns=\"p\\\"q\",worker=\"7\"} 1",
            "c{worker=\"own\",ns=\"p\\\"q\"} 1",
            "d{worker=\"own\",x=\"1\",ns=\"p\\\"q\"} 1",
            "e{ns=\"p\\\"q\",worker=\"7\"} 1",
            "f{x=\"\\\\t\",ns=\"p\\\"q\",worker=\"7\"} 1",
        ]
    );
    assert_eq!(counts(&report), [0, 1, 0, 0]);
}

#[test]
fn equal_series_of_two_sources_stay_apart() {
    let text = format!("# TYPE h histogram\n{POINT}# TYPE g gauge\ng{{x=\"1\"}} 1\n");
    let (out, report) = labelled(&[(&text, &[("worker", "1")]), (&text, &[("worker", "2")])]);
    assert_eq!((report.families, report.series, report.withheld()), (2, 10, 0));
    assert!(out.contains("h_bucket{le=\"1\",worker=\"2\"} 1\n"), "{out}");
    assert!(out.contains("g{x=\"1\",worker=\"1\"} 1\ng{x=\"1\",worker=\"2\"} 1\n"), "{out}");
    // With the same labels they are the same series, of whichever source.
    let (_, report) = labelled(&[(&text, &[("worker", "1")]), (&text, &[("worker", "1")])]);
    assert_eq!((report.series, report.duplicates), (5, 5));
    let (_, report) = labelled(&[
        ("g{worker=\"1\",a=\"2\"} 1\n", &[]),
        ("g 1\n", &[("a", "2"), ("worker", "1")]),
    ]);
    assert_eq!((report.series, report.duplicates), (1, 1));
    // Half of a point with a label of its own is the same point.
    let halves = "# TYPE h histogram\nh_bucket{le=\"+Inf\",worker=\"1\"} 1\nh_sum 1\nh_count 1\n";
    let (_, report) = labelled(&[(halves, &[("worker", "1")])]);
    assert_eq!((report.series, report.withheld()), (3, 0));
}

#[test]
fn every_sample_of_a_worker_is_labelled() {
    let text = vllm_text(2);
    let (plain, _) = labelled(&[(&text, &[])]);
    let (out, report) = labelled(&[(&text, &[("dynamo_namespace", "n"), ("worker_id", "1")])]);
    assert_eq!(report.withheld(), 0);
    let added = "dynamo_namespace=\"n\",worker_id=\"1\"";
    let expected: Vec<String> = plain
        .lines()
        .map(|line| match line.rsplit_once("} ") {
            Some((labels, value)) => format!("{labels},{added}}} {value}"),
            None => line.to_owned(),
        })
        .collect();
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}

fn escaped(format: Format, escaping: Escaping, text: &str) -> (String, Report) {
    let all = Filter::all();
    let labels = Labels::new([("worker_id", "7")]).unwrap();
    let source = Source::new(&all, text.as_bytes()).labelled(&labels);
    let (out, report) = merge_as(Negotiated::new(format, escaping), &[source], &[]);
    (String::from_utf8(out).unwrap(), report)
}

#[test]
fn utf8_names_are_escaped_as_the_scraper_wants() {
    let text = "# HELP \"http.requests_total\" X.\n# TYPE \"http.requests_total\" counter\n\
                {\"http.requests_total\",\"l.b\"=\"x\",c_d=\"y\"} 1\n{ \"größe\" } 2\n";
    let cases = [
        (
            Escaping::AllowUtf8,
            "# HELP \"http.requests_total\" X.\n# TYPE \"http.requests_total\" counter\n\
             {\"http.requests_total\",\"l.b\"=\"x\",c_d=\"y\",worker_id=\"7\"} 1\n\
             # TYPE \"größe\" untyped\n{\"größe\",worker_id=\"7\"} 2\n",
        ),
        (
            Escaping::Underscores,
            "# HELP http_requests_total X.\n# TYPE http_requests_total counter\n\
             http_requests_total{l_b=\"x\",c_d=\"y\",worker_id=\"7\"} 1\n\
             # TYPE gr__e untyped\ngr__e{worker_id=\"7\"} 2\n",
        ),
        (
            Escaping::Dots,
            "# HELP http_dot_requests__total X.\n# TYPE http_dot_requests__total counter\n\
             http_dot_requests__total{l_dot_b=\"x\",c__d=\"y\",worker__id=\"7\"} 1\n\
             # TYPE gr____e untyped\ngr____e{worker__id=\"7\"} 2\n",
        ),
        (
            Escaping::Values,
            "# HELP U__http_2e_requests__total X.\n# TYPE U__http_2e_requests__total counter\n\
             U__http_2e_requests__total{U__l_2e_b=\"x\",c_d=\"y\",worker_id=\"7\"} 1\n\
             # TYPE U__gr_f6__df_e untyped\nU__gr_f6__df_e{worker_id=\"7\"} 2\n",
        ),
    ];
    for (escaping, expected) in cases {
        let (out, report) = escaped(Format::Text, escaping, text);
        assert_eq!(out, expected);
        assert_eq!(report.withheld(), 0);
    }
    let (out, _) = escaped(Format::OpenMetrics, Escaping::AllowUtf8, text);
    assert!(
        out.starts_with(
            "# TYPE \"http.requests\" counter\n# HELP \"http.requests\" X.\n\
             {\"http.requests_total\",\"l.b\"=\"x\",c_d=\"y\",worker_id=\"7\"} 1\n"
        ),
        "{out}"
    );
}

#[test]
fn names_that_become_one_are_one() {
    let all = Filter::all();
    let text = "# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n# TYPE a_b gauge\na_b 2\na_b{x=\"1\"} 3\nc{\"x.y\"=\"1\",x_y=\"2\"} 1\n";
    let (out, report) = merge_as(TEXT, &[Source::new(&all, text.as_bytes())], &[]);
    assert_eq!(String::from_utf8(out).unwrap(), "# TYPE a_b gauge\na_b 2\na_b{x=\"1\"} 3\n");
    assert_eq!(counts(&report), [0, 1, 1, 1]);
    // Ours goes by the name that is shown.
    let (out, report) = merge_as(OPENMETRICS, &[Source::new(&all, b"{\"a.b\"} 1\n")], &["a_b"]);
    assert_eq!((out.len(), report.clashes), (0, 1));
}

#[test]
fn names_that_cannot_be_read_cost_a_line() {
    let text = "{\"a\\\"} 1\n{\"\"} 1\n{\"a} 1\n{a=\"1\"} 1\n{\"a\" x=\"1\"} 1\n{} 1\nb 1\n# TYPE \"x gauge\n";
    let (out, report) = escaped(Format::Text, Escaping::AllowUtf8, text);
    assert_eq!(out, "# TYPE b untyped\nb{worker_id=\"7\"} 1\n");
    assert_eq!(report.dropped_lines, 7);
}

#[test]
fn a_name_with_escapes_is_written_with_them_and_is_what_they_stand_for() {
    let text =
        "# TYPE \"a\\\"b_total\" counter\n{\"a\\\"b_total\",\"l\\\\m\"=\"1\"} 1\n{\"t\\tu\"} 2\n";
    let cases = [
        (
            Escaping::AllowUtf8,
            "# TYPE \"a\\\"b_total\" counter\n{\"a\\\"b_total\",\"l\\\\m\"=\"1\",worker_id=\"7\"} 1\n\
             # TYPE \"t\\\\tu\" untyped\n{\"t\\\\tu\",worker_id=\"7\"} 2\n",
        ),
        (
            Escaping::Underscores,
            "# TYPE a_b_total counter\na_b_total{l_m=\"1\",worker_id=\"7\"} 1\n\
             # TYPE t_tu untyped\nt_tu{worker_id=\"7\"} 2\n",
        ),
        (
            Escaping::Values,
            "# TYPE U__a_22_b__total counter\n\
             U__a_22_b__total{U__l_5c_m=\"1\",worker_id=\"7\"} 1\n\
             # TYPE U__t_5c_tu untyped\nU__t_5c_tu{worker_id=\"7\"} 2\n",
        ),
    ];
    for (escaping, expected) in cases {
        let (out, report) = escaped(Format::Text, escaping, text);
        assert_eq!((out.as_str(), report.withheld()), (expected, 0), "{escaping}");
    }
    // The names in two spellings are the same ones.
    let text = "{\"a\\tb\"} 1\n{\"a\\\\tb\"} 2\nc{\"a\\tb\"=\"1\",\"a\\\\tb\"=\"2\"} 1\n";
    let (out, report) = escaped(Format::Text, Escaping::AllowUtf8, text);
    assert_eq!(out, "# TYPE \"a\\\\tb\" untyped\n{\"a\\\\tb\",worker_id=\"7\"} 1\n");
    assert_eq!((report.duplicates, report.dropped_lines), (1, 1));
    // The caller's own names have no escapes.
    let (asked, all) = (Negotiated::new(Format::Text, Escaping::AllowUtf8), Filter::all());
    let (out, report) = merge_as(asked, &[Source::new(&all, b"{\"a\\\"b\"} 1\n")], &["a\"b"]);
    assert_eq!((out.len(), report.clashes), (0, 1));
}

/// Prometheus takes it for the end of the page.
#[test]
fn a_name_with_nul_is_not_read() {
    let text = "# TYPE \"a\0b\" gauge\n{\"a\0b\"} 1\nc{\"d\0\"=\"x\"} 2\ne 3\n";
    let (out, report) = escaped(Format::Text, Escaping::AllowUtf8, text);
    assert_eq!(out, "# TYPE e untyped\ne{worker_id=\"7\"} 3\n");
    assert_eq!(report.dropped_lines, 3);
}
