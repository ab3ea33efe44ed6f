//! `fastmetrics`: unsharded atomics, binary search, an f64 sum by compare-and-swap; foldhash and a lock around
//! each family.

use super::{Labels, by_label_count};
use crate::measure::Case;
use crate::scrape::Scrape;
use crate::shape::{self, Kind, Shape};
use crate::values::{Data, token_bounds};
use fastmetrics::encoder::{EncodeLabelSet, LabelSetEncoder};
use fastmetrics::format::text::{self, EscapingScheme, TextProfile};
use fastmetrics::metrics::counter::Counter;
use fastmetrics::metrics::family::Family;
use fastmetrics::metrics::gauge::Gauge;
use fastmetrics::metrics::histogram::Histogram;
use fastmetrics::raw::LabelSetSchema;
use fastmetrics::registry::Registry;

pub(crate) fn counter() -> Vec<Case> {
    let shared = Counter::<u64>::default();
    let inc = Case::op("fastmetrics Counter", move || {
        let counter = shared.clone();
        move || counter.inc()
    });
    vec![inc]
}

pub(crate) fn updown() -> Vec<Case> {
    let shared = Gauge::<i64>::default();
    let moved = Case::op("fastmetrics Gauge", move || {
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
    let observe = Case::over("fastmetrics Histogram", &data.latencies, move || {
        let histogram = shared.clone();
        move |value| histogram.observe(value)
    });
    vec![observe]
}

pub(crate) fn family(data: &Data) -> Vec<Case> {
    let shared = Family::<Pair, Counter>::default();
    let look_up = Case::over("fastmetrics Family<&'static str>", &data.pairs, move || {
        let family = shared.clone();
        move |(model, endpoint)| family.with_or_new(&Pair { model, endpoint }, Counter::inc)
    });
    vec![look_up]
}

pub(crate) fn token(data: &Data) -> Vec<Case> {
    let (tokens, latency) = (Counter::<u64>::default(), Histogram::new(token_bounds()));
    let token = Case::over("fastmetrics, handles", &data.tokens, move || {
        let (tokens, latency) = (tokens.clone(), latency.clone());
        move |value| {
            tokens.inc();
            latency.observe(value);
        }
    });
    vec![token]
}

pub(crate) fn scraper(shape: &Shape) -> Box<dyn Scrape> {
    in_profile(shape, TextProfile::PrometheusV0_0_4)
}

pub(crate) fn openmetrics(shape: &Shape) -> Box<dyn Scrape> {
    let escaping_scheme = EscapingScheme::Underscores;
    in_profile(shape, TextProfile::OpenMetricsV1_0_0 { escaping_scheme })
}

fn in_profile(shape: &Shape, profile: TextProfile) -> Box<dyn Scrape> {
    let mut registry = Registry::default();
    for family in &shape.families {
        by_label_count!(family, fill(&mut registry, family));
    }
    Box::new(Scraper { registry, profile, body: String::new() })
}

struct Scraper {
    registry: Registry,
    profile: TextProfile,
    body: String,
}

impl Scrape for Scraper {
    fn scrape(&mut self) {
        self.body.clear();
        made(text::encode(&mut self.body, &self.registry, self.profile));
    }

    fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Pair {
    model: &'static str,
    endpoint: &'static str,
}

fn fill<const N: usize>(registry: &mut Registry, family: &shape::Family) {
    let series =
        || family.series.iter().map(|values| Labels::<N>::new(family.labels, values)).enumerate();
    let (name, help) = (family.name.clone(), family.help.clone());
    match &family.kind {
        Kind::Counter => {
            let counters = Family::<Labels<N>, Counter>::default();
            made(registry.register(name, help, counters.clone()));
            for (at, labels) in series() {
                counters.with_or_new(&labels, |counter| counter.inc_by(family.count(at)));
            }
        }
        Kind::Gauge => {
            let gauges = Family::<Labels<N>, Gauge>::default();
            made(registry.register(name, help, gauges.clone()));
            for (at, labels) in series() {
                gauges.with_or_new(&labels, |gauge| gauge.set(family.count(at) as i64));
            }
        }
        Kind::Histogram { bounds, .. } => {
            let bounds = bounds.clone();
            let make = move || Histogram::new(bounds.iter().copied());
            let histograms = Family::<Labels<N>, Histogram>::new(make);
            made(registry.register(name, help, histograms.clone()));
            for (at, labels) in series() {
                histograms.with_or_new(&labels, |histogram| {
                    family.observations(at).for_each(|value| histogram.observe(value));
                });
            }
        }
    }
}

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut dyn LabelSetEncoder) -> fastmetrics::error::Result<()> {
        self.iter().try_for_each(|label| encoder.encode(&label))
    }

    fn is_empty(&self) -> bool {
        N == 0
    }
}

/// The schema only serves to find clashes of names when a family is registered; these have none.
impl<const N: usize> LabelSetSchema for Labels<N> {
    fn names() -> Option<&'static [&'static str]> {
        None
    }
}

fn made<T>(result: fastmetrics::error::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("the benches' metrics are valid: {error}"))
}
