//! The system server of a worker process: `/metrics`, `/health` and `/live` on `DYN_SYSTEM_PORT`.
//!
//! It has a thread of its own, so it answers whatever the program around it does, async or not, and what it
//! knows about itself is on the page that it serves.

use crate::environment::SystemEnvironment;
use crate::error::MetricsError;
use crate::exposition::MetricsExposition;
use crate::health::ProbeAnswer;
use crate::hierarchy::DistributedRuntime;
use dynamo_metrics_core::{Opts, Registry};
use dynamo_metrics_server::http::StatusCode;
use dynamo_metrics_server::{
    Health, HealthAnswer, Limit, RunningServer, Server, ServerBuilder, ServerTelemetry, StartError,
};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use thiserror::Error;

/// Why the system server did not start.
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
        /// What the resolver says.
        reason: String,
    },
    /// The server's own metrics could not be made.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The socket could not be had, or a path is not one.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl DistributedRuntime {
    /// Starts the system server that the environment asks for; `None` when `DYN_SYSTEM_PORT` says none.
    /// Dropping what is returned stops it.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, Environment, RuntimeOptions};
    ///
    /// let port = |name: &str| (name == "DYN_SYSTEM_PORT").then(|| "0".into()); // any free port
    /// let (environment, _warnings) = Environment::read(port)?;
    /// let runtime = DistributedRuntime::with(RuntimeOptions::from(&environment.system))?;
    /// let server = runtime.start_system_server(&environment.system)?.expect("a port was given");
    /// assert_ne!(server.local_addr().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The host is not an address, the port is taken (the error names the variable), two paths are equal, or the
    /// web configuration cannot be taken.
    pub fn start_system_server(
        &self,
        environment: &SystemEnvironment,
    ) -> Result<Option<RunningServer>, SystemServerError> {
        match self.system_server_builder(environment)? {
            Some(builder) => Ok(Some(builder.spawn()?)),
            None => Ok(None),
        }
    }

    /// The server that [`start_system_server`](Self::start_system_server) would start, with everything set: for a
    /// program that changes something of it, as its limits, a landing page or a Unix socket, and then starts it
    /// itself. `None` when `DYN_SYSTEM_PORT` says none.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, Environment, RuntimeOptions};
    /// use dynamo_metrics_server::{LandingPage, Limits};
    ///
    /// let port = |name: &str| (name == "DYN_SYSTEM_PORT").then(|| "0".into());
    /// let (environment, _warnings) = Environment::read(port)?;
    /// let runtime = DistributedRuntime::with(RuntimeOptions::from(&environment.system))?;
    /// let builder = runtime.system_server_builder(&environment.system)?.expect("a port was given");
    /// let mut limits = Limits::default();
    /// limits.connections = 256;
    /// let server = builder.limits(limits).landing_page(LandingPage::new("my worker", "1.0")).spawn()?;
    /// assert_ne!(server.local_addr().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The host is not an address, or a builder was made of this runtime already: the registry shows one system
    /// server's own metrics.
    pub fn system_server_builder(
        &self,
        environment: &SystemEnvironment,
    ) -> Result<Option<ServerBuilder>, SystemServerError> {
        let Some(port) = environment.port else { return Ok(None) };
        let telemetry = Arc::new(ServerTelemetry::default());
        register_telemetry(self.registry(), "system", &telemetry)?;
        let mut server = Server::builder()
            .address(resolve(&environment.host, port)?)
            .address_source("DYN_SYSTEM_PORT")
            .health_path(environment.health_path.as_str())
            .live_path(environment.live_path.as_str())
            .not_found_body("Route not found")
            .exposition(MetricsExposition::of_runtime(self))
            .health(SystemProbes(self.clone()))
            .telemetry(telemetry)
            .probes_without_auth(environment.probes_without_auth);
        if let Some(file) = &environment.web_config_file {
            server = server.web_config_file(file);
        }
        Ok(Some(server))
    }
}

