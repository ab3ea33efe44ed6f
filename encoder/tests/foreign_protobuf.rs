//! Foreign text as protobuf: every sample of the text is in the messages, and nothing else.

mod foreign_support;
mod shared;

use std::collections::BTreeMap;

use dynamo_metrics_encoder::foreign::{Filter, Labels, Source};
use dynamo_metrics_encoder::strict;
use foreign_support::protobuf::{Family, Samples, decode};
use foreign_support::{PROTOBUF, TEXT, merge_as, vllm_text};
use proptest::prelude::*;

fn decoded(text: &str) -> (Vec<Family>, u64) {
    let all = Filter::all();
    let (body, report) = merge_as(PROTOBUF, &[Source::new(&all, text.as_bytes())], &[]);
    (decode(&body), report.withheld())
}

fn sample(name: &str, labels: &[(&str, &str)]) -> (String, BTreeMap<String, String>) {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    (name.to_owned(), labels.collect())
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
    assert_eq!(families[0].samples[&sample("c_total", &[("x", "a\"\\\nb")])], 5.0);
    assert_eq!(families[0].timestamps, [1_700_000_000_123]);
    assert_eq!(families[1].samples[&sample("g", &[])], -1.5);
    assert!(families[2].samples[&sample("u", &[])].is_nan());
    let summary: Samples = [
        (sample("s", &[("quantile", "0.5"), ("x", "1")]), 2.0),
        (sample("s_sum", &[("x", "1")]), 3.0),
        (sample("s_count", &[("x", "1")]), 4.0),
    ]
    .into();
    assert_eq!(families[3].samples, summary);
    let histogram: Samples = [
        (sample("h_bucket", &[("le", "1.0"), ("x", "1")]), 1.0),
        (sample("h_bucket", &[("le", "inf"), ("x", "1")]), 2.0),
        (sample("h_sum", &[("x", "1")]), 2.5),
        (sample("h_count", &[("x", "1")]), 2.0),
    ]
    .into();
    assert_eq!(families[4].samples, histogram);
}

#[test]
fn exemplars_are_kept_where_there_is_a_field() {
    let text = "# TYPE c counter\nc_total 5 # {t=\"ab\"} 1.5 1700000000.5\n# TYPE g gauge\ng 1 # {} 1\n# TYPE h histogram\n\
                h_bucket{le=\"1.0\"} 1 # {t=\"x\"} 0.5\nh_bucket{le=\"+Inf\"} 2 # {} 7\nh_sum 1\nh_count 2\n# EOF\n";
    let (families, withheld) = decoded(text);
    let labels = |value: &str| BTreeMap::from([("t".to_owned(), value.to_owned())]);
    assert_eq!(families[0].exemplars, [(labels("ab"), 1.5, Some(1_700_000_000.5))]);
    assert_eq!(families[2].exemplars, [(labels("x"), 0.5, None), (BTreeMap::new(), 7.0, None)]);
    assert_eq!((families[1].exemplars.len(), withheld), (0, 1));
}

#[test]
fn counts_beyond_the_field_are_withheld() {
    let text = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1e+20\nh_sum 1\nh_count 1e+20\n\
                # TYPE i histogram\ni_bucket{le=\"+Inf\"} 18446744073709551615\ni_sum 1\ni_count 18446744073709551615\n";
    let (families, withheld) = decoded(text);
    assert_eq!((families.len(), &families[0].name[..], withheld), (1, "i", 1));
    assert_eq!(families[0].samples[&sample("i_count", &[])], u64::MAX as f64);
}

/// The same samples in text and in protobuf; what protobuf cannot hold is counted.
fn agree(sources: &[Source<'_>], reserved: &[&str]) -> Result<(), TestCaseError> {
    let (text, in_text) = merge_as(TEXT, sources, reserved);
    let (body, in_protobuf) = merge_as(PROTOBUF, sources, reserved);
    let mut expected = Samples::new();
    for sample in strict::parse(&text).unwrap().samples() {
        let mut labels: BTreeMap<String, String> = sample.labels.iter().cloned().collect();
        let own = if sample.name.ends_with("_bucket") { "le" } else { "quantile" };
        if let Some(bound) = labels.get_mut(own)
            && let Ok(value) = bound.parse::<f64>()
        {
            *bound = format!("{value:?}");
        }
        expected.insert((sample.name.clone(), labels), sample.value);
    }
    let mut actual = Samples::new();
    for family in decode(&body) {
        for ((name, mut labels), value) in family.samples {
            // A gauge may have a label of that name, too.
            let own = if name.ends_with("_bucket") { "le" } else { "quantile" };
            if let Some(bound) = labels.get_mut(own)
                && let Ok(value) = bound.parse::<f64>()
            {
                *bound = format!("{value:?}");
            }
            actual.insert((name, labels), value);
        }
    }
    if in_protobuf.quarantined == in_text.quarantined {
        let spell = |samples: &Samples| format!("{samples:?}");
        prop_assert_eq!(spell(&actual), spell(&expected));
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
        texts in prop::collection::vec(shared::any_text(), 1..4),
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
