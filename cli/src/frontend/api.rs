//! Handlers of `/v1/*`: from bytes to a generation, and from its pieces to bytes.

use super::App;
use super::generation::{Generation, GenerationError, Piece};
use super::openai::{self, Answer, Asked, Usage};
use super::tokenize;
use crate::http::limits::Limits;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dynamo_metrics::{HttpEndpoint, RejectionReason, RequestType, traceparent};
use futures_util::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where chats are completed.
pub(super) const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
/// Where texts are.
pub(super) const COMPLETIONS: &str = "/v1/completions";

pub(super) async fn chat_completions(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    complete(app, HttpEndpoint::ChatCompletions, &headers, &body).await
}

pub(super) async fn completions(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    complete(app, HttpEndpoint::Completions, &headers, &body).await
}

pub(super) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let data: Vec<Value> = app
        .fleet
        .models()
        .into_iter()
        .map(|id| json!({"id": id, "object": "model", "created": unix_seconds(), "owned_by": "dynamo"}))
        .collect();
    Json(json!({"object": "list", "data": data}))
}

async fn complete(
    app: Arc<App>,
    endpoint: HttpEndpoint,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let started = app.metrics.now();
    if app.health.is_shutting_down() {
        app.metrics.reject(endpoint, RejectionReason::Unavailable);
        let message = "the frontend is shutting down";
        return refusal(RejectionReason::Unavailable, "service_unavailable", message);
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type =
        content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        app.metrics.reject(endpoint, RejectionReason::UnsupportedMediaType);
        let message = "the body must be JSON with Content-Type: application/json";
        return refusal(RejectionReason::UnsupportedMediaType, "invalid_request_error", message);
    }
    let chat = endpoint == HttpEndpoint::ChatCompletions;
    let asked = match if chat { openai::chat(body) } else { openai::completion(body) } {
        Ok(asked) => asked,
        Err(reason) => {
            app.metrics.reject(endpoint, RejectionReason::Validation);
            return refusal(RejectionReason::Validation, "invalid_request_error", &reason);
        }
    };
    let request_type = if asked.stream { RequestType::Stream } else { RequestType::Unary };
    let (mut request, block_size) = app.fleet.begin(endpoint, request_type, &asked.model, started);
    if let Some(trace) =
        headers.get("traceparent").and_then(|value| traceparent(value.to_str().ok()?))
    {
        request.trace(trace);
    }
    let Some(block_size) = block_size else {
        request.reject(RejectionReason::NotFound);
        let message = format!("no worker serves the model {:?}", asked.model);
        return refusal(RejectionReason::NotFound, "not_found_error", &message);
    };
    let prompts = tokenize::prompts(&asked.input, block_size, &app.preprocessor);
    let answer =
        Answer { chat, id: next_id(chat), model: asked.model.clone(), created: unix_seconds() };
    let Asked { model, max_tokens, stream, include_usage, .. } = asked;
    let mut generation = Generation::new(app, request, model, block_size, prompts, max_tokens);
    if let Err(error) = generation.open().await {
        return failure(error);
    }
    if stream {
        streamed(generation, answer, include_usage)
    } else {
        unary(generation, &answer).await
    }
}

/// The whole answer at once. If the client goes away meanwhile, this is dropped, and the generation with it.
async fn unary(mut generation: Generation, answer: &Answer) -> Response {
    let mut texts: Vec<String> = Vec::new();
    while let Some(piece) = generation.next().await {
        match piece {
            Ok(Piece { choice, text, .. }) => {
                texts.resize_with(texts.len().max(choice + 1), String::new);
                texts[choice].push_str(&text);
            }
            Err(error) => return failure(error),
        }
    }
    let body = answer.whole(&texts, usage(&generation));
    generation.complete();
    Json(body).into_response()
}

/// Server-sent events, one a piece, then `[DONE]`.
fn streamed(generation: Generation, answer: Answer, include_usage: bool) -> Response {
    let streaming = Streaming { generation, answer, include_usage, ended: false };
    let events = stream::unfold(streaming, |mut streaming| async {
        let event = streaming.next().await?;
        Some((Ok::<Bytes, Infallible>(event), streaming))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events)).into_response()
}

struct Streaming {
    generation: Generation,
    answer: Answer,
    include_usage: bool,
    ended: bool,
}

impl Streaming {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        match self.generation.next().await {
            Some(Ok(piece)) => Some(event(&self.answer.chunk(&piece))),
            Some(Err(error)) => {
                self.ended = true;
                Some(event(&openai::error(error.kind(), error.status(), error.message())))
            }
            None => {
                self.ended = true;
                let mut end = Vec::new();
                if self.include_usage {
                    let usage = usage(&self.generation);
                    end.extend_from_slice(&event(&self.answer.usage_chunk(usage)));
                }
                end.extend_from_slice(b"data: [DONE]\n\n");
                self.generation.complete();
                Some(end.into())
            }
        }
    }
}

/// What is answered to a request whose body nobody reads.
pub(super) fn too_long(app: &App, head: &Parts) -> Response {
    let endpoint = match head.uri.path() {
        CHAT_COMPLETIONS => Some(HttpEndpoint::ChatCompletions),
        COMPLETIONS => Some(HttpEndpoint::Completions),
        _ => None,
    };
    if let Some(endpoint) = endpoint {
        app.metrics.reject(endpoint, RejectionReason::TooLarge);
    }
    let message = format!("the body has more than {} bytes", Limits::BODY_BYTES);
    refusal(RejectionReason::TooLarge, "invalid_request_error", &message)
}

fn usage(generation: &Generation) -> Usage {
    Usage {
        input_tokens: generation.input_tokens,
        output_tokens: generation.output_tokens(),
        cached_tokens: generation.cached_tokens,
    }
}

fn event(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

fn refusal(reason: RejectionReason, kind: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::BAD_REQUEST);
    (status, Json(openai::error(kind, reason.status(), message))).into_response()
}

fn failure(error: GenerationError) -> Response {
    let code = error.status();
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Json(openai::error(error.kind(), code, error.message()));
    match error {
        GenerationError::Failed => (status, body).into_response(),
        // A second is several of the workers' reports, and a few answers.
        _ => (status, [(header::RETRY_AFTER, "1")], body).into_response(),
    }
}

fn next_id(chat: bool) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number:016x}", if chat { "chatcmpl" } else { "cmpl" })
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
