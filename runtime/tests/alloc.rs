//! A token allocates nothing, by an allocator that counts, in a process of its own.

use dynamo_metrics::{
    DistributedRuntime, EngineSource, Filter, FrontendConfig, FrontendMetrics, HttpEndpoint,
    ModelCard, Registry, RequestType, RuntimeConfig, Timestamp,
};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_test_support::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn at(us: u64) -> Timestamp {
    Timestamp::from_nanos(us * 1000)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn tokens_allocate_nothing() {
    let frontend = FrontendMetrics::new(&Registry::new(), FrontendConfig::default()).unwrap();
    frontend.models().add("m", 1, &ModelCard::default(), &RuntimeConfig::default());
    let begin = || frontend.begin(HttpEndpoint::ChatCompletions, RequestType::Stream, "m", at(0));
    // The thread's shard is leased by its first recording.
    let mut request = begin();
    let tokens = allocations(|| {
        for number in 0..10_000 {
            request.tokens(1 + number % 3, at(number));
        }
    });
    assert_eq!(tokens, 0);
    request.succeed(at(10_000));

    let whole_request = allocations(|| {
        let mut request = begin();
        request.input_tokens(24);
        request.tokens(1, at(1));
        request.tokens(1, at(2));
        request.succeed(at(3));
    });
    assert_eq!(whole_request, 0, "once each of its series is there");
}

#[test]
fn a_scrape_with_an_engine_and_a_callback_allocates_nothing() {
    let runtime = DistributedRuntime::new().unwrap();
    runtime.metrics().gauge_callback(("free_bytes", "Free memory."), || 4096.0).unwrap();
    let text = "# TYPE vllm:running gauge\nvllm:running{model_name=\"m\"} 3.0\n";
    let source = EngineSource::writing("vllm", Filter::vllm(), move |buffer| {
        buffer.extend_from_slice(text.as_bytes());
        Ok(())
    });
    runtime.add_engine_source(source).unwrap();
    let exposition = runtime.exposition();
    let mut body = BytesMut::with_capacity(1 << 20);
    let mut scrape = || {
        body.clear();
        allocations(|| exposition.write(&mut body))
    };
    // After these pages the counters of late sources, which a busy machine may cause, have their series.
    (0..20).for_each(|_| _ = scrape());
    let least = (0..20).map(|_| scrape()).min();
    assert_eq!(least, Some(0));
    let page = std::str::from_utf8(&body).unwrap();
    assert!(
        page.contains("vllm:running{model_name=\"m\"} 3\n") || page.contains("} 3.0\n"),
        "{page}"
    );
}

#[test]
fn a_workers_request_allocates_nothing() {
    let runtime = DistributedRuntime::new().unwrap();
    let worker = runtime.namespace("ns").unwrap().component("backend").unwrap();
    let handler = worker.endpoint("generate").unwrap().serve(&[("model", "m")]).unwrap();
    handler.begin(1, at(0)).finish(at(1));
    let whole_request = allocations(|| {
        let request = handler.begin(1146, at(0));
        request.response_bytes(381);
        request.finish(at(20));
    });
    assert_eq!(whole_request, 0);
}
