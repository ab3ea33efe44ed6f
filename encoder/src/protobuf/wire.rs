//! The wire format of protocol buffers, as far as an exposition needs it: tags, varints, doubles, lengths.
//!
//! A nested message stands behind its length, which must be known before its first byte is written. Nothing is
//! put aside for that: each writer of a message is generic over a [`Sink`], runs once into [`Size`], which only
//! adds up, and a second time into the body.
//! (Protocol Buffers, "Encoding"; field numbers are those of `io.prometheus.client`, `metrics.proto`.)

use crate::cursor::Cursor;

/// The target of a message: a body, or only a sum of bytes.
pub(crate) trait Sink: Sized {
    fn raw(self, bytes: &[u8]) -> Self;
    fn varint(self, v: u64) -> Self;

    /// A field of type double.
    #[inline(always)]
    fn double(self, field: u32, v: f64) -> Self {
        self.tag(field, FIXED64).raw(&v.to_bits().to_le_bytes())
    }

    /// A field of an unsigned type.
    #[inline(always)]
    fn unsigned(self, field: u32, v: u64) -> Self {
        self.tag(field, VARINT).varint(v)
    }

    /// A field of type sint32 or sint64.
    #[inline(always)]
    fn signed(self, field: u32, v: i64) -> Self {
        self.tag(field, VARINT).varint(zigzag(v))
    }

    /// A field of type string or bytes.
    #[inline(always)]
    fn string(self, field: u32, text: &[u8]) -> Self {
        self.tag(field, DELIMITED).varint(text.len() as u64).raw(text)
    }

    /// A field that is a message, or packed numbers.
    #[inline(always)]
    fn message(self, field: u32, message: &impl Message) -> Self {
        let size = message.write(Size(0)).0;
        message.write(self.sized(field, size))
    }

    /// The prefix of a message of this size.
    #[inline(always)]
    fn sized(self, field: u32, size: usize) -> Self {
        self.tag(field, DELIMITED).varint(size as u64)
    }

    #[inline(always)]
    fn tag(self, field: u32, wire_type: u64) -> Self {
        self.varint(u64::from(field) << 3 | wire_type)
    }
}

/// The fields of a message. Writes the same bytes into every sink.
pub(crate) trait Message {
    fn write<S: Sink>(&self, sink: S) -> S;
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
/// The wire type of a field that stands behind its length.
pub(crate) const DELIMITED: u64 = 2;

/// Appends to a buffer that grows.
#[derive(Debug)]
pub(crate) struct Growing<'a>(pub(crate) &'a mut Vec<u8>);

impl Sink for Growing<'_> {
    fn raw(self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(self, mut v: u64) -> Self {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
        self
    }
}

/// A sink that adds up the bytes that would be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub(crate) usize);

impl Sink for Size {
    #[inline(always)]
    fn raw(self, bytes: &[u8]) -> Self {
        Self(self.0 + bytes.len())
    }

    #[inline(always)]
    fn varint(self, v: u64) -> Self {
        Self(self.0 + varint_len(v))
    }
}

impl Sink for Cursor<'_> {
    #[inline(always)]
    fn raw(self, bytes: &[u8]) -> Self {
        self.bytes(bytes)
    }

    #[inline(always)]
    fn varint(self, v: u64) -> Self {
        if v < 0x80 {
            return self.bytes(&[v as u8]);
        }
        long_varint(self, v)
    }
}

#[inline]
fn long_varint(cursor: Cursor<'_>, mut v: u64) -> Cursor<'_> {
    let (mut bytes, mut len) = ([0; 10], 0);
    while v >= 0x80 {
        bytes[len] = v as u8 | 0x80;
        v >>= 7;
        len += 1;
    }
    bytes[len] = v as u8;
    cursor.bytes(&bytes[..=len])
}

/// Bytes of a varint: seven bits each.
#[inline(always)]
pub(crate) fn varint_len(v: u64) -> usize {
    let bits = 64 - (v | 1).leading_zeros() as usize;
    // `bits / 7` rounded up, without a division: exact for 1 to 64.
    (bits * 9 + 64) / 64
}

/// Small numbers of either sign as small numbers.
#[inline(always)]
pub(crate) fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::append;
    use bytes::BytesMut;

    fn written(write: impl FnOnce(Cursor<'_>) -> Cursor<'_>) -> Vec<u8> {
        let mut body = BytesMut::new();
        append(&mut body, 100, write);
        body.to_vec()
    }

    #[test]
    fn varints_are_as_the_encoding_guide_shows_them() {
        assert_eq!(written(|c| c.varint(1)), [0x01]);
        assert_eq!(written(|c| c.varint(150)), [0x96, 0x01]);
        assert_eq!(written(|c| c.varint(u64::MAX)).len(), 10);
        assert_eq!([0, -1, 1, -2, i64::MIN].map(zigzag), [0, 1, 2, 3, u64::MAX]);
    }

    #[test]
    fn fields_are_as_the_encoding_guide_shows_them() {
        assert_eq!(written(|c| c.unsigned(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(written(|c| c.string(2, b"testing"))[..2], [0x12, 0x07]);
        assert_eq!(written(|c| c.double(1, 1.0)), [9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(written(|c| c.signed(5, -4)), [0x28, 0x07]);
        struct One;
        impl Message for One {
            fn write<S: Sink>(&self, sink: S) -> S {
                sink.unsigned(1, 150)
            }
        }
        assert_eq!(written(|c| c.message(3, &One)), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn a_size_is_what_is_written() {
        for v in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            assert_eq!(written(|c| c.varint(v)).len(), varint_len(v), "{v}");
            assert_eq!(Size(0).varint(v).0, varint_len(v));
        }
    }
}
