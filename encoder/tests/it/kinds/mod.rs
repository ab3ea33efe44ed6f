//! One of each kind in every format, against golden files; and what exemplars and start times add to them is all that
//! they add.
//!
//! A file that should change is written anew with `DYNAMO_METRICS_GOLDEN=write`. For OpenMetrics 2.0, which no parser here
//! reads, the file is the proof: it was read against the grammar of the release candidate.

mod golden;
mod histograms;

use crate::decode;

use bytes::BytesMut;
use dynamo_metrics_core::{
    Buckets, Escaping, Exemplar, NativeBuckets, Opts, Registry, Scale, SummaryOpts,
    limits::{SPAN_ID_BYTES_MAX, TRACE_ID_BYTES_MAX},
};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_parser as strict;
use std::path::Path;
use std::time::Duration;

const FORMATS: &[Format] = &[
    Format::Text,
    Format::OpenMetrics,
    Format::Protobuf,
    #[cfg(feature = "openmetrics2")]
    Format::OpenMetrics2,
];

/// Every kind, with values that tell them apart; two series where labels matter.
fn every_kind(exemplars: bool, clock: bool) -> Registry {
    let registry = if clock {
        Registry::with_clock(|| Duration::from_millis(1_700_000_000_500))
    } else {
        Registry::new()
    };
    let trace = |id| Exemplar::new(id).unwrap().at(Duration::from_millis(1_700_000_001_020));
    let [one, two] = ["4bf9", "00f0"].map(trace);
    let opts = |name: &'static str| {
        let opts = Opts::new(name, "Help.");
        if exemplars { opts.exemplars() } else { opts }
    };

    let counters = registry.counter_family(opts("a_total"), ["l"]).unwrap();
    counters.with(["x"]).add(3);
    counters.with([""]).add(1 << 60);
    let floats = registry.float_counter_family(opts("b_total"), ["l"]).unwrap();
    floats.with(["x"]).add(0.25);
    floats.with([""]).add(1e20);
    registry.counter_callback(("c_total", ""), || 7).unwrap();
    registry.gauge(("d", "")).unwrap().set(-0.1);
    registry.gauge_callback(("e", ""), || 2.0).unwrap();
    registry.gauge_callback(("e_panics", ""), || panic!("left out")).unwrap();
    registry.up_down_counter(("f", "")).unwrap().sub(4);
    let buckets = Buckets::new([0.5, 1.0, 100.0]).unwrap();
    let histograms = registry.histogram_family(opts("g"), ["l"], &buckets).unwrap();
    histograms.with(["x"]).observe_n(0.75, 300);
    histograms.with([""]);
    let native = NativeBuckets::new().schema(0).signed().classic([1.0, 4.0]);
    let natives = registry.native_histogram_family(opts("h"), ["l"], &native).unwrap();
    // Buckets 0, 3 and 7: a gap of two is filled, one of three begins a span.
    [1.0, 8.0, 8.0, 128.0, -4.0, 0.0].iter().for_each(|&v| natives.with(["x"]).observe(v));
    natives.with([""]);
    let quantiles = SummaryOpts::new().quantiles([0.5, 0.99]);
    let summaries = registry.summary_family(("i", ""), ["l"], &quantiles).unwrap();
    summaries.with(["x"]).observe(2.0);
    summaries.with([""]);
    registry.info(("j_info", ""), &[("version", "1")]).unwrap();
    let states = registry.state_set_family(("k", ""), ["l"], &["off", "on"]).unwrap();
    states.with(["x"]).only("on").unwrap();
    states.with([""]);
    let integers =
        registry.integer_histogram_family(opts("m"), ["l"], &buckets, Scale::Nano).unwrap();
    integers.with(["x"]).observe_n(750_000_001, 300);
    integers.with([""]);

    if exemplars {
        counters.with(["x"]).add_with_exemplar(1, &one.span_id("ab").unwrap());
        floats.with(["x"]).add_with_exemplar(0.5, &one);
        histograms.with(["x"]).observe_with_exemplar(0.25, &one);
        histograms.with(["x"]).observe_with_exemplar(1e6, &two);
        natives.with(["x"]).observe_with_exemplar(8.0, &two);
        integers.with(["x"]).observe_with_exemplar(250_000_000, &one);
    } else {
        counters.with(["x"]).add(1);
        floats.with(["x"]).add(0.5);
        histograms.with(["x"]).observe(0.25);
        histograms.with(["x"]).observe(1e6);
        natives.with(["x"]).observe(8.0);
        integers.with(["x"]).observe(250_000_000);
    }
    registry
}

