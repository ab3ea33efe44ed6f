//! The heads of requests, judged before hyper sees them.
//!
//! hyper answers a head that it cannot read by itself, without a body, and drops a length beside a coding without a word, the mark of
//! request smuggling. So a head is held back until it is whole, and **hyper is given one judged head at a time**: for one that is refused
//! a stand-in of its path, which the service answers with the refusal, in the order of the requests. No further head is read after it. Where the next head
//! begins is known since bodies are followed, by their length or by their chunks.
//!
//! Cost: a copy of each byte, and a buffer of [`Limits::head_bytes`] and a read at most.

use super::chunks::Chunks;
use super::guard::{FRAMING, GRAMMAR, HEAD_TOO_LONG, Refusal};
use super::limits::Limits;
use axum::http::Uri;
use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of one read: most heads whole, and a body in few steps.
const READ_BYTES: usize = 8 << 10;

/// The verdict about a connection's heads, which its service asks for. Relaxed: both are one task.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Heads that hyper was given.
    given: AtomicU64,
    /// Requests that the service has seen.
    seen: AtomicU64,
    /// The refusal of the last head that was given.
    refusal: OnceLock<Refusal>,
}

impl Verdict {
    /// Returns the refusal of the service's next request, if it is the stand-in for a head that was refused.
    pub(crate) fn next_request(&self) -> Option<Refusal> {
        let number = self.seen.fetch_add(1, Relaxed) + 1;
        self.refusal.get().copied().filter(|_| number == self.given.load(Relaxed))
    }
}

/// A stream whose heads are judged.
#[derive(Debug)]
pub(crate) struct Heads<S> {
    stream: S,
    limits: Arc<Limits>,
    verdict: Arc<Verdict>,
    /// Bytes that came and that hyper has not seen.
    buffer: BytesMut,
    place: Place,
}

/// The place of the buffer's first byte in the stream.
#[derive(Debug)]
enum Place {
    /// A head, of which so many bytes were looked at.
    Head(usize),
    /// A judged head, or the stand-in for a refused one, of which so many bytes are left, before what follows.
    Judged(usize, Framing),
    /// A body of which so many bytes are left.
    Length(u64),
    Chunked(Chunks),
    /// Behind a head that was refused.
    Refused,
}

/// The bytes behind a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    Refused,
}

impl<S> Heads<S> {
    pub(crate) fn new(stream: S, limits: Arc<Limits>, verdict: Arc<Verdict>) -> Self {
        Self { stream, limits, verdict, buffer: BytesMut::new(), place: Place::Head(0) }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Looks at the head that the buffer begins with; false when more bytes are needed.
    fn judge(&mut self, looked_at: usize) -> bool {
        // As hyper does: a head that is not whole is parsed once, for early errors, and then when its end has come.
        let may_be_whole = looked_at == 0 || has_end(&self.buffer, looked_at);
        let is_too_long = self.buffer.len() > self.limits.head_bytes;
        let judged = match may_be_whole || is_too_long {
            true => judge(&self.buffer, &self.limits),
            false => Ok(None),
        };
        let (length, framing) = match judged {
            Ok(Some(judged)) => judged,
            Ok(None) => {
                self.place = Place::Head(self.buffer.len());
                return false;
            }
            Err((refusal, target)) => {
                let _ = self.verdict.refusal.set(refusal);
                let path = if target.path().is_empty() { "/" } else { target.path() };
                let head = format!("GET {path} HTTP/1.1\r\nHost: refused\r\n\r\n");
                self.buffer = BytesMut::from(head.as_bytes());
                (head.len(), Framing::Refused)
            }
        };
        self.verdict.given.fetch_add(1, Relaxed);
        self.place = Place::Judged(length, framing);
        true
    }

    /// Moves what may be seen of the buffer; returns how many bytes that is.
    fn give(&mut self, to: &mut ReadBuf<'_>) -> usize {
        let most = self.buffer.len().min(to.remaining());
        let count = match &mut self.place {
            Place::Head(_) | Place::Refused => 0,
            Place::Judged(left, framing) => {
                let count = most.min(*left);
                *left -= count;
                if *left == 0 {
                    self.place = match *framing {
                        Framing::Length(0) => Place::Head(0),
                        Framing::Length(length) => Place::Length(length),
                        Framing::Chunked => Place::Chunked(Chunks::new()),
                        Framing::Refused => Place::Refused,
                    };
                }
                count
            }
            Place::Length(left) => {
                let count = most.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                if *left == 0 {
                    self.place = Place::Head(0);
                }
                count
            }
            Place::Chunked(chunks) => {
                let count = chunks.follow(&self.buffer[..most]);
                if chunks.has_ended() {
                    self.place = Place::Head(0);
                }
                count
            }
        };
        to.put_slice(&self.buffer[..count]);
        self.buffer.advance(count);
        count
    }
}

/// Returns the length of a head and what follows it, or `None` for the beginning of one. The error has the target, if it could be read.
fn judge(bytes: &[u8], limits: &Limits) -> Result<Option<(usize, Framing)>, (Refusal, Uri)> {
    let mut lines = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut request = httparse::Request::new(&mut lines);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= limits.head_bytes => length,
        Ok(httparse::Status::Partial) if bytes.len() <= limits.head_bytes => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err((HEAD_TOO_LONG, Uri::default()));
        }
        Err(_) => return Err((GRAMMAR, Uri::default())),
    };
    let Ok(target) = request.path.unwrap_or_default().parse::<Uri>() else {
        return Err((GRAMMAR, Uri::default()));
    };
    match framing(request.headers, request.version == Some(1)) {
        Some(framing) => Ok(Some((length, framing))),
        None => Err((FRAMING, target)),
    }
}

