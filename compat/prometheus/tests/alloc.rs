//! Allocations of a scrape: for each family, and none for a series.

use dynamo_metrics_test_support::{Counting, allocations};
use prometheus::core::Collector;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns a registry with this many series in each family, and a counter of each.
fn registry(series: usize, custom: bool) -> (Registry, Vec<IntCounter>) {
    let labels = [("zone".to_owned(), "a".to_owned())].into();
    let registry = match custom {
        true => Registry::new_custom(Some("app".to_owned()), Some(labels)).unwrap(),
        false => Registry::new(),
    };
    let opts = || Opts::new("requests_total", "Requests.");
    let twin = |value: &str| {
        let opts = Opts::new("twins_total", "Twins.").const_label("twin", value);
        IntCounterVec::new(opts, &["n"]).unwrap()
    };
    let counters = [IntCounterVec::new(opts(), &["n"]).unwrap(), twin("1"), twin("2")];
    let gauges = IntGaugeVec::new(Opts::new("level", "Level."), &["n"]).unwrap();
    let histograms = HistogramVec::new(HistogramOpts::new("seconds", "Seconds."), &["n"]).unwrap();
    let mut counted = Vec::new();
    for n in 0..series {
        let value = n.to_string();
        counted.extend(counters.iter().map(|vec| vec.with_label_values(&[&value])));
        gauges.with_label_values(&[&value]).set(n as i64);
        histograms.with_label_values(&[&value]).observe(n as f64);
    }
    let collectors: [Box<dyn Collector>; 2] = [Box::new(gauges), Box::new(histograms)];
    collectors.into_iter().for_each(|collector| registry.register(collector).unwrap());
    counters.into_iter().for_each(|vec| registry.register(Box::new(vec)).unwrap());
    (registry, counted)
}

/// Returns the allocations of a scrape after the first, with values that changed.
fn scrape((registry, counted): &(Registry, Vec<IntCounter>)) -> u64 {
    let mut body = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut body).unwrap();
    counted.iter().for_each(|counter| counter.inc_by(7));
    body.clear();
    let allocated =
        allocations(|| TextEncoder::new().encode(&registry.gather(), &mut body).unwrap());
    assert!(!body.is_empty());
    allocated
}

#[test]
fn a_scrape_allocates_for_families_and_not_for_series() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1, "they are counted");
    for custom in [false, true] {
        let (few, many) = (scrape(&registry(10, custom)), scrape(&registry(2_000, custom)));
        // Five more for buffers that grow with the text.
        assert!(few > 0 && many <= few + 5, "{few}, then {many}");
    }
}
