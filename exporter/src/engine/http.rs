//! One blocking `GET` over a plain TCP connection, for an engine on the same host.
//!
//! HTTP/1.1 without TLS or keep-alive. Redirections are followed as Prometheus follows them, but not to another host; gzip
//! is accepted. **Everything is bounded**: one deadline for connecting, sending and all answers, so that a server which
//! sends a byte a second cannot hold a thread; a limit for the head, for each chunk's line, for the redirections, and for
//! the body, compressed or not.

use super::url::Url;
use super::{ENGINE_BODY_BYTES_MAX, EngineError};
use flate2::read::MultiGzDecoder;
use httparse::{ParserConfig, Status};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The longest timeout of a source. A scraper has given up by then.
pub const ENGINE_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer's status line and headers, with interim answers and trailers.
pub const ENGINE_HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of one answer: several times those of a gateway.
const HEADERS_MAX: usize = 128;
/// Redirections of one read; the limit of Go's HTTP client, which Prometheus uses.
const REDIRECTS_MAX: usize = 10;
/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;

/// A page that was read from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnginePage {
    /// The `Content-Type`, empty if the answer has none.
    pub content_type: String,
    /// The body, without its coding.
    pub body: Vec<u8>,
}

impl EnginePage {
    /// Reads the page at an address as engines are read: under one deadline, with a limit for its size, following redirections on
    /// the same host. `accept` is the value of the header `Accept`. Blocks.
    ///
    /// ```
    /// use dynamo_metrics_exporter::engine::{EnginePage, ENGINE_TIMEOUT_DEFAULT};
    ///
    /// let error = EnginePage::read("https://engine/metrics", "text/plain", ENGINE_TIMEOUT_DEFAULT).unwrap_err();
    /// assert_eq!(error.reason(), "url");
    /// ```
    ///
    /// # Errors
    /// The address is not one of `http://host[:port]/path`, or there is no complete answer with status 200 in time.
    pub fn read(url: &str, accept: &str, timeout: Duration) -> Result<Self, EngineError> {
        let mut body = Vec::new();
        let content_type = Url::parse(url)?.get(accept, timeout, &mut body)?;
        Ok(Self { content_type, body })
    }
}

impl Url {
    /// Appends the body of the answer to a `GET` with this `Accept`, complete within `timeout`. Returns its `Content-Type`, empty if
    /// there is none.
    pub(super) fn get(
        &self,
        accept: &str,
        timeout: Duration,
        body: &mut Vec<u8>,
    ) -> Result<String, EngineError> {
        let deadline = Deadline { at: Instant::now() + timeout, timeout };
        let mut redirected: Option<Self> = None;
        let mut followed = 0;
        loop {
            let at = redirected.as_ref().unwrap_or(self);
            let (status, target) = match at.get_once(accept, &deadline, body)? {
                Answered::Page(content_type) => return Ok(content_type),
                Answered::Redirection(status, target) => (status, target),
            };
            let next = match followed {
                REDIRECTS_MAX => Err("there are too many redirections"),
                _ => at.redirected(&target),
            };
            redirected =
                Some(next.map_err(|reason| EngineError::Redirect { status, target, reason })?);
            followed += 1;
        }
    }

    /// Appends the body, if the answer has one.
    fn get_once(
        &self,
        accept: &str,
        deadline: &Deadline,
        body: &mut Vec<u8>,
    ) -> Result<Answered, EngineError> {
        let mut stream = self.connect(deadline)?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\n\
             Accept-Encoding: gzip\r\nUser-Agent: dynamo-metrics\r\nConnection: close\r\n\r\n",
            self.path, self.authority,
        );
        let broken = |error| deadline.broken(error);
        stream.set_write_timeout(Some(deadline.left()?)).map_err(broken)?;
        stream.write_all(request.as_bytes()).map_err(broken)?;
        Answer { stream, deadline: *deadline, buffer: Vec::new(), at: 0 }.body(body)
    }

    fn connect(&self, deadline: &Deadline) -> Result<TcpStream, EngineError> {
        let failed = |reason| EngineError::Connect { address: self.authority.clone(), reason };
        let addresses = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|error| failed(error.to_string()))?;
        let mut reason = "the host has no address".to_string();
        for address in addresses {
            match TcpStream::connect_timeout(&address, deadline.left()?) {
                Ok(stream) => return Ok(stream),
                Err(error) => reason = error.to_string(),
            }
        }
        deadline.left()?;
        Err(failed(reason))
    }
}

