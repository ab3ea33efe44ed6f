//! The place in a body where the next byte goes.
//!
//! The room for a body is reserved once a scrape, so a write needs no growth. Text is copied in whole blocks of
//! [`BLOCK`] bytes, whatever its length: the next write covers the bytes beyond its end, and a copy of known
//! size is two instructions instead of a call. So texts live in [`Texts`], where each can be read a little
//! beyond its end.
//!
//! **Only bytes that were written become part of the body.** Each write begins at `at`, fills every byte up to
//! the new `at`, and nothing else moves it forward. That is the invariant behind the one unsafe operation of this
//! crate. Without it the room would have to be zeroed in every scrape, at the price of a second pass over memory.

#![allow(unsafe_code)]

mod lines;
mod texts;

pub(crate) use lines::{Tails, Totals};
pub(crate) use texts::{Text, Texts, touch};

use crate::integer::{self, is_medium, is_short};
use crate::number;
use bytes::{BufMut, BytesMut};
use dynamo_metrics_core::snapshot::Sum;
use dynamo_metrics_core::{IntegerSum, Scale};
use std::mem::MaybeUninit;
use texts::{BLOCK, HALF};

/// Digits of `u64::MAX`.
const LONGEST_DIGITS: usize = 20;
/// Room that a write may ask for beyond the bytes that it writes: a last text or number may be copied as a whole block, and
/// [`Cursor::cumulative_lines`] asks for a line of the longest tail that a byte can measure.
const SLACK: usize = 512;

/// Writes into the room that was reserved behind a body.
///
/// It is passed by value and each write returns it, so that room and position stay in registers: behind a
/// reference the compiler has to take each byte written for a change of the position itself.
#[derive(Debug)]
#[must_use]
pub(crate) struct Cursor<'a> {
    room: &'a mut [MaybeUninit<u8>],
    /// Everything before it is written.
    at: usize,
}

/// Reserves room for `bytes_max` bytes behind `body` and lets `write` fill it; what was written is appended.
///
/// A writer that asks for more than it announced panics, and nothing is appended; it cannot write elsewhere.
pub(crate) fn append(
    body: &mut BytesMut,
    bytes_max: usize,
    write: impl FnOnce(Cursor<'_>) -> Cursor<'_>,
) {
    body.reserve(bytes_max + SLACK);
    let written = write(Cursor { room: body.spare_capacity_mut(), at: 0 }).at;
    // SAFETY: the first `written` bytes of the spare capacity are initialised: `Cursor::at` is only moved forward by
    // `copy_short`, `blocks`, `bytes`, `digits`, `value`, `last_value`, `sum` and `newline` below and by `cumulative_lines` in
    // `lines.rs`, each of which first writes every byte that it passes; `lines`, `value`, the free `digits`,
    // `long_number`, `fraction` and `decimal` return how many bytes they wrote, from the first on.
    unsafe { body.advance_mut(written) };
}

impl Cursor<'_> {
    /// Returns how many bytes were written so far.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Drops the bytes that were written behind an earlier position.
    pub(crate) fn rewind(self, position: usize) -> Self {
        Self { at: self.at.min(position), ..self }
    }

    /// Writes over bytes that were written at `position`; does nothing if there are not that many.
    pub(crate) fn patch(self, position: usize, bytes: &[u8]) -> Self {
        if let Some(written) = self.room[..self.at].get_mut(position..position + bytes.len()) {
            written.write_copy_of_slice(bytes);
        }
        self
    }

    /// [`copy`](Self::copy) for a text that is rarely longer than half a block, as a bucket's bound.
    #[inline(always)]
    pub(crate) fn copy_short(self, text: Text<'_>) -> Self {
        if text.len > HALF {
            return self.copy(text);
        }
        let room = &mut self.room[self.at..][..HALF];
        room.write_copy_of_slice(&text.bytes[..HALF]);
        Self { at: self.at + text.len, ..self }
    }

    /// Appends a text, block by block.
    #[inline(always)]
    pub(crate) fn copy(self, text: Text<'_>) -> Self {
        // Spelled out for the usual lengths: the compiler makes a call of `memcpy` of a loop.
        match text.len {
            0..=32 => self.blocks::<1>(text),
            33..=64 => self.blocks::<2>(text),
            65..=96 => self.blocks::<3>(text),
            97..=128 => self.blocks::<4>(text),
            129..=160 => self.blocks::<5>(text),
            161..=192 => self.blocks::<6>(text),
            _ => self.bytes(&text.bytes[..text.len]),
        }
    }

    #[inline(always)]
    fn blocks<const N: usize>(self, text: Text<'_>) -> Self {
        let from = text.bytes[..N * BLOCK].as_chunks::<BLOCK>().0;
        let to = self.room[self.at..][..N * BLOCK].as_chunks_mut::<BLOCK>().0;
        for at in 0..N {
            to[at].write_copy_of_slice(&from[at]);
        }
        Self { at: self.at + text.len, ..self }
    }

    /// Appends bytes that are not a [`Text`].
    #[inline(always)]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        self.room[self.at..][..bytes.len()].write_copy_of_slice(bytes);
        Self { at: self.at + bytes.len(), ..self }
    }

    /// Appends decimal digits, exact over the whole range.
    #[inline(always)]
    pub(crate) fn number(self, v: u64) -> Self {
        self.digits::<false>(v)
    }

    /// Appends decimal digits and ends the line.
    #[inline(always)]
    pub(crate) fn last_number(self, v: u64) -> Self {
        self.digits::<true>(v)
    }

    #[inline(always)]
    fn digits<const LAST: bool>(self, v: u64) -> Self {
        // The room of the number and of the end of the line is checked once.
        let room = &mut self.room[self.at..][..LONGEST_DIGITS + 1];
        let len = digits(room, v);
        if LAST {
            room[len].write(b'\n');
        }
        Self { at: self.at + len + usize::from(LAST), ..self }
    }

    /// Ends a line.
    #[inline(always)]
    pub(crate) fn newline(self) -> Self {
        self.room[self.at].write(b'\n');
        Self { at: self.at + 1, ..self }
    }

    /// Appends a signed integer.
    #[inline(always)]
    pub(crate) fn signed_number(self, v: i64) -> Self {
        self.signed_digits::<false>(v)
    }

    #[inline(always)]
    fn signed_digits<const LAST: bool>(self, v: i64) -> Self {
        let cursor = if v < 0 { self.bytes(b"-") } else { self };
        cursor.digits::<LAST>(v.unsigned_abs())
    }

    /// Appends a sample's value, as [`number::write_value`] spells it.
    #[inline(always)]
    pub(crate) fn value(self, v: f64) -> Self {
        match number::whole(v) {
            Some(v) => self.signed_digits::<false>(v),
            None => {
                let len = fraction(&mut self.room[self.at..], v);
                Self { at: self.at + len, ..self }
            }
        }
    }

    /// Appends the sum of a histogram: a float as [`value`](Self::value) does, an integer as an exact decimal number.
    #[inline(always)]
    pub(crate) fn sum(self, sum: Sum) -> Self {
        match sum {
            Sum::Float(v) => self.value(v),
            Sum::Integer(sum) => {
                let len = decimal(&mut self.room[self.at..], sum);
                Self { at: self.at + len, ..self }
            }
        }
    }

    /// Appends a sample's value and ends the line.
    #[inline(always)]
    pub(crate) fn last_value(self, v: f64) -> Self {
        match number::whole(v) {
            Some(v) => self.signed_digits::<true>(v),
            None => {
                let len = fraction(&mut self.room[self.at..], v);
                Self { at: self.at + len, ..self }.newline()
            }
        }
    }
}

