//! The bucket lines of a histogram: one text, again and again, each time with another bound and count.
//!
//! ```text
//! name_bucket{model="a",   le="0.5"}    1234 \n
//! text, in registers       tail         digits
//! ```
//!
//! The text is read once and kept in vector registers, so a line is stores and the digits of its count. Measured beside a
//! copy of the text from memory for each line: 0.87 of the time of 1,000 histograms, 66 instructions a line instead of 95;
//! and a load that shares the low bits of its address with a store just before it no longer waits for that store.

#![forbid(unsafe_code)]

use super::texts::{LINE_BYTES, LINES_AHEAD};
use super::{Cursor, HALF, SLACK, Text, Texts, long_number};
use crate::integer::{self, is_medium, is_short};
use std::array;
use std::mem::MaybeUninit;

/// Sixteen bytes in a vector register. An array of bytes would be kept on the stack.
#[cfg(target_arch = "x86_64")]
type Half = core::arch::x86_64::__m128i;
#[cfg(not(target_arch = "x86_64"))]
type Half = u128;

/// Registers that a text may take: of sixteen, the tail needs one.
const HALVES_MAX: usize = 12;

/// What tells the lines of a histogram apart: `le="0.5"} ` for each bucket.
#[derive(Debug)]
pub(crate) struct Tails(Vec<Tail>);

#[derive(Clone, Copy, Debug)]
struct Tail {
    bytes: [u8; HALF],
    /// Of a type for whose largest value every line has room, so that the room of a line is checked once.
    len: u8,
}

/// Digits of `u64::MAX`.
const LONGEST_DIGITS: usize = 20;

/// Room of a line but for its text: the longest tail that a byte can measure, the longest number, and the end.
const ROOM_BESIDE_TEXT: usize = u8::MAX as usize + LONGEST_DIGITS + 1;

const _: () = assert!(HALVES_MAX * HALF + ROOM_BESIDE_TEXT <= SLACK);

impl Tails {
    /// `None` if one is longer than half a block.
    pub(crate) fn new(texts: &Texts) -> Option<Self> {
        texts.iter().map(|text| Tail::new(text.as_bytes())).collect::<Option<_>>().map(Self)
    }

    /// Reads a byte of the first lines of memory, as [`Texts::touch`] does.
    #[inline]
    pub(crate) fn touch(&self) -> usize {
        let step = LINE_BYTES / size_of::<Tail>();
        self.0.iter().step_by(step).take(LINES_AHEAD).map(|tail| usize::from(tail.len)).sum()
    }
}

impl Tail {
    fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; HALF];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, len: u8::try_from(text.len()).ok()? })
    }
}

impl Cursor<'_> {
    /// Appends a line for each count: the text, the count's tail, and the sum of all counts so far, `u64::MAX` if it is larger. Returns the last sum.
    ///
    /// An error is the cursor itself, with nothing written, if the text is too long for registers.
    #[inline(always)]
    pub(crate) fn cumulative_lines(
        self,
        text: Text<'_>,
        Tails(tails): &Tails,
        counts: &[u64],
    ) -> Result<(Self, u64), Self> {
        let room = &mut self.room[self.at..];
        let (written, total) = match text.len.div_ceil(HALF) {
            0..=2 => lines::<2>(room, text, tails, counts),
            3 => lines::<3>(room, text, tails, counts),
            4 => lines::<4>(room, text, tails, counts),
            5 => lines::<5>(room, text, tails, counts),
            6 => lines::<6>(room, text, tails, counts),
            7 => lines::<7>(room, text, tails, counts),
            8 => lines::<8>(room, text, tails, counts),
            9 => lines::<9>(room, text, tails, counts),
            10 => lines::<10>(room, text, tails, counts),
            11 => lines::<11>(room, text, tails, counts),
            HALVES_MAX => lines::<HALVES_MAX>(room, text, tails, counts),
            _ => return Err(self),
        };
        Ok((Self { at: self.at + written, ..self }, total))
    }
}

