//! Arbitrary registries of every kind are encoded in every format and escaping, and give their values back: what the
//! strict parsers and a decoder read is what the registry's snapshot holds, sample by sample and bucket by bucket.
#![no_main]

#[path = "../../encoder/tests/it/decode/mod.rs"]
mod decode;
mod expected;

use arbitrary::Arbitrary;
use bytes::BytesMut;
use dynamo_metrics_core::{
    Buckets, Counter, Escaping, Exemplar, FloatCounter, Gauge, Histogram, NativeBuckets,
    NativeHistogram, Opts, Registry, Snapshot, StateSet, Summary, SummaryOpts, UpDownCounter,
};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_parser as strict;
use expected::{Expected, Shape, assert_natives};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Metric<'a> {
    name: &'a str,
    help: &'a str,
    labels: [&'a str; 2],
    kind: Kind<'a>,
    rows: Vec<([&'a str; 2], Vec<(f64, Times)>)>,
    remove: bool,
    utf8: bool,
    unit: Option<&'a str>,
    scope: Option<[&'a str; 2]>,
    exemplar: Option<(&'a str, Option<u32>)>,
}

#[derive(Arbitrary, Debug)]
enum Kind<'a> {
    Counter,
    FloatCounter,
    Gauge,
    UpDown,
    Histogram(Vec<f64>),
    Native { schema: i8, max_buckets: u8, signed: bool },
    Summary(Vec<f64>),
    Info([&'a str; 2]),
    States(Vec<&'a str>),
}

/// How often something is observed: numbers that fit nowhere should come up often.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Times {
    Once,
    Few(u8),
    Any(u64),
    Most,
    Signed,
}

impl Times {
    fn get(self) -> u64 {
        match self {
            Self::Once => 1,
            Self::Few(n) => n.into(),
            Self::Any(n) => n,
            Self::Most => u64::MAX,
            Self::Signed => 1 << 63,
        }
    }
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
        register(&registry, metric);
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        for escaping in Escaping::ALL {
            check(&registry, &mut encoder, &snapshot, &metrics, (escaping, clock.is_some()));
        }
    }
});

/// Registers a metric and records its rows. Most names and labels are refused, which is one half of what is tested here.
fn register(registry: &Registry, metric: &Metric<'_>) {
    let scope = metric.scope.and_then(|[name, value]| registry.scope(&[(name, value)]).ok());
    let registry = scope.as_ref().unwrap_or(registry);
    let exemplar = metric.exemplar.and_then(|(id, at)| {
        let exemplar = Exemplar::new(id).ok()?;
        Some(at.map_or(exemplar, |at| exemplar.at(Duration::from_millis(at.into()))))
    });
    let opts = || {
        let mut opts = Opts::new(metric.name, metric.help);
        if metric.utf8 {
            opts = opts.utf8_names();
        }
        if exemplar.is_some() {
            opts = opts.exemplars();
        }
        match metric.unit {
            Some(unit) => opts.unit(unit),
            None => opts,
        }
    };
    let exemplar = exemplar.as_ref();
    macro_rules! rows {
        ($family:expr, $record:expr) => {
            if let Ok(family) = $family {
                for (values, numbers) in &metric.rows {
                    let handle = family.with(*values);
                    numbers
                        .iter()
                        .for_each(|&(number, times)| $record(&handle, number, times.get()));
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
            |handle: &Counter, _: f64, times| match exemplar {
                Some(exemplar) => handle.add_with_exemplar(times, exemplar),
                None => handle.add(times),
            }
        ),
        Kind::FloatCounter => rows!(
            registry.float_counter_family(opts(), metric.labels),
            |handle: &FloatCounter, number, _| match exemplar {
                Some(exemplar) => handle.add_with_exemplar(number, exemplar),
                None => handle.add(number),
            }
        ),
        Kind::Gauge => {
            rows!(registry.gauge_family(opts(), metric.labels), |handle: &Gauge, number, _| handle
                .set(number))
        }
        Kind::UpDown => rows!(
            registry.up_down_counter_family(opts(), metric.labels),
            |handle: &UpDownCounter, _: f64, times| handle.add(times)
        ),
        Kind::Histogram(bounds) => {
            if let Ok(buckets) = Buckets::new(bounds.iter().copied()) {
                rows!(
                    registry.histogram_family(opts(), metric.labels, &buckets),
                    |handle: &Histogram, number, times| {
                        handle.observe_n(number, times);
                        if let Some(exemplar) = exemplar {
                            handle.observe_with_exemplar(number, exemplar);
                        }
                    }
                );
            }
        }
        Kind::Native { schema, max_buckets, signed } => {
            // Finer ones take a megabyte a series.
            let buckets = NativeBuckets::new().schema((*schema).min(4));
            let buckets = buckets.max_buckets((*max_buckets).into());
            let buckets = if *signed { buckets.signed() } else { buckets };
            rows!(
                registry.native_histogram_family(opts(), metric.labels, &buckets),
                |handle: &NativeHistogram, number, times| {
                    handle.observe_n(number, times);
                    if let Some(exemplar) = exemplar {
                        handle.observe_with_exemplar(number, exemplar);
                    }
                }
            );
        }
        Kind::Summary(quantiles) => {
            let quantiles = SummaryOpts::new().quantiles(quantiles.iter().copied());
            rows!(
                registry.summary_family(opts(), metric.labels, &quantiles),
                |handle: &Summary, number, times| handle.observe_n(number, times)
            );
        }
        Kind::Info([name, value]) => {
            let _ = registry.info(opts(), &[(name, value)]);
        }
        Kind::States(states) => rows!(
            registry.state_set_family(opts(), metric.labels, states),
            |handle: &StateSet, number: f64, _| {
                for (at, state) in states.iter().enumerate() {
                    let _ = handle.set(state, number.to_bits() >> (at % 64) & 1 == 1);
                }
            }
        ),
    }
}

fn check(
    registry: &Registry,
    encoder: &mut Encoder,
    snapshot: &Snapshot,
    metrics: &[Metric<'_>],
    (escaping, created): (Escaping, bool),
) {
    let mut encode = |format| {
        let mut body = BytesMut::new();
        let asked = Negotiated::new(format, escaping);
        encoder.encode_as(registry, asked, &NameFilter::default(), &mut body);
        body
    };
    let quoted = escaping == Escaping::AllowUtf8;
    let formats = [
        (Format::Text, [strict::Format::Text, strict::Format::TextUtf8]),
        (Format::OpenMetrics, [strict::Format::OpenMetrics, strict::Format::OpenMetricsUtf8]),
    ];
    for (format, parsers) in formats {
        let openmetrics = format == Format::OpenMetrics;
        // Scrapers store a label that escapes to `__x`, Python's strict parser refuses it: left to users.
        let reserved = |name: &str| escaping.label_name(name).starts_with("__");
        let reserved = |metric: &Metric<'_>| {
            let [info, state] = match metric.kind {
                Kind::Info([name, _]) => [name, ""],
                Kind::States(_) => ["", metric.name],
                _ => ["", ""],
            };
            let scope = metric.scope.map_or("", |[name, _]| name);
            metric.labels.iter().chain([&info, &state, &scope]).any(|name| reserved(name))
                || escaping.metric_name(state).starts_with("__")
        };
        if openmetrics && metrics.iter().any(reserved) {
            continue;
        }
        let body = encode(format);
        let parser = parsers[usize::from(quoted)];
        let exposition = match strict::parse_as(parser, &body) {
            Ok(exposition) => exposition,
            Err(problems) => {
                panic!("{parser:?} {}\n{}", problems[0], String::from_utf8_lossy(&body))
            }
        };
        let shape = Shape { escaping, openmetrics, created: openmetrics && created };
        let expected = Expected::of(snapshot, shape);
        let mut all = [expected.samples, expected.classic].concat();
        all.sort();
        let mut read: Vec<String> = exposition
            .samples()
            .map(|sample| decode::line(&sample.name, sample.labels.clone(), sample.value))
            .collect();
        read.sort();
        assert_eq!(read, all, "{}", String::from_utf8_lossy(&body));
        let exemplars = exposition.samples().filter(|sample| sample.exemplar.is_some()).count();
        assert_eq!(exemplars, if openmetrics { expected.exemplars } else { 0 });
    }
    let body = encode(Format::Protobuf);
    let shape = Shape { escaping, openmetrics: false, created: false };
    assert_eq!(decode::samples(&body), Expected::of(snapshot, shape).samples);
    assert_natives(snapshot, &decode::natives(&body));
    // No parser reads it; it must have room, and end.
    #[cfg(feature = "openmetrics2")]
    assert!(encode(Format::OpenMetrics2).ends_with(b"# EOF\n"));
}
