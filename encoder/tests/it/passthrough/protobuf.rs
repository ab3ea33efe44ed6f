//! Passthrough text as protobuf: every sample of the text is in the messages, and nothing else.

use dynamo_metrics_test_support::pages;

use super::support::{PROTOBUF, TEXT, merge_as, vllm_text};
use crate::decode::{Family, decode, line, samples};
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Labels, Source};
use dynamo_metrics_parser as strict;
use proptest::prelude::*;

fn decoded(text: &str) -> (Vec<Family>, u64) {
    let all = Filter::all();
    let (body, report) = merge_as(PROTOBUF, &[Source::new(&all, text.as_bytes())], &[]);
    (decode(&body), report.withheld())
}

#[test]
fn every_type() {
    let text = "# HELP c_total Say \\\\ \\n \"x\".\n# TYPE c_total counter\nc_total{x=\"a\\\"\\\\\\nb\"} 5 1700000000123\n\
                # TYPE g gauge\ng -1.5\nu NaN\n# TYPE s summary\ns{quantile=\"0.5\",x=\"1\"} 2\ns_sum{x=\"1\"} 3\ns_count{x=\"1\"} 4\n\
                # TYPE h histogram\nh_bucket{le=\"1\",x=\"1\"} 1\nh_bucket{le=\"+Inf\",x=\"1\"} 2.0\nh_sum{x=\"1\"} 2.5\nh_count{x=\"1\"} 2\n";
    let (families, withheld) = decoded(text);
    let heads: Vec<_> = families.iter().map(|f| (&f.name[..], &f.help[..], f.kind)).collect();
    let expected = [
        ("c_total", "Say \\ \n \"x\".", 0),
        ("g", "", 1),
        ("u", "", 3),
        ("s", "", 2),
        ("h", "", 4),
    ];
    assert_eq!((heads, withheld), (expected.to_vec(), 0));
    let samples: Vec<_> = families
        .iter()
        .map(|family| family.samples.iter().map(String::as_str).collect::<Vec<_>>())
        .collect();
    assert_eq!(samples[0], [r#"c_total{x="a\"\\\nb"} 5.0"#]);
    assert_eq!(samples[1..3], [["g{} -1.5"], ["u{} NaN"]]);
    let summary = [r#"s{quantile=0.5,x="1"} 2.0"#, r#"s_sum{x="1"} 3.0"#, r#"s_count{x="1"} 4.0"#];
    assert_eq!(samples[3], summary);
    let histogram = [
        r#"h_count{x="1"} 2.0"#,
        r#"h_bucket{le=inf,x="1"} 2.0"#,
        r#"h_bucket{le=1.0,x="1"} 1.0"#,
        r#"h_sum{x="1"} 2.5"#,
    ];
    assert_eq!(samples[4], histogram);
    let timestamps: Vec<_> = families.iter().map(|family| family.timestamps.as_slice()).collect();
    assert_eq!(timestamps, [&[1_700_000_000_123][..], &[], &[], &[], &[]]);
}

#[test]
fn names_have_no_escapes() {
    let text = br#"{"a\"b\\c","l\"m"="1"} 1
"#;
    let (all, asked) = (Filter::all(), Negotiated::new(Format::Protobuf, Escaping::AllowUtf8));
    let (body, report) = merge_as(asked, &[Source::new(&all, text)], &[]);
    let families = decode(&body);
    assert_eq!((&families[0].name[..], report.withheld()), ("a\"b\\c", 0));
    assert_eq!(families[0].samples, ["a\"b\\c{l\"m=\"1\"} 1.0"]);
}

#[test]
fn exemplars_are_kept_where_there_is_a_field() {
    let text = "# TYPE c counter\nc_total 5 # {t=\"ab\"} 1.5 1700000000.5\n# TYPE g gauge\ng 1 # {} 1\n# TYPE h histogram\n\
                h_bucket{le=\"1.0\"} 1 # {t=\"x\"} 0.5\nh_bucket{le=\"+Inf\"} 2 # {} 7\nh_sum 1\nh_count 2\n# EOF\n";
    let (families, withheld) = decoded(text);
    assert_eq!(families[0].extras, ["c_total exemplar t=ab 1.5 at 1700000000.500000000"]);
    let in_buckets =
        ["h bucket 1.0 exemplar t=x 0.5 at never", "h bucket inf exemplar  7.0 at never"];
    assert_eq!(families[2].extras, in_buckets);
    assert_eq!((families[1].extras.len(), withheld), (0, 1));
}

#[test]
fn counts_beyond_the_field_are_untyped_numbers() {
    let text = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1e+20\nh_sum 1\nh_count 1e+20\n\
                # TYPE i histogram\ni_bucket{le=\"+Inf\"} 18446744073709551615\ni_sum 1\ni_count 18446744073709551615\n";
    let (families, withheld) = decoded(text);
    let names: Vec<&str> = families.iter().map(|family| &family.name[..]).collect();
    assert_eq!((names, withheld), (vec!["h_bucket", "h_sum", "h_count", "i"], 0));
    assert_eq!(families[2].samples[0], line("h_count", Vec::new(), 1e20));
    assert_eq!(families[3].samples[0], line("i_count", Vec::new(), u64::MAX as f64));
}

/// The same samples in text and in protobuf; what protobuf cannot hold is counted.
fn agree(sources: &[Source<'_>], reserved: &[&str]) -> Result<(), TestCaseError> {
    let (text, in_text) = merge_as(TEXT, sources, reserved);
    let (body, in_protobuf) = merge_as(PROTOBUF, sources, reserved);
    let exposition = strict::parse(&text).unwrap();
    let mut expected: Vec<_> = exposition
        .samples()
        .map(|sample| line(&sample.name, sample.labels.clone(), sample.value))
        .collect();
    expected.sort();
    let actual = samples(&body);
    if in_protobuf.quarantined == in_text.quarantined {
        prop_assert_eq!(actual, expected);
        prop_assert_eq!(in_protobuf.series, in_text.series);
    } else {
        prop_assert!(actual.len() < expected.len());
    }
    Ok(())
}

#[test]
fn a_whole_worker_is_the_same_in_text_and_protobuf() {
    let (all, labels) = (Filter::all(), Labels::new([("worker_id", "1")]).unwrap());
    let text = vllm_text(3);
    let source = Source::new(&all, text.as_bytes());
    agree(&[source, source.labelled(&labels)], &[]).unwrap();
}

proptest! {
    #[test]
    fn near_misses_are_the_same_in_text_and_protobuf(
        texts in prop::collection::vec(pages::any_text(), 1..4),
        labelled in any::<bool>(),
    ) {
        let all = Filter::all();
        let labels = Labels::new([("x", "1"), ("z", "\"")]).unwrap();
        let sources: Vec<_> = texts.iter().map(|text| Source::new(&all, text)).collect();
        let sources: Vec<_> = sources
            .into_iter()
            .map(|source| if labelled { source.labelled(&labels) } else { source })
            .collect();
        agree(&sources, &["b_total"])?;
    }
}
