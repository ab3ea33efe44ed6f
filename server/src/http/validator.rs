//! The grammar of a request's head, stricter than hyper's: RFC 9112 without its leniencies.
//!
//! hyper takes bare line feeds, a missing `Host`, two lengths that agree, and bodies. Each of them is a place where a
//! proxy in front of us may read something else than we do. So a head is validated here before hyper sees a byte of it.
//! Since no body is ever taken, heads follow one another without anything between them, and where one ends is never in
//! doubt.
//!
//! A head is scanned as it arrives, each byte once. An error that is certain is reported at once and does not wait for the
//! rest; conditions on several lines are checked at the empty line.

use crate::http::rejection::Rejection;
use crate::http::target::{is_host, is_target};
use crate::limits::Limits;

/// The result for the bytes that have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// The head goes on, and is valid so far.
    Part,
    /// The head is whole and valid, and ends after so many bytes.
    Whole(usize),
    /// The head is invalid, whole or not.
    Invalid(Rejection),
}

/// The validation of one head, as far as it has arrived.
#[derive(Debug, Default)]
pub(crate) struct HeadValidator {
    scanned: usize,
    line_start: usize,
    empty_line_skipped: bool,
    request_line: Option<RequestLine>,
    headers: usize,
    hosts: usize,
    host_invalid: bool,
    length: Option<Length>,
    coding: Option<Coding>,
    expectation: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestLine {
    Http10,
    Http11,
    Unsupported,
}

/// The value of `Content-Length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Zero,
    Some,
    /// Twice, or not a number.
    Invalid,
}

/// The value of `Transfer-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Invalid,
}

// The longest registered method has 17 letters; without a bound a "method" could fill the head.
const METHOD_BYTES_MAX: usize = 32;
const VERSION_BYTES: usize = "HTTP/1.1".len();
const TLS_HANDSHAKE: u8 = 0x16;

impl HeadValidator {
    /// Goes on with a head of which `bytes` is all that has arrived, from its first byte.
    pub(crate) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Validity {
        match self.try_advance(bytes, limits) {
            Ok(Some(end)) => Validity::Whole(end),
            Ok(None) => Validity::Part,
            Err(rejection) => Validity::Invalid(rejection),
        }
    }

    fn try_advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Rejection> {
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            return Err(Rejection::TlsHello);
        }
        let end = bytes.len().min(limits.head_bytes);
        while self.scanned < end {
            let (index, byte) = (self.scanned, bytes[self.scanned]);
            let after_return = index > self.line_start && bytes[index - 1] == b'\r';
            self.scanned += 1;
            if byte == b'\n' && after_return {
                let line = &bytes[self.line_start..index - 1];
                self.line_start = self.scanned;
                if self.line(line, limits)? {
                    self.validate()?;
                    return Ok(Some(self.scanned));
                }
            } else if after_return || (is_control(byte) && byte != b'\r') {
                return Err(Rejection::Grammar); // A bare CR, a bare LF, NUL and its like.
            }
        }
        if self.request_line.is_none() {
            request_line_so_far(&bytes[self.line_start..end], limits)?;
        }
        if bytes.len() >= limits.head_bytes {
            return Err(Rejection::HeadSize);
        }
        Ok(None)
    }

    /// Takes a line; true for the empty one that ends the head.
    fn line(&mut self, line: &[u8], limits: &Limits) -> Result<bool, Rejection> {
        if self.request_line.is_none() {
            // RFC 9112 section 2.2: one empty line before a request is a client's old habit.
            if line.is_empty() && !self.empty_line_skipped {
                self.empty_line_skipped = true;
                return Ok(false);
            }
            self.request_line = Some(request_line(line, limits)?);
            return Ok(false);
        }
        if line.is_empty() {
            return Ok(true);
        }
        self.headers += 1;
        if self.headers > limits.headers {
            return Err(Rejection::HeaderCount);
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or(Rejection::Grammar)?;
        let name = &line[..colon];
        // Rejects a space before the colon, and a folded line, which begins with one.
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return Err(Rejection::Grammar);
        }
        self.header(name, trim(&line[colon + 1..]));
        Ok(false)
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            self.host_invalid |= !value.iter().all(|&byte| is_host(byte));
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            self.length = Some(match self.length {
                None if is_number && value.iter().all(|&digit| digit == b'0') => Length::Zero,
                None if is_number => Length::Some,
                _ => Length::Invalid,
            });
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_chunked = self.coding.is_none() && value.eq_ignore_ascii_case(b"chunked");
            self.coding = Some(if is_chunked { Coding::Chunked } else { Coding::Invalid });
        } else if name.eq_ignore_ascii_case(b"expect") {
            self.expectation = true;
        }
    }

    /// Checks the conditions on the head as a whole.
    fn validate(&self) -> Result<(), Rejection> {
        let is_1_1 = match self.request_line {
            Some(RequestLine::Http11) => true,
            Some(RequestLine::Http10) => false,
            Some(RequestLine::Unsupported) | None => return Err(Rejection::Version),
        };
        match (self.length, self.coding) {
            (Some(Length::Invalid), _) | (_, Some(Coding::Invalid)) => {
                return Err(Rejection::Framing);
            }
            (Some(_), Some(_)) => return Err(Rejection::Framing),
            (None, Some(Coding::Chunked)) if !is_1_1 => return Err(Rejection::Framing),
            _ => {}
        }
        if self.hosts > 1 || self.host_invalid || (is_1_1 && self.hosts == 0) {
            return Err(Rejection::Host);
        }
        if self.expectation {
            return Err(Rejection::Expectation);
        }
        if self.length == Some(Length::Some) || self.coding.is_some() {
            return Err(Rejection::Body);
        }
        Ok(())
    }
}

