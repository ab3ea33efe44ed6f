//! The life of one request, from the start of its handler to the end of its response.
//!
//! The series of a token are resolved when the request begins: recording a token is a few additions, without
//! a lookup, a lock, an allocation or a clock reading. The methods that end a request consume it; a request that is
//! dropped without one of them ends as an error at the instant of the drop.

use super::model_metrics::ModelMetrics;
use super::vocabulary::{HttpEndpoint, MigrationType, RejectionReason, RequestType, Status};
use crate::clock::Timestamp;
use dynamo_metrics_core::Exemplar;
use std::sync::Arc;

/// A request in progress, from [`FrontendMetrics::begin`](crate::FrontendMetrics::begin).
///
/// Instants may come from any clock with a fixed origin; between two that go backwards the time is 0.
///
/// ```
/// # use dynamo_metrics::{
/// #     FrontendConfig, FrontendMetrics, HttpEndpoint, Registry, RejectionReason, RequestType, Snapshot,
/// #     Timestamp,
/// # };
/// # let registry = Registry::new();
/// # let frontend = FrontendMetrics::new(&registry, FrontendConfig::default())?;
/// let request = frontend.begin(
///     HttpEndpoint::Completions, RequestType::Unary, "made-up-by-a-client", Timestamp::from_nanos(0),
/// );
/// request.reject(RejectionReason::NotFound);
///
/// let mut snapshot = Snapshot::new();
/// snapshot.take(&registry);
/// let requests = snapshot.families().find(|f| f.name() == "dynamo_frontend_requests_total").unwrap();
/// assert!(requests.parts().all(|part| part.is_empty()));
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Debug)]
#[must_use = "the request fails when this is dropped"]
pub struct Request {
    model: Arc<ModelMetrics>,
    endpoint: HttpEndpoint,
    request_type: RequestType,
    /// No token yet.
    queued: bool,
    /// True if the number of cached tokens is recorded.
    cached: bool,
    open: bool,
    started: Timestamp,
    last_tokens: Timestamp,
    input_tokens: Option<u64>,
    output_tokens: u64,
    trace: Option<Exemplar>,
}

impl Request {
    pub(super) fn begin(
        model: Arc<ModelMetrics>,
        endpoint: HttpEndpoint,
        request_type: RequestType,
        now: Timestamp,
    ) -> Self {
        // Inflight rises first and falls last, so that queued exceeds it in no scrape.
        model.inflight.inc();
        model.queued.inc();
        Self {
            model,
            endpoint,
            request_type,
            queued: true,
            cached: false,
            open: true,
            started: now,
            last_tokens: now,
            input_tokens: None,
            output_tokens: 0,
            trace: None,
        }
    }

    /// Sets the trace of the request: its time to first token and its duration keep it as an exemplar, which
    /// OpenMetrics and protobuf show. [`parse_traceparent`](crate::parse_traceparent) reads it from a request's head.
    pub fn trace(&mut self, exemplar: Exemplar) {
        self.trace = Some(exemplar);
    }

    /// Sets the number of tokens of the prompt. It is observed at the first token of the response, or at once where that
    /// has come; of several calls the last one before the first token counts.
    pub fn input_tokens(&mut self, n: u64) {
        if self.queued {
            self.input_tokens = Some(n);
        } else if self.input_tokens.is_none() {
            self.input_tokens = Some(n);
            self.model.flow().input_tokens.observe(n);
        }
    }

    /// Observes the number of tokens of the prompt that came from a prefix cache. Only the first call counts: for a request
    /// of several prompts, call it once with the sum.
    pub fn cached_tokens(&mut self, n: u64) {
        if !self.cached {
            self.cached = true;
            self.model.cached_tokens().observe(n);
        }
    }

    /// Records a chunk of `n` tokens of the response that came at `now`; an empty chunk is ignored.
    ///
    /// The first chunk ends the queue and gives the time to first token. For a later one the time since the
    /// chunk before is shared by its tokens: `n` observations of the `n`th part, whose sum is that time to the nanosecond.
    ///
    /// Cost: a few additions in memory that only this thread writes; never an allocation but for a thread's
    /// first recording.
    #[inline(always)]
    pub fn tokens(&mut self, n: u64, now: Timestamp) {
        if n == 0 {
            return;
        }
        self.output_tokens = self.output_tokens.wrapping_add(n);
        let since = now.nanos_since(self.last_tokens);
        self.last_tokens = self.last_tokens.max(now);
        if self.queued {
            return self.first_tokens(n, now);
        }
        let flow = self.model.flow();
        flow.inter_token_latency.observe_split_and_count(since, n, &flow.output_tokens_total);
    }

