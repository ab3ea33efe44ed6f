//! Additions of OpenMetrics to a sample: an exemplar behind it, and the start time on a line of its own.
//!
//! ```text
//! requests_total{model="a"} 42 # {trace_id="4bf92f3577b34da6",span_id="00f067aa0ba902b7"} 1 1700000000.123
//! requests_created{model="a"} 1699999990.5
//! ```
//!
//! Start times are opt-in: a scraper that does not treat them as start times stores one more series for each counter and
//! histogram. They follow their own series at once, where scrapers look for them.

use super::form::TextForm;
use crate::cursor::{Cursor, Text};
use dynamo_metrics_core::{
    limits::{SPAN_ID_BYTES_MAX, TRACE_ID_BYTES_MAX},
    snapshot::{PartSnapshot, SeriesSnapshot},
};
use std::time::Duration;

/// Most bytes of an exemplar: its two identifiers, a value and a time.
pub(crate) const EXEMPLAR_BYTES_MAX: usize = " # {trace_id=\"\",span_id=\"\"}  ".len()
    + TRACE_ID_BYTES_MAX
    + SPAN_ID_BYTES_MAX
    + 2 * super::form::NUMBER_BYTES_MAX;

/// Appends the exemplar in one of the series' slots, if there is one.
pub(crate) fn write_exemplar<'a>(
    cursor: Cursor<'a>,
    series: SeriesSnapshot<'_>,
    slot: usize,
) -> Cursor<'a> {
    let Some(exemplar) = series.exemplar(slot) else { return cursor };
    let cursor = cursor.bytes(b" # {trace_id=\"").bytes(exemplar.trace_id().as_bytes());
    let cursor = match exemplar.span_id() {
        Some(span) => cursor.bytes(b"\",span_id=\"").bytes(span.as_bytes()),
        None => cursor,
    };
    let cursor = cursor.bytes(b"\"} ").value(exemplar.value);
    match exemplar.timestamp {
        Some(timestamp) => write_time(cursor.bytes(b" "), timestamp),
        None => cursor,
    }
}

/// Appends the line with the time at which the series was made or `reset`, if the form asks for it and the time is known.
pub(crate) fn write_created<'a>(
    cursor: Cursor<'a>,
    form: &TextForm,
    part: PartSnapshot<'_>,
    at: usize,
    text: Text<'_>,
    reset: Option<Duration>,
) -> Cursor<'a> {
    let Some(name) = form.created else { return cursor };
    match reset.or_else(|| part.series(at)?.created()) {
        Some(created) => write_time(form.write_sample(cursor, name, text), created).newline(),
        None => cursor,
    }
}

/// Seconds with three decimals, as few of them as say the same: OpenMetrics advises against exponents.
pub(crate) fn write_time(cursor: Cursor<'_>, since_epoch: Duration) -> Cursor<'_> {
    let cursor = cursor.number(since_epoch.as_secs());
    let millis = since_epoch.subsec_millis();
    if millis == 0 {
        return cursor;
    }
    let digits = [millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8);
    let len = 3 - digits.iter().rev().take_while(|&&digit| digit == b'0').count();
    cursor.bytes(b".").bytes(&digits[..len])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::append;
    use bytes::BytesMut;

    #[test]
    fn times_have_no_exponent_and_no_zeros_behind() {
        let cases = [
            (0, "0"),
            (1, "0.001"),
            (20, "0.02"),
            (1_699_999_990_500, "1699999990.5"),
            (1_700_000_000_123, "1700000000.123"),
            (u64::MAX, "18446744073709551.615"),
        ];
        for (millis, expected) in cases {
            let mut body = BytesMut::new();
            append(&mut body, 32, |cursor| write_time(cursor, Duration::from_millis(millis)));
            assert_eq!(body, expected.as_bytes());
        }
    }
}
