//! Registries to scrape, as data: every crate builds the same families, series and values from it.
//!
//! * [`realistic`]: what a frontend of Dynamo serves after traffic on four models: the 18 families of the
//!   document (bounds and label names as in 0.9.0), and three that came later. 21 families, 1,508 sample lines,
//!   about 189 KB.
//! * [`histograms`]: one family of histograms with 12 bounds and 3 labels, 15 lines a series.
//! * [`counters`]: one family of counters with 3 labels, about 102 bytes a line.

use crate::values::{count, log_normal};
use dynamo_metrics_core::Buckets;

/// Models that are served.
pub const MODELS: [&str; 4] = [
    "deepseek-ai/deepseek-r1-0528",
    "meta-llama/llama-3.3-70b-fp8",
    "qwen/qwen3-235b-a22b-fp8",
    "mistralai/mixtral-8x22b-v0.1",
];
/// Values of Dynamo's label `endpoint`.
pub const ENDPOINTS: [&str; 5] =
    ["chat_completions", "completions", "embeddings", "responses", "tensor"];
const REQUEST_TYPES: [&str; 2] = ["stream", "unary"];
const STATUSES: [&str; 2] = ["error", "success"];
const MIGRATION_TYPES: [&str; 2] = ["new_request", "ongoing_request"];
const OUTCOMES: [&str; 3] = ["cancelled", "failure", "success"];
const WORKERS: [&str; 9] = [
    "7587888743120341267",
    "7587888743120341281",
    "7587888743120341302",
    "7587888743120341336",
    "7587888743120341357",
    "7587888743120341378",
    "7587888743120341399",
    "7587888743120341415",
    "7587888743120341432",
];
const WORKER_TYPES: [&str; 2] = ["decode", "prefill"];

/// Observations that each histogram of [`realistic`] and [`histograms`] holds.
const OBSERVATIONS: usize = 300;

/// One registry.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The families, in the order in which they are registered.
    pub families: Vec<Family>,
}

/// One family.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name, with `_total` if it is a counter.
    pub name: String,
    /// Its help text.
    pub help: String,
    /// Its type.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Label values of each series.
    pub series: Vec<Box<[String]>>,
}

/// The type of a family.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Its values are [`Family::count`].
    Counter,
    /// Its values are [`Family::count`], too.
    Gauge,
    /// Its values are [`Family::observations`].
    Histogram {
        /// Upper bounds without `+Inf`.
        bounds: Vec<f64>,
        /// True if only whole numbers are observed, as of tokens.
        whole: bool,
    },
}

impl Shape {
    /// Returns the number of series that all families have together.
    pub fn series(&self) -> usize {
        self.families.iter().map(|family| family.series.len()).sum()
    }

    /// Returns the number of lines of a scrape that are not comments.
    pub fn lines(&self) -> usize {
        self.families.iter().map(|family| family.series.len() * family.kind.lines()).sum()
    }
}

impl Kind {
    /// Lines of one series.
    fn lines(&self) -> usize {
        match self {
            Self::Counter | Self::Gauge => 1,
            Self::Histogram { bounds, .. } => bounds.len() + 3,
        }
    }
}

impl Family {
    /// The value of one series of a counter or gauge.
    pub fn count(&self, series: usize) -> u64 {
        match self.kind {
            Kind::Gauge => count(series as u64) % 100_000,
            _ => count(series as u64),
        }
    }

    /// The observations of one series of a histogram.
    pub fn observations(&self, series: usize) -> impl Iterator<Item = f64> + use<> {
        let (median, whole) = match &self.kind {
            Kind::Histogram { bounds, whole } => (bounds[bounds.len() / 2], *whole),
            _ => (1.0, true),
        };
        let values = log_normal(median, 1.5, series as u64).take(OBSERVATIONS);
        values.map(move |value| if whole { value.round() } else { value })
    }
}