    /// Counts a migration of the request to another worker. Call it when the request moves, not for an attempt that is
    /// given up.
    pub fn migration(&self, migration_type: MigrationType) {
        self.model.migrations(migration_type).inc();
    }

    /// Returns the number of tokens of the response so far.
    pub fn output_tokens(&self) -> u64 {
        self.output_tokens
    }

    /// Rejects the request before work on it begins: only `rejected_requests_total` counts it. A request that already has
    /// tokens cannot be rejected any more and fails now.
    pub fn reject(mut self, reason: RejectionReason) {
        if self.output_tokens > 0 {
            return;
        }
        self.open = false;
        self.leave_queue();
        self.model.catalogue.reject(self.endpoint, reason);
        self.model.inflight.dec();
    }

    /// Ends the request, whose response was complete at `now`.
    pub fn succeed(mut self, now: Timestamp) {
        self.end(Status::Success, now);
    }

    /// Ends the request at `now` as an error: its response is not complete.
    pub fn fail(mut self, now: Timestamp) {
        self.end(Status::Error, now);
    }

    /// Ends the request at `now`, when its client left before the response was complete. The request ends as one that
    /// [failed](Self::fail), `cancelled_requests_total` counts it too, and `disconnected_clients` rises: so clients that
    /// leave can be subtracted from errors.
    ///
    /// ```
    /// # use dynamo_metrics::{
    /// #     DistributedRuntime, FrontendConfig, FrontendMetrics, HttpEndpoint, ModelCard, RequestType,
    /// #     RuntimeConfig, Timestamp,
    /// # };
    /// # let runtime = DistributedRuntime::new()?;
    /// # let frontend = FrontendMetrics::new(runtime.registry(), FrontendConfig::default())?;
    /// # frontend.models().add("m", 1, &ModelCard::default(), &RuntimeConfig::default());
    /// let at = Timestamp::from_nanos;
    /// frontend.begin(HttpEndpoint::Completions, RequestType::Stream, "m", at(0)).cancel(at(5));
    /// # let mut page = dynamo_metrics_server::bytes::BytesMut::new();
    /// # runtime.exposition().write(&mut page);
    /// # let page = std::str::from_utf8(&page).unwrap();
    /// let labels = r#"{model="m",endpoint="completions",request_type="stream""#;
    /// assert!(page.contains(&format!("dynamo_frontend_cancelled_requests_total{labels}}} 1\n")));
    /// assert!(page.contains(&format!("dynamo_frontend_requests_total{labels},status=\"error\"}} 1\n")));
    /// assert!(page.contains("dynamo_frontend_disconnected_clients 1\n"));
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    pub fn cancel(mut self, now: Timestamp) {
        self.model.catalogue.disconnected_clients.inc();
        self.end(Status::Error, now);
        self.model.cancelled(self.endpoint, self.request_type).add(1.0);
    }

    #[cold]
    fn first_tokens(&mut self, n: u64, now: Timestamp) {
        self.model.flow().output_tokens_total.add(n);
        self.leave_queue();
        let flow = self.model.flow();
        let waited = now.nanos_since(self.started);
        flow.time_to_first_token.observe_traced(waited, self.trace.as_ref());
        if let Some(n) = self.input_tokens {
            flow.input_tokens.observe(n);
        }
    }

    fn leave_queue(&mut self) {
        if self.queued {
            self.queued = false;
            self.model.queued.dec();
        }
    }

    fn end(&mut self, status: Status, now: Timestamp) {
        self.open = false;
        self.leave_queue();
        let flow = self.model.flow();
        flow.output_tokens.observe(self.output_tokens);
        let duration = now.nanos_since(self.started);
        flow.request_duration.observe_traced(duration, self.trace.as_ref());
        self.model.requests(self.endpoint, self.request_type, status).inc();
        self.model.inflight.dec();
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.open {
            self.end(Status::Error, self.model.catalogue.clock.now());
        }
    }
}
