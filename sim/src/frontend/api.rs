//! Handlers of `/v1/*`: from bytes to a generation, and from its pieces to bytes.

use super::App;
use super::fleet::{ModelLimits, NotServed};
use super::generation::{Generation, GenerationError, Piece};
use super::openai::{self, Answer, Asked, Usage};
use super::tokenize;
use crate::http::guard::{Refusal, Room};
use crate::http::limits::{Limit, Limits};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use dynamo_metrics::{HttpEndpoint, RejectionReason, RequestType, parse_traceparent};
use futures_util::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The path of chats.
pub(super) const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
/// Seconds after which a client that was turned away may come back: several of the workers' reports, and a few answers.
const RETRY_AFTER: &str = "1";
/// The path of completions of texts.
pub(super) const COMPLETIONS: &str = "/v1/completions";

pub(super) async fn chat_completions(
    State(app): State<Arc<App>>,
    room: Option<Extension<Room>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    complete(app, HttpEndpoint::ChatCompletions, headers, body, room).await
}

pub(super) async fn completions(
    State(app): State<Arc<App>>,
    room: Option<Extension<Room>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    complete(app, HttpEndpoint::Completions, headers, body, room).await
}

pub(super) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let data: Vec<Value> = app.fleet.models().iter().map(|id| described(id)).collect();
    Json(json!({"object": "list", "data": data}))
}

/// One model, by its whole name. A name that is no UTF-8 is that of none.
pub(super) async fn model(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let id = id.map_or_else(|_| "\u{fffd}".to_owned(), |Path(id)| id);
    if app.fleet.serves(&id) {
        return Json(described(&id)).into_response();
    }
    app.telemetry.hit(Limit::NotFound);
    let message = format!("The model {id:?} does not exist: no worker serves it");
    let mut error = openai::error("invalid_request_error", 404, &message);
    error["error"]["param"] = json!("model");
    error["error"]["code"] = json!("model_not_found");
    (StatusCode::NOT_FOUND, Json(error)).into_response()
}

fn described(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": unix_seconds(), "owned_by": "dynamo"})
}

/// Answers a method that a path of the API does not have; a browser's preflight too, since the API is not for other origins.
pub(super) async fn wrong_method(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let allowed = if endpoint_of(head.uri.path()).is_some() { "POST" } else { "GET, HEAD" };
    method_not_allowed(&app, &head, allowed)
}

/// Answers a method that a path does not have, and counts it.
pub(super) fn method_not_allowed(app: &App, head: &Parts, allowed: &'static str) -> Response {
    let reason = RejectionReason::MethodNotAllowed;
    app.telemetry.hit(Limit::Method);
    reject(app, head.uri.path(), reason);
    let message = format!("{} is not allowed here; use {allowed}", head.method);
    let answer = refusal(reason, kind(reason), &message);
    ([(header::ALLOW, allowed)], answer).into_response()
}

/// Answers a path that is not there, and counts it.
pub(super) fn not_found(app: &App, path: &str) -> Response {
    let reason = RejectionReason::NotFound;
    app.telemetry.hit(Limit::NotFound);
    reject(app, path, reason);
    let message =
        "there is no such endpoint; there are /v1/chat/completions, /v1/completions and /v1/models";
    refusal(reason, "invalid_request_error", message)
}

