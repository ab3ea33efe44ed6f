//! The HTTP frontend's metrics: `dynamo_frontend_*`.
//!
//! A request is one value, a [`Request`], from the start of its handler to the end of its response, and it
//! moves every metric that a request moves. So the metrics fit together by construction:
//!
//! * `queued_requests` is at most `inflight_requests`, in every scrape.
//! * At rest both are 0, `requests_total` is the count of `request_duration_seconds` and of
//!   `output_sequence_tokens`, and `output_tokens_total` is the sum of `output_sequence_tokens`.
//! * A request is an error unless somebody said that it succeeded, whichever way it ended.
//! * No name that a client made up becomes a series, but for the first few where
//!   [`FrontendConfig::unserved_models_max`] allows it.
//!
//! ```text
//! begin         inflight +1, queued +1
//! first tokens  queued -1, time to first token, input tokens        output_tokens_total + n
//! later tokens  inter-token latency, n times                        output_tokens_total + n
//! end           requests_total, duration, output tokens, inflight -1
//! reject        queued -1, inflight -1, rejected_requests_total: as if it had never begun
//! ```

mod catalogue;
mod config;
mod request;
mod vocabulary;

pub use config::{BucketBounds, FrontendBuckets, FrontendConfig, UNSERVED_MODELS_MAX_DEFAULT};
pub use request::Request;
pub use vocabulary::{HttpEndpoint, MigrationType, RejectionReason, RequestType, Status};

pub(crate) use catalogue::{Catalogue, ModelMetrics};

use crate::clock::{Clock, Timestamp};
use crate::error::MetricsError;
use crate::model::Models;
use dynamo_metrics_core::Registry;
use std::sync::Arc;

/// The metrics of one frontend. Cheap to clone; clones are the same.
///
/// ```
/// use dynamo_metrics::{
///     FrontendConfig, FrontendMetrics, HttpEndpoint, ModelCard, Registry, RequestType,
///     RuntimeConfig, Timestamp,
/// };
///
/// let frontend = FrontendMetrics::new(&Registry::new(), FrontendConfig::default())?;
/// let card = ModelCard { context_length: 4096, kv_cache_block_size: 16, migration_limit: 3 };
/// frontend.models().add("Qwen/Qwen3-0.6B", 1, &card, &RuntimeConfig::default());
///
/// let at = |ms: u64| Timestamp::from_nanos(ms * 1_000_000);
/// let mut request = frontend.begin(
///     HttpEndpoint::ChatCompletions, RequestType::Stream, "Qwen/Qwen3-0.6B", at(0),
/// );
/// request.input_tokens(24);
/// request.tokens(1, at(30)); // time to first token: 30 ms
/// request.tokens(1, at(40)); // inter-token latency: 10 ms
/// request.succeed(at(41));
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FrontendMetrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    catalogue: Arc<Catalogue>,
    models: Models,
}

impl FrontendMetrics {
    /// Makes the frontend's metrics in `registry`. A runtime's own registry will do, then one page shows both.
    ///
    /// # Errors
    /// A prefix that no metric name begins with, bounds that are none, or a metric of the same name that
    /// differs.
    pub fn new(registry: &Registry, config: FrontendConfig) -> Result<Self, MetricsError> {
        let catalogue = Arc::new(Catalogue::new(registry, config)?);
        let models = Models::new(Arc::clone(&catalogue));
        Ok(Self { inner: Arc::new(Inner { catalogue, models }) })
    }

    /// The models that workers serve.
    pub fn models(&self) -> &Models {
        &self.inner.models
    }

    /// A request entered its handler at `now`: inflight rises, then queued. Its time to first token and its
    /// duration count from `now`.
    ///
    /// `model` is compared as it stands with the names that workers registered. A request for a name that
    /// nobody serves is shown under `unknown_model`, unless it is
    /// [let in](FrontendConfig::unserved_models_max); call [`Request::reject`] on it.
    ///
    /// Cost: a read lock, a lookup of the model and a reference count; no allocation.
    pub fn begin(
        &self,
        endpoint: HttpEndpoint,
        request_type: RequestType,
        model: &str,
        now: Timestamp,
    ) -> Request {
        Request::begin(self.inner.models.resolve(model), endpoint, request_type, now)
    }

    /// A request was turned away before there was a [`Request`], as when its body is no JSON.
    pub fn reject(&self, endpoint: HttpEndpoint, reason: RejectionReason) {
        self.inner.catalogue.reject(endpoint, reason);
    }

    /// A client closed its connection before its response was complete. This gauge never falls, as in Dynamo.
    pub fn client_disconnected(&self) {
        self.inner.catalogue.disconnected_clients.inc();
    }

    /// The instant now, by the clock that ends dropped requests.
    pub fn now(&self) -> Timestamp {
        self.inner.catalogue.clock.now()
    }

    /// The clock that ends dropped requests.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.catalogue.clock
    }
}
