//! `measured`: interned label values, dense families for labels known in advance; nothing sharded by thread.
//!
//! 0.0.25 is the newest that builds here. 0.1.0: `error: rustc 1.95.0 is not supported by the following packages:
//! measured@0.1.0 requires rustc 1.98`, and with `--ignore-rust-version` `error[E0658]: use of unstable library
//! feature int_format_into`.

use super::by_label_count;
use crate::measure::Case;
use crate::scrape::Scrape;
use crate::shape::{self, ENDPOINTS, Kind, MODELS, Shape};
use crate::values::{Data, token_bounds};
use measured::label::{
    LabelGroup, LabelGroupSet, LabelGroupVisitor, LabelName, LabelSet, StaticLabelSet,
};
use measured::lasso::{Rodeo, RodeoReader, ThreadedRodeo};
use measured::metric::MetricFamilyEncoding;
use measured::metric::group::Encoding;
use measured::metric::histogram::Thresholds;
use measured::metric::name::MetricName;
use measured::text::TextEncoder;
use measured::{
    Counter, CounterVec, FixedCardinalityLabel, Gauge, GaugeVec, Histogram, HistogramVec,
};
use std::sync::Arc;

pub(crate) fn counter() -> Vec<Case> {
    let shared = Arc::new(Counter::new());
    let inc = Case::op("measured Counter", move || {
        let counter = Arc::clone(&shared);
        move || counter.inc()
    });
    vec![inc]
}

pub(crate) fn updown() -> Vec<Case> {
    let shared = Arc::new(Gauge::new());
    let moved = Case::op("measured Gauge", move || {
        let gauge = Arc::clone(&shared);
        move || {
            gauge.get_metric().inc();
            gauge.get_metric().dec();
        }
    });
    vec![moved.ops(2)]
}

pub(crate) fn histogram(data: &Data, bounds: &[f64]) -> Vec<Case> {
    vec![match bounds.len() {
        11 => observe::<11>(data, bounds),
        20 => observe::<20>(data, bounds),
        64 => observe::<64>(data, bounds),
        other => panic!("no histogram with {other} bounds"),
    }]
}

pub(crate) fn family(data: &Data) -> Vec<Case> {
    let fixed = Arc::new(CounterVec::with_label_set(EnumPairSet {
        model: StaticLabelSet::new(),
        endpoint: StaticLabelSet::new(),
    }));
    let known = Arc::new(CounterVec::with_label_set(KnownPairSet {
        model: MODELS.into_iter().collect::<Rodeo>().into_reader(),
        endpoint: ENDPOINTS.into_iter().collect::<Rodeo>().into_reader(),
    }));
    let open = Arc::new(CounterVec::with_label_set(OpenPairSet {
        model: ThreadedRodeo::new(),
        endpoint: ThreadedRodeo::new(),
    }));
    let enums = Arc::new(data.pairs.map(|(model, endpoint)| {
        let place = |list: &[&str], value| list.iter().position(|&other| other == value);
        EnumPair {
            model: Model::decode(place(&MODELS, model).unwrap_or(0)),
            endpoint: Endpoint::decode(place(&ENDPOINTS, endpoint).unwrap_or(0)),
        }
    }));
    vec![
        Case::over("measured CounterVec, enums", &enums, move || {
            let family = Arc::clone(&fixed);
            move |pair| family.inc(pair)
        }),
        Case::over("measured CounterVec, RodeoReader", &data.pairs, move || {
            let family = Arc::clone(&known);
            move |(model, endpoint)| family.inc(KnownPair { model, endpoint })
        }),
        Case::over("measured CounterVec, ThreadedRodeo", &data.pairs, move || {
            let family = Arc::clone(&open);
            move |(model, endpoint)| family.inc(OpenPair { model, endpoint })
        }),
    ]
}