fn encode(registry: &Registry, format: Format, created: bool) -> Vec<u8> {
    let asked = Negotiated::new(format, Escaping::Underscores);
    let mut encoder = if created { Encoder::with_created_samples() } else { Encoder::new() };
    let mut body = BytesMut::new();
    encoder.encode_as(registry, asked, &NameFilter::default(), &mut body);
    body.to_vec()
}

/// The lines without those of the registry's own telemetry.
fn text(registry: &Registry, format: Format, created: bool) -> Vec<String> {
    let body = String::from_utf8(encode(registry, format, created)).unwrap();
    let ours = body.lines().filter(|line| !line.contains("dynamo_metrics_"));
    ours.map(str::to_owned).collect()
}

/// An encoder keeps what each format and escaping has rendered.
#[test]
fn one_encoder_for_every_format_and_escaping_keeps_them_apart() {
    let registry = Registry::new();
    registry.counter(Opts::new("a.name_total", "Help.").utf8_names()).unwrap().inc();
    registry.histogram(("b", ""), &Buckets::new([1.0]).unwrap()).unwrap().observe(2.0);
    let encode = |encoder: &mut Encoder, format, escaping| {
        let (asked, mut body) = (Negotiated::new(format, escaping), BytesMut::new());
        encoder.encode_as(&registry, asked, &NameFilter::default(), &mut body);
        body
    };
    let mut encoder = Encoder::new();
    for _ in 0..2 {
        for format in FORMATS {
            for escaping in Escaping::ALL {
                let alone = encode(&mut Encoder::new(), *format, escaping);
                assert_eq!(encode(&mut encoder, *format, escaping), alone, "{format:?}");
            }
        }
    }
}

/// The room for a body is reserved before it is written, for the longest numbers and exemplars there may be: a body that
/// took more would panic. A hundred series with next to no labels, so that what is too little for one shows.
#[test]
fn the_longest_of_everything_has_room() {
    let longest = Exemplar::new(&"t".repeat(TRACE_ID_BYTES_MAX)).unwrap();
    let longest = longest.span_id(&"s".repeat(SPAN_ID_BYTES_MAX)).unwrap().at(Duration::MAX);
    // No shorter text stands for it, and the exponent has three digits.
    let long = -1.234_567_890_123_456_7e-300;
    for kind in ["counter", "float", "gauge", "histogram", "integer", "native", "summary"] {
        let registry = Registry::with_clock(|| Duration::MAX);
        let exemplars = || Opts::new("a", "").exemplars();
        let buckets = Buckets::new([2.0 * long, 1.0]).unwrap();
        for at in 0..100 {
            let label = [&at.to_string()[..]];
            match kind {
                "counter" => {
                    let family = registry.counter_family(exemplars(), ["l"]).unwrap();
                    family.with(label).add_with_exemplar(u64::MAX, &longest);
                }
                "float" => {
                    let family = registry.float_counter_family(exemplars(), ["l"]).unwrap();
                    family.with(label).add_with_exemplar(-long, &longest);
                }
                "gauge" => registry.gauge_family(("a", ""), ["l"]).unwrap().with(label).set(long),
                "histogram" => {
                    let family = registry.histogram_family(exemplars(), ["l"], &buckets).unwrap();
                    let histogram = family.with(label);
                    histogram.observe_n(long, u64::MAX - 3);
                    [4.0 * long, long, 1e300]
                        .iter()
                        .for_each(|&v| histogram.observe_with_exemplar(v, &longest));
                }
                "integer" => {
                    let buckets = Buckets::new([0.000_000_123, 1.0]).unwrap();
                    let family = registry
                        .integer_histogram_family(exemplars(), ["l"], &buckets, Scale::Nano)
                        .unwrap();
                    let histogram = family.with(label);
                    histogram.observe_n(1, u64::MAX - 3);
                    for units in [1, 123_456_789, u64::MAX - 5] {
                        histogram.observe_with_exemplar(units, &longest);
                    }
                }
                "native" => {
                    let native = NativeBuckets::new().schema(0).signed();
                    let family =
                        registry.native_histogram_family(exemplars(), ["l"], &native).unwrap();
                    let histogram = family.with(label);
                    for bucket in 0..60 {
                        // Far apart, so that each begins a span.
                        let v = f64::from(4 * bucket - 120).exp2();
                        histogram.observe_n(v, u64::MAX >> 8);
                        histogram.observe_n(-v, u64::MAX >> 8);
                        histogram.observe_with_exemplar(v, &longest);
                    }
                }
                _ => {
                    let opts = SummaryOpts::new().quantiles([-long, 0.999_999_999_999_999_9]);
                    let family = registry.summary_family(("a", ""), ["l"], &opts).unwrap();
                    family.with(label).observe(long);
                }
            }
        }
        for created in [false, true] {
            for format in FORMATS {
                assert!(encode(&registry, *format, created).len() > 2000, "{kind} {format:?}");
            }
        }
    }
}

