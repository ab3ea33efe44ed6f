//! Several sources, and names that are ours: who wins, and what it costs whom.

use super::support::{OPENMETRICS, POINT, PROTOBUF, TEXT, counts, merge, merge_as, merge_with};
use bytes::BytesMut;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::Negotiated;
use dynamo_metrics_encoder::passthrough::{Filter, Labels, Passthrough, Source};
use dynamo_metrics_parser as strict;

#[test]
fn families_of_several_sources_become_one() {
    let (out, report) = merge(&[
        "# HELP a First.\n# TYPE a counter\na{engine=\"0\"} 1\n# TYPE b gauge\nb 1\n",
        "# HELP a Second.\n# TYPE a counter\na{engine=\"1\"} 2\n# HELP b Late.\n# TYPE b gauge\nb{x=\"1\"} 2\n",
    ]);
    assert_eq!(
        out,
        "# HELP a First.\n# TYPE a counter\na{engine=\"0\"} 1\na{engine=\"1\"} 2\n\
         # HELP b Late.\n# TYPE b gauge\nb 1\nb{x=\"1\"} 2\n"
    );
    assert_eq!(counts(&report), [0; 4]);
}

#[test]
fn types_that_disagree_leave_an_untyped_family_and_the_earlier_value() {
    let (out, report) = merge(&[
        "# TYPE a gauge\na 1\n",
        "# TYPE a counter\na 2\n",
        "a 3\n",
        "# TYPE a gauge\na 4\n",
    ]);
    assert_eq!(out, "# TYPE a untyped\na 1\n");
    assert_eq!(counts(&report), [0, 3, 0, 0], "the same series of four sources");
}

#[test]
fn a_point_is_of_one_source() {
    let point = format!("# TYPE h histogram\n{POINT}");
    let other =
        "# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 9\nh_sum 9\nh_count 9\n";
    let (out, report) = merge(&[&point, other]);
    assert_eq!(out, point);
    assert_eq!(counts(&report), [0, 4, 0, 0]);
}

const SUMMARY: &str = "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n";
const OTHER_SUMMARY: &str =
    "# TYPE s summary\ns{quantile=\"0.9\"} 7\ns{quantile=\"0.5\"} 6\ns_sum 9\ns_count 9\n";

/// Merges two pages, and returns the counts of duplicates of each.
fn duplicates_of_two(asked: Negotiated, pages: [&str; 2]) -> (String, [u64; 2]) {
    let (all, names, mut out) = (Filter::all(), NameFilter::default(), BytesMut::new());
    let sources = pages.map(|page| Source::new(&all, page.as_bytes()));
    let mut passthrough = Passthrough::new();
    let report = passthrough.merge(sources, &|_| false, asked, &names, &mut out);
    assert_eq!(report.withheld(), report.duplicates);
    let [first, second] = passthrough.reports() else { panic!("two sources") };
    (String::from_utf8_lossy(&out).into_owned(), [first.duplicates, second.duplicates])
}

#[test]
fn a_quantile_of_another_source_is_not_mixed_into_a_summary_and_counts_as_a_duplicate() {
    for asked in [TEXT, OPENMETRICS, PROTOBUF] {
        let (alone, none) = duplicates_of_two(asked, [SUMMARY, ""]);
        assert_eq!(none, [0, 0]);
        assert_eq!(duplicates_of_two(asked, [SUMMARY, OTHER_SUMMARY]), (alone, [0, 4]));
    }
    assert_eq!(duplicates_of_two(TEXT, [SUMMARY, OTHER_SUMMARY]).0, SUMMARY);
    // The other way round the first lacks no quantile.
    let (out, counts) = duplicates_of_two(TEXT, [OTHER_SUMMARY, SUMMARY]);
    assert!(out.contains("{quantile=\"0.9\"} 7\ns_sum 9\n"), "{out}");
    assert_eq!(counts, [0, 3]);
}

#[test]
fn buckets_of_another_source_are_not_mixed_into_a_histogram_because_they_would_not_add_up() {
    let [first, other] = [("1", 1), ("2", 5)].map(|(bound, n)| {
        format!(
            "# TYPE h histogram\nh_bucket{{le=\"{bound}\"}} {n}\nh_bucket{{le=\"+Inf\"}} {n}\nh_sum {n}\nh_count {n}\n"
        )
    });
    for asked in [TEXT, OPENMETRICS, PROTOBUF] {
        let (alone, _) = duplicates_of_two(asked, [&first, ""]);
        assert_eq!(duplicates_of_two(asked, [&first, &other]), (alone, [0, 4]));
    }
    let mixed = first.replace("h_bucket{le=\"+", "h_bucket{le=\"2\"} 5\nh_bucket{le=\"+");
    assert!(strict::parse(first.as_bytes()).is_ok() && strict::parse(mixed.as_bytes()).is_err());
}

