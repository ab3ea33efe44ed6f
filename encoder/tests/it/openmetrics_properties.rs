//! Arbitrary registries, names of any characters included, in every format of text: what the encoder writes passes the
//! strict parser, under every scheme of escaping.

use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Escaping, Exemplar, Opts, Registry};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_parser::{self as strict, parse_as};
use proptest::prelude::*;
use std::borrow::Cow;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    FloatCounter,
    Gauge,
    Histogram,
    Info,
    StateSet,
}

#[derive(Clone, Debug)]
struct Metric {
    kind: Kind,
    name: String,
    help: String,
    label: String,
    rows: Vec<(String, f64)>,
}

/// Characters that some format treats specially, and any others.
fn any_text(least: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_:]{1,5}",
        proptest::string::string_regex(&format!("[a-z._\\\\\"\n\r\t ,={{}}#🦀é]{{{least},6}}"))
            .unwrap(),
        proptest::collection::vec(any::<char>(), least..4)
            .prop_map(|chars| chars.into_iter().collect()),
    ]
}

fn any_metric() -> impl Strategy<Value = Metric> {
    let kind = prop::sample::select(vec![
        Kind::Counter,
        Kind::FloatCounter,
        Kind::Gauge,
        Kind::Histogram,
        Kind::Info,
        Kind::StateSet,
    ]);
    let suffix = prop::sample::select(vec![
        "", "", "_total", "_seconds", "_info", "_sum", ".bucket", ".total",
    ]);
    let rows = proptest::collection::vec((any_text(0), any::<f64>()), 0..4);
    (kind, any_text(0), suffix, any_text(0), any_text(1), rows).prop_map(
        |(kind, name, suffix, help, label, rows)| Metric {
            kind,
            name: name + suffix,
            help,
            label,
            rows,
        },
    )
}

/// Registers a metric if the registry takes its names.
fn register(registry: &Registry, metric: &Metric) -> Option<()> {
    let opts = Opts::new(&metric.name, &metric.help).utf8_names();
    let labels = [&metric.label[..]];
    let trace = Exemplar::new("4bf92f3577b34da6").unwrap();
    match metric.kind {
        Kind::Counter => {
            let family = registry.counter_family(opts.exemplars(), labels).ok()?;
            for (row, value) in &metric.rows {
                family.with([row]).add(value.to_bits() >> 20);
                family.with([row]).add_with_exemplar(1, &trace);
            }
        }
        Kind::FloatCounter => {
            let family = registry.float_counter_family(opts, labels).ok()?;
            metric.rows.iter().for_each(|(row, value)| family.with([row]).add(value.abs()));
        }
        Kind::Gauge => {
            let family = registry.gauge_family(opts, labels).ok()?;
            metric.rows.iter().for_each(|(row, value)| family.with([row]).set(*value));
        }
        Kind::Histogram => {
            // The texts of rows decide whether there are negative bounds.
            let low = if metric.rows.len().is_multiple_of(2) { 1e-7 } else { -1.5 };
            let buckets = Buckets::new([low, 0.25, 1.0, 100_000.0, 1e6]).ok()?;
            let family = registry.histogram_family(opts.exemplars(), labels, &buckets).ok()?;
            for (row, value) in &metric.rows {
                family.with([row]).observe(value.abs());
                family.with([row]).observe_with_exemplar(value.abs(), &trace);
            }
        }
        Kind::Info => {
            let value = metric.rows.first().map_or("", |(row, _)| &row[..]);
            registry.info(opts, &[(&metric.label, value)]).ok()?;
        }
        Kind::StateSet => {
            let states = ["on", "o\"f\\f\n"];
            let family = registry.state_set_family(opts, labels, &states).ok()?;
            metric.rows.iter().for_each(|(row, _)| drop(family.with([row]).only("on")));
        }
    }
    Some(())
}

/// Labels whose escaped name begins with `__` are reserved: Python refuses them, Prometheus takes them, and which
/// scheme is used is up to the scraper. The name of a state set is a label of its samples.
fn is_reserved(escaping: Escaping, metric: &Metric) -> bool {
    let is_reserved = |escaped: Cow<'_, str>| escaped.starts_with("__");
    let state = matches!(metric.kind, Kind::StateSet);
    is_reserved(escaping.label_name(&metric.label))
        || state && is_reserved(escaping.metric_name(&metric.name))
}

/// OpenMetrics takes the suffix off, and nothing would be left.
#[test]
fn a_name_that_is_nothing_but_its_suffix_is_refused() {
    let registry = Registry::new();
    for name in ["_total", ".total"] {
        let error = registry.counter(Opts::new(name, "").utf8_names()).unwrap_err();
        assert!(error.to_string().contains("put a name before"), "{error}");
    }
    assert!(registry.info(("_info", ""), &[("a", "b")]).is_err());
    registry.gauge(("_total", "")).unwrap();
    registry.counter(("a_total", "")).unwrap();
}

/// The name of a state set is a label, which another label may become by escaping.
#[test]
fn a_state_set_whose_label_meets_its_name_is_refused() {
    let registry = Registry::new();
    let family = |name: &str, label| {
        registry.state_set_family(Opts::new(name, "").utf8_names(), [label], &["on"]).map(drop)
    };
    assert!(family("a_b", "a.b").unwrap_err().to_string().contains("a_b"));
    family("a_b", "a.c").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_the_encoder_writes_passes(metrics in proptest::collection::vec(any_metric(), 0..6)) {
        for escaping in Escaping::ALL {
            let registry = Registry::with_clock(|| Duration::from_millis(1_700_000_000_125));
            let usable = metrics.iter().filter(|metric| !is_reserved(escaping, metric));
            // Two names may clash, and some are reserved: then the metric is not there.
            let registered = usable.filter(|metric| register(&registry, metric).is_some());
            let printed = registered.filter(|m| matches!(m.kind, Kind::Info) || !m.rows.is_empty()).count();
            let quoted = escaping == Escaping::AllowUtf8;
            let formats = [
                (Format::Text, if quoted { strict::Format::TextUtf8 } else { strict::Format::Text }),
                (
                    Format::OpenMetrics,
                    if quoted { strict::Format::OpenMetricsUtf8 } else { strict::Format::OpenMetrics },
                ),
            ];
            let mut values = Vec::new();
            for (format, read_as) in formats {
                let mut body = BytesMut::new();
                let asked = Negotiated::new(format, escaping);
                Encoder::with_created_samples().encode_as(&registry, asked, &NameFilter::default(), &mut body);
                let exposition = parse_as(read_as, &body).map_err(|problems| {
                    let body = String::from_utf8_lossy(&body);
                    TestCaseError::fail(format!("{format:?} {escaping:?}: {:?}\n{body}", problems[0]))
                })?;
                let families = exposition.families.iter().filter(|f| !f.name.starts_with("dynamo_"));
                prop_assert_eq!(families.count(), printed, "{}", String::from_utf8_lossy(&body));
                let samples = exposition.samples().filter(|sample| !sample.name.ends_with("_created"));
                let mut read: Vec<u64> = samples.map(|sample| sample.value.to_bits()).collect();
                read.sort_unstable();
                values.push(read);
            }
            // A histogram with negative bounds has a sum and a count in text only.
            prop_assert!(values[0].len() >= values[1].len());
        }
    }
}
