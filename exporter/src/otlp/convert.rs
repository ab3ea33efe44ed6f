//! A page in protobuf -> one request of OTLP.
//!
//! ```text
//! counter                     Sum, cumulative and monotonic
//! gauge, untyped              Gauge
//! histogram, classic          Histogram                  counts of each bucket instead of cumulative ones
//! histogram, native           ExponentialHistogram       the same scale; bucket i of the page is bucket i - 1
//! summary                     Summary
//! ```

use super::messages::{self as page, Kind, MetricFamily};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    Summary, SummaryDataPoint, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::time::Duration;

/// Most buckets of one sign in a request. Buckets are dense there, and the one for values above the range lies far from the
/// others; beyond this the resolution is halved until they fit.
const BUCKETS_MAX: usize = 1 << 14;
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// Makes requests that carry the attributes of one resource.
#[derive(Debug)]
pub(super) struct Converter {
    resource: Resource,
}

impl Converter {
    pub(super) fn new(attributes: &[(String, String)]) -> Self {
        let attributes = attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        Self { resource: Resource { attributes, ..Default::default() } }
    }

    /// Returns the request of a page that was made at this time since the Unix epoch; `None` for bytes that are no page.
    pub(super) fn convert(&self, mut page: &[u8], now: Duration) -> Option<Vec<u8>> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut metrics = Vec::new();
        while !page.is_empty() {
            let family = MetricFamily::decode_length_delimited(&mut page).ok()?;
            convert_family(&family, now, &mut metrics);
        }
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..Default::default()
        };
        let scope = ScopeMetrics { scope: Some(scope), metrics, ..Default::default() };
        let resource = ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics: vec![scope],
            ..Default::default()
        };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] };
        Some(request.encode_to_vec())
    }
}

/// Appends the metrics of a family: one, or two where some of its histograms have native buckets and others have not.
fn convert_family(family: &MetricFamily, now: u64, metrics: &mut Vec<Metric>) {
    let series = &family.metric;
    let mut push = |data: metric::Data| {
        metrics.push(Metric {
            name: family.name.clone(),
            description: family.help.clone(),
            data: Some(data),
            ..Default::default()
        });
    };
    match Kind::try_from(family.kind).unwrap_or(Kind::Untyped) {
        Kind::Counter => push(metric::Data::Sum(Sum {
            data_points: series.iter().filter_map(|series| counter(series, now)).collect(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        })),
        Kind::Gauge | Kind::Untyped => push(metric::Data::Gauge(Gauge {
            data_points: series.iter().filter_map(|series| gauge(series, now)).collect(),
        })),
        Kind::Summary => push(metric::Data::Summary(Summary {
            data_points: series.iter().filter_map(|series| summary(series, now)).collect(),
        })),
        Kind::Histogram => {
            let all = || series.iter().filter_map(|s| Some((s, s.histogram.as_ref()?)));
            let native: Vec<_> = all()
                .filter(|(_, histogram)| is_native(histogram))
                .map(|(series, histogram)| exponential(series, histogram, now))
                .collect();
            let classic: Vec<_> = all()
                .filter(|(_, histogram)| !is_native(histogram))
                .map(|(series, histogram)| explicit(series, histogram, now))
                .collect();
            if !native.is_empty() {
                push(metric::Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: native,
                    aggregation_temporality: CUMULATIVE,
                }));
            }
            if !classic.is_empty() {
                push(metric::Data::Histogram(Histogram {
                    data_points: classic,
                    aggregation_temporality: CUMULATIVE,
                }));
            }
        }
    }
}

fn counter(series: &page::Metric, now: u64) -> Option<NumberDataPoint> {
    let counter = series.counter.as_ref()?;
    Some(NumberDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: start(counter.created.as_ref()),
        time_unix_nano: time(series, now),
        value: Some(number_data_point::Value::AsDouble(counter.value)),
        exemplars: counter.exemplar.iter().map(exemplar_of).collect(),
        ..Default::default()
    })
}

fn gauge(series: &page::Metric, now: u64) -> Option<NumberDataPoint> {
    let number = series.gauge.as_ref().or(series.untyped.as_ref())?;
    Some(NumberDataPoint {
        attributes: attributes(series),
        time_unix_nano: time(series, now),
        value: Some(number_data_point::Value::AsDouble(number.value)),
        ..Default::default()
    })
}

fn summary(series: &page::Metric, now: u64) -> Option<SummaryDataPoint> {
    let summary = series.summary.as_ref()?;
    let quantiles = summary.quantile.iter();
    let quantiles = quantiles.map(|q| ValueAtQuantile { quantile: q.quantile, value: q.value });
    Some(SummaryDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: start(summary.created.as_ref()),
        time_unix_nano: time(series, now),
        count: summary.count,
        sum: summary.sum,
        quantile_values: quantiles.collect(),
        ..Default::default()
    })
}

