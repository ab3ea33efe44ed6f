//! The work handler's metrics: a worker's metrics of every request to one of its endpoints.
//!
//! All of them are on the page with zeros from the moment the endpoint is served, so that rates are right from the
//! first request and the first error on. **Every end of a request counts**: the guard observes the duration and lowers
//! the gauge also where it is dropped, so at rest `requests_total` equals the count of `request_duration_seconds` and
//! `inflight_requests` is 0.

use crate::clock::{Clock, Timestamp};
use crate::error::MetricsError;
use crate::health::{HealthStatus, Traffic};
use crate::hierarchy::Endpoint;
use crate::names::work_handler::{self, error_types};
use dynamo_metrics_core::{Buckets, Counter, Family, IntegerHistogram, Opts, Scale, UpDownCounter};
use std::sync::Arc;

/// The part of a worker's handling of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorType {
    /// The request's bytes are not a request.
    Deserialization,
    /// The message around the request is not valid.
    InvalidMessage,
    /// The stream for the response could not be opened.
    ResponseStream,
    /// The engine refused or failed.
    Generate,
    /// A part of the response could not be sent, as after the client left.
    PublishResponse,
    /// The end of the response could not be sent.
    PublishFinal,
}

impl ErrorType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::Deserialization,
        Self::InvalidMessage,
        Self::ResponseStream,
        Self::Generate,
        Self::PublishResponse,
        Self::PublishFinal,
    ];

    /// Returns the label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deserialization => error_types::DESERIALIZATION,
            Self::InvalidMessage => error_types::INVALID_MESSAGE,
            Self::ResponseStream => error_types::RESPONSE_STREAM,
            Self::Generate => error_types::GENERATE,
            Self::PublishResponse => error_types::PUBLISH_RESPONSE,
            Self::PublishFinal => error_types::PUBLISH_FINAL,
        }
    }
}

impl Endpoint {
    /// Registers the endpoint's work handler metrics and lists the endpoint as ready in `/health`.
    ///
    /// Each metric has the `metrics_labels` beside the automatic labels, as `("model", name)`; their values keep their
    /// case. A second call with the same labels returns the same metrics.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, ErrorType, Timestamp};
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let endpoint = runtime.namespace("default")?.component("backend")?.endpoint("generate")?;
    /// let handler = endpoint.serve(&[("model", "Qwen/Qwen3-0.6B")])?;
    /// let request = handler.begin(1146, Timestamp::from_nanos(0));
    /// assert_eq!(handler.inflight(), 1);
    /// request.error(ErrorType::PublishResponse);
    /// request.finish(Timestamp::from_nanos(20_000_000));
    /// assert_eq!((handler.requests(), handler.inflight()), (1, 0));
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// A label name that is invalid, repeated or one of the automatic ones; an endpoint that is served
    /// already with other label names.
    pub fn serve(
        &self,
        metrics_labels: &[(&str, &str)],
    ) -> Result<WorkHandlerMetrics, MetricsError> {
        let opts = |name: &str, help: &str| {
            let opts = Opts::new(name, help);
            metrics_labels
                .iter()
                .fold(opts, |opts, (label, value)| opts.const_label(*label, *value))
        };
        let metrics = self.metrics();
        let handler = Handler {
            requests: metrics
                .counter(opts(work_handler::REQUESTS_TOTAL, "Requests that reached the worker."))?,
            inflight: metrics.up_down_counter(opts(
                work_handler::INFLIGHT_REQUESTS,
                "Requests that the worker has accepted and not yet finished.",
            ))?,
            request_bytes: metrics.counter(opts(
                work_handler::REQUEST_BYTES_TOTAL,
                "Bytes of requests as they arrived, header included.",
            ))?,
            response_bytes: metrics.counter(opts(
                work_handler::RESPONSE_BYTES_TOTAL,
                "Bytes of responses as they were serialized, end marker included.",
            ))?,
            duration: metrics.integer_histogram(
                opts(
                    work_handler::REQUEST_DURATION_SECONDS,
                    "Time from a request's arrival to the end of its response, in seconds.",
                ),
                &Buckets::default(),
                Scale::Nano,
            )?,
            errors: metrics.counter_family(
                opts(work_handler::ERRORS_TOTAL, "Errors while handling requests, by what failed."),
                [work_handler::ERROR_TYPE_LABEL],
            )?,
            clock: Arc::clone(self.runtime().clock()),
        };
        // Created at 0, so that `rate()` sees the first error.
        for error_type in ErrorType::ALL {
            handler.errors.with([error_type.as_str()]);
        }
        self.runtime().health().set_endpoint(self.name(), HealthStatus::Ready);
        Ok(WorkHandlerMetrics { handler: Arc::new(handler) })
    }
}

/// The metrics of one served endpoint; see [`Endpoint::serve`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WorkHandlerMetrics {
    handler: Arc<Handler>,
}

#[derive(Debug)]
struct Handler {
    requests: Counter,
    inflight: UpDownCounter,
    request_bytes: Counter,
    response_bytes: Counter,
    duration: IntegerHistogram,
    errors: Family<Counter, 1>,
    /// Read only where a request is dropped without an instant.
    clock: Arc<dyn Clock>,
}

impl WorkHandlerMetrics {
    /// Begins a request that arrived at `now`. `request_bytes` is its length as it arrived, header included. Call it before
    /// decoding, so that a request that cannot be decoded counts too.
    pub fn begin(&self, request_bytes: u64, now: Timestamp) -> WorkRequest {
        let handler = &self.handler;
        handler.inflight.inc();
        handler.requests.inc();
        handler.request_bytes.add(request_bytes);
        WorkRequest { handler: Arc::clone(handler), started: now, open: true }
    }

