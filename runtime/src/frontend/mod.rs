//! The HTTP frontend's metrics: `dynamo_frontend_*`.
//!
//! A request is one value, a [`Request`], from the start of its handler to the end of its response, which updates every
//! metric of the request. So the metrics fit together by construction:
//!
//! * `queued_requests` is at most `inflight_requests`, in every scrape.
//! * At rest both are 0, `requests_total` is the count of `request_duration_seconds` and of
//!   `output_sequence_tokens`, and `output_tokens_total` is the sum of `output_sequence_tokens`.
//! * A request is an error unless [`Request::succeed`] ended it.
//! * A model name that only a client uses becomes no series, except for the first
//!   [`FrontendConfig::unserved_models_max`].
//!
//! ```text
//! begin         inflight +1, queued +1
//! first tokens  queued -1, time to first token, input tokens        output_tokens_total + n
//! later tokens  inter-token latency, n times                        output_tokens_total + n
//! end           requests_total, duration, output tokens, inflight -1
//! reject        queued -1, inflight -1, rejected_requests_total
//! ```

mod card;
mod catalogue;
mod config;
mod distribution;
mod families;
mod model_metrics;
mod models;
mod request;
mod vocabulary;

pub use config::{BucketBounds, FrontendBuckets, FrontendConfig, UNSERVED_MODELS_MAX_DEFAULT};
pub use models::{
    MODEL_NAME_BYTES_MAX, MODELS_MAX, ModelCard, Models, Registration, RuntimeConfig,
};
pub use request::Request;
pub use vocabulary::{HttpEndpoint, MigrationType, RejectionReason, RequestType, Status};

use catalogue::Catalogue;

use crate::clock::{Clock, Timestamp};
use crate::error::MetricsError;
use dynamo_metrics_core::Registry;
use std::sync::Arc;

/// The metrics of one frontend. Cheap to clone; clones share them.
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
    /// Registers the frontend's metrics in `registry`. With a runtime's registry, one page has the metrics of both.
    ///
    /// # Errors
    /// An invalid prefix, invalid bounds, or another metric of one of the names.
    pub fn new(registry: &Registry, config: FrontendConfig) -> Result<Self, MetricsError> {
        let catalogue = Arc::new(Catalogue::new(registry, config)?);
        let models = Models::new(Arc::clone(&catalogue));
        Ok(Self { inner: Arc::new(Inner { catalogue, models }) })
    }

    /// Returns the models that workers serve.
    pub fn models(&self) -> &Models {
        &self.inner.models
    }

    /// Begins a request that entered its handler at `now`: inflight rises, then queued. Its time to first token and its
    /// duration count from `now`.
    ///
    /// `model` is compared, case included, with the names that workers registered. A request for a model without a
    /// worker is counted as `unknown_model`, unless the name is one of the first
    /// [`unserved_models_max`](FrontendConfig::unserved_models_max); call [`Request::reject`] on it.
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

    /// Counts a request that is rejected before there is a [`Request`], as one whose body is no JSON.
    pub fn reject(&self, endpoint: HttpEndpoint, reason: RejectionReason) {
        self.inner.catalogue.reject(endpoint, reason);
    }

    /// Counts a client that closed its connection before its response was complete. The gauge never falls, as in Dynamo.
    pub fn client_disconnected(&self) {
        self.inner.catalogue.disconnected_clients.inc();
    }

    /// Returns the present instant of the clock that ends dropped requests.
    pub fn now(&self) -> Timestamp {
        self.inner.catalogue.clock.now()
    }

    /// Returns the clock that ends dropped requests.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.catalogue.clock
    }
}
