//! Building and starting a server: every setting is checked here, and two threads begin.
//!
//! The network thread has its own single-threaded event loop and the gather thread has none, so a
//! server can be started from anywhere: from `main`, from inside any async runtime, from a host that
//! has no runtime at all. Everything that can fail, fails in [`ServerBuilder::spawn`].

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::error::StartError;
use crate::exposition::Exposition;
use crate::gather::{GATHER_THREAD, Gatherer};
use crate::health::{Health, Unmonitored};
use crate::limits::Limits;
use crate::listen::{Network, bind};
use crate::respond::{Responder, Routes, Scrapes};
use crate::running::{Running, RunningServer};
use crate::telemetry::ServerTelemetry;

/// Where a server begins: [`Server::builder`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Server;

impl Server {
    /// A builder with every default: `127.0.0.1`, a port that the system chooses, `/metrics`,
    /// `/health`, `/live`, [`Limits::default`].
    ///
    /// ```
    /// use dynamo_metrics_server::{ContentType, ScrapeRequest, Server};
    /// use dynamo_metrics_server::bytes::BytesMut;
    ///
    /// let server = Server::builder()
    ///     .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
    ///         body.extend_from_slice(b"up 1\n");
    ///         Ok(ContentType::TEXT_0_0_4)
    ///     })
    ///     .spawn()?;
    /// assert!(server.local_addr().ip().is_loopback());
    /// # Ok::<(), dynamo_metrics_server::StartError>(())
    /// ```
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            // Metrics are not for public networks (Prometheus' security model), so the loopback
            // address is left only when asked.
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            address_source: None,
            metrics_path: "/metrics".into(),
            health_path: "/health".into(),
            live_path: "/live".into(),
            not_found_body: Bytes::new(),
            exposition: None,
            health: Box::new(Unmonitored),
            limits: Limits::default(),
            telemetry: Arc::default(),
        }
    }
}

/// A server that does not run yet. Setters only store; [`ServerBuilder::spawn`] checks.
#[must_use = "a builder does nothing until `spawn`"]
pub struct ServerBuilder {
    address: SocketAddr,
    address_source: Option<String>,
    metrics_path: String,
    health_path: String,
    live_path: String,
    not_found_body: Bytes,
    exposition: Option<Box<dyn Exposition>>,
    health: Box<dyn Health>,
    limits: Limits,
    telemetry: Arc<ServerTelemetry>,
}

impl ServerBuilder {
    /// Where to listen; port 0 lets the system choose one, which [`RunningServer::local_addr`]
    /// tells. Default: `127.0.0.1:0`. `[::]` takes IPv4 connections too.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// The variable or flag that the address comes from, named in errors.
    ///
    /// ```
    /// # use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, bytes::BytesMut};
    /// # let empty = |_: &ScrapeRequest<'_>, _: &mut BytesMut| Ok(ContentType::TEXT_0_0_4);
    /// let first = Server::builder().exposition(empty).spawn()?;
    /// let second = Server::builder()
    ///     .address(first.local_addr())
    ///     .address_source("DYN_SYSTEM_PORT")
    ///     .exposition(empty)
    ///     .spawn();
    /// let text = second.unwrap_err().to_string();
    /// assert!(text.contains("DYN_SYSTEM_PORT") && text.contains("the port is in use"));
    /// # Ok::<(), dynamo_metrics_server::StartError>(())
    /// ```
    pub fn address_source(mut self, name: impl Into<String>) -> Self {
        self.address_source = Some(name.into());
        self
    }

    /// The path of the exposition. Default: `/metrics`. It begins with `/`, has neither `?` nor
    /// `#`, and is compared byte by byte: percent-encode what a URI requires to be encoded.
    pub fn metrics_path(mut self, path: impl Into<String>) -> Self {
        self.metrics_path = path.into();
        self
    }

    /// The path of [`Health::health`]. Default: `/health`.
    pub fn health_path(mut self, path: impl Into<String>) -> Self {
        self.health_path = path.into();
        self
    }

    /// The path of [`Health::live`]. Default: `/live`.
    pub fn live_path(mut self, path: impl Into<String>) -> Self {
        self.live_path = path.into();
        self
    }

    /// What any other path answers with its 404, as `text/plain; charset=utf-8`. Default: empty, as
    /// Dynamo's frontend has it; its component says `Route not found`.
    pub fn not_found_body(mut self, body: impl Into<Bytes>) -> Self {
        self.not_found_body = body.into();
        self
    }

    /// The source of the metrics; required.
    pub fn exposition(mut self, exposition: impl Exposition) -> Self {
        self.exposition = Some(Box::new(exposition));
        self
    }

    /// What the two probes answer. Default: 200 `{"status":"healthy"}` and `{"status":"live"}`.
    pub fn health(mut self, health: impl Health) -> Self {
        self.health = Box::new(health);
        self
    }

