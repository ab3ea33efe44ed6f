//! The speed of the simulated engine, its size, and the words of its answers.
//!
//! The shape is that of a GPU: a prompt costs a fixed time plus a time per token that is not
//! cached; after that every step gives one token to each running sequence, a little slower the
//! more there are. All times are whole nanoseconds and all arithmetic is on integers, so that a
//! replay gives the same figures on every machine. Overflow saturates: absurd settings give absurd
//! times, not a panic.

use super::kv_cache::KV_BLOCKS_MAX;
use super::prompt::mix;

/// The most sequences at once. vLLM's largest setting in the field is 1,024; each costs the engine
/// about 100 bytes.
pub(crate) const SLOTS_MAX: u64 = 1 << 20;

/// The most requests that wait. Far more than any frontend lets through; beyond it a request is
/// refused, since each takes memory.
pub(crate) const WAITING_MAX: u64 = 65_536;

/// The longest setting of a time: an hour. Longer is a slip in the unit.
pub(crate) const TIME_NS_MAX: u64 = 3_600_000_000_000;

/// Parts per million, the unit of [`EngineConfig::batch_slowdown_ppm`].
const MILLION: u64 = 1_000_000;

/// Speed and size of a simulated worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Number of sequences that run at once (`max_num_seqs`).
    pub slots: u64,
    /// Largest number of tokens that one step works on (`max_num_batched_tokens`): one of each decoding sequence, the rest of
    /// prompts.
    pub batched_tokens: u64,
    /// Time of each prefill before its first token of input.
    pub prefill_base_ns: u64,
    /// Time of each token of input that is not cached.
    pub prefill_token_ns: u64,
    /// A decode step with one sequence: the time from token to token.
    pub token_time_ns: u64,
    /// Time that a decode step takes longer for each further sequence in it, in millionths of `token_time_ns`.
    pub batch_slowdown_ppm: u64,
    /// Number of blocks of the KV cache.
    pub kv_blocks: u64,
    /// Number of tokens of a block.
    pub block_size: u64,
    /// True if blocks of earlier prompts are reused.
    pub prefix_caching: bool,
    /// Largest number of requests that wait for a slot; a replay has no bound.
    pub waiting: u64,
}

impl Default for EngineConfig {
    /// For `serve` and `worker`: three slots, as in the example of the Dynamo documentation, where
    /// ten clients show three running and seven queued; fast enough to be fun by hand.
    fn default() -> Self {
        EngineConfig {
            slots: 3,
            batched_tokens: 8_192,
            prefill_base_ns: 30_000_000,
            prefill_token_ns: 20_000,
            token_time_ns: 20_000_000,
            batch_slowdown_ppm: 2_000,
            kv_blocks: 16_384,
            block_size: 16,
            prefix_caching: true,
            waiting: WAITING_MAX,
        }
    }
}

impl EngineConfig {
    /// For `replay`: 256 slots and room for about a million tokens, a large GPU node.
    /// `block_tokens` is what one block id of the trace stands for, where it has ids.
    pub fn replay(block_tokens: Option<u64>) -> EngineConfig {
        let block_size = block_tokens.unwrap_or(16).max(1);
        EngineConfig {
            slots: 256,
            kv_blocks: (1 << 20) / block_size,
            block_size,
            ..EngineConfig::default()
        }
    }

    /// Checks that an engine can run with these settings. The error calls them as the command line does.
    pub fn check(&self) -> Result<(), ConfigError> {
        within("--max-num-seqs", self.slots, 1, SLOTS_MAX)?;
        within("--max-num-batched-tokens", self.batched_tokens, 1, u64::MAX)?;
        within("--max-waiting", self.waiting, 0, WAITING_MAX)?;
        within_time("--prefill-base-ms", self.prefill_base_ns, 0)?;
        within_time("--prefill-token-ms", self.prefill_token_ns, 0)?;
        // At least a nanosecond: a rate of tokens must be finite.
        within_time("--token-time-ms", self.token_time_ns, 1)?;
        within("batch_slowdown_ppm", self.batch_slowdown_ppm, 0, MILLION)?;
        within("--kv-blocks", self.kv_blocks, 1, KV_BLOCKS_MAX)?;
        within("--block-size", self.block_size, 1, 1 << 20)
    }

