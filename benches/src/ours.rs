//! Our own operations, for the criterion benches and for the rows named `dynamo-metrics`.

use crate::scrape::Scrape;
use crate::shape::{Family, Kind, Shape};
use bytes::BytesMut;
use dynamo_metrics_core::{
    Buckets, Counter, Escaping, FloatCounter, Gauge, Histogram, IntegerHistogram, Opts,
    RegisterError, Registry, Scale, UpDownCounter,
};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use std::sync::Barrier;
use std::thread;

/// The name that our rows have.
pub const NAME: &str = "dynamo-metrics";

/// A counter of a registry of its own.
pub fn counter() -> Counter {
    made(Registry::new().counter(("bench_total", "")))
}

/// A float counter of a registry of its own.
pub fn float_counter() -> FloatCounter {
    made(Registry::new().float_counter(("bench_total", "")))
}

/// A gauge of a registry of its own.
pub fn gauge() -> Gauge {
    made(Registry::new().gauge(("bench", "")))
}

/// An up/down counter of a registry of its own.
pub fn up_down_counter() -> UpDownCounter {
    made(Registry::new().up_down_counter(("bench", "")))
}

/// A histogram of a registry of its own.
pub fn histogram(bounds: &[f64]) -> Histogram {
    made(Registry::new().histogram(("bench", ""), &buckets(bounds)))
}

/// A histogram of nanoseconds, of a registry of its own.
pub fn integer_histogram(bounds: &[f64]) -> IntegerHistogram {
    made(Registry::new().integer_histogram(("bench", ""), &buckets(bounds), Scale::Nano))
}

/// The metrics that a token moves, with a histogram of nanoseconds.
pub fn integer_token(bounds: &[f64]) -> (Counter, IntegerHistogram) {
    let registry = Registry::new();
    let tokens = registry.counter(("bench_tokens_total", ""));
    let latency = registry.integer_histogram(("bench_latency", ""), &buckets(bounds), Scale::Nano);
    (made(tokens), made(latency))
}

/// Counters of one registry, as a program has them.
pub fn counters<const N: usize>() -> [Counter; N] {
    let registry = Registry::new();
    std::array::from_fn(|at| made(registry.counter((format!("bench{at}_total"), ""))))
}

/// Histograms of one registry.
pub fn histograms<const N: usize>(bounds: &[f64]) -> [Histogram; N] {
    let registry = Registry::new();
    let buckets = buckets(bounds);
    std::array::from_fn(|at| made(registry.histogram((format!("bench{at}"), ""), &buckets)))
}

/// The metrics that a token moves: a counter and a histogram of one registry.
pub fn token(bounds: &[f64]) -> (Counter, Histogram) {
    let registry = Registry::new();
    let tokens = registry.counter(("bench_tokens_total", ""));
    (made(tokens), made(registry.histogram(("bench_latency", ""), &buckets(bounds))))
}

/// A family of counters by two labels, of a registry of its own.
pub fn family() -> dynamo_metrics_core::Family<Counter, 2> {
    made(Registry::new().counter_family(("bench_total", ""), ["model", "endpoint"]))
}

/// Buckets with these bounds.
pub fn buckets(bounds: &[f64]) -> Buckets {
    Buckets::new(bounds.iter().copied()).expect("the benches' bounds are valid")
}

/// A registry of this shape, with its values.
pub fn registry(shape: &Shape) -> Registry {
    let registry = Registry::new();
    record(&registry, shape, Share { of: 1, at: 0 });
    registry
}

/// The same, recorded by so many threads that live at the same time: so many shards have counts of every series.
pub fn registry_of_threads(shape: &Shape, threads: usize) -> Registry {
    let registry = Registry::new();
    let all_have_recorded = Barrier::new(threads);
    thread::scope(|scope| {
        for at in 0..threads {
            let (registry, all_have_recorded) = (&registry, &all_have_recorded);
            scope.spawn(move || {
                record(registry, shape, Share { of: threads, at });
                all_have_recorded.wait();
            });
        }
    });
    registry
}

/// The recording of one of several threads.
#[derive(Clone, Copy)]
struct Share {
    of: usize,
    at: usize,
}

