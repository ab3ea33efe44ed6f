//! One descriptor kept for the day when there is none.
//!
//! When a process has no descriptor left, `accept` fails and the connection stays in the kernel's
//! queue: its client waits, and the listener is woken for it again and again. With one descriptor
//! in reserve the connection can be taken, and served in place of another one or closed, so that its
//! client learns at once.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use crate::door::Door;
use crate::stream::Stream;

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

    /// Takes one connection that waits, if the error says that descriptors ran out and there is one
    /// in reserve, which the connection has from then on: [`Self::refill`] once one is free.
    pub(crate) async fn spend(&mut self, error: &io::Error, door: &Door) -> Option<Stream> {
        let is_shortage = cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE));
        if !is_shortage || self.0.take().is_none() {
            self.refill();
            return None;
        }
        match poll_fn(|cx| Poll::Ready(door.poll_accept(cx))).await {
            Poll::Ready(Ok(stream)) => Some(stream),
            // Nobody waits: Linux looks for a descriptor before it looks for a connection.
            _ => {
                self.refill();
                None
            }
        }
    }

    /// Takes a descriptor into reserve, if there is one to have.
    pub(crate) fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = descriptor();
        }
    }
}

/// A socket that is bound to nothing: the cheapest descriptor that needs no file system.
fn descriptor() -> Option<socket2::Socket> {
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).ok()
}
