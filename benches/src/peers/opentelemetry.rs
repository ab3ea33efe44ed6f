//! `opentelemetry_sdk` read by `opentelemetry-prometheus`: measurements of a set of attributes, turned into the
//! model of `prometheus` at each scrape.

use crate::measure::Case;
use crate::scrape::Scrape;
use crate::shape::{Kind, MODELS, Shape};
use crate::values::{Data, token_bounds};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::metrics::{SdkMeterProvider, Stream};
use prometheus::{Registry, TextEncoder};

/// Sets of attributes of one instrument that the SDK keeps apart unless told otherwise.
const SERIES_MAX_DEFAULT: usize = 2000;

pub(crate) fn counter() -> Vec<Case> {
    let counter =
        Telemetry::new(&Shape { families: Vec::new() }).meter.u64_counter("bench").build();
    let bound = counter.bind(&[KeyValue::new("model", MODELS[0])]);
    vec![
        Case::op("opentelemetry Counter.add(1, &[])", move || {
            let counter = counter.clone();
            move || counter.add(1, &[])
        }),
        Case::op("opentelemetry BoundCounter", move || {
            let counter = bound.clone();
            move || counter.add(1)
        }),
    ]
}

pub(crate) fn updown() -> Vec<Case> {
    let telemetry = Telemetry::new(&Shape { families: Vec::new() });
    let counter = telemetry.meter.i64_up_down_counter("bench").build();
    let moved = Case::op("opentelemetry UpDownCounter.add(±1, &[])", move || {
        let counter = counter.clone();
        move || {
            counter.add(1, &[]);
            counter.add(-1, &[]);
        }
    });
    vec![moved.ops(2)]
}

pub(crate) fn histogram(data: &Data, bounds: &[f64]) -> Vec<Case> {
    let telemetry = Telemetry::new(&Shape { families: Vec::new() });
    let builder = telemetry.meter.f64_histogram("bench").with_boundaries(bounds.to_vec());
    let histogram = builder.build();
    let bound = histogram.bind(&[KeyValue::new("model", MODELS[0])]);
    vec![
        Case::over("opentelemetry Histogram.record(v, &[])", &data.latencies, move || {
            let histogram = histogram.clone();
            move |value| histogram.record(value, &[])
        }),
        Case::over("opentelemetry BoundHistogram", &data.latencies, move || {
            let histogram = bound.clone();
            move |value| histogram.record(value)
        }),
    ]
}

pub(crate) fn family(data: &Data) -> Vec<Case> {
    let counter =
        Telemetry::new(&Shape { families: Vec::new() }).meter.u64_counter("bench").build();
    let look_up = Case::over("opentelemetry Counter.add(1, attributes)", &data.pairs, move || {
        let counter = counter.clone();
        move |(model, endpoint)| {
            counter.add(1, &[KeyValue::new("model", model), KeyValue::new("endpoint", endpoint)]);
        }
    });
    vec![look_up]
}

pub(crate) fn token(data: &Data) -> Vec<Case> {
    let telemetry = Telemetry::new(&Shape { families: Vec::new() });
    let attributes = [KeyValue::new("model", MODELS[0])];
    let tokens = telemetry.meter.u64_counter("tokens").build().bind(&attributes);
    let builder = telemetry.meter.f64_histogram("latency").with_boundaries(token_bounds());
    let latency = builder.build().bind(&attributes);
    let token = Case::over("opentelemetry, bound", &data.tokens, move || {
        let (tokens, latency) = (tokens.clone(), latency.clone());
        move |value| {
            tokens.add(1);
            latency.record(value);
        }
    });
    vec![token]
}

pub(crate) fn scraper(shape: &Shape) -> Box<dyn Scrape> {
    let telemetry = Telemetry::new(shape);
    let meter = &telemetry.meter;
    for family in &shape.families {
        let (name, help) = (family.name.clone(), family.help.clone());
        let series = family.series.iter().map(|values| -> Vec<KeyValue> {
            let labels = family.labels.iter().zip(values);
            labels.map(|(name, value)| KeyValue::new(*name, value.clone())).collect()
        });
        match &family.kind {
            Kind::Counter => {
                let counter = meter.u64_counter(name).with_description(help).build();
                series.enumerate().for_each(|(at, labels)| counter.add(family.count(at), &labels));
            }
            Kind::Gauge => {
                let gauge = meter.u64_gauge(name).with_description(help).build();
                series.enumerate().for_each(|(at, labels)| gauge.record(family.count(at), &labels));
            }
            Kind::Histogram { bounds, .. } => {
                let builder = meter.f64_histogram(name).with_description(help);
                let histogram = builder.with_boundaries(bounds.clone()).build();
                for (at, labels) in series.enumerate() {
                    family.observations(at).for_each(|value| histogram.record(value, &labels));
                }
            }
        }
    }
    Box::new(telemetry)
}

/// A provider, its meter, and the registry that its exporter is read through.
struct Telemetry {
    _provider: SdkMeterProvider,
    meter: Meter,
    registry: Registry,
    body: String,
}

impl Telemetry {
    /// For the families of this shape, whose names are given to the scraper as they are.
    fn new(shape: &Shape) -> Self {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_counter_suffixes()
            .without_units()
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .expect("an empty registry takes the exporter");
        let mut builder = SdkMeterProvider::builder().with_reader(exporter);
        let series = shape.families.iter().map(|family| family.series.len()).max().unwrap_or(0);
        if series > SERIES_MAX_DEFAULT {
            // Reserved for every instrument at once, so only where it is needed.
            builder = builder
                .with_view(move |_| Stream::builder().with_cardinality_limit(series).build().ok());
        }
        let provider = builder.build();
        let meter = provider.meter("versus");
        Self { _provider: provider, meter, registry, body: String::new() }
    }
}

impl Scrape for Telemetry {
    fn scrape(&mut self) {
        self.body.clear();
        let families = self.registry.gather();
        TextEncoder::new().encode_utf8(&families, &mut self.body).expect("valid families");
    }

    fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }
}
