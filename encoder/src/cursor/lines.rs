//! The lines of a histogram: one text, again and again, each time with another bound and count, and at last twice with
//! another name.
//!
//! ```text
//! name_bucket{model="a",   le="0.5"}    1234 \n
//! text, in registers       tail         digits
//!
//! name        _sum{     model="a"   }   0.25 \n
//! registers   suffix    text        }   value
//! ```
//!
//! The text is read once and kept in vector registers, so a line is stores and the digits of its count. Measured beside a
//! copy of the text from memory for each line: 0.87 of the time of 1,000 histograms, 66 instructions a line instead of 95;
//! and a load that shares the low bits of its address with a store just before it no longer waits for that store.

#![forbid(unsafe_code)]

use super::texts::{LINE_BYTES, LINES_AHEAD, READABLE_BEYOND};
use super::{Cursor, HALF, LONGEST_DIGITS, SLACK, Text, Texts, decimal, digits, fraction};
use crate::number;
use dynamo_metrics_core::snapshot::Sum;
use std::array;
use std::mem::MaybeUninit;

/// Sixteen bytes in a vector register. An array of bytes would be kept on the stack.
#[cfg(target_arch = "x86_64")]
type Half = core::arch::x86_64::__m128i;
#[cfg(not(target_arch = "x86_64"))]
type Half = u128;

/// Registers that a text may take: of sixteen, the tail needs one.
const HALVES_MAX: usize = 12;

/// The texts that tell the lines of a histogram apart: `le="0.5"} ` for each bucket.
#[derive(Debug)]
pub(crate) struct Tails(Vec<Tail>);

#[derive(Clone, Copy, Debug)]
struct Tail {
    bytes: [u8; HALF],
    /// The lengths, of a type for whose largest value every line has room, so that the room of a line is checked once.
    len: u8,
}

/// The lines for the sum and the count of a series whose text is `name_bucket{labels,`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    name_len: usize,
    /// The position at which the labels begin.
    labels: usize,
}

/// The suffix that replaces [`BUCKET`] in a text, and its length.
type Suffix = ([u8; 8], usize);
const SUM: Suffix = (*b"_sum{   ", 5);
const COUNT: Suffix = (*b"_count{ ", 7);
const BUCKET: &str = "_bucket{";

/// Room of a line but for its text: the longest tail that a byte can measure, the longest number, and the end.
const ROOM_BESIDE_TEXT: usize = u8::MAX as usize + LONGEST_DIGITS + 1;

const _: () = assert!(HALVES_MAX * HALF + ROOM_BESIDE_TEXT <= SLACK);

/// Room of a line for the sum or the count: the name and the labels are each copied as if they were the whole text.
const ROOM_OF_TOTAL: usize = 2 * HALVES_MAX * HALF + 32;

const _: () = assert!(ROOM_OF_TOTAL <= SLACK, "the last line may ask for it");
const _: () =
    assert!(HALVES_MAX * HALF <= READABLE_BEYOND, "labels are read as if they were the whole text");

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

impl Totals {
    /// The lines of series whose texts begin with `open`. `None` if that is not a name and a brace.
    pub(crate) fn new(open: &str) -> Option<Self> {
        let name = open.strip_suffix(BUCKET)?;
        Some(Self { name_len: name.len(), labels: open.len() })
    }

    /// Returns whether the text has labels: without any there are no braces.
    #[inline(always)]
    pub(crate) fn fit(self, text: Text<'_>) -> bool {
        text.len > self.labels
    }
}