#[test]
fn a_label_of_each_source_keeps_both_distributions_whole() {
    let all = Filter::all();
    let labels = ["0", "1"].map(|engine| Labels::new([("engine", engine)]).unwrap());
    let [first, second] = &labels;
    let sources = [
        Source::new(&all, SUMMARY.as_bytes()).labelled(first),
        Source::new(&all, OTHER_SUMMARY.as_bytes()).labelled(second),
    ];
    let (out, report) = merge_as(TEXT, &sources, &[]);
    let out = String::from_utf8(out).unwrap();
    assert_eq!((report.series, report.withheld()), (7, 0), "{out}");
    assert!(out.starts_with("# TYPE s summary\n"), "{out}");
}

#[test]
fn without_a_type_a_series_that_the_first_source_lacks_is_written() {
    // Text has no summary without a sum, so that each of its series stands alone.
    let first = "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 1\n";
    let (out, counts) = duplicates_of_two(TEXT, [first, OTHER_SUMMARY]);
    assert_eq!(
        out,
        "# TYPE s untyped\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.9\"} 7\n\
         # TYPE s_count untyped\ns_count 1\n# TYPE s_sum untyped\ns_sum 9\n"
    );
    assert_eq!(counts, [0, 2]);
    // OpenMetrics has one, and its point is of the first source.
    let (out, counts) = duplicates_of_two(OPENMETRICS, [first, OTHER_SUMMARY]);
    assert_eq!((&*out, counts), (first, [0, 4]));
    for lacking in ["h_sum 1\n", "h_count 1\n"] {
        let whole = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        let other = whole.replace(" 1\n", " 5\n");
        let (out, counts) = duplicates_of_two(TEXT, [&whole.replace(lacking, ""), &other]);
        assert!(out.contains(&lacking.replace('1', "5")) && out.contains("untyped"), "{out}");
        assert_eq!(counts, [0, 2], "{out}");
    }
}

#[test]
fn a_broken_family_costs_its_source_only() {
    let (out, report) =
        merge(&["# TYPE a gauge\na{e=\"0\"} x\n", "# TYPE a counter\na{e=\"1\"} 2\n"]);
    assert_eq!(out, "# TYPE a counter\na{e=\"1\"} 2\n");
    assert_eq!(counts(&report), [0, 0, 1, 1]);
}

#[test]
fn samples_survive_where_suffixed_names_meet_across_sources() {
    let histogram = format!("# TYPE h histogram\n{POINT}");
    for gauge in [
        "# TYPE h_sum gauge\nh_sum 1\n",
        "h_count 1\n",
        "# TYPE h_bucket counter\nh_bucket 1\n",
        "# TYPE h gauge\nh 1\n",
    ] {
        for sources in [[&*histogram, gauge], [gauge, &*histogram]] {
            let (out, report) = merge(&sources);
            assert!(!out.contains("histogram"), "{gauge}");
            let lines = sources.iter().flat_map(|text| text.lines());
            let samples = lines.filter(|line| !line.starts_with('#')).count() as u64;
            assert_eq!(report.series + report.duplicates, samples, "{gauge}: {out}");
            assert_eq!((report.clashes, report.withheld()), (0, report.duplicates), "{gauge}");
        }
    }
}

#[test]
fn a_suffixed_name_is_no_family_of_its_own() {
    let histogram = format!("# TYPE h histogram\n{POINT}");
    let other =
        histogram.replace("h_", "h_sum_").replace("h hist", "h_sum hist").replace("} ", "} 1");
    let (out, report) = merge(&[&histogram, &other]);
    assert_eq!((report.series, report.withheld()), (8, 0), "{out}");
    assert!(!out.contains("histogram"), "h_sum would be two things: {out}");
}