/// Any client can ask for any format and escaping, once.
#[test]
fn a_format_that_no_scrape_asks_for_is_dropped_and_rendered_anew() {
    let registry = every_kind(true, true);
    let mut encoder = Encoder::new();
    let mut scrape = |format, escaping| {
        let mut body = BytesMut::new();
        let asked = Negotiated::new(format, escaping);
        encoder.encode_as(&registry, asked, &NameFilter::default(), &mut body);
        (body, encoder.layouts_dropped())
    };
    let all = || FORMATS.iter().flat_map(|&f| Escaping::ALL.map(|escaping| (f, escaping)));
    let mut first: Vec<_> = all().map(|(format, escaping)| scrape(format, escaping).0).collect();
    let (format, escaping) = (Format::Text, Escaping::Underscores);
    let dropped = (0..1000).map(|_| scrape(format, escaping).1).max();
    assert_eq!(dropped, Some(all().count() as u64 - 1), "all but the one that is in use");
    // Callbacks that panic are counted at each scrape, on the page.
    let mut again: Vec<_> = all().map(|(format, escaping)| scrape(format, escaping).0).collect();
    for bodies in [&mut first, &mut again] {
        bodies.iter_mut().for_each(|body| body.truncate(200));
    }
    assert_eq!(first, again);
}

/// The server keeps a buffer while bodies fill a quarter of it.
#[test]
fn a_body_fills_a_quarter_of_the_room_that_it_asks_for() {
    for kind in ["native", "spread", "exemplars", "histogram", "counter", "gauge", "summary"] {
        let registry = Registry::with_clock(|| Duration::from_secs(1_700_000_000));
        let opts = || Opts::new("some_seconds", "Some seconds.").series_max(2000);
        let opts = || if kind == "exemplars" { opts().exemplars() } else { opts() };
        let native = NativeBuckets::new();
        let buckets = Buckets::dynamo(0.001, 480.0, 12).unwrap();
        for at in 0..1000 {
            let (model, status) = (format!("Qwen/Qwen3-{at}B"), "200");
            let labels = [&model[..], status];
            let names = ["model", "status"];
            let name = "some_total";
            match kind {
                "native" | "spread" => {
                    let family = registry.native_histogram_family(opts(), names, &native).unwrap();
                    let step = if kind == "native" { 0.02 } else { 0.75 };
                    let histogram = family.with(labels);
                    (0..20).for_each(|at| histogram.observe((f64::from(at) * step).exp2()));
                }
                "exemplars" | "histogram" => {
                    let family = registry.histogram_family(opts(), names, &buckets).unwrap();
                    family.with(labels).observe(0.5);
                }
                "counter" => registry
                    .counter_family(Opts::new(name, "").series_max(2000), names)
                    .unwrap()
                    .with(labels)
                    .inc(),
                "gauge" => registry.gauge_family(opts(), names).unwrap().with(labels).set(2.0),
                _ => {
                    let quantiles = SummaryOpts::new().quantiles([0.5, 0.99]);
                    registry
                        .summary_family(opts(), names, &quantiles)
                        .unwrap()
                        .with(labels)
                        .observe(0.25);
                }
            }
        }
        // With a filter, what it does not admit needs no room.
        registry.counter(("other_total", "")).unwrap().inc();
        let few = NameFilter::from_query("name[]=other_total").unwrap();
        for format in FORMATS {
            let asked = Negotiated::new(*format, Escaping::Underscores);
            let (mut encoder, mut body) = (Encoder::new(), BytesMut::new());
            encoder.encode_as(&registry, asked, &NameFilter::default(), &mut body);
            let (len, capacity) = (body.len(), body.capacity());
            assert!(capacity <= 4 * len, "{kind} {format:?}: {capacity} for {len}");
            let mut body = BytesMut::new();
            encoder.encode_as(&registry, asked, &few, &mut body);
            assert!(!body.is_empty() && body.capacity() < 2048, "{kind}: {}", body.capacity());
        }
    }
}