/// Returns what follows a head, if all programs agree on that: one length, or one coding that is chunked, which HTTP/1.0 has not.
fn framing(lines: &[httparse::Header<'_>], is_1_1: bool) -> Option<Framing> {
    let values = |name: &'static str| {
        lines.iter().filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
    };
    let (mut codings, mut lengths) = (values("transfer-encoding"), values("content-length"));
    match (codings.next(), codings.next(), lengths.next(), lengths.next()) {
        (None, _, None, _) => Some(Framing::Length(0)),
        (None, _, Some(length), None) if length.iter().all(u8::is_ascii_digit) => {
            Some(Framing::Length(std::str::from_utf8(length).ok()?.parse().ok()?))
        }
        // Any other coding would be handed to the handlers as it is.
        (Some(coding), None, None, _) if is_1_1 && coding.eq_ignore_ascii_case(b"chunked") => {
            Some(Framing::Chunked)
        }
        _ => None,
    }
}

/// Returns whether an empty line ends in the bytes behind the first `looked_at`.
fn has_end(bytes: &[u8], looked_at: usize) -> bool {
    let from = looked_at.saturating_sub(3);
    let ends = |line_end: &[u8]| line_end.starts_with(b"\n\n") || line_end.starts_with(b"\n\r\n");
    (from..bytes.len()).any(|at| bytes[at] == b'\n' && ends(&bytes[at..]))
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.place {
                // hyper closes after the answer; what the client still sends is dropped then.
                Place::Refused => return Poll::Pending,
                Place::Head(looked_at) if looked_at < this.buffer.len() => {
                    this.judge(looked_at);
                }
                _ => {}
            }
            if this.give(to) > 0 || to.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let before = this.buffer.len();
            this.buffer.resize(before + READ_BYTES, 0);
            let mut room = ReadBuf::new(&mut this.buffer[before..]);
            let read = Pin::new(&mut this.stream).poll_read(cx, &mut room);
            let count = room.filled().len();
            this.buffer.truncate(before + count);
            ready!(read)?;
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(version: &str, headers: &[&str]) -> Result<Option<(usize, Framing)>, Refusal> {
        let head = format!("POST /a?b {version}\r\n{}\r\n", headers.join(""));
        let judged = judge(head.as_bytes(), &Limits::default());
        judged.map_err(|(refusal, target)| {
            assert_eq!(target, "/a?b");
            refusal
        })
    }

    #[test]
    fn a_head_whose_request_may_end_in_two_places_is_refused() {
        for (headers, expected) in [
            (&[][..], Ok(Framing::Length(0))),
            (&["Content-Length: 5\r\n"][..], Ok(Framing::Length(5))),
            (&["Transfer-Encoding: Chunked\r\n"], Ok(Framing::Chunked)),
            (&["Content-Length: 5\r\n", "content-length: 5\r\n"], Err(FRAMING)),
            (&["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"], Err(FRAMING)),
            (&["Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n"], Err(FRAMING)),
            (&["Transfer-Encoding: gzip, chunked\r\n"], Err(FRAMING)),
            (&["Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n"], Err(FRAMING)),
            (&["Content-Length: +5\r\n"], Err(FRAMING)),
            (&["Content-Length: -1\r\n"], Err(FRAMING)),
            (&["Content-Length: 5, 5\r\n"], Err(FRAMING)),
            (&["Content-Length: \r\n"], Err(FRAMING)),
            (&["Content-Length: 18446744073709551616\r\n"], Err(FRAMING)),
        ] {
            let framing = judged("HTTP/1.1", headers).map(|whole| whole.expect("it is whole").1);
            assert_eq!(framing, expected, "{headers:?}");
        }
        assert_eq!(judged("HTTP/1.0", &["Transfer-Encoding: chunked\r\n"]), Err(FRAMING));
    }

    #[test]
    fn an_end_of_a_head_is_seen_wherever_the_bytes_are_cut() {
        for head in ["GET / HTTP/1.1\r\nA: b\r\n\r\n", "GET / HTTP/1.1\nA: b\n\n"] {
            for cut in 1..head.len() {
                assert!(has_end(head.as_bytes(), cut), "{head:?} at {cut}");
                assert!(!has_end(&head.as_bytes()[..cut], cut - 1), "{head:?} until {cut}");
            }
        }
    }
}
