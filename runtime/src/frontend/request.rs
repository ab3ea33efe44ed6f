//! The life of one request, from the start of its handler to the end of its response.
//!
//! Everything that a token needs was resolved when the request began: recording one is a few additions, without
//! a lookup, a lock, an allocation or a clock reading. What is over is over by type: ending a request consumes
//! it, and dropping it without an end is an error at the instant of the drop.

use super::catalogue::ModelMetrics;
use super::vocabulary::{HttpEndpoint, MigrationType, RejectionReason, RequestType, Status};
use crate::clock::Timestamp;
use dynamo_metrics_core::{Exemplar, Histogram};
use std::sync::Arc;

/// A request in progress. Made by [`FrontendMetrics::begin`](crate::FrontendMetrics::begin).
///
/// Instants may come from any clock with one fixed origin; where they go backwards, the time between counts
/// as 0.
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
    /// Whether the engine said how much of the prompt was cached.
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

    /// The request belongs to this trace: its time to first token and its duration keep it as an exemplar, which
    /// OpenMetrics and protobuf show. [`traceparent`](crate::traceparent) reads it from a request's head.
    pub fn trace(&mut self, exemplar: Exemplar) {
        self.trace = Some(exemplar);
    }

    /// The prompt has `n` tokens. Observed at the first token of the response, or now if that was before; of
    /// several calls the last one before the first token counts.
    pub fn input_tokens(&mut self, n: u64) {
        if self.queued {
            self.input_tokens = Some(n);
        } else if self.input_tokens.is_none() {
            self.input_tokens = Some(n);
            self.model.flow().input_tokens.observe(n as f64);
        }
    }

    /// `n` tokens of the prompt came from a prefix cache. The first call counts, later ones are ignored: a request
    /// of several prompts says the sum, once it knows it.
    pub fn cached_tokens(&mut self, n: u64) {
        if !self.cached {
            self.cached = true;
            self.model.cached_tokens().observe(n as f64);
        }
    }

    /// A chunk of `n` tokens of the response came at `now`; a chunk of none is ignored.
    ///
    /// The first chunk ends the queue and gives the time to first token. For a later one the time since the
    /// chunk before is shared by its tokens: `n` observations of the `n`th part.
    ///
    /// Cost: a few additions in memory that only this thread writes; never an allocation but for a thread's
    /// first recording.
    #[inline(always)]
    pub fn tokens(&mut self, n: u64, now: Timestamp) {
        if n == 0 {
            return;
        }
        let flow = self.model.flow();
        flow.output_tokens_total.add(n);
        self.output_tokens = self.output_tokens.wrapping_add(n);
        if self.queued {
            self.first_tokens(now);
        } else {
            let latency = now.seconds_since_over(self.last_tokens, n);
            flow.inter_token_latency.observe_n(latency, n);
        }
        self.last_tokens = self.last_tokens.max(now);
    }

    /// The request is being moved to another worker. Call it when that happens, not for a move that is given up.
    pub fn migration(&self, migration_type: MigrationType) {
        self.model.migrations(migration_type).inc();
    }

    /// Tokens of the response so far.
    pub fn output_tokens(&self) -> u64 {
        self.output_tokens
    }

    /// The request is turned away before it was worked on: it leaves no trace but in
    /// `rejected_requests_total`. One that already got tokens cannot be turned away any more and fails now.
    pub fn reject(mut self, reason: RejectionReason) {
        if self.output_tokens > 0 {
            return;
        }
        self.open = false;
        self.leave_queue();
        self.model.catalogue.reject(self.endpoint, reason);
        self.model.inflight.dec();
    }

    /// The response was complete at `now`.
    pub fn succeed(mut self, now: Timestamp) {
        self.end(Status::Success, now);
    }

    /// The request ended at `now` and its response is not complete.
    pub fn fail(mut self, now: Timestamp) {
        self.end(Status::Error, now);
    }

    /// The client went away at `now`, before its response was complete. The request ends as one that
    /// [failed](Self::fail), `cancelled_requests_total` counts it too, and `disconnected_clients` rises: so clients that leave can be
    /// subtracted from errors.
    ///
    /// ```
    /// # use dynamo_metrics::{
    /// #     DistributedRuntime, FrontendConfig, FrontendMetrics, HttpEndpoint, MetricsExposition, ModelCard, RequestType,
    /// #     RuntimeConfig, Timestamp,
    /// # };
    /// # let runtime = DistributedRuntime::new()?;
    /// # let frontend = FrontendMetrics::new(runtime.registry(), FrontendConfig::default())?;
    /// # frontend.models().add("m", 1, &ModelCard::default(), &RuntimeConfig::default());
    /// let at = Timestamp::from_nanos;
    /// frontend.begin(HttpEndpoint::Completions, RequestType::Stream, "m", at(0)).cancel(at(5));
    /// # let mut page = dynamo_metrics_server::bytes::BytesMut::new();
    /// # MetricsExposition::of_runtime(&runtime).write(&mut page);
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
        self.model.cancelled(self.endpoint, self.request_type).inc();
    }

    #[cold]
    fn first_tokens(&mut self, now: Timestamp) {
        self.leave_queue();
        let flow = self.model.flow();
        let waited = now.seconds_since(self.started);
        observe(&flow.time_to_first_token, waited, self.trace.as_ref());
        if let Some(n) = self.input_tokens {
            flow.input_tokens.observe(n as f64);
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
        flow.output_tokens.observe(self.output_tokens as f64);
        let duration = now.seconds_since(self.started);
        observe(&flow.request_duration, duration, self.trace.as_ref());
        self.model.requests(self.endpoint, self.request_type, status).inc();
        self.model.inflight.dec();
    }
}

fn observe(histogram: &Histogram, value: f64, trace: Option<&Exemplar>) {
    match trace {
        Some(exemplar) => histogram.observe_with_exemplar(value, exemplar),
        None => histogram.observe(value),
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.open {
            self.end(Status::Error, self.model.catalogue.clock.now());
        }
    }
}
