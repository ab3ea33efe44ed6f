//! The promises of the recorder: what is recorded, refused, described and removed.

use dynamo_metrics_facade::{
    Buckets, Builder, DynamoRecorder, Matcher, MetricKinds, NativeBuckets, PROBLEMS_MAX, Problem,
};
use metrics::{Key, Label, Level, Metadata, Recorder, with_local_recorder};
use metrics::{Unit, counter, describe_counter, describe_histogram, gauge, histogram};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static METADATA: Metadata<'static> = Metadata::new("behaviour", Level::INFO, None);

fn build(builder: Builder) -> DynamoRecorder {
    builder.build().unwrap()
}

/// The page after `record`, checked by the strict parser.
fn page(recorder: &DynamoRecorder, record: impl FnOnce()) -> String {
    with_local_recorder(recorder, record);
    let page = recorder.handle().render();
    dynamo_metrics_parser::parse(page.as_bytes()).unwrap();
    page
}

fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    dynamo_metrics_parser::parse(page.as_bytes()).unwrap().value(name, labels)
}

#[test]
fn series_of_one_name_may_have_different_labels() {
    let recorder = build(Builder::new());
    let page = page(&recorder, || {
        counter!("x").increment(1);
        counter!("x", "a" => "1").increment(2);
        counter!("x", "b" => "1").increment(3);
        counter!("x", "a" => "1", "b" => "1").increment(4);
        // The order of labels and those without a value have no meaning.
        counter!("x", "b" => "1", "a" => "1", "c" => "").increment(10);
    });
    let expected = "# TYPE x counter\nx 1\nx{a=\"1\"} 2\nx{b=\"1\"} 3\nx{a=\"1\",b=\"1\"} 14\n";
    assert_eq!(page, expected);
    assert!(recorder.handle().problems().is_empty());
}

#[test]
fn keys_that_would_be_one_series_are_refused_whichever_comes_first() {
    let all = ["a.b", "a_b", "a-b"];
    for first in 0..all.len() {
        let recorder = build(Builder::new());
        let order: Vec<&str> = (0..all.len()).map(|at| all[(first + at) % all.len()]).collect();
        let page = page(&recorder, || {
            for (at, name) in order.iter().enumerate() {
                for _ in 0..3 {
                    counter!(*name, "l" => "v").increment(10u64.pow(at as u32));
                }
                // Another label, another series.
                counter!(*name, "l" => at.to_string()).increment(7);
            }
        });
        assert_eq!(value(&page, "a_b", &[("l", "v")]), Some(3.0));
        for at in ["0", "1", "2"] {
            assert_eq!(value(&page, "a_b", &[("l", at)]), Some(7.0));
        }
        let refused =
            value(&page, "dynamo_metrics_facade_refused_total", &[("reason", "same_series")]);
        assert_eq!(refused, Some(2.0), "once a key");
        let problems = recorder.handle().problems();
        assert_eq!(problems.len(), 2);
        let (key, other) = (format!("{}{{l=\"v\"}}", order[1]), format!("{}{{l=\"v\"}}", order[0]));
        assert!(
            matches!(&problems[0], Problem::SameSeries { key: k, other: o, .. } if *k == key && *o == other)
        );
    }
}

#[test]
fn a_name_is_one_kind_and_prints_no_sample_of_another() {
    let recorder = build(Builder::new().buckets(&Buckets::default()));
    let page = page(&recorder, || {
        histogram!("h").record(0.5);
        counter!("h_count").increment(1);
        gauge!("h").set(2.0);
        counter!("c").increment(1);
        gauge!("c").set(9.0);
        gauge!("le", "a.b" => "1", "a_b" => "2").set(1.0);
        histogram!("g", "le" => "1").record(1.0);
    });
    assert_eq!(value(&page, "h_count", &[]), Some(1.0));
    assert_eq!(value(&page, "c", &[]), Some(1.0));
    let texts: Vec<String> = recorder.handle().problems().iter().map(Problem::to_string).collect();
    assert_eq!(texts.len(), 5, "{texts:#?}");
    assert!(texts[1].starts_with("gauge h is not recorded: "), "{}", texts[1]);
}

