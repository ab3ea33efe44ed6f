//! Protobuf: the bytes of one of each kind, and arbitrary registries that say the same as their text.

use crate::decode;

use crate::decode::samples;
use bytes::BytesMut;
use dynamo_metrics_core::{
    Buckets, Escaping, Exemplar, NativeBuckets, Opts, Registry, Snapshot, SummaryOpts,
    snapshot::Value,
};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_parser as strict;
use proptest::prelude::*;
use std::time::Duration;

fn encode(registry: &Registry) -> BytesMut {
    let mut body = BytesMut::new();
    let asked = Negotiated::new(Format::Protobuf, Escaping::AllowUtf8);
    Encoder::new().encode_as(registry, asked, &NameFilter::default(), &mut body);
    body
}

/// The samples in the text of a registry, in the form of [`samples`].
fn samples_of_text(registry: &Registry) -> Vec<String> {
    let mut body = BytesMut::new();
    Encoder::new().encode(registry, &mut body);
    let exposition = strict::parse(&body).unwrap();
    let mut samples: Vec<String> = exposition
        .samples()
        .map(|sample| decode::line(&sample.name, sample.labels.clone(), sample.value))
        .collect();
    samples.sort();
    samples
}

#[test]
fn the_bytes_of_a_counter() {
    let registry = Registry::new();
    registry.counter_family(("a_total", "H"), ["l"]).unwrap().with(["v"]).add(2);
    let body = encode(&registry);
    let message = [
        b"\x0a\x07a_total\x12\x01H\x18\x00".as_slice(),
        b"\x22\x13\x0a\x06\x0a\x01l\x12\x01v\x1a\x09\x09",
        &2f64.to_le_bytes(),
    ]
    .concat();
    let expected = [&[0x80 | message.len() as u8, 0x80, 0x80, 0x80, 0], &message[..]].concat();
    assert_eq!(&body[..expected.len()], expected);
}

/// Found by Prometheus 2.42, 2.53 and 3.5: they dropped the series of a gauge that was set to their staleness marker.
#[test]
fn a_staleness_marker_is_written_as_any_other_nan() {
    let registry = Registry::new();
    let gauge = registry.gauge(("a", "")).unwrap();
    let [stale, plain] = [0x7ff0_0000_0000_0002, f64::NAN.to_bits()].map(|bits| {
        gauge.set(f64::from_bits(bits));
        encode(&registry)
    });
    assert_eq!(stale, plain);
    assert!(samples(&plain).contains(&"a{} NaN".to_owned()));
}

#[test]
fn the_bytes_of_a_histogram() {
    let registry = Registry::new();
    let opts = Opts::new("a_seconds", "").unit("seconds");
    let histogram = registry.histogram(opts, &Buckets::new([1.0, 2.0]).unwrap()).unwrap();
    histogram.observe_n(0.5, 300);
    histogram.observe(7.0);
    let double = |v: f64| v.to_le_bytes();
    let value = [
        b"\x08\xad\x02\x11".as_slice(),
        &double(157.0),
        b"\x1a\x0c\x08\xac\x02\x11",
        &double(1.0),
        b"\x1a\x0c\x08\xac\x02\x11",
        &double(2.0),
    ]
    .concat();
    let metric = [&[0x3a, value.len() as u8], &value[..]].concat();
    let family = [
        b"\x0a\x09a_seconds\x18\x04\x2a\x07seconds\x22".as_slice(),
        &[metric.len() as u8],
        &metric,
    ]
    .concat();
    let expected = [&[0x80 | family.len() as u8, 0x80, 0x80, 0x80, 0], &family[..]].concat();
    assert_eq!(&encode(&registry)[..expected.len()], expected);
}

#[test]
fn a_family_longer_than_a_small_varint() {
    let registry = Registry::new();
    let family = registry.counter_family(("a_total", ""), ["l"]).unwrap();
    for at in 0..3000 {
        family.with([&format!("{at:0100}")]).add(at);
    }
    assert!(encode(&registry).len() > 1 << 18);
    assert_eq!(samples(&encode(&registry)), samples_of_text(&registry));
}