pub(crate) fn token(data: &Data) -> Vec<Case> {
    let tokens = Arc::new(Counter::new());
    let latency = Arc::new(Histogram::with_metadata(thresholds::<13>(&token_bounds())));
    let token = Case::over("measured, handles", &data.tokens, move || {
        let (tokens, latency) = (Arc::clone(&tokens), Arc::clone(&latency));
        move |value| {
            tokens.inc();
            latency.observe(value);
        }
    });
    vec![token]
}

pub(crate) fn scraper(shape: &Shape) -> Box<dyn Scrape> {
    let families = shape.families.iter().map(|family| by_label_count!(family, made(family)));
    Box::new(Scraper { families: families.collect(), encoder: TextEncoder::new(Vec::new()) })
}

struct Scraper {
    families: Vec<Family>,
    encoder: TextEncoder<Vec<u8>>,
}

struct Family {
    name: String,
    help: String,
    metric: Box<dyn Collect>,
}

/// [`MetricFamilyEncoding`] as an object.
trait Collect {
    fn collect(&self, name: &MetricName, encoder: &mut TextEncoder<Vec<u8>>);
}

impl<M: MetricFamilyEncoding<TextEncoder<Vec<u8>>>> Collect for M {
    fn collect(&self, name: &MetricName, encoder: &mut TextEncoder<Vec<u8>>) {
        self.collect_family_into(name, encoder).expect("a vector takes everything");
    }
}

impl Scrape for Scraper {
    fn scrape(&mut self) {
        self.encoder.writer.clear();
        for family in &self.families {
            let name = MetricName::try_from_str(&family.name).expect("the names are valid");
            self.encoder.write_help(name, &family.help).expect("a vector takes everything");
            family.metric.collect(name, &mut self.encoder);
        }
        self.encoder.flush().expect("a vector takes everything");
    }

    fn body(&self) -> &[u8] {
        &self.encoder.writer
    }
}

fn observe<const N: usize>(data: &Data, bounds: &[f64]) -> Case {
    let shared = Arc::new(Histogram::with_metadata(thresholds::<N>(bounds)));
    Case::over("measured Histogram", &data.latencies, move || {
        let histogram = Arc::clone(&shared);
        move |value| histogram.observe(value)
    })
}

fn thresholds<const N: usize>(bounds: &[f64]) -> Thresholds<N> {
    Thresholds::with_buckets(bounds.try_into().expect("as many bounds as the type says"))
}

fn made<const N: usize>(family: &shape::Family) -> Family {
    let set = LabelsSet::<N>::of(family);
    let metric: Box<dyn Collect> = match &family.kind {
        Kind::Counter => {
            let counters = CounterVec::with_label_set(set);
            for (at, values) in family.series.iter().enumerate() {
                counters.inc_by(counters.get_label_set().group(values), family.count(at));
            }
            Box::new(counters)
        }
        Kind::Gauge => {
            let gauges = GaugeVec::with_label_set(set);
            for (at, values) in family.series.iter().enumerate() {
                gauges.set(gauges.get_label_set().group(values), family.count(at) as i64);
            }
            Box::new(gauges)
        }
        Kind::Histogram { bounds, .. } => match bounds.len() {
            10 => histograms::<N, 10>(set, family, bounds),
            12 => histograms::<N, 12>(set, family, bounds),
            13 => histograms::<N, 13>(set, family, bounds),
            14 => histograms::<N, 14>(set, family, bounds),
            18 => histograms::<N, 18>(set, family, bounds),
            other => panic!("no histogram with {other} bounds"),
        },
    };
    Family { name: family.name.clone(), help: family.help.clone(), metric }
}

fn histograms<const N: usize, const BOUNDS: usize>(
    set: LabelsSet<N>,
    family: &shape::Family,
    bounds: &[f64],
) -> Box<dyn Collect> {
    let histograms = HistogramVec::with_label_set_and_metadata(set, thresholds::<BOUNDS>(bounds));
    for (at, values) in family.series.iter().enumerate() {
        let id = histograms.with_labels(histograms.get_label_set().group(values));
        family.observations(at).for_each(|value| histograms.get_metric(id).observe(value));
    }
    Box::new(histograms)
}

