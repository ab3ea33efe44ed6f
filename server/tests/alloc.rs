//! A scrape in steady state allocates nothing on the gather thread, compressed or not.
//!
//! The exposition runs on that thread, so what its allocation counter says from one call to the
//! next covers all between: the gather itself, the compression, the handing out.

#[path = "it/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use common::Client;
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{Compression, ContentType, ScrapeRequest, Server};
use dynamo_metrics_test_support::{Counting, allocated, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of the gather thread between one gather and the next, for each of many.
fn between_gathers(compression: Compression, accept_encoding: &str) -> Vec<u64> {
    let page: String = (0..3000).map(|n| format!("requests_total{{n=\"{n}\"}} {n}\n")).collect();
    let seen: Arc<Mutex<Vec<u64>>> = Arc::new(Mutex::new(Vec::with_capacity(1000)));
    let server = {
        let seen = Arc::clone(&seen);
        let exposition = move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            seen.lock().expect("no panic").push(allocated());
            body.extend_from_slice(page.as_bytes());
            Ok(ContentType::TEXT_0_0_4)
        };
        let builder = Server::builder().exposition(exposition).compression(compression);
        builder.spawn().expect("a server")
    };
    let mut client = Client::connect(server.local_addr());
    let head =
        format!("GET /metrics HTTP/1.1\r\nHost: t\r\nAccept-Encoding: {accept_encoding}\r\n\r\n");
    for _ in 0..100 {
        let reply = client.send(&head).reply();
        let coding = reply.header("content-encoding").unwrap_or("identity");
        assert_eq!(coding, accept_encoding);
    }
    let seen = seen.lock().expect("no panic");
    seen.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_steady_scrape_allocates_nothing_on_the_gather_thread() {
    assert!(allocations(|| drop(black_box(Box::new(1)))) > 0, "the allocator counts");

    for accept_encoding in ["identity", "gzip"] {
        let counts = between_gathers(Compression::default(), accept_encoding);
        assert!(counts[0] > 0, "the first scrape makes its buffers");
        assert_eq!(counts[10..].iter().sum::<u64>(), 0, "{accept_encoding}: {counts:?}");
    }
}

#[cfg(feature = "zstd")]
#[test]
fn a_steady_scrape_in_zstd_allocates_nothing_on_the_gather_thread() {
    // Of Rust's allocator; the encoder's context is C's, and is kept.
    let counts = between_gathers(Compression::default().with_zstd(), "zstd");
    assert_eq!(counts[10..].iter().sum::<u64>(), 0, "{counts:?}");
}