/// Writes the lines of a text of `HALVES` halves at most to the beginning of the room; returns how many bytes that is, and
/// the last sum.
#[inline(never)]
fn lines<const HALVES: usize>(
    room: &mut [MaybeUninit<u8>],
    text: Text<'_>,
    tails: &[Tail],
    counts: &[u64],
) -> (usize, u64) {
    let (chunks, _) = text.bytes[..HALVES * HALF].as_chunks::<HALF>();
    let halves: [Half; HALVES] = array::from_fn(|at| bytemuck::must_cast(chunks[at]));
    let text_len = text.len.min(HALVES * HALF);
    let (mut at, mut total) = (0, 0u64);
    for (tail, count) in tails.iter().zip(counts) {
        total = total.saturating_add(*count);
        let line = &mut room[at..][..HALVES * HALF + ROOM_BESIDE_TEXT];
        for (at, half) in halves.iter().enumerate() {
            let bytes: [u8; HALF] = bytemuck::must_cast(*half);
            line[at * HALF..][..HALF].write_copy_of_slice(&bytes);
        }
        line[text_len..][..HALF].write_copy_of_slice(&tail.bytes);
        let start = text_len + usize::from(tail.len);
        let end = start
            + if is_short(total) {
                let (digits, len) = integer::short(total);
                line[start..][..8].write_copy_of_slice(&digits.to_le_bytes());
                len
            } else if is_medium(total) {
                let (first, len, rest) = integer::medium(total);
                line[start..][..8].write_copy_of_slice(&first.to_le_bytes());
                line[start + len..][..8].write_copy_of_slice(&rest.to_le_bytes());
                len + 8
            } else {
                long_number(&mut line[start..], total)
            };
        line[end].write(b'\n');
        at += end + 1;
    }
    (at, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::append;
    use bytes::BytesMut;

    fn texts<'a>(of: impl IntoIterator<Item = &'a str>) -> Texts {
        let mut texts = Texts::default();
        of.into_iter().for_each(|text| texts.push(|out| out.extend_from_slice(text.as_bytes())));
        texts
    }

    #[test]
    fn lines_are_text_tail_and_sum_whatever_their_lengths() {
        let tails = ["", "a", "le=\"0.123456\"} ", "le=\"+Inf\"} "];
        let counts = [7, 99_999_992, 10u64.pow(16) - 10u64.pow(8), u64::MAX];
        let sums = [7, 99_999_999, 10u64.pow(16) - 1, u64::MAX];
        for len in 0..=HALVES_MAX * HALF + 1 {
            let name = "x".repeat(len);
            let (text, tails_of) = (texts([&*name]), Tails::new(&texts(tails)).unwrap());
            let mut body = BytesMut::new();
            let mut result = None;
            append(&mut body, 4 * (len + HALF + LONGEST_DIGITS + 1), |cursor| {
                match cursor.cumulative_lines(text.get(0), &tails_of, &counts) {
                    Ok((cursor, sum)) => {
                        result = Some(sum);
                        cursor
                    }
                    Err(cursor) => cursor,
                }
            });
            if len > HALVES_MAX * HALF {
                assert_eq!((result, &body[..]), (None, &b""[..]));
                continue;
            }
            let lines = tails.iter().zip(sums).map(|(tail, sum)| format!("{name}{tail}{sum}\n"));
            assert_eq!(body, lines.collect::<String>().as_bytes());
            assert_eq!(result, Some(sums[3]));
        }
    }

    #[test]
    fn more_digits_than_sixteen_fit_too() {
        let (text, tails) = (texts(["x "]), Tails::new(&texts([""])).unwrap());
        let mut body = BytesMut::new();
        append(&mut body, 2 + LONGEST_DIGITS + 1, |cursor| {
            cursor.cumulative_lines(text.get(0), &tails, &[u64::MAX]).unwrap().0
        });
        assert_eq!(body, format!("x {}\n", u64::MAX).as_bytes());
    }

    #[test]
    fn tails_are_short_or_none() {
        assert!(Tails::new(&texts(["0123456789abcdef"])).is_some());
        assert!(Tails::new(&texts(["short", "0123456789abcdefg"])).is_none());
    }
}
