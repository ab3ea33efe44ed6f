//! The start of a server's web configuration: read once, then in force with a guard and a watch.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::guard::Guard;
use super::passwords::{PASSWORD_THREAD, PasswordChecker, WAITING_MAX};
use super::reload::{CONFIG_THREAD, Loaded, Watch};
use crate::error::StartError;
use crate::limits::Limits;
use crate::telemetry::ServerTelemetry;

/// The settings of a server that concern its web configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthSettings {
    pub(crate) file: Option<PathBuf>,
    pub(crate) probes_pass: bool,
}

impl AuthSettings {
    /// Reads the web configuration file, if one is set.
    pub(crate) fn load(&self) -> Result<Option<Loaded>, StartError> {
        let loaded = self.file.clone().map(Loaded::load).transpose();
        loaded.map_err(|problem| StartError::WebConfig { problem: problem.to_string() })
    }

    /// Starts the threads of a configuration that was read: one computes passwords, one looks for changes.
    pub(crate) fn protect(
        &self,
        loaded: Loaded,
        limits: &Limits,
        telemetry: &Arc<ServerTelemetry>,
    ) -> Result<(Guard, Watch), StartError> {
        let thread_error = |thread| move |source| StartError::Thread { thread, source };
        let passwords = PasswordChecker::spawn(waiting_max(limits), Arc::clone(telemetry))
            .map_err(thread_error(PASSWORD_THREAD))?;
        let wait: Duration = limits.scrape_deadline;
        let current = Arc::clone(loaded.current());
        let guard = Guard::new(current, self.probes_pass, passwords, wait, Arc::clone(telemetry));
        let watch = loaded.watch(Arc::clone(telemetry)).map_err(thread_error(CONFIG_THREAD))?;
        Ok((guard, watch))
    }
}

/// A quarter of the connections, so that guesses cannot take all of them.
fn waiting_max(limits: &Limits) -> usize {
    (limits.connections / 4).min(WAITING_MAX)
}
