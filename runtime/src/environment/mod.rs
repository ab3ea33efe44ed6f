//! The process environment, read once: every variable that Dynamo's documentation names.
//!
//! A port, path or status that is not valid is an **error**: the process would listen somewhere else than its operator
//! expects. Bounds and prefixes that are not valid are **warnings**: the default is used, and the warning says so. An
//! empty value counts as unset. [`VARIABLES`] lists all of them.

mod bounds;
mod frontend_config;
mod read;
mod values;

use crate::frontend::FrontendBuckets;
use crate::health::{HealthChecks, HealthStatus};
use crate::names::name_prefix;
use dynamo_metrics_server::CorsOrigins;
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

/// A variable: its name, its default and its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// The value that is used when it is not set.
    pub default: &'static str,
    /// Its use.
    pub meaning: &'static str,
}

macro_rules! variables {
    (
        $($name:literal, $default:literal, $meaning:literal;)*
        buckets: $($set:literal, $min:literal, $max:literal, $count:literal, $of:literal;)*
    ) => {
        /// Every variable that is read.
        ///
        /// ```
        /// use dynamo_metrics::environment::VARIABLES;
        ///
        /// let port = VARIABLES.iter().find(|variable| variable.name == "DYN_SYSTEM_PORT").unwrap();
        /// assert_eq!(port.default, "-1");
        /// ```
        pub const VARIABLES: &[Variable] = &[
            $(Variable { name: $name, default: $default, meaning: $meaning },)*
            $(
                variables!(@bound $set, "_MIN", $min, concat!("least ", $of, " that its buckets tell apart")),
                variables!(@bound $set, "_MAX", $max, concat!("last bucket bound of ", $of)),
                variables!(@bound $set, "_COUNT", $count, concat!("bucket bounds of ", $of, ", 0 included")),
                variables!(@doubled $set, "_MIN"),
                variables!(@doubled $set, "_MAX"),
                variables!(@doubled $set, "_COUNT"),
            )*
        ];
    };
    (@bound $set:literal, $part:literal, $default:literal, $meaning:expr) => {
        Variable { name: concat!("DYN_METRICS_", $set, $part), default: $default, meaning: $meaning }
    };
    (@doubled $set:literal, $part:literal) => {
        Variable {
            name: concat!("DYN_HISTOGRAM_DYN_METRICS_", $set, $part),
            default: "",
            meaning: concat!("what Dynamo 0.9.0 reads instead of DYN_METRICS_", $set, $part, ", which comes first"),
        }
    };
}

variables! {
    "DYN_SYSTEM_PORT", "-1", "port of the system server of workers: -1 for none, 0 for any that is free";
    "DYN_SYSTEM_HOST", "0.0.0.0", "address or host name that the system server listens on";
    "DYN_SYSTEM_HEALTH_PATH", "/health", "path of the system server's health probe";
    "DYN_SYSTEM_LIVE_PATH", "/live", "path of the system server's liveness probe, which answers as health does";
    "DYN_SYSTEM_STARTING_HEALTH_STATUS", "notready", "health until an endpoint has a say: ready or notready";
    "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", "", "JSON list of endpoints that must all be ready, as [\"generate\"]";
    "DYN_HEALTH_CHECK_ENABLED", "false", "whether endpoints are sent canary requests: true or false";
    "DYN_CANARY_WAIT_TIME", "10", "seconds without a good request after which an endpoint is sent one";
    "DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "3", "seconds in which a canary must be answered";
    "DYN_SYSTEM_ENABLED", "", "deprecated and without effect: DYN_SYSTEM_PORT turns the server on";
    "DYN_METRICS_WEB_CONFIG_FILE", "", "web configuration of the system server: TLS, passwords, headers, a rate limit; see SECURITY.md";
    "DYN_METRICS_PROBES_WITHOUT_AUTH", "false", "true lets the system server's health and liveness probes pass without a password";
    "DYN_METRICS_CORS_ORIGINS", "", "origins whose pages may read metrics, probes and pages of both ports in a browser, as https://grafana.example,http://localhost:3000; * stands for all";
    "DYN_METRICS_DETAILS", "false", "true prints all of dynamo_metrics_*: traffic of the metrics servers, and limits and errors that are 0";
    "DYN_HTTP_PORT", "8000", "port of the frontend, 0 for any that is free";
    "DYN_HTTP_SVC_METRICS_PATH", "/metrics", "path of the frontend's metrics";
    "DYN_HTTP_SVC_HEALTH_PATH", "/health", "path of the frontend's health probe";
    "DYN_HTTP_SVC_LIVE_PATH", "/live", "path of the frontend's liveness probe";
    "DYN_METRICS_PREFIX", "dynamo_frontend", "what names of the frontend's metrics begin with";
    "DYN_METRICS_NATIVE_HISTOGRAMS", "false", "true gives the frontend's histograms native buckets beside the classic ones, for scrapers that take protobuf";
    "DYN_METRICS_ROUTER_WORKERS", "true", "false leaves out router_worker_*, 4 series a worker on each frontend; the sum of all workers stays";
    buckets:
    "REQUEST_DURATION", "1", "256", "10", "request duration in seconds";
    "INPUT_SEQUENCE", "50", "128000", "12", "input tokens and cached tokens";
    "OUTPUT_SEQUENCE", "50", "32000", "10", "output tokens";
    "TTFT", "0.001", "480", "18", "time to first token in seconds";
    "ITL", "0.001", "2", "13", "inter-token latency in seconds";
}

