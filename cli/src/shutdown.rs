//! The signals that stop the program: SIGINT and SIGTERM.

use std::future::Future;
use std::io;
use tokio::runtime::Handle;

/// Returns when the process is asked to stop. Called within tokio it listens from the call on, not only when it is
/// awaited: a signal that comes before would end the process at once.
pub(crate) fn requested() -> impl Future<Output = ()> {
    let listening = Handle::try_current().ok().map(|_| Signals::listen());
    async move {
        match listening.unwrap_or_else(Signals::listen) {
            Ok(signals) => signals.next().await,
            Err(error) => {
                tracing::warn!(%error, "signals cannot be listened to; the process ends with the first");
                std::future::pending().await
            }
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
