//! `prometheus-client`, the official client library: unsharded atomics, a mutex around each histogram.

use super::{Labels, by_label_count};
use crate::measure::Case;
use crate::scrape::Scrape;
use crate::shape::{self, Kind, Shape};
use crate::values::{Data, token_bounds};
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder, prometheus_protobuf, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) fn counter() -> Vec<Case> {
    let shared = Counter::<u64>::default();
    let inc = Case::op("prometheus-client Counter", move || {
        let counter = shared.clone();
        move || _ = counter.inc()
    });
    vec![inc]
}

pub(crate) fn updown() -> Vec<Case> {
    let shared = Gauge::<i64>::default();
    let moved = Case::op("prometheus-client Gauge", move || {
        let gauge = shared.clone();
        move || {
            gauge.inc();
            gauge.dec();
        }
    });
    vec![moved.ops(2)]
}

pub(crate) fn histogram(data: &Data, bounds: &[f64]) -> Vec<Case> {
    let shared = Histogram::new(bounds.iter().copied());
    let observe = Case::over("prometheus-client Histogram", &data.latencies, move || {
        let histogram = shared.clone();
        move |value| histogram.observe(value)
    });
    vec![observe]
}

pub(crate) fn family(data: &Data) -> Vec<Case> {
    let fixed = Family::<Pair<&'static str>, Counter>::default();
    let owned = Family::<Pair<String>, Counter>::default();
    vec![
        Case::over("prometheus-client Family<&'static str>", &data.pairs, move || {
            let family = fixed.clone();
            move |(model, endpoint)| _ = family.get_or_create(&Pair { model, endpoint }).inc()
        }),
        Case::over("prometheus-client Family<String>", &data.pairs, move || {
            let family = owned.clone();
            move |(model, endpoint)| {
                let pair = Pair { model: model.to_owned(), endpoint: endpoint.to_owned() };
                family.get_or_create(&pair).inc();
            }
        }),
    ]
}

pub(crate) fn token(data: &Data) -> Vec<Case> {
    let (tokens, latency) = (Counter::<u64>::default(), Histogram::new(token_bounds()));
    let token = Case::over("prometheus-client, handles", &data.tokens, move || {
        let (tokens, latency) = (tokens.clone(), latency.clone());
        move |value| {
            tokens.inc();
            latency.observe(value);
        }
    });
    vec![token]
}

pub(crate) fn scraper(shape: &Shape) -> Box<dyn Scrape> {
    Box::new(Scraper { registry: registry(shape), body: String::new() })
}

pub(crate) fn protobuf(shape: &Shape) -> Box<dyn Scrape> {
    Box::new(ProtobufScraper { registry: registry(shape), body: Vec::new() })
}

fn registry(shape: &Shape) -> Registry {
    let mut registry = Registry::default();
    for family in &shape.families {
        by_label_count!(family, fill(&mut registry, family));
    }
    registry
}

struct ProtobufScraper {
    registry: Registry,
    body: Vec<u8>,
}

impl Scrape for ProtobufScraper {
    fn scrape(&mut self) {
        // It has no way to write into memory that is kept.
        self.body = prometheus_protobuf::encode_to_vec(&self.registry).expect("valid metrics");
    }

    fn body(&self) -> &[u8] {
        &self.body
    }
}

struct Scraper {
    registry: Registry,
    body: String,
}

impl Scrape for Scraper {
    fn scrape(&mut self) {
        self.body.clear();
        text::encode(&mut self.body, &self.registry).expect("a string takes everything");
    }

    fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pair<S> {
    model: S,
    endpoint: S,
}

fn fill<const N: usize>(registry: &mut Registry, family: &shape::Family) {
    let series =
        || family.series.iter().map(|values| Labels::<N>::new(family.labels, values)).enumerate();
    // The crate adds the suffix to a counter and the full stop to a help text.
    let name = family.name.strip_suffix("_total").unwrap_or(&family.name);
    match &family.kind {
        Kind::Counter => {
            let counters = Family::<Labels<N>, Counter>::default();
            registry.register(name, &family.help, counters.clone());
            for (at, labels) in series() {
                counters.get_or_create(&labels).inc_by(family.count(at));
            }
        }
        Kind::Gauge => {
            let gauges = Family::<Labels<N>, Gauge>::default();
            registry.register(name, &family.help, gauges.clone());
            for (at, labels) in series() {
                gauges.get_or_create(&labels).set(family.count(at) as i64);
            }
        }
        Kind::Histogram { bounds, .. } => {
            let bounds = bounds.clone();
            let make = move || Histogram::new(bounds.iter().copied());
            let histograms = Family::<Labels<N>, Histogram, _>::new_with_constructor(make);
            registry.register(name, &family.help, histograms.clone());
            for (at, labels) in series() {
                let histogram = histograms.get_or_create(&labels);
                family.observations(at).for_each(|value| histogram.observe(value));
            }
        }
    }
}

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        use prometheus_client::encoding::EncodeLabel;
        self.iter().try_for_each(|label| label.encode(encoder.encode_label()))
    }
}
