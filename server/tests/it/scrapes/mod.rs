//! The cost of scrapes for each other and for probes.

mod deadlines;
mod shared;

use crate::common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, Gate, eventually, get};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{
    Batch, ContentType, ExposeError, Exposition, Limit, Limits, RunningServer, ScrapeDeadline,
    ScrapeRequest, Server, metrics_response,
};

#[test]
fn a_slow_scrape_does_not_delay_probes() {
    let gate = Gate::default();
    let server = Server::builder().exposition(gate.clone()).spawn().expect("a server");
    let mut scraper = Client::connect(server.local_addr());
    scraper.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    // The gather is in progress and cannot end before the gate opens: these return before it does.
    for _ in 0..100 {
        assert_eq!(get(server.local_addr(), "/health").status, 200);
        assert_eq!(get(server.local_addr(), "/live").status, 200);
    }
    assert_eq!(server.telemetry().gathers(), 0);
    gate.allow(1);
    assert_eq!(scraper.reply().text(), "gather 1\n");
}

#[test]
fn a_panic_is_answered_500_and_the_next_scrape_200() {
    let broken = Arc::new(AtomicBool::new(true));
    let server = {
        let broken = Arc::clone(&broken);
        let exposition = move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            body.extend_from_slice(b"up");
            assert!(!broken.load(Relaxed), "an exposition that panics");
            body.extend_from_slice(b" 1\n");
            Ok(ContentType::TEXT_0_0_4)
        };
        Server::builder().exposition(exposition).spawn().expect("a server")
    };
    let mut client = Client::connect(server.local_addr());
    for _ in 0..3 {
        let reply = client.get("/metrics");
        assert_eq!((reply.status, reply.text()), (500, "Failed to gather metrics"));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    broken.store(false, Relaxed);
    let reply = client.get("/metrics");
    assert_eq!((reply.status, reply.text()), (200, "up 1\n"));

    let telemetry = server.telemetry();
    assert_eq!((telemetry.gathers(), telemetry.gather_panics()), (4, 3));
    assert_eq!((telemetry.responses(5), telemetry.responses(2)), (3, 1));
}

/// A size that no allocator has makes `reserve` panic. (An allocator that fails at a possible size ends
/// the process, as Rust's standard library has it; who wants an answer instead uses `try_reserve`.)
#[test]
fn a_page_that_does_not_fit_into_memory_costs_one_answer() {
    let exposition = |request: &ScrapeRequest<'_>, body: &mut BytesMut| {
        body.extend_from_slice(b"up 1\n");
        match request.query() {
            Some("reserve") => body.reserve(usize::MAX),
            Some("try_reserve") if Vec::<u8>::new().try_reserve(isize::MAX as usize).is_err() => {
                return Err(ExposeError::unavailable("Out of memory"));
            }
            _ => {}
        }
        Ok(ContentType::TEXT_0_0_4)
    };
    let server = Server::builder().exposition(exposition).spawn().expect("a server");
    let mut client = Client::connect(server.local_addr());
    for _ in 0..3 {
        let reply = client.get("/metrics?reserve");
        assert_eq!((reply.status, reply.text()), (500, "Failed to gather metrics"));
        let reply = client.get("/metrics?try_reserve");
        assert_eq!((reply.status, reply.text()), (503, "Out of memory"));
        let reply = client.get("/metrics");
        assert_eq!((reply.status, reply.text()), (200, "up 1\n"));
    }
    let telemetry = server.telemetry();
    assert_eq!((telemetry.gather_panics(), telemetry.gather_errors()), (3, 3));
}

#[test]
fn errors_are_answered_in_their_own_words() {
    let server = Server::builder()
        .exposition(|request: &ScrapeRequest<'_>, body: &mut BytesMut| {
            body.extend_from_slice(b"half a bo");
            match request.query() {
                Some("full") => Err(ExposeError::unavailable("Out of memory")),
                _ => Err(ExposeError::failed("Failed to get metrics").with_cause("a secret")),
            }
        })
        .spawn()
        .expect("a server");
    let mut client = Client::connect(server.local_addr());
    let failed = client.get("/metrics");
    assert_eq!((failed.status, failed.text()), (500, "Failed to get metrics"));
    assert_eq!(failed.header("retry-after"), None);
    let unavailable = client.get("/metrics?full");
    assert_eq!((unavailable.status, unavailable.text()), (503, "Out of memory"));
    assert_eq!(unavailable.header("retry-after"), Some("1"));
    assert_eq!((server.telemetry().gather_errors(), server.telemetry().gather_panics()), (2, 0));
}

#[test]
fn a_scrape_that_is_refused_is_no_error_of_ours() {
    let refuses = |_: &ScrapeRequest<'_>, _: &mut BytesMut| {
        Err::<ContentType, _>(ExposeError::refused("Too many names are asked for"))
    };
    let server = Server::builder().exposition(refuses).spawn().expect("a server");
    let reply = get(server.local_addr(), "/metrics");
    assert_eq!((reply.status, reply.text()), (400, "Too many names are asked for"));
    let telemetry = server.telemetry();
    assert_eq!((telemetry.limit_hits(Limit::ScrapeRefused), telemetry.gather_errors()), (1, 0));
}

/// Scrapes one after the other and returns where each body was written, and how large the buffer
/// was when its gather began.
fn buffers(scrapes: usize, body_bytes: usize) -> (Vec<(usize, usize)>, u64) {
    let seen: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
    let server = {
        let seen = Arc::clone(&seen);
        let exposition = move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            assert!(body.is_empty());
            let capacity = body.capacity();
            body.resize(body_bytes, b'x');
            seen.lock().expect("no panic").push((body.as_ptr() as usize, capacity));
            Ok(ContentType::TEXT_0_0_4)
        };
        Server::builder().exposition(exposition).spawn().expect("a server")
    };
    let mut client = Client::connect(server.local_addr());
    for _ in 0..scrapes {
        assert_eq!(client.get("/metrics").body.len(), body_bytes);
    }
    let seen = seen.lock().expect("no panic").clone();
    (seen, server.telemetry().buffers_allocated())
}

#[test]
fn the_buffer_is_reused_scrape_after_scrape() {
    for body_bytes in [1, 1000, 1 << 20] {
        let (seen, allocated) = buffers(50, body_bytes);
        let (address, capacity) = seen[1];
        assert!(capacity >= body_bytes, "the second gather finds the first one's memory");
        for &(other, capacity_then) in &seen[1..] {
            assert_eq!((other, capacity_then), (address, capacity), "{body_bytes}");
        }
        assert_eq!(allocated, 1, "{body_bytes}");
    }
}

#[test]
fn a_host_with_its_own_server_gets_the_same_answers() {
    let broken = |_: &ScrapeRequest<'_>, _: &mut BytesMut| -> Result<ContentType, ExposeError> {
        panic!("an exposition that panics")
    };
    let response = metrics_response(&broken, &ScrapeRequest::default());
    assert_eq!(response.status(), 500);
    assert_eq!(&response.body()[..], b"Failed to gather metrics");

    let response = metrics_response(&common::up, &ScrapeRequest::default());
    let server = common::plain_server();
    let reply = get(server.local_addr(), "/metrics");
    assert_eq!(response.headers().len(), 3);
    for (name, value) in response.headers() {
        assert_eq!(reply.header(name.as_str()).map(str::as_bytes), Some(value.as_bytes()));
    }
    assert_eq!(response.body()[..], reply.body[..]);
}
