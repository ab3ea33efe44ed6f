//! The start: every setting is checked, the sockets listen, and two threads begin.
//!
//! The network thread has its own single-threaded event loop and the gather thread has none, so a server can be started
//! from anywhere: from `main`, from inside any async runtime, from a host that has no runtime at all. Everything that can
//! fail, fails in [`ServerBuilder::spawn`], and what was begun by then is undone.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

#[cfg(feature = "tls")]
use crate::auth::Current;
use crate::auth::Loaded;
use crate::error::StartError;
use crate::http::health::Health;
use crate::http::respond::{Responder, Routes};
use crate::http::serve::{http_builder, serve};
use crate::http::static_page::StaticPage;
use crate::limits::Limits;
use crate::net::accept::AcceptLoop;
use crate::net::descriptors::DescriptorReserve;
#[cfg(feature = "tls")]
use crate::net::listener::TlsSource;
use crate::net::listener::{Bound, Listener, bind};
#[cfg(feature = "tls")]
use crate::net::tls::Handshakes;
#[cfg(unix)]
use crate::net::unix::UnixBound;
use crate::running::{Running, RunningServer};
use crate::scrape::gather::GATHER_THREAD;
use crate::scrape::service::ScrapeService;
use crate::server::ServerBuilder;
use crate::telemetry::ServerTelemetry;

impl ServerBuilder {
    /// Checks everything, listens, and starts both threads; when it returns, connections are being
    /// taken. Costs two threads and one event loop.
    ///
    /// # Errors
    /// A [`StartError`] that names the setting at fault. Nothing runs then.
    pub fn spawn(mut self) -> Result<RunningServer, StartError> {
        self.validate_paths()?;
        self.limits.validate()?;
        let start_gatherer = self.gatherer.take().ok_or(StartError::ExpositionMissing)?;
        let web = self.auth.load()?;
        let (bound, address) = self.bind()?;

        // A failure from here on leaves threads that end by themselves.
        let scheme = web.as_ref().map_or("http", Loaded::scheme);
        #[cfg(feature = "tls")]
        let tls = web.as_ref().map(|loaded| Arc::clone(loaded.current()));
        let protect = |loaded| self.auth.protect(loaded, &self.limits, &self.telemetry);
        let (guard, watch) = web.map(protect).transpose()?.unzip();
        let telemetry = Arc::clone(&self.telemetry);
        let gatherer = start_gatherer(self.compression.clone(), Arc::clone(&telemetry))
            .map_err(|source| StartError::Thread { thread: GATHER_THREAD, source })?;
        let scrapes = ScrapeService::new(
            gatherer.queue(),
            self.compression.clone(),
            &self.limits,
            Arc::clone(&telemetry),
        );
        let limits = self.limits.clone();
        let cors = std::mem::take(&mut self.cors_origins);
        let (routes, health) = self.routes();
        let responder =
            Responder { routes, health, scrapes, telemetry: Arc::clone(&telemetry), guard, cors };
        let network = NetworkThread {
            bound,
            reserve: DescriptorReserve::new(), // While there surely is a descriptor.
            responder,
            limits,
            telemetry: Arc::clone(&telemetry),
            #[cfg(feature = "tls")]
            tls,
        };
        match network.spawn() {
            Ok((network, stop)) => {
                let running = Running { stop, network, gatherer, _watch: watch };
                Ok(RunningServer::new(address, scheme, telemetry, running))
            }
            Err(source) => {
                gatherer.stop(Duration::MAX); // It has nothing to gather, so it ends at once.
                Err(StartError::Thread { thread: NETWORK_THREAD, source })
            }
        }
    }

    fn validate_paths(&self) -> Result<(), StartError> {
        let mut paths = vec![
            ("metrics", self.metrics_path.as_str()),
            ("health", &self.health_path),
            ("live", &self.live_path),
        ];
        if self.landing_page.is_some() {
            paths.push(("landing page's", LANDING_PATH));
        }
        paths.extend(self.pages.iter().map(|page| ("page's", page.path())));
        validate_paths(&paths)
    }

