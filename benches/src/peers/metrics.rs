//! `metrics` with `metrics-exporter-prometheus`: a facade, and a recorder that keeps every observation of a
//! histogram until it is drained into buckets.
//!
//! The recorder is called directly, which is a little less than what the facade's macros do. Histograms are
//! drained every [`DRAIN_EVERY`] observations and the drain is timed, since a program pays for it; left
//! undrained, they would take 16 bytes an observation.

use crate::measure::Case;
use crate::scrape::Scrape;
use crate::shape::{Kind, MODELS, Shape};
use crate::values::{Data, token_bounds};
use metrics::{Key, KeyName, Label, Level, Metadata, Recorder};
#[cfg(feature = "attack")]
use metrics_exporter_prometheus::ExporterFuture;
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::sync::Arc;

/// Observations between two drains: what a busy frontend makes in a scrape interval or less.
const DRAIN_EVERY: u32 = 1 << 16;

const METADATA: Metadata<'static> = Metadata::new("versus", Level::INFO, None);

pub(crate) fn counter() -> Vec<Case> {
    let counter = recorder(&[]).register_counter(&Key::from_name("bench"), &METADATA);
    let inc = Case::op("metrics + exporter Counter", move || {
        let counter = counter.clone();
        move || counter.increment(1)
    });
    vec![inc]
}

pub(crate) fn updown() -> Vec<Case> {
    let gauge = recorder(&[]).register_gauge(&Key::from_name("bench"), &METADATA);
    let moved = Case::op("metrics + exporter Gauge (f64)", move || {
        let gauge = gauge.clone();
        move || {
            gauge.increment(1.0);
            gauge.decrement(1.0);
        }
    });
    vec![moved.ops(2)]
}

pub(crate) fn histogram(data: &Data, bounds: &[f64]) -> Vec<Case> {
    let recorder = recorder(&[("bench", bounds)]);
    let shared = recorder.register_histogram(&Key::from_name("bench"), &METADATA);
    let handle = recorder.handle();
    let observe = Case::over("metrics + exporter Histogram", &data.latencies, move || {
        let (histogram, mut drain) = (shared.clone(), Drain::new(&handle));
        move |value| {
            histogram.record(value);
            drain.tick();
        }
    });
    vec![observe]
}

pub(crate) fn family(data: &Data) -> Vec<Case> {
    let recorder = Arc::new(recorder(&[]));
    let look_up = Case::over("metrics + exporter register_counter", &data.pairs, move || {
        let recorder = Arc::clone(&recorder);
        move |(model, endpoint)| {
            // The expansion of `counter!` for labels that are not constants.
            let labels = vec![Label::new("model", model), Label::new("endpoint", endpoint)];
            recorder.register_counter(&Key::from_parts("bench", labels), &METADATA).increment(1);
        }
    });
    vec![look_up]
}

pub(crate) fn token(data: &Data) -> Vec<Case> {
    let recorder = recorder(&[("latency", &token_bounds())]);
    let labels = vec![Label::new("model", MODELS[0])];
    let tokens = recorder.register_counter(&Key::from_parts("tokens", labels.clone()), &METADATA);
    let latency = recorder.register_histogram(&Key::from_parts("latency", labels), &METADATA);
    let handle = recorder.handle();
    let token = Case::over("metrics + exporter, handles", &data.tokens, move || {
        let (tokens, latency) = (tokens.clone(), latency.clone());
        let mut drain = Drain::new(&handle);
        move |value| {
            tokens.increment(1);
            latency.record(value);
            drain.tick();
        }
    });
    vec![token]
}

pub(crate) fn scraper(shape: &Shape) -> Box<dyn Scrape> {
    let recorder = builder(&bounds_of(shape)).build_recorder();
    fill(&recorder, shape);
    Box::new(Scraper { handle: recorder.handle(), body: Vec::new() })
}

/// The exporter's own listener over a registry of this shape; inside of a runtime.
#[cfg(feature = "attack")]
pub(crate) fn listener(shape: &Shape, address: std::net::SocketAddr) -> ExporterFuture {
    let builder = builder(&bounds_of(shape)).with_http_listener(address);
    let (recorder, exporter) = builder.build().expect("an address that is free");
    fill(&recorder, shape);
    exporter
}

fn bounds_of(shape: &Shape) -> Vec<(&str, &[f64])> {
    let bounds = shape.families.iter().filter_map(|family| match &family.kind {
        Kind::Histogram { bounds, .. } => Some((&*family.name, &**bounds)),
        _ => None,
    });
    bounds.collect()
}

fn fill(recorder: &PrometheusRecorder, shape: &Shape) {
    for family in &shape.families {
        let name = || KeyName::from(family.name.clone());
        match family.kind {
            Kind::Counter => recorder.describe_counter(name(), None, family.help.clone().into()),
            Kind::Gauge => recorder.describe_gauge(name(), None, family.help.clone().into()),
            Kind::Histogram { .. } => {
                recorder.describe_histogram(name(), None, family.help.clone().into());
            }
        }
        for (at, values) in family.series.iter().enumerate() {
            let labels = family.labels.iter().zip(values);
            let labels: Vec<Label> =
                labels.map(|(name, value)| Label::new(*name, value.clone())).collect();
            let key = Key::from_parts(name(), labels);
            match family.kind {
                Kind::Counter => {
                    recorder.register_counter(&key, &METADATA).increment(family.count(at));
                }
                Kind::Gauge => {
                    recorder.register_gauge(&key, &METADATA).set(family.count(at) as f64)
                }
                Kind::Histogram { .. } => {
                    let histogram = recorder.register_histogram(&key, &METADATA);
                    family.observations(at).for_each(|value| histogram.record(value));
                }
            }
        }
    }
    recorder.handle().run_upkeep();
}

struct Scraper {
    handle: PrometheusHandle,
    body: Vec<u8>,
}

impl Scrape for Scraper {
    fn scrape(&mut self) {
        self.body.clear();
        self.handle.render_to_write(&mut self.body).expect("a vector takes everything");
    }

    fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Drains the recorder's histograms now and then.
struct Drain {
    handle: PrometheusHandle,
    ticks: u32,
}

impl Drain {
    fn new(handle: &PrometheusHandle) -> Self {
        Self { handle: handle.clone(), ticks: 0 }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        if self.ticks == DRAIN_EVERY {
            self.ticks = 0;
            self.handle.run_upkeep();
        }
    }
}

fn recorder(bounds: &[(&str, &[f64])]) -> PrometheusRecorder {
    builder(bounds).build_recorder()
}

fn builder(bounds: &[(&str, &[f64])]) -> PrometheusBuilder {
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in bounds {
        let matcher = Matcher::Full((*name).to_owned());
        builder = builder.set_buckets_for_metric(matcher, bounds).expect("there are bounds");
    }
    builder
}
