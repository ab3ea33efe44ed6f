//! The trace of a request, from its `traceparent` header (W3C Trace Context, Level 1, section 3.2).

use dynamo_metrics_core::{
    Exemplar,
    limits::{SPAN_ID_BYTES_MAX, TRACE_ID_BYTES_MAX},
};

/// Returns the exemplar of a request with this header; `None` if the trace is not recorded, since an exemplar would lead
/// to no trace, and for each header that is not valid.
///
/// Cost: some ten nanoseconds, no allocation.
///
/// ```
/// use dynamo_metrics::parse_traceparent;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// assert!(parse_traceparent(header).is_some());
/// let not_sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
/// assert!(parse_traceparent(not_sampled).is_none());
/// ```
pub fn parse_traceparent(header: &str) -> Option<Exemplar> {
    let mut fields = header.trim_matches([' ', '\t']).splitn(5, '-');
    let version = hex(fields.next()?, 2)?;
    let trace_id = hex(fields.next()?, TRACE_ID_BYTES_MAX)?;
    let span_id = hex(fields.next()?, SPAN_ID_BYTES_MAX)?;
    let flags = u8::from_str_radix(hex(fields.next()?, 2)?, 16).ok()?;
    let is_known = match version {
        "ff" => false,
        // A later version may have more fields; version 00 has four.
        "00" => fields.next().is_none(),
        _ => true,
    };
    let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
    if !is_known || is_zero(trace_id) || is_zero(span_id) || flags & SAMPLED == 0 {
        return None;
    }
    Exemplar::new(trace_id).and_then(|exemplar| exemplar.span_id(span_id)).ok()
}

/// The flag of a trace that the caller may have recorded (section 3.2.2.5.1).
const SAMPLED: u8 = 1;

/// Returns the field if it has so many hexadecimal digits; capitals are not valid.
fn hex(field: &str, digits: usize) -> Option<&str> {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (field.len() == digits && field.bytes().all(is_digit)).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn valid_headers_of_sampled_traces_give_their_identifiers() {
        let expected = Exemplar::new(TRACE).unwrap().span_id(SPAN).unwrap();
        for header in [
            format!("00-{TRACE}-{SPAN}-01"),
            format!(" 00-{TRACE}-{SPAN}-03\t"),
            format!("cc-{TRACE}-{SPAN}-01-of-a-later-version"),
        ] {
            assert_eq!(parse_traceparent(&header), Some(expected), "{header}");
        }
    }

    #[test]
    fn invalid_headers_and_traces_that_are_not_sampled_give_none() {
        let (zeros, capitals) = ("0".repeat(32), TRACE.to_ascii_uppercase());
        for header in [
            String::new(),
            "-".repeat(100),
            "é".repeat(30),
            format!("00-{TRACE}-{SPAN}-00"),
            format!("00-{TRACE}-{SPAN}-02"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{capitals}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}-{SPAN}-+1"),
        ] {
            assert_eq!(parse_traceparent(&header), None, "{header}");
        }
    }
}