#[test]
fn problems_are_limited_and_counted_beyond() {
    let recorder = build(Builder::new());
    let keys = 20 * PROBLEMS_MAX;
    let page = page(&recorder, || {
        counter!("x").increment(1);
        (0..keys).for_each(|n| gauge!("x", "n" => n.to_string()).set(1.0));
    });
    assert_eq!(recorder.handle().problems().len(), PROBLEMS_MAX);
    let refused = value(&page, "dynamo_metrics_facade_refused_total", &[("reason", "register")]);
    assert_eq!(refused, Some(keys as f64));
}

#[test]
fn descriptions_reach_metrics_before_and_after_their_first_use() {
    let recorder = build(Builder::new());
    let before = page(&recorder, || {
        describe_counter!("a", "Early.");
        describe_counter!("a", "Not the first.");
        counter!("a").increment(1);
        counter!("b", "l" => "1").increment(1);
    });
    assert_eq!(before, "# HELP a Early.\n# TYPE a counter\na 1\n# TYPE b counter\nb{l=\"1\"} 1\n");
    let after = page(&recorder, || {
        describe_counter!("b", Unit::Bytes, "Late.");
        counter!("b").increment(1);
        gauge!("c").set(1.0);
        describe_counter!("c", "Of another kind.");
    });
    assert!(after.contains("# HELP c Of another kind.\n# TYPE c gauge\nc 1\n"), "{after}");
    assert!(after.starts_with("# HELP a Early.\n# TYPE a counter\na 1\n# HELP b Late.\n# TYPE b counter\nb{l=\"1\"} 1\nb 1\n"), "{after}");
}

