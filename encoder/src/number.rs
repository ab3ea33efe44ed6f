//! Numbers as text: the exact bytes that Go's `strconv.AppendFloat(v, 'g', -1, 64)` would write.
//!
//! Dashboards and recording rules key on `le="1e+06"`, so one spelling must hold everywhere, and the
//! spelling that the ecosystem agreed on is Go's. The rule has two halves:
//!
//! ```text
//! value = ±d₁.d₂…dₙ × 10^X      d₁…dₙ = the fewest digits that read back to the same f64
//! X < -4 or X >= 6   ->  d₁.d₂…dₙe±XX   (sign always, two digits at least)
//! otherwise          ->  plain decimals (100000, 0.0001, 1234.5)
//! ```
//!
//! The one invariant: what is written reads back to the same bits (every NaN as one NaN).
//! The digits come from `ryu`, which is always the shortest and closest; only their layout is ours.
//! Nothing allocates: a number is laid out on the stack and appended once.
//! Integers below a million, the bulk of gauges and bounds, skip `ryu` altogether.

use bytes::BufMut;

/// Longest text that [`write_f64`] can produce, in bytes: `-2.2250738585072014e-308`.
///
/// ```
/// use dynamo_metrics_encoder::number::{F64_TEXT_MAX, write_f64};
///
/// let mut out = bytes::BytesMut::new();
/// write_f64(&mut out, -f64::MIN_POSITIVE);
/// assert_eq!(out.len(), F64_TEXT_MAX);
/// ```
pub const F64_TEXT_MAX: usize = 24;

/// First integer that Go writes with an exponent: its 'g' format in shortest mode takes one from
/// X = 6 on, whatever the number of digits.
const EXPONENT_FROM: f64 = 1e6;

/// Appends `v` as plain decimal digits, exact over the whole range of `u64` (20 bytes at most).
///
/// ```
/// use dynamo_metrics_encoder::number::write_u64;
///
/// let mut out = bytes::BytesMut::new();
/// write_u64(&mut out, u64::MAX);
/// assert_eq!(&out[..], b"18446744073709551615");
/// ```
#[inline]
pub fn write_u64(out: &mut impl BufMut, v: u64) {
    out.put_slice(itoa::Buffer::new().format(v).as_bytes());
}

/// Appends `v` as Go writes it: `le`, `quantile` and values of text 0.0.4.
///
/// Infinities are `+Inf` and `-Inf`, every NaN is `NaN`, negative zero is `-0`.
///
/// ```
/// use dynamo_metrics_encoder::number::write_f64;
///
/// let mut out = bytes::BytesMut::new();
/// write_f64(&mut out, 1_000_000.0);
/// assert_eq!(&out[..], b"1e+06");
/// ```
pub fn write_f64(out: &mut impl BufMut, v: f64) {
    out.put_slice(Text::of(v).as_bytes());
}

/// Whole numbers up to here are exact in an `f64` one by one: 2^53.
const WHOLE_MAX: u64 = 1 << 53;

/// Appends a sample's value: a whole number up to 2^53 as plain digits, anything else as the fewest digits that
/// read back to the same bits.
///
/// Bounds must be spelled as Go spells them, because series are told apart by that text; values need not, and
/// people read `22361870` more easily than `2.236187e+07`. The digits are `zmij`'s, which writes a sum in a third of
/// the time that `ryu` and Go's layout take.
///
/// ```
/// use dynamo_metrics_encoder::number::write_value;
///
/// let mut out = bytes::BytesMut::new();
/// write_value(&mut out, 22_361_870.0);
/// assert_eq!(&out[..], b"22361870");
/// ```
#[inline]
pub fn write_value(out: &mut impl BufMut, v: f64) {
    match whole(v) {
        Some(v) => {
            if v < 0 {
                out.put_slice(b"-");
            }
            write_u64(out, v.unsigned_abs());
        }
        None if v.is_finite() => out.put_slice(zmij::Buffer::new().format_finite(v).as_bytes()),
        None => write_f64(out, v),
    }
}