/// Settings of both servers, as the environment has them.
///
/// ```
/// use dynamo_metrics::Environment;
///
/// let variable = |name: &str| match name {
///     "DYN_SYSTEM_PORT" => Some("40000".into()), // more than the i16 that Dynamo 0.9.0 keeps it in
///     "DYN_METRICS_PREFIX" => Some("my-llm".into()),
///     _ => None,
/// };
/// let (environment, warnings) = Environment::read(variable)?;
/// assert_eq!(environment.system.port, Some(40000));
/// assert_eq!(environment.frontend.http_port, 8000);
/// assert_eq!(environment.frontend.metrics_prefix, "my_llm");
/// assert!(warnings[0].to_string().contains("DYN_METRICS_PREFIX=\"my-llm\""));
/// # Ok::<(), dynamo_metrics::EnvironmentError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Environment {
    /// The system server of workers.
    pub system: SystemEnvironment,
    /// The HTTP frontend.
    pub frontend: FrontendEnvironment,
}

/// Settings of the system server, as the environment has them. [`VARIABLES`] has the meaning and the default of each variable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SystemEnvironment {
    /// Port of the system server: `None` for no server, the default; 0 for any port that is free (`DYN_SYSTEM_PORT`).
    pub port: Option<u16>,
    /// Address or host name that the system server listens on; `0.0.0.0` by default (`DYN_SYSTEM_HOST`).
    pub host: String,
    /// Absolute path of the health probe, not `/metrics`; `/health` by default (`DYN_SYSTEM_HEALTH_PATH`).
    pub health_path: String,
    /// Absolute path of the liveness probe, not `/metrics`; `/live` by default (`DYN_SYSTEM_LIVE_PATH`). May be the health
    /// path: both answer the same.
    pub live_path: String,
    /// Health until an endpoint has a status; not ready by default (`DYN_SYSTEM_STARTING_HEALTH_STATUS`: `ready` or
    /// `notready`).
    pub starting_health_status: HealthStatus,
    /// Endpoints that must all be ready, by their original names; none by default (`DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS`: a
    /// JSON list).
    pub use_endpoint_health_status: Vec<String>,
    /// Canary requests to endpoints; off by default (`DYN_HEALTH_CHECK_ENABLED`, `DYN_CANARY_WAIT_TIME` and
    /// `DYN_HEALTH_CHECK_REQUEST_TIMEOUT`: see [`HealthChecks`]).
    pub health_checks: HealthChecks,
    /// Web configuration in the form of Prometheus' exporter-toolkit; none by default (`DYN_METRICS_WEB_CONFIG_FILE`). It is
    /// read when the server starts.
    pub web_config_file: Option<PathBuf>,
    /// True if the health and liveness probes pass without a password; false by default (`DYN_METRICS_PROBES_WITHOUT_AUTH`).
    pub probes_without_auth: bool,
    /// Origins whose pages may read the system port in a browser; none by default (`DYN_METRICS_CORS_ORIGINS`: origins with
    /// commas between them, `*` for all).
    pub cors_origins: CorsOrigins,
    /// True if the system page has all of `dynamo_metrics_*`; false by default (`DYN_METRICS_DETAILS`).
    pub details: bool,
}