    /// Listens on every socket that was asked for; returns the TCP socket's address too.
    fn bind(&mut self) -> Result<(Bound, SocketAddr), StartError> {
        let bound = bind(self.address, self.limits.backlog)
            .and_then(|listener| listener.local_addr().map(|address| (listener, address)));
        let (tcp, address) = bound.map_err(|source| StartError::Listen {
            address: self.address,
            setting: self.address_source.take(),
            source,
        })?;
        #[cfg(unix)]
        let unix = match self.unix_socket.take() {
            Some(path) => {
                let bound = UnixBound::bind(&path, self.unix_socket_mode, self.limits.backlog);
                Some(bound.map_err(|source| StartError::UnixSocket { path, source })?)
            }
            None => None,
        };
        let bound = Bound {
            tcp,
            #[cfg(unix)]
            unix,
        };
        Ok((bound, address))
    }

    fn routes(self) -> (Routes, Box<dyn Health>) {
        let mut links = vec![&*self.metrics_path, &self.health_path, &self.live_path];
        links.extend(self.pages.iter().filter(|page| page.is_linked()).map(StaticPage::path));
        let landing = self.landing_page.map(|page| page.render(&links));
        let routes = Routes {
            metrics: self.metrics_path,
            health: self.health_path,
            live: self.live_path,
            landing: landing.map(|page| (LANDING_PATH, page)),
            pages: self.pages,
            not_found_body: self.not_found_body,
        };
        (routes, self.health)
    }
}

/// All that the network thread is made of.
struct NetworkThread {
    bound: Bound,
    reserve: DescriptorReserve,
    responder: Responder,
    limits: Limits,
    telemetry: Arc<ServerTelemetry>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<Current>>,
}

impl NetworkThread {
    /// Starts the thread; when it returns, connections are being taken. The thread returns how many connections were cut.
    fn spawn(self) -> io::Result<(JoinHandle<usize>, oneshot::Sender<Duration>)> {
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(NETWORK_THREAD.into())
            .spawn(move || self.run(stopped, &started))?;
        let ended = || io::Error::other("the thread ended before it started");
        start.recv().unwrap_or_else(|_disconnected| Err(ended()))?;
        Ok((thread, stop))
    }

    fn run(
        self,
        stopped: oneshot::Receiver<Duration>,
        started: &mpsc::SyncSender<io::Result<()>>,
    ) -> usize {
        let Self { bound, reserve, responder, limits, telemetry, .. } = self;
        #[cfg(feature = "tls")]
        let tls = self.tls.map(|current| TlsSource {
            config: Box::new(move || current.tls()),
            handshakes: Handshakes::new(limits.handshakes, Arc::clone(&telemetry)),
        });
        let opened = open(
            bound,
            #[cfg(feature = "tls")]
            tls,
        );
        // `spawn` waits for this, so its receiver is there.
        let (runtime, listener) = match opened {
            Ok(opened) => {
                drop(started.send(Ok(())));
                opened
            }
            Err(error) => {
                drop(started.send(Err(error)));
                return 0;
            }
        };
        let (http, responder) = (http_builder(&limits), Rc::new(responder));
        let accept_loop =
            AcceptLoop::new(listener, reserve, limits, telemetry, move |accepted, admission| {
                serve(accepted, admission, http.clone(), Rc::clone(&responder))
            });
        LocalSet::new().block_on(&runtime, accept_loop.run(stopped))
    }
}

/// Makes the event loop of this thread and ties the sockets to it.
fn open(
    bound: Bound,
    #[cfg(feature = "tls")] tls: Option<TlsSource>,
) -> io::Result<(Runtime, Listener)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _context = runtime.enter();
    let listener = bound.open(
        #[cfg(feature = "tls")]
        tls,
    )?;
    drop(_context);
    Ok((runtime, listener))
}

const LANDING_PATH: &str = "/";
const NETWORK_THREAD: &str = "metrics-http"; // Linux cuts names at 15 bytes.

fn validate_paths(paths: &[(&'static str, &str)]) -> Result<(), StartError> {
    for (index, &(setting, path)) in paths.iter().enumerate() {
        if let Some(problem) = path_problem(path) {
            return Err(StartError::Path { setting, path: path.to_owned(), problem });
        }
        if let Some(&(first, _)) = paths[..index].iter().find(|&&(_, earlier)| earlier == path) {
            return Err(StartError::PathTaken { first, second: setting, path: path.to_owned() });
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
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Some("has a segment '.' or '..', which clients leave out of a path".into());
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
            ("/..", "segment"),
            ("/a/./b", "segment"),
        ] {
            let problem = path_problem(path).expect(path);
            assert!(problem.contains(reason), "{problem}");
        }
        for path in ["/", "/metrics", "/a/b/", "/%41", "/~x", "//", "/...", "/.well-known"] {
            assert_eq!(path_problem(path), None, "{path}");
        }
    }
}
