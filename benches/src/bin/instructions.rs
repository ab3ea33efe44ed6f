//! One operation, again and again, for an instruction count: `instructions OPERATION TIMES`; without arguments it
//! lists the operations. `ci/instructions.sh` runs it under callgrind.

#![forbid(unsafe_code)]

use bytes::BytesMut;
use dynamo_metrics::{
    FrontendConfig, FrontendMetrics, HttpEndpoint, ModelCard, RequestType, RuntimeConfig, Timestamp,
};
use dynamo_metrics_core::{Buckets, Counter, Escaping, Family, LabelEnum, Opts, Registry, Scale};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
use std::hint::black_box;
use std::time::Duration;

#[path = "../../../encoder/tests/it/passthrough/support/vllm.rs"]
mod vllm;

const OPERATIONS: [&str; 17] = [
    "counter-inc",
    "counter-local-inc",
    "float-counter-add",
    "up-down-inc-dec",
    "histogram-observe-11",
    "histogram-observe-64",
    "histogram-observe-n",
    "histogram-observe-signed",
    "histogram-local-observe",
    "integer-histogram-observe",
    "integer-histogram-observe-split",
    "family-visit-inc",
    "family-visit-new-address",
    "family-visit-beyond-cap",
    "family-enum-inc",
    "token",
    "request-token",
];

/// One merge of an engine's text into a page: [`ENGINES`] label sets a family, 52 KB. Counted a byte of the text.
const PASSTHROUGH: [(&str, Format); 2] = [
    ("encode-passthrough-byte", Format::Text),
    ("encode-passthrough-openmetrics-byte", Format::OpenMetrics),
];
const ENGINES: usize = 2;

/// Scrapes of [`SERIES`] series of one kind: the operation, the format, whether the registry has a clock, and the kind. With
/// a clock, counters and histograms have start times, which protobuf always sends.
const ENCODES: [(&str, Format, bool, Kind); 12] = [
    ("encode-line", Format::Text, false, Kind::Counter),
    ("encode-gauge", Format::Text, false, Kind::Gauge),
    ("encode-histogram", Format::Text, false, Kind::Histogram),
    ("encode-openmetrics-line", Format::OpenMetrics, false, Kind::Counter),
    ("encode-openmetrics-gauge", Format::OpenMetrics, false, Kind::Gauge),
    ("encode-openmetrics-histogram", Format::OpenMetrics, false, Kind::Histogram),
    ("encode-protobuf-counter", Format::Protobuf, false, Kind::Counter),
    ("encode-protobuf-gauge", Format::Protobuf, false, Kind::Gauge),
    ("encode-protobuf-histogram", Format::Protobuf, false, Kind::Histogram),
    ("encode-clock-counter", Format::Protobuf, true, Kind::Counter),
    ("encode-clock-gauge", Format::Protobuf, true, Kind::Gauge),
    ("encode-clock-histogram", Format::Protobuf, true, Kind::Histogram),
];

