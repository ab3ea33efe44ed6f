//! OpenMetrics 1.0 and UTF-8 names: golden bodies.

use bytes::BytesMut;
use dynamo_metrics_core::{
    Buckets, Escaping, Exemplar, NativeBuckets, Opts, Registry, SummaryOpts,
};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use std::time::Duration;

fn encode_as(registry: &Registry, format: Format, escaping: Escaping) -> String {
    let mut body = BytesMut::new();
    let asked = Negotiated::new(format, escaping);
    Encoder::new().encode_as(registry, asked, &NameFilter::default(), &mut body);
    String::from_utf8(body.to_vec()).unwrap()
}

/// Without the registry's own telemetry.
fn families(body: &str) -> String {
    body.lines()
        .filter(|line| !line.contains("dynamo_metrics_"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn a_body_of_every_kind() {
    let registry = Registry::new();
    let tokens = Opts::new("tokens_total", "Line\nbreak, \\ and \"quotes\".");
    registry.counter_family(tokens, ["model"]).unwrap().with(["a\"b"]).add(u64::MAX);
    registry.counter(("errors", "No suffix.")).unwrap().add(3);
    let busy = Opts::new("busy_seconds_total", "").unit("seconds");
    registry.float_counter(busy).unwrap().add(0.5);
    registry.gauge(("load", "A gauge.")).unwrap().set(f64::NEG_INFINITY);
    registry.up_down_counter(("inflight", "")).unwrap().sub(3);
    let waits = Opts::new("wait_seconds", "Waiting.").unit("seconds");
    let buckets = Buckets::new([0.00001, 0.5, 1.0, 100_000.0, 1e6]).unwrap();
    let waits = registry.histogram_family(waits, ["model"], &buckets).unwrap();
    waits.with(["m"]).observe_n(0.25, 4);
    waits.with([""]).observe(2e6);
    assert_eq!(
        families(&encode_as(&registry, Format::OpenMetrics, Escaping::Underscores)),
        r##"# TYPE busy_seconds counter
# UNIT busy_seconds seconds
busy_seconds_total 0.5
# TYPE errors counter
# HELP errors No suffix.
errors_total 3
# TYPE inflight gauge
inflight -3
# TYPE load gauge
# HELP load A gauge.
load -Inf
# TYPE tokens counter
# HELP tokens Line\nbreak, \\ and \"quotes\".
tokens_total{model="a\"b"} 18446744073709551615
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
# HELP wait_seconds Waiting.
wait_seconds_bucket{model="m",le="1e-05"} 0
wait_seconds_bucket{model="m",le="0.5"} 4
wait_seconds_bucket{model="m",le="1.0"} 4
wait_seconds_bucket{model="m",le="100000.0"} 4
wait_seconds_bucket{model="m",le="1e+06"} 4
wait_seconds_bucket{model="m",le="+Inf"} 4
wait_seconds_sum{model="m"} 1
wait_seconds_count{model="m"} 4
wait_seconds_bucket{le="1e-05"} 0
wait_seconds_bucket{le="0.5"} 0
wait_seconds_bucket{le="1.0"} 0
wait_seconds_bucket{le="100000.0"} 0
wait_seconds_bucket{le="1e+06"} 0
wait_seconds_bucket{le="+Inf"} 1
wait_seconds_sum 2000000
wait_seconds_count 1
# EOF
"##
    );
}

#[test]
fn a_histogram_with_a_negative_bound_has_no_sum_and_no_count() {
    let registry = Registry::new();
    let buckets = Buckets::new([-1.0, 1.0]).unwrap();
    registry.histogram(("delta", ""), &buckets).unwrap().observe(-0.5);
    let body = families(&encode_as(&registry, Format::OpenMetrics, Escaping::Underscores));
    let lines: Vec<&str> = body.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "delta_bucket{le=\"-1.0\"} 0",
            "delta_bucket{le=\"1.0\"} 1",
            "delta_bucket{le=\"+Inf\"} 1",
            "# EOF"
        ]
    );
    assert!(encode_as(&registry, Format::Text, Escaping::Underscores).contains("delta_count 1\n"));
}

fn with_everything() -> Registry {
    let registry = Registry::with_clock(|| Duration::from_millis(1_700_000_000_500));
    let info = [("version", "0.9.0"), ("abi", "3")];
    registry.info(("build_info", "What runs."), &info).unwrap();
    let health =
        registry.state_set_family(("health", "State."), ["engine"], &["starting", "ready"]);
    let health = health.unwrap();
    health.with(["a"]).only("ready").unwrap();
    health.with([""]);
    let tokens = Opts::new("tokens_total", "").exemplars();
    let tokens = registry.counter_family(tokens, ["model"]).unwrap();
    let trace = Exemplar::new("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
    let trace =
        trace.span_id("00f067aa0ba902b7").unwrap().at(Duration::from_millis(1_700_000_001_020));
    tokens.with(["m"]).add_with_exemplar(3, &trace);
    tokens.with([""]).inc();
    let waits = Opts::new("wait_seconds", "").exemplars();
    let waits = registry.histogram(waits, &Buckets::new([0.5, 1.0]).unwrap()).unwrap();
    waits.observe_with_exemplar(0.25, &Exemplar::new("x").unwrap());
    waits.observe_with_exemplar(7.0, &Exemplar::new("y").unwrap());
    registry.gauge(("load", "")).unwrap().set(0.5);
    registry
}

#[test]
fn info_state_sets_exemplars_and_start_times() {
    let registry = with_everything();
    let mut body = BytesMut::new();
    let asked = Negotiated::new(Format::OpenMetrics, Escaping::Underscores);
    Encoder::with_created_samples().encode_as(&registry, asked, &NameFilter::default(), &mut body);
    assert_eq!(
        families(std::str::from_utf8(&body).unwrap()),
        r##"# TYPE build info
# HELP build What runs.
build_info{version="0.9.0",abi="3"} 1
# TYPE health stateset
# HELP health State.
health{engine="a",health="starting"} 0
health{engine="a",health="ready"} 1
health{health="starting"} 0
health{health="ready"} 0
# TYPE load gauge
load 0.5
# TYPE tokens counter
tokens_total{model="m"} 3 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736",span_id="00f067aa0ba902b7"} 3 1700000001.02
tokens_created{model="m"} 1700000000.5
tokens_total 1
tokens_created 1700000000.5
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.5"} 1 # {trace_id="x"} 0.25 1700000000.5
wait_seconds_bucket{le="1.0"} 1
wait_seconds_bucket{le="+Inf"} 2 # {trace_id="y"} 7 1700000000.5
wait_seconds_sum 7.25
wait_seconds_count 2
wait_seconds_created 1700000000.5
# EOF
"##
    );
}

#[test]
fn text_0_0_4_has_gauges_for_them_and_no_extras() {
    assert_eq!(
        families(&encode_as(&with_everything(), Format::Text, Escaping::Underscores)),
        r#"# HELP build_info What runs.
# TYPE build_info gauge
build_info{version="0.9.0",abi="3"} 1
# HELP health State.
# TYPE health gauge
health{engine="a",health="starting"} 0
health{engine="a",health="ready"} 1
health{health="starting"} 0
health{health="ready"} 0
# TYPE load gauge
load 0.5
# TYPE tokens_total counter
tokens_total{model="m"} 3
tokens_total 1
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.5"} 1
wait_seconds_bucket{le="1"} 1
wait_seconds_bucket{le="+Inf"} 2
wait_seconds_sum 7.25
wait_seconds_count 2
"#
    );
}

#[test]
fn a_unit_is_left_out_where_escaping_makes_it_no_suffix() {
    let registry = Registry::new();
    let opts = Opts::new("http.rate_bytes_per_second", "").unit("bytes_per_second").utf8_names();
    registry.gauge(opts).unwrap();
    let has_unit = |escaping| encode_as(&registry, Format::OpenMetrics, escaping).contains("UNIT");
    assert!(has_unit(Escaping::Underscores) && has_unit(Escaping::AllowUtf8));
    assert!(!has_unit(Escaping::Dots) && !has_unit(Escaping::Values));
}

#[test]
fn a_gauge_shows_the_unit_that_ends_its_name() {
    let registry = Registry::new();
    registry.gauge(Opts::new("a_total", "").unit("total")).unwrap();
    registry.counter(Opts::new("b_seconds_total", "").unit("seconds")).unwrap();
    let text = encode_as(&registry, Format::OpenMetrics, Escaping::Underscores);
    let units: Vec<&str> = text.lines().filter(|line| line.starts_with("# UNIT")).collect();
    assert_eq!(units, ["# UNIT a_total total", "# UNIT b_seconds seconds"]);
}

#[test]
fn an_empty_registry_is_its_last_line() {
    let registry = Registry::new().scope(&[("a", "b")]).unwrap();
    assert_eq!(encode_as(&registry, Format::OpenMetrics, Escaping::Dots), "# EOF\n");
}

#[test]
fn utf8_names_in_every_scheme() {
    let registry = Registry::new();
    let requests = Opts::new("http.requests_total", "Requests.").utf8_names();
    let family = registry.counter_family(requests, ["url.path", "ok"]).unwrap();
    family.with(["/a", "y"]).inc();
    family.with(["", ""]).add(2);
    let waits = Opts::new("waits\"", "").utf8_names();
    registry.histogram(waits, &Buckets::new([1.0]).unwrap()).unwrap().observe(0.5);
    let text = |escaping| families(&encode_as(&registry, Format::Text, escaping));
    assert_eq!(
        text(Escaping::AllowUtf8),
        r#"# HELP "http.requests_total" Requests.
# TYPE "http.requests_total" counter
{"http.requests_total","url.path"="/a",ok="y"} 1
{"http.requests_total"} 2
# TYPE "waits\"" histogram
{"waits\"_bucket",le="1"} 1
{"waits\"_bucket",le="+Inf"} 1
{"waits\"_sum"} 0.5
{"waits\"_count"} 1
"#
    );
    assert_eq!(
        text(Escaping::Underscores),
        r#"# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{url_path="/a",ok="y"} 1
http_requests_total 2
# TYPE waits_ histogram
waits__bucket{le="1"} 1
waits__bucket{le="+Inf"} 1
waits__sum 0.5
waits__count 1
"#
    );
    let values = text(Escaping::Values);
    assert!(values.contains("U__http_2e_requests__total{U__url_2e_path=\"/a\",ok=\"y\"} 1\n"));
    assert!(
        text(Escaping::Dots).contains("http_dot_requests__total{url_dot_path=\"/a\",ok=\"y\"} 1")
    );
    let openmetrics = encode_as(&registry, Format::OpenMetrics, Escaping::AllowUtf8);
    assert!(openmetrics.contains("# TYPE \"http.requests\" counter\n"));
    assert!(openmetrics.contains("{\"http.requests_total\",\"url.path\"=\"/a\",ok=\"y\"} 1\n"));
}

#[test]
fn a_filter_admits_families_by_any_name_that_a_scraper_saw() {
    let registry = Registry::new();
    registry.counter(Opts::new("a.b_total", "").utf8_names()).unwrap().inc();
    registry.histogram(("c", ""), &Buckets::new([1.0]).unwrap()).unwrap();
    let ask_in = |query: &str, format, escaping| {
        let filter = NameFilter::from_query(query).unwrap();
        let mut body = BytesMut::new();
        let asked = Negotiated::new(format, escaping);
        Encoder::new().encode_as(&registry, asked, &filter, &mut body);
        body
    };
    let ask = |query: &str, format| ask_in(query, format, Escaping::Underscores);
    let of_text = |query: &str| String::from_utf8(ask(query, Format::Text).to_vec()).unwrap();
    let counter = "# TYPE a_b_total counter\na_b_total 1\n";
    assert_eq!(of_text("name[]=a.b_total"), counter);
    assert_eq!(of_text("name[]=a_b_total"), counter);
    assert!(of_text("name[]=c_bucket").starts_with("# TYPE c histogram\n"));
    assert_eq!(of_text("name[]=nothing"), "");
    assert_eq!(&ask("name[]=nothing", Format::OpenMetrics)[..], b"# EOF\n");
    assert!(ask("name[]=nothing", Format::Protobuf).is_empty());
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        let in_values = |query: &str| ask_in(query, format, Escaping::Values);
        let seen = in_values("name[]=U__a_2e_b__total");
        assert!(seen.len() > 30 && seen == in_values("name[]=a.b_total"), "{seen:?}");
        assert!(in_values("name[]=a_b_total").len() < 10, "no scraper was shown this name");
    }
}

#[test]
fn summaries_and_native_histograms_as_text() {
    let registry = Registry::with_clock(|| Duration::from_millis(1_700_000_000_500));
    let opts = SummaryOpts::new().quantiles([0.5, 1.0]);
    let summary = registry.summary_family(("s_seconds", "S."), ["l"], &opts).unwrap();
    summary.with([""]).observe(2.0);
    let buckets = NativeBuckets::new().schema(0).classic([1.0, 4.0]);
    registry.native_histogram(("n", ""), &buckets).unwrap().observe(3.0);
    let text = families(&encode_as(&registry, Format::Text, Escaping::Underscores));
    let expected = r#"# TYPE n histogram
n_bucket{le="1"} 0
n_bucket{le="4"} 1
n_bucket{le="+Inf"} 1
n_sum 3
n_count 1
# HELP s_seconds S.
# TYPE s_seconds summary
s_seconds{quantile="0.5"} 2.0078125
s_seconds{quantile="1"} 2.0078125
s_seconds_sum 2
s_seconds_count 1
"#;
    assert_eq!(text, expected, "quantiles to two digits");
    let text = families(&encode_as(&registry, Format::OpenMetrics, Escaping::Underscores));
    assert!(text.contains("s_seconds{quantile=\"1.0\"} "), "{text}");
    assert!(text.contains("n_bucket{le=\"4.0\"} 1\n"), "{text}");
}

#[cfg(feature = "openmetrics2")]
#[test]
fn openmetrics_2_has_a_line_for_each_series() {
    let registry = with_everything();
    let buckets = NativeBuckets::new().schema(0).signed();
    let native = registry.native_histogram(("n", ""), &buckets).unwrap();
    [1.0, 8.0, 8.0, 128.0, -4.0].iter().for_each(|&v| native.observe(v));
    let text = families(&encode_as(&registry, Format::OpenMetrics2, Escaping::Underscores));
    let threshold = 2f64.powi(-32);
    let native = format!(
        "n {{count:5,sum:141,schema:0,zero_threshold:{threshold:?},zero_count:0,\
         negative_spans:[2:1],negative_buckets:[1],\
         positive_spans:[0:4,3:1],positive_buckets:[1,0,0,2,1]}} st@1700000000.5"
    );
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736\",span_id=\"00f067aa0ba902b7";
    for expected in [
        "# TYPE build_info info",
        "# TYPE tokens_total counter",
        &format!(
            "tokens_total{{model=\"m\"}} 3 st@1700000000.5 # {{trace_id=\"{trace}\"}} 3 1700000001.02"
        ),
        "wait_seconds {count:2,sum:7.25,bucket:[0.5:1,1.0:1,+Inf:2]} st@1700000000.5 # {trace_id=\"x\"} 0.25 1700000000.5 # {trace_id=\"y\"} 7 1700000000.5",
        "health{health=\"ready\"} 0",
        &native,
        "# EOF",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
    }
}
