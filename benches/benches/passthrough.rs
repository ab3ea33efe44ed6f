//! Cost of merging the text of an engine into a page, by criterion, beside a copy of the same bytes.
//!
//! ```text
//! cargo bench -p dynamo-metrics-benches --bench passthrough [-- --quick] [FILTER]
//! ```
//!
//! Throughput is in bytes of the engine's text: 52 KB as a vLLM worker prints them.

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Labels, Passthrough, Source};
use std::hint::black_box;

#[path = "../../encoder/tests/it/passthrough/support/vllm.rs"]
mod vllm;

/// Label sets a family: as many as make a text of 52 KB.
const ENGINES: usize = 2;

fn merges(c: &mut Criterion) {
    let text = vllm::vllm_text(ENGINES);
    let (filter, names) = (Filter::vllm(), NameFilter::default());
    let labels = Labels::new([("dynamo_namespace", "prod"), ("worker_id", "7587888160958627845")])
        .expect("names that labels may have");
    let source = Source::new(&filter, text.as_bytes());
    let mut group = c.benchmark_group("passthrough");
    group.throughput(Throughput::Bytes(text.len() as u64));
    let mut body = BytesMut::with_capacity(8 * text.len());
    group.bench_function("memcpy", |b| {
        b.iter(|| {
            body.clear();
            body.extend_from_slice(black_box(text.as_bytes()));
        });
    });
    let formats = [
        ("text", Format::Text, source),
        ("openmetrics", Format::OpenMetrics, source),
        ("protobuf", Format::Protobuf, source),
        ("text-labelled", Format::Text, source.labelled(&labels)),
    ];
    for (name, format, source) in formats {
        let asked = Negotiated::new(format, Escaping::Underscores);
        let mut passthrough = Passthrough::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                body.clear();
                passthrough.merge(
                    [source],
                    &|name| name.starts_with("dynamo_"),
                    asked,
                    &names,
                    &mut body,
                )
            });
        });
    }
    group.finish();
}

criterion_group!(all, merges);
criterion_main!(all);
