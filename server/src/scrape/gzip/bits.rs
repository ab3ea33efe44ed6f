//! Bits into a body that grows, in the order of deflate: the first bit is the lowest of its byte.
//!
//! The position, [`Bits`], which changes with every code, is passed by value and returned, so that it stays in registers. Bytes wait in a
//! buffer of fixed size, whose bounds are constants, and are appended to the body when it is full.

use std::io;

use bytes::BytesMut;

use super::codes::Code;
use crate::scrape::memory::try_reserve;

/// Bytes that a flush stores, whatever it has.
const WORD_BYTES: usize = 8;
const BUFFER_BYTES: usize = 4096;
/// Bits that can be put at once, from one flush to the next: seven may wait.
pub(super) const PUT_BITS: u32 = 56;

pub(super) struct Writer<'a> {
    body: &'a mut BytesMut,
    buffer: [u8; BUFFER_BYTES],
}

/// The position behind what was written.
#[derive(Clone, Copy, Default)]
#[must_use]
pub(super) struct Bits {
    bits: u64,
    /// The number of bits in `bits`: fewer than eight after a flush.
    waiting: u32,
    /// Bytes in the buffer.
    at: usize,
}

impl Bits {
    /// Appends bits: [`PUT_BITS`] from one flush to the next.
    #[inline(always)]
    pub(super) fn put(self, code: Code) -> Self {
        self.put_word(code.bits.into(), code.len)
    }

    /// Appends the lowest `len` bits of a word, whose others are zero.
    #[inline(always)]
    pub(super) fn put_word(self, word: u64, len: u32) -> Self {
        Self { bits: self.bits | word << self.waiting, waiting: self.waiting + len, ..self }
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(body: &'a mut BytesMut) -> Self {
        Self { body, buffer: [0; BUFFER_BYTES] }
    }

    /// Stores whole bytes.
    #[inline(always)]
    pub(super) fn flush(&mut self, bits: Bits) -> io::Result<Bits> {
        let Some(word) = self.buffer[bits.at..].first_chunk_mut::<WORD_BYTES>() else {
            return self.drain_and_flush(bits);
        };
        *word = bits.bits.to_le_bytes();
        Ok(Bits {
            bits: bits.bits >> (bits.waiting & !7),
            waiting: bits.waiting % 8,
            at: bits.at + (bits.waiting / 8) as usize,
        })
    }

    #[cold]
    fn drain_and_flush(&mut self, bits: Bits) -> io::Result<Bits> {
        self.append(bits.at, &[])?;
        self.flush(Bits { at: 0, ..bits })
    }

    fn append(&mut self, buffered: usize, more: &[u8]) -> io::Result<()> {
        try_reserve(self.body, buffered + more.len())
            .map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
        self.body.extend_from_slice(&self.buffer[..buffered]);
        self.body.extend_from_slice(more);
        Ok(())
    }

    /// Ends the stream: fills the last byte with zeros, and appends `bytes`.
    pub(super) fn finish(mut self, bits: Bits, bytes: &[u8]) -> io::Result<()> {
        let bits = self.flush(bits)?;
        let bits = self.flush(Bits { waiting: bits.waiting.next_multiple_of(8), ..bits })?;
        self.append(bits.at, bytes)
    }
}
