//! The page of a worker of dynamo-runtime, and the metrics of its requests, with either crate `prometheus`: built and run by
//! `ci/swap-dynamo.sh --figures`.
//!
//! ```text
//! page ENDPOINTS           prints the page
//! pages ENDPOINTS TIMES    generates it so many times, after one request each; prints nanoseconds a page
//! requests 1 TIMES         records the metrics of so many requests; prints nanoseconds a request
//! ```
//!
//! Each endpoint has the metrics that dynamo-runtime gives to an endpoint with a work handler, with a label of a model.

use dynamo_runtime::distributed::DistributedConfig;
use dynamo_runtime::metrics::MetricsHierarchy;
use dynamo_runtime::pipeline::network::ingress::push_handler::WorkHandlerMetrics;
use dynamo_runtime::{DistributedRuntime, Runtime};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Records what a work handler records for one request, with a duration that differs from one to the next.
fn request(metrics: &WorkHandlerMetrics, number: u32) {
    metrics.request_counter.inc();
    metrics.request_bytes.inc_by(512);
    metrics.inflight_requests.inc();
    metrics.response_bytes.inc_by(64);
    metrics.inflight_requests.dec();
    // A sum of powers of two is the same in each order of additions.
    metrics.request_duration.observe(f64::from(1 + number % 4096) / 1024.0);
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().ok_or("page, pages or requests")?;
    let endpoints: usize = arguments.next().ok_or("how many endpoints")?.parse()?;
    let times: u32 = arguments.next().map_or(Ok(1), |times| times.parse())?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let runtime = Runtime::from_current()?;
        let worker = DistributedRuntime::new(runtime, DistributedConfig::process_local()).await?;
        let component = worker.namespace("dynamo")?.component("backend")?;
        let endpoints: Vec<_> =
            (0..endpoints).map(|i| component.endpoint(format!("generate{i}"))).collect();
        let labels = [("model", "meta-llama/Llama-3.1-8B-Instruct")];
        let metrics = endpoints
            .iter()
            .map(|endpoint| WorkHandlerMetrics::from_endpoint(endpoint, Some(&labels)))
            .collect::<Result<Vec<_>>>()?;
        for (number, metrics) in (0..).zip(&metrics) {
            request(metrics, number);
            for error in ["deserialization", "generate", "publish_response", "invalid_message"] {
                metrics.error_counter.with_label_values(&[error]).inc();
            }
        }
        let first = metrics.first().ok_or("at least one endpoint")?;
        let start = Instant::now();
        match &*mode {
            "page" => print!("{}", worker.metrics().prometheus_expfmt()?),
            "pages" => {
                for number in 0..times {
                    request(first, number);
                    black_box(worker.metrics().prometheus_expfmt()?);
                }
                println!("{}", start.elapsed().as_nanos() / u128::from(times));
            }
            "requests" => {
                for number in 0..times {
                    request(black_box(first), number);
                }
                println!("{}", start.elapsed().as_nanos() / u128::from(times));
            }
            other => return Err(format!("no mode {other}").into()),
        }
        Ok(())
    })
}
