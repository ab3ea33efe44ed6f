//! One operation, again and again, for an instruction count: `instructions OPERATION TIMES`; without arguments it
//! lists the operations. `ci/instructions.sh` runs it under callgrind.

#![forbid(unsafe_code)]

use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Opts, Registry};
use dynamo_metrics_encoder::Encoder;
use std::hint::black_box;

const OPERATIONS: [&str; 8] = [
    "counter-inc",
    "counter-local-inc",
    "up-down-inc-dec",
    "histogram-observe-11",
    "histogram-observe-64",
    "family-visit-inc",
    "token",
    "encode-line",
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(operation), Some(times)) = (arguments.next(), arguments.next()) else {
        OPERATIONS.iter().for_each(|operation| println!("{operation}"));
        return;
    };
    let times: u64 = times.parse().expect("a number of times");
    let registry = Registry::new();
    let counter = registry.counter(("c_total", "")).expect("a new name");
    let inflight = registry.up_down_counter(("u", "")).expect("a new name");
    let eleven = Buckets::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
    let eleven = registry.histogram(("h11", ""), &eleven.expect("increasing")).expect("a new name");
    let many = Buckets::exponential(0.0001, 1.3, 64).expect("increasing");
    let many = registry.histogram(("h64", ""), &many).expect("a new name");
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
        "family-visit-inc" => repeat(times, |i| {
            let model = &models[i as usize % models.len()];
            black_box(&family).visit([model, "chat_completions"], |counter| counter.inc());
        }),
        "token" => repeat(times, |i| {
            black_box(&counter).inc();
            black_box(&eleven).observe(value(i));
        }),
        "encode-line" => {
            // A thousand lines a scrape, so that one `times` is a thousand lines.
            for i in 0..1000 {
                family.with([&i.to_string(), "chat_completions"]).add(i * 7919);
            }
            let mut encoder = Encoder::new();
            let mut body = BytesMut::new();
            for _ in 0..times {
                body.clear();
                encoder.encode(&registry, &mut body);
            }
            black_box(&body);
        }
        other => panic!("{other:?} is none of {OPERATIONS:?}"),
    }
}

/// A function of its own for each operation: within `main`, the registers that the loop around one operation gets hang on
/// what stands beside it (seen: 11 instructions instead of 9, for a counter that had not changed).
#[inline(never)]
fn repeat(times: u64, mut operation: impl FnMut(u64)) {
    (0..times).for_each(&mut operation);
}