#[test]
fn units_and_totals_are_added_to_names_and_a_late_unit_is_reported() {
    let recorder = build(Builder::new().recommended_naming(true));
    let text = page(&recorder, || {
        describe_histogram!("wait", Unit::Seconds, "Wait.");
        describe_counter!("sent_total", Unit::Bytes, "Sent.");
        histogram!("wait", "q" => "1").record(1.0);
        counter!("sent_total").increment(1);
        counter!("lines").increment(1);
        counter!("lines_total").increment(5);
        gauge!("load").set(0.5);
        metrics::describe_gauge!("load", Unit::Percent, "Load.");
        gauge!("load", "cpu" => "1").set(0.5);
    });
    assert!(text.contains("# TYPE wait_seconds summary\n"), "{text}");
    assert_eq!(value(&text, "sent_bytes_total", &[]), Some(1.0));
    assert_eq!(value(&text, "lines_total", &[]), Some(1.0), "the second is a clash");
    assert_eq!(value(&text, "load", &[("cpu", "1")]), Some(0.5));
    assert!(text.contains("# HELP load Load.\n"));
    let problems = recorder.handle().problems();
    assert!(matches!(&problems[0], Problem::SameSeries { .. }), "{problems:?}");
    assert!(matches!(&problems[1], Problem::LateUnit { unit: "ratio", .. }), "{problems:?}");
    assert_eq!(problems.len(), 2);
    // OpenMetrics has the units.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let service = recorder.handle().mount().unwrap();
    let mut headers = dynamo_metrics_exporter::http::HeaderMap::new();
    headers.insert("accept", "application/openmetrics-text;version=1.0.0".parse().unwrap());
    let response = runtime.block_on(service.respond(&headers, &"/metrics".parse().unwrap()));
    let text = std::str::from_utf8(response.body()).unwrap();
    assert!(text.contains("# UNIT sent_bytes bytes\n") && text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn global_labels_are_on_every_metric_and_give_way_to_those_of_keys() {
    let recorder = build(Builder::new().global_label("zone", "us").global_label("a.b", "1"));
    let page = page(&recorder, || {
        counter!("x").increment(1);
        counter!("x", "zone" => "eu", "l" => "1").increment(2);
        counter!("x", "zone" => "").increment(4);
        counter!("x", "zone" => "us").increment(8);
    });
    assert_eq!(value(&page, "x", &[("a_b", "1"), ("zone", "us")]), Some(1.0), "{page}");
    assert_eq!(value(&page, "x", &[("a_b", "1"), ("zone", "eu"), ("l", "1")]), Some(2.0));
    assert_eq!(value(&page, "x", &[("a_b", "1")]), Some(4.0));
    assert_eq!(recorder.handle().problems().len(), 1, "the same series as the first");
    assert!(Builder::new().global_label("__name__", "x").build().is_err());
}

#[test]
fn histograms_take_the_form_of_the_first_matcher() {
    let bounds = |bound| Buckets::new([bound]).unwrap();
    let recorder = build(
        Builder::new()
            .buckets_for(Matcher::Suffix("_s".into()), &bounds(3.0))
            .buckets_for(Matcher::Prefix("wait".into()), &bounds(2.0))
            .buckets_for(Matcher::Full("wait.all_s".into()), &bounds(1.0))
            .native_histograms_for(Matcher::Full("native".into()), &NativeBuckets::new()),
    );
    let page = page(&recorder, || {
        for name in ["wait.all_s", "wait_some_s", "other_s", "native", "summary"] {
            histogram!(name).record(0.5);
        }
    });
    for (name, bound) in [("wait_all_s", "1"), ("wait_some_s", "2"), ("other_s", "3")] {
        assert!(page.contains(&format!("{name}_bucket{{le=\"{bound}\"}} 1\n")), "{page}");
    }
    assert!(
        page.contains("# TYPE native histogram\n") && page.contains("# TYPE summary summary\n")
    );
    assert!(page.contains("summary{quantile=\"0.999\"} 0.5"), "{page}");
    let invalid = NativeBuckets::new().schema(99);
    let error = Builder::new().native_histograms(&invalid).build().unwrap_err().to_string();
    assert!(error.contains("schema"), "{error}");
}

#[test]
fn absolute_values_never_fall_and_are_added_once() {
    let recorder = Arc::new(build(Builder::new()));
    let key = Key::from_name("absolute");
    let counter = recorder.register_counter(&key, &METADATA);
    counter.absolute(10);
    counter.absolute(5);
    counter.increment(1);
    assert!(recorder.handle().render().ends_with("absolute 11\n"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let counter = recorder.register_counter(&Key::from_name("absolute"), &METADATA);
                (0..=1000).for_each(|n| counter.absolute(n * 10));
            });
        }
    });
    assert!(recorder.handle().render().ends_with("absolute 10000\n"), "as one caller would");
}

#[test]
fn no_count_of_any_thread_is_lost_by_handles_or_macros() {
    const THREADS: u64 = 4;
    const EACH: u64 = 20_000;
    let recorder = Arc::new(build(Builder::new().buckets(&Buckets::new([1.0]).unwrap())));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let recorder = &recorder;
            scope.spawn(move || {
                with_local_recorder(recorder, || {
                    let (kept, size) = (counter!("kept"), histogram!("size"));
                    for n in 0..EACH {
                        kept.increment(1);
                        counter!("looked_up", "l" => "v").increment(2);
                        // More series than a thread's cache has.
                        counter!("many", "n" => (n % 1000).to_string()).increment(1);
                        gauge!("level").increment(if thread % 2 == 0 { 1.0 } else { -1.0 });
                        size.record_many(n as f64 % 2.0 * 2.0, 3);
                    }
                });
            });
        }
    });
    let page = recorder.handle().render();
    let all = (THREADS * EACH) as f64;
    assert_eq!(value(&page, "kept", &[]), Some(all));
    assert_eq!(value(&page, "looked_up", &[("l", "v")]), Some(2.0 * all));
    let many: Vec<f64> =
        (0..1000).filter_map(|n| value(&page, "many", &[("n", &n.to_string())])).collect();
    assert_eq!(many, vec![all / 1000.0; 1000]);
    assert_eq!(value(&page, "level", &[]), Some(0.0));
    assert_eq!(value(&page, "size_bucket", &[("le", "1")]), Some(1.5 * all));
    assert_eq!(value(&page, "size_count", &[]), Some(3.0 * all));
    assert_eq!(value(&page, "size_sum", &[]), Some(3.0 * all));
}

