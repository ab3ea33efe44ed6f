//! A worker's endpoint `generate`: requests in, frames out, every byte and error counted.

use crate::engine::real_time::{Engine, GenerateRequest};
use crate::engine::token_stream::{EngineError, TokenStream};
use crate::failure::Failure;
use crate::protocol::{Frame, GENERATE_PATH, Generate};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use dynamo_metrics::{
    Canary, Clock, Component, ErrorType, KvStatsMetrics, MetricsError, MonotonicClock,
    WorkHandlerMetrics, WorkRequest,
};
use futures_util::stream;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The endpoint's name.
pub(crate) const ENDPOINT: &str = "generate";

/// The service that answers a worker's requests.
#[derive(Clone, Debug)]
pub(crate) struct WorkService {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    /// The handlers by model: its requests carry its name.
    handlers: HashMap<String, WorkHandlerMetrics>,
    /// For requests that name no model of this worker or cannot be read.
    first: WorkHandlerMetrics,
    clock: Arc<MonotonicClock>,
}

impl WorkService {
    /// Makes the component's metrics for each model, and publishes the engine's figures whenever they change.
    /// Must be called within tokio.
    pub(crate) fn new(
        component: &Component,
        engine: Engine,
        models: &[String],
    ) -> Result<Self, MetricsError> {
        let endpoint = component.endpoint(ENDPOINT)?;
        let mut handlers = HashMap::new();
        for model in models {
            handlers.insert(model.clone(), endpoint.serve(&[("model", model)])?);
        }
        let first = models.first().map_or("", String::as_str);
        let first = endpoint.serve(&[("model", first)])?;
        let stats = component.kv_stats()?;
        tokio::spawn(publish(engine.clone(), stats));
        let clock = Arc::new(MonotonicClock::new());
        Ok(Self { inner: Arc::new(Inner { engine, handlers, first, clock }) })
    }

    /// Sends the endpoint canaries, where the environment asks for them: requests for one token, which take every
    /// step but the socket. Must be called within tokio.
    pub(crate) fn canary(&self, component: &Component) -> Result<Canary, Failure> {
        let (service, tokio) = (self.clone(), Handle::current());
        let endpoint = component.endpoint(ENDPOINT)?;
        let send = move || tokio.block_on(service.one_token());
        Ok(endpoint.canary(&self.inner.first, send)?)
    }

    async fn one_token(&self) -> Result<(), String> {
        let Inner { engine, first, clock, .. } = &*self.inner;
        let work = first.begin(0, clock.now());
        let tokens =
            engine.submit(GenerateRequest { input_tokens: 1, max_tokens: 1, ..Default::default() });
        let mut answer = Answer { tokens, work: Some(work), clock: Arc::clone(clock) };
        while let Some(frame) = answer.next().await {
            frame.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The service as an axum router.
    pub(crate) fn router(self) -> Router {
        Router::new().route(GENERATE_PATH, post(generate)).with_state(self)
    }
}

/// Follows the engine until it is gone.
async fn publish(engine: Engine, metrics: KvStatsMetrics) {
    let mut figures = engine.watch();
    drop(engine);
    loop {
        let now = crate::protocol::Stats::from(*figures.borrow_and_update());
        metrics.publish(&now.into());
        if figures.changed().await.is_err() {
            return;
        }
    }
}

async fn generate(State(service): State<WorkService>, headers: HeaderMap, body: Bytes) -> Response {
    let Inner { engine, handlers, first, clock } = &*service.inner;
    let head: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let bytes = (head + body.len()) as u64;
    let request = match serde_json::from_slice::<Generate>(&body) {
        Ok(request) => request,
        Err(error) => {
            let work = first.begin(bytes, clock.now());
            work.error(ErrorType::Deserialization);
            work.finish(clock.now());
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
    };
    let Some(handler) = handlers.get(&request.model) else {
        let work = first.begin(bytes, clock.now());
        work.error(ErrorType::InvalidMessage);
        work.finish(clock.now());
        return (StatusCode::NOT_FOUND, "no such model").into_response();
    };
    let work = handler.begin(bytes, clock.now());
    let tokens = engine.submit(GenerateRequest {
        blocks: request.blocks,
        input_tokens: request.input_tokens,
        max_tokens: request.max_tokens,
        seed: request.seed,
        answered_tokens: request.answered_tokens,
    });
    // Before the first frame the status can report it, and the frontend can ask another worker.
    if let Some(refusal) = tokens.refusal() {
        work.error(ErrorType::Generate);
        work.finish(clock.now());
        let status = match refusal {
            EngineError::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            EngineError::Dead => StatusCode::SERVICE_UNAVAILABLE,
        };
        return (status, refusal.to_string()).into_response();
    }
    let answer = Answer { tokens, work: Some(work), clock: Arc::clone(clock) };
    let frames = stream::unfold(answer, |mut answer| async {
        answer.next().await.map(|frame| (frame, answer))
    });
    Response::new(Body::from_stream(frames))
}

/// An answer on its way. If it is dropped before its last frame, the frontend went away.
struct Answer {
    tokens: TokenStream,
    /// `None` after the last frame.
    work: Option<WorkRequest>,
    clock: Arc<MonotonicClock>,
}

impl Answer {
    async fn next(&mut self) -> Option<Result<Bytes, EngineError>> {
        self.work.as_ref()?;
        let frame = match self.tokens.next().await {
            Some(Ok(chunk)) => Frame {
                tokens: chunk.tokens,
                text: chunk.text,
                cached_tokens: chunk.cached_tokens,
                last: chunk.finish_reason.is_some(),
            },
            Some(Err(error)) => {
                self.end(Some(ErrorType::Generate));
                return Some(Err(error));
            }
            None => Frame { last: true, ..Frame::default() },
        };
        let last = frame.last;
        let mut line = serde_json::to_vec(&frame).unwrap_or_default();
        line.push(b'\n');
        if let Some(work) = &self.work {
            work.response_bytes(line.len() as u64);
        }
        if last {
            self.end(None);
        }
        Some(Ok(line.into()))
    }

    fn end(&mut self, error: Option<ErrorType>) {
        if let Some(work) = self.work.take() {
            if let Some(error) = error {
                work.error(error);
            }
            work.finish(self.clock.now());
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.end(Some(ErrorType::PublishResponse));
    }
}
