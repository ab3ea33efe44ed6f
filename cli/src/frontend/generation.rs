//! One request's way through the fleet: dispatched, streamed, and moved to another worker when its own dies.
//!
//! Every metric of the request moves here, through the one value that it is: [`Request`]. If a generation is
//! dropped before it is complete, the client went away.

use super::fleet::Target;
use super::{App, tokenize::Prompt};
use crate::http::client::{ClientError, Lines};
use crate::protocol::{Frame, GENERATE_PATH, Generate};
use dynamo_metrics::{MigrationType, Request};
use std::collections::VecDeque;
use std::sync::Arc;

/// Some tokens for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Which of the request's prompts it answers.
    pub(crate) choice: usize,
    pub(crate) text: String,
    /// The last one of its choice.
    pub(crate) last: bool,
}

/// Why a request could not be completed.
#[derive(Debug)]
pub(crate) struct GenerationError(pub(crate) String);

/// A request in progress.
#[derive(Debug)]
pub(crate) struct Generation {
    app: Arc<App>,
    model: String,
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
    pub(crate) cached_tokens: u64,
}

impl Generation {
    pub(crate) fn new(
        app: Arc<App>,
        mut request: Request,
        model: String,
        prompts: VecDeque<Prompt>,
        max_tokens: u64,
    ) -> Self {
        let input_tokens = prompts.iter().map(|prompt| prompt.input_tokens).sum();
        request.input_tokens(input_tokens);
        Self {
            app,
            model,
            max_tokens,
            prompts,
            choice: 0,
            answered_tokens: 0,
            migrations: 0,
            current: None,
            request: Some(request),
            input_tokens,
            cached_tokens: 0,
        }
    }

    /// Tokens of all answers so far.
    pub(crate) fn output_tokens(&self) -> u64 {
        self.request.as_ref().map_or(0, Request::output_tokens)
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
                    return Some(Err(self.fail(error)));
                }
                continue;
            };
            match lines.next::<Frame>().await {
                Some(Ok(frame)) => {
                    let Some(piece) = self.frame(frame) else { continue };
                    return Some(Ok(piece));
                }
                broken => {
                    let reason = match broken {
                        Some(Err(error)) => error.to_string(),
                        _ => "the answer ended before its last token".into(),
                    };
                    tracing::warn!(worker = target.instance_id, reason, "a worker broke off");
                    let limit = target.migration_limit;
                    let gone = target.instance_id;
                    self.current = None;
                    self.app.fleet.leave(gone);
                    if let Err(error) = self.migrate(MigrationType::OngoingRequest, limit, reason) {
                        return Some(Err(self.fail(error)));
                    }
                }
            }
        }
    }

    /// The client has everything.
    pub(crate) fn complete(&mut self) {
        if let Some(request) = self.request.take() {
            request.succeed(self.app.metrics.now());
        }
    }

    /// Takes a frame in; nothing for the client when it is empty.
    fn frame(&mut self, frame: Frame) -> Option<Piece> {
        let now = self.app.metrics.now();
        if let Some(request) = &mut self.request {
            if let Some(cached_tokens) = frame.cached_tokens {
                request.cached_tokens(cached_tokens);
                self.cached_tokens = self.cached_tokens.saturating_add(cached_tokens);
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
        } else if frame.tokens == 0 {
            return None;
        }
        Some(Piece { choice, text: frame.text, last: frame.last })
    }

    /// Sends the current prompt, or what is left to do of it, to a worker.
    async fn dispatch(&mut self) -> Result<(), String> {
        loop {
            let Some(prompt) = self.prompts.front() else { return Ok(()) };
            // What was answered before a migration is part of the prompt for the next worker.
            let input_tokens = prompt.input_tokens.saturating_add(self.answered_tokens);
            let left = self.max_tokens.saturating_sub(self.answered_tokens);
            let Some(target) = self.app.fleet.pick(&self.model, input_tokens.saturating_add(left))
            else {
                return Err(format!("no worker of model {} is left", self.model));
            };
            let generate = Generate {
                model: self.model.clone(),
                blocks: prompt.blocks.clone(),
                input_tokens,
                max_tokens: left,
            };
            let url = format!("{}{GENERATE_PATH}", target.url);
            match self.app.client.lines(&url, &generate).await {
                Ok(lines) => {
                    self.current = Some((target, lines));
                    return Ok(());
                }
                // The worker lives and refuses: another one would too.
                Err(error @ ClientError::Status { .. }) => return Err(error.to_string()),
                Err(error) => {
                    self.app.fleet.leave(target.instance_id);
                    let limit = target.migration_limit;
                    let kind = match self.answered_tokens {
                        0 => MigrationType::NewRequest,
                        _ => MigrationType::OngoingRequest,
                    };
                    self.migrate(kind, limit, error.to_string())?;
                }
            }
        }
    }

    /// Counts a migration, which happens now, or says why there is none.
    fn migrate(&mut self, kind: MigrationType, limit: u64, reason: String) -> Result<(), String> {
        if self.migrations >= limit {
            return Err(format!("{reason}; the migration limit is {limit}"));
        }
        if !self.app.metrics.models().is_served(&self.model) {
            return Err(format!("{reason}; no worker of model {} is left", self.model));
        }
        self.migrations += 1;
        if let Some(request) = &self.request {
            request.migration(kind);
        }
        Ok(())
    }

    fn fail(&mut self, reason: String) -> GenerationError {
        self.prompts.clear();
        if let Some(request) = self.request.take() {
            request.fail(self.app.metrics.now());
        }
        GenerationError(reason)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.app.metrics.client_disconnected();
            request.fail(self.app.metrics.now());
        }
    }
}
