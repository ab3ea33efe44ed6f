//! An allocator that fails costs one answer, from whichever large allocation of a scrape on it does.

#[path = "it/common/mod.rs"]
mod common;

use common::Client;
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, try_reserve};
use dynamo_metrics_test_support::FailAt;
use std::io::Read;

#[global_allocator]
static ALLOCATOR: FailAt = FailAt::new();

/// Buffers that grow with the data; what a connection costs is smaller, and of a fixed size.
const LARGE: usize = 32 << 10;
/// More than a scrape has, by far.
const ALLOCATIONS_MAX: u64 = 1000;

/// Digits without a pattern, so that their compressed form is large too.
fn page() -> String {
    let mut state = 1_u64;
    let mut line = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("x {state}\n")
    };
    (0..20_000).map(|_| line()).collect()
}

#[test]
fn a_scrape_whose_kth_large_allocation_fails_is_answered_for_every_k() {
    let page = page();
    let head = "GET /metrics HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n";
    let (mut unavailable, mut plain) = (0, 0);
    // A panic that is caught prints its backtrace first, which takes memory that cannot be had here.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some("metrics-gather") {
            hook(panic);
        }
    }));
    for k in 1..ALLOCATIONS_MAX {
        let written = page.clone();
        let exposition = move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            for line in written.split_inclusive('\n') {
                try_reserve(body, line.len())?;
                body.extend_from_slice(line.as_bytes());
            }
            Ok(ContentType::TEXT_0_0_4)
        };
        let server = Server::builder().exposition(exposition).spawn().expect("a server");
        let mut client = Client::connect(server.local_addr());
        ALLOCATOR.arm(k, LARGE);
        let reply = client.send(head).reply();
        let has_failed = ALLOCATOR.disarm();
        match (reply.status, reply.header("content-encoding")) {
            (503, None) => {
                assert_eq!(
                    (reply.text(), reply.header("retry-after")),
                    ("Out of memory", Some("1"))
                );
                unavailable += 1;
            }
            (200, None) => {
                assert!(reply.text() == page, "the whole text in place of its compressed form");
                plain += 1;
            }
            (200, Some("gzip")) => assert!(!has_failed, "{k} was nobody's"),
            other => panic!("{other:?}"),
        }
        // The next one is as if nothing had been.
        let reply = client.send(head).reply();
        assert_eq!((reply.status, reply.header("content-encoding")), (200, Some("gzip")), "{k}");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&reply.body[..]).read_to_string(&mut text).expect("gzip");
        assert!(text == page, "{k}");
        if !has_failed {
            assert!(unavailable > 2 && plain > 2, "{unavailable} {plain}");
            return;
        }
    }
    panic!("more than {ALLOCATIONS_MAX} large allocations");
}