/// `v` as an integer if that is how its value is written.
#[inline(always)]
pub(crate) fn whole(v: f64) -> Option<i64> {
    let whole = v as i64;
    // The same bits, since -0.0 keeps its sign in the general case. Not `trunc`: for x86-64 without SSE 4.1 it is a call.
    let same = (whole as f64).to_bits() == v.to_bits();
    (same && whole.unsigned_abs() <= WHOLE_MAX).then_some(whole)
}

/// Appends `v` as OpenMetrics wants `le` and `quantile`: [`write_f64`]'s text, with `.0` added when
/// it has neither a point nor an exponent (`1.0`, `100000.0`, but `1e+06`).
///
/// ```
/// use dynamo_metrics_encoder::number::write_f64_openmetrics;
///
/// let mut out = bytes::BytesMut::new();
/// write_f64_openmetrics(&mut out, 1.0);
/// assert_eq!(&out[..], b"1.0");
/// ```
pub fn write_f64_openmetrics(out: &mut impl BufMut, v: f64) {
    let mut text = Text::of(v);
    if v.is_finite() && !text.as_bytes().iter().any(|&b| b == b'.' || b == b'e') {
        text.push_all(b".0");
    }
    out.put_slice(text.as_bytes());
}

/// A number laid out on the stack. The room is a round number above [`F64_TEXT_MAX`] that also holds
/// the longest mantissa `ryu` prints; every push is bounds-checked, so a wrong guess would truncate
/// nothing silently.
pub(crate) struct Text {
    bytes: [u8; 32],
    len: usize,
}

impl Text {
    pub(crate) fn of(v: f64) -> Text {
        let mut text = Text { bytes: [0; 32], len: 0 };
        if v.is_nan() {
            text.push_all(b"NaN");
        } else if v.is_infinite() {
            text.push_all(if v > 0.0 { b"+Inf" } else { b"-Inf" });
        } else {
            if v.is_sign_negative() {
                text.push(b'-');
            }
            text.lay_out(v.abs());
        }
        text
    }

    /// Lays out a finite number that is not negative.
    fn lay_out(&mut self, v: f64) {
        if v < EXPONENT_FROM && v.trunc() == v {
            self.push_all(itoa::Buffer::new().format(v as u32).as_bytes());
            return;
        }
        let (digits, len, x) = shortest(v);
        let digits = &digits[..len];
        if !(-4..6).contains(&x) {
            self.push(digits[0]);
            if len > 1 {
                self.push(b'.');
                self.push_all(&digits[1..]);
            }
            self.push_all(if x < 0 { b"e-" } else { b"e+" });
            let x = x.unsigned_abs();
            if x < 10 {
                self.push(b'0');
            }
            self.push_all(itoa::Buffer::new().format(x).as_bytes());
        } else if x < 0 {
            self.push_all(b"0.");
            for _ in 0..(-x - 1) {
                self.push(b'0');
            }
            self.push_all(digits);
        } else {
            // The fast path above took the integers, so digits are left after the point.
            let point = x as usize + 1;
            self.push_all(&digits[..point]);
            self.push(b'.');
            self.push_all(&digits[point..]);
        }
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn push_all(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The shortest digits of a finite number above zero, without zeros at either end, how many there
/// are, and the decimal exponent of the first. `ryu` chooses the digits; its own layout (`1e16`,
/// `0.00001`, `12.0`) is taken apart here.
fn shortest(v: f64) -> ([u8; 32], usize, i32) {
    let mut buffer = ryu::Buffer::new();
    let mut digits = [0; 32];
    let mut len = 0;
    let mut x = -1;
    let mut exponent = 0;
    let mut text = buffer.format_finite(v).bytes();
    let mut point_seen = false;
    while let Some(byte) = text.next() {
        match byte {
            b'.' => point_seen = true,
            b'e' => {
                let negative = text.clone().next() == Some(b'-');
                let magnitude = text
                    .by_ref()
                    .filter(u8::is_ascii_digit)
                    .fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
                exponent = if negative { -magnitude } else { magnitude };
            }
            // Zeros in front carry no digit, but those behind the point move the exponent.
            b'0' if len == 0 => x -= i32::from(point_seen),
            digit => {
                digits[len] = digit;
                len += 1;
                x += i32::from(!point_seen);
            }
        }
    }
    while len > 1 && digits[len - 1] == b'0' {
        len -= 1;
    }
    (digits, len, x + exponent)
}

#[cfg(test)]
mod tests;
