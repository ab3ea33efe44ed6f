//! The measured crates: one a file, each with the same functions.
//!
//! ```text
//! counter  updown  histogram  family  token      the cases of a group, [] if the crate has no such thing
//! scraper(shape)                                 a registry of that shape, and what encodes it
//! ```
//!
//! Each crate is used as its documentation advises for speed: handles are resolved once where it has handles,
//! labels known in advance are given in advance, buffers are reused where it takes one.

pub(crate) mod contatori;
pub(crate) mod dynamo_metrics;
pub(crate) mod fast_counter;
pub(crate) mod fast_telemetry;
pub(crate) mod fastmetrics;
pub(crate) mod hdrhistogram;
pub(crate) mod measured;
pub(crate) mod metrics;
pub(crate) mod metriken;
pub(crate) mod opentelemetry;
pub(crate) mod prometheus;
pub(crate) mod prometheus_client;

use crate::scrape::Scrape;
use crate::shape::Shape;
use std::hash::{Hash, Hasher};

/// Makes a registry of a shape, and what encodes it.
pub(crate) type Scraper = fn(&Shape) -> Box<dyn Scrape>;

/// The crates that can be scraped: ours, the fastest peers, the crate that Dynamo uses, the others.
pub(crate) const SCRAPERS: [(&str, Scraper); 8] = [
    (crate::ours::NAME, dynamo_metrics::scraper),
    ("fast-telemetry", fast_telemetry::scraper),
    ("measured", measured::scraper),
    ("prometheus", prometheus::scraper),
    ("fastmetrics", fastmetrics::scraper),
    ("prometheus-client", prometheus_client::scraper),
    ("metrics-exporter-prometheus", metrics::scraper),
    ("opentelemetry-prometheus", opentelemetry::scraper),
];

/// Shards of a registry of a machine with more cores, or of a program with more threads.
pub(crate) const MANY_SHARDS: usize = 16;

/// Those who have shards, with [`MANY_SHARDS`] of them.
pub(crate) const SHARDED: [(&str, Scraper); 2] = [
    (crate::ours::NAME, dynamo_metrics::scraper_of_shards),
    ("fast-telemetry", fast_telemetry::scraper_of_shards),
];

/// Those who write OpenMetrics text.
pub(crate) const OPENMETRICS: [(&str, Scraper); 3] = [
    (crate::ours::NAME, dynamo_metrics::openmetrics),
    ("fastmetrics", fastmetrics::openmetrics),
    ("prometheus-client", prometheus_client::scraper),
];

/// Those who write Prometheus' protobuf.
pub(crate) const PROTOBUF: [(&str, Scraper); 3] = [
    (crate::ours::NAME, dynamo_metrics::protobuf),
    ("prometheus", prometheus::protobuf),
    ("prometheus-client", prometheus_client::protobuf),
];

/// Shards of the crates that want to know: no two of the eight threads that are measured at most share one.
const SHARDS: usize = 8;

/// Calls `$fill::<N>` with the number of a family's labels, for crates whose label sets are types.
macro_rules! by_label_count {
    ($family:expr, $fill:ident($($argument:expr),*)) => {
        match $family.labels.len() {
            0 => $fill::<0>($($argument),*),
            1 => $fill::<1>($($argument),*),
            2 => $fill::<2>($($argument),*),
            3 => $fill::<3>($($argument),*),
            4 => $fill::<4>($($argument),*),
            more => panic!("a family with {more} labels"),
        }
    };
}
use by_label_count;

/// A label set as a program would derive it for a struct of strings, its names known to the type.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Labels<const N: usize> {
    names: &'static [&'static str],
    values: [String; N],
}

impl<const N: usize> Labels<N> {
    fn new(names: &'static [&'static str], values: &[String]) -> Self {
        Self { names, values: std::array::from_fn(|at| values[at].clone()) }
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.names.iter().copied().zip(self.values.iter().map(String::as_str))
    }
}

impl<const N: usize> Hash for Labels<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.iter().for_each(|value| value.hash(state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::Target;
    use crate::shape;

    #[test]
    fn everybody_prints_every_sample() {
        let shapes = [shape::realistic(), shape::histograms(20), shape::counters(200)];
        for shape in &shapes {
            let bytes = Target::new("", SCRAPERS[0].1(shape)).bytes();
            for (what, scraper) in SCRAPERS {
                let target = Target::new(what, scraper(shape));
                assert_eq!(target.lines(), shape.lines(), "{what}");
                let ratio = target.bytes() as f64 / bytes as f64;
                assert!((0.97..1.03).contains(&ratio), "{what}: {} of {bytes}", target.bytes());
            }
        }
    }
}