/// `method SP request-target SP HTTP-version`, with single spaces.
fn request_line(line: &[u8], limits: &Limits) -> Result<RequestLine, Rejection> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Rejection::Grammar);
    };
    if method.is_empty()
        || method.len() > METHOD_BYTES_MAX
        || !method.iter().all(|&byte| is_token(byte))
    {
        return Err(Rejection::Grammar);
    }
    let version = match version {
        b"HTTP/1.1" => RequestLine::Http11,
        b"HTTP/1.0" => RequestLine::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            RequestLine::Unsupported
        }
        _ => return Err(Rejection::Grammar),
    };
    if target.len() > limits.uri_bytes {
        return Err(Rejection::UriSize);
    }
    // A fragment never leaves its client; a byte beyond ASCII must be percent-encoded.
    if !target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Rejection::Grammar);
    }
    if version != RequestLine::Unsupported && !is_target(method, target) {
        return Err(Rejection::Grammar);
    }
    Ok(version)
}

/// Rejects a request line that is too long already, without waiting for its end.
fn request_line_so_far(line: &[u8], limits: &Limits) -> Result<(), Rejection> {
    let method = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    if method > METHOD_BYTES_MAX {
        return Err(Rejection::Grammar);
    }
    if line.len() > method + limits.uri_bytes + VERSION_BYTES + "  \r".len() {
        return Err(Rejection::UriSize);
    }
    Ok(())
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validated(head: &[u8]) -> Validity {
        HeadValidator::default().advance(head, &Limits::default())
    }

    #[test]
    fn a_head_has_the_same_result_whole_or_byte_by_byte() {
        let heads: [&[u8]; 7] = [
            b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\nGET / HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
            b"\x16\x03\x01",
        ];
        for head in heads {
            let mut scan = HeadValidator::default();
            let mut seen = Validity::Part;
            for end in 1..=head.len() {
                seen = scan.advance(&head[..end], &Limits::default());
                if seen != Validity::Part {
                    break;
                }
            }
            assert_eq!(seen, validated(head), "{}", head.escape_ascii());
            assert_ne!(seen, Validity::Part, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn a_head_ends_where_the_next_one_begins() {
        let one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(validated(&one.repeat(3)), Validity::Whole(one.len()));
    }

    #[test]
    fn a_certain_error_does_not_wait_for_the_rest() {
        let long = [b"GET /".as_slice(), &[b'a'; 2100]].concat();
        for (part, rejection) in [
            (b"GET\0".as_slice(), Rejection::Grammar),
            (b"GET /\n", Rejection::Grammar),
            (b"GET / HTTP/1.1\rX", Rejection::Grammar),
            (b"GET / HTTP/1.1\r\n folded\r\n", Rejection::Grammar),
            (&[b'A'; 33], Rejection::Grammar),
            (&long, Rejection::UriSize),
        ] {
            assert_eq!(validated(part), Validity::Invalid(rejection), "{}", part.escape_ascii());
        }
    }

    /// hyper answers a target that its own parser does not take, without our text and headers.
    #[test]
    fn what_is_taken_here_is_taken_by_hyper_too() {
        // hyper's parser is the second opinion; a head that only we take would hang there.
        let pieces: [&[u8]; 24] = [
            b"GET",
            b" ",
            b"/",
            b"HTTP/1.1",
            b"\r\n",
            b"Host: a",
            b":",
            b"X",
            b"HTTP/1.0",
            b"\r",
            b"\n",
            b"\r\n\r\n",
            b"a",
            b"*",
            b"OPTIONS",
            b"http://a/b",
            b"\t",
            b"%zz",
            b"\"",
            b"{",
            b"Content-Length: 0",
            b"\xff",
            b"^",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).expect("a small number")
        };
        let mut taken = 0;
        for _ in 0..200_000 {
            let mut head = Vec::new();
            if random(2) == 0 {
                head.extend_from_slice(pieces[23]);
            }
            for _ in 0..random(8) {
                head.extend_from_slice(pieces[random(pieces.len())]);
            }
            head.extend_from_slice(b"\r\n\r\n");
            if let Validity::Whole(end) = validated(&head) {
                let mut headers = [httparse::EMPTY_HEADER; 64];
                let mut request = httparse::Request::new(&mut headers);
                let parsed = request.parse(&head);
                assert_eq!(parsed, Ok(httparse::Status::Complete(end)), "{}", head.escape_ascii());
                taken += 1;
            }
        }
        assert!(taken > 1000, "{taken}");
    }
}
