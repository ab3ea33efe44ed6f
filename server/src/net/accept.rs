//! The loop that accepts connections, and goes on accepting whatever happens.
//!
//! `accept` fails when descriptors or memory run out, and a listener that treats that as fatal (or retries at once) turns
//! a shortage into an outage (or a busy loop). Here connections are taken on the descriptors of the reserve, and when
//! these are used up, in place of one of ours that is evicted. When none can be evicted the listener pauses, twice as
//! long each time up to a second, and never gives up. Connections that are open are served meanwhile.
//!
//! A stop loses nothing that has arrived: connections that the kernel has completed are taken, and every connection is
//! asked once more whether a request has come, before it is told to finish.

use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::limits::Limits;
use crate::net::descriptors::{DescriptorReserve, FromReserve, is_shortage};
use crate::net::listener::{Accepted, Listener};
use crate::net::table::{Admission, ConnectionTable};
use crate::reason::Limit;
use crate::telemetry::ServerTelemetry;

/// Accepts connections and has each of them served, on the thread of its listener.
pub(crate) struct AcceptLoop<S> {
    listener: Listener,
    reserve: DescriptorReserve,
    table: Rc<ConnectionTable>,
    telemetry: Arc<ServerTelemetry>,
    pause: AcceptPause,
    /// Makes the future that serves one connection to its end.
    serve: S,
    connections: JoinSet<()>,
}

impl<S, F> AcceptLoop<S>
where
    S: Fn(Accepted, Admission) -> F,
    F: Future<Output = ()> + 'static,
{
    pub(crate) fn new(
        listener: Listener,
        reserve: DescriptorReserve,
        limits: Limits,
        telemetry: Arc<ServerTelemetry>,
        serve: S,
    ) -> Self {
        let pause = AcceptPause::new(&limits);
        let table = ConnectionTable::new(limits, Arc::clone(&telemetry));
        let connections = JoinSet::new();
        Self { listener, reserve, table, telemetry, pause, serve, connections }
    }

    /// Accepts until `stop` brings a grace (or its sender is gone), then lets requests in progress finish within it.
    /// Returns how many connections were cut. Runs in a `LocalSet`.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<Duration>) -> usize {
        let grace = self.accept_until(&mut stop).await;
        self.accept_those_that_wait().await;
        self.finish(grace).await
    }

    async fn accept_until(&mut self, stop: &mut oneshot::Receiver<Duration>) -> Duration {
        let mut accepts = 0_u32;
        loop {
            let accepted = tokio::select! {
                biased;
                grace = &mut *stop => return grace.unwrap_or_default(),
                Some(ended) = self.connections.join_next(), if !self.connections.is_empty() => {
                    log_panic(ended);
                    self.reserve.refill(); // Its descriptor may have been the reserve's.
                    continue;
                }
                accepted = poll_fn(|cx| self.listener.poll_accept(cx)) => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    self.take(accepted);
                    accepts = accepts.wrapping_add(1);
                    if accepts.is_multiple_of(self.table.limits().accepts_a_wake) {
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) if is_shortage(&error) && self.take_on_reserve().await => {}
                Err(error) => {
                    self.telemetry.limit_hit(Limit::AcceptPause);
                    let pause = self.pause.next();
                    tracing::warn!(%error, ?pause, "accept failed; the listener pauses");
                    tokio::select! {
                        grace = &mut *stop => return grace.unwrap_or_default(),
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    fn take(&mut self, accepted: Accepted) {
        self.pause = AcceptPause::new(self.table.limits());
        self.telemetry.connection_accepted();
        // Without a slot it is dropped here, which closes it.
        if let Some(admission) = self.table.admit(accepted.peer) {
            self.connections.spawn_local((self.serve)(accepted, admission));
        }
    }

    /// Takes a connection although the process has no descriptor; false when that cannot be done now.
    async fn take_on_reserve(&mut self) -> bool {
        match self.reserve.accept(&self.listener).await {
            FromReserve::Taken(accepted) => {
                self.telemetry.limit_hit(Limit::DescriptorReserve);
                self.telemetry.connection_accepted();
                let peer = accepted.peer;
                // The last descriptor of the reserve is not lent while another connection can be evicted.
                let replaced = self.reserve.is_empty().then(|| self.table.replace_one(peer));
                if let Some(admission) = replaced.flatten().or_else(|| self.table.admit(peer)) {
                    self.connections.spawn_local((self.serve)(accepted, admission));
                } else {
                    drop(accepted); // Before the refill, which needs its descriptor.
                }
            }
            FromReserve::NoneWaits => return true,
            FromReserve::Failed if self.reserve.is_empty() && self.table.evict_one() => {}
            FromReserve::Failed => return false,
        }
        tokio::task::yield_now().await; // The evicted connection closes.
        self.reserve.refill();
        true
    }

    /// Takes the connections that the kernel has completed by now, at most as many as its queue holds, and lets the
    /// event loop learn which sockets have bytes.
    async fn accept_those_that_wait(&mut self) {
        for _ in 0..self.table.limits().backlog {
            match poll_fn(|cx| Poll::Ready(self.listener.poll_accept(cx))).await {
                Poll::Ready(Ok(accepted)) => self.take(accepted),
                Poll::Ready(Err(error)) if concerns_one_connection(&error) => {}
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        tokio::task::yield_now().await;
    }

    async fn finish(self, grace: Duration) -> usize {
        let Self { listener, table, telemetry, mut connections, .. } = self;
        drop(listener);
        table.finish_all();
        let finished = tokio::time::timeout(grace, async {
            while let Some(ended) = connections.join_next().await {
                log_panic(ended);
            }
        });
        if finished.await.is_ok() {
            return 0;
        }
        let cut = connections.len();
        for _ in 0..cut {
            telemetry.limit_hit(Limit::ShutdownGrace);
        }
        connections.shutdown().await;
        cut
    }
}

/// Pauses between failing `accept` calls.
#[derive(Debug)]
struct AcceptPause {
    next: Duration,
    max: Duration,
}

impl AcceptPause {
    fn new(limits: &Limits) -> Self {
        Self { next: limits.accept_pause_min, max: limits.accept_pause_max }
    }

    fn next(&mut self) -> Duration {
        let pause = self.next.min(self.max);
        self.next = pause * 2;
        pause
    }
}

/// The client was gone before it was accepted: the next one may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    )
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task panicked; the server goes on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second() {
        let mut pause = AcceptPause::new(&Limits::default());
        let pauses_ms: Vec<u128> = (0..10).map(|_| pause.next().as_millis()).collect();
        assert_eq!(pauses_ms, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn only_errors_of_one_connection_are_retried_at_once() {
        assert!(concerns_one_connection(&io::ErrorKind::ConnectionAborted.into()));
        assert!(!concerns_one_connection(&io::Error::from_raw_os_error(24))); // EMFILE
    }
}
