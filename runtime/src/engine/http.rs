//! One blocking `GET` over a plain TCP connection: all that an engine on the same host needs.
//!
//! HTTP/1.1 without TLS or keep-alive. Redirections are followed as Prometheus follows them, but not to another host; gzip is asked
//! for and read. **Everything is bounded**: one deadline for connecting, sending and all answers, so that a server which sends a byte
//! a second cannot hold a thread; a limit for the head, for each chunk's line, for the redirections, and for the body, compressed or
//! not.

use super::url::Url;
use super::{ENGINE_BODY_BYTES_MAX, EngineError};
use flate2::read::MultiGzDecoder;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The longest time that a source may take. A scraper has given up by then.
pub const ENGINE_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer's status line and headers, interim answers and trailers included.
pub const ENGINE_HEAD_BYTES_MAX: usize = 16 << 10;
/// Redirections of one read, as of Go's HTTP client, which Prometheus uses.
const REDIRECTS_MAX: usize = 10;
/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;

impl Url {
    /// Appends the body of the answer to a `GET`, complete within `timeout`.
    pub(super) fn get(&self, timeout: Duration, body: &mut Vec<u8>) -> Result<(), EngineError> {
        let deadline = Deadline { at: Instant::now() + timeout, timeout };
        let mut redirected: Option<Self> = None;
        let mut followed = 0;
        loop {
            let at = redirected.as_ref().unwrap_or(self);
            let Some((status, target)) = at.get_once(&deadline, body)? else { return Ok(()) };
            let next = match followed {
                REDIRECTS_MAX => Err("there are too many redirections"),
                _ => at.redirected(&target),
            };
            redirected =
                Some(next.map_err(|reason| EngineError::Redirect { status, target, reason })?);
            followed += 1;
        }
    }

