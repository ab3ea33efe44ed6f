//! Ourselves: the rows that all others are compared with, and variants of them.

use super::MANY_SHARDS;
use crate::floors::nanos;
use crate::measure::Case;
use crate::ours::{self, NAME, Scraper};
use crate::scrape::Scrape;
use crate::shape::{ENDPOINTS, MODELS, Shape};
use crate::values::{Data, token_bounds};
use dynamo_metrics::{
    FrontendConfig, FrontendMetrics, HttpEndpoint, ModelCard, RequestType, RuntimeConfig, Timestamp,
};
use dynamo_metrics_core::{Counter, LabelEnum, Registry};
use dynamo_metrics_encoder::negotiate::Format;
use std::hint::black_box;
use std::sync::Arc;

pub(crate) fn counter() -> Vec<Case> {
    let (shared, pinned, float) = (ours::counter(), ours::counter(), ours::float_counter());
    vec![
        Case::op(NAME, move || {
            let counter = shared.clone();
            move || counter.inc()
        }),
        Case::op("dynamo-metrics LocalCounter", move || {
            let counter = pinned.local().expect("address space for a shard");
            move || counter.inc()
        }),
        Case::op("dynamo-metrics FloatCounter", move || {
            let counter = float.clone();
            move || counter.add(1.0)
        }),
    ]
}

pub(crate) fn updown() -> Vec<Case> {
    let (moved, set) = (ours::up_down_counter(), ours::gauge());
    vec![
        Case::op(NAME, move || {
            let counter = moved.clone();
            move || {
                counter.inc();
                counter.dec();
            }
        })
        .ops(2),
        Case::op("dynamo-metrics Gauge (f64)", move || {
            let gauge = set.clone();
            move || {
                gauge.inc();
                gauge.dec();
            }
        })
        .ops(2),
    ]
}

pub(crate) fn histogram(data: &Data, bounds: &[f64]) -> Vec<Case> {
    let (shared, pinned) = (ours::histogram(bounds), ours::histogram(bounds));
    let integers = ours::integer_histogram(bounds);
    vec![
        Case::over("dynamo-metrics IntegerHistogram", &nanos(&data.latencies), move || {
            let histogram = integers.clone();
            move |nanos| histogram.observe(nanos)
        }),
        Case::over(NAME, &data.latencies, move || {
            let histogram = shared.clone();
            move |value| histogram.observe(value)
        }),
        Case::over("dynamo-metrics LocalHistogram", &data.latencies, move || {
            let histogram = pinned.local().expect("address space for a shard");
            move |value| histogram.observe(value)
        }),
    ]
}

pub(crate) fn family(data: &Data) -> Vec<Case> {
    let family = ours::family();
    let (visited, by_enum) = (family.clone(), family.enumerated::<(Model, Endpoint)>());
    let fresh = family.clone();
    let enums = Arc::new(data.pairs.map(|(model, endpoint)| {
        let place = |list: &[&str], value| list.iter().position(|&other| other == value);
        (
            Model(place(&MODELS, model).unwrap_or(0)),
            Endpoint(place(&ENDPOINTS, endpoint).unwrap_or(0)),
        )
    }));
    vec![
        Case::over(NAME, &data.pairs, move || {
            let family = visited.clone();
            move |(model, endpoint)| family.visit([model, endpoint], Counter::inc)
        }),
        Case::over("dynamo-metrics, strings at new addresses", &data.pairs, move || {
            let family = fresh.clone();
            let mut copies = Copies::new();
            move |(model, endpoint)| {
                let [model, endpoint] = copies.of([model, endpoint]);
                family.visit([model, endpoint], Counter::inc);
            }
        }),
        Case::over("(copying the strings)", &data.pairs, || {
            let mut copies = Copies::new();
            move |(model, endpoint)| _ = black_box(copies.of([model, endpoint]))
        }),
        Case::over("dynamo-metrics, a handle each time", &data.pairs, move || {
            let family = family.clone();
            move |(model, endpoint)| family.with([model, endpoint]).inc()
        }),
        Case::over("dynamo-metrics, enums", &enums, move || {
            let family = by_enum.clone();
            move |pair| family.visit(pair, dynamo_metrics_core::Counter::inc)
        }),
    ]
}

