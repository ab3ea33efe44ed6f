//! The buffer that a source's closure writes its text into: reused memory, bounded by the limit of a source.

use super::ENGINE_BODY_BYTES_MAX;
use std::fmt;
use std::io;

/// An engine's text while its closure writes it. **It never holds more than [`ENGINE_BODY_BYTES_MAX`] bytes**: bytes
/// beyond the limit are dropped, and the fetch fails with [`EngineError::TooLarge`](super::EngineError::TooLarge), also
/// where the closure returns `Ok`.
///
/// `write!` and [`io::Write`] fail at that point, so that an endless loop ends with `?`; after a call of another method,
/// see [`is_full`](Self::is_full).
///
/// ```
/// use dynamo_metrics_exporter::{EngineError, EngineSource, Filter};
/// use std::fmt::Write;
///
/// let endless = EngineSource::writing("endless", Filter::all(), |text| {
///     loop {
///         writeln!(text, "steps_total 1").map_err(|error| error.to_string())?;
///     }
/// });
/// assert!(matches!(endless.read(), Err(EngineError::TooLarge { .. })));
/// ```
#[derive(Debug)]
pub struct EngineText<'a> {
    buffer: &'a mut Vec<u8>,
    full: bool,
}

impl<'a> EngineText<'a> {
    pub(super) fn new(buffer: &'a mut Vec<u8>) -> Self {
        Self { buffer, full: false }
    }

    /// Appends bytes; only the first of them, if there is no room for all.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let room = ENGINE_BODY_BYTES_MAX.saturating_sub(self.buffer.len());
        self.full |= bytes.len() > room;
        self.buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Appends text, as [`extend_from_slice`](Self::extend_from_slice) does.
    pub fn push_str(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }

    /// Appends a byte.
    pub fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    /// Returns the number of bytes so far.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Returns whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Returns whether the limit was reached; further bytes are dropped.
    pub fn is_full(&self) -> bool {
        self.full
    }
}

impl fmt::Write for EngineText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        if self.full { Err(fmt::Error) } else { Ok(()) }
    }
}

impl io::Write for EngineText<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Extend<u8> for EngineText<'_> {
    /// Stops at the limit, also where the iterator does not end.
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        for byte in bytes {
            self.push(byte);
            if self.full {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EngineError, EngineSource, Filter};
    use super::*;

    #[test]
    fn an_endless_closure_is_bounded_with_each_way_to_write() {
        type Endless = fn(&mut EngineText<'_>) -> Result<(), String>;
        let ways: [(&str, Endless); 4] = [
            ("fmt", |text| {
                loop {
                    fmt::Write::write_str(text, "x 1\n").map_err(|error| error.to_string())?;
                }
            }),
            ("io", |text| {
                io::copy(&mut io::repeat(b'x'), text).map_err(|error| error.to_string())?;
                Ok(())
            }),
            ("extend", |text| {
                text.extend(std::iter::repeat(b'x'));
                Ok(())
            }),
            ("slices", |text| {
                while !text.is_full() {
                    text.extend_from_slice(&[b'x'; 1000]);
                    assert!(text.len() <= ENGINE_BODY_BYTES_MAX);
                }
                Ok(())
            }),
        ];
        for (way, write) in ways {
            let mut buffer = Vec::new();
            let source = EngineSource::writing("endless", Filter::all(), write);
            let result = source.read_into(&mut buffer);
            assert_eq!(result, Err(EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX }), "{way}");
            assert_eq!(buffer.len(), ENGINE_BODY_BYTES_MAX, "{way}");
        }
    }

    #[test]
    fn a_text_of_exactly_the_limit_is_kept() {
        let source = EngineSource::writing("x", Filter::all(), |text| {
            text.extend_from_slice(&vec![b'#'; ENGINE_BODY_BYTES_MAX]);
            assert!(!text.is_full() && !text.is_empty());
            Ok(())
        });
        assert_eq!(source.read().map(|text| text.len()), Ok(ENGINE_BODY_BYTES_MAX));
    }
}
