//! A prompt as a chain of block hashes, for prompts that come as text or tokens.
//!
//! A block is `block_size` tokens. Its hash mixes in the hash of the block before it, so equal
//! hashes mean equal text *from the start*, which is the only kind of equality that a KV cache can
//! use. Only whole blocks are hashed: a part-filled one will be filled by the answer and is not
//! shared.
//!
//! Hashes are the same in every process and every run, so that replays and tests repeat. They are
//! not a defence: whoever chooses prompts can make two collide, and a simulated cache then claims a
//! hit too many.

/// Bytes of text that count as one token: the rule of thumb for English under the usual vocabularies.
const TOKEN_BYTES: usize = 4;

/// The start of every chain; any odd constant will do.
const CHAIN_START: u64 = 0x9E37_79B9_7F4A_7C15;

/// A prompt as the engine sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// Its length.
    pub(crate) input_tokens: u64,
    /// The hashes of its whole blocks, in order.
    pub(crate) blocks: Vec<u64>,
}

impl Prompt {
    /// Cuts text into tokens of four bytes. The simulated tokenizer has no vocabulary; what matters
    /// is that texts with a common start have common first tokens.
    pub(crate) fn of_text(text: &str, block_size: u64) -> Prompt {
        Prompt::of_tokens(text.as_bytes().chunks(TOKEN_BYTES).map(piece), block_size)
    }

    /// Hashes a prompt that comes as token ids.
    pub(crate) fn of_tokens(tokens: impl Iterator<Item = u32>, block_size: u64) -> Prompt {
        let block_size = block_size.max(1);
        let mut prompt = Prompt::default();
        let mut hash = CHAIN_START;
        for token in tokens {
            hash = mix(hash, token);
            prompt.input_tokens += 1;
            if prompt.input_tokens.is_multiple_of(block_size) {
                prompt.blocks.push(hash);
            }
        }
        prompt
    }

    /// Returns the seed of the answer: the same prompt always gets the same one.
    pub(crate) fn seed(&self) -> u64 {
        self.blocks.last().copied().unwrap_or(self.input_tokens)
    }
}

/// A token for up to four bytes of text. The length is mixed in, so that text which ends in zero
/// bytes differs from text which just ends.
fn piece(bytes: &[u8]) -> u32 {
    let value = bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
    value ^ (bytes.len() as u32).wrapping_mul(0x9E37_79B1)
}

/// One link of the chain. The multiplication is by an odd constant and the shift is an exclusive
/// or with itself: both can be undone, so no two states with the same token ever merge.
pub(crate) fn mix(hash: u64, token: u32) -> u64 {
    let mixed = (hash ^ u64::from(token)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    mixed ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn only_whole_blocks_are_hashed() {
        let prompt = Prompt::of_tokens(0..35, 16);
        assert_eq!((prompt.input_tokens, prompt.blocks.len()), (35, 2));
        assert_eq!(Prompt::of_text("", 16), Prompt::default());
        assert_eq!(Prompt::of_text("abcde", 1).input_tokens, 2);
        assert_eq!(Prompt::of_tokens(0..3, 0).blocks.len(), 3);
    }

    #[test]
    fn a_common_start_gives_common_blocks_and_nothing_after_the_first_difference() {
        let text: String = ('a'..='z').cycle().take(640).collect();
        let whole = Prompt::of_text(&text, 16).blocks;
        assert_eq!(whole.len(), 10);
        for cut in [0, 63, 64, 300, 639] {
            let mut other = text.clone();
            other.replace_range(cut..cut + 1, "!");
            let other = Prompt::of_text(&other, 16).blocks;
            let common = whole.iter().zip(&other).take_while(|(a, b)| a == b).count();
            assert_eq!(common, cut / 64);
            assert!(whole.iter().skip(common).zip(&other[common..]).all(|(a, b)| a != b));
        }
    }

    #[test]
    fn hashes_do_not_change_between_runs_and_hardly_collide() {
        assert_eq!(Prompt::of_text("0123456789abcdef", 4).blocks, [12_570_054_933_847_913_231]);
        let blocks = Prompt::of_tokens(std::iter::repeat_n(7, 100_000), 1).blocks;
        assert_eq!(blocks.iter().collect::<HashSet<_>>().len(), 100_000);
        let singles: HashSet<u64> = (0..100_000)
            .flat_map(|token| Prompt::of_tokens([token].into_iter(), 1).blocks)
            .collect();
        assert_eq!(singles.len(), 100_000);
    }
}
