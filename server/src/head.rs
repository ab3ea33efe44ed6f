//! The grammar of a request's head, stricter than hyper's: RFC 9112 without its leniencies.
//!
//! hyper takes bare line feeds, a missing `Host`, two lengths that agree, and bodies. Each of them
//! is a place where a proxy in front of us may read something else than we do. So a head is judged
//! here before hyper sees a byte of it. Since no body is ever taken, heads follow one another
//! without anything between them, and where one ends is never in doubt.
//!
//! A head is scanned as it arrives, each byte once: what is certainly wrong is refused at once and
//! does not wait for the rest. What depends on several lines is judged at the empty line.

use crate::limits::Limits;
use crate::refusal::Refusal;

/// How far the bytes at hand go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The head goes on; nothing is wrong so far.
    Part,
    /// It is whole, ends after so many bytes, and may be served.
    Whole(usize),
    /// It is refused, whole or not.
    Refused(Refusal),
}

/// The judgement of one head, as far as it has arrived.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
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

/// What `Content-Length` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Zero,
    Some,
    /// Twice, or not a number.
    Invalid,
}

/// What `Transfer-Encoding` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Invalid,
}

// The longest registered method has 17 letters; without a bound a "method" could fill the head.
const METHOD_BYTES_MAX: usize = 32;
const VERSION_BYTES: usize = "HTTP/1.1".len();
const TLS_HANDSHAKE: u8 = 0x16;

impl HeadScan {
    /// Goes on with a head of which `bytes` is all that has arrived, from its first byte.
    pub(crate) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Seen {
        match self.try_advance(bytes, limits) {
            Ok(Some(end)) => Seen::Whole(end),
            Ok(None) => Seen::Part,
            Err(refusal) => Seen::Refused(refusal),
        }
    }

    fn try_advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            return Err(Refusal::TlsHello);
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
                    self.judge()?;
                    return Ok(Some(self.scanned));
                }
            } else if after_return || (is_control(byte) && byte != b'\r') {
                return Err(Refusal::Grammar); // A bare CR, a bare LF, NUL and its like.
            }
        }
        if self.request_line.is_none() {
            request_line_so_far(&bytes[self.line_start..end], limits)?;
        }
        if bytes.len() >= limits.head_bytes {
            return Err(Refusal::HeadSize);
        }
        Ok(None)
    }

    /// Takes a line; true for the empty one that ends the head.
    fn line(&mut self, line: &[u8], limits: &Limits) -> Result<bool, Refusal> {
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
            return Err(Refusal::HeaderCount);
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or(Refusal::Grammar)?;
        let name = &line[..colon];
        // Refuses a space before the colon, and a line that is folded, for it begins with one.
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return Err(Refusal::Grammar);
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

    /// What only the whole head can tell.
    fn judge(&self) -> Result<(), Refusal> {
        let is_1_1 = match self.request_line {
            Some(RequestLine::Http11) => true,
            Some(RequestLine::Http10) => false,
            Some(RequestLine::Unsupported) | None => return Err(Refusal::Version),
        };
        match (self.length, self.coding) {
            (Some(Length::Invalid), _) | (_, Some(Coding::Invalid)) => {
                return Err(Refusal::Framing);
            }
            (Some(_), Some(_)) => return Err(Refusal::Framing),
            (None, Some(Coding::Chunked)) if !is_1_1 => return Err(Refusal::Framing),
            _ => {}
        }
        if self.hosts > 1 || self.host_invalid || (is_1_1 && self.hosts == 0) {
            return Err(Refusal::Host);
        }
        if self.expectation {
            return Err(Refusal::Expectation);
        }
        if self.length == Some(Length::Some) || self.coding.is_some() {
            return Err(Refusal::Body);
        }
        Ok(())
    }
}

/// `method SP request-target SP HTTP-version`, with single spaces.
fn request_line(line: &[u8], limits: &Limits) -> Result<RequestLine, Refusal> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::Grammar);
    };
    if method.is_empty()
        || method.len() > METHOD_BYTES_MAX
        || !method.iter().all(|&byte| is_token(byte))
    {
        return Err(Refusal::Grammar);
    }
    let version = match version {
        b"HTTP/1.1" => RequestLine::Http11,
        b"HTTP/1.0" => RequestLine::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            RequestLine::Unsupported
        }
        _ => return Err(Refusal::Grammar),
    };
    if target.len() > limits.uri_bytes {
        return Err(Refusal::UriSize);
    }
    // A fragment never leaves its client; a byte beyond ASCII must be percent-encoded.
    if !target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Refusal::Grammar);
    }
    if version != RequestLine::Unsupported && !is_target(method, target) {
        return Err(Refusal::Grammar);
    }
    Ok(version)
}

/// Refuses a request line that is too long already, without waiting for its end.
fn request_line_so_far(line: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let method = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    if method > METHOD_BYTES_MAX {
        return Err(Refusal::Grammar);
    }
    if line.len() > method + limits.uri_bytes + VERSION_BYTES + "  \r".len() {
        return Err(Refusal::UriSize);
    }
    Ok(())
}

