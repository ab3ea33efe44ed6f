//! The network thread's loop: accept, and go on accepting whatever happens.
//!
//! `accept` fails when descriptors or memory run out, and a listener that treats that as fatal (or
//! retries at once) turns a shortage into an outage (or a busy loop). Here connections are taken on
//! the descriptors of the reserve, and when these are spent, in place of one of ours that gives way.
//! When nobody can, the listener pauses, twice as long each time up to a second, and never gives up.
//! Connections that are open are served meanwhile.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::door::Door;
use crate::limits::Limits;
use crate::reason::Limit;
use crate::reserve::{Reserve, Spent, is_shortage};
use crate::respond::Responder;
use crate::serve::serve;
use crate::table::ConnectionTable;
use crate::telemetry::ServerTelemetry;

/// What the network thread runs with.
pub(crate) struct Network {
    pub(crate) door: Door,
    pub(crate) reserve: Reserve,
    pub(crate) limits: Limits,
    pub(crate) telemetry: Arc<ServerTelemetry>,
    pub(crate) responder: Rc<Responder>,
}

impl Network {
    /// Accepts until `stop` brings a grace (or its sender is gone), then lets requests in progress
    /// finish within it. Returns how many connections were cut. Runs in a `LocalSet`.
    pub(crate) async fn run(self, mut stop: oneshot::Receiver<Duration>) -> usize {
        let Self { door, mut reserve, limits, telemetry, responder } = self;
        let http = http_builder(&limits);
        let table = ConnectionTable::new(limits, Arc::clone(&telemetry));
        let mut tasks = JoinSet::new();
        let mut pause = AcceptPause::new(table.limits());
        let mut accepts = 0_u32;

        let grace = loop {
            let accepted = tokio::select! {
                biased;
                grace = &mut stop => break grace.unwrap_or_default(),
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    log_panic(ended);
                    reserve.refill(); // It may have been the reserve's.
                    continue;
                }
                accepted = poll_fn(|cx| door.poll_accept(cx)) => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    pause = AcceptPause::new(table.limits());
                    telemetry.connection_accepted();
                    // Without a slot it is dropped here, which closes it.
                    if let Some(admission) = table.admit(accepted.1) {
                        let responder = Rc::clone(&responder);
                        tasks.spawn_local(serve(accepted, admission, http.clone(), responder));
                    }
                    accepts = accepts.wrapping_add(1);
                    if accepts.is_multiple_of(table.limits().accepts_a_wake) {
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    if is_shortage(&error) {
                        match reserve.spend(&door).await {
                            Spent::OnOne(accepted) => {
                                telemetry.limit_hit(Limit::DescriptorReserve);
                                telemetry.connection_accepted();
                                let peer = accepted.1;
                                // The last one of the reserve is not lent while somebody can go.
                                let replaced =
                                    reserve.is_empty().then(|| table.replace_one(peer)).flatten();
                                if let Some(admission) = replaced.or_else(|| table.admit(peer)) {
                                    let responder = Rc::clone(&responder);
                                    let http = http.clone();
                                    tasks.spawn_local(serve(accepted, admission, http, responder));
                                } else {
                                    drop(accepted); // Before the refill, which needs its descriptor.
                                }
                                tokio::task::yield_now().await; // Who gave way closes.
                                reserve.refill();
                                continue;
                            }
                            Spent::NobodyWaits => continue,
                            Spent::Nothing => {
                                if reserve.is_empty() && table.one_gives_way() {
                                    tokio::task::yield_now().await;
                                    reserve.refill();
                                    continue;
                                }
                            }
                        }
                    }
                    telemetry.limit_hit(Limit::AcceptPause);
                    let pause = pause.next();
                    tracing::warn!(%error, ?pause, "accept failed; the listener pauses");
                    tokio::select! {
                        grace = &mut stop => break grace.unwrap_or_default(),
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        };

        drop(door);
        table.finish_all();
        let finished = tokio::time::timeout(grace, async {
            while let Some(ended) = tasks.join_next().await {
                log_panic(ended);
            }
        });
        if finished.await.is_ok() {
            return 0;
        }
        let cut = tasks.len();
        for _ in 0..cut {
            telemetry.limit_hit(Limit::ShutdownGrace);
        }
        tasks.shutdown().await;
        cut
    }
}

fn http_builder(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()) // Without one, the header timeout below would be inert.
        // hyper's timer runs from the end of the previous response, so it can only stand behind the
        // two deadlines that `connection` tells apart.
        .header_read_timeout(limits.head_deadline + limits.keep_alive_idle)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers);
    http
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