#[derive(Clone, Copy, FixedCardinalityLabel)]
enum Model {
    Deepseek,
    Llama,
    Qwen,
    Mixtral,
}

#[derive(Clone, Copy, FixedCardinalityLabel)]
enum Endpoint {
    ChatCompletions,
    Completions,
    Embeddings,
    Responses,
    Tensor,
}

#[derive(Clone, Copy, measured::LabelGroup)]
#[label(set = EnumPairSet)]
struct EnumPair {
    model: Model,
    endpoint: Endpoint,
}

#[derive(measured::LabelGroup)]
#[label(set = KnownPairSet)]
struct KnownPair<'a> {
    #[label(fixed_with = RodeoReader)]
    model: &'a str,
    #[label(fixed_with = RodeoReader)]
    endpoint: &'a str,
}

#[derive(measured::LabelGroup)]
#[label(set = OpenPairSet)]
struct OpenPair<'a> {
    #[label(dynamic_with = ThreadedRodeo)]
    model: &'a str,
    #[label(dynamic_with = ThreadedRodeo)]
    endpoint: &'a str,
}

/// The code that `LabelGroup` derives for `N` labels whose values are all known in advance.
struct LabelsSet<const N: usize> {
    names: [&'static LabelName; N],
    values: [RodeoReader; N],
}

struct LabelsGroup<'a, const N: usize> {
    names: &'a [&'static LabelName; N],
    values: [&'a str; N],
}

impl<const N: usize> LabelsSet<N> {
    fn of(family: &shape::Family) -> Self {
        let values = std::array::from_fn(|label| {
            let values = family.series.iter().map(|values| &*values[label]);
            values.collect::<Rodeo>().into_reader()
        });
        Self {
            names: std::array::from_fn(|label| LabelName::from_str(family.labels[label])),
            values,
        }
    }

    fn group<'a>(&'a self, values: &'a [String]) -> LabelsGroup<'a, N> {
        LabelsGroup { names: &self.names, values: std::array::from_fn(|label| &*values[label]) }
    }
}

impl<const N: usize> LabelGroup for LabelsGroup<'_, N> {
    fn visit_values(&self, visitor: &mut impl LabelGroupVisitor) {
        for (name, value) in self.names.iter().zip(&self.values) {
            let _ = visitor.write_value(name, value);
        }
    }
}

impl<const N: usize> LabelGroupSet for LabelsSet<N> {
    type Group<'a> = LabelsGroup<'a, N>;
    type Unique = [u32; N];

    fn cardinality(&self) -> Option<usize> {
        self.values.iter().try_fold(1usize, |all, values| all.checked_mul(values.len()))
    }

    fn encode_dense(&self, unique: Self::Unique) -> Option<usize> {
        let digits = unique.iter().zip(&self.values);
        Some(digits.fold(0, |index, (&digit, values)| index * values.len() + digit as usize))
    }

    fn decode_dense(&self, mut index: usize) -> Self::Group<'_> {
        let mut values = [""; N];
        for (value, reader) in values.iter_mut().zip(&self.values).rev() {
            *value = LabelSet::decode(reader, index % reader.len());
            index /= reader.len();
        }
        LabelsGroup { names: &self.names, values }
    }

    fn encode(&self, group: Self::Group<'_>) -> Option<Self::Unique> {
        let mut unique = [0; N];
        for (at, id) in unique.iter_mut().enumerate() {
            *id = LabelSet::encode(&self.values[at], group.values[at])? as u32;
        }
        Some(unique)
    }

    fn decode(&self, unique: &Self::Unique) -> Self::Group<'_> {
        let values =
            std::array::from_fn(|at| LabelSet::decode(&self.values[at], unique[at] as usize));
        LabelsGroup { names: &self.names, values }
    }
}