    /// Returns the number of requests. For tests and displays: it reads every shard.
    pub fn requests(&self) -> u64 {
        self.handler.requests.get()
    }

    /// Returns the finished requests, and the errors of any type. It reads every shard.
    pub(super) fn traffic(&self) -> Traffic {
        let errors = ErrorType::ALL.iter().map(|error| {
            self.handler.errors.get([error.as_str()]).map_or(0, |errors| errors.get())
        });
        let finished = self.handler.duration.get().counts.iter().sum();
        Traffic { finished, errors: errors.sum() }
    }

    /// Returns the number of requests in progress. For tests and displays: it reads every shard.
    pub fn inflight(&self) -> i64 {
        self.handler.inflight.get()
    }
}

/// One request at a worker. Dropped without [`finish`](Self::finish) it ends at the instant of the drop.
#[derive(Debug)]
#[must_use = "the request ends when this is dropped"]
pub struct WorkRequest {
    handler: Arc<Handler>,
    started: Timestamp,
    open: bool,
}

impl WorkRequest {
    /// Counts the bytes of a part of the response, the end marker included. Call it before sending, so that a part that
    /// cannot be sent counts too.
    #[inline]
    pub fn response_bytes(&self, bytes: u64) {
        self.handler.response_bytes.add(bytes);
    }

    /// Counts an error. The request goes on; it may count several errors.
    #[cold]
    pub fn error(&self, error: ErrorType) {
        self.handler.errors.with([error.as_str()]).inc();
    }

    /// Ends the request at `now`.
    pub fn finish(mut self, now: Timestamp) {
        self.end(now);
    }

    fn end(&mut self, now: Timestamp) {
        self.open = false;
        self.handler.duration.observe(now.nanos_since(self.started));
        self.handler.inflight.dec();
    }
}

impl Drop for WorkRequest {
    fn drop(&mut self) {
        if self.open {
            self.end(self.handler.clock.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::{DistributedRuntime, RuntimeOptions};
    use crate::{Snapshot, VirtualClock};
    use std::time::Duration;

    fn serve(clock: &Arc<VirtualClock>) -> (Endpoint, WorkHandlerMetrics) {
        let options = RuntimeOptions { clock: clock.clone(), ..RuntimeOptions::default() };
        let runtime = DistributedRuntime::with_options(options).unwrap();
        let component = runtime.namespace("ns").unwrap().component("backend").unwrap();
        let endpoint = component.endpoint("generate").unwrap();
        let handler = endpoint.serve(&[("model", "Org/Model-X")]).unwrap();
        (endpoint, handler)
    }

    #[test]
    fn zeros_from_the_start() {
        let (endpoint, _handler) = serve(&Arc::new(VirtualClock::new()));
        let mut snapshot = Snapshot::new();
        snapshot.take(endpoint.metrics().registry());
        let series: Vec<(&str, usize)> = snapshot
            .families()
            .map(|family| (family.name(), family.parts().map(|part| part.len()).sum()))
            .collect();
        let expected = [
            ("dynamo_component_errors_total", ErrorType::ALL.len()),
            ("dynamo_component_inflight_requests", 1),
            ("dynamo_component_request_bytes_total", 1),
            ("dynamo_component_request_duration_seconds", 1),
            ("dynamo_component_requests_total", 1),
            ("dynamo_component_response_bytes_total", 1),
        ];
        assert_eq!(series, expected);
        let part = snapshot.families().nth(1).unwrap().parts().next().unwrap();
        assert!(part.descriptor().const_labels().any(|l| l == ("model", "Org/Model-X")));
    }

    #[test]
    fn every_exit_observes_the_duration() {
        let clock = Arc::new(VirtualClock::new());
        let (_endpoint, handler) = serve(&clock);
        let finished = handler.begin(10, Timestamp::from_nanos(0));
        let dropped = handler.begin(5, Timestamp::from_nanos(0));
        assert_eq!(handler.inflight(), 2);
        finished.response_bytes(7);
        finished.finish(Timestamp::from_nanos(4_000_000));
        clock.advance(Duration::from_secs(20));
        dropped.error(ErrorType::Generate);
        drop(dropped);
        let metrics = &handler.handler;
        let durations = metrics.duration.get();
        assert_eq!(durations.counts, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(durations.sum, 20.004);
        assert_eq!((handler.requests(), handler.inflight()), (2, 0));
        assert_eq!((metrics.request_bytes.get(), metrics.response_bytes.get()), (15, 7));
        assert_eq!(metrics.errors.get(["generate"]).unwrap().get(), 1);
        let errors = ErrorType::ALL.map(|e| metrics.errors.get([e.as_str()]).unwrap().get());
        assert_eq!(errors.iter().sum::<u64>(), 1);
    }

    #[test]
    fn serving_twice_is_serving_once() {
        let (endpoint, handler) = serve(&Arc::new(VirtualClock::new()));
        let again = endpoint.serve(&[("model", "Org/Model-X")]).unwrap();
        again.begin(1, Timestamp::default()).finish(Timestamp::default());
        assert_eq!(handler.requests(), 1);
        assert!(endpoint.serve(&[("model_name", "x")]).is_err());
        assert!(endpoint.serve(&[("dynamo_endpoint", "x")]).is_err());
        let ready = endpoint.runtime().health().endpoint("generate");
        assert_eq!(ready, Some(HealthStatus::Ready));
    }
}