impl Share {
    /// Its part of a count; the shares of all threads add up to it.
    fn part(self, count: u64) -> u64 {
        let (of, at) = (self.of as u64, self.at as u64);
        count / of + u64::from(at < count % of)
    }
}

fn record(registry: &Registry, shape: &Shape, share: Share) {
    for family in &shape.families {
        match family.labels.len() {
            0 => fill::<0>(registry, family, share),
            1 => fill::<1>(registry, family, share),
            2 => fill::<2>(registry, family, share),
            3 => fill::<3>(registry, family, share),
            4 => fill::<4>(registry, family, share),
            more => panic!("a family with {more} labels"),
        }
    }
}

/// A scraper that encodes a registry again and again into one buffer.
#[derive(Debug)]
pub struct Scraper {
    registry: Registry,
    encoder: Encoder,
    asked: Negotiated,
    body: BytesMut,
}

impl Scraper {
    /// A scraper that has not rendered anything yet.
    pub fn new(registry: Registry) -> Self {
        Self::in_format(registry, Format::Text)
    }

    /// The same in another format.
    pub fn in_format(registry: Registry, format: Format) -> Self {
        let asked = Negotiated::new(format, Escaping::Underscores);
        Self { registry, encoder: Encoder::new(), asked, body: BytesMut::new() }
    }

    /// Bytes that the buffer of the body takes.
    pub fn buffer(&self) -> usize {
        self.body.capacity()
    }
}

impl Scrape for Scraper {
    fn scrape(&mut self) {
        self.body.clear();
        let all = NameFilter::default();
        self.encoder.encode_as(&self.registry, self.asked, &all, &mut self.body);
    }

    fn body(&self) -> &[u8] {
        &self.body
    }
}

fn fill<const N: usize>(registry: &Registry, family: &Family, share: Share) {
    let names: [&str; N] = family.labels.try_into().expect("as many names as the caller counted");
    let opts = Opts::new(&family.name, &family.help).series_max(family.series.len());
    let values = family
        .series
        .iter()
        .map(|values| -> [&str; N] { std::array::from_fn(|label| &*values[label]) });
    match &family.kind {
        Kind::Counter => {
            let counters = made(registry.counter_family(opts, names));
            values
                .enumerate()
                .for_each(|(at, of)| counters.with(of).add(share.part(family.count(at))));
        }
        Kind::Gauge => {
            let gauges = made(registry.gauge_family(opts, names));
            values.enumerate().for_each(|(at, of)| gauges.with(of).set(family.count(at) as f64));
        }
        Kind::Histogram { bounds, .. } => {
            let histograms = made(registry.histogram_family(opts, names, &buckets(bounds)));
            for (at, of) in values.enumerate() {
                let histogram = histograms.with(of);
                let share = family.observations(at).skip(share.at).step_by(share.of);
                share.for_each(|value| histogram.observe(value));
            }
        }
    }
}

fn made<T>(registered: Result<T, RegisterError>) -> T {
    registered.unwrap_or_else(|error| panic!("the benches' metrics are valid: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::Target;
    use crate::shape;
    use dynamo_metrics_parser as strict;

    #[test]
    fn the_realistic_frontend_has_the_size_of_the_goals() {
        let mut scraper = Scraper::new(registry(&shape::realistic()));
        scraper.scrape();
        strict::parse(scraper.body()).unwrap();
        let target = Target::new(NAME, Box::new(scraper));
        assert_eq!(target.lines(), 1508);
        assert!((187_000..191_000).contains(&target.bytes()), "{} bytes", target.bytes());
    }

    #[test]
    fn threads_record_together_what_one_would_alone() {
        let page = |registry| {
            let mut scraper = Scraper::new(registry);
            scraper.scrape();
            strict::parse(scraper.body()).unwrap()
        };
        let shape = shape::realistic();
        let (alone, together) = (page(registry(&shape)), page(registry_of_threads(&shape, 3)));
        assert_eq!(alone.samples().count(), together.samples().count());
        for sample in alone.samples() {
            let labels: Vec<_> = sample.labels.iter().map(|(l, v)| (&**l, &**v)).collect();
            let other = together.value(&sample.name, &labels).unwrap();
            // Sums are added in another order.
            assert!(
                (other - sample.value).abs() <= 1e-12 * sample.value.abs(),
                "{sample:?} {other}"
            );
        }
    }
}