/// A recorder under a clock, and the clock's seconds.
fn with_clock(builder: Builder) -> (DynamoRecorder, Arc<AtomicU64>) {
    let seconds = Arc::new(AtomicU64::new(1_700_000_000));
    let now = Arc::clone(&seconds);
    (build(builder.clock(move || Duration::from_secs(now.load(Ordering::Relaxed)))), seconds)
}

#[test]
fn idle_series_of_the_kinds_are_removed_and_come_back_at_zero() {
    let kinds = MetricKinds::COUNTER | MetricKinds::HISTOGRAM;
    let builder = Builder::new().idle_timeout(kinds, Some(Duration::from_secs(60)));
    let (recorder, seconds) = with_clock(builder.buckets(&Buckets::new([1.0]).unwrap()));
    let record = |busy: bool| {
        with_local_recorder(&recorder, || {
            counter!("busy", "l" => "1").increment(0);
            if !busy {
                counter!("idle").increment(5);
                counter!("busy", "l" => "2").increment(5);
                histogram!("h").record(0.5);
                gauge!("g").set(1.0);
            }
            // Refused for as long as the histogram is there.
            gauge!("h").set(3.0);
        });
        recorder.handle().render()
    };
    let first = record(false);
    seconds.fetch_add(60, Ordering::Relaxed);
    assert_eq!(record(true), first, "not longer than the timeout");
    seconds.fetch_add(1, Ordering::Relaxed);
    // A recording of zero is one. Gauges are not of the kinds.
    let shown = record(true);
    assert!(shown.starts_with("# TYPE busy counter\nbusy{l=\"1\"} 0\n# HELP dynamo"), "{shown}");
    assert!(shown.ends_with("# TYPE g gauge\ng 1\n"), "{shown}");
    // The names are free, and nothing of the old values comes back.
    let again = page(&recorder, || {
        counter!("idle").increment(1);
        gauge!("h").set(3.0);
    });
    assert_eq!(recorder.handle().problems().len(), 1);
    assert_eq!(value(&again, "idle", &[]), Some(1.0));
    assert_eq!(value(&again, "h", &[]), Some(3.0));
}

#[test]
fn a_series_is_idle_only_when_no_spelling_of_its_key_is_used() {
    let (recorder, seconds) =
        with_clock(Builder::new().idle_timeout(MetricKinds::ALL, Some(Duration::from_secs(1))));
    let use_both = |first: bool| {
        page(&recorder, || {
            gauge!("x", "a" => "").set(1.0);
            if first {
                gauge!("x").set(2.0);
            }
        })
    };
    use_both(true);
    for _ in 0..3 {
        seconds.fetch_add(2, Ordering::Relaxed);
        assert_eq!(use_both(false), "# TYPE x gauge\nx 1\n");
    }
    seconds.fetch_add(2, Ordering::Relaxed);
    assert_eq!(recorder.handle().render(), "");
    // A key that is spelled otherwise takes the name that is free now.
    assert_eq!(page(&recorder, || gauge!("x").set(3.0)), "# TYPE x gauge\nx 3\n");
}

#[test]
fn series_beyond_the_limit_share_one() {
    let recorder = build(Builder::new().series_max(2));
    let page = page(&recorder, || {
        (0..10).for_each(|n| counter!("x", "n" => n.to_string()).increment(1));
    });
    assert_eq!(value(&page, "x", &[("n", "1")]), Some(1.0));
    assert_eq!(value(&page, "x", &[("n", "other")]), Some(8.0));
}

