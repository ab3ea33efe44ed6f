//! Families that lack an optional part: every sample that Prometheus would store of them is written, with its name, labels and
//! value, in every format.

use super::support::{OPENMETRICS, PROTOBUF, TEXT, merge_as};
use crate::decode::{line, samples};
use bytes::BytesMut;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
use dynamo_metrics_parser as strict;
use proptest::prelude::*;

/// Pages as real engines and bridges print them. Each says what is unusual about it.
const PAGES: &[(&str, &str)] = &[
    (
        "Dropwizard's summary without a sum",
        "# TYPE hist summary\nhist{quantile=\"0.5\"} 49.0\nhist{quantile=\"0.99\"} 98.0\nhist_count 100\n# EOF\n",
    ),
    (
        "a summary of quantiles alone",
        "# TYPE job_seconds summary\njob_seconds{quantile=\"0.5\"} 0.02\njob_seconds{quantile=\"0.99\"} 0.3\n",
    ),
    (
        "a summary beside a counter that is declared as its count",
        "# TYPE job_seconds_count counter\njob_seconds_count 100\n# TYPE job_seconds summary\n\
         job_seconds{quantile=\"0.5\"} 0.02\njob_seconds{quantile=\"0.99\"} 0.3\n",
    ),
    (
        "the same, the summary first",
        "# TYPE job_seconds summary\njob_seconds{quantile=\"0.5\"} 0.02\njob_seconds_sum 3.0\n\
         # TYPE job_seconds_count counter\njob_seconds_count 100\n",
    ),
    (
        "a histogram without +Inf",
        "# TYPE lat_seconds histogram\nlat_seconds_bucket{le=\"1.0\"} 1\nlat_seconds_bucket{le=\"5.0\"} 3\n\
         lat_seconds_sum 9\nlat_seconds_count 4\n",
    ),
    (
        "OpenMetrics' histogram of negative bounds, which has no sum",
        "# TYPE delta histogram\ndelta_bucket{le=\"-1.0\"} 1\ndelta_bucket{le=\"0.0\"} 2\ndelta_bucket{le=\"+Inf\"} 4\n# EOF\n",
    ),
    (
        "a family in two places",
        "# TYPE rx counter\nrx{cluster=\"a\"} 1\n\n# TYPE tx counter\ntx{cluster=\"a\"} 2\n\n# TYPE rx counter\nrx{cluster=\"b\"} 3\n",
    ),
    (
        "a gaugehistogram",
        "# TYPE q gaugehistogram\nq_bucket{le=\"1.0\"} 1\nq_bucket{le=\"+Inf\"} 2\nq_gcount 2\nq_gsum 3.5\n# EOF\n",
    ),
    (
        "types of OpenMetrics that text lacks",
        "# TYPE s stateset\ns{s=\"a\"} 1\ns{s=\"b\"} 0\n# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE u unknown\nu 5\n# EOF\n",
    ),
    (
        "a histogram whose name another family has",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# TYPE h_bucket_total counter\nh_bucket_total 4\n",
    ),
    (
        "counters that fall below zero",
        "# TYPE a counter\na -1\n# TYPE b counter\nb NaN\nb{x=\"1\"} 3\n",
    ),
    (
        "counts that were read while they grew",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 5\nh_bucket{le=\"+Inf\"} 6\nh_sum 1\nh_count 7\n",
    ),
];

fn samples_of(text: &str) -> Vec<String> {
    let mut expected: Vec<String> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|sample| {
            let (series, value) = sample.rsplit_once(' ').expect("a value");
            let value = value.parse().expect("a number");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let pairs = labels.map(|label| {
                let (name, value) = label.split_once('=').expect("a label");
                (name.to_owned(), value.trim_matches('"').to_owned())
            });
            line(name, pairs.collect(), value)
        })
        .collect();
    expected.sort();
    expected
}

fn written(exposition: &strict::Exposition) -> Vec<String> {
    let mut written: Vec<String> = exposition
        .samples()
        .map(|sample| line(&sample.name, sample.labels.clone(), sample.value))
        .collect();
    written.sort();
    written
}

/// Checks that each format writes what was recorded.
fn check(text: &str) -> Result<(), TestCaseError> {
    let all = Filter::all();
    let sources = [Source::new(&all, text.as_bytes())];
    let expected = samples_of(text);
    let (out, report) = merge_as(TEXT, &sources, &[]);
    let parsed = strict::parse(&out).map_err(|problems| {
        TestCaseError::fail(format!("{problems:?}\n{}", String::from_utf8_lossy(&out)))
    })?;
    prop_assert_eq!(&written(&parsed), &expected, "text of\n{}", text);
    prop_assert_eq!(report.withheld(), 0);
    let (mut out, report) = merge_as(OPENMETRICS, &sources, &[]);
    out.extend_from_slice(b"# EOF\n");
    let parsed = strict::parse_as(strict::Format::OpenMetrics, &out).map_err(|problems| {
        TestCaseError::fail(format!("{problems:?}\n{}", String::from_utf8_lossy(&out)))
    })?;
    prop_assert_eq!(&written(&parsed), &expected, "OpenMetrics of\n{}", text);
    prop_assert_eq!(report.withheld(), 0);
    let (out, report) = merge_as(PROTOBUF, &sources, &[]);
    let mut decoded = samples(&out);
    decoded.sort();
    prop_assert_eq!(&decoded, &expected, "protobuf of\n{}", text);
    prop_assert_eq!(report.withheld(), 0);
    Ok(())
}

