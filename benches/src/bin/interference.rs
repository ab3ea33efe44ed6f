//! Does a scrape disturb the token loop? One thread records tokens, another one scrapes 10,000 series a hundred
//! times a second; the same loop with and without the scraper, in turns.
//!
//! `cargo run --release -p dynamo-metrics-benches --bin interference [-- --rounds N]`
//!
//! A token is two recordings, as upstream's: `output_tokens_total` and the inter-token latency. One clock reading
//! costs more than a token, so the time of [`BATCH`] tokens is taken, which is what a decode step of that many
//! sequences records at once.

#![forbid(unsafe_code)]

use bytes::BytesMut;
use dynamo_metrics_core::{Buckets, Opts, Registry};
use dynamo_metrics_encoder::Encoder;
use std::hint::black_box;
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

fn main() {
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

    let scraping = AtomicBool::new(false);
    let done = AtomicBool::new(false);
    let scrapes = AtomicU64::new(0);
    let mut quiet = Vec::new();
    let mut scraped = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut encoder = Encoder::new();
            let mut body = BytesMut::new();
            while !done.load(Ordering::Relaxed) {
                let started = Instant::now();
                if scraping.load(Ordering::Relaxed) {
                    body.clear();
                    encoder.encode(&registry, &mut body);
                    black_box(&body);
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

    println!("{} tokens a batch, {} scrapes of {SERIES} series\n", BATCH, scrapes.into_inner());
    println!("| ns a token | p50 | p99 | p99.9 |\n|---|---|---|---|");
    let [quiet, scraped] = [quiet, scraped].map(quantiles);
    for (what, row) in [("without scrapes", quiet), ("with 100 scrapes a second", scraped)] {
        println!("| {what} | {:.2} | {:.2} | {:.2} |", row[0], row[1], row[2]);
    }
    let ratio = |i: usize| scraped[i] / quiet[i];
    println!("| ratio | {:.3} | {:.3} | {:.3} |", ratio(0), ratio(1), ratio(2));
}

/// Median, 99th and 99.9th percentile, in ns a token.
fn quantiles(mut times: Vec<u64>) -> [f64; 3] {
    times.sort_unstable();
    [0.5, 0.99, 0.999].map(|quantile| {
        let at = (times.len() as f64 * quantile) as usize;
        times[at.min(times.len() - 1)] as f64 / BATCH as f64
    })
}
