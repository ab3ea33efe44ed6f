//! The gauges of a model: whether a worker serves it, and the values of its card.

use super::families::Families;
use super::models::{ModelCard, RuntimeConfig};
use crate::names::frontend_service as names;
use dynamo_metrics_core::{Family, Gauge, RegisterError};

/// The gauges of all models.
#[derive(Debug)]
pub(super) struct CardGauges {
    ready: Family<Gauge, 1>,
    total_kv_blocks: Family<Gauge, 1>,
    max_num_seqs: Family<Gauge, 1>,
    max_num_batched_tokens: Family<Gauge, 1>,
    context_length: Family<Gauge, 1>,
    kv_cache_block_size: Family<Gauge, 1>,
    migration_limit: Family<Gauge, 1>,
}

impl CardGauges {
    pub(super) fn new(families: &Families<'_>) -> Result<Self, RegisterError> {
        Ok(Self {
            ready: families.gauge(
                names::MODEL_READY,
                "Whether a worker serves the model now (1), or all that did have left (0).",
            )?,
            total_kv_blocks: families.gauge(
                names::MODEL_TOTAL_KV_BLOCKS,
                "KV cache blocks of a worker that serves the model.",
            )?,
            max_num_seqs: families.gauge(
                names::MODEL_MAX_NUM_SEQS,
                "Sequences that a worker which serves the model runs at a time.",
            )?,
            max_num_batched_tokens: families.gauge(
                names::MODEL_MAX_NUM_BATCHED_TOKENS,
                "Tokens that a worker which serves the model takes in one batch.",
            )?,
            context_length: families.gauge(
                names::MODEL_CONTEXT_LENGTH,
                "Tokens of the longest sequence that the model takes.",
            )?,
            kv_cache_block_size: families.gauge(
                names::MODEL_KV_CACHE_BLOCK_SIZE,
                "Tokens of one KV cache block of the model.",
            )?,
            migration_limit: families.gauge(
                names::MODEL_MIGRATION_LIMIT,
                "How often a request to the model may be moved to another worker.",
            )?,
        })
    }

    /// Sets a model that a worker serves ready, and shows its card. A value that the worker does not have has no series.
    pub(super) fn show(&self, model: &str, card: &ModelCard, config: &RuntimeConfig) {
        self.ready.with([model]).set(1.0);
        for (family, value) in [
            (&self.total_kv_blocks, config.total_kv_blocks),
            (&self.max_num_seqs, config.max_num_seqs),
            (&self.max_num_batched_tokens, config.max_num_batched_tokens),
            (&self.context_length, Some(card.context_length)),
            (&self.kv_cache_block_size, Some(card.kv_cache_block_size)),
            (&self.migration_limit, Some(card.migration_limit)),
        ] {
            match value {
                Some(value) => family.with([model]).set(value as f64),
                None => {
                    family.remove([model]);
                }
            }
        }
    }

    /// Sets a model that no worker serves any more not ready, and removes its card.
    pub(super) fn hide(&self, model: &str) {
        self.ready.with([model]).set(0.0);
        for family in [
            &self.total_kv_blocks,
            &self.max_num_seqs,
            &self.max_num_batched_tokens,
            &self.context_length,
            &self.kv_cache_block_size,
            &self.migration_limit,
        ] {
            family.remove([model]);
        }
    }

    /// Removes the series of a model that [`hide`](Self::hide) has left.
    pub(super) fn remove(&self, model: &str) {
        self.ready.remove([model]);
    }
}
