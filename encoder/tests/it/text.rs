//! The text encoder: golden bodies, and arbitrary registries through the strict parser.

use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Opts, Registry};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_parser as strict;
use proptest::prelude::*;

fn encode(registry: &Registry) -> String {
    let mut body = BytesMut::new();
    Encoder::new().encode(registry, &mut body);
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn a_body_of_every_kind() {
    let registry = Registry::new();
    let requests = registry
        .counter_family(
            Opts::new("b_total", "Line\nbreak, \\ and \"quotes\"."),
            ["model", "status"],
        )
        .unwrap();
    requests.with(["a\\b\"c\nd", "ok"]).add(u64::MAX);
    requests.with(["", "ok"]).inc();
    requests.with(["", ""]).add(2);
    registry.gauge(("a_ratio", "A gauge.")).unwrap().set(-0.5);
    registry.up_down_counter(("c", "")).unwrap().sub(3);
    registry.float_counter(("d_seconds_total", "")).unwrap().add(1e300);
    for (name, value) in
        [("e_nan", f64::NAN), ("e_inf", f64::INFINITY), ("e_neg", f64::NEG_INFINITY)]
    {
        registry.gauge((name, "")).unwrap().set(value);
    }
    registry.counter_family(("z_total", "Prints nothing."), ["x"]).unwrap();
    let scope = registry.scope(&[("component", "w")]).unwrap();
    let buckets = Buckets::new([0.0, 0.00001, 0.5, 1.0, 1e6]).unwrap();
    let waits = scope.histogram_family(("f_seconds", ""), ["model"], &buckets).unwrap();
    waits.with(["m"]).observe_n(0.25, 4);
    waits.with([""]).observe(2e6);
    assert_eq!(
        encode(&registry),
        r#"# HELP a_ratio A gauge.
# TYPE a_ratio gauge
a_ratio -0.5
# HELP b_total Line\nbreak, \\ and "quotes".
# TYPE b_total counter
b_total{model="a\\b\"c\nd",status="ok"} 18446744073709551615
b_total{status="ok"} 1
b_total 2
# TYPE c gauge
c -3
# TYPE d_seconds_total counter
d_seconds_total 1e+300
# TYPE e_inf gauge
e_inf +Inf
# TYPE e_nan gauge
e_nan NaN
# TYPE e_neg gauge
e_neg -Inf
# TYPE f_seconds histogram
f_seconds_bucket{component="w",model="m",le="0"} 0
f_seconds_bucket{component="w",model="m",le="1e-05"} 0
f_seconds_bucket{component="w",model="m",le="0.5"} 4
f_seconds_bucket{component="w",model="m",le="1"} 4
f_seconds_bucket{component="w",model="m",le="1e+06"} 4
f_seconds_bucket{component="w",model="m",le="+Inf"} 4
f_seconds_sum{component="w",model="m"} 1
f_seconds_count{component="w",model="m"} 4
f_seconds_bucket{component="w",le="0"} 0
f_seconds_bucket{component="w",le="1e-05"} 0
f_seconds_bucket{component="w",le="0.5"} 0
f_seconds_bucket{component="w",le="1"} 0
f_seconds_bucket{component="w",le="1e+06"} 0
f_seconds_bucket{component="w",le="+Inf"} 1
f_seconds_sum{component="w"} 2000000
f_seconds_count{component="w"} 1
"#
    );
}

#[test]
fn two_scopes_print_one_family() {
    let registry = Registry::new();
    for component in ["a", "b"] {
        let scope = registry.scope(&[("component", component)]).unwrap();
        scope.counter((String::from("x_total"), format!("Help of {component}."))).unwrap().inc();
    }
    let expected = "# HELP x_total Help of a.\n# TYPE x_total counter\n\
        x_total{component=\"a\"} 1\nx_total{component=\"b\"} 1\n";
    assert_eq!(encode(&registry), expected);
    let scope = registry.scope(&[("component", "b")]).unwrap();
    assert_eq!(
        encode(&scope),
        "# HELP x_total Help of b.\n# TYPE x_total counter\nx_total{component=\"b\"} 1\n"
    );
}

#[test]
fn series_and_families_come_and_go_between_scrapes() {
    let registry = Registry::new();
    let family = registry.counter_family(("x_total", ""), ["m"]).unwrap();
    let mut encoder = Encoder::new();
    let mut scrape = || {
        let mut body = BytesMut::new();
        encoder.encode(&registry, &mut body);
        strict::parse(&body).unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    family.with(["a"]).inc();
    family.with(["b"]).add(2);
    assert_eq!(scrape(), "# TYPE x_total counter\nx_total{m=\"a\"} 1\nx_total{m=\"b\"} 2\n");
    family.remove(["a"]);
    family.with(["c"]).add(3);
    assert_eq!(scrape(), "# TYPE x_total counter\nx_total{m=\"b\"} 2\nx_total{m=\"c\"} 3\n");
    registry.gauge(("a", "")).unwrap();
    registry.unregister("x_total");
    assert_eq!(scrape(), "# TYPE a gauge\na 0\n");
    let family = registry.counter_family(("x_total", ""), ["m"]).unwrap();
    family.with(["d"]).inc();
    assert_eq!(scrape(), "# TYPE a gauge\na 0\n# TYPE x_total counter\nx_total{m=\"d\"} 1\n");
    family.clear();
    assert_eq!(scrape(), "# TYPE a gauge\na 0\n");
}

/// One metric of an arbitrary registry, with what it should print.
#[derive(Clone, Debug)]
enum Metric {
    Counter(Vec<([String; 2], u64)>),
    Gauge(Vec<([String; 2], f64)>),
    Histogram(Vec<f64>, Vec<([String; 2], Vec<f64>)>),
}

#[test]
fn a_late_description_is_printed_from_the_next_scrape_on() {
    let registry = Registry::new();
    for labels in [&["a"][..], &["b"]] {
        let family = registry.dynamic_counter_family(("x_total", ""), labels).unwrap();
        family.find(&["1"]).unwrap().into_handle().inc();
    }
    let (mut encoder, mut body) = (Encoder::new(), BytesMut::new());
    let series = "# TYPE x_total counter\nx_total{a=\"1\"} 1\nx_total{b=\"1\"} 1\n";
    encoder.encode(&registry, &mut body);
    assert_eq!(body, series.as_bytes());
    assert!(registry.describe("x_total", "Late."));
    body.clear();
    encoder.encode(&registry, &mut body);
    assert_eq!(body, format!("# HELP x_total Late.\n{series}").as_bytes());
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::string::string_regex("[a-z\\\\\"\n\r\t\0 ,={}🦀é]{0,12}").unwrap(),
        proptest::collection::vec(any::<char>(), 0..8)
            .prop_map(|chars| chars.into_iter().collect()),
    ]
}

fn any_metric() -> impl Strategy<Value = Metric> {
    let labels = || (any_text(), any_text()).prop_map(|(a, b)| [a, b]);
    let rows = 0..4usize;
    prop_oneof![
        proptest::collection::vec((labels(), any::<u64>()), rows.clone()).prop_map(Metric::Counter),
        proptest::collection::vec((labels(), any::<f64>()), rows.clone()).prop_map(Metric::Gauge),
        (
            proptest::collection::vec(-1e9..1e9f64, 1..6),
            proptest::collection::vec(
                (labels(), proptest::collection::vec(-1e10..1e10f64, 0..6)),
                rows
            )
        )
            .prop_map(|(mut bounds, rows)| {
                // A negative bound, so that negative values count.
                bounds.push(-2e9);
                bounds.sort_by(f64::total_cmp);
                bounds.dedup();
                Metric::Histogram(bounds, rows)
            }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_registries_parse_strictly_and_give_their_values_back(
        metrics in proptest::collection::vec((any_text(), any_metric()), 0..6)
    ) {
        let registry = Registry::new();
        for (i, (help, metric)) in metrics.iter().enumerate() {
            match metric {
                Metric::Counter(rows) => {
                    let name = format!("m{i}_total");
                    let family = registry.counter_family((name, help.as_str()), ["a", "b"]).unwrap();
                    for ([a, b], value) in rows {
                        family.remove([a, b]);
                        family.with([a, b]).add(*value);
                    }
                }
                Metric::Gauge(rows) => {
                    let name = format!("m{i}");
                    let family = registry.gauge_family((name, help.as_str()), ["a", "b"]).unwrap();
                    rows.iter().for_each(|([a, b], value)| family.with([a, b]).set(*value));
                }
                Metric::Histogram(bounds, rows) => {
                    let buckets = Buckets::new(bounds.iter().copied()).unwrap();
                    let name = format!("m{i}");
                    let family = registry.histogram_family((name, help.as_str()), ["a", "b"], &buckets).unwrap();
                    for ([a, b], values) in rows {
                        family.remove([a, b]);
                        values.iter().for_each(|&value| family.with([a, b]).observe(value));
                        family.with([a, b]);
                    }
                }
            }
        }
        let text = encode(&registry);
        let exposition = strict::parse(text.as_bytes())
            .map_err(|problems| TestCaseError::fail(format!("{}\n{text}", problems[0])))?;
        for (i, (help, metric)) in metrics.iter().enumerate() {
            let last = |name: &str, labels: &[String; 2]| {
                let labels: Vec<(&str, &str)> = [("a", labels[0].as_str()), ("b", labels[1].as_str())]
                    .into_iter().filter(|(_, value)| !value.is_empty()).collect();
                exposition.value(name, &labels)
            };
            let check_help = |name: &str| {
                exposition.family(name).map(|family| family.help.clone().unwrap_or_default()) == Some(help.replace('\r', " ").trim().to_string())
            };
            match metric {
                Metric::Counter(rows) => for (at, (labels, value)) in rows.iter().enumerate() {
                    if rows[at + 1..].iter().all(|(other, _)| other != labels) {
                        let name = format!("m{i}_total");
                        prop_assert_eq!(last(&name, labels), Some(*value as f64));
                        prop_assert!(check_help(&name));
                    }
                },
                Metric::Gauge(rows) => for (at, (labels, value)) in rows.iter().enumerate() {
                    if rows[at + 1..].iter().all(|(other, _)| other != labels) {
                        let got = last(&format!("m{i}"), labels).unwrap();
                        prop_assert!(got == *value || (got.is_nan() && value.is_nan()));
                        let name = format!("m{i}");
                        prop_assert!(check_help(&name));
                    }
                },
                Metric::Histogram(_, rows) => for (at, (labels, values)) in rows.iter().enumerate() {
                    if rows[at + 1..].iter().all(|(other, _)| other != labels) {
                        prop_assert_eq!(last(&format!("m{i}_count"), labels), Some(values.len() as f64));
                    }
                },
            }
        }
    }
}
