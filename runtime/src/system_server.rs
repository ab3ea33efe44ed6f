//! The system server of a worker process: `/metrics`, `/health` and `/live` on `DYN_SYSTEM_PORT`.
//!
//! It runs on threads of its own, so it answers whatever the program does, async or not. Its own metrics are on the page
//! that it serves.

use crate::environment::SystemEnvironment;
use crate::error::MetricsError;
use crate::health::ProbeAnswer;
use crate::hierarchy::DistributedRuntime;
use dynamo_metrics_exporter::register_telemetry;
use dynamo_metrics_server::http::StatusCode;
use dynamo_metrics_server::{
    Health, HealthAnswer, RunningServer, Server, ServerBuilder, ServerTelemetry, StartError,
};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use thiserror::Error;

/// The reason why the system server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SystemServerError {
    /// `DYN_SYSTEM_HOST` is not an address of this machine.
    #[error(
        "DYN_SYSTEM_HOST=\"{host}\" is not an address to listen on: {reason}; use 0.0.0.0 for all addresses or 127.0.0.1 for this machine alone"
    )]
    Host {
        /// The value.
        host: String,
        /// The resolver's message.
        reason: String,
    },
    /// `DYN_METRICS_WEB_CONFIG_FILE` is set, and the program cannot read such a file.
    #[cfg(not(feature = "auth"))]
    #[error(
        "DYN_METRICS_WEB_CONFIG_FILE is set, and this program was built without it: build `dynamo-metrics` with the feature `auth`, or unset the variable"
    )]
    WithoutAuth,
    /// The server's own metrics could not be made.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The address cannot be listened on, or a path is not valid.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl DistributedRuntime {
    /// Starts the system server of the environment; returns `None` where `DYN_SYSTEM_PORT` is -1. The server stops when
    /// the returned value is dropped. Another one may follow a server that stopped or did not start.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, Environment, RuntimeOptions};
    ///
    /// let port = |name: &str| (name == "DYN_SYSTEM_PORT").then(|| "0".into()); // any free port
    /// let (environment, _warnings) = Environment::read(port)?;
    /// let runtime = DistributedRuntime::with_options(RuntimeOptions::from(&environment.system))?;
    /// let server = runtime.start_system_server(&environment.system)?.expect("a port was given");
    /// assert_ne!(server.local_addr().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The host is not an address, the port is in use (the error names the variable), two paths are equal, or the
    /// web configuration is not valid.
    pub fn start_system_server(
        &self,
        environment: &SystemEnvironment,
    ) -> Result<Option<RunningServer>, SystemServerError> {
        match self.system_server_builder(environment)? {
            Some(builder) => Ok(Some(builder.spawn()?)),
            None => Ok(None),
        }
    }

    /// Returns the builder of the server that [`start_system_server`](Self::start_system_server) starts: for a program
    /// that changes its settings, as limits, a landing page or a Unix socket, and then starts it. `None` where
    /// `DYN_SYSTEM_PORT` is -1. A runtime makes any number of them, one after another or for several addresses; the metrics of its
    /// servers are one, which goes on counting.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, Environment, RuntimeOptions};
    /// use dynamo_metrics_server::{LandingPage, Limits};
    ///
    /// let port = |name: &str| (name == "DYN_SYSTEM_PORT").then(|| "0".into());
    /// let (environment, _warnings) = Environment::read(port)?;
    /// let runtime = DistributedRuntime::with_options(RuntimeOptions::from(&environment.system))?;
    /// let builder = runtime.system_server_builder(&environment.system)?.expect("a port was given");
    /// let mut limits = Limits::default();
    /// limits.connections = 256;
    /// let server = builder.limits(limits).landing_page(LandingPage::new("my worker", "1.0")).spawn()?;
    /// assert_ne!(server.local_addr().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The host is not an address, or the program registered metrics of a server named `system` itself.
    pub fn system_server_builder(
        &self,
        environment: &SystemEnvironment,
    ) -> Result<Option<ServerBuilder>, SystemServerError> {
        let Some(port) = environment.port else { return Ok(None) };
        let address = resolve(&environment.host, port)?;
        let server = Server::builder()
            .address(address)
            .address_source("DYN_SYSTEM_PORT")
            .health_path(environment.health_path.as_str())
            .live_path(environment.live_path.as_str())
            .not_found_body("Route not found")
            .cors_origins(environment.cors_origins.clone())
            .exposition(self.exposition())
            .health(SystemProbes(self.clone()))
            .telemetry(self.system_telemetry()?);
        with_web_config(server, environment).map(Some)
    }

    /// Returns the telemetry of the runtime's system servers: registered with the first one, and kept, because the registry takes the
    /// metrics of a server once, and a server may not start or may stop.
    fn system_telemetry(&self) -> Result<Arc<ServerTelemetry>, MetricsError> {
        let mut kept = self.kept_telemetry();
        if let Some(telemetry) = &*kept {
            return Ok(Arc::clone(telemetry));
        }
        let telemetry = Arc::new(ServerTelemetry::default());
        register_telemetry(self.registry(), "system", &telemetry)?;
        *kept = Some(Arc::clone(&telemetry));
        Ok(telemetry)
    }
}

#[cfg(feature = "auth")]
fn with_web_config(
    server: ServerBuilder,
    environment: &SystemEnvironment,
) -> Result<ServerBuilder, SystemServerError> {
    let server = server.probes_without_auth(environment.probes_without_auth);
    Ok(match &environment.web_config_file {
        Some(file) => server.web_config_file(file),
        None => server,
    })
}

#[cfg(not(feature = "auth"))]
fn with_web_config(
    server: ServerBuilder,
    environment: &SystemEnvironment,
) -> Result<ServerBuilder, SystemServerError> {
    match &environment.web_config_file {
        Some(_) => Err(SystemServerError::WithoutAuth),
        None => Ok(server),
    }
}

impl From<ProbeAnswer> for HealthAnswer {
    fn from(answer: ProbeAnswer) -> Self {
        Self {
            status: StatusCode::from_u16(answer.status)
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            content_type: answer.content_type,
            body: answer.body.into(),
        }
    }
}

/// The probes of the system server: `/health` and `/live` have the same answer, as in Dynamo.
struct SystemProbes(DistributedRuntime);

impl Health for SystemProbes {
    fn health(&self) -> HealthAnswer {
        self.0.health_answer().into()
    }

    fn live(&self) -> HealthAnswer {
        self.0.health_answer().into()
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, SystemServerError> {
    let error = |reason: String| SystemServerError::Host { host: host.into(), reason };
    let mut addresses = (host, port).to_socket_addrs().map_err(|e| error(e.to_string()))?;
    addresses.next().ok_or_else(|| error("the name has no address".into()))
}