#[test]
fn info_state_sets_exemplars_and_start_times() {
    let registry = Registry::with_clock(|| Duration::from_millis(1_700_000_000_500));
    registry.info(("build_info", ""), &[("version", "1")]).unwrap();
    registry.state_set(("health", ""), &["starting", "ready"]).unwrap().only("ready").unwrap();
    let trace = Exemplar::new("4bf9").unwrap().span_id("00f0").unwrap();
    registry.counter(Opts::new("a_total", "").exemplars()).unwrap().add_with_exemplar(2, &trace);
    let buckets = Buckets::new([1.0, 2.0]).unwrap();
    let waits = registry.histogram(Opts::new("b", "").exemplars(), &buckets).unwrap();
    waits.observe_with_exemplar(7.0, &trace);
    waits.observe_with_exemplar(0.5, &trace);
    let body = encode(&registry);
    assert_eq!(samples(&body), samples_of_text(&registry));
    let extras = decode::extras(&body);
    let labels = "span_id=00f0 trace_id=4bf9";
    for expected in [
        format!("a_total exemplar {labels} 2.0 at 1700000000.500000000"),
        "a_total created 1700000000.500000000".into(),
        format!("b bucket 1.0 exemplar {labels} 0.5 at 1700000000.500000000"),
        format!("b bucket inf exemplar {labels} 7.0 at 1700000000.500000000"),
        "b created 1700000000.500000000".into(),
    ] {
        assert!(extras.contains(&expected), "{expected} in {extras:#?}");
    }
    assert_eq!(extras.iter().filter(|extra| extra.contains("exemplar")).count(), 3);
}

#[test]
fn the_bytes_of_start_times() {
    let registry = Registry::with_clock(|| Duration::from_millis(1_700_000_000_500));
    let counter = registry.counter_family(("a_total", ""), ["l"]).unwrap().with(["v"]);
    counter.add(2);
    let histogram = registry.histogram(("b", ""), &Buckets::new([1.0]).unwrap()).unwrap();
    histogram.observe_n(0.5, 300);
    let body = encode(&registry);
    // 1700000000 and 500000000 as varints.
    let time = b"\x08\x80\xe2\xcf\xaa\x06\x10\x80\xca\xb5\xee\x01";
    let double = |v: f64| v.to_le_bytes();
    let counter = [
        b"\x22\x21\x0a\x06\x0a\x01l\x12\x01v\x1a\x17\x09".as_slice(),
        &double(2.0),
        b"\x1a\x0c",
        time,
    ]
    .concat();
    let histogram = [
        b"\x22\x2a\x3a\x28\x08\xac\x02\x11".as_slice(),
        &double(150.0),
        b"\x1a\x0c\x08\xac\x02\x11",
        &double(1.0),
        b"\x7a\x0c",
        time,
    ]
    .concat();
    for metric in [counter, histogram] {
        assert!(body.windows(metric.len()).any(|bytes| bytes == metric), "{metric:x?}");
    }
}

#[test]
fn every_series_has_its_own_start_time_or_none() {
    let times = [0, 1, 1_000, 1_700_000_000_123, u64::MAX];
    let next = std::sync::atomic::AtomicUsize::new(0);
    let registry = Registry::with_clock(move || {
        let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // The sixth series of a family has no time: the clock panics.
        Duration::from_millis(times[at % 6])
    });
    let counters = registry.counter_family(("a_total", ""), ["l"]).unwrap();
    let floats = registry.float_counter_family(("b_total", ""), ["l"]).unwrap();
    let buckets = Buckets::new([1.0, 2.0]).unwrap();
    let histograms = registry.histogram_family(("c", ""), ["l"], &buckets).unwrap();
    let labels = ["", "b", &"c".repeat(128), "d", "e", "f"];
    labels.iter().for_each(|label| counters.with([label]).add(1 << 40));
    labels.iter().for_each(|label| floats.with([label]).add(0.5));
    labels.iter().for_each(|label| histograms.with([label]).observe_n(1.5, 1 << 20));
    let body = encode(&registry);
    assert_eq!(samples(&body), samples_of_text(&registry));
    let known = [
        "0.000000000",
        "0.001000000",
        "1.000000000",
        "1700000000.123000000",
        "18446744073709551.614000000", // the last there is: the next stands for none
    ];
    for name in ["a_total", "b_total", "c"] {
        let families = decode::decode(&body);
        let family = families.iter().find(|family| family.name == name).unwrap();
        let expected: Vec<_> = known.iter().map(|time| format!("{name} created {time}")).collect();
        assert_eq!(family.extras, expected);
    }
}