/// The four forms of RFC 9112 section 3.2, as far as `http::Uri` takes them: what it does not would be
/// answered by hyper, in its own way.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    match target {
        [b'/', ..] => is_path_and_query(target),
        b"*" => method == b"OPTIONS",
        _ if method == b"CONNECT" => is_authority(target),
        _ => {
            let after = |scheme: &[u8]| {
                let (start, rest) = target.split_at_checked(scheme.len())?;
                start.eq_ignore_ascii_case(scheme).then_some(rest)
            };
            let Some(rest) = after(b"http://").or_else(|| after(b"https://")) else { return false };
            let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
            is_authority(&rest[..end]) && is_path_and_query(&rest[end..])
        }
    }
}

/// Graphic bytes that RFC 3986 has no place for: of them `http::Uri` takes some, and so do we.
fn is_path_and_query(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(2, |&byte| byte == b'?');
    let mut has_none =
        |of: &[u8]| parts.next().unwrap_or_default().iter().all(|byte| !of.contains(byte));
    has_none(b"<>`") && has_none(b"<>\"")
}

/// `host [ ":" port ]` with a host, and without a user, which belongs to no request (RFC 9110 section
/// 4.2.4).
fn is_authority(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        });
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && host.bytes().all(|byte| is_host(byte) && !b"[]:%".contains(&byte))
        }
    };
    is_host && is_port
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What may stand in `uri-host [ ":" port ]` (RFC 3986 section 3.2.2).
fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
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

    fn judged(head: &[u8]) -> Seen {
        HeadScan::default().advance(head, &Limits::default())
    }

    #[test]
    fn a_head_is_judged_alike_whole_or_byte_by_byte() {
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
            let mut scan = HeadScan::default();
            let mut seen = Seen::Part;
            for end in 1..=head.len() {
                seen = scan.advance(&head[..end], &Limits::default());
                if seen != Seen::Part {
                    break;
                }
            }
            assert_eq!(seen, judged(head), "{}", head.escape_ascii());
            assert_ne!(seen, Seen::Part, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn a_head_ends_where_the_next_one_begins() {
        let one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(judged(&one.repeat(3)), Seen::Whole(one.len()));
    }

    #[test]
    fn what_is_certainly_wrong_does_not_wait_for_the_rest() {
        let long = [b"GET /".as_slice(), &[b'a'; 2100]].concat();
        for (part, refusal) in [
            (b"GET\0".as_slice(), Refusal::Grammar),
            (b"GET /\n", Refusal::Grammar),
            (b"GET / HTTP/1.1\rX", Refusal::Grammar),
            (b"GET / HTTP/1.1\r\n folded\r\n", Refusal::Grammar),
            (&[b'A'; 33], Refusal::Grammar),
            (&long, Refusal::UriSize),
        ] {
            assert_eq!(judged(part), Seen::Refused(refusal), "{}", part.escape_ascii());
        }
    }

    /// hyper answers a target that its own parser does not take, without our text and headers.
    #[test]
    fn each_target_that_is_taken_is_one_for_hyper() {
        let mut taken = 0;
        for byte in (0..=u8::MAX).filter(|byte| byte.is_ascii_graphic() && *byte != b'#') {
            for (before, after) in
                [("/a", "b"), ("/a?", "b"), ("http://a/", "?"), ("http://a", ""), ("http://", "/")]
            {
                let target = [before.as_bytes(), &[byte], after.as_bytes()].concat();
                let ours = is_target(b"GET", &target);
                let theirs = http::Uri::try_from(&target[..]).is_ok();
                assert!(!ours || theirs, "{}", target.escape_ascii());
                if before.starts_with('/') {
                    assert_eq!(ours, theirs, "{}", target.escape_ascii());
                }
                taken += u32::from(ours);
            }
        }
        assert!(taken > 300, "{taken}");
    }

    #[test]
    fn an_absolute_target_has_a_host_and_no_user() {
        for target in [
            "http://a",
            "http://a/",
            "HTTPS://a.b-c:443/live?x",
            "http://a?x",
            "http://1.2.3.4:0",
            "http://[::1]/live",
            "http://[::1]:9090",
            "http://a:65535/live",
            "http://a_b/",
        ] {
            assert!(is_target(b"GET", target.as_bytes()), "{target}");
            assert!(http::Uri::try_from(target).is_ok(), "{target}");
        }
        for target in [
            "",
            "a",
            "?x",
            "http:",
            "http://",
            "http:///live",
            "http://?x",
            "http://:80/",
            "http://a:99999/live",
            "http://a:65536",
            "http://a:+1",
            "http://a:x/",
            "http://a:1:2/",
            "http://a@b/live",
            "http://a:b@c/",
            "http://[::1/live",
            "http://::1]/",
            "http://[]/",
            "http://[::g]/",
            "http://[::1]a/",
            "http://[::1]:/x:",
            "http://a%41/",
            "ftp://a/",
            "/a`",
            "/a<b",
            "/a>b",
            "/a?\"",
            "*",
            "http://a/`",
            "http://a/?<",
        ] {
            assert!(!is_target(b"GET", target.as_bytes()), "{target}");
        }
        assert!(is_target(b"CONNECT", b"a:1") && !is_target(b"CONNECT", b"http://a/"));
        assert!(!is_target(b"CONNECT", b"a/b") && !is_target(b"CONNECT", b"x@a:1"));
    }

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
            if let Seen::Whole(end) = judged(&head) {
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