const ELEVEN: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// So many that what a scrape costs besides them is less than a hundredth.
const SERIES: u64 = 1000;

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    /// With fractions.
    Gauge,
    /// A histogram of 11 buckets, with a fractional sum.
    Histogram,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(operation), Some(times)) = (arguments.next(), arguments.next()) else {
        // Each with how many of what is counted one call is made of.
        OPERATIONS.iter().for_each(|operation| println!("{operation} 1"));
        ENCODES.iter().for_each(|(operation, ..)| println!("{operation} {SERIES}"));
        let bytes = vllm::vllm_text(ENGINES).len();
        PASSTHROUGH.iter().for_each(|(operation, _)| println!("{operation} {bytes}"));
        return;
    };
    let times: u64 = times.parse().expect("a number of times");
    if let Some((_, format)) = PASSTHROUGH.iter().find(|(of, _)| *of == operation) {
        merge(times, *format);
        return;
    }
    if let Some((_, format, clock, kind)) = ENCODES.iter().find(|(of, ..)| *of == operation) {
        encode(times, *format, *clock, *kind);
        return;
    }
    let registry = Registry::new();
    let counter = registry.counter(("c_total", "")).expect("a new name");
    let inflight = registry.up_down_counter(("u", "")).expect("a new name");
    let eleven = Buckets::new(ELEVEN).expect("increasing");
    let eleven = registry.histogram(("h11", ""), &eleven).expect("a new name");
    let buckets = Buckets::new(ELEVEN).expect("increasing");
    let integers = registry.integer_histogram(("i11", ""), &buckets, Scale::Nano);
    let integers = integers.expect("a new name");
    let many = Buckets::exponential(0.0001, 1.3, 64).expect("increasing");
    let many = registry.histogram(("h64", ""), &many).expect("a new name");
    let signed = Buckets::new(ELEVEN.map(|bound| bound - 1.0)).expect("increasing");
    let signed = registry.histogram(("signed", ""), &signed).expect("a new name");
    let float = registry.float_counter(("float_total", "")).expect("a new name");
    let opts = Opts::new("f_total", "").series_max(1000);
    let family = registry.counter_family(opts, ["model", "endpoint"]).expect("a new name");
    let models: Vec<String> = (0..16).map(|i| format!("Qwen/Qwen3-{i}B")).collect();
    let value = |i: u64| ((i & 127) + 1) as f64 / 100.0;
    match operation.as_str() {
        "counter-inc" => repeat(times, |_| black_box(&counter).inc()),
        "counter-local-inc" => {
            let local = counter.local().expect("address space");
            repeat(times, |_| black_box(&local).inc());
        }
        "up-down-inc-dec" => repeat(times, |_| {
            black_box(&inflight).inc();
            black_box(&inflight).dec();
        }),
        "histogram-observe-11" => repeat(times, |i| black_box(&eleven).observe(value(i))),
        "histogram-observe-64" => repeat(times, |i| black_box(&many).observe(value(i))),
        "histogram-observe-n" => repeat(times, |i| black_box(&eleven).observe_n(value(i), 7)),
        "histogram-observe-signed" => {
            repeat(times, |i| black_box(&signed).observe(value(i) - 0.5));
        }
        "histogram-local-observe" => {
            let local = eleven.local().expect("address space");
            repeat(times, |i| black_box(&local).observe(value(i)));
        }
        "integer-histogram-observe" => {
            repeat(times, |i| black_box(&integers).observe(((i & 127) + 1) * 10_000_000));
        }
        "integer-histogram-observe-split" => {
            repeat(times, |i| black_box(&integers).observe_split(((i & 127) + 1) * 10_000_000, 7));
        }
        "float-counter-add" => repeat(times, |i| black_box(&float).add(value(i))),
        "family-visit-new-address" => visit_at_new_addresses(times, &family, &models),
        "family-visit-beyond-cap" => {
            let opts = Opts::new("capped_total", "").series_max(8);
            let capped = registry.counter_family(opts, ["model", "endpoint"]).expect("a new name");
            let junk: Vec<String> = (0..1000).map(|i| format!("junk-{i}")).collect();
            junk.iter().for_each(|model| capped.visit([model, "chat_completions"], Counter::inc));
            repeat(times, |i| {
                let model = &junk[900 + i as usize % 100];
                black_box(&capped).visit([model, "chat_completions"], Counter::inc);
            });
        }
        "family-enum-inc" => {
            let by_enum = family.enumerated::<(Place, Place)>();
            repeat(times, |i| {
                black_box(&by_enum).visit((Place(i as usize % 4), Place(0)), Counter::inc);
            });
        }
        "request-token" => request_tokens(times),
        "family-visit-inc" => repeat(times, |i| {
            let model = &models[i as usize % models.len()];
            black_box(&family).visit([model, "chat_completions"], |counter| counter.inc());
        }),
        "token" => repeat(times, |i| {
            black_box(&counter).inc();
            black_box(&eleven).observe(value(i));
        }),
        other => panic!("{other:?} is no operation; without arguments they are listed"),
    }
}

