//! Does a scrape disturb the token loop? One thread records tokens, another one scrapes 10,000 series a hundred
//! times a second; the same loop with and without the scraper, in turns.
//!
//! `cargo run --release -p dynamo-metrics-benches --bin interference [-- --http] [--rounds N]`
//!
//! A scrape is an encoding, or with `--http` the whole of it: over loopback, with gzip, by the server's two threads,
//! and a client in the same process that takes the page. So there are four threads; with fewer processors than that
//! the loop is interrupted by what a scraper on another machine would not take from it.
//!
//! A token is two recordings, as upstream's: `output_tokens_total` and the inter-token latency. One clock reading
//! costs more than a token, so the time of [`BATCH`] tokens is taken, which is what a decode step of that many
//! sequences records at once.

#![forbid(unsafe_code)]

use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Opts, Registry};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_server::{ContentType, RunningServer, ScrapeRequest, Server};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Tokens between two clock readings.
const BATCH: u64 = 64;
/// Series that each scrape reads.
const SERIES: usize = 10_000;
/// Time between two scrapes.
const PERIOD: Duration = Duration::from_millis(10);
/// Length of one round with and of one without scrapes.
const ROUND: Duration = Duration::from_millis(500);

/// What Prometheus sends.
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: loop\r\nAccept-Encoding: gzip\r\n\r\n";

fn main() {
    let http = std::env::args().any(|arg| arg == "--http");
    let rounds = std::env::args().skip_while(|arg| arg != "--rounds").nth(1);
    let rounds: usize = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let registry = Registry::new();
    let opts = Opts::new("series_total", "What the scraper reads.").series_max(SERIES);
    let family = registry.counter_family(opts, ["place"]).expect("a new name");
    for place in 0..SERIES {
        family.with([&place.to_string()]).add(place as u64);
    }
    let tokens = registry.counter(("output_tokens_total", "Tokens.")).expect("a new name");
    let buckets = Buckets::dynamo(0.001, 2.0, 13).expect("a range");
    let latency = registry
        .histogram(("inter_token_latency_seconds", "Latency."), &buckets)
        .expect("a new name");

    let server = http.then(|| serve(&registry));
    let address = server.as_ref().map(|server| server.local_addr());
    let scraping = AtomicBool::new(false);
    let done = AtomicBool::new(false);
    let scrapes = AtomicU64::new(0);
    let mut quiet = Vec::new();
    let mut scraped = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut scrape = match address {
                Some(address) => over_http(address),
                None => encoding(registry.clone()),
            };
            while !done.load(Ordering::Relaxed) {
                let started = Instant::now();
                if scraping.load(Ordering::Relaxed) {
                    scrape();
                    scrapes.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(PERIOD.saturating_sub(started.elapsed()));
            }
        });
        for round in 0..2 * rounds {
            let with_scrapes = round % 2 == 1;
            scraping.store(with_scrapes, Ordering::Relaxed);
            thread::sleep(2 * PERIOD);
            let times = if with_scrapes { &mut scraped } else { &mut quiet };
            let started = Instant::now();
            let mut before = started;
            while before.duration_since(started) < ROUND {
                for i in 0..BATCH {
                    black_box(&tokens).inc();
                    black_box(&latency).observe(0.01 + i as f64 / 10_000.0);
                }
                let now = Instant::now();
                times.push(now.duration_since(before).as_nanos() as u64);
                before = now;
            }
        }
        done.store(true, Ordering::Relaxed);
    });

    let how = if http { "gzip scrapes over HTTP" } else { "scrapes" };
    println!("{BATCH} tokens a batch, {} {how} of {SERIES} series\n", scrapes.into_inner());
    println!("| ns a token | p50 | p99 | p99.9 |\n|---|---|---|---|");
    let [quiet, scraped] = [quiet, scraped].map(quantiles);
    for (what, row) in [("without scrapes", quiet), ("with 100 scrapes a second", scraped)] {
        println!("| {what} | {:.2} | {:.2} | {:.2} |", row[0], row[1], row[2]);
    }
    let ratio = |i: usize| scraped[i] / quiet[i];
    println!("| ratio | {:.3} | {:.3} | {:.3} |", ratio(0), ratio(1), ratio(2));
}

fn encoding(registry: Registry) -> Box<dyn FnMut()> {
    let (mut encoder, mut body) = (Encoder::new(), BytesMut::new());
    Box::new(move || {
        body.clear();
        encoder.encode(&registry, &mut body);
        black_box(&body);
    })
}

fn serve(registry: &Registry) -> RunningServer {
    let (registry, encoder) = (registry.clone(), Mutex::new(Encoder::new()));
    let exposition = move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
        encoder.lock().expect("encoding does not panic").encode(&registry, body);
        Ok(ContentType::TEXT_0_0_4)
    };
    let address = ([127, 0, 0, 1], 0).into();
    Server::builder().address(address).exposition(exposition).spawn().expect("a free port")
}

/// Scrapes over a connection that is kept as long as the server keeps it.
fn over_http(address: SocketAddr) -> Box<dyn FnMut()> {
    let mut kept = None;
    Box::new(move || {
        let client = kept.get_or_insert_with(|| {
            BufReader::new(TcpStream::connect(address).expect("the server listens"))
        });
        client.get_mut().write_all(REQUEST).expect("the server reads");
        let (mut line, mut length, mut gzip, mut closes) = (String::new(), 0, false, false);
        while line != "\r\n" {
            line.clear();
            client.read_line(&mut line).expect("a head");
            gzip |= line == "content-encoding: gzip\r\n";
            closes |= line == "connection: close\r\n";
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("a length");
            }
        }
        assert!(gzip, "a page of this size is compressed");
        let mut body = vec![0; length];
        client.read_exact(&mut body).expect("the whole page");
        black_box(body);
        if closes {
            kept = None;
        }
    })
}

/// Median, 99th and 99.9th percentile, in ns a token.
fn quantiles(mut times: Vec<u64>) -> [f64; 3] {
    times.sort_unstable();
    [0.5, 0.99, 0.999].map(|quantile| {
        let at = (times.len() as f64 * quantile) as usize;
        times[at.min(times.len() - 1)] as f64 / BATCH as f64
    })
}