#[test]
fn a_native_histogram_is_spans_and_differences() {
    let registry = Registry::with_clock(|| Duration::from_secs(1_700_000_000));
    let opts = Opts::new("h", "").exemplars();
    let buckets = NativeBuckets::new().schema(0).signed();
    let histogram = registry.native_histogram(opts, &buckets).unwrap();
    let trace = Exemplar::new("4bf9").unwrap();
    for v in [1.0, 8.0, 8.0, 128.0, -4.0] {
        histogram.observe_with_exemplar(v, &trace);
    }
    histogram.observe(0.0);
    let natives = decode::natives(&encode(&registry));
    let [native] = &natives[..] else { panic!("{natives:?}") };
    assert_eq!((native.count, native.sum, native.schema, native.zero_count), (6, 141.0, 0, 1));
    assert!(native.zero_threshold > 0.0);
    assert_eq!(native.positive_spans, [(0, 4), (3, 1)]);
    assert_eq!(native.positive_deltas, [1, -1, 0, 2, -1]);
    assert_eq!(
        (&native.negative_spans[..], &native.negative_deltas[..]),
        (&[(2, 1)][..], &[1][..])
    );
    assert_eq!(native.created.as_deref(), Some("1700000000.000000000"));
    assert!(native.exemplars[0].contains("trace_id=4bf9"), "{:?}", native.exemplars);
}

#[test]
fn a_dual_histogram_has_classic_and_native_buckets_in_one_message() {
    for created in [false, true] {
        for exemplars in [false, true] {
            let registry = match created {
                true => Registry::with_clock(|| Duration::from_secs(1_700_000_000)),
                false => Registry::new(),
            };
            let opts = Opts::new("wait_seconds", "h");
            let opts = if exemplars { opts.exemplars() } else { opts };
            let bounds = Buckets::new([0.0022, 0.47]).unwrap();
            let native = NativeBuckets::new().schema(0).range(0.001, 64.0);
            let family = registry.dual_histogram_family(opts, ["model"], &bounds, &native);
            let wait = family.unwrap().with(["m"]);
            wait.observe_n(0.0021, 3);
            wait.observe_with_exemplar(8.0, &Exemplar::new("4bf9").unwrap());
            let body = encode(&registry);
            assert_eq!(samples(&body), samples_of_text(&registry));
            let natives = decode::natives(&body);
            let [native] = &natives[..] else { panic!("{natives:?}") };
            assert_eq!((native.count, native.schema, native.zero_count), (4, 0, 0));
            assert_eq!(native.positive_spans, [(-8, 1), (10, 1)]);
            assert_eq!(native.positive_deltas, [3, -2]);
            assert_eq!(native.created.is_some(), created);
            assert_eq!(native.exemplars.len(), usize::from(created && exemplars));
        }
    }
}

#[test]
fn an_empty_native_histogram_has_a_span_all_the_same() {
    let registry = Registry::new();
    registry.native_histogram(("h", ""), &NativeBuckets::new()).unwrap();
    let natives = decode::natives(&encode(&registry));
    assert_eq!((natives[0].count, &natives[0].positive_spans[..]), (0, &[(0, 0)][..]));
}

