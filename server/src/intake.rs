//! What a client has sent and hyper has not seen: judged heads, and the bytes behind them.
//!
//! ```text
//! socket -> space() -> | head | head | head (at most `pipelined`) | bytes not judged yet |
//!                        next() -> hyper, one at a time
//! ```
//!
//! Invariant: hyper is handed whole heads that passed [`HeadScan`], each when the answer before it
//! is on its way. A refused head is replaced by a stand-in, so that its answer takes its place
//! behind the answers that are due before it; nothing behind it is looked at.
//!
//! Memory is bounded by [`Limits::head_bytes`] a connection, whatever the client sends.

use std::collections::VecDeque;

use crate::head::{HeadScan, Seen};
use crate::limits::Limits;
use crate::refusal::Refusal;

#[derive(Debug)]
pub(crate) struct Intake {
    /// `head_bytes` long once the first byte came.
    buffer: Box<[u8]>,
    /// The bytes in use: from the first head that waits to the last byte that came.
    start: usize,
    end: usize,
    /// Lengths of the heads that wait, in order.
    heads: VecDeque<usize>,
    /// Where the bytes begin that no head that waits covers.
    judged: usize,
    scan: HeadScan,
    refusal: Option<Refusal>,
    eof: bool,
}

/// What comes after the answers that are due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    Head(&'a [u8]),
    Refusal(Refusal),
    /// The client has sent its last byte.
    End,
    /// More bytes are needed.
    Nothing,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self {
            buffer: Box::default(),
            start: 0,
            end: 0,
            heads: VecDeque::new(),
            judged: 0,
            scan: HeadScan::default(),
            refusal: None,
            eof: false,
        }
    }

    /// Where the next bytes from the socket go; empty when none may be read now.
    pub(crate) fn space(&mut self, limits: &Limits) -> &mut [u8] {
        if self.refusal.is_some() || self.eof || self.heads.len() >= limits.pipelined {
            return &mut [];
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; limits.head_bytes].into_boxed_slice();
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.judged -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// Takes note of bytes that were read into [`Intake::space`]; none is the end.
    pub(crate) fn filled(&mut self, count: usize, limits: &Limits) {
        self.eof |= count == 0;
        self.end += count;
        self.judge(limits);
    }

    /// Takes the next head, or what stands in its place.
    pub(crate) fn next(&mut self, limits: &Limits) -> Next<'_> {
        let Some(length) = self.heads.pop_front() else {
            return match self.refusal {
                Some(refusal) => Next::Refusal(refusal),
                None if self.eof => Next::End,
                None => Next::Nothing,
            };
        };
        let head = self.start..self.start + length;
        self.start = head.end;
        self.judge(limits);
        Next::Head(&self.buffer[head])
    }

    /// Whether the client is gone with nothing left to answer.
    pub(crate) fn is_at_end(&self) -> bool {
        self.eof && self.heads.is_empty() && self.refusal.is_none()
    }

    /// Whether bytes wait that hyper has not seen.
    pub(crate) fn has_bytes(&self) -> bool {
        self.start < self.end
    }

    /// Whether so many heads wait that no more is read.
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.heads.len() >= limits.pipelined
    }

    fn judge(&mut self, limits: &Limits) {
        while self.refusal.is_none() && self.heads.len() < limits.pipelined {
            let bytes = &self.buffer[self.judged..self.end];
            if bytes.is_empty() {
                return;
            }
            match self.scan.advance(bytes, limits) {
                Seen::Whole(length) => {
                    self.heads.push_back(length);
                    self.judged += length;
                    self.scan = HeadScan::default();
                }
                Seen::Part => return,
                Seen::Refused(refusal) => self.refusal = Some(refusal),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

    fn fill(intake: &mut Intake, bytes: &[u8], limits: &Limits) -> usize {
        let space = intake.space(limits);
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        if count > 0 {
            intake.filled(count, limits);
        }
        count
    }

    #[test]
    fn the_seventeenth_head_waits() {
        let limits = Limits::default();
        let mut intake = Intake::new();
        fill(&mut intake, &HEAD.repeat(20), &limits);
        assert_eq!(intake.heads.len(), 16);
        assert!(intake.space(&limits).is_empty());
        for _ in 0..20 {
            assert_eq!(intake.next(&limits), Next::Head(HEAD));
        }
        assert_eq!(intake.next(&limits), Next::Nothing);
        assert!(!intake.has_bytes() && !intake.space(&limits).is_empty());
    }

    #[test]
    fn a_refused_head_comes_in_its_turn_and_is_the_last() {
        let limits = Limits::default();
        let mut intake = Intake::new();
        fill(&mut intake, &[HEAD, b"BAD\0", HEAD].concat(), &limits);
        assert_eq!(intake.next(&limits), Next::Head(HEAD));
        for _ in 0..2 {
            assert_eq!(intake.next(&limits), Next::Refusal(Refusal::Grammar));
        }
        assert_eq!(fill(&mut intake, HEAD, &limits), 0);
    }

    #[test]
    fn heads_that_wait_are_answered_after_the_client_is_gone() {
        let limits = Limits::default();
        let mut intake = Intake::new();
        fill(&mut intake, &[HEAD, b"GET"].concat(), &limits);
        intake.space(&limits);
        intake.filled(0, &limits);
        assert!(!intake.is_at_end());
        assert_eq!(intake.next(&limits), Next::Head(HEAD));
        assert!(intake.is_at_end());
        assert_eq!(intake.next(&limits), Next::End);
    }

    #[test]
    fn a_head_that_fills_the_buffer_behind_others_is_moved_not_refused() {
        let limits = Limits::default();
        let long = [b"GET / HTTP/1.0\r\nX: ".as_slice(), &[b'x'; 8150], b"\r\n\r\n"].concat();
        let all = [HEAD, HEAD, &long].concat();
        let mut intake = Intake::new();
        let mut sent = fill(&mut intake, &all, &limits);
        assert_eq!(sent, limits.head_bytes);
        assert_eq!(intake.next(&limits), Next::Head(HEAD));
        assert_eq!(intake.next(&limits), Next::Head(HEAD));
        sent += fill(&mut intake, &all[sent..], &limits);
        assert_eq!(sent, all.len());
        assert_eq!(intake.next(&limits), Next::Head(&long[..]));
    }
}