/// A frontend of Dynamo after traffic on four models.
pub fn realistic() -> Shape {
    let model = |values: &[&[&str]]| product(&[&[&MODELS[..]], values].concat());
    let per_model = product(&[&MODELS]);
    let mut families = vec![
        frontend("disconnected_clients", "disconnected clients", Kind::Gauge, &[], product(&[])),
        frontend(
            "requests_total",
            "LLM requests processed",
            Kind::Counter,
            &["model", "endpoint", "request_type", "status"],
            model(&[&ENDPOINTS, &REQUEST_TYPES, &STATUSES]),
        ),
        frontend(
            "model_migration_total",
            "request migrations due to worker unavailability",
            Kind::Counter,
            &["model", "migration_type"],
            model(&[&MIGRATION_TYPES]),
        ),
        frontend(
            "model_migration_duration_seconds",
            "time that a migration took",
            seconds(&[
                0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 40.0, 60.0,
            ]),
            &["model", "migration_type", "outcome"],
            model(&[&MIGRATION_TYPES, &OUTCOMES]),
        ),
        frontend(
            "worker_request_duration_seconds",
            "time from dispatch to the worker to the end of its response",
            dynamo(1.0, 256.0, 10, false),
            &["worker_id", "endpoint"],
            product(&[&WORKERS, &ENDPOINTS]),
        ),
        frontend(
            "worker_active_decode_blocks",
            "KV blocks that a worker uses for decoding",
            Kind::Gauge,
            &["worker_id", "worker_type"],
            product(&[&WORKERS, &WORKER_TYPES]),
        ),
        frontend(
            "output_tokens_total",
            "output tokens generated",
            Kind::Counter,
            &["model"],
            per_model.clone(),
        ),
    ];
    let histograms = [
        ("cached_tokens", "cached tokens (prefix hits) per request", (50.0, 128e3, 12), true),
        ("input_sequence_tokens", "input sequence length in tokens", (50.0, 128e3, 12), true),
        ("inter_token_latency_seconds", "inter-token latency in seconds", (0.001, 2.0, 13), false),
        ("output_sequence_tokens", "output sequence length in tokens", (50.0, 32e3, 10), true),
        ("request_duration_seconds", "duration of LLM requests", (1.0, 256.0, 10), false),
        (
            "time_to_first_token_seconds",
            "time to first token in seconds",
            (0.001, 480.0, 18),
            false,
        ),
    ];
    for (name, help, (min, max, count), whole) in histograms {
        let kind = dynamo(min, max, count, whole);
        families.push(frontend(name, help, kind, &["model"], per_model.clone()));
    }
    let gauges = [
        ("inflight_requests", "inflight requests"),
        ("queued_requests", "requests in HTTP processing queue"),
        ("model_context_length", "maximum context length of the model"),
        ("model_kv_cache_block_size", "KV cache block size of the model"),
        ("model_max_num_batched_tokens", "maximum number of batched tokens of the model"),
        ("model_max_num_seqs", "maximum number of sequences of the model"),
        ("model_migration_limit", "request migration limit of the model"),
        ("model_total_kv_blocks", "KV blocks available for the model"),
    ];
    for (name, help) in gauges {
        families.push(frontend(name, help, Kind::Gauge, &["model"], per_model.clone()));
    }
    families.sort_by(|a, b| a.name.cmp(&b.name));
    Shape { families }
}

/// So many histograms with 12 bounds and 3 labels.
pub fn histograms(count: usize) -> Shape {
    let Kind::Histogram { bounds, whole } = dynamo(0.001, 80.0, 12, false) else { unreachable!() };
    let kind = Kind::Histogram { bounds, whole };
    let (name, help) = ("dynamo_bench_request_duration_seconds", "duration of requests");
    Shape { families: vec![labelled(name, help, kind, count)] }
}

/// So many counters with 3 labels.
pub fn counters(count: usize) -> Shape {
    Shape {
        families: vec![labelled("dynamo_bench_requests_total", "requests", Kind::Counter, count)],
    }
}

fn labelled(name: &str, help: &str, kind: Kind, count: usize) -> Family {
    let series = (0..count).map(|at| {
        // Of few models and many instances, as in life; only all three together are unique.
        let (model, endpoint, instance) = (at % 10, at / 10 % 10, at / 100);
        [format!("model-{model:02}"), format!("endpoint-{endpoint:02}"), format!("{instance:08}")]
            .into()
    });
    Family {
        name: name.into(),
        help: help.into(),
        kind,
        labels: &["model", "endpoint", "instance"],
        series: series.collect(),
    }
}

fn frontend(
    name: &str,
    help: &str,
    kind: Kind,
    labels: &'static [&'static str],
    series: Vec<Box<[String]>>,
) -> Family {
    Family { name: format!("dynamo_frontend_{name}"), help: help.into(), kind, labels, series }
}

fn dynamo(min: f64, max: f64, count: usize, whole: bool) -> Kind {
    let buckets = Buckets::dynamo(min, max, count).expect("lists of Dynamo's are valid");
    Kind::Histogram { bounds: buckets.bounds().to_vec(), whole }
}

fn seconds(bounds: &[f64]) -> Kind {
    Kind::Histogram { bounds: bounds.to_vec(), whole: false }
}

/// Every combination of one value of each list.
fn product(lists: &[&[&str]]) -> Vec<Box<[String]>> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for list in lists {
        all = all
            .iter()
            .flat_map(|start| {
                list.iter().map(move |value| [start.clone(), vec![(*value).into()]].concat())
            })
            .collect();
    }
    all.into_iter().map(Vec::into_boxed_slice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_realistic_frontend_is_the_one_of_the_goals() {
        let shape = realistic();
        assert_eq!(shape.families.len(), 21);
        assert_eq!(shape.lines(), 1508);
        for family in &shape.families {
            assert!(family.series.iter().all(|values| values.len() == family.labels.len()));
        }
    }

    #[test]
    fn series_of_a_family_are_distinct() {
        let shape = counters(2000);
        let mut series = shape.families[0].series.clone();
        series.sort();
        series.dedup();
        assert_eq!(series.len(), 2000);
        assert_eq!(histograms(1000).lines(), 15_000);
    }
}
