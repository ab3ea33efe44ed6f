//! One request's way through the fleet: dispatched, streamed, and moved to another worker when its own dies.
//!
//! Every metric of the request moves here, through one value: [`Request`]. If a generation is
//! dropped before it is complete, the client went away.
//!
//! A worker that breaks off, cannot be reached or is silent costs a migration. One that is full (429) costs nothing:
//! the next one is asked, and when all are full the request is turned away, or waits a little if it has tokens. What
//! went wrong between us and the workers is for the log; clients only hear what it means for them.

use super::fleet::Target;
use super::{App, tokenize::Prompt};
use crate::http::client::{ClientError, Lines};
use crate::protocol::{Frame, GENERATE_PATH, Generate, STATS_PERIOD};
use dynamo_metrics::{MigrationType, RejectionReason, Request};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Longest time that a request which has tokens waits for a worker with room. It cannot be rejected any more, and its tokens
/// would be lost; clients tolerate a pause of this length.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(10);

/// Some tokens for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The index of the prompt, among the request's, that it answers.
    pub(crate) choice: usize,
    pub(crate) text: String,
    /// The last one of its choice.
    pub(crate) last: bool,
}

/// The reason for which a request could not be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GenerationError {
    /// Every worker has as many requests as it takes.
    Overload,
    /// No worker is there any more.
    Unavailable,
    /// A worker failed, and the request could not be moved.
    Failed,
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct Generation {
    app: Arc<App>,
    model: String,
    /// Tokens of a block, by which the prompts are hashed.
    block_size: u64,
    max_tokens: u64,
    /// Prompts that are not answered yet, the current one first.
    prompts: VecDeque<Prompt>,
    choice: usize,
    /// Tokens that the current prompt's answer has so far.
    answered_tokens: u64,
    migrations: u64,
    current: Option<(Target, Lines)>,
    /// `None` when the request has ended.
    request: Option<Request>,
    pub(crate) input_tokens: u64,
    /// The number of cached tokens of all prompts of which it is known.
    pub(crate) cached_tokens: u64,
    cached: Cached,
}

/// Reports of workers about cached tokens. After a migration the next worker reports again, about a longer prompt.
#[derive(Debug, Default)]
struct Cached {
    /// True once it was reported for the current prompt.
    current: bool,
    any: bool,
}

impl Generation {
    pub(crate) fn new(
        app: Arc<App>,
        mut request: Request,
        model: String,
        block_size: u64,
        prompts: VecDeque<Prompt>,
        max_tokens: u64,
    ) -> Self {
        let input_tokens = prompts.iter().map(|prompt| prompt.input_tokens).sum();
        request.input_tokens(input_tokens);
        Self {
            app,
            model,
            block_size,
            max_tokens,
            prompts,
            choice: 0,
            answered_tokens: 0,
            migrations: 0,
            current: None,
            request: Some(request),
            input_tokens,
            cached_tokens: 0,
            cached: Cached::default(),
        }
    }

    /// Tokens of all answers so far.
    pub(crate) fn output_tokens(&self) -> u64 {
        self.request.as_ref().map_or(0, Request::output_tokens)
    }

    /// Finds a worker that takes the request, which does not wait for a token. Until then the request can be turned
    /// away.
    pub(crate) async fn open(&mut self) -> Result<(), GenerationError> {
        match self.current {
            None => self.dispatch().await,
            Some(_) => Ok(()),
        }
    }

    /// The next tokens, or the end. After `None` the request counts as a success only when
    /// [`complete`](Self::complete) is called.
    pub(crate) async fn next(&mut self) -> Option<Result<Piece, GenerationError>> {
        loop {
            if self.prompts.is_empty() {
                return None;
            }
            let Some((target, lines)) = &mut self.current else {
                if let Err(error) = self.dispatch().await {
                    return Some(Err(error));
                }
                continue;
            };
            let answer = tokio::select! {
                biased;
                answer = lines.next::<Frame>() => answer,
                () = target.gone() => Some(Err(silent(&target.url))),
            };
            if let Some(Ok(frame)) = answer {
                let Some(piece) = self.frame(frame) else { continue };
                return Some(Ok(piece));
            }
            let reason = match answer {
                Some(Err(error)) => error.to_string(),
                _ => "the answer ended before its last token".into(),
            };
            let Some((target, _)) = self.current.take() else { continue };
            tracing::warn!(worker = target.instance_id, reason, "a worker broke off");
            self.app.fleet.lost(&target);
            if let Err(error) = self.migrate(MigrationType::OngoingRequest, &target) {
                self.fail();
                return Some(Err(error));
            }
        }
    }

    /// The client has everything.
    pub(crate) fn complete(&mut self) {
        if let Some(request) = self.close() {
            request.succeed(self.app.metrics.now());
        }
    }

    /// Takes a frame in; nothing for the client when it is empty.
    fn frame(&mut self, frame: Frame) -> Option<Piece> {
        let now = self.app.metrics.now();
        if let Some(cached_tokens) = frame.cached_tokens.filter(|_| !self.cached.current) {
            self.cached = Cached { current: true, any: true };
            self.cached_tokens = self.cached_tokens.saturating_add(cached_tokens);
        }
        if let Some(request) = &mut self.request {
            // The sum is known with the last prompt's.
            if self.cached.current && self.prompts.len() == 1 {
                request.cached_tokens(self.cached_tokens);
            }
            request.tokens(frame.tokens, now);
        }
        self.answered_tokens = self.answered_tokens.saturating_add(frame.tokens);
        let choice = self.choice;
        if frame.last {
            self.current = None;
            self.prompts.pop_front();
            self.choice += 1;
            self.answered_tokens = 0;
            self.cached.current = false;
        } else if frame.tokens == 0 {
            return None;
        }
        Some(Piece { choice, text: frame.text, last: frame.last })
    }