// A function that is not inlined gets the room and returns how many bytes it wrote: of a cursor that is handed over, the
// compiler keeps the position in memory even where nothing is called, and each line waits for that of the one before.

/// Writes a number to the beginning of the room; returns how many bytes that is.
#[inline(always)]
fn digits(room: &mut [MaybeUninit<u8>], v: u64) -> usize {
    if is_short(v) {
        let (digits, len) = integer::short(v);
        room[..8].write_copy_of_slice(&digits.to_le_bytes());
        len
    } else if is_medium(v) {
        let (first, len, rest) = integer::medium(v);
        room[..8].write_copy_of_slice(&first.to_le_bytes());
        room[len..len + 8].write_copy_of_slice(&rest.to_le_bytes());
        len + 8
    } else {
        long_number(room, v)
    }
}

/// Writes more than sixteen digits to the beginning of the room.
#[cold]
#[inline(never)]
fn long_number(room: &mut [MaybeUninit<u8>], v: u64) -> usize {
    write(room, itoa::Buffer::new().format(v).as_bytes())
}

/// Writes a value that is not whole to the beginning of the room.
#[inline(never)]
fn fraction(room: &mut [MaybeUninit<u8>], v: f64) -> usize {
    if !v.is_finite() {
        return write(room, number::Text::of(v).as_bytes());
    }
    let mut buffer = zmij::Buffer::new();
    let bytes = buffer.format_finite(v).as_bytes();
    // For the usual lengths two copies of known size that overlap, instead of a call.
    if let (Some(first), Some(last), 8..=16) =
        (bytes.first_chunk::<8>(), bytes.last_chunk::<8>(), bytes.len())
    {
        let room = &mut room[..bytes.len()];
        room[..8].write_copy_of_slice(first);
        room[bytes.len() - 8..].write_copy_of_slice(last);
    } else if let (Some(first), Some(last), 17..=32) =
        (bytes.first_chunk::<16>(), bytes.last_chunk::<16>(), bytes.len())
    {
        let room = &mut room[..bytes.len()];
        room[..16].write_copy_of_slice(first);
        room[bytes.len() - 16..].write_copy_of_slice(last);
    } else {
        write(room, bytes);
    }
    bytes.len()
}

