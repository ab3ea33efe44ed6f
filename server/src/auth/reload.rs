//! The configuration in force, and the thread that exchanges it when its files change.
//!
//! The thread looks at the files once a second. A valid file replaces the whole configuration at once: each request, and
//! each new connection, sees either the old or the new one. An invalid file leaves the old one in force; it is logged and
//! counted once a change.
//!
//! **A reload never opens a server that was closed**: a file that has no TLS, no users or no rate limit any more, or that
//! asks less of clients' certificates, is invalid. A file that is being rewritten is empty for a moment and then a part
//! of itself, and must not let clients in meanwhile. To open a server, restart it.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::config::WebConfig;
use super::problem::Problem;
use super::sources::Sources;
use crate::telemetry::ServerTelemetry;

pub(crate) const CONFIG_THREAD: &str = "metrics-config"; // Linux cuts names at 15 bytes.

/// A few `stat` calls a second cost nothing, and a new certificate is in use a second later.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The configuration in force. Both sides hold the lock for the time of copying a pointer.
pub(crate) struct Current(Mutex<Arc<WebConfig>>);

impl Current {
    pub(super) fn new(config: WebConfig) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Arc::new(config))))
    }

    pub(super) fn load(&self) -> Arc<WebConfig> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The TLS of new connections, if they speak it.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Option<Arc<rustls::ServerConfig>> {
        self.load().tls.as_ref().map(|tls| Arc::clone(&tls.config))
    }

    fn store(&self, config: WebConfig) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }
}

/// A configuration file that was read for the first time.
pub(crate) struct Loaded {
    file: PathBuf,
    sources: Sources,
    current: Arc<Current>,
}

impl Loaded {
    pub(crate) fn load(file: PathBuf) -> Result<Self, Problem> {
        let (sources, config) = WebConfig::load(&file);
        let current = Current::new(config?);
        Ok(Self { file, sources, current })
    }

    pub(crate) fn current(&self) -> &Arc<Current> {
        &self.current
    }

    /// The scheme of the server's URLs over TCP.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.current.load().has_tls() { "https" } else { "http" }
    }

    /// Starts to look for changes.
    pub(crate) fn watch(mut self, telemetry: Arc<ServerTelemetry>) -> io::Result<Watch> {
        let (stop, stopped) = channel();
        let thread = thread::Builder::new()
            .name(CONFIG_THREAD.into())
            .spawn(move || self.look(&stopped, &telemetry))?;
        Ok(Watch { stop: Some(stop), thread: Some(thread) })
    }

    fn look(&mut self, stopped: &Receiver<()>, telemetry: &ServerTelemetry) {
        while stopped.recv_timeout(LOOK_PERIOD) == Err(RecvTimeoutError::Timeout) {
            if self.sources.changed() {
                self.reload(telemetry);
            }
        }
        telemetry.config_unwatched();
    }

    fn reload(&mut self, telemetry: &ServerTelemetry) {
        let (sources, config) = WebConfig::load(&self.file);
        // Those of a failure too: it is tried again when one of its files has changed.
        self.sources = sources;
        let config = config.and_then(|config| match opens(&self.current.load(), &config) {
            Some(text) => Err(Problem::of_file(text).in_file(&self.file)),
            None => Ok(config),
        });
        telemetry.config_reloaded(config.is_ok());
        match config {
            Ok(config) => {
                self.current.store(config);
                tracing::info!(file = %self.file.display(), "the web configuration was reloaded");
            }
            Err(problem) => {
                tracing::error!(%problem, "the web configuration was not reloaded; the old one holds");
            }
        }
    }
}

/// Ends the thread when dropped.
pub(crate) struct Watch {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join()); // At most one reading of a few files away.
        }
    }
}

fn opens(old: &WebConfig, new: &WebConfig) -> Option<&'static str> {
    if old.has_tls() && !new.has_tls() {
        return Some("it asks for no TLS any more: restart the program to serve without");
    }
    if !old.users.is_empty() && new.users.is_empty() {
        return Some("it has no users any more: restart the program to serve everybody");
    }
    if old.rate.is_some() && new.rate.is_none() {
        return Some("it has no `rate_limit` any more: restart the program to serve without");
    }
    #[cfg(feature = "tls")]
    if let (Some(old), Some(new)) = (&old.tls, &new.tls) {
        return old.clients.loosened_by(&new.clients);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const USER: &str =
        "basic_auth_users:\n  a: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n";

    #[test]
    fn a_reload_takes_a_valid_file_and_never_opens_the_server() {
        let name = format!("reload-{}.yml", std::process::id());
        let file = std::env::temp_dir().join(name);
        let telemetry = ServerTelemetry::default();
        fs::write(&file, "").expect("a file");
        let mut loaded = Loaded::load(file.clone()).unwrap_or_else(|problem| panic!("{problem}"));
        let mut reload = |text: &str| {
            fs::write(&file, text).expect("a file");
            loaded.reload(&telemetry);
            let users = !loaded.current.load().users.is_empty();
            (users, telemetry.config_reloads(), telemetry.config_reload_errors())
        };
        assert_eq!(reload("# still nothing\n"), (false, 1, 0));
        assert_eq!(reload(USER), (true, 2, 0), "closing is allowed");
        assert_eq!(reload(""), (true, 2, 1), "opening is not");
        assert!(!telemetry.config_is_current());
        assert_eq!(reload("basic_auth_user: 1\n"), (true, 2, 2));
        assert_eq!(reload(USER), (true, 3, 2));
        let limited = format!("{USER}rate_limit: {{interval: 1s, burst: 9}}\n");
        assert_eq!(reload(&limited), (true, 4, 2));
        assert_eq!(reload(USER), (true, 4, 3), "without the limit");
        let other = limited.replace("9", "99");
        assert_eq!(reload(&other), (true, 5, 3), "another limit");
        assert!(telemetry.config_is_current());
        fs::remove_file(&file).expect("it was there");
        loaded.reload(&telemetry);
        assert!(!loaded.current.load().users.is_empty(), "nor is a file that went");
    }

    #[test]
    fn a_server_that_ends_with_a_stale_file_leaves_telemetry_as_it_found_it() {
        let name = format!("reload-end-{}.yml", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, "").expect("a file");
        let loaded = Loaded::load(file.clone()).unwrap_or_else(|problem| panic!("{problem}"));
        let telemetry = Arc::new(ServerTelemetry::default());
        telemetry.config_reloaded(false);
        drop(loaded.watch(Arc::clone(&telemetry)).expect("a thread"));
        assert!(telemetry.config_is_current());
        fs::remove_file(&file).expect("it was there");
    }
}