    /// Sends the current prompt, or what is left to do of it, to a worker. On an error the request has ended.
    async fn dispatch(&mut self) -> Result<(), GenerationError> {
        let mut full: Vec<u64> = Vec::new();
        let mut waited = Duration::ZERO;
        loop {
            let Some(prompt) = self.prompts.front() else { return Ok(()) };
            // The tokens of an answer before a migration are part of the prompt for the next worker.
            let input_tokens = prompt.input_tokens.saturating_add(self.answered_tokens);
            let left = self.max_tokens.saturating_sub(self.answered_tokens);
            let tokens = input_tokens.saturating_add(left);
            let Some(mut target) = self.app.fleet.pick(&self.model, tokens, &full) else {
                if !full.is_empty() && self.output_tokens() > 0 && waited < ROOM_WAIT_MAX {
                    full.clear();
                    waited += STATS_PERIOD;
                    tokio::time::sleep(STATS_PERIOD).await;
                    continue;
                }
                return Err(match full.is_empty() {
                    true => self.reject(GenerationError::Unavailable),
                    false => self.reject(GenerationError::Overload),
                });
            };
            // A worker with blocks of another size would take the hashes for other text.
            let comparable = target.block_size == self.block_size;
            let generate = Generate {
                model: self.model.clone(),
                blocks: if comparable { prompt.blocks.clone() } else { Vec::new() },
                input_tokens,
                max_tokens: left,
                seed: prompt.seed(),
                answered_tokens: self.answered_tokens,
            };
            let url = format!("{}{GENERATE_PATH}", target.url);
            let answer = tokio::select! {
                biased;
                answer = self.app.client.lines(&url, &generate) => answer,
                () = target.gone() => Err(silent(&url)),
            };
            match answer {
                Ok(lines) => {
                    self.current = Some((target, lines));
                    return Ok(());
                }
                Err(ClientError::Status { status: 429, .. }) => full.push(target.instance_id),
                // It lives and does not understand: another one would not either.
                Err(error @ ClientError::Status { status: 400..=499, .. }) => {
                    tracing::warn!(worker = target.instance_id, %error, "a worker refused");
                    self.fail();
                    return Err(GenerationError::Failed);
                }
                Err(error) => {
                    tracing::warn!(worker = target.instance_id, %error, "a worker is lost");
                    self.app.fleet.lost(&target);
                    let kind = match self.answered_tokens {
                        0 => MigrationType::NewRequest,
                        _ => MigrationType::OngoingRequest,
                    };
                    if self.migrate(kind, &target).is_err() {
                        return Err(self.reject(GenerationError::Unavailable));
                    }
                }
            }
        }
    }

    /// Counts a migration, which happens now, or says why there is none.
    fn migrate(&mut self, kind: MigrationType, from: &Target) -> Result<(), GenerationError> {
        if !self.app.fleet.serves(&self.model) {
            return Err(GenerationError::Unavailable);
        }
        if self.migrations >= from.migration_limit {
            tracing::warn!(limit = from.migration_limit, "the migration limit is reached");
            return Err(GenerationError::Failed);
        }
        self.migrations += 1;
        if let Some(request) = &self.request {
            request.migration(kind);
        }
        Ok(())
    }

    /// Ends the request as one that no worker took; an error if one did before.
    fn reject(&mut self, error: GenerationError) -> GenerationError {
        self.prompts.clear();
        if let (Some(request), Some(reason)) = (self.close(), error.rejection()) {
            request.reject(reason);
        }
        error
    }

    fn fail(&mut self) {
        self.prompts.clear();
        if let Some(request) = self.close() {
            request.fail(self.app.metrics.now());
        }
    }

    /// The request, to be ended, with all that is known of it.
    fn close(&mut self) -> Option<Request> {
        let mut request = self.request.take()?;
        if self.cached.any {
            request.cached_tokens(self.cached_tokens);
        }
        Some(request)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if let Some(request) = self.close() {
            request.cancel(self.app.metrics.now());
        }
    }
}

impl GenerationError {
    /// Returns the reason of the rejection, if nothing was answered yet.
    pub(crate) fn rejection(self) -> Option<RejectionReason> {
        match self {
            Self::Overload => Some(RejectionReason::Overload),
            Self::Unavailable => Some(RejectionReason::Unavailable),
            Self::Failed => None,
        }
    }

    /// The HTTP status.
    pub(crate) fn status(self) -> u16 {
        self.rejection().map_or(500, RejectionReason::status)
    }

    /// Returns OpenAI's `type`.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Overload => "rate_limit_error",
            Self::Unavailable => "service_unavailable_error",
            Self::Failed => "internal_server_error",
        }
    }

    /// Returns the message for the client.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Overload => {
                "every worker of the model has as many requests as it takes; try again later"
            }
            Self::Unavailable => "no worker of the model is left; try again later",
            Self::Failed => "the model's worker failed and the request could not be moved",
        }
    }
}

fn silent(url: &str) -> ClientError {
    ClientError::Broken { url: url.into(), reason: "the worker gives no sign of life".into() }
}