async fn complete(
    app: Arc<App>,
    endpoint: HttpEndpoint,
    headers: HeaderMap,
    body: Bytes,
    room: Option<Extension<Room>>,
) -> Response {
    let started = app.metrics.now();
    let asked = match read(&app, endpoint, &headers, &body) {
        Ok(asked) => asked,
        Err((reason, message)) => {
            app.metrics.reject(endpoint, reason);
            return refusal(reason, kind(reason), &message);
        }
    };
    // The answer may take minutes; the body is not needed for it.
    drop((body, room));
    let chat = endpoint == HttpEndpoint::ChatCompletions;
    let request_type = if asked.stream { RequestType::Stream } else { RequestType::Unary };
    let (mut request, limits) = app.fleet.begin(endpoint, request_type, &asked.model, started);
    if let Some(trace) =
        headers.get("traceparent").and_then(|value| parse_traceparent(value.to_str().ok()?))
    {
        request.trace(trace);
    }
    let ModelLimits { block_size, context_length } = match limits {
        Ok(limits) => limits,
        Err(not_served) => {
            let (reason, message) = match not_served {
                NotServed::Unknown => (
                    RejectionReason::NotFound,
                    format!("no worker serves the model {:?}", asked.model),
                ),
                NotServed::Down => (
                    RejectionReason::Unavailable,
                    format!(
                        "all workers of the model {:?} have left; try again later",
                        asked.model
                    ),
                ),
            };
            request.reject(reason);
            return refusal(reason, kind(reason), &message);
        }
    };
    let prompts = tokenize::prompts(&asked.input, block_size, &app.preprocessor);
    let longest = prompts.iter().map(|prompt| prompt.input_tokens).max().unwrap_or_default();
    let max_tokens = match asked.answer_tokens(longest, context_length) {
        Ok(max_tokens) => max_tokens,
        Err(exceeded) => {
            request.reject(RejectionReason::Validation);
            let error = exceeded.error(if chat { "messages" } else { "prompt" });
            return (StatusCode::BAD_REQUEST, Json(error)).into_response();
        }
    };
    let answer =
        Answer { chat, id: next_id(chat), model: asked.model.clone(), created: unix_seconds() };
    let Asked { model, stream, include_usage, .. } = asked;
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

/// Reads a request; the error has the reason and the message of the rejection.
fn read(
    app: &App,
    endpoint: HttpEndpoint,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Asked, (RejectionReason, String)> {
    if app.health.is_shutting_down() {
        return Err((RejectionReason::Unavailable, "the frontend is shutting down".into()));
    }
    let text = |name: header::HeaderName| {
        headers.get(name).map(|value| value.to_str().unwrap_or_default().trim())
    };
    let media_type = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next());
    if !media_type.unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let message = "the body must be JSON with Content-Type: application/json";
        return Err((RejectionReason::UnsupportedMediaType, message.into()));
    }
    let coding = text(header::CONTENT_ENCODING).unwrap_or_default();
    if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") {
        let message = "the body must not be compressed; send it without Content-Encoding";
        return Err((RejectionReason::UnsupportedMediaType, message.into()));
    }
    let asked = match endpoint {
        HttpEndpoint::ChatCompletions => openai::chat(body),
        _ => openai::completion(body),
    };
    asked.map_err(|reason| (RejectionReason::Validation, reason))
}

/// Returns OpenAI's `type` of a rejection.
fn kind(reason: RejectionReason) -> &'static str {
    match reason {
        RejectionReason::NotFound => "not_found_error",
        RejectionReason::Overload => "rate_limit_error",
        RejectionReason::Unavailable => "service_unavailable_error",
        _ => "invalid_request_error",
    }
}

/// Answers with the whole text at once. If the client goes away meanwhile, this is dropped, and the generation with it.
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
    let streaming = Streaming { generation, answer, include_usage, begun: 0, ended: false };
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
    /// Choices that have had a chunk. They come one after the other.
    begun: usize,
    ended: bool,
}

impl Streaming {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        match self.generation.next().await {
            Some(Ok(piece)) => {
                let first = piece.choice >= self.begun;
                self.begun = self.begun.max(piece.choice + 1);
                Some(event(&self.answer.chunk(&piece, first, self.include_usage)))
            }
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

/// Counts a request that no handler saw, if its path is that of an endpoint which the vocabulary has.
fn reject(app: &App, path: &str, reason: RejectionReason) {
    if let Some(endpoint) = endpoint_of(path) {
        app.metrics.reject(endpoint, reason);
    }
}

/// The endpoint of a path, if the vocabulary of the metrics has it, served here or not.
fn endpoint_of(path: &str) -> Option<HttpEndpoint> {
    match path {
        CHAT_COMPLETIONS => Some(HttpEndpoint::ChatCompletions),
        COMPLETIONS => Some(HttpEndpoint::Completions),
        "/v1/embeddings" => Some(HttpEndpoint::Embeddings),
        "/v1/images/generations" => Some(HttpEndpoint::Images),
        "/v1/responses" => Some(HttpEndpoint::Responses),
        _ => None,
    }
}

/// Answers a request that was refused before a handler saw it.
pub(super) fn refused(app: &App, head: &Parts, refused: Refusal) -> Response {
    let status = refused.status.as_u16();
    let Some(reason) = RejectionReason::from_status(status) else {
        let error = openai::error("invalid_request_error", status, refused.text);
        return (refused.status, Json(error)).into_response();
    };
    reject(app, head.uri.path(), reason);
    match reason {
        RejectionReason::TooLarge => {
            let message = format!("the body has more than {} bytes", Limits::BODY_BYTES);
            refusal(reason, kind(reason), &message)
        }
        _ => refusal(reason, kind(reason), refused.text),
    }
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
    let body = Json(openai::error(kind, reason.status(), message));
    match reason {
        RejectionReason::Overload | RejectionReason::Unavailable => {
            (status, [(header::RETRY_AFTER, RETRY_AFTER)], body).into_response()
        }
        _ => (status, body).into_response(),
    }
}

fn failure(error: GenerationError) -> Response {
    let code = error.status();
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Json(openai::error(error.kind(), code, error.message()));
    match error {
        GenerationError::Failed => (status, body).into_response(),
        _ => (status, [(header::RETRY_AFTER, RETRY_AFTER)], body).into_response(),
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