#[test]
fn reserved_names_are_left_to_us() {
    let all = Filter::all();
    let text = format!(
        "# TYPE up gauge\nup 1\n# TYPE h histogram\n{POINT}# TYPE s summary\ns_sum 1\ns_count 1\n# TYPE c counter\nc_total 1\nd 1\n"
    );
    let (out, report) = merge_with(&[(&all, &text)], &["up", "h_count", "s_sum", "c_total"]);
    // Of a histogram or summary, the samples whose names are free.
    assert_eq!(
        out,
        "# TYPE h_bucket untyped\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n# TYPE h_sum untyped\nh_sum 3.5\n\
         # TYPE s_count untyped\ns_count 1\n# TYPE d untyped\nd 1\n"
    );
    assert_eq!(counts(&report), [4, 0, 0, 0]);
    let all_of_h = ["h", "h_bucket", "h_sum", "h_count"];
    let (_, report) = merge_with(&[(&all, &text)], &all_of_h);
    assert_eq!((report.clashes, report.withheld()), (1, 1));
    let (_, report) = merge_with(&[(&all, &text)], &["c", "s_bucket", "h_total"]);
    assert_eq!(counts(&report), [0; 4]);
}

#[test]
fn filters_see_names_as_they_are_spelled() {
    let text = "# HELP vllm:a A.\n# TYPE vllm:a gauge\nvllm:a 1\n# TYPE lmcache:b counter\nlmcache:b_total 1\n\
                # TYPE python_info gauge\npython_info{x=\"1\"} 1\nprocess_start 5\nsglang:c 1\ngarbage here\n";
    let (out, report) = merge_with(&[(&Filter::vllm(), text)], &[]);
    assert_eq!(
        out,
        "# HELP vllm:a A.\n# TYPE vllm:a gauge\nvllm:a 1\n# TYPE lmcache:b_total counter\nlmcache:b_total 1\n"
    );
    assert_eq!(counts(&report), [0; 4]);
    let (out, _) = merge_with(&[(&Filter::sglang(), text)], &[]);
    assert_eq!(out, "# TYPE sglang:c untyped\nsglang:c 1\n");
}

#[test]
fn prefixes_are_added_once() {
    let text = format!(
        "# HELP x X.\n# TYPE x counter\nx 1\n# TYPE h histogram\n{POINT}trtllm_y 1\nprocess_z 1\n"
    );
    let (out, report) = merge_with(&[(&Filter::trtllm(), &text)], &[]);
    assert_eq!(
        out,
        "# HELP trtllm_x X.\n# TYPE trtllm_x counter\ntrtllm_x 1\n# TYPE trtllm_h histogram\n\
         trtllm_h_bucket{le=\"1\"} 1\ntrtllm_h_bucket{le=\"+Inf\"} 2\ntrtllm_h_sum 3.5\ntrtllm_h_count 2\n\
         # TYPE trtllm_y untyped\ntrtllm_y 1\n"
    );
    assert_eq!(counts(&report), [0; 4]);
    // Reservations and clashes are decided by the name with the prefix.
    let (_, report) =
        merge_with(&[(&Filter::trtllm(), &text), (&Filter::all(), "trtllm_x 5\n")], &["trtllm_y"]);
    assert_eq!(counts(&report), [1, 1, 0, 0]);
}

#[test]
fn a_merge_writes_the_same_whatever_came_before() {
    let mut passthrough = Passthrough::new();
    let all = Filter::all();
    for text in
        ["# TYPE a gauge\na 1\n", "# TYPE a counter\na 2\n", "", "a{x=\"1\"} zzz\n", "a 3\n"]
    {
        let (mut reused, mut fresh) = (BytesMut::new(), BytesMut::new());
        let (sources, names) = ([Source::new(&all, text.as_bytes())], NameFilter::default());
        let report = passthrough.merge(sources, &|_| false, TEXT, &names, &mut reused);
        assert_eq!(report, Passthrough::new().merge(sources, &|_| false, TEXT, &names, &mut fresh));
        assert_eq!(reused, fresh);
    }
}

#[test]
fn appends_to_what_is_there() {
    let mut out = BytesMut::from(&b"# TYPE up gauge\nup 1\n"[..]);
    let (all, names) = (Filter::all(), NameFilter::default());
    let sources = [Source::new(&all, b"a 1")];
    Passthrough::new().merge(sources, &|name| name == "up", TEXT, &names, &mut out);
    assert_eq!(&out[..], b"# TYPE up gauge\nup 1\n# TYPE a untyped\na 1\n");
}
