//! The labels `le` and `quantile`, which Prometheus 3 respells by the last TYPE line that it has read: what it stores of the engine's
//! page is what it stores of ours. `encoder/tests/scrapers/engine.rs` shows the same pages to it.

use super::support::{OPENMETRICS, TEXT, merge, merge_as};
use bytes::BytesMut;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};

const REST: &str = "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";

#[test]
fn a_sample_of_any_name_is_respelled_below_the_type_line_of_a_histogram() {
    let page = format!("# TYPE h histogram\nh_bucket{{le=\"1\"}} 1\n{REST}foo{{le=\"1\"}} 3\n");
    let (out, report) = merge(&[&page]);
    assert!(out.contains("foo{le=\"1.0\"} 3\n"), "{out}");
    assert!(out.contains("# TYPE h histogram\nh_bucket{le=\"1\"} 1\n"), "{out}");
    assert_eq!(report.withheld(), 0);
    for (kind, sample, stored) in [
        ("histogram", "a_created{le=\"1\"} 2\n", "a_created{le=\"1.0\"} 2\n"),
        ("histogram", "a_foo{le=\"1e3\"} 2\n", "a_foo{le=\"1000.0\"} 2\n"),
        ("summary", "a_max{quantile=\"1\"} 2\n", "a_max{quantile=\"1.0\"} 2\n"),
        ("summary", "b{le=\"1\",quantile=\".5\"} 2\n", "b{le=\"1\",quantile=\"0.5\"} 2\n"),
        ("gauge", "b{le=\"1\",quantile=\"1\"} 2\n", "b{le=\"1\",quantile=\"1\"} 2\n"),
    ] {
        let (out, report) = merge(&[&format!("# TYPE a {kind}\n{sample}")]);
        assert!(out.ends_with(stored), "{kind} {out}");
        assert_eq!(report.withheld(), 0, "{kind} {sample}");
    }
}

#[test]
fn a_bound_that_is_stored_as_it_is_spelled_costs_its_family_the_type() {
    for page in [
        format!("h_bucket{{le=\"1\"}} 1\n{REST}# TYPE h histogram\n"),
        format!("# TYPE h histogram\n# TYPE g gauge\ng 1\nh_bucket{{le=\"1\"}} 1\n{REST}"),
    ] {
        let (out, report) = merge(&[&page]);
        assert!(out.contains("# TYPE h_bucket untyped\nh_bucket{le=\"1\"} 1\n"), "{out}");
        assert_eq!((report.withheld(), out.contains("histogram")), (0, false), "{out}");
    }
    let summary = "s{quantile=\"1\"} 1\ns_sum 1\ns_count 1\n# TYPE s summary\n";
    assert!(merge(&[summary]).0.contains("# TYPE s untyped\ns{quantile=\"1\"} 1\n"));
    // Spelled as Prometheus would, the type stays, wherever it stands.
    let page = format!("h_bucket{{le=\"1.0\"}} 1\n{REST}# TYPE h histogram\n");
    assert!(merge(&[&page]).0.starts_with("# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\n"));
}

#[test]
fn the_place_of_a_type_line_on_the_page_before_does_not_matter() {
    let behind = format!("h_bucket{{le=\"1\"}} 1\n{REST}# TYPE h histogram\n");
    let before = format!("# TYPE h histogram\nh_bucket{{le=\"1\"}} 1\n{REST}");
    let (mut kept, all) = (Passthrough::new(), Filter::all());
    let merged = |passthrough: &mut Passthrough, page: &str| {
        let (names, mut out) = (NameFilter::default(), BytesMut::new());
        let source = Source::new(&all, page.as_bytes());
        passthrough.merge([source], &|_| false, TEXT, &names, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    };
    for page in [&behind, &before, &behind, &behind, &before, &before] {
        assert_eq!(merged(&mut kept, page), merged(&mut Passthrough::new(), page), "{page}");
    }
}

#[test]
fn two_spellings_are_two_series_only_where_prometheus_stores_two() {
    let (out, report) =
        merge(&["h_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 2\n# TYPE h histogram\n"]);
    assert!(out.ends_with("h_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 2\n"), "{out}");
    assert_eq!(report.withheld(), 0);
    let (out, report) = merge(&["# TYPE h histogram\nfoo{le=\"1\"} 1\nfoo{le=\"1.0\"} 2\n"]);
    assert!(out.ends_with("\nfoo{le=\"1.0\"} 1\n"), "{out}");
    assert_eq!(report.duplicates, 1);
}

#[test]
fn parts_of_a_family_of_two_types_are_respelled_by_the_type_above_them() {
    let page = "# TYPE a histogram\na_bucket{le=\"1\"} 1\n# TYPE a summary\na{quantile=\"1\"} 2\na_bucket{le=\"2\"} 2\n";
    let (out, report) = merge(&[page]);
    for line in ["a_bucket{le=\"1.0\"} 1\n", "a{quantile=\"1.0\"} 2\n", "a_bucket{le=\"2\"} 2\n"] {
        assert!(out.contains(line), "{line}{out}");
    }
    assert_eq!(report.withheld(), 0);
}

#[test]
fn numbers_are_respelled_as_go_reads_them() {
    for (le, stored) in [
        ("-0", "0.0"),
        ("0x1p3", "8.0"),
        ("1_0", "10.0"),
        ("1000000", "1e+06"),
        ("+nan", "+nan"),
        ("-nan", "-nan"),
        ("1e400", "1e400"),
        ("x", "x"),
    ] {
        let page = format!("# TYPE h histogram\nh_bucket{{le=\"{le}\"}} 1\n");
        let (out, report) = merge(&[&page]);
        assert!(out.ends_with(&format!("h_bucket{{le=\"{stored}\"}} 1\n")), "{le} {out}");
        assert_eq!(report.withheld(), 0, "{le}");
    }
}

#[test]
fn the_type_line_of_a_family_that_is_filtered_out_counts() {
    let text = b"# TYPE x histogram\nvllm:a{le=\"1\"} 1\n# TYPE y gauge\nvllm:b{le=\"1\"} 1\n";
    let (out, _) = merge_as(TEXT, &[Source::new(&Filter::vllm(), text)], &[]);
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.contains("vllm:a{le=\"1.0\"} 1\n") && out.contains("vllm:b{le=\"1\"} 1\n"),
        "{out}"
    );
}