#[test]
fn recorders_of_one_thread_have_their_own_series() {
    let recorders: Vec<DynamoRecorder> = (0..3).map(|_| build(Builder::new())).collect();
    for (at, recorder) in recorders.iter().enumerate() {
        with_local_recorder(recorder, || counter!("x", "l" => "v").increment(at as u64 + 1));
    }
    for (at, recorder) in recorders.iter().enumerate() {
        let expected = format!("# TYPE x counter\nx{{l=\"v\"}} {}\n", at + 1);
        assert_eq!(recorder.handle().render(), expected);
    }
}

#[test]
fn a_handle_outlives_its_recorder() {
    let recorder = build(Builder::new());
    let (handle, counter) = (
        recorder.handle(),
        recorder.register_counter(&Key::from_parts("x", vec![Label::new("l", "v")]), &METADATA),
    );
    drop(recorder);
    counter.increment(3);
    assert_eq!(handle.render(), "# TYPE x counter\nx{l=\"v\"} 3\n");
    drop(handle);
    counter.increment(1);
}

#[test]
fn layers_of_metrics_util_work_on_it() {
    use metrics_util::layers::{FanoutBuilder, FilterLayer, Layer, PrefixLayer};
    let (one, other) = (build(Builder::new()), build(Builder::new()));
    let handles = [one.handle(), other.handle()];
    let prefixed = PrefixLayer::new("app").layer(one);
    let filtered = FilterLayer::from_patterns(["secret"]).layer(other);
    let both = FanoutBuilder::default().add_recorder(prefixed).add_recorder(filtered).build();
    with_local_recorder(&both, || {
        describe_counter!("public", "Help.");
        counter!("public", "l" => "1").increment(3);
        counter!("secret").increment(1);
    });
    let [one, other] = handles.map(|handle| handle.render());
    let help = "# HELP app_public Help.\n# TYPE app_public counter\napp_public{l=\"1\"} 3\n";
    assert_eq!(one, format!("{help}# TYPE app_secret counter\napp_secret 1\n"));
    assert_eq!(other, "# HELP public Help.\n# TYPE public counter\npublic{l=\"1\"} 3\n");
}

#[test]
fn the_listener_serves_the_page_as_long_as_a_handle_is_there() {
    use std::io::{Read, Write};
    let recorder = build(Builder::new().listen("127.0.0.1:0"));
    with_local_recorder(&recorder, || counter!("x").increment(1));
    let handle = recorder.handle();
    drop(recorder);
    let address = handle.local_addr().unwrap();
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("# TYPE x counter\nx 1\n"), "{answer}");
    drop(handle);
    assert!(std::net::TcpStream::connect(address).is_err());
    let error = Builder::new().listen("nowhere").build().unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn served_pages_are_without_idle_series_in_every_format() {
    let (recorder, seconds) =
        with_clock(Builder::new().idle_timeout(MetricKinds::COUNTER, Some(Duration::from_secs(1))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let service = recorder.handle().mount().unwrap();
    let scrape = |accept: &'static str| {
        let mut headers = dynamo_metrics_exporter::http::HeaderMap::new();
        headers.insert("accept", accept.parse().unwrap());
        runtime.block_on(service.respond(&headers, &"/metrics".parse().unwrap())).into_body()
    };
    let formats = [
        "text/plain",
        "application/openmetrics-text;version=1.0.0",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ];
    with_local_recorder(&recorder, || {
        counter!("idle").increment(1);
        gauge!("stays").set(1.0);
    });
    let has = |body: &[u8], name: &str| body.windows(name.len()).any(|at| at == name.as_bytes());
    for accept in formats {
        let body = scrape(accept);
        assert!(has(&body, "idle") && has(&body, "stays"), "{accept}");
    }
    seconds.fetch_add(2, Ordering::Relaxed);
    for accept in formats {
        let body = scrape(accept);
        assert!(!has(&body, "idle") && has(&body, "stays"), "{accept}");
    }
}
