//! Whatever engines print and scrapers ask for, what is merged is valid: text and OpenMetrics as the strict parsers judge
//! them, and protobuf in what it has in common with them, which is the number of families.
//!
//! The formats are not compared with each other: where one lacks a type, each sample name is a family of its own, so that some samples
//! are on its page which another withholds with the rest of their point.
//!
//! An input is text that can be read and written by hand: a digit that chooses labels and escaping, then what each engine
//! prints, with [`SEPARATOR`] between them.
#![no_main]

use bytes::BytesMut;
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Labels, Passthrough, Source};
use dynamo_metrics_parser as strict;
use libfuzzer_sys::fuzz_target;

/// ASCII's "record separator", which no engine prints.
const SEPARATOR: u8 = 0x1e;

fuzz_target!(|input: &[u8]| {
    let Some((choice, texts)) = input.split_first() else { return };
    let texts: Vec<&[u8]> = texts.split(|&byte| byte == SEPARATOR).collect();
    let filters = [Filter::all(), Filter::vllm(), Filter::trtllm()];
    let labels = Labels::new([("worker", "7"), ("x", "\"")]).expect("names that labels may have");
    let labels = if choice & 1 == 0 { Labels::none() } else { &labels };
    let escaping = Escaping::ALL[usize::from(choice >> 1) % Escaping::ALL.len()];
    let quoted = escaping == Escaping::AllowUtf8;
    let merge = |format| {
        let sources = filters.iter().cycle().zip(&texts);
        let sources = sources.map(|(filter, text)| Source::new(filter, text).labelled(labels));
        let (mut passthrough, mut out) = (Passthrough::new(), BytesMut::new());
        let names = NameFilter::default();
        let ours = |name: &str| name.starts_with("dynamo_");
        let report =
            passthrough.merge(sources, &ours, Negotiated::new(format, escaping), &names, &mut out);
        (out, report)
    };
    let parse = |format, out: &[u8]| {
        strict::parse_as(format, out)
            .unwrap_or_else(|problems| panic!("{}\n{}", problems[0], String::from_utf8_lossy(out)))
    };
    let (out, report) = merge(Format::Text);
    let format = if quoted { strict::Format::TextUtf8 } else { strict::Format::Text };
    assert_eq!(parse(format, &out).samples().count() as u64, report.series);
    let (mut out, report_openmetrics) = merge(Format::OpenMetrics);
    out.extend_from_slice(b"# EOF\n");
    let format = if quoted { strict::Format::OpenMetricsUtf8 } else { strict::Format::OpenMetrics };
    assert_eq!(parse(format, &out).samples().count() as u64, report_openmetrics.series);
    // No parser reads it: a line for each of its series at most, and none of them empty.
    #[cfg(feature = "openmetrics2")]
    {
        let (out, report) = merge(Format::OpenMetrics2);
        let text = std::str::from_utf8(&out).expect("UTF-8");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        assert!(lines.count() as u64 <= report.series && !text.contains("\n\n"), "{text}");
    }
    let (out, report_protobuf) = merge(Format::Protobuf);
    // Every family stands behind its length.
    let (mut rest, mut families) = (&out[..], 0);
    while !rest.is_empty() {
        let digits = 1 + rest.iter().position(|byte| byte & 0x80 == 0).expect("a varint ends");
        let length =
            rest[..digits].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
        rest = &rest[digits + length..];
        families += 1;
    }
    assert_eq!(families, report_protobuf.families);
});
