//! `prometheus` (tikv), the crate that Dynamo uses.

use crate::measure::Case;
use crate::scrape::Scrape;
use crate::shape::{Family, Kind, MODELS, Shape};
use crate::values::{Data, token_bounds};
use prometheus::core::Collector;
use prometheus::{
    Counter, Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGauge, IntGaugeVec, Opts, ProtobufEncoder, Registry, TextEncoder,
};

pub(crate) fn counter() -> Vec<Case> {
    let (int, local, float) = (int_counter(), int_counter(), made(Counter::new("bench", "bench")));
    vec![
        Case::op("prometheus IntCounter", move || {
            let counter = int.clone();
            move || counter.inc()
        }),
        Case::op("prometheus LocalIntCounter (never flushed)", move || {
            let counter = local.local();
            move || counter.inc()
        }),
        Case::op("prometheus Counter (f64)", move || {
            let counter = float.clone();
            move || counter.inc()
        }),
    ]
}

pub(crate) fn updown() -> Vec<Case> {
    let int = made(IntGauge::new("bench", "bench"));
    let float = made(Gauge::new("bench", "bench"));
    vec![
        Case::op("prometheus IntGauge", move || {
            let gauge = int.clone();
            move || {
                gauge.inc();
                gauge.dec();
            }
        })
        .ops(2),
        Case::op("prometheus Gauge (f64)", move || {
            let gauge = float.clone();
            move || {
                gauge.inc();
                gauge.dec();
            }
        })
        .ops(2),
    ]
}

pub(crate) fn histogram(data: &Data, bounds: &[f64]) -> Vec<Case> {
    let histogram = made(Histogram::with_opts(opts("bench", "bench", bounds)));
    let local = histogram.clone();
    vec![
        Case::over("prometheus Histogram", &data.latencies, move || {
            let histogram = histogram.clone();
            move |value| histogram.observe(value)
        }),
        Case::over("prometheus LocalHistogram (never flushed)", &data.latencies, move || {
            let histogram = local.local();
            move |value| histogram.observe(value)
        }),
    ]
}

pub(crate) fn family(data: &Data) -> Vec<Case> {
    let family = made(IntCounterVec::new(Opts::new("bench", "bench"), &["model", "endpoint"]));
    let look_up = Case::over("prometheus with_label_values", &data.pairs, move || {
        let family = family.clone();
        move |(model, endpoint)| family.with_label_values(&[model, endpoint]).inc()
    });
    vec![look_up]
}

pub(crate) fn token(data: &Data) -> Vec<Case> {
    let tokens = made(IntCounterVec::new(Opts::new("tokens", "bench"), &["model"]));
    let bounds = token_bounds();
    let latency = made(HistogramVec::new(opts("latency", "bench", &bounds), &["model"]));
    let (tokens_by_handle, latency_by_handle) =
        (tokens.with_label_values(&MODELS[..1]), latency.with_label_values(&MODELS[..1]));
    vec![
        // As `ResponseMetricCollector::observe_response` of Dynamo does it.
        Case::over("prometheus, upstream's two lookups", &data.tokens, move || {
            let (tokens, latency) = (tokens.clone(), latency.clone());
            let model = MODELS[0].to_owned();
            move |value| {
                tokens.with_label_values(&[model.as_str()]).inc_by(1);
                latency.with_label_values(&[model.as_str()]).observe(value);
            }
        }),
        Case::over("prometheus, handles", &data.tokens, move || {
            let (tokens, latency) = (tokens_by_handle.clone(), latency_by_handle.clone());
            move |value| {
                tokens.inc();
                latency.observe(value);
            }
        }),
    ]
}

pub(crate) fn scraper(shape: &Shape) -> Box<dyn Scrape> {
    Box::new(Scraper { registry: registry(shape), body: String::new() })
}

pub(crate) fn protobuf(shape: &Shape) -> Box<dyn Scrape> {
    Box::new(ProtobufScraper { registry: registry(shape), body: Vec::new() })
}

pub(crate) fn registry(shape: &Shape) -> Registry {
    let registry = Registry::new();
    for family in &shape.families {
        let opts = Opts::new(&family.name, &family.help);
        match &family.kind {
            Kind::Counter => {
                let vec = made(IntCounterVec::new(opts, family.labels));
                fill(&registry, &vec, family, |vec, at, values| {
                    vec.with_label_values(values).inc_by(family.count(at));
                });
            }
            Kind::Gauge => {
                let vec = made(IntGaugeVec::new(opts, family.labels));
                fill(&registry, &vec, family, |vec, at, values| {
                    vec.with_label_values(values).set(family.count(at) as i64);
                });
            }
            Kind::Histogram { bounds, .. } => {
                let opts = self::opts(&family.name, &family.help, bounds);
                let vec = made(HistogramVec::new(opts, family.labels));
                fill(&registry, &vec, family, |vec, at, values| {
                    let histogram = vec.with_label_values(values);
                    family.observations(at).for_each(|value| histogram.observe(value));
                });
            }
        }
    }
    registry
}

struct Scraper {
    registry: Registry,
    body: String,
}

impl Scrape for Scraper {
    fn scrape(&mut self) {
        self.body.clear();
        made(TextEncoder::new().encode_utf8(&self.registry.gather(), &mut self.body));
    }

    fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }
}

struct ProtobufScraper {
    registry: Registry,
    body: Vec<u8>,
}

impl Scrape for ProtobufScraper {
    fn scrape(&mut self) {
        self.body.clear();
        made(ProtobufEncoder::new().encode(&self.registry.gather(), &mut self.body));
    }

    fn body(&self) -> &[u8] {
        &self.body
    }
}

fn fill<V: Collector + Clone + 'static>(
    registry: &Registry,
    vec: &V,
    family: &Family,
    set: impl Fn(&V, usize, &[&str]),
) {
    made(registry.register(Box::new(vec.clone())));
    for (at, values) in family.series.iter().enumerate() {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        set(vec, at, &values);
    }
}

fn int_counter() -> IntCounter {
    made(IntCounter::new("bench", "bench"))
}

fn opts(name: &str, help: &str, bounds: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(bounds.to_vec())
}

fn made<T>(result: prometheus::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("the benches' metrics are valid: {error}"))
}
