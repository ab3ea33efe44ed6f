//! Lines of a reader, one at a time and of bounded length.
//!
//! All lines go through one buffer that is used again. `\n` and `\r\n` both end a line, the last
//! one needs no end, blank lines are skipped and a byte order mark before the first is dropped.

use super::{Fault, TraceError};
use std::io::{BufRead, Read};

/// The longest line that is read: a prompt of a million blocks is under 8 MiB of ids, while a file
/// without a single newline (a device, a binary) must not be read into memory whole.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Largest number of characters of a bad field that an error message shows.
const EXCERPT_CHARS_MAX: usize = 60;

/// The non-blank lines of a reader, without their ends, in one buffer that is used again.
pub(super) struct Lines<'a, R> {
    name: &'a str,
    reader: R,
    buffer: Vec<u8>,
    /// The number of the line in the buffer, counted from 1.
    number: usize,
}

impl<'a, R: BufRead> Lines<'a, R> {
    pub(super) fn new(name: &'a str, reader: R) -> Self {
        Lines { name, reader, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not blank; `None` at the end.
    pub(super) fn next_line(&mut self) -> Result<Option<&[u8]>, TraceError> {
        loop {
            self.buffer.clear();
            self.number += 1;
            let read = (&mut self.reader)
                .take(LINE_BYTES_MAX as u64 + 1)
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| TraceError::Read { file: self.name.to_owned(), source })?;
            if read == 0 {
                return Ok(None);
            }
            if read > LINE_BYTES_MAX {
                let expected = format!("at most {LINE_BYTES_MAX} bytes");
                return Err(self.error(Fault::new("the line does not end", expected)));
            }
            if self.number == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.buffer.drain(..BYTE_ORDER_MARK.len());
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(Some(self.buffer.trim_ascii()));
            }
        }
    }

    /// The number of the line that was read last, counted from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// An error about the line that was read last.
    pub(super) fn error(&self, fault: Fault) -> TraceError {
        TraceError::Line { file: self.name.to_owned(), line: self.number, fault }
    }
}

/// The mark that some editors put before the first line of a UTF-8 file.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The start of a field or line, fit for an error message.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    // Four bytes a character at most, so that a line of megabytes is not converted whole.
    let start = &bytes[..bytes.len().min(EXCERPT_CHARS_MAX * 4)];
    let text = String::from_utf8_lossy(start);
    let mut short: String = text
        .chars()
        .take(EXCERPT_CHARS_MAX)
        .map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char })
        .collect();
    if start.len() < bytes.len() || text.chars().nth(EXCERPT_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn all(text: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let mut lines = Lines::new("t", text);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().expect("short lines").map(<[u8]>::to_vec) {
            all.push((lines.number(), line));
        }
        all
    }

    #[test]
    fn ends_blanks_and_a_byte_order_mark_are_not_part_of_a_line() {
        let expected = [(1, b"a".to_vec()), (4, b"b c".to_vec())];
        assert_eq!(all(b"a\n\n \nb c"), expected);
        assert_eq!(all(b"\xEF\xBB\xBFa\r\n\r\n\t\r\n b c\r\n"), expected);
        assert_eq!(all(b""), []);
    }

    #[test]
    fn a_line_without_an_end_is_refused_before_memory_is_full() {
        let mut lines = Lines::new("t", io::BufReader::new(io::repeat(b'7')));
        let error = lines.next_line().expect_err("it never ends");
        assert_eq!(
            error.to_string(),
            "t:1: the line does not end; expected at most 16777216 bytes"
        );
    }

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(excerpt(b"12"), "12");
        assert_eq!(excerpt(b"\x1b[31m\xff"), "\u{fffd}[31m\u{fffd}");
        let long = excerpt("é".repeat(1_000).as_bytes());
        assert_eq!(long.chars().count(), EXCERPT_CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }
}