#[test]
fn a_summary_says_what_its_text_says() {
    let registry = Registry::with_clock(|| Duration::from_secs(1_700_000_000));
    let opts = SummaryOpts::new().quantiles([0.5, 0.99]);
    let summary = registry.summary_family(("s", ""), ["l"], &opts).unwrap();
    summary.with(["a"]).observe(0.25);
    summary.with([""]);
    let samples = samples(&encode(&registry));
    assert_eq!(samples, samples_of_text(&registry));
    assert!(samples.contains(&"s_count{l=\"a\"} 1.0".into()), "{samples:?}");
    assert!(samples.contains(&"s{quantile=0.5} NaN".into()), "{samples:?}");
}

proptest! {
    /// A scraper that adds up a native histogram finds every observation.
    #[test]
    fn native_buckets_hold_every_observation(
        observed in proptest::collection::vec((-40i32..40, any::<bool>(), 1..1u64 << 40), 0..80),
        schema in -4i8..=8,
        max_buckets in 1..200u32,
    ) {
        let registry = Registry::new();
        let buckets = NativeBuckets::new().schema(schema).max_buckets(max_buckets).signed();
        let histogram = registry.native_histogram(("h", ""), &buckets).unwrap();
        let mut total = 0;
        for (exponent, negative, n) in observed {
            let v = 1.3 * f64::from(exponent).exp2();
            histogram.observe_n(if negative { -v } else { v }, n);
            total += n;
        }
        let native = &decode::natives(&encode(&registry))[0];
        prop_assert_eq!(native.count, total);
        prop_assert!((-4..=8).contains(&native.schema) && native.schema <= schema.into());
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        let family = snapshot.families().find(|family| family.name() == "h").unwrap();
        let Value::Native(held) = family.parts().next().unwrap().series(0).unwrap().value() else {
            panic!("a native histogram")
        };
        let (schema, sum, zero_count) = (native.schema, native.sum, native.zero_count);
        prop_assert_eq!((schema, sum, zero_count), (held.schema.into(), held.sum, held.zero_count));
        prop_assert_eq!(native.zero_threshold, held.zero_threshold);
        let mut all = native.zero_count;
        for (spans, deltas, held) in [
            (&native.positive_spans, &native.positive_deltas, held.positive),
            (&native.negative_spans, &native.negative_deltas, held.negative),
        ] {
            // Without buckets an empty span says that the histogram is native.
            let spans = if deltas.is_empty() { &[][..] } else { &spans[..] };
            let buckets = decode::buckets(spans, deltas);
            let of_snapshot: Vec<_> =
                held.populated().map(|(index, count)| (i64::from(index), count)).collect();
            prop_assert_eq!(&buckets, &of_snapshot);
            all += buckets.iter().map(|(_, count)| count).sum::<u64>();
        }
        prop_assert_eq!(all, total);
    }

    #[test]
    fn it_says_what_the_text_says(
        counters in proptest::collection::vec(("[a-z\"\n\\\\é]{0,5}", 0..1u64 << 53), 0..5),
        gauge in any::<f64>(),
        observed in proptest::collection::vec((0.0..1e7f64, 0..1u64 << 40), 0..20),
        bounds in proptest::collection::btree_set(1..1_000_000u32, 1..40),
    ) {
        let registry = Registry::new();
        let family = registry.counter_family(("a_total", "help"), ["l"]).unwrap();
        for (label, count) in &counters {
            family.with([label]).add(*count >> 3);
        }
        registry.gauge(("b", "")).unwrap().set(gauge);
        registry.up_down_counter(("c", "")).unwrap().sub(5);
        let buckets = Buckets::new(bounds.iter().map(|&bound| f64::from(bound))).unwrap();
        let histogram = registry.histogram(("d", ""), &buckets).unwrap();
        for (value, n) in observed {
            histogram.observe_n(value, n);
        }
        prop_assert_eq!(samples(&encode(&registry)), samples_of_text(&registry));
    }
}
