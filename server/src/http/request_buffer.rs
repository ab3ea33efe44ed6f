//! The bytes that a client has sent and hyper has not seen: validated heads, and what came behind them.
//!
//! ```text
//! socket -> space() -> | head | head | head (at most `pipelined`) | bytes not validated yet |
//!                        next() -> hyper, one at a time
//! ```
//!
//! Invariant: hyper is handed whole heads that passed [`HeadValidator`], each when the answer before it is on its way. A
//! rejected head is replaced by a stand-in, so that its answer takes its place behind the answers that are due before it;
//! the bytes behind it are not looked at.
//!
//! Memory is bounded by [`Limits::head_bytes`] a connection, whatever the client sends.

use std::collections::VecDeque;

use crate::http::rejection::Rejection;
use crate::http::validator::{HeadValidator, Validity};
use crate::limits::Limits;

#[derive(Debug)]
pub(crate) struct RequestBuffer {
    /// `head_bytes` long once the first byte came.
    buffer: Box<[u8]>,
    /// The bytes in use: from the first head that waits to the last byte that came.
    start: usize,
    end: usize,
    /// Lengths of the heads that wait, in order.
    heads: VecDeque<usize>,
    /// The position of the first byte that is not validated yet.
    validated: usize,
    scan: HeadValidator,
    rejection: Option<Rejection>,
    eof: bool,
}

/// The next item for hyper, after the answers that are due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    Head(&'a [u8]),
    Rejection(Rejection),
    /// The client has sent its last byte.
    End,
    /// More bytes are needed.
    Nothing,
}

impl RequestBuffer {
    pub(crate) fn new() -> Self {
        Self {
            buffer: Box::default(),
            start: 0,
            end: 0,
            heads: VecDeque::new(),
            validated: 0,
            scan: HeadValidator::default(),
            rejection: None,
            eof: false,
        }
    }

    /// The room for the next bytes from the socket; empty when none may be read now.
    pub(crate) fn space(&mut self, limits: &Limits) -> &mut [u8] {
        if self.rejection.is_some() || self.eof || self.heads.len() >= limits.pipelined {
            return &mut [];
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; limits.head_bytes].into_boxed_slice();
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.validated -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// Takes note of `count` bytes that were read into [`RequestBuffer::space`]; 0 is the end of the stream.
    pub(crate) fn filled(&mut self, count: usize, limits: &Limits) {
        self.eof |= count == 0;
        self.end += count;
        self.validate(limits);
    }

    /// Takes the next item.
    pub(crate) fn next(&mut self, limits: &Limits) -> Next<'_> {
        let Some(length) = self.heads.pop_front() else {
            return match self.rejection {
                Some(rejection) => Next::Rejection(rejection),
                None if self.eof => Next::End,
                None => Next::Nothing,
            };
        };
        let head = self.start..self.start + length;
        self.start = head.end;
        self.validate(limits);
        Next::Head(&self.buffer[head])
    }

    /// Returns whether the stream has ended with nothing left to answer.
    pub(crate) fn is_at_end(&self) -> bool {
        self.eof && self.heads.is_empty() && self.rejection.is_none()
    }

    /// Returns whether there are bytes that hyper has not seen.
    pub(crate) fn has_bytes(&self) -> bool {
        self.start < self.end
    }

    /// Returns whether as many heads wait as may.
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.heads.len() >= limits.pipelined
    }

    fn validate(&mut self, limits: &Limits) {
        while self.rejection.is_none() && self.heads.len() < limits.pipelined {
            let bytes = &self.buffer[self.validated..self.end];
            if bytes.is_empty() {
                return;
            }
            match self.scan.advance(bytes, limits) {
                Validity::Whole(length) => {
                    self.heads.push_back(length);
                    self.validated += length;
                    self.scan = HeadValidator::default();
                }
                Validity::Part => return,
                Validity::Invalid(rejection) => self.rejection = Some(rejection),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

    fn fill(buffer: &mut RequestBuffer, bytes: &[u8], limits: &Limits) -> usize {
        let space = buffer.space(limits);
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        if count > 0 {
            buffer.filled(count, limits);
        }
        count
    }

    #[test]
    fn no_more_is_read_while_sixteen_heads_wait() {
        let limits = Limits::default();
        let mut buffer = RequestBuffer::new();
        fill(&mut buffer, &HEAD.repeat(20), &limits);
        assert_eq!(buffer.heads.len(), 16);
        assert!(buffer.space(&limits).is_empty());
        for _ in 0..20 {
            assert_eq!(buffer.next(&limits), Next::Head(HEAD));
        }
        assert_eq!(buffer.next(&limits), Next::Nothing);
        assert!(!buffer.has_bytes() && !buffer.space(&limits).is_empty());
    }

    #[test]
    fn a_rejected_head_comes_in_its_turn_and_is_the_last() {
        let limits = Limits::default();
        let mut buffer = RequestBuffer::new();
        fill(&mut buffer, &[HEAD, b"BAD\0", HEAD].concat(), &limits);
        assert_eq!(buffer.next(&limits), Next::Head(HEAD));
        for _ in 0..2 {
            assert_eq!(buffer.next(&limits), Next::Rejection(Rejection::Grammar));
        }
        assert_eq!(fill(&mut buffer, HEAD, &limits), 0);
    }

    #[test]
    fn heads_that_wait_are_answered_after_the_client_is_gone() {
        let limits = Limits::default();
        let mut buffer = RequestBuffer::new();
        fill(&mut buffer, &[HEAD, b"GET"].concat(), &limits);
        buffer.space(&limits);
        buffer.filled(0, &limits);
        assert!(!buffer.is_at_end());
        assert_eq!(buffer.next(&limits), Next::Head(HEAD));
        assert!(buffer.is_at_end());
        assert_eq!(buffer.next(&limits), Next::End);
    }

    #[test]
    fn a_head_that_fills_the_buffer_behind_others_is_moved_and_not_rejected() {
        let limits = Limits::default();
        let long = [b"GET / HTTP/1.0\r\nX: ".as_slice(), &[b'x'; 8150], b"\r\n\r\n"].concat();
        let all = [HEAD, HEAD, &long].concat();
        let mut buffer = RequestBuffer::new();
        let mut sent = fill(&mut buffer, &all, &limits);
        assert_eq!(sent, limits.head_bytes);
        assert_eq!(buffer.next(&limits), Next::Head(HEAD));
        assert_eq!(buffer.next(&limits), Next::Head(HEAD));
        sent += fill(&mut buffer, &all[sent..], &limits);
        assert_eq!(sent, all.len());
        assert_eq!(buffer.next(&limits), Next::Head(&long[..]));
    }
}
