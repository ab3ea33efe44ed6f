//! Helpers of the passthrough tests: merging with defaults, always checked, and a text as vLLM prints it.

#![allow(dead_code)] // each test file uses its part

pub(crate) mod types;
mod vllm;

use bytes::BytesMut;
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Report, Source};
use dynamo_metrics_parser as strict;
#[allow(unused_imports)]
pub(crate) use vllm::vllm_text;

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
    let (mut passthrough, mut out) = (Passthrough::new(), BytesMut::new());
    let names = NameFilter::default();
    let reserved = |name: &str| reserved.contains(&name);
    let all = passthrough.merge(sources.iter().copied(), &reserved, asked, &names, &mut out);
    assert_eq!(passthrough.reports().len(), sources.len());
    let mut sum = Report::default();
    passthrough.reports().iter().for_each(|&report| sum += report);
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
