//! The sequences that have a slot of an engine: those in prefill, in the order of admission, and those that decode.
//!
//! A step is planned, and delivered at its end:
//!
//! ```text
//! step:  every decoding sequence gets one token
//!      + as much prefill as the rest of the token budget allows, oldest sequence first
//! time:  decode_step(sequences) + base of each prefill that begins + tokens of prefill
//! end:   tokens are delivered; prefills that are complete deliver their first token;
//!        finished sequences leave, and give their blocks back
//! ```
//!
//! So a long prompt delays the tokens of every sequence in the batch, and is cut in chunks so that it
//! does not delay them for long: what vLLM calls chunked prefill.
//!
//! Cost: a token is a decrement and one call of the observer; a step allocates nothing.

use super::kv_cache::Lease;
use super::model::EngineConfig;
use super::observer::Observer;
use std::collections::VecDeque;

/// The most steps of one prompt, or nearly: a length that a client makes up must not keep the engine busy with steps that take no
/// time. Prompts of a million tokens are below it with any budget.
const PROMPT_STEPS_MAX: u64 = 1 << 20;

/// The sequences of a batch, each with its lease of blocks.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    prefilling: VecDeque<Prefill>,
    /// The number of prefills at the front of `prefilling` that are complete when this step ends.
    completing: usize,
    decoding: Vec<Decoding>,
    /// The memory of `decoding`, place by place. Apart, so that the loop over tokens reads 16 bytes
    /// a sequence.
    leases: Vec<Lease>,
}

/// A sequence that has been given a slot and its blocks.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) request: usize,
    pub(super) input_tokens: u64,
    /// Tokens of the prompt that the cache had.
    pub(super) cached_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) lease: Lease,
}

#[derive(Debug)]
struct Prefill {
    request: usize,
    left_tokens: u64,
    /// Tokens that a step takes at least, whatever its budget.
    chunk_min: u64,
    output_tokens: u64,
    begun: bool,
    lease: Lease,
}

#[derive(Debug)]
struct Decoding {
    request: usize,
    left_tokens: u64,
}

impl Sequences {
    /// The number of sequences.
    pub(super) fn len(&self) -> usize {
        self.prefilling.len() + self.decoding.len()
    }

    /// Returns whether a sequence has a part in the step under way.
    pub(super) fn any_in_step(&self) -> bool {
        !self.decoding.is_empty() || self.prefilling.iter().any(|job| job.begun)
    }

    /// Adds a sequence, whose prefill begins with the next step that has room for it.
    pub(super) fn admit(&mut self, admitted: Admitted) {
        let Admitted { request, input_tokens, cached_tokens, output_tokens, lease } = admitted;
        self.prefilling.push_back(Prefill {
            request,
            left_tokens: input_tokens - cached_tokens,
            chunk_min: input_tokens / PROMPT_STEPS_MAX,
            output_tokens,
            begun: false,
            lease,
        });
    }

    /// Takes a sequence out, and returns the lease of its blocks; `None` when it has left already.
    pub(super) fn withdraw(&mut self, request: usize) -> Option<Lease> {
        if let Some(place) = self.prefilling.iter().position(|job| job.request == request) {
            self.completing -= usize::from(place < self.completing);
            return self.prefilling.remove(place).map(|job| job.lease);
        }
        let place = self.decoding.iter().position(|job| job.request == request)?;
        self.decoding.swap_remove(place);
        Some(self.leases.swap_remove(place))
    }

    /// Takes all sequences out; returns the leases of their blocks.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Lease> {
        self.decoding.clear();
        self.completing = 0;
        self.leases.drain(..).chain(self.prefilling.drain(..).map(|job| job.lease))
    }

    /// Decides the work of the next step, and returns its length in nanoseconds; `None` when there are no sequences.
    pub(super) fn plan_step(&mut self, config: &EngineConfig) -> Option<u64> {
        if self.len() == 0 {
            return None;
        }
        let decoding = self.decoding.len() as u64;
        // At least one token, or a batch full of decoding sequences would keep a prefill out.
        let mut budget = config.batched_tokens.saturating_sub(decoding).max(1);
        let (mut begun, mut tokens) = (0, 0);
        self.completing = 0;
        for prefill in &mut self.prefilling {
            let chunk = prefill.left_tokens.min(budget.max(prefill.chunk_min));
            if chunk == 0 && prefill.left_tokens > 0 {
                break;
            }
            begun += u64::from(!std::mem::replace(&mut prefill.begun, true));
            prefill.left_tokens -= chunk;
            budget = budget.saturating_sub(chunk);
            tokens += chunk;
            if prefill.left_tokens > 0 {
                break;
            }
            self.completing += 1;
        }
        let base_ns = config.prefill_base_ns.saturating_mul(begun);
        let prefill_ns = base_ns.saturating_add(config.prefill_token_ns.saturating_mul(tokens));
        Some(config.decode_step_ns(decoding).saturating_add(prefill_ns))
    }

    /// Hands out the tokens of a step, and the leases of the sequences that finish; true when one did.
    pub(super) fn deliver<O: Observer>(
        &mut self,
        now_ns: u64,
        observer: &mut O,
        mut release: impl FnMut(Lease),
    ) -> bool {
        let mut any_finished = false;
        for sequence in &mut self.decoding {
            observer.tokens(sequence.request, 1, now_ns);
            sequence.left_tokens -= 1;
            any_finished |= sequence.left_tokens == 0;
        }
        if any_finished {
            let mut place = 0;
            while place < self.decoding.len() {
                if self.decoding[place].left_tokens > 0 {
                    place += 1;
                    continue;
                }
                // The order within a batch means nothing, so the last may take the place.
                let sequence = self.decoding.swap_remove(place);
                let lease = self.leases.swap_remove(place);
                release(lease);
                observer.finished(sequence.request, now_ns);
            }
        }
        for _ in 0..std::mem::take(&mut self.completing) {
            let Some(job) = self.prefilling.pop_front() else { break };
            let Prefill { request, output_tokens, lease, .. } = job;
            if output_tokens > 0 {
                observer.tokens(request, 1, now_ns);
            }
            if output_tokens > 1 {
                self.decoding.push(Decoding { request, left_tokens: output_tokens - 1 });
                self.leases.push(lease);
            } else {
                release(lease);
                observer.finished(request, now_ns);
                any_finished = true;
            }
        }
        any_finished
    }
}