    /// Returns the time of a decode step of `sequences`, in nanoseconds; 0 when there are none.
    pub(crate) fn decode_step_ns(&self, sequences: u64) -> u64 {
        let Some(further) = sequences.checked_sub(1) else { return 0 };
        let slowdown_ppm = self.batch_slowdown_ppm.saturating_mul(further);
        let slower_ns =
            u128::from(self.token_time_ns) * u128::from(slowdown_ppm) / u128::from(MILLION);
        self.token_time_ns.saturating_add(u64::try_from(slower_ns).unwrap_or(u64::MAX))
    }
}

/// A setting that no engine can run with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}; expected {min} to {max}")]
pub struct ConfigError {
    setting: &'static str,
    value: String,
    min: String,
    max: String,
}

/// Checks that a setting is within its bounds.
pub(super) fn within(
    setting: &'static str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), ConfigError> {
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => {
            let [value, min, max] = [value, min, max].map(|number| number.to_string());
            Err(ConfigError { setting, value, min, max })
        }
    }
}

/// The same for a time, which the command line takes in milliseconds.
fn within_time(setting: &'static str, value_ns: u64, min_ns: u64) -> Result<(), ConfigError> {
    within(setting, value_ns, min_ns, TIME_NS_MAX).map_err(|_| {
        let [value, min, max] =
            [value_ns, min_ns, TIME_NS_MAX].map(|ns| (ns as f64 / 1e6).to_string());
        ConfigError { setting, value, min, max }
    })
}

/// Appends the text of tokens `first..first + tokens` of the answer with this seed. The same seed
/// always tells the same story, however it is cut into chunks.
pub(crate) fn append_text(text: &mut String, seed: u64, first: u64, tokens: u64) {
    for index in first..first.saturating_add(tokens) {
        if index > 0 {
            text.push(' ');
        }
        let hash = mix(seed ^ index, 0);
        text.push_str(WORDS[hash as usize % WORDS.len()]);
    }
}

/// The words of answers. Their number is a power of two, so that each is as likely.
const WORDS: [&str; 32] = [
    "the", "a", "one", "every", "token", "block", "cache", "worker", "router", "stream", "prompt",
    "answer", "batch", "queue", "slot", "counter", "waits", "runs", "moves", "grows", "starts",
    "ends", "counts", "fills", "slowly", "quickly", "again", "first", "then", "now", "and", "here",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_can_run() {
        assert_eq!(EngineConfig::default().check(), Ok(()));
        assert_eq!(EngineConfig::replay(None).check(), Ok(()));
        let mooncake = EngineConfig::replay(Some(512));
        assert_eq!((mooncake.check(), mooncake.kv_blocks), (Ok(()), 2_048));
        assert_eq!(EngineConfig::replay(Some(0)).check(), Ok(()));
    }

    #[test]
    fn a_setting_out_of_bounds_is_named() {
        let config = EngineConfig { slots: 0, ..EngineConfig::default() };
        let message = config.check().expect_err("no slot").to_string();
        assert_eq!(message, "--max-num-seqs is 0; expected 1 to 1048576");
        let config = EngineConfig { token_time_ns: 0, ..EngineConfig::default() };
        let message = config.check().expect_err("endless tokens").to_string();
        assert_eq!(message, "--token-time-ms is 0; expected 0.000001 to 3600000");
        let config = EngineConfig { token_time_ns: u64::MAX, ..EngineConfig::default() };
        assert!(config.check().is_err());
    }

    #[test]
    fn times_follow_the_shape_and_saturate() {
        let config = EngineConfig {
            prefill_base_ns: 100,
            prefill_token_ns: 7,
            token_time_ns: 1_000,
            batch_slowdown_ppm: 2_000,
            ..EngineConfig::default()
        };
        assert_eq!(config.decode_step_ns(0), 0);
        assert_eq!(config.decode_step_ns(1), 1_000);
        assert_eq!(config.decode_step_ns(101), 1_200);
        assert!(config.decode_step_ns(u64::MAX) > 1_000);
    }

    #[test]
    fn text_does_not_depend_on_how_it_is_cut() {
        let mut whole = String::new();
        append_text(&mut whole, 42, 0, 20);
        assert_eq!(whole.split(' ').count(), 20);
        let mut pieces = String::new();
        for index in 0..20 {
            append_text(&mut pieces, 42, index, 1);
        }
        assert_eq!(whole, pieces);
        let mut other = String::new();
        append_text(&mut other, 43, 0, 20);
        assert_ne!(whole, other);
    }
}
