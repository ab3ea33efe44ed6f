//! A few descriptors that are kept for the time when the process has no other.
//!
//! When a process has no descriptor left, `accept` fails and the connection stays in the kernel's queue: its client
//! waits, and the listener is woken for it again and again. With descriptors in reserve, connections can be taken and
//! served although another part of the process holds all the others. A descriptor of the reserve comes back when its
//! connection ends, or when a connection that waits for its client is evicted.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use crate::limits::Limits;
use crate::net::listener::{Accepted, Listener};

/// Holds [`Limits::DESCRIPTOR_RESERVE`] descriptors, or fewer while the process can have no more.
#[derive(Debug)]
pub(crate) struct DescriptorReserve(Vec<socket2::Socket>);

/// The outcome of an attempt to take a connection on a descriptor of the reserve.
pub(crate) enum FromReserve {
    /// A connection, which has the descriptor from now on.
    Taken(Accepted),
    /// No connection waits, and the descriptor is back. Linux looks for a descriptor before it looks for a connection,
    /// so `accept` fails even then.
    NoneWaits,
    /// The reserve is empty, or `accept` fails for another reason.
    Failed,
}

// The process's limit and the system's. These values are the same on Linux, the BSDs and macOS.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Returns whether an error says that descriptors ran out.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

impl DescriptorReserve {
    pub(crate) fn new() -> Self {
        let mut reserve = Self(Vec::with_capacity(Limits::DESCRIPTOR_RESERVE));
        reserve.refill();
        reserve
    }

    /// Takes one connection that waits: [`Self::refill`] once a descriptor is free again.
    pub(crate) async fn accept(&mut self, listener: &Listener) -> FromReserve {
        if self.0.pop().is_none() {
            return FromReserve::Failed;
        }
        match poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
            Poll::Ready(Ok(accepted)) => FromReserve::Taken(accepted),
            Poll::Ready(Err(_)) => {
                self.refill();
                FromReserve::Failed
            }
            Poll::Pending => {
                self.refill();
                FromReserve::NoneWaits
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes descriptors into the reserve, as far as the process can have them.
    pub(crate) fn refill(&mut self) {
        while self.0.len() < Limits::DESCRIPTOR_RESERVE {
            let Some(descriptor) = descriptor() else { return };
            self.0.push(descriptor);
        }
    }
}

/// A socket that is bound to nothing: the cheapest descriptor that needs no file system.
fn descriptor() -> Option<socket2::Socket> {
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).ok()
}