/// Writes a sum of integers to the beginning of the room, without the zeros at its end; returns how many bytes that is.
#[inline(never)]
fn decimal(room: &mut [MaybeUninit<u8>], IntegerSum { units, scale }: IntegerSum) -> usize {
    let (whole, part) = match scale {
        // A constant divisor each: a multiplication instead of a division.
        Scale::One => (units, 0),
        Scale::Milli => (units / Scale::Milli.per_one(), units % Scale::Milli.per_one()),
        Scale::Micro => (units / Scale::Micro.per_one(), units % Scale::Micro.per_one()),
        Scale::Nano => (units / Scale::Nano.per_one(), units % Scale::Nano.per_one()),
    };
    let mut len = digits(room, whole);
    if part > 0 {
        room[len].write(b'.');
        len += 1;
        let mut buffer = itoa::Buffer::new();
        // The digit in front keeps the zeros behind the point.
        let part = &buffer.format(part + scale.per_one()).as_bytes()[1..];
        let end = part.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
        len += write(&mut room[len..], &part[..end]);
    }
    len
}

#[inline(always)]
fn write(room: &mut [MaybeUninit<u8>], bytes: &[u8]) -> usize {
    room[..bytes.len()].write_copy_of_slice(bytes);
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_all_lengths_are_appended() {
        for len in 0..7 * BLOCK {
            let mut texts = Texts::default();
            texts.push(|out| out.extend((0..len).map(|at| b'a' + (at % 26) as u8)));
            let text = texts.iter().next().unwrap();
            let mut body = BytesMut::from(&b"before "[..]);
            append(&mut body, 3 * len + 65, |cursor| {
                let cursor = cursor.copy(text).number(u64::MAX).copy(text).last_number(7);
                cursor.copy_short(text).last_number(u64::MAX).last_value(-0.25)
            });
            let letters = str::from_utf8(text.as_bytes()).unwrap();
            let max = u64::MAX;
            let expected = format!("before {letters}{max}{letters}7\n{letters}{max}\n-0.25\n");
            assert_eq!(body, expected.as_bytes());
        }
    }

    #[test]
    fn a_part_is_a_text() {
        let mut texts = Texts::default();
        texts.push(|out| out.extend_from_slice(b"name{labels,"));
        let mut body = BytesMut::new();
        append(&mut body, 12, |cursor| cursor.copy(texts.iter().next().unwrap().part(5..11)));
        assert_eq!(&body[..], b"labels");
    }

    #[test]
    fn rewinding_forgets_and_never_goes_forward() {
        let mut body = BytesMut::new();
        append(&mut body, 8, |cursor| {
            let cursor = cursor.bytes(b"keep");
            let position = cursor.position();
            cursor.bytes(b"drop").rewind(position).rewind(1000)
        });
        assert_eq!(&body[..], b"keep");
    }

    #[test]
    fn a_writer_that_panics_appends_nothing() {
        let mut body = BytesMut::new();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            append(&mut body, 1, |cursor| {
                (0..100).fold(cursor, |cursor, _| cursor.bytes(&[b'x'; 64]))
            });
        }));
        assert!(result.is_err() && body.is_empty());
    }

    #[test]
    fn sums_of_integers_are_exact_decimal_numbers() {
        let parts = [0, 1, 10, 999, 1_000, 1_001, 50_000, 1_000_000, 123_456_789, 999_999_999];
        for scale in [Scale::One, Scale::Milli, Scale::Micro, Scale::Nano] {
            for units in parts
                .into_iter()
                .flat_map(|part| [part, part + 7 * scale.per_one(), part << 30, u64::MAX - part])
            {
                let sum = IntegerSum { units, scale };
                let mut body = BytesMut::new();
                append(&mut body, 0, |cursor| cursor.sum(Sum::Integer(sum)).newline());
                assert_eq!(body, format!("{sum}\n").as_bytes());
            }
        }
    }

    #[test]
    fn values_are_spelled_as_elsewhere() {
        for v in [0.0, -0.0, 1.0, -1.0, 0.25, 1e9, -1e15, 9_007_199_254_740_992.0, 1e300, f64::NAN]
        {
            let (mut body, mut expected) = (BytesMut::new(), BytesMut::new());
            append(&mut body, 2 * number::F64_TEXT_MAX + 1, |cursor| cursor.last_value(v).value(v));
            number::write_value(&mut expected, v);
            expected.put_u8(b'\n');
            number::write_value(&mut expected, v);
            assert_eq!(body, expected);
        }
    }
}