pub(crate) fn token(data: &Data) -> Vec<Case> {
    let frontend = FrontendMetrics::new(&Registry::new(), FrontendConfig::default())
        .expect("a registry of its own takes the catalogue");
    let card = ModelCard { context_length: 4096, kv_cache_block_size: 16, migration_limit: 3 };
    frontend.models().add(MODELS[0], 1, &card, &RuntimeConfig::default());
    let (tokens, latency) = ours::token(&token_bounds());
    let (counted, integers) = ours::integer_token(&token_bounds());
    let timed = (counted.clone(), integers.clone());
    let nanos = nanos(&data.tokens);
    vec![
        Case::over(NAME, &nanos, move || {
            let mut now = 0;
            let at = Timestamp::from_nanos;
            let (endpoint, kind) = (HttpEndpoint::ChatCompletions, RequestType::Stream);
            let mut request = frontend.begin(endpoint, kind, MODELS[0], at(now));
            request.tokens(1, at(now));
            move |nanos| {
                now += nanos;
                request.tokens(1, at(now));
            }
        }),
        Case::over("dynamo-metrics, handles of integers", &nanos, move || {
            let (tokens, latency) = (counted.clone(), integers.clone());
            move |nanos| {
                tokens.inc();
                latency.observe(nanos);
            }
        }),
        // The recordings of a caller that keeps the time itself.
        Case::over("dynamo-metrics, handles of integers and a clock", &nanos, move || {
            let (tokens, latency) = (timed.0.clone(), timed.1.clone());
            let (mut now, mut last) = (0u64, 0u64);
            move |nanos| {
                now += nanos;
                tokens.inc();
                latency.observe(now.saturating_sub(last));
                last = last.max(black_box(now));
            }
        }),
        Case::over("dynamo-metrics, handles", &data.tokens, move || {
            let (tokens, latency) = (tokens.clone(), latency.clone());
            move |value| {
                tokens.inc();
                latency.observe(value);
            }
        }),
    ]
}

pub(crate) fn scraper(shape: &Shape) -> Box<dyn Scrape> {
    Box::new(Scraper::new(ours::registry(shape)))
}

pub(crate) fn scraper_of_shards(shape: &Shape) -> Box<dyn Scrape> {
    Box::new(Scraper::new(ours::registry_of_threads(shape, MANY_SHARDS)))
}

pub(crate) fn openmetrics(shape: &Shape) -> Box<dyn Scrape> {
    Box::new(Scraper::in_format(ours::registry(shape), Format::OpenMetrics))
}

pub(crate) fn protobuf(shape: &Shape) -> Box<dyn Scrape> {
    Box::new(Scraper::in_format(ours::registry(shape), Format::Protobuf))
}

/// Copies of strings, each at another address than the ones before: what a program has that makes its labels anew for each
/// recording. An address comes again after thousands of others, with other contents.
struct Copies {
    bytes: Box<[u8]>,
    at: usize,
}

/// Not a multiple of what the 2048 pairs of a table take: no string comes back to its place.
const COPIES_BYTES: usize = 30_011;

impl Copies {
    fn new() -> Self {
        Self { bytes: vec![0; COPIES_BYTES].into(), at: 0 }
    }

    fn of(&mut self, strings: [&str; 2]) -> [&str; 2] {
        let lengths = strings.map(str::len);
        if self.at + lengths[0] + lengths[1] > COPIES_BYTES {
            self.at = 0;
        }
        let place = &mut self.bytes[self.at..][..lengths[0] + lengths[1]];
        self.at += place.len();
        let (first, second) = place.split_at_mut(lengths[0]);
        first.copy_from_slice(strings[0].as_bytes());
        second.copy_from_slice(strings[1].as_bytes());
        [first, second].map(|copy| std::str::from_utf8(copy).expect("a copy of a string"))
    }
}

#[derive(Clone, Copy)]
struct Model(usize);

#[derive(Clone, Copy)]
struct Endpoint(usize);

impl LabelEnum for Model {
    const VALUES: &'static [&'static str] = &MODELS;

    fn index(self) -> usize {
        self.0
    }
}

impl LabelEnum for Endpoint {
    const VALUES: &'static [&'static str] = &ENDPOINTS;

    fn index(self) -> usize {
        self.0
    }
}
