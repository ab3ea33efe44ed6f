//! What the tests of foreign text share: merging with defaults, always checked, and a text as vLLM prints it.

#![allow(dead_code)] // each test file uses its part

use bytes::BytesMut;
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::foreign::{Filter, Foreign, Report, Source};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::strict;
use std::fmt::Write;

pub(crate) const TEXT: Negotiated = Negotiated::new(Format::Text, Escaping::Underscores);
pub(crate) const OPENMETRICS: Negotiated =
    Negotiated::new(Format::OpenMetrics, Escaping::Underscores);
pub(crate) const PROTOBUF: Negotiated = Negotiated::new(Format::Protobuf, Escaping::Underscores);

pub(crate) const POINT: &str =
    "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n";

/// Merges as asked, with all names; the reports by source must add up.
pub(crate) fn merge_as(
    asked: Negotiated,
    sources: &[Source<'_>],
    reserved: &[&str],
) -> (Vec<u8>, Report) {
    let (mut foreign, mut out) = (Foreign::new(), BytesMut::new());
    let names = NameFilter::default();
    let reserved = |name: &str| reserved.contains(&name);
    let all = foreign.merge(sources.iter().copied(), &reserved, asked, &names, &mut out);
    assert_eq!(foreign.reports().len(), sources.len());
    let mut sum = Report::default();
    foreign.reports().iter().for_each(|&report| sum += report);
    assert_eq!(sum, all);
    (out.to_vec(), all)
}

/// Merges through filters as text 0.0.4, checks the result, and returns it.
pub(crate) fn merge_with(sources: &[(&Filter, &str)], reserved: &[&str]) -> (String, Report) {
    let sources: Vec<_> =
        sources.iter().map(|(filter, text)| Source::new(filter, text.as_bytes())).collect();
    let (out, report) = merge_as(TEXT, &sources, reserved);
    let exposition = strict::parse(&out)
        .unwrap_or_else(|problems| panic!("{problems:?}\n{}", String::from_utf8_lossy(&out)));
    assert_eq!(exposition.families.len() as u64, report.families);
    assert_eq!(exposition.samples().count() as u64, report.series);
    (String::from_utf8(out).unwrap(), report)
}

pub(crate) fn merge(sources: &[&str]) -> (String, Report) {
    let all = Filter::all();
    let sources: Vec<_> = sources.iter().map(|text| (&all, *text)).collect();
    merge_with(&sources, &[])
}

/// One text as it comes out in OpenMetrics, without `# EOF`.
pub(crate) fn openmetrics(text: &str) -> (String, Report) {
    let all = Filter::all();
    let (out, report) = merge_as(OPENMETRICS, &[Source::new(&all, text.as_bytes())], &[]);
    (String::from_utf8(out).unwrap(), report)
}

/// clashes, duplicates, quarantined, dropped lines
pub(crate) fn counts(report: &Report) -> [u64; 4] {
    [report.clashes, report.duplicates, report.quarantined, report.dropped_lines]
}

/// What a vLLM worker prints, by its shape: counters with `_created` gauges, gauges, histograms of 20 to 40 buckets
/// with `le` between the other labels, as Python's client orders them. `engines` label sets a family.
pub(crate) fn vllm_text(engines: usize) -> String {
    let mut text = String::from(
        "# HELP python_info Python platform information\n# TYPE python_info gauge\n\
         python_info{implementation=\"CPython\",major=\"3\",minor=\"12\",version=\"3.12.3\"} 1.0\n",
    );
    let model = "model_name=\"Qwen/Qwen3-0.6B\"";
    for family in 0..12 {
        let _ = write!(
            text,
            "# HELP vllm:gauge_{family} Number of requests in some state.\n# TYPE vllm:gauge_{family} gauge\n"
        );
        for engine in 0..engines {
            let _ = writeln!(text, "vllm:gauge_{family}{{engine=\"{engine}\",{model}}} {family}.0");
        }
        let name = format!("vllm:some_tokens_{family}");
        let _ = write!(
            text,
            "# HELP {name}_total Number of tokens processed.\n# TYPE {name}_total counter\n"
        );
        for engine in 0..engines {
            let _ = writeln!(text, "{name}_total{{engine=\"{engine}\",{model}}} 51{family}34.0");
        }
        let _ = write!(
            text,
            "# HELP {name}_created Number of tokens processed.\n# TYPE {name}_created gauge\n"
        );
        for engine in 0..engines {
            let _ = writeln!(
                text,
                "{name}_created{{engine=\"{engine}\",{model}}} 1.7682643398698673e+09"
            );
        }
    }
    let bounds = [
        "0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75",
        "1.0", "2.5", "5.0", "7.5", "10.0", "20.0", "40.0", "80.0", "160.0", "640.0", "2560.0",
        "+Inf",
    ];
    for family in 0..14 {
        let name = format!("vllm:some_latency_{family}_seconds");
        let _ = write!(
            text,
            "# HELP {name} Histogram of some latency in seconds.\n# TYPE {name} histogram\n"
        );
        for engine in 0..engines {
            for (at, bound) in bounds.iter().enumerate() {
                let _ = writeln!(
                    text,
                    "{name}_bucket{{engine=\"{engine}\",le=\"{bound}\",{model}}} {}.0",
                    100 * at + family
                );
            }
            let count = 100 * (bounds.len() - 1) + family;
            let _ = writeln!(text, "{name}_count{{engine=\"{engine}\",{model}}} {count}.0");
            let _ = writeln!(text, "{name}_sum{{engine=\"{engine}\",{model}}} 1234.{family}567");
        }
        let _ = write!(
            text,
            "# HELP {name}_created Histogram of some latency in seconds.\n# TYPE {name}_created gauge\n"
        );
        for engine in 0..engines {
            let _ = writeln!(
                text,
                "{name}_created{{engine=\"{engine}\",{model}}} 1.7682643398698673e+09"
            );
        }
    }
    text
}
