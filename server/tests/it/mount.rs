//! Scrapes inside a program's own async server.

use crate::common;

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::Gate;
use dynamo_metrics_server::bytes::{Bytes, BytesMut};
use dynamo_metrics_server::http::{HeaderMap, HeaderName, Response, Uri};
use dynamo_metrics_server::{ContentType, Limit, Limits, ScrapeRequest, Server, StartError};

fn metrics() -> Uri {
    Uri::from_static("/metrics")
}

fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
    let header = |&(name, value): &(_, &str)| {
        (HeaderName::from_static(name), value.parse().expect("a header's value"))
    };
    of.iter().map(header).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn text(response: &Response<Bytes>) -> &str {
    str::from_utf8(response.body()).unwrap()
}

#[test]
fn a_mounted_scrape_is_what_the_own_server_sends() {
    let page = |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
        body.extend_from_slice(b"up 1\n".repeat(1000).as_slice());
        Ok(ContentType::TEXT_0_0_4)
    };
    let service = Server::builder().exposition(page).mount().unwrap();
    let runtime = runtime();

    let plain = runtime.block_on(service.respond(&HeaderMap::new(), &metrics()));
    assert_eq!((plain.status().as_u16(), text(&plain)), (200, &*"up 1\n".repeat(1000)));
    assert_eq!(plain.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(plain.headers()["vary"], "Accept, Accept-Encoding");
    assert_eq!(plain.headers()["content-length"], "5000");

    let asks = headers(&[("accept-encoding", "gzip")]);
    let small = runtime.block_on(service.respond(&asks, &metrics()));
    assert_eq!(small.headers()["content-encoding"], "gzip");
    let mut unzipped = String::new();
    flate2::read::GzDecoder::new(&small.body()[..]).read_to_string(&mut unzipped).unwrap();
    assert_eq!(unzipped, text(&plain));
    assert_eq!((service.telemetry().gathers(), service.telemetry().compressions()), (2, 1));
    assert_eq!(service.telemetry().responses(2), 2);
}

#[test]
fn scrapes_that_wait_share_a_gather_and_keep_their_limits() {
    let gate = Gate::default();
    let mut limits = Limits::default();
    limits.scrapes = 4;
    let service = Server::builder().exposition(gate.clone()).limits(limits).mount().unwrap();
    let service = Arc::new(service);
    let ask = |of: &[(&'static str, &str)]| {
        let (service, headers) = (Arc::clone(&service), headers(of));
        async move { service.respond(&headers, &metrics()).await }
    };
    runtime().block_on(async {
        // One has begun and hangs; two share the next.
        let first = tokio::spawn(ask(&[]));
        tokio::task::yield_now().await;
        gate.wait_for(1);
        let others = [tokio::spawn(ask(&[])), tokio::spawn(ask(&[]))];
        // A hurried one is answered in its time, and gives its place back.
        let hurried = ask(&[("x-prometheus-scrape-timeout-seconds", "0.2")]).await;
        let answer = (hurried.status().as_u16(), text(&hurried));
        assert_eq!(answer, (503, "Gathering metrics takes too long"));
        assert_eq!(service.telemetry().limit_hits(Limit::ScrapeDeadline), 1);
        let fourth = tokio::spawn(ask(&[]));
        tokio::task::yield_now().await;
        let fifth = ask(&[]).await;
        let answer = (fifth.status().as_u16(), text(&fifth));
        assert_eq!(answer, (503, "Too many scrapes in progress"));
        gate.allow(2);
        assert_eq!(text(&first.await.unwrap()), "gather 1\n");
        for answer in others.into_iter().chain([fourth]) {
            assert_eq!(text(&answer.await.unwrap()), "gather 2\n");
        }
    });
    assert_eq!(gate.arrived(), 2);
}

#[test]
fn dropping_it_does_not_wait_for_a_gather_that_hangs() {
    let gate = Gate::default();
    let service = Server::builder().exposition(gate.clone()).mount().unwrap();
    runtime().block_on(async {
        let waited = Duration::from_millis(10);
        let headers = HeaderMap::new();
        let uri = metrics();
        let gone = tokio::time::timeout(waited, service.respond(&headers, &uri));
        assert!(gone.await.is_err());
    });
    gate.wait_for(1);
    let begin = Instant::now();
    drop(service);
    assert!(begin.elapsed() < common::PATIENCE, "the gate is opened only now");
    gate.allow(1);
}

#[test]
fn what_is_missing_is_said() {
    let error = Server::builder().mount().unwrap_err();
    assert!(matches!(error, StartError::ExpositionMissing), "{error}");
}