#[test]
fn a_comment_named_eof_makes_a_page_openmetrics_only_at_its_end() {
    let merged = |text: &str| merge(&[text]).0;
    assert!(merged("a 1 1700000000\n# EOF\n").ends_with("\na 1 1700000000000\n"));
    assert!(merged("a 1 1700000000\r\n# EOF\r\n\n").ends_with("\na 1 1700000000000\n"));
    for behind in ["b 1\n", "# a comment\n", "a{x=\"1\"} 1\n"] {
        let out = merged(&format!("a 1 1700000000000\n# EOF\n{behind}"));
        assert!(out.contains("\na 1 1700000000000\n"), "{out}");
    }
}

#[test]
fn a_sample_without_a_time_is_newer_than_one_with_a_time_that_is_spelled_otherwise() {
    for (page, expected) in [
        ("a{x=\"1\",y=\"2\"} 1 1000\na{y=\"2\",x=\"1\"} 2\n", "a{y=\"2\",x=\"1\"} 2\n"),
        ("a{x=\"1\"} 1 1000\na{x=\"1\",} 2\n", "a{x=\"1\"} 2\n"),
        ("a{x=\"1\"} 1 1000\na{x=\"1\"} 2\n", "a{x=\"1\"} 1 1000\n"),
        ("a{x=\"1\",y=\"2\"} 2\na{y=\"2\",x=\"1\"} 1 1000\n", "a{x=\"1\",y=\"2\"} 2\n"),
        ("a 1 1000\na 2\n", "a 1 1000\n"),
    ] {
        let (out, report) = merge(&[page]);
        assert_eq!((&*out, report.duplicates), (&*format!("# TYPE a untyped\n{expected}"), 1));
    }
}

#[test]
fn a_name_may_stand_anywhere_in_the_braces() {
    for page in [
        "{x=\"1\",\"a\"} 1\n",
        "{ x=\"1\" , \"a\" } 1\n",
        "{\"x\"=\"1\",\"a\",} 1\n",
        "{\"a\",x=\"1\"} 1\n",
    ] {
        let (out, report) = merge(&[page]);
        assert_eq!(
            (out.as_str(), report.withheld()),
            ("# TYPE a untyped\na{x=\"1\"} 1\n", 0),
            "{page}"
        );
    }
    for page in [
        "{x=\"1\"} 1\n",
        "{\"a\",\"b\"} 1\n",
        "{\"a\",\"a\"} 1\n",
        "{x} 1\n",
        "{\"a\" x=\"1\"} 1\n",
    ] {
        let (out, report) = merge(&[page]);
        assert_eq!((out.as_str(), report.dropped_lines), ("", 1), "{page}");
    }
}

#[test]
fn a_name_that_is_escaped_takes_the_place_of_no_other() {
    let all = Filter::all();
    let merged = |texts: &[&str]| {
        let sources: Vec<_> = texts.iter().map(|text| Source::new(&all, text.as_bytes())).collect();
        let (out, report) = merge_as(OPENMETRICS, &sources, &[]);
        (String::from_utf8(out).unwrap(), report.duplicates)
    };
    for texts in
        [&["{\"a.b\"} 1\na_b 2\n"][..], &["a_b 2\n{\"a.b\"} 1\n"], &["{\"a.b\"} 1\n", "a_b 2\n"]]
    {
        assert_eq!(merged(texts), ("# TYPE a_b unknown\na_b 2\n".into(), 1), "{texts:?}");
    }
}
