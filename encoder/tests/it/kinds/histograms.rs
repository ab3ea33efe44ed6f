//! Histograms that a format cannot print as they are.

use super::*;

/// Names and counts of everything that a histogram called `h` shows in protobuf.
fn histogram_samples(registry: &Registry) -> Vec<String> {
    let families = decode::decode(&encode(registry, Format::Protobuf, false));
    families.into_iter().find(|family| family.name == "h").map(|family| family.samples).unwrap()
}

/// Prometheus reads a bucket of 2^63 or more as a negative one, and refuses the scrape.
#[test]
fn a_native_histogram_that_scrapers_refuse_is_a_classic_one_and_counted() {
    const MOST: u64 = i64::MAX as u64;
    // Observations of 0, 0.5 and -0.5, and whether they fit.
    let cases: [([u64; 3], bool); 9] = [
        ([0, MOST, 0], true),
        ([0, MOST, MOST], true),
        ([1, MOST, MOST], true),
        ([u64::MAX, 0, 0], true),
        ([0, MOST + 1, 0], false),
        ([0, 0, MOST + 1], false),
        ([0, u64::MAX, 0], false),
        ([2, MOST, MOST], false),
        ([u64::MAX, 1, 0], false),
    ];
    for (counts, fits) in cases {
        for exemplars in [false, true] {
            let registry = Registry::new();
            let opts = Opts::new("h", "");
            let opts = if exemplars { opts.exemplars() } else { opts };
            let buckets = NativeBuckets::new().schema(0).signed().classic([1.0]);
            let histogram = registry.native_histogram(opts, &buckets).unwrap();
            for (v, n) in [0.0, 0.5, -0.5].into_iter().zip(counts) {
                histogram.observe_n(v, n);
            }
            for format in [
                Format::Protobuf,
                #[cfg(feature = "openmetrics2")]
                Format::OpenMetrics2,
            ] {
                let (mut encoder, mut body) = (Encoder::new(), BytesMut::new());
                let asked = Negotiated::new(format, Escaping::Underscores);
                encoder.encode_as(&registry, asked, &NameFilter::default(), &mut body);
                assert_eq!(encoder.unsound_natives(), u64::from(!fits), "{counts:?} {format:?}");
                if format != Format::Protobuf {
                    let text = std::str::from_utf8(&body).unwrap();
                    assert_eq!(text.contains("schema:0"), fits, "{text}");
                    continue;
                }
                let natives = decode::natives(&body);
                assert_eq!(natives.len(), usize::from(fits), "{counts:?}");
                for native in &natives {
                    let of = |spans: &[_], deltas: &[_]| {
                        let spans = if deltas.is_empty() { &[][..] } else { spans };
                        decode::buckets(spans, deltas).iter().map(|(_, count)| *count).sum::<u64>()
                    };
                    assert_eq!(of(&native.positive_spans, &native.positive_deltas), counts[1]);
                    assert_eq!(of(&native.negative_spans, &native.negative_deltas), counts[2]);
                    assert_eq!(native.zero_count, counts[0]);
                }
            }
            // Classic, in every format that has no other: what its own buckets say.
            let body = encode(&registry, Format::Text, false);
            let exposition = strict::parse(&body).unwrap();
            let all = counts.iter().try_fold(0u64, |all, count| all.checked_add(*count));
            let last = exposition.value("h_bucket", &[("le", "+Inf")]);
            assert_eq!(last, exposition.value("h_count", &[]));
            // More than a word holds in one bucket is the snapshot's to say.
            if let Some(all) = all {
                assert_eq!(last, Some(all as f64), "{counts:?}");
            }
        }
    }
}

/// Two buckets whose counts do not fit one word together.
#[test]
fn counts_that_do_not_fit_together_saturate_in_every_format() {
    let bounds = [1.0, 2.0, 3.0];
    for (exemplars, clock) in [(false, false), (true, false), (false, true), (true, true)] {
        let registry = if clock {
            Registry::with_clock(|| Duration::from_secs(1_700_000_000))
        } else {
            Registry::new()
        };
        let opts = Opts::new("h", "");
        let opts = if exemplars { opts.exemplars() } else { opts };
        // The longer label does not fit the registers that bucket lines are written from.
        let histograms =
            registry.histogram_family(opts, ["l"], &Buckets::new(bounds).unwrap()).unwrap();
        for label in ["", &"x".repeat(300)] {
            let histogram = histograms.with([label]);
            histogram.observe_n(0.5, u64::MAX - 1);
            [2.0, 2.0, 3.0].iter().for_each(|&v| histogram.observe(v));
        }
        let expected = [u64::MAX - 1, u64::MAX, u64::MAX, u64::MAX, u64::MAX];
        let counts = |body: &[u8]| -> Vec<u64> {
            let text = std::str::from_utf8(body).unwrap();
            let lines = text
                .lines()
                .filter(|line| line.starts_with("h_bucket") || line.starts_with("h_count"));
            let number = |line: &str| line.rsplit_once(' ').unwrap().1.parse().unwrap();
            lines.map(number).collect()
        };
        let body = encode(&registry, Format::Text, false);
        strict::parse(&body).unwrap();
        assert_eq!(counts(&body), [expected, expected].concat());
        let body = encode(&registry, Format::OpenMetrics, false);
        strict::parse_as(strict::Format::OpenMetrics, &body).unwrap();
        assert_eq!(counts(&body), [expected, expected].concat());
        let samples = histogram_samples(&registry);
        let (low, high) = ((u64::MAX - 1) as f64, u64::MAX as f64);
        for (name, value) in
            [("h_bucket{le=1.0}", low), ("h_bucket{le=inf}", high), ("h_count{}", high)]
        {
            assert!(samples.contains(&format!("{name} {value:?}")), "{name} {samples:?}");
        }
        #[cfg(feature = "openmetrics2")]
        {
            let body = encode(&registry, Format::OpenMetrics2, false);
            let text = std::str::from_utf8(&body).unwrap();
            let max = u64::MAX;
            assert!(text.contains(&format!("{{count:{max},sum:")), "{text}");
            let below = max - 1;
            let buckets = format!("bucket:[1.0:{below},2.0:{max},3.0:{max},+Inf:{max}]");
            assert!(text.contains(&buckets), "{text}");
        }
    }
}

/// OpenMetrics has no place for a negative sum beside bounds that are not.
#[test]
fn a_signed_native_histogram_has_no_sum_and_no_count_in_openmetrics() {
    let registry = Registry::new();
    let signed = registry.native_histogram(("a", ""), &NativeBuckets::new().signed()).unwrap();
    let plain = registry.native_histogram(("b", ""), &NativeBuckets::new()).unwrap();
    for v in [-8.0, 4.0] {
        signed.observe(v);
        plain.observe(v.abs());
    }
    let body = String::from_utf8(encode(&registry, Format::OpenMetrics, false)).unwrap();
    strict::parse_as(strict::Format::OpenMetrics, body.as_bytes()).unwrap();
    assert!(body.contains("a_bucket{le=\"+Inf\"} 2\n") && body.contains("b_sum 12\nb_count 2\n"));
    assert!(!body.contains("a_sum") && !body.contains("a_count"), "{body}");
    let text = String::from_utf8(encode(&registry, Format::Text, false)).unwrap();
    assert!(text.contains("a_sum -4\na_count 2\n"), "{text}");
}
