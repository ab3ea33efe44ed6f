//! One descriptor kept for the day when there is none.
//!
//! When a process has no descriptor left, `accept` fails and the connection stays in the kernel's
//! queue: its client waits, and the listener is woken for it again and again. With one descriptor
//! in reserve the connection can be taken and closed, so that its client learns at once.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use crate::door::Door;

/// Holds a descriptor, or none while there is none to have.
#[derive(Debug)]
pub(crate) struct Reserve(Option<socket2::Socket>);

// The process's limit and the system's. These values are the same on Linux, the BSDs and macOS.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

impl Reserve {
    pub(crate) fn new() -> Self {
        Self(descriptor())
    }

    /// Closes one connection that waits, if the error says that descriptors ran out and there is
    /// one in reserve. Returns whether it did.
    pub(crate) async fn spend(&mut self, error: &io::Error, door: &Door) -> bool {
        let is_shortage = cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE));
        if !is_shortage || self.0.take().is_none() {
            self.refill();
            return false;
        }
        let accepted = poll_fn(|cx| Poll::Ready(door.poll_accept(cx))).await;
        let closed = matches!(accepted, Poll::Ready(Ok(_)));
        drop(accepted); // Before the reserve is taken anew: it holds what we need for it.
        self.refill();
        closed
    }

    fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = descriptor();
        }
    }
}

/// A socket that is bound to nothing: the cheapest descriptor that needs no file system.
fn descriptor() -> Option<socket2::Socket> {
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).ok()
}