fn explicit(series: &page::Metric, histogram: &page::Histogram, now: u64) -> HistogramDataPoint {
    let bounded = || histogram.bucket.iter().filter(|bucket| bucket.upper_bound.is_finite());
    let cumulative = bounded().map(|bucket| bucket.cumulative_count).chain([histogram.count]);
    let bucket_counts = cumulative.scan(0, |before, count| {
        let own = count.saturating_sub(*before);
        *before = count;
        Some(own)
    });
    let exemplars = histogram.bucket.iter().filter_map(|bucket| bucket.exemplar.as_ref());
    HistogramDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: start(histogram.created.as_ref()),
        time_unix_nano: time(series, now),
        count: histogram.count,
        sum: Some(histogram.sum),
        bucket_counts: bucket_counts.collect(),
        explicit_bounds: bounded().map(|bucket| bucket.upper_bound).collect(),
        exemplars: exemplars.map(exemplar_of).collect(),
        ..Default::default()
    }
}

fn exponential(
    series: &page::Metric,
    histogram: &page::Histogram,
    now: u64,
) -> ExponentialHistogramDataPoint {
    let mut positive = populated(&histogram.positive_span, &histogram.positive_delta);
    let mut negative = populated(&histogram.negative_span, &histogram.negative_delta);
    let mut scale = histogram.schema;
    while [&positive, &negative].into_iter().any(|side| width(side) > BUCKETS_MAX) {
        scale -= 1;
        [&mut positive, &mut negative].into_iter().for_each(halve);
    }
    let exemplars = histogram.exemplars.iter();
    ExponentialHistogramDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: start(histogram.created.as_ref()),
        time_unix_nano: time(series, now),
        count: histogram.count,
        sum: Some(histogram.sum),
        scale,
        zero_count: histogram.zero_count,
        zero_threshold: histogram.zero_threshold,
        positive: Some(dense(&positive)),
        negative: Some(dense(&negative)),
        exemplars: exemplars.map(exemplar_of).collect(),
        ..Default::default()
    }
}

/// Returns whether a histogram has native buckets: scrapers tell it by a span.
fn is_native(histogram: &page::Histogram) -> bool {
    !histogram.positive_span.is_empty() || !histogram.negative_span.is_empty()
}

/// Returns index and count of every bucket that is not empty, ascending, with indices of OTLP: its bucket `i` ends where
/// bucket `i + 1` of the page does.
fn populated(spans: &[page::Span], deltas: &[i64]) -> Vec<(i64, u64)> {
    let (mut buckets, mut deltas) = (Vec::new(), deltas.iter());
    let (mut next, mut count) = (-1i64, 0i64);
    for span in spans {
        next += i64::from(span.offset);
        for delta in deltas.by_ref().take(span.length as usize) {
            count = count.wrapping_add(*delta);
            if count != 0 {
                buckets.push((next, count.cast_unsigned()));
            }
            next += 1;
        }
    }
    buckets
}

fn width(side: &[(i64, u64)]) -> usize {
    match (side.first(), side.last()) {
        (Some((first, _)), Some((last, _))) => {
            usize::try_from(last - first + 1).unwrap_or(usize::MAX)
        }
        _ => 0,
    }
}

/// Halves the resolution: two neighbours become one bucket.
fn halve(side: &mut Vec<(i64, u64)>) {
    let mut halved: Vec<(i64, u64)> = Vec::with_capacity(side.len());
    for &(index, count) in &*side {
        match halved.last_mut() {
            Some((last, sum)) if *last == index >> 1 => *sum = sum.saturating_add(count),
            _ => halved.push((index >> 1, count)),
        }
    }
    *side = halved;
}

fn dense(side: &[(i64, u64)]) -> Buckets {
    let Some(&(first, _)) = side.first() else { return Buckets::default() };
    let mut bucket_counts = vec![0; width(side)];
    for &(index, count) in side {
        bucket_counts[(index - first) as usize] = count;
    }
    Buckets { offset: first as i32, bucket_counts }
}

