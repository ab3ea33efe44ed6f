//! The bits of a few symbols, which are written again and again.

use std::io;

use super::bits::PUT_BITS;
use super::codes::{Code, Codes};
use super::hints::{Sink, WORD};

/// Words of packed bits: enough for two copies with some literals before, between and behind them.
const WORDS: usize = 2;

/// Bits that are written at once.
#[derive(Clone, Copy)]
pub(super) struct Packed {
    pub(super) words: [u64; WORDS],
    pub(super) lens: [u8; WORDS],
    pub(super) is_known: bool,
}

impl Packed {
    pub(super) const UNKNOWN: Self = Self { words: [0; WORDS], lens: [0; WORDS], is_known: false };
}

/// A sink that packs.
pub(super) struct Packer<'a> {
    codes: &'a Codes,
    packed: Packed,
    word: usize,
}

impl<'a> Packer<'a> {
    pub(super) fn new(codes: &'a Codes) -> Self {
        Self { codes, packed: Packed { is_known: true, ..Packed::UNKNOWN }, word: 0 }
    }

    /// Returns the bits, if they are not too many.
    pub(super) fn packed(self) -> Packed {
        if self.word < WORDS { self.packed } else { Packed::UNKNOWN }
    }

    fn put(&mut self, code: Code) {
        let Packed { words, lens, .. } = &mut self.packed;
        let is_full = |len: &u8| u32::from(*len) + code.len > PUT_BITS;
        if lens.get(self.word).is_some_and(is_full) {
            self.word += 1;
        }
        if let (Some(word), Some(len)) = (words.get_mut(self.word), lens.get_mut(self.word)) {
            *word |= u64::from(code.bits) << *len;
            *len += code.len as u8;
        }
    }
}

impl Sink for Packer<'_> {
    type At = ();

    fn literals(&mut self, (): (), bytes: &[u8]) -> io::Result<()> {
        bytes.iter().for_each(|byte| self.put(self.codes.literal(*byte)));
        Ok(())
    }

    fn short(&mut self, at: (), word: [u8; WORD], len: usize) -> io::Result<()> {
        self.literals(at, &word[..len])
    }

    fn copy(&mut self, (): (), len: usize, distance: usize) -> io::Result<()> {
        self.put(self.codes.copy(len));
        self.put(self.codes.distance(distance));
        Ok(())
    }
}
