//! A steady-state scrape allocates nothing, by a counting allocator.

use bytes::BytesMut;
use dynamo_metrics_core::{
    Buckets, Escaping, Exemplar, NativeBuckets, Opts, Registry, SummaryOpts,
};
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
    let native = NativeBuckets::new().schema(3).signed();
    let drifts = Opts::new("drift_seconds", "h").exemplars();
    let drifts = registry.native_histogram_family(drifts, ["model"], &native).unwrap();
    let both = Opts::new("both_seconds", "h").exemplars();
    let both = registry.dual_histogram_family(both, ["model"], &buckets, &NativeBuckets::new());
    let both = both.unwrap();
    // One whose buckets do not fit the format.
    let huge = registry.native_histogram(("huge", "h"), &native).unwrap();
    huge.observe_n(1.0, u64::MAX);
    let quantiles = SummaryOpts::new().quantiles([0.5, 0.99]);
    let sizes = registry.summary_family(("size_bytes", "h"), ["model"], &quantiles).unwrap();
    let record = |i: u32| {
        for model in ["a", "b\"", "c"] {
            requests.with([model, "ok"]).add_with_exemplar(u64::from(i) << 20, &trace);
            waits.with([model]).observe(f64::from(i) / 7.0);
            let drift = (f64::from(i) - 50.0) / 7.0;
            drifts.with([model]).observe_with_exemplar(drift, &trace);
            both.with([model]).observe_with_exemplar(f64::from(i) / 7.0, &trace);
            sizes.with([model]).observe(f64::from(i) * 100.0);
        }
        load.set(f64::from(i) / 3.0);
        busy.add(0.1);
        inflight.inc();
    };
    // Buckets of all magnitudes at first, so that later ones make no body longer than the buffer.
    (2..100).chain([1]).for_each(record);
    let mut encoder = Encoder::with_created_samples();
    let mut body = BytesMut::new();
    let formats = [
        Format::Text,
        Format::OpenMetrics,
        Format::Protobuf,
        #[cfg(feature = "openmetrics2")]
        Format::OpenMetrics2,
    ];
    for format in formats {
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

    assert!(encoder.unsound_natives() > 0);

    // Others were asked for meanwhile.
    body.clear();
    encoder.encode(&registry, &mut body);
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