impl Cursor<'_> {
    /// Appends a line for each count: the text, the count's tail, and the sum of all counts so far, `u64::MAX` if it is larger. Returns the last sum.
    ///
    /// With `totals`, which must [fit](Totals::fit), and a sum, two more lines for the sum and the count.
    ///
    /// An error is the cursor itself, with nothing written, if the text is too long for registers.
    #[inline(always)]
    pub(crate) fn cumulative_lines(
        self,
        text: Text<'_>,
        Tails(tails): &Tails,
        counts: &[u64],
        totals: Option<(Totals, Sum)>,
    ) -> Result<(Self, u64), Self> {
        let room = &mut self.room[self.at..];
        let (written, total) = match text.len.div_ceil(HALF) {
            0..=2 => lines::<2>(room, text, tails, counts, totals),
            3 => lines::<3>(room, text, tails, counts, totals),
            4 => lines::<4>(room, text, tails, counts, totals),
            5 => lines::<5>(room, text, tails, counts, totals),
            6 => lines::<6>(room, text, tails, counts, totals),
            7 => lines::<7>(room, text, tails, counts, totals),
            8 => lines::<8>(room, text, tails, counts, totals),
            9 => lines::<9>(room, text, tails, counts, totals),
            10 => lines::<10>(room, text, tails, counts, totals),
            11 => lines::<11>(room, text, tails, counts, totals),
            HALVES_MAX => lines::<HALVES_MAX>(room, text, tails, counts, totals),
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
    totals: Option<(Totals, Sum)>,
) -> (usize, u64) {
    let halves = halves::<HALVES>(text.bytes);
    let text_len = text.len.min(HALVES * HALF);
    let (mut at, mut total) = (0, 0u64);
    for (tail, count) in tails.iter().zip(counts) {
        total = total.saturating_add(*count);
        let line = &mut room[at..][..HALVES * HALF + ROOM_BESIDE_TEXT];
        write_halves(line, halves);
        line[text_len..][..HALF].write_copy_of_slice(&tail.bytes);
        let start = text_len + usize::from(tail.len);
        let end = start + digits(&mut line[start..], total);
        line[end].write(b'\n');
        at += end + 1;
    }
    let Some((totals, sum)) = totals else { return (at, total) };
    let labels = &text.bytes[totals.labels..];
    let labels_len = text_len.saturating_sub(totals.labels + 1);
    let name_len = totals.name_len.min(text_len);
    // The text before the value of the sum or count.
    let head = |line: &mut [MaybeUninit<u8>], (suffix, suffix_len): Suffix| {
        write_halves(line, halves);
        line[name_len..][..8].write_copy_of_slice(&suffix);
        let start = name_len + suffix_len;
        write_halves(&mut line[start..], self::halves::<HALVES>(labels));
        let end = start + labels_len;
        line[end..][..2].write_copy_of_slice(b"} ");
        end + 2
    };
    let line = &mut room[at..][..ROOM_OF_TOTAL];
    let start = head(line, SUM);
    let end = start + value(&mut line[start..], sum);
    line[end].write(b'\n');
    at += end + 1;
    let line = &mut room[at..][..ROOM_OF_TOTAL];
    let start = head(line, COUNT);
    let end = start + digits(&mut line[start..], total);
    line[end].write(b'\n');
    (at + end + 1, total)
}

#[inline(always)]
fn halves<const HALVES: usize>(bytes: &[u8]) -> [Half; HALVES] {
    let (chunks, _) = bytes[..HALVES * HALF].as_chunks::<HALF>();
    array::from_fn(|at| bytemuck::must_cast(chunks[at]))
}

#[inline(always)]
fn write_halves<const HALVES: usize>(room: &mut [MaybeUninit<u8>], halves: [Half; HALVES]) {
    let room = &mut room[..HALVES * HALF];
    for (at, half) in halves.into_iter().enumerate() {
        let bytes: [u8; HALF] = bytemuck::must_cast(half);
        room[at * HALF..][..HALF].write_copy_of_slice(&bytes);
    }
}

/// Writes a sum, as [`Cursor::sum`] spells it, to the beginning of the room; returns how many bytes that is.
#[inline(always)]
fn value(room: &mut [MaybeUninit<u8>], sum: Sum) -> usize {
    let v = match sum {
        Sum::Integer(sum) => return decimal(room, sum),
        Sum::Float(v) => v,
    };
    match number::whole(v) {
        Some(v) if v < 0 => {
            room[0].write(b'-');
            1 + digits(&mut room[1..], v.unsigned_abs())
        }
        Some(v) => digits(room, v.unsigned_abs()),
        None => fraction(room, v),
    }
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
                match cursor.cumulative_lines(text.get(0), &tails_of, &counts, None) {
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
            cursor.cumulative_lines(text.get(0), &tails, &[u64::MAX], None).unwrap().0
        });
        assert_eq!(body, format!("x {}\n", u64::MAX).as_bytes());
    }

    #[test]
    fn sum_and_count_have_the_name_and_the_labels_of_the_text() {
        let tails = Tails::new(&texts(["le=\"+Inf\"} "])).unwrap();
        for (name, labels) in (1..HALVES_MAX * HALF - 12).flat_map(|len| {
            [(1, len), (len, 1), (len / 2 + 1, len / 2 + 1)]
                .map(|(name, labels)| ("n".repeat(name), "l".repeat(labels)))
        }) {
            let open = format!("{name}_bucket{{");
            let totals = Totals::new(&open).unwrap();
            let text = texts([&*format!("{open}{labels},")]);
            for (sum, value) in [(0.25, "0.25"), (-3.0, "-3"), (1e15, "1000000000000000")] {
                let mut body = BytesMut::new();
                append(&mut body, 3 * (name.len() + labels.len() + 64), |cursor| {
                    let text = text.get(0);
                    assert!(totals.fit(text));
                    let totals = Some((totals, sum.into()));
                    cursor.cumulative_lines(text, &tails, &[42], totals).unwrap().0
                });
                let expected = format!(
                    "{open}{labels},le=\"+Inf\"}} 42\n{name}_sum{{{labels}}} {value}\n\
                     {name}_count{{{labels}}} 42\n"
                );
                assert_eq!(body, expected.as_bytes());
            }
        }
        assert!(Totals::new("{\"http.wait_bucket\",").is_none());
    }

    #[test]
    fn tails_are_short_or_none() {
        assert!(Tails::new(&texts(["0123456789abcdef"])).is_some());
        assert!(Tails::new(&texts(["short", "0123456789abcdefg"])).is_none());
    }
}