/// Strings that were not seen where they are for a long time, as a program has that makes its labels anew for each recording:
/// of so many copies that what is remembered of one is forgotten when its turn comes again.
fn visit_at_new_addresses(times: u64, family: &Family<Counter, 2>, models: &[String]) {
    const COPIES: usize = 20_011;
    // One allocation for all of them: how many instructions 20,011 take is chance.
    let copied = models.iter().cycle().take(COPIES);
    let text: String = copied.clone().map(String::as_str).collect();
    let mut rest = text.as_str();
    let mut next = |model: &String| {
        let (copy, after) = rest.split_at(model.len());
        rest = after;
        copy
    };
    let copies: Vec<&str> = copied.map(&mut next).collect();
    repeat(times, |i| {
        let model = copies[i as usize % COPIES];
        black_box(family).visit([model, "chat_completions"], Counter::inc);
    });
}

/// The frontend's recordings for one token of a stream.
fn request_tokens(times: u64) {
    let frontend = FrontendMetrics::new(&Registry::new(), FrontendConfig::default())
        .expect("a registry of its own takes the catalogue");
    let card = ModelCard { context_length: 4096, kv_cache_block_size: 16, migration_limit: 3 };
    frontend.models().add("model", 1, &card, &RuntimeConfig::default());
    let (endpoint, kind) = (HttpEndpoint::ChatCompletions, RequestType::Stream);
    let mut request = frontend.begin(endpoint, kind, "model", Timestamp::from_nanos(0));
    let mut now = 0;
    repeat(times, |i| {
        now += ((i & 127) + 1) * 1_000_000;
        black_box(&mut request).tokens(1, Timestamp::from_nanos(now));
    });
}

/// The values of a label that are known in advance.
#[derive(Clone, Copy)]
struct Place(usize);

impl LabelEnum for Place {
    const VALUES: &'static [&'static str] = &["a", "b", "c", "d"];

    fn index(self) -> usize {
        self.0
    }
}

fn merge(times: u64, format: Format) {
    let text = vllm::vllm_text(ENGINES);
    let (filter, names) = (Filter::vllm(), NameFilter::default());
    let asked = Negotiated::new(format, Escaping::Underscores);
    let (mut passthrough, mut body) = (Passthrough::new(), BytesMut::with_capacity(8 * text.len()));
    let ours = |name: &str| name.starts_with("dynamo_");
    for _ in 0..times {
        body.clear();
        let source = Source::new(&filter, text.as_bytes());
        passthrough.merge([source], &ours, asked, &names, &mut body);
    }
    black_box(&body);
}

fn encode(times: u64, format: Format, clock: bool, kind: Kind) {
    let registry = if clock {
        Registry::with_clock(|| Duration::from_secs(1_700_000_000))
    } else {
        Registry::new()
    };
    let labels = ["model", "endpoint"];
    let buckets = Buckets::new(ELEVEN).expect("increasing");
    let counters = registry.counter_family(("f_total", ""), labels).expect("a new name");
    let gauges = registry.gauge_family(("g", ""), labels).expect("a new name");
    let histograms = registry.histogram_family(("h", ""), labels, &buckets).expect("a new name");
    for i in 0..SERIES {
        let of = [&i.to_string()[..], "chat_completions"];
        let fraction = i as f64 / 7.0;
        match kind {
            Kind::Counter => counters.with(of).add(i * 7919),
            Kind::Gauge => gauges.with(of).set(fraction),
            Kind::Histogram => (0..20).for_each(|n| {
                histograms.with(of).observe(fraction / f64::from(n + 1));
            }),
        }
    }
    let asked = Negotiated::new(format, Escaping::Underscores);
    let (mut encoder, all, mut body) = (Encoder::new(), NameFilter::default(), BytesMut::new());
    for _ in 0..times {
        body.clear();
        encoder.encode_as(&registry, asked, &all, &mut body);
    }
    black_box(&body);
}

/// A function of its own for each operation: within `main`, the registers that the loop around one operation gets hang on
/// what stands beside it (seen: 11 instructions instead of 9, for a counter that had not changed).
#[inline(never)]
fn repeat(times: u64, mut operation: impl FnMut(u64)) {
    (0..times).for_each(&mut operation);
}
