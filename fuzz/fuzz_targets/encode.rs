//! Arbitrary registries are encoded, parsed strictly, and give their values back.
#![no_main]

#[path = "../../encoder/tests/decode/mod.rs"]
mod decode;

use arbitrary::Arbitrary;
use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Escaping, Opts, Registry};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::{Encoder, strict};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Metric<'a> {
    name: &'a str,
    help: &'a str,
    labels: [&'a str; 2],
    kind: Kind,
    rows: Vec<([&'a str; 2], Vec<f64>)>,
    remove: bool,
    utf8: bool,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Counter,
    FloatCounter,
    Gauge,
    UpDown,
    Histogram(Vec<f64>),
}

fuzz_target!(|input: (Option<u64>, Vec<Metric<'_>>)| {
    // With a clock, counters and histograms have start times.
    let (clock, metrics) = input;
    let (registry, mut encoder) = match clock {
        Some(nanos) => (
            Registry::with_clock(move || Duration::from_nanos(nanos)),
            Encoder::with_created_samples(),
        ),
        None => (Registry::new(), Encoder::new()),
    };
    for metric in &metrics {
        let opts = || {
            let opts = Opts::new(metric.name, metric.help);
            if metric.utf8 { opts.utf8_names() } else { opts }
        };
        // Most names and labels are refused, which is one half of what is tested here.
        macro_rules! rows {
            ($family:expr, $record:expr) => {
                if let Ok(family) = $family {
                    for (values, numbers) in &metric.rows {
                        let handle = family.with(*values);
                        numbers.iter().for_each(|&number| $record(&handle, number));
                    }
                    if metric.remove
                        && let Some((values, _)) = metric.rows.first()
                    {
                        family.remove(*values);
                    }
                }
            };
        }
        match &metric.kind {
            Kind::Counter => rows!(
                registry.counter_family(opts(), metric.labels),
                |handle: &dynamo_metrics_core::Counter, number: f64| {
                    handle.add(number.to_bits());
                }
            ),
            Kind::FloatCounter => rows!(
                registry.float_counter_family(opts(), metric.labels),
                |handle: &dynamo_metrics_core::FloatCounter, number| handle.add(number)
            ),
            Kind::Gauge => rows!(
                registry.gauge_family(opts(), metric.labels),
                |handle: &dynamo_metrics_core::Gauge, number| handle.set(number)
            ),
            Kind::UpDown => rows!(
                registry.up_down_counter_family(opts(), metric.labels),
                |handle: &dynamo_metrics_core::UpDownCounter, number: f64| handle
                    .add(number.to_bits())
            ),
            Kind::Histogram(bounds) => {
                if let Ok(buckets) = Buckets::new(bounds.iter().copied()) {
                    rows!(
                        registry.histogram_family(opts(), metric.labels, &buckets),
                        |handle: &dynamo_metrics_core::Histogram, number| handle.observe(number)
                    );
                }
            }
        }
        for escaping in [Escaping::Underscores, Escaping::AllowUtf8] {
            let quoted = escaping == Escaping::AllowUtf8;
            let (text, openmetrics) = if quoted {
                (strict::Format::TextUtf8, strict::Format::OpenMetricsUtf8)
            } else {
                (strict::Format::Text, strict::Format::OpenMetrics)
            };
            for (format, parser) in [(Format::Text, text), (Format::OpenMetrics, openmetrics)] {
                // Scrapers store a label that escapes to `__x`, Python's strict parser refuses it: left to users.
                let reserved = |metric: &Metric<'_>| {
                    metric.labels.iter().any(|label| escaping.label_name(label).starts_with("__"))
                };
                if format == Format::OpenMetrics && metrics.iter().any(reserved) {
                    continue;
                }
                let mut body = BytesMut::new();
                let asked = Negotiated::new(format, escaping);
                encoder.encode_as(&registry, asked, &NameFilter::default(), &mut body);
                if let Err(problems) = strict::parse_as(parser, &body) {
                    panic!("{parser:?} {}\n{}", problems[0], String::from_utf8_lossy(&body));
                }
            }
        }
        // Every length in it must add up.
        let mut body = BytesMut::new();
        let asked = Negotiated::new(Format::Protobuf, Escaping::Values);
        encoder.encode_as(&registry, asked, &NameFilter::default(), &mut body);
        decode::samples(&body);
    }
});