#[test]
fn pages_of_real_engines_lose_nothing() {
    for (what, text) in PAGES {
        check(text).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

/// A histogram or summary of some label sets, each with any of its parts.
fn family(name: &'static str) -> impl Strategy<Value = String> {
    let point = (prop::collection::vec(any::<bool>(), 5), 0..4u32, any::<bool>());
    (any::<bool>(), prop::collection::vec(point, 1..4), any::<bool>()).prop_map(
        move |(histogram, points, declared_first)| {
            let kind = if histogram { "histogram" } else { "summary" };
            let head = format!("# TYPE {name} {kind}\n");
            let mut text = String::new();
            for (number, (parts, odd, negative)) in points.iter().enumerate() {
                let label = format!("x=\"{number}\"");
                let bounds = match (histogram, negative) {
                    (true, true) => ["-1.0", "0.5", "+Inf"],
                    (true, false) => ["0.5", "1.0", "+Inf"],
                    _ => ["0.5", "0.9", "1.0"],
                };
                for (at, bound) in bounds.iter().enumerate().filter(|&(at, _)| parts[at]) {
                    // Sometimes not cumulative, and sometimes not the count.
                    let count = if *odd == at as u32 { 9 } else { at + 1 };
                    if histogram {
                        text += &format!("{name}_bucket{{{label},le=\"{bound}\"}} {count}\n");
                    } else {
                        text += &format!("{name}{{{label},quantile=\"{bound}\"}} {count}\n");
                    }
                }
                if parts[3] {
                    text +=
                        &format!("{name}_sum{{{label}}} {}\n", if *negative { -2.5 } else { 2.5 });
                }
                if parts[4] {
                    text += &format!("{name}_count{{{label}}} 3\n");
                }
            }
            if declared_first { head + &text } else { text + &head }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn partial_families_lose_nothing(a in family("a"), b in family("b_total"), c in family("c")) {
        check(&format!("{a}# TYPE g gauge\ng 1\n{b}{c}"))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The memory of families without a type never changes what the next merge writes.
    #[test]
    fn a_merge_writes_the_same_after_any_other(
        pages in prop::collection::vec((family("a"), family("b_total"), family("a")), 1..4),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        let (all, names) = (Filter::all(), NameFilter::default());
        let pages: Vec<[String; 2]> = pages.into_iter().map(|(a, b, c)| [a + &b, c]).collect();
        for asked in [TEXT, OPENMETRICS, PROTOBUF] {
            let mut passthrough = Passthrough::new();
            // Each page also directly after itself.
            for page in order.iter().flat_map(|at| [at.get(&pages); 2]) {
                let sources = page.each_ref().map(|text| Source::new(&all, text.as_bytes()));
                let (mut reused, mut fresh) = (BytesMut::new(), BytesMut::new());
                let merge = |passthrough: &mut Passthrough, out: &mut BytesMut| {
                    passthrough.merge(sources, &|name| name == "b_total_sum", asked, &names, out)
                };
                let report = merge(&mut passthrough, &mut reused);
                prop_assert_eq!(report, merge(&mut Passthrough::new(), &mut fresh));
                prop_assert_eq!(&reused, &fresh, "{}", String::from_utf8_lossy(&fresh));
            }
        }
    }
}

#[test]
fn of_several_points_of_a_series_the_newest_is_kept() {
    let text = "# TYPE g gauge\ng{x=\"1\"} 1 1000\ng{x=\"1\"} 3 3000\ng{x=\"1\"} 2 2000\ng 5\ng 6\n\
                # TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 1000\nh_sum 1 1000\nh_count 1 1000\n\
                h_bucket{le=\"+Inf\"} 4 2000\nh_sum 4 2000\nh_count 4 2000\n";
    let (out, report) = merge_as(TEXT, &[Source::new(&Filter::all(), text.as_bytes())], &[]);
    assert_eq!(
        std::str::from_utf8(&out).unwrap(),
        "# TYPE g gauge\ng{x=\"1\"} 3 3000\ng 5\n\
         # TYPE h histogram\nh_bucket{le=\"+Inf\"} 4 2000\nh_sum 4 2000\nh_count 4 2000\n"
    );
    assert_eq!(report.duplicates, 6);
}