fn exemplar_of(exemplar: &page::Exemplar) -> Exemplar {
    let label = |name: &str| exemplar.label.iter().find(|label| label.name == name);
    let bytes = |name: &str, len: usize| {
        label(name).and_then(|label| hex(&label.value)).filter(|bytes| bytes.len() == len)
    };
    let (trace_id, span_id) = (bytes("trace_id", 16), bytes("span_id", 8));
    // A value that is no id of OpenTelemetry stays a label.
    let rest = exemplar.label.iter().filter(|label| match &*label.name {
        "trace_id" => trace_id.is_none(),
        "span_id" => span_id.is_none(),
        _ => true,
    });
    Exemplar {
        filtered_attributes: rest.map(|label| attribute(&label.name, &label.value)).collect(),
        time_unix_nano: exemplar.timestamp.as_ref().map_or(0, page::Timestamp::unix_nanos),
        value: Some(exemplar::Value::AsDouble(exemplar.value)),
        trace_id: trace_id.unwrap_or_default(),
        span_id: span_id.unwrap_or_default(),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

fn attributes(series: &page::Metric) -> Vec<KeyValue> {
    series.label.iter().map(|label| attribute(&label.name, &label.value)).collect()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.into());
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn start(created: Option<&page::Timestamp>) -> u64 {
    created.map_or(0, page::Timestamp::unix_nanos)
}

/// The time of a sample that says it, as an engine's may; else that of the page.
fn time(series: &page::Metric, now: u64) -> u64 {
    match u64::try_from(series.timestamp_ms) {
        Ok(milliseconds @ 1..) => milliseconds.saturating_mul(1_000_000),
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exporter;
    use dynamo_metrics_core::{
        Buckets as Bounds, Escaping, Exemplar as Trace, NativeBuckets, Opts, Registry,
    };
    use dynamo_metrics_encoder::name_filter::NameFilter;
    use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
    use dynamo_metrics_server::ScrapeDeadline;
    use dynamo_metrics_server::bytes::BytesMut;

    /// The metric of this name in the request of a registry's page.
    fn converted(registry: &Registry, name: &str) -> Metric {
        let (asked, mut page) =
            (Negotiated::new(Format::Protobuf, Escaping::AllowUtf8), BytesMut::new());
        let deadline = ScrapeDeadline::after(Duration::from_secs(10));
        let exposition = Exporter::new(registry).exposition();
        exposition.write_as(asked, &NameFilter::default(), deadline, &mut page);
        let converter = Converter::new(&[("service.name".into(), "test".into())]);
        let body = converter.convert(&page, Duration::from_secs(7)).expect("a page");
        let request = ExportMetricsServiceRequest::decode(&body[..]).expect("a request");
        let [resource] = &request.resource_metrics[..] else { panic!("one resource") };
        assert_eq!(resource.resource.as_ref().unwrap().attributes[0].key, "service.name");
        let metrics = &resource.scope_metrics[0].metrics;
        metrics.iter().find(|metric| metric.name == name).expect(name).clone()
    }

    #[test]
    fn counters_are_monotonic_sums_with_exemplars() {
        let registry = Registry::with_clock(|| Duration::from_secs(5));
        let opts = Opts::new("requests_total", "Requests.").exemplars();
        let trace = Trace::new("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        let requests = registry.counter_family(opts, ["model"]).unwrap();
        requests.with(["m"]).add_with_exemplar(3, &trace);
        let Some(metric::Data::Sum(sum)) = converted(&registry, "requests_total").data else {
            panic!("a sum")
        };
        assert!(sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE);
        let [point] = &sum.data_points[..] else { panic!("a point") };
        assert_eq!(point.value, Some(number_data_point::Value::AsDouble(3.0)));
        assert_eq!(
            (point.start_time_unix_nano, point.time_unix_nano),
            (5_000_000_000, 7_000_000_000)
        );
        assert_eq!(point.attributes, [attribute("model", "m")]);
        assert_eq!(point.exemplars[0].trace_id[..2], [0x4b, 0xf9]);
        assert_eq!(point.exemplars[0].filtered_attributes, []);
    }

    #[test]
    fn classic_buckets_count_for_themselves() {
        let registry = Registry::new();
        let bounds = Bounds::new([1.0, 2.0]).unwrap();
        let wait = registry.histogram(("wait_seconds", ""), &bounds).unwrap();
        [0.5, 1.5, 1.5, 9.0].into_iter().for_each(|value| wait.observe(value));
        let Some(metric::Data::Histogram(histogram)) = converted(&registry, "wait_seconds").data
        else {
            panic!("a histogram")
        };
        let point = &histogram.data_points[0];
        assert_eq!(point.bucket_counts, [1, 2, 1]);
        assert_eq!((&point.explicit_bounds[..], point.count), (&[1.0, 2.0][..], 4));
        assert_eq!(point.sum, Some(12.5));
    }

    #[test]
    fn native_buckets_are_one_below_and_far_ones_cost_resolution() {
        let registry = Registry::new();
        let (bounds, native) = (Bounds::new([0.3]).unwrap(), NativeBuckets::new().schema(0));
        let both =
            registry.dual_histogram_family(("both", ""), [], &bounds, &native).unwrap().with([]);
        [0.25, 3.0, 4.0].into_iter().for_each(|value| both.observe(value));
        let fine = NativeBuckets::new().schema(8).range(0.5, 2.0);
        let fine = registry.native_histogram(("fine", ""), &fine).unwrap();
        fine.observe(1.0);
        fine.observe(f64::INFINITY);
        let point = |name| match converted(&registry, name).data {
            Some(metric::Data::ExponentialHistogram(histogram)) => histogram.data_points[0].clone(),
            other => panic!("{other:?}"),
        };
        let both = point("both");
        let buckets = both.positive.unwrap();
        // 0.125 < v <= 0.25 is bucket -2 of the page; 2 < v <= 4 is bucket 2.
        assert_eq!((both.scale, buckets.offset), (0, -3));
        assert_eq!(buckets.bucket_counts, [1, 0, 0, 0, 2]);
        let fine = point("fine");
        let buckets = fine.positive.unwrap();
        assert!(fine.scale < 8 && buckets.bucket_counts.len() <= BUCKETS_MAX);
        assert_eq!((buckets.bucket_counts.iter().sum::<u64>(), fine.count), (2, 2));
    }

    #[test]
    fn bytes_that_are_no_page_are_none() {
        assert_eq!(Converter::new(&[]).convert(&[0xff; 7], Duration::ZERO), None);
    }
}