    /// Appends the body, or returns the status and the target of a redirection.
    fn get_once(
        &self,
        deadline: &Deadline,
        body: &mut Vec<u8>,
    ) -> Result<Option<(u16, String)>, EngineError> {
        let mut stream = self.connect(deadline)?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/plain;version=0.0.4, */*;q=0.1\r\n\
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

/// When the answer must be complete.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    fn left(&self) -> Result<Duration, EngineError> {
        let left = self.at.saturating_duration_since(Instant::now());
        // A socket timeout of zero would mean none at all.
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

/// An answer as it comes in.
#[derive(Debug)]
struct Answer {
    stream: TcpStream,
    deadline: Deadline,
    /// What was read; consumed up to `at`.
    buffer: Vec<u8>,
    at: usize,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length(usize),
    UntilClose,
}

/// The headers that matter here.
#[derive(Debug)]
struct Head {
    framing: Framing,
    gzip: bool,
    location: Option<String>,
}

impl Answer {
    /// Appends the body, or returns the status and the target of a redirection.
    fn body(mut self, body: &mut Vec<u8>) -> Result<Option<(u16, String)>, EngineError> {
        let mut head_left = ENGINE_HEAD_BYTES_MAX;
        let head = loop {
            // Interim answers (1xx) come before the real one.
            let status = self.status(&mut head_left)?;
            let head = self.headers(&mut head_left)?;
            match (status, head.location) {
                (100..=199, _) => {}
                (200, _) => break Head { location: None, ..head },
                (301 | 302 | 303 | 307 | 308, Some(target)) => return Ok(Some((status, target))),
                _ => return Err(EngineError::Status { status }),
            }
        };
        if head.gzip {
            let mut packed = Vec::new();
            self.framed(head.framing, &mut packed)?;
            unpack(&packed, body)?;
        } else {
            self.framed(head.framing, body)?;
        }
        Ok(None)
    }

    fn framed(&mut self, framing: Framing, body: &mut Vec<u8>) -> Result<(), EngineError> {
        let mut head_left = ENGINE_HEAD_BYTES_MAX;
        match framing {
            Framing::Length(length) => self.take(length, body)?,
            Framing::UntilClose => while self.move_into(usize::MAX, body)? || self.fill()? {},
            Framing::Chunked => loop {
                let line = self.line(&mut head_left)?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = match usize::from_str_radix(size, 16) {
                    Ok(bytes) if !size.starts_with('+') => bytes,
                    _ => return Err(malformed("a chunk's size is not hexadecimal")),
                };
                if size == 0 {
                    while !self.line(&mut head_left)?.is_empty() {}
                    break;
                }
                self.take(size, body)?;
                // Each chunk has its own allowance, the limit of the body is their bound.
                head_left = ENGINE_HEAD_BYTES_MAX;
                if !self.line(&mut head_left)?.is_empty() {
                    return Err(malformed("a chunk is longer than its size"));
                }
            },
        }
        Ok(())
    }

    fn status(&mut self, head_left: &mut usize) -> Result<u16, EngineError> {
        let line = self.line(head_left)?;
        let mut words = line.split(' ');
        if !words.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
            return Err(malformed("it does not begin with HTTP/1."));
        }
        words
            .next()
            .filter(|status| status.len() == 3)
            .and_then(|status| status.parse().ok())
            .ok_or(malformed("it has no status"))
    }

    fn headers(&mut self, head_left: &mut usize) -> Result<Head, EngineError> {
        let mut length = None;
        let (mut chunked, mut gzip, mut location) = (false, false, None);
        loop {
            let line = self.line(head_left)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(malformed("a header has no colon"))?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                let value = value.parse().map_err(|_| malformed("its length is not a number"))?;
                if length.replace(value).is_some_and(|before: usize| before != value) {
                    return Err(malformed("it has two lengths"));
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if !value.eq_ignore_ascii_case("chunked") {
                    return Err(malformed("its transfer encoding is not `chunked`"));
                }
                chunked = true;
            } else if name.eq_ignore_ascii_case("content-encoding") {
                // Some servers send the header with no value, which is none (RFC 9110 section 8.4).
                for coding in value.split(',').map(str::trim) {
                    match coding.to_ascii_lowercase().as_str() {
                        "" | "identity" => {}
                        "gzip" | "x-gzip" if !gzip => gzip = true,
                        _ => return Err(malformed("its coding is not gzip, which was asked for")),
                    }
                }
            } else if name.eq_ignore_ascii_case("location") {
                location = Some(value.to_string());
            }
        }
        // Chunks come before a length where both are given (RFC 9112, section 6.3).
        let framing = match (chunked, length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        Ok(Head { framing, gzip, location })
    }

    /// The next line, without its end, paid for out of `bytes_left`.
    fn line(&mut self, bytes_left: &mut usize) -> Result<String, EngineError> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.at..];
            if let Some(end) = unread[searched..].iter().position(|&byte| byte == b'\n') {
                let end = searched + end;
                *bytes_left =
                    bytes_left.checked_sub(end + 1).ok_or(malformed("its head is too long"))?;
                let line = unread[..end].strip_suffix(b"\r").unwrap_or(&unread[..end]);
                let line = String::from_utf8_lossy(line).into_owned();
                self.at += end + 1;
                return Ok(line);
            }
            searched = unread.len();
            if searched > *bytes_left {
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

    /// Moves what is buffered to `body`, up to `goal` bytes of it; says whether there was anything.
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

    /// Reads once; `false` at the end of the stream.
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

/// Appends what a gzip body holds, which is bounded as a plain one is, however small the body.
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
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Serves one connection: reads the request's head, then sends the pieces with a pause between them.
    fn serve(pieces: Vec<Vec<u8>>, pause: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            for piece in pieces {
                if stream.write_all(&piece).is_err() {
                    return;
                }
                thread::sleep(pause);
            }
        });
        url
    }

    fn body(url: &str, timeout: Duration) -> Result<Vec<u8>, EngineError> {
        let mut body = Vec::new();
        Url::parse(url)?.get(timeout, &mut body)?;
        Ok(body)
    }

    fn get(answer: impl Into<Vec<u8>>) -> Result<Vec<u8>, EngineError> {
        // Byte by byte as well as at once: no boundary of a read may matter.
        let answer = answer.into();
        let bytes = answer.iter().map(|&byte| vec![byte]).collect();
        let timeout = Duration::from_secs(5);
        let slowly = body(&serve(bytes, Duration::ZERO), timeout);
        let at_once = body(&serve(vec![answer], Duration::ZERO), timeout);
        assert_eq!(slowly, at_once);
        at_once
    }

    #[test]
    fn bodies_of_every_framing_are_read() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\nignored",
            "HTTP/1.1 200 OK\r\n\r\nx 1\n",
            "HTTP/1.0 200 OK\n\nx 1\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\nx 1\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n\
             2\r\nx \r\n2;a=b\r\n1\n\r\n0\r\nTrailer: t\r\n\r\n",
        ] {
            assert_eq!(get(answer), Ok(b"x 1\n".to_vec()), "{answer:?}");
        }
        assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(ENGINE_HEAD_BYTES_MAX));
        let huge = ENGINE_BODY_BYTES_MAX + 1;
        for (answer, reason) in [
            ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_string(), "status"),
            ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n".into(), "redirect"),
            ("HTTP/1.1 307 Temporary Redirect\r\n\r\n".into(), "status"),
            ("HTTP/1.1 304 Not Modified\r\nLocation: /\r\n\r\n".into(), "status"),
            ("HTTP/1.1 204 No Content\r\n\r\n".into(), "status"),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nxx".into(), "malformed"),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\nxx".into(), "malformed"),
            ("SSH-2.0-OpenSSH\r\n".into(), "malformed"),
            ("HTTP/1.1 OK\r\n\r\n".into(), "malformed"),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n".into(), "malformed"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".into(),
                "malformed",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nxx".into(), "malformed"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(), "malformed"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".into(), "malformed"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n".into(),
                "malformed",
            ),
            (long, "malformed"),
            (format!("HTTP/1.1 200 OK\r\nContent-Length: {huge}\r\n\r\n"), "too_large"),
            (
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{huge:x}\r\n"),
                "too_large",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx 1\n".into(), "connection"),
            ("HTTP/1.1 200 OK\r\nContent-".into(), "connection"),
        ] {
            let error = get(answer.clone()).unwrap_err();
            assert_eq!(error.reason(), reason, "{error} for {:?}", &answer[..answer.len().min(80)]);
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn a_compressed_body_is_read_and_bounded() {
        let answer = |coding: &str, body: &[u8]| {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Encoding:{coding}\r\n\r\n");
            [answer.as_bytes(), body].concat()
        };
        let text = b"x 1\n".to_vec();
        for plain in ["", " ", " identity", " identity, "] {
            assert_eq!(get(answer(plain, &text)), Ok(text.clone()), "{plain:?}");
        }
        for packed in [" gzip", " GZIP", " x-gzip", " gzip, identity"] {
            assert_eq!(get(answer(packed, &gzip(&text))), Ok(text.clone()), "{packed:?}");
        }
        let two_members = [gzip(b"x 1\n"), gzip(b"y 2\n")].concat();
        assert_eq!(get(answer(" gzip", &two_members)), Ok(b"x 1\ny 2\n".to_vec()));
        let whole = gzip(&text);
        let error = get(answer(" gzip", &whole[..whole.len() - 4])).unwrap_err();
        assert_eq!(error.reason(), "malformed");
        let bomb = gzip(&vec![b'x'; ENGINE_BODY_BYTES_MAX + 1]);
        assert!(bomb.len() < 1 << 20);
        let url = serve(vec![answer(" gzip", &bomb)], Duration::ZERO);
        let error = body(&url, Duration::from_secs(20)).unwrap_err();
        assert_eq!(error, EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX });
    }

    /// Serves each connection by its path; returns the address.
    fn serve_paths(answer: impl Fn(&str) -> String + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let _ = stream.write_all(answer(path).as_bytes());
            }
        });
        address
    }

    #[test]
    fn redirections_on_the_same_host_are_followed_and_bounded() {
        let address = serve_paths(|path| match path {
            "/metrics" => "HTTP/1.1 307 Temporary Redirect\r\nLocation: /metrics/\r\n\r\n".into(),
            "/metrics/" => "HTTP/1.1 200 OK\r\n\r\nx 1\n".into(),
            "/twice" => {
                "HTTP/1.1 301 Moved\r\nLocation: metrics\r\nContent-Length: 3\r\n\r\nabc".into()
            }
            _ => format!("HTTP/1.1 302 Found\r\nLocation: {path}x\r\n\r\n"),
        });
        let timeout = Duration::from_secs(20);
        for path in ["/metrics", "/twice"] {
            assert_eq!(body(&format!("http://{address}{path}"), timeout), Ok(b"x 1\n".to_vec()));
        }
        let error = body(&format!("http://{address}/loop"), timeout).unwrap_err();
        assert!(error.to_string().contains("too many redirections"), "{error}");
        let away =
            serve_paths(|_| "HTTP/1.1 308 P\r\nLocation: https://idp.example/login\r\n\r\n".into());
        let error = body(&format!("http://{away}/"), timeout).unwrap_err();
        assert_eq!(error.reason(), "redirect");
        assert!(error.to_string().contains("https://idp.example/login"), "{error}");
    }

    #[test]
    fn an_endless_body_is_cut_off() {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let block = || vec![b'x'; 1 << 20];
        let pieces = std::iter::once(head).chain((0..20).map(|_| block())).collect();
        let error = body(&serve(pieces, Duration::ZERO), Duration::from_secs(20)).unwrap_err();
        assert_eq!(error, EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX });
    }

    #[test]
    fn the_deadline_is_for_the_whole_answer() {
        let drip = vec![b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n".to_vec()];
        let drip = drip.into_iter().chain((0..50).map(|_| b"x".to_vec())).collect();
        let url = serve(drip, Duration::from_millis(50));
        let start = Instant::now();
        let timeout = Duration::from_millis(200);
        assert_eq!(body(&url, timeout), Err(EngineError::Timeout { timeout }));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        assert_eq!(body(&url, timeout), Err(EngineError::Timeout { timeout }));
        drop(silent);
        let error = body(&url, timeout).unwrap_err();
        assert_eq!(error.reason(), "connect", "{error}");
    }
}
