//! A few descriptors kept for the day when there is none.
//!
//! When a process has no descriptor left, `accept` fails and the connection stays in the kernel's
//! queue: its client waits, and the listener is woken for it again and again. With descriptors in
//! reserve connections can be taken and served, though another part of the process, or another port
//! of it, holds all the others. A descriptor of the reserve comes back when its connection ends, or
//! when one that waits for its client gives way.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::task::Poll;

use crate::door::Door;
use crate::limits::Limits;
use crate::stream::Stream;

/// Holds [`Limits::DESCRIPTOR_RESERVE`] descriptors, or fewer while there are none to have.
#[derive(Debug)]
pub(crate) struct Reserve(Vec<socket2::Socket>);

/// What a descriptor of the reserve was spent on.
pub(crate) enum Spent {
    /// A connection, which has it from now on.
    OnOne((Stream, Option<IpAddr>)),
    /// Nothing: it is back, since nobody waits. Linux looks for a descriptor before it looks for a
    /// connection, so `accept` fails even then.
    NobodyWaits,
    /// Nothing: there is none, or `accept` fails for another reason.
    Nothing,
}

// The process's limit and the system's. These values are the same on Linux, the BSDs and macOS.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Whether an error says that descriptors ran out.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

impl Reserve {
    pub(crate) fn new() -> Self {
        let mut reserve = Self(Vec::with_capacity(Limits::DESCRIPTOR_RESERVE));
        reserve.refill();
        reserve
    }

    /// Takes one connection that waits: [`Self::refill`] once a descriptor is free again.
    pub(crate) async fn spend(&mut self, door: &Door) -> Spent {
        if self.0.pop().is_none() {
            return Spent::Nothing;
        }
        let accepted = poll_fn(|cx| Poll::Ready(door.poll_accept(cx))).await;
        match accepted {
            Poll::Ready(Ok(accepted)) => Spent::OnOne(accepted),
            Poll::Ready(Err(_)) => {
                self.refill();
                Spent::Nothing
            }
            Poll::Pending => {
                self.refill();
                Spent::NobodyWaits
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes descriptors into reserve, as far as there are some to have.
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