/// Shows a server's telemetry in a registry, as `dynamo_metrics_server_*` with the label `server`.
///
/// # Errors
/// The registry shows a server of that name already.
pub fn register_telemetry(
    registry: &Registry,
    server: &str,
    telemetry: &Arc<ServerTelemetry>,
) -> Result<(), MetricsError> {
    register_mounted_telemetry(registry, server, telemetry)?;
    let opts = |name: &str, help: &str| opts(server, name, help);
    let counter = |name, help, value: fn(&ServerTelemetry) -> u64| {
        let telemetry = Arc::clone(telemetry);
        registry.counter_callback(opts(name, help), move || value(&telemetry))
    };
    counter("connections_total", "Connections accepted.", ServerTelemetry::connections_accepted)?;
    counter("password_checks_total", "bcrypt computations.", ServerTelemetry::password_checks)?;
    counter(
        "config_reloads_total",
        "Changes of the web configuration that were taken.",
        ServerTelemetry::config_reloads,
    )?;
    counter(
        "config_reload_errors_total",
        "Changes of the web configuration that were not taken.",
        ServerTelemetry::config_reload_errors,
    )?;
    let current = Arc::clone(telemetry);
    registry.gauge_callback(
        opts(
            "config_last_reload_successful",
            "Whether the web configuration is that of its files.",
        ),
        move || f64::from(u8::from(current.config_is_current())),
    )?;
    let open = Arc::clone(telemetry);
    registry.gauge_callback(opts("open_connections", "Connections open now."), move || {
        open.connections_open() as f64
    })?;
    for &limit in Limit::ALL.iter().filter(|limit| !OF_SCRAPES.contains(limit)) {
        limit_hits(registry, server, telemetry, limit)?;
    }
    Ok(())
}

/// Shows what a [`MetricsService`](dynamo_metrics_server::MetricsService) counts, in the same families: of connections
/// and passwords it knows nothing, so nothing is claimed of them.
///
/// ```
/// use dynamo_metrics::{DistributedRuntime, MetricsExposition, register_mounted_telemetry};
/// use dynamo_metrics_server::{Server, bytes::BytesMut};
///
/// let runtime = DistributedRuntime::new()?;
/// let exposition = MetricsExposition::of_runtime(&runtime);
/// let service = Server::builder().exposition(exposition.clone()).mount()?;
/// register_mounted_telemetry(runtime.registry(), "frontend", service.telemetry())?;
/// let mut page = BytesMut::new();
/// exposition.write(&mut page);
/// let gathers = "dynamo_metrics_server_gathers_total{server=\"frontend\"} 0\n";
/// assert!(std::str::from_utf8(&page)?.contains(gathers));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The registry shows a server of that name already.
pub fn register_mounted_telemetry(
    registry: &Registry,
    server: &str,
    telemetry: &Arc<ServerTelemetry>,
) -> Result<(), MetricsError> {
    let opts = |name: &str, help: &str| opts(server, name, help);
    let counter = |name, help, value: fn(&ServerTelemetry) -> u64| {
        let telemetry = Arc::clone(telemetry);
        registry.counter_callback(opts(name, help), move || value(&telemetry))
    };
    counter(
        "batches_total",
        "Collections, each shared by all scrapes that waited for it.",
        ServerTelemetry::batches,
    )?;
    counter("gathers_total", "Expositions written.", ServerTelemetry::gathers)?;
    counter(
        "shared_scrapes_total",
        "Scrapes answered with an exposition that another one was waiting for.",
        ServerTelemetry::scrapes_shared,
    )?;
    counter("gather_errors_total", "Expositions that failed.", ServerTelemetry::gather_errors)?;
    counter("gather_panics_total", "Expositions that panicked.", ServerTelemetry::gather_panics)?;
    counter("compressions_total", "Bodies compressed.", ServerTelemetry::compressions)?;
    counter("compressed_bytes_total", "Bytes of compressed bodies, as sent.", |telemetry| {
        telemetry.compression_bytes().1
    })?;
    counter(
        "uncompressed_bytes_total",
        "Bytes of compressed bodies, before they were.",
        |telemetry| telemetry.compression_bytes().0,
    )?;
    for class in [2u16, 3, 4, 5] {
        let telemetry = Arc::clone(telemetry);
        registry.counter_callback(
            opts("responses_total", "Responses by class of status.")
                .const_label("class", format!("{class}xx")),
            move || telemetry.responses(class),
        )?;
    }
    for &limit in OF_SCRAPES {
        limit_hits(registry, server, telemetry, limit)?;
    }
    Ok(())
}

/// The limits that a mounted service meets.
const OF_SCRAPES: &[Limit] = &[Limit::Scrapes, Limit::ScrapeDeadline];

fn opts(server: &str, name: &str, help: &str) -> Opts {
    Opts::new(format!("dynamo_metrics_server_{name}"), help).const_label("server", server)
}

fn limit_hits(
    registry: &Registry,
    server: &str,
    telemetry: &Arc<ServerTelemetry>,
    limit: Limit,
) -> Result<(), MetricsError> {
    let telemetry = Arc::clone(telemetry);
    let opts = opts(server, "limit_hits_total", "How often a limit was met.");
    registry.counter_callback(opts.const_label("limit", limit.as_str()), move || {
        telemetry.limit_hits(limit)
    })?;
    Ok(())
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

/// `/health` and `/live` answer the same, as Dynamo's system server does.
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
