//! Texts that were rendered once and are copied by each scrape, each readable a little beyond its end.

#![forbid(unsafe_code)]

use std::ops::Range;

/// Bytes that are copied at a time: one vector register.
pub(super) const BLOCK: usize = 32;
/// Bytes copied of a text that is not longer than this, where texts are usually that short.
pub(super) const HALF: usize = BLOCK / 2;

/// Bytes that can be read behind the end of each text: as many as a text may have that is kept in registers (`lines.rs`),
/// since its labels are read as if they were the whole of it.
pub(super) const READABLE_BEYOND: usize = 192;

/// Texts one after the other, each readable beyond its end.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Ends with [`READABLE_BEYOND`] bytes of padding, once it holds a text.
    bytes: Vec<u8>,
    /// Where each text begins, and where the last one ends; empty while there is none.
    bounds: Vec<usize>,
}

/// One of [`Texts`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    /// The text, and at least [`READABLE_BEYOND`] bytes more.
    pub(super) bytes: &'a [u8],
    pub(super) len: usize,
}

impl Texts {
    /// Appends the text that `write` appends to the buffer, which may hold others before it.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes_len();
        self.bytes.truncate(start);
        write(&mut self.bytes);
        if self.bounds.is_empty() {
            self.bounds.push(start);
        }
        self.bounds.push(self.bytes.len());
        self.bytes.resize(self.bytes.len() + READABLE_BEYOND, 0);
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bounds.clear();
    }

    /// How many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// Bytes of all texts together.
    pub(crate) fn bytes_len(&self) -> usize {
        self.bounds.last().copied().unwrap_or(0)
    }

    /// Reads a byte of the first lines of memory, so that they are near when they are copied; what is returned means nothing.
    #[inline]
    pub(crate) fn touch(&self) -> usize {
        self.bounds.first().copied().unwrap_or(0) + touch(&self.bytes)
    }

    /// One of them.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Text<'_> {
        self.between(self.bounds[at], self.bounds[at + 1])
    }

    /// Every text, in order.
    #[inline(always)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Text<'_>> {
        self.bounds.array_windows().map(|&[start, end]| self.between(start, end))
    }

    #[inline(always)]
    fn between(&self, start: usize, end: usize) -> Text<'_> {
        Text { bytes: &self.bytes[start..], len: end - start }
    }
}

impl<'a> Text<'a> {
    /// A part of the text.
    #[inline]
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        let len = range.len();
        Self { bytes: &self.bytes[range.start..], len }
    }

    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// The last byte of a text that is not empty.
    #[inline]
    pub(crate) fn last(self) -> u8 {
        self.bytes[self.len - 1]
    }

    /// Without what is readable beyond its end.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        &self.bytes[..self.len]
    }
}

/// Lines of memory that are read ahead: more than it takes until the processor sees that the next are wanted, too.
pub(super) const LINES_AHEAD: usize = 4;
/// Bytes of such a line.
pub(super) const LINE_BYTES: usize = 64;

/// Reads a byte of each of the first lines.
#[inline]
pub(crate) fn touch(bytes: &[u8]) -> usize {
    bytes.iter().step_by(LINE_BYTES).take(LINES_AHEAD).map(|&byte| usize::from(byte)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(texts: &Texts) -> Vec<String> {
        texts.iter().map(|text| String::from_utf8(text.as_bytes().to_vec()).unwrap()).collect()
    }

    #[test]
    fn texts_are_apart_and_readable_beyond_their_end() {
        let mut texts = Texts::default();
        for text in ["one", "", "two"] {
            texts.push(|out| out.extend_from_slice(text.as_bytes()));
        }
        assert_eq!(text_of(&texts), ["one", "", "two"]);
        assert_eq!((texts.len(), texts.bytes_len()), (3, 6));
        assert!(texts.iter().all(|text| text.bytes.len() >= text.len + READABLE_BEYOND));
        texts.clear();
        assert_eq!((texts.len(), texts.bytes_len()), (0, 0));
    }
}