/// The deadline of the whole answer.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    fn left(&self) -> Result<Duration, EngineError> {
        let left = self.at.saturating_duration_since(Instant::now());
        // A socket timeout of zero means no timeout.
        if left.is_zero() { Err(EngineError::Timeout { timeout: self.timeout }) } else { Ok(left) }
    }

    fn broken(&self, error: std::io::Error) -> EngineError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                EngineError::Timeout { timeout: self.timeout }
            }
            _ => EngineError::Connection { reason: error.to_string() },
        }
    }
}

/// An answer while it is read.
#[derive(Debug)]
struct Answer {
    stream: TcpStream,
    deadline: Deadline,
    /// Bytes that were read; those before `at` are consumed.
    buffer: Vec<u8>,
    at: usize,
}

/// The end of the body that follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length(usize),
    UntilClose,
}

/// The headers that this client reads.
#[derive(Debug)]
struct Head {
    status: u16,
    framing: Framing,
    gzip: bool,
    location: Option<String>,
    content_type: String,
}

/// A complete answer.
#[derive(Debug)]
enum Answered {
    /// Its body was appended; this is its `Content-Type`.
    Page(String),
    /// The status and the target of a redirection.
    Redirection(u16, String),
}

impl Answer {
    /// Appends the body, if the answer has one.
    fn body(mut self, body: &mut Vec<u8>) -> Result<Answered, EngineError> {
        let mut head_left = ENGINE_HEAD_BYTES_MAX;
        let head = loop {
            // Interim answers (1xx) come before the real one.
            let head = self.parse(&mut head_left, head)?;
            match (head.status, head.location) {
                (100..=199, _) => {}
                (200, _) => break Head { location: None, ..head },
                (status @ (301 | 302 | 303 | 307 | 308), Some(target)) => {
                    return Ok(Answered::Redirection(status, target));
                }
                (status, _) => return Err(EngineError::Status { status }),
            }
        };
        if head.gzip {
            let mut packed = Vec::new();
            self.framed(head.framing, &mut packed)?;
            unpack(&packed, body)?;
        } else {
            self.framed(head.framing, body)?;
        }
        Ok(Answered::Page(head.content_type))
    }

    fn framed(&mut self, framing: Framing, body: &mut Vec<u8>) -> Result<(), EngineError> {
        let mut head_left = ENGINE_HEAD_BYTES_MAX;
        match framing {
            Framing::Length(length) => self.take(length, body)?,
            Framing::UntilClose => while self.move_into(usize::MAX, body)? || self.fill()? {},
            Framing::Chunked => loop {
                let size = self.parse(&mut head_left, chunk_size)?;
                if size == 0 {
                    self.parse(&mut head_left, trailers)?;
                    break;
                }
                self.take(size, body)?;
                // The limit holds for each chunk's line; the limit of the body bounds their number.
                head_left = ENGINE_HEAD_BYTES_MAX;
                self.parse(&mut head_left, chunk_end)?;
            },
        }
        Ok(())
    }

    /// Reads until `parse` has all it needs, and removes that from what is buffered and from `bytes_left`.
    fn parse<T>(
        &mut self,
        bytes_left: &mut usize,
        parse: impl Fn(&[u8]) -> Parsed<T>,
    ) -> Result<T, EngineError> {
        loop {
            let unread = &self.buffer[self.at..];
            if let Status::Complete((end, value)) = parse(unread)? {
                *bytes_left =
                    bytes_left.checked_sub(end).ok_or(malformed("its head is too long"))?;
                self.at += end;
                return Ok(value);
            }
            if unread.len() > *bytes_left {
                return Err(malformed("its head is too long"));
            }
            if !self.fill()? {
                return Err(cut_short());
            }
        }
    }

    /// Moves exactly `length` bytes of the answer to the end of `body`.
    fn take(&mut self, length: usize, body: &mut Vec<u8>) -> Result<(), EngineError> {
        let goal = body.len().checked_add(length).filter(|&goal| goal <= ENGINE_BODY_BYTES_MAX);
        let goal = goal.ok_or(EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX })?;
        while body.len() < goal {
            if !self.move_into(goal, body)? && !self.fill()? {
                return Err(cut_short());
            }
        }
        Ok(())
    }

    /// Moves buffered bytes to `body`, until it has `goal` bytes; returns whether there were any.
    fn move_into(&mut self, goal: usize, body: &mut Vec<u8>) -> Result<bool, EngineError> {
        let unread = &self.buffer[self.at..];
        let unread = &unread[..unread.len().min(goal - body.len())];
        if body.len() + unread.len() > ENGINE_BODY_BYTES_MAX {
            return Err(EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX });
        }
        body.extend_from_slice(unread);
        self.at += unread.len();
        Ok(!unread.is_empty())
    }

    /// Reads once; returns `false` at the end of the stream.
    fn fill(&mut self) -> Result<bool, EngineError> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let read = loop {
            let left = self.deadline.left()?;
            let read = self.stream.set_read_timeout(Some(left));
            match read.and_then(|()| self.stream.read(&mut self.buffer[before..])) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.deadline.broken(error)),
                Ok(read) => break read,
            }
        };
        self.buffer.truncate(before + read);
        Ok(read > 0)
    }
}

