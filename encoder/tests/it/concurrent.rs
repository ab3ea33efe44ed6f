//! A body is whole in every format while threads record, and while series come and go.

use crate::decode;

use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Escaping, Exemplar, NativeBuckets, Opts, Registry};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_parser as strict;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends the recording threads, also when the scraping one panics.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn every_body_of_a_concurrent_scrape_is_valid() {
    let registry = Registry::with_clock(|| std::time::Duration::from_secs(1_700_000_000));
    let buckets = Buckets::dynamo(0.001, 2.0, 13).unwrap();
    let waits = Opts::new("wait_seconds", "h").exemplars();
    let waits = registry.histogram_family(waits, ["m"], &buckets).unwrap();
    let natives =
        registry.native_histogram_family(("n", ""), ["m"], &NativeBuckets::new()).unwrap();
    let both = Opts::new("both", "").exemplars();
    let both =
        registry.dual_histogram_family(both, ["m"], &buckets, &NativeBuckets::new()).unwrap();
    let requests = registry.counter_family(("requests_total", "h"), ["m"]).unwrap();
    let health = registry.state_set(("health", ""), &["starting", "ready"]).unwrap();
    health.only("starting").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for lane in 0..3u32 {
            let (waits, natives, requests, health) = (&waits, &natives, &requests, &health);
            let both = &both;
            let done = &done;
            scope.spawn(move || {
                let trace = Exemplar::new("4bf92f35").unwrap();
                let mut i = 0u32;
                while !done.load(Ordering::Relaxed) {
                    i += 1;
                    let model = format!("m{}", (i + lane) % 7);
                    waits.with([&model]).observe_with_exemplar(f64::from(i % 100) / 40.0, &trace);
                    natives.with([&model]).observe(f64::from(i % 1000));
                    both.with([&model]).observe_with_exemplar(f64::from(i % 100) / 40.0, &trace);
                    requests.with([&model]).inc();
                    health.only(if i.is_multiple_of(2) { "ready" } else { "starting" }).unwrap();
                    if i % 1000 == lane {
                        waits.remove([&model]);
                        natives.remove([&model]);
                        both.remove([&model]);
                        requests.remove_matching(&[("m", &model)]);
                    }
                }
            });
        }
        let _done = Done(&done);
        let mut encoder = Encoder::with_created_samples();
        let mut body = BytesMut::new();
        let mut scrape = |format| {
            body.clear();
            let asked = Negotiated::new(format, Escaping::Underscores);
            encoder.encode_as(&registry, asked, &NameFilter::default(), &mut body);
            body.clone()
        };
        for _ in 0..150 {
            // The parsers check, among the rest, that buckets are cumulative and that `+Inf` is the count, and that
            // an exemplar lies in its bucket.
            for (format, parser) in [
                (Format::Text, strict::Format::Text),
                (Format::OpenMetrics, strict::Format::OpenMetrics),
            ] {
                let body = scrape(format);
                if let Err(problems) = strict::parse_as(parser, &body) {
                    panic!("{}\n{}", problems[0], String::from_utf8_lossy(&body));
                }
            }
            let body = scrape(Format::Protobuf);
            let states =
                decode::samples(&body).into_iter().filter(|line| line.starts_with("health"));
            let on = states.filter(|line| line.ends_with(" 1.0")).count();
            assert_eq!(on, 1, "one state at a time, in every scrape");
            for native in decode::natives(&body) {
                let mut before = 0;
                let counts = native.positive_deltas.iter().map(|delta| {
                    before += delta;
                    before.cast_unsigned()
                });
                assert_eq!(counts.sum::<u64>() + native.zero_count, native.count);
            }
        }
    });
}