    /// The bounds. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The counters to count in. Default: the server's own.
    pub fn telemetry(mut self, telemetry: Arc<ServerTelemetry>) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// Checks everything, listens, and starts both threads; when it returns, connections are being
    /// taken. Costs two threads and one event loop.
    ///
    /// # Errors
    /// A [`StartError`] that names the setting at fault. Nothing runs then.
    pub fn spawn(self) -> Result<RunningServer, StartError> {
        let paths = [
            ("metrics", &self.metrics_path),
            ("health", &self.health_path),
            ("live", &self.live_path),
        ];
        validate_paths(&paths)?;
        self.limits.validate()?;
        let exposition = self.exposition.ok_or(StartError::ExpositionMissing)?;

        let listen_error = {
            let (address, setting) = (self.address, self.address_source);
            move |source| StartError::Listen { address, setting, source }
        };
        let bound = bind(self.address, self.limits.backlog)
            .and_then(|listener| listener.local_addr().map(|address| (listener, address)));
        let (listener, address) = bound.map_err(listen_error)?;

        let gatherer = Gatherer::spawn(exposition, Arc::clone(&self.telemetry))
            .map_err(|source| StartError::Thread { thread: GATHER_THREAD, source })?;
        let queue = gatherer.queue();
        let routes = Routes {
            metrics: self.metrics_path,
            health: self.health_path,
            live: self.live_path,
            not_found_body: self.not_found_body,
        };
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::sync_channel(1);
        let telemetry = Arc::clone(&self.telemetry);
        let network = move || {
            let prepared = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .and_then(|runtime| {
                    let _context = runtime.enter();
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    Ok((runtime, listener))
                });
            let (runtime, listener) = match prepared {
                Ok(prepared) => prepared,
                Err(error) => {
                    drop(started.send(Err(error)));
                    return 0;
                }
            };
            // `spawn` waits for this, so its receiver is there.
            drop(started.send(Ok(())));
            let scrapes = Scrapes::new(&self.limits);
            let responder = Responder {
                routes,
                health: self.health,
                gathers: queue,
                telemetry: Arc::clone(&telemetry),
                scrapes,
            };
            let responder = Rc::new(responder);
            let network = Network { listener, limits: self.limits, telemetry, responder };
            LocalSet::new().block_on(&runtime, network.run(stopped))
        };
        let spawned = thread::Builder::new().name(NETWORK_THREAD.into()).spawn(network);
        let thread_error = |source| StartError::Thread { thread: NETWORK_THREAD, source };
        let network = match spawned {
            Ok(network) => network,
            Err(source) => {
                gatherer.stop(Duration::MAX); // It has nothing to gather, so it ends at once.
                return Err(thread_error(source));
            }
        };
        let running = Running { stop, network, gatherer };
        let server = RunningServer::new(address, self.telemetry, running);
        match start.recv() {
            Ok(Ok(())) => Ok(server),
            // Dropping `server` joins both threads.
            Ok(Err(source)) => Err(thread_error(source)),
            Err(_disconnected) => {
                Err(thread_error(std::io::Error::other("the thread ended before it started")))
            }
        }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("address", &self.address)
            .field("address_source", &self.address_source)
            .field("metrics_path", &self.metrics_path)
            .field("health_path", &self.health_path)
            .field("live_path", &self.live_path)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

const NETWORK_THREAD: &str = "metrics-http"; // Linux cuts names at 15 bytes.

fn validate_paths(paths: &[(&'static str, &String)]) -> Result<(), StartError> {
    for (index, &(setting, path)) in paths.iter().enumerate() {
        if let Some(problem) = path_problem(path) {
            return Err(StartError::Path { setting, path: path.clone(), problem });
        }
        if let Some(&(first, _)) = paths[..index].iter().find(|(_, earlier)| *earlier == path) {
            return Err(StartError::PathTaken { first, second: setting, path: path.clone() });
        }
    }
    Ok(())
}

fn path_problem(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        return Some(format!("must start with '/': write {:?}", format!("/{path}")));
    }
    if let Some(mark) = path.chars().find(|mark| matches!(mark, '?' | '#')) {
        return Some(format!("must not contain '{mark}', which ends a path: leave it out"));
    }
    if PathAndQuery::try_from(path).is_err() {
        return Some("holds what no request can: percent-encode it, or leave it out".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_cannot_match_are_refused_with_a_reason() {
        for (path, reason) in [
            ("", "must start with '/'"),
            ("metrics", "write \"/metrics\""),
            ("/metrics?", "'?'"),
            ("/a#b", "'#'"),
            ("/a b", "percent-encode"),
            ("/a\n", "percent-encode"),
        ] {
            let problem = path_problem(path).expect(path);
            assert!(problem.contains(reason), "{problem}");
        }
        for path in ["/", "/metrics", "/a/b/", "/%41", "/~x", "//"] {
            assert_eq!(path_problem(path), None, "{path}");
        }
    }
}
