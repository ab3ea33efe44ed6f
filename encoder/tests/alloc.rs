//! A steady-state scrape allocates nothing, by a counting allocator.

use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Escaping, Exemplar, Opts, Registry};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_test_support::{Counting, allocations};
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_steady_scrape_allocates_nothing() {
    assert!(allocations(|| drop(black_box(Box::new(1)))) > 0, "the allocator counts");
    let registry = Registry::with_clock(|| Duration::from_secs(1_700_000_000));
    let requests = Opts::new("requests_total", "h").exemplars();
    let requests = registry.counter_family(requests, ["model", "status"]).unwrap();
    let trace = Exemplar::new("4bf92f3577b34da6").unwrap();
    registry.info(("build_info", "h"), &[("version", "1")]).unwrap();
    registry.state_set(("health", "h"), &["starting", "ready"]).unwrap().only("ready").unwrap();
    let buckets = Buckets::dynamo(0.001, 480.0, 18).unwrap();
    let waits = registry.histogram_family(("wait_seconds", "h"), ["model"], &buckets).unwrap();
    let load = registry.gauge(("load", "h")).unwrap();
    let busy = registry.float_counter(("busy_seconds_total", "h")).unwrap();
    let inflight = registry.up_down_counter(("inflight", "h")).unwrap();
    registry.gauge_callback(("up_seconds", "h"), || 1.25).unwrap();
    let record = |i: u32| {
        for model in ["a", "b\"", "c"] {
            requests.with([model, "ok"]).add_with_exemplar(u64::from(i) << 20, &trace);
            waits.with([model]).observe(f64::from(i) / 7.0);
        }
        load.set(f64::from(i) / 3.0);
        busy.add(0.1);
        inflight.inc();
    };
    record(1);
    let mut encoder = Encoder::with_created_samples();
    let mut body = BytesMut::new();
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        for escaping in Escaping::ALL {
            let asked = Negotiated::new(format, escaping);
            for filter in [NameFilter::default(), NameFilter::from_query("name[]=load").unwrap()] {
                let mut scrape = || {
                    body.clear();
                    encoder.encode_as(&registry, asked, &filter, &mut body);
                };
                scrape();
                let steady = allocations(|| {
                    for i in 2..100 {
                        record(i);
                        scrape();
                    }
                });
                assert_eq!(steady, 0, "{asked:?} {filter:?}");
            }
        }
    }

    // The same when the body travels as `Bytes` to a socket and is dropped there: the memory comes back.
    let sent = allocations(|| drop(body.split().freeze()));
    let again = allocations(|| {
        for _ in 0..10 {
            encoder.encode(&registry, &mut body);
            drop(black_box(body.split().freeze()));
        }
    });
    assert!(sent <= 1, "the buffer becomes shared once");
    assert_eq!(again, 0);
}
