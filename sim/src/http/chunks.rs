//! The end of a chunked body in a stream of bytes (RFC 9112 section 7.1).
//!
//! Only the end matters: hyper reads the same bytes and refuses a body that is malformed, after which no further request is read. So
//! this is lenient, and a size beyond 64 bits has no end.

/// A chunked body, followed from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    place: Place,
    /// The size of the chunk whose first line is being read, and then what is left of it.
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size,
    /// The rest of the line after a size.
    Extension,
    Data,
    /// The end of line after the data.
    DataEnd,
    /// A line after the last chunk; whether nothing of it has come.
    Trailer(bool),
    Ended,
    Endless,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { place: Place::Size, size: 0 }
    }

    /// Returns whether the body has ended.
    pub(crate) fn has_ended(self) -> bool {
        self.place == Place::Ended
    }

    /// Goes on by `bytes`, and returns how many of them are the body's.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            match self.place {
                Place::Ended => break,
                Place::Endless => return bytes.len(),
                Place::Data => {
                    let count = usize::try_from(self.size).unwrap_or(usize::MAX);
                    let count = count.min(bytes.len() - at);
                    at += count;
                    self.size -= count as u64;
                    if self.size == 0 {
                        self.place = Place::DataEnd;
                    }
                }
                _ => {
                    self.line(bytes[at]);
                    at += 1;
                }
            }
        }
        at
    }

    /// Goes on by a byte that is not of a chunk's data.
    fn line(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::Size | Place::Extension, b'\n') if self.size == 0 => Place::Trailer(true),
            (Place::Size | Place::Extension, b'\n') => Place::Data,
            (Place::Size, _) => match char::from(byte).to_digit(16) {
                Some(digit) => match self.size.checked_mul(16) {
                    Some(size) => {
                        self.size = size | u64::from(digit);
                        Place::Size
                    }
                    None => Place::Endless,
                },
                None => Place::Extension,
            },
            (Place::DataEnd, b'\n') => Place::Size,
            (Place::Trailer(true), b'\n') => Place::Ended,
            (Place::Trailer(_), b'\n') => Place::Trailer(true),
            (Place::Trailer(empty), b'\r') => Place::Trailer(empty),
            (Place::Trailer(_), _) => Place::Trailer(false),
            (place, _) => place,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_cut() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "A;name=\"0\"\r\n0\r\n\r\n0\r\n\r\r\n00\r\nX: y\r\nZ:\r\n\r\n",
            "1\r\n\n\r\n1\r\n0\r\n0;last\r\n\r\n",
        ] {
            let text = format!("{body}GET / HTTP/1.1\r\n\r\n");
            for step in 1..text.len() {
                let mut chunks = Chunks::new();
                let parts = text.as_bytes().chunks(step);
                let length: usize = parts.map(|part| chunks.follow(part)).sum();
                assert_eq!((length, chunks.has_ended()), (body.len(), true), "{body:?} by {step}");
            }
        }
    }

    #[test]
    fn a_size_beyond_64_bits_has_no_end() {
        let mut chunks = Chunks::new();
        let text = b"fffffffffffffffff\r\n0\r\n\r\n0\r\n\r\n";
        assert_eq!((chunks.follow(text), chunks.has_ended()), (text.len(), false));
    }
}
