//! `fast-telemetry`: padded shards for each counter and bucket, `lock xadd`; the fastest encoder of the peers.
//!
//! Histograms take integers, so seconds are recorded as microseconds, and its `le` and `_sum` say so. It does
//! not escape label values.

use super::{MANY_SHARDS, SHARDS};
use crate::measure::Case;
use crate::scrape::Scrape;
use crate::shape::{self, Kind, MODELS, Shape};
use crate::values::{Data, token_bounds};
use fast_telemetry::{
    Counter, DynamicCounter, DynamicGaugeI64, DynamicHistogram, Histogram, PrometheusExport,
};
use std::sync::Arc;

/// Shards of a registry that is scraped: for a machine of two cores, which is what its figures are from.
const SCRAPED_SHARDS: usize = 2;

pub(crate) fn counter() -> Vec<Case> {
    let plain = Arc::new(Counter::new(SHARDS));
    let labelled = DynamicCounter::new(SHARDS);
    let series = Arc::new(labelled.series(&[("model", MODELS[0])]));
    vec![
        Case::op("fast-telemetry Counter", move || {
            let counter = Arc::clone(&plain);
            move || counter.inc()
        }),
        Case::op("fast-telemetry DynamicCounterSeries", move || {
            let series = Arc::clone(&series);
            move || series.inc()
        }),
    ]
}

pub(crate) fn updown() -> Vec<Case> {
    let shared = Arc::new(Counter::new(SHARDS));
    let moved = Case::op("fast-telemetry Counter", move || {
        let counter = Arc::clone(&shared);
        move || {
            counter.add(1);
            counter.add(-1);
        }
    });
    vec![moved.ops(2)]
}

pub(crate) fn histogram(data: &Data, bounds: &[f64]) -> Vec<Case> {
    let shared = Arc::new(Histogram::new(&micros(bounds), SHARDS));
    let observe = Case::over("fast-telemetry Histogram (u64)", &data.latencies_micros, move || {
        let histogram = Arc::clone(&shared);
        move |value| histogram.record(value)
    });
    vec![observe]
}

pub(crate) fn family(data: &Data) -> Vec<Case> {
    let shared = Arc::new(DynamicCounter::new(SHARDS));
    let look_up = Case::over("fast-telemetry DynamicCounter", &data.pairs, move || {
        let family = Arc::clone(&shared);
        move |(model, endpoint)| family.inc(&[("model", model), ("endpoint", endpoint)])
    });
    vec![look_up]
}

pub(crate) fn token(data: &Data) -> Vec<Case> {
    let tokens = Arc::new(Counter::new(SHARDS));
    let latency = Arc::new(Histogram::new(&micros(&token_bounds()), SHARDS));
    let token = Case::over("fast-telemetry, handles (u64)", &data.tokens_micros, move || {
        let (tokens, latency) = (Arc::clone(&tokens), Arc::clone(&latency));
        move |value| {
            tokens.inc();
            latency.record(value);
        }
    });
    vec![token]
}

pub(crate) fn scraper(shape: &Shape) -> Box<dyn Scrape> {
    scraper_of(shape, SCRAPED_SHARDS)
}

pub(crate) fn scraper_of_shards(shape: &Shape) -> Box<dyn Scrape> {
    scraper_of(shape, MANY_SHARDS)
}

fn scraper_of(shape: &Shape, shards: usize) -> Box<dyn Scrape> {
    let families = shape.families.iter().map(|family| family_of(family, shards)).collect();
    Box::new(Scraper { families, body: String::new() })
}

struct Scraper {
    families: Vec<Family>,
    body: String,
}

struct Family {
    name: String,
    help: String,
    metric: Box<dyn PrometheusExport>,
}

impl Scrape for Scraper {
    fn scrape(&mut self) {
        self.body.clear();
        for family in &self.families {
            family.metric.export_prometheus(&mut self.body, &family.name, &family.help);
        }
    }

    fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }
}

fn family_of(family: &shape::Family, shards: usize) -> Family {
    let max = family.series.len() + 1;
    let series = family.series.iter().map(|values| -> Vec<(&str, &str)> {
        family.labels.iter().copied().zip(values.iter().map(String::as_str)).collect()
    });
    let metric: Box<dyn PrometheusExport> = match &family.kind {
        Kind::Counter => {
            let counters = DynamicCounter::with_max_series(shards, max);
            for (at, labels) in series.enumerate() {
                counters.add(&labels, family.count(at) as isize);
            }
            Box::new(counters)
        }
        Kind::Gauge => {
            let gauges = DynamicGaugeI64::with_max_series(shards, max);
            for (at, labels) in series.enumerate() {
                gauges.set(&labels, family.count(at) as i64);
            }
            Box::new(gauges)
        }
        Kind::Histogram { bounds, whole } => {
            let scaled = if *whole {
                bounds.iter().map(|&bound| bound as u64).collect()
            } else {
                micros(bounds)
            };
            let histograms = DynamicHistogram::with_limits(&scaled, shards, max);
            for (at, labels) in series.enumerate() {
                let histogram = histograms.series(&labels);
                let scale = if *whole { 1.0 } else { 1e6 };
                family.observations(at).for_each(|value| histogram.record((value * scale) as u64));
            }
            Box::new(histograms)
        }
    };
    Family { name: family.name.clone(), help: family.help.clone(), metric }
}

fn micros(bounds: &[f64]) -> Vec<u64> {
    bounds.iter().map(|&bound| (bound * 1e6).round() as u64).collect()
}