/// Settings of the frontend, as the environment has them. [`VARIABLES`] has the meaning and the default of each variable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FrontendEnvironment {
    /// Port of the frontend, 0 for any port that is free; 8000 by default (`DYN_HTTP_PORT`).
    pub http_port: u16,
    /// Absolute path of the metrics; `/metrics` by default (`DYN_HTTP_SVC_METRICS_PATH`). The three paths differ, and none is
    /// below the API's.
    pub metrics_path: String,
    /// Absolute path of the health probe; `/health` by default (`DYN_HTTP_SVC_HEALTH_PATH`).
    pub health_path: String,
    /// Absolute path of the liveness probe; `/live` by default (`DYN_HTTP_SVC_LIVE_PATH`).
    pub live_path: String,
    /// Beginning of the names of the frontend's metrics, which is valid; `dynamo_frontend` by default (`DYN_METRICS_PREFIX`).
    pub metrics_prefix: String,
    /// Bounds of the histograms, which can be generated; Dynamo's by default (`DYN_METRICS_*_{MIN,MAX,COUNT}`).
    pub buckets: FrontendBuckets,
    /// Origins whose pages may read the frontend's metrics, probes and pages in a browser, not its API; none by default
    /// (`DYN_METRICS_CORS_ORIGINS`).
    pub cors_origins: CorsOrigins,
    /// True if the frontend's page has all of `dynamo_metrics_*`; false by default (`DYN_METRICS_DETAILS`).
    pub details: bool,
    /// True if the histograms have native buckets beside the classic ones; false by default (`DYN_METRICS_NATIVE_HISTOGRAMS`).
    pub native_histograms: bool,
    /// True if the page has the router's series of each worker; true by default (`DYN_METRICS_ROUTER_WORKERS`).
    pub router_workers: bool,
}

/// A variable whose value was changed or ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The variable.
    pub variable: String,
    /// Its value.
    pub value: String,
    /// The fault of the value.
    pub reason: String,
    /// The value that is used instead.
    pub used: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, value, reason, used } = self;
        write!(f, "{variable}={value:?}: {reason}; using {used}")
    }
}

/// A variable whose value keeps the process from starting.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{variable}={value:?}: {reason}; expected {expected}")]
#[non_exhaustive]
pub struct EnvironmentError {
    /// The variable.
    pub variable: String,
    /// Its value.
    pub value: String,
    /// The fault of the value.
    pub reason: String,
    /// The values that are valid.
    pub expected: &'static str,
}

impl Environment {
    /// Reads every variable through `lookup`, which returns the value of a name.
    ///
    /// # Errors
    /// A port, path, host or health status that is not valid.
    pub fn read(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<Warning>), EnvironmentError> {
        read::read(lookup)
    }

    /// Reads the environment of this process. Bytes that are not Unicode become replacement characters, which no port or path may
    /// have.
    ///
    /// # Errors
    /// See [`read`](Self::read).
    pub fn from_process() -> Result<(Self, Vec<Warning>), EnvironmentError> {
        Self::read(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
    }
}

impl Default for FrontendEnvironment {
    /// Returns the settings when no variable is set.
    fn default() -> Self {
        Self {
            http_port: 8000,
            metrics_path: "/metrics".into(),
            health_path: "/health".into(),
            live_path: "/live".into(),
            metrics_prefix: name_prefix::FRONTEND.into(),
            buckets: FrontendBuckets::default(),
            cors_origins: CorsOrigins::default(),
            details: false,
            native_histograms: false,
            router_workers: true,
        }
    }
}

impl Default for SystemEnvironment {
    /// Returns the settings when no variable is set.
    fn default() -> Self {
        Self {
            port: None,
            host: "0.0.0.0".into(),
            health_path: "/health".into(),
            live_path: "/live".into(),
            starting_health_status: HealthStatus::NotReady,
            use_endpoint_health_status: Vec::new(),
            health_checks: HealthChecks::default(),
            web_config_file: None,
            probes_without_auth: false,
            cors_origins: CorsOrigins::default(),
            details: false,
        }
    }
}
