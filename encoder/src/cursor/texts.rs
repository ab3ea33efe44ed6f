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

/// Texts, each readable beyond its end. A text that is replaced by another one is left where it is until such texts take as much
/// memory as the others. So replacing a text costs no more than writing it, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Ends with [`READABLE_BEYOND`] bytes of padding, once it holds a text.
    bytes: Vec<u8>,
    /// The beginning and end of each text. Those that were not replaced stand one behind the other.
    bounds: Vec<[usize; 2]>,
    /// Bytes of the texts in `bounds`.
    used: usize,
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
        let bounds = self.write(write);
        self.bounds.push(bounds);
    }

    /// Puts another text in place of one of them, written as by [`push`](Self::push).
    pub(crate) fn replace(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let [start, end] = self.bounds[at];
        self.used -= end - start;
        self.bounds[at] = self.write(write);
        self.compact();
    }

    /// Keeps the first `len` texts.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.used -= self.bounds.drain(len..).map(|[start, end]| end - start).sum::<usize>();
        self.compact();
    }

    /// Returns the number of texts.
    pub(crate) fn len(&self) -> usize {
        self.bounds.len()
    }

    /// Returns the bytes of all texts together.
    pub(crate) fn bytes_len(&self) -> usize {
        self.used
    }

    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> [usize; 2] {
        let start = self.bytes.len().saturating_sub(READABLE_BEYOND);
        self.bytes.truncate(start);
        write(&mut self.bytes);
        let end = self.bytes.len();
        self.bytes.resize(end + READABLE_BEYOND, 0);
        self.used += end - start;
        [start, end]
    }

    /// Leaves out the replaced texts, once they are as much as the others.
    fn compact(&mut self) {
        if self.bytes.len().saturating_sub(READABLE_BEYOND) <= 2 * self.used {
            return;
        }
        let mut bytes = Vec::with_capacity(self.used + READABLE_BEYOND);
        for bounds in &mut self.bounds {
            let [start, end] = *bounds;
            *bounds = [bytes.len(), bytes.len() + end - start];
            bytes.extend_from_slice(&self.bytes[start..end]);
        }
        bytes.resize(bytes.len() + READABLE_BEYOND, 0);
        self.bytes = bytes;
    }

    /// Reads a byte of the first lines of memory, so that they are near when they are copied. The result has no meaning.
    #[inline]
    pub(crate) fn touch(&self) -> usize {
        self.bounds.first().map_or(0, |&[start, _]| start) + touch(&self.bytes)
    }

    /// One of them.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Text<'_> {
        let [start, end] = self.bounds[at];
        self.between(start, end)
    }

    /// Every text, in order.
    #[inline(always)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Text<'_>> {
        self.bounds.iter().map(|&[start, end]| self.between(start, end))
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

    /// The text without the bytes that are readable beyond its end.
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
        texts.truncate(2);
        assert_eq!((texts.len(), texts.bytes_len()), (2, 3));
        texts.truncate(0);
        assert_eq!((texts.len(), texts.bytes_len()), (0, 0));
    }

    #[test]
    fn texts_that_are_replaced_leave_no_more_behind_than_is_there() {
        let mut texts = Texts::default();
        let mut expected: Vec<String> = (0..100).map(|at| format!("text {at}")).collect();
        for text in &expected {
            texts.push(|out| out.extend_from_slice(text.as_bytes()));
        }
        for round in 0..1000 {
            let at = round * 37 % expected.len();
            expected[at] = "x".repeat(round % 50);
            texts.replace(at, |out| out.resize(out.len() + round % 50, b'x'));
            assert_eq!(texts.bytes_len(), expected.iter().map(String::len).sum::<usize>());
            assert!(texts.bytes.len() <= 2 * texts.bytes_len() + READABLE_BEYOND);
            assert!(texts.iter().all(|text| text.bytes.len() >= text.len + READABLE_BEYOND));
        }
        assert_eq!(text_of(&texts), expected);
        texts.truncate(3);
        assert!(texts.bytes.len() <= 2 * texts.bytes_len() + READABLE_BEYOND);
        assert_eq!(text_of(&texts), expected[..3]);
        assert_eq!(texts.get(1).as_bytes(), expected[1].as_bytes());
    }
}
