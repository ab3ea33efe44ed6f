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
//! sequences records at once; and, in turns with it, that of single tokens, from which the median of two clock readings
//! with nothing between them is subtracted. A batch hides what befalls one of its tokens, a single token is mostly clock.

#![forbid(unsafe_code)]

use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Opts, Registry};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_server::{ContentType, RunningServer, ScrapeRequest, Server};
use hdrhistogram::Histogram as Times;
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

/// The `Accept` header of Prometheus.
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
    // By whether there are scrapes, then batches and single tokens.
    let mut times = [[times(), times()], [times(), times()]];
    let clock = clock_nanos();
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
            let [batches, singles] = &mut times[usize::from(with_scrapes)];
            for (tokens_a_reading, times) in [(BATCH, batches), (1, singles)] {
                let started = Instant::now();
                let mut before = started;
                while before.duration_since(started) < ROUND {
                    for i in 0..tokens_a_reading {
                        black_box(&tokens).inc();
                        black_box(&latency).observe(0.01 + i as f64 / 10_000.0);
                    }
                    let now = Instant::now();
                    times.saturating_record(now.duration_since(before).as_nanos() as u64);
                    before = now;
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });

    let how = if http { "gzip scrapes over HTTP" } else { "scrapes" };
    println!("{} {how} of {SERIES} series; a clock reading takes {clock} ns", scrapes.into_inner());
    for (kind, what) in [format!("batches of {BATCH}"), "single tokens".into()].iter().enumerate() {
        let row = |scraped: usize| match kind {
            0 => quantiles(&times[scraped][kind], |nanos| nanos as f64 / BATCH as f64),
            // A reading is never quicker than the clock's least step.
            _ => quantiles(&times[scraped][kind], |nanos| nanos.saturating_sub(clock) as f64),
        };
        println!("\n| ns a token, {what} | p50 | p99 | p99.9 |\n|---|---|---|---|");
        let (quiet, scraped) = (row(0), row(1));
        for (what, row) in [("without scrapes", quiet), ("with 100 scrapes a second", scraped)] {
            println!("| {what} | {:.2} | {:.2} | {:.2} |", row[0], row[1], row[2]);
        }
        // Of single tokens with the clock in it: what is left without is a few steps of it.
        let ratio = |quantile: f64| {
            let [quiet, scraped] = [0, 1].map(|at| times[at][kind].value_at_quantile(quantile));
            scraped as f64 / quiet as f64
        };
        let [p50, p99, p999] = QUANTILES.map(ratio);
        println!("| ratio | {p50:.3} | {p99:.3} | {p999:.3} |");
    }
}

const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// Nanoseconds up to a second, to three digits.
fn times() -> Times<u64> {
    Times::new_with_bounds(1, 1_000_000_000, 3).expect("a range")
}

/// The median time between two readings of the clock.
fn clock_nanos() -> u64 {
    let mut times = times();
    let mut before = Instant::now();
    for _ in 0..1_000_000 {
        let now = Instant::now();
        times.saturating_record(now.duration_since(before).as_nanos() as u64);
        before = now;
    }
    times.value_at_quantile(0.5)
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
fn quantiles(times: &Times<u64>, of_token: impl Fn(u64) -> f64) -> [f64; 3] {
    QUANTILES.map(|quantile| of_token(times.value_at_quantile(quantile)))
}
