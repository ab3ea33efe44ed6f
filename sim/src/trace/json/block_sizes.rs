//! The number of tokens of a block, which no file states: the size with which every row's number of ids fits its length.

use crate::trace::Fault;

/// Tokens of a block in the published Mooncake traces, and in Bailian's.
pub(super) const MOONCAKE_BLOCK_TOKENS: u64 = 512;
pub(super) const BAILIAN_BLOCK_TOKENS: u64 = 16;

/// Sizes that are tried when the usual one does not fit: the powers of two that engines and tools cut prompts by.
const BLOCK_TOKENS_TRIED: [u64; 12] = [16, 512, 32, 64, 128, 256, 1024, 2048, 8, 4, 2, 1];

/// The block sizes with which the number of ids fits the length of every row so far, the usual one first.
pub(super) struct BlockSizes {
    fitting: Vec<u64>,
    given: Option<u64>,
    /// True if a row had ids.
    any: bool,
}

impl BlockSizes {
    pub(super) fn new(given: Option<u64>, is_bailian: bool) -> Self {
        let usual = if is_bailian { BAILIAN_BLOCK_TOKENS } else { MOONCAKE_BLOCK_TOKENS };
        let fitting = match given {
            Some(size) => vec![size],
            None => std::iter::once(usual).chain(BLOCK_TOKENS_TRIED).collect(),
        };
        Self { fitting, given, any: false }
    }

    /// Removes the sizes that do not fit a row; an error when none is left.
    pub(super) fn narrow(&mut self, input: u64, ids: u64) -> Result<(), Fault> {
        if ids == 0 {
            return Ok(());
        }
        self.any = true;
        let Some(&usual) = self.fitting.first() else { return Ok(()) };
        self.fitting.retain(|&size| fits(size, input, ids));
        if !self.fitting.is_empty() {
            return Ok(());
        }
        Err(match self.given {
            Some(size) => Fault::new(
                format!("input_length {input} has {ids} hash_ids"),
                format!("{} for --block-size {size}", input.div_ceil(size)),
            ),
            None => Fault::new(
                format!("input_length {input} has {ids} hash_ids, and no block size fits all rows"),
                format!("one id for each {usual} tokens as in the rows before, or --block-size"),
            ),
        })
    }

    /// The size; `None` when no row had ids.
    pub(super) fn settled(&self) -> Option<u64> {
        self.fitting.first().copied().filter(|_| self.any)
    }
}

/// Returns whether a prompt of so many tokens has so many whole blocks, or one more that is not full.
fn fits(size: u64, input: u64, ids: u64) -> bool {
    ids == input.div_ceil(size) || ids == input / size
}