/// A value and the bytes that it took, once they are all there.
type Parsed<T> = Result<Status<(usize, T)>, EngineError>;

/// Parses a status line and the headers.
fn head(bytes: &[u8]) -> Parsed<Head> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    // As Prometheus' client reads heads: lines that go on and several spaces before the status, which RFC 9112 lets a client take.
    let parsed = ParserConfig::default()
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .parse_response(&mut response, bytes);
    let parsed = parsed.map_err(|error| match error {
        httparse::Error::Version => malformed("it does not begin with HTTP/1."),
        httparse::Error::Status => malformed("it has no status"),
        httparse::Error::TooManyHeaders => malformed("it has too many headers"),
        _ => malformed("a line of its head is no header"),
    })?;
    let (Status::Complete(end), Some(status)) = (parsed, response.code) else {
        return Ok(Status::Partial);
    };
    let mut length = None;
    let mut chunked = false;
    let (mut gzip, mut location, mut content_type) = (false, None, String::new());
    for header in response.headers {
        let value = String::from_utf8_lossy(header.value);
        let value = value.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let value = value.trim();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let value = value.parse().map_err(|_| malformed("its length is not a number"))?;
                if length.replace(value).is_some_and(|before: usize| before != value) {
                    return Err(malformed("it has two lengths"));
                }
            }
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => chunked = true,
            "transfer-encoding" => {
                return Err(malformed("its transfer encoding is not `chunked`"));
            }
            // Some servers send the header with no value, which is none (RFC 9110 section 8.4).
            "content-encoding" => {
                for coding in value.split(',').map(str::trim) {
                    match coding.to_ascii_lowercase().as_str() {
                        "" | "identity" => {}
                        "gzip" | "x-gzip" if !gzip => gzip = true,
                        _ => return Err(malformed("its coding is not gzip, which was asked for")),
                    }
                }
            }
            "location" => location = Some(value.to_owned()),
            "content-type" => content_type = value.to_owned(),
            _ => {}
        }
    }
    // Chunks come before a length where both are given (RFC 9112, section 6.3).
    let framing = match (chunked, length) {
        (true, _) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilClose,
    };
    Ok(Status::Complete((end, Head { status, framing, gzip, location, content_type })))
}

/// Parses the line before a chunk.
fn chunk_size(bytes: &[u8]) -> Parsed<usize> {
    let parsed = httparse::parse_chunk_size(bytes)
        .map_err(|_| malformed("a chunk's size is not hexadecimal"))?;
    let Status::Complete((end, size)) = parsed else { return Ok(Status::Partial) };
    let size =
        usize::try_from(size).map_err(|_| EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX })?;
    Ok(Status::Complete((end, size)))
}

/// Parses the end of a chunk's line.
fn chunk_end(bytes: &[u8]) -> Parsed<()> {
    match bytes {
        [b'\r', b'\n', ..] => Ok(Status::Complete((2, ()))),
        [] | [b'\r'] => Ok(Status::Partial),
        _ => Err(malformed("a chunk is longer than its size")),
    }
}

/// Parses the trailers after the last chunk, which are ignored.
fn trailers(bytes: &[u8]) -> Parsed<()> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(Status::Complete((end, _))) => Ok(Status::Complete((end, ()))),
        Ok(Status::Partial) => Ok(Status::Partial),
        Err(_) => Err(malformed("a line of its trailers is no header")),
    }
}

/// Decompresses a gzip body into `body`, within the same limit as a plain one.
fn unpack(packed: &[u8], body: &mut Vec<u8>) -> Result<(), EngineError> {
    let left = ENGINE_BODY_BYTES_MAX.saturating_sub(body.len());
    let mut unpacked = MultiGzDecoder::new(packed).take(left as u64 + 1);
    let bytes = unpacked.read_to_end(body).map_err(|_| malformed("its gzip body is broken"))?;
    if bytes > left {
        return Err(EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX });
    }
    Ok(())
}

fn malformed(reason: &'static str) -> EngineError {
    EngineError::Malformed { reason }
}

fn cut_short() -> EngineError {
    EngineError::Connection { reason: "it ended before the answer did".into() }
}

#[cfg(test)]
mod tests;
