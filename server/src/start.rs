//! The start: every setting is checked, the sockets listen, and two threads begin.
//!
//! The network thread has its own single-threaded event loop and the gather thread has none, so a
//! server can be started from anywhere: from `main`, from inside any async runtime, from a host that
//! has no runtime at all. Everything that can fail, fails in [`ServerBuilder::spawn`], and what was
//! begun by then is undone.

use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::door::{Door, bind};
use crate::error::StartError;
use crate::gather::{GATHER_THREAD, Gatherer};
use crate::listen::Network;
use crate::reserve::Reserve;
use crate::respond::{Responder, Routes};
use crate::running::{Running, RunningServer};
use crate::scraping::Scraping;
use crate::server::ServerBuilder;
#[cfg(feature = "tls")]
use crate::tls_stream::Handshakes;
#[cfg(unix)]
use crate::unix::UnixBound;
use crate::web::{self, Guard, Loaded, PasswordChecker};

impl ServerBuilder {
    /// Checks everything, listens, and starts both threads; when it returns, connections are being
    /// taken. Costs two threads and one event loop.
    ///
    /// # Errors
    /// A [`StartError`] that names the setting at fault. Nothing runs then.
    pub fn spawn(self) -> Result<RunningServer, StartError> {
        let mut paths = vec![
            ("metrics", self.metrics_path.as_str()),
            ("health", &self.health_path),
            ("live", &self.live_path),
        ];
        if self.landing_page.is_some() {
            paths.push(("landing page's", LANDING_PATH));
        }
        validate_paths(&paths)?;
        self.limits.validate()?;
        let exposition = self.exposition.ok_or(StartError::ExpositionMissing)?;

        let web = self
            .web_config_file
            .map(Loaded::load)
            .transpose()
            .map_err(|problem| StartError::WebConfig { problem: problem.to_string() })?;
        let has_tls = web.as_ref().is_some_and(|loaded| loaded.current().load().has_tls());
        let scheme = if has_tls { "https" } else { "http" };
        let listen_error = {
            let (address, setting) = (self.address, self.address_source);
            move |source| StartError::Listen { address, setting, source }
        };
        let bound = bind(self.address, self.limits.backlog)
            .and_then(|listener| listener.local_addr().map(|address| (listener, address)));
        let (listener, address) = bound.map_err(listen_error)?;

        #[cfg(unix)]
        let unix = match self.unix_socket {
            Some(path) => {
                let bound = UnixBound::bind(&path, self.unix_socket_mode, self.limits.backlog);
                Some(bound.map_err(|source| StartError::UnixSocket { path, source })?)
            }
            None => None,
        };

        // What fails from here on leaves threads that end by themselves.
        #[cfg(feature = "tls")]
        let current = web.as_ref().map(|loaded| Arc::clone(loaded.current()));
        let (mut guard, mut watch) = (None, None);
        if let Some(loaded) = web {
            let waiting = (self.limits.connections / 4).min(web::WAITING_MAX);
            let passwords = PasswordChecker::spawn(waiting, Arc::clone(&self.telemetry))
                .map_err(|source| StartError::Thread { thread: web::PASSWORD_THREAD, source })?;
            guard = Some(Guard::new(
                Arc::clone(loaded.current()),
                self.probes_without_auth,
                passwords,
                self.limits.scrape_deadline,
            ));
            let watched = loaded.watch(Arc::clone(&self.telemetry));
            watch = Some(
                watched
                    .map_err(|source| StartError::Thread { thread: web::CONFIG_THREAD, source })?,
            );
        }

        let gatherer =
            Gatherer::spawn(exposition, self.compression.clone(), Arc::clone(&self.telemetry))
                .map_err(|source| StartError::Thread { thread: GATHER_THREAD, source })?;
        let queue = gatherer.queue();
        let landing = self
            .landing_page
            .map(|page| page.render(&[&self.metrics_path, &self.health_path, &self.live_path]));
        let routes = Routes {
            metrics: self.metrics_path,
            health: self.health_path,
            live: self.live_path,
            landing: landing.map(|page| (LANDING_PATH, page)),
            not_found_body: self.not_found_body,
        };
        let reserve = Reserve::new(); // While there surely is a descriptor.
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::sync_channel(1);
        let telemetry = Arc::clone(&self.telemetry);
        let network = move || {
            let prepared = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .and_then(|runtime| {
                    let _context = runtime.enter();
                    #[cfg(unix)]
                    let door = Door::open(listener, unix)?;
                    #[cfg(not(unix))]
                    let door = Door::open(listener)?;
                    #[cfg(feature = "tls")]
                    let door = {
                        let (rate, telemetry) = (self.limits.handshakes, Arc::clone(&telemetry));
                        door.with_web(current, Handshakes::new(rate, telemetry))
                    };
                    Ok((runtime, door))
                });
            let (runtime, door) = match prepared {
                Ok(prepared) => prepared,
                Err(error) => {
                    drop(started.send(Err(error)));
                    return 0;
                }
            };
            // `spawn` waits for this, so its receiver is there.
            drop(started.send(Ok(())));
            let scraping =
                Scraping::new(queue, self.compression, &self.limits, Arc::clone(&telemetry));
            let responder = Responder {
                routes,
                health: self.health,
                scraping,
                telemetry: Arc::clone(&telemetry),
                guard,
            };
            let responder = Rc::new(responder);
            let network = Network { door, reserve, limits: self.limits, telemetry, responder };
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
        let running = Running { stop, network, gatherer, _watch: watch };
        let server = RunningServer::new(address, scheme, self.telemetry, running);
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
