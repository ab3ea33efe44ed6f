//! A frontend and a worker in one process.
//!
//! The worker takes its requests over loopback HTTP, as it does in a fleet: every token takes one path, and its bytes are
//! really sent.

use crate::frontend::App;
use crate::protocol::STATS_PERIOD;
use crate::worker::Worker;
use std::future::Future;
use std::sync::Arc;

/// Registers the worker with the frontend and returns a future that reports its figures for as long as it is polled. The
/// worker is registered anew after a broken stream made the frontend drop it.
pub fn join(app: &Arc<App>, worker: Worker) -> impl Future<Output = ()> + use<> {
    register(app, &worker);
    let app = Arc::clone(app);
    async move {
        loop {
            tokio::time::sleep(STATS_PERIOD).await;
            if !app.fleet.heard(worker.instance_id(), worker.stats()) {
                register(&app, &worker);
            }
        }
    }
}

fn register(app: &App, worker: &Worker) {
    if let Err(reason) = app.fleet.join(worker.registration()) {
        tracing::error!(reason, "the worker cannot join");
    }
}
