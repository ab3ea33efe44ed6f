//! The process environment, read once: every variable that Dynamo's documentation names, and what is made of
//! values that make no sense.
//!
//! A port, path or status that cannot be meant as it stands is an **error**: the process would be somewhere
//! else than its operator thinks. Bounds and prefixes are **warnings**: the default is used, and says so. An
//! empty value counts as unset. [`VARIABLES`] lists all of them.

mod read;

use crate::canary::HealthChecks;
use crate::frontend::FrontendBuckets;
use crate::health::HealthStatus;
use crate::names::name_prefix;
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

/// A variable: its name, what holds when it is not set, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variable {
    /// As in the environment.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What it is for.
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
    "DYN_HTTP_PORT", "8000", "port of the frontend, 0 for any that is free";
    "DYN_HTTP_SVC_METRICS_PATH", "/metrics", "path of the frontend's metrics";
    "DYN_HTTP_SVC_HEALTH_PATH", "/health", "path of the frontend's health probe";
    "DYN_HTTP_SVC_LIVE_PATH", "/live", "path of the frontend's liveness probe";
    "DYN_METRICS_PREFIX", "dynamo_frontend", "what names of the frontend's metrics begin with";
    buckets:
    "REQUEST_DURATION", "1", "256", "10", "request duration in seconds";
    "INPUT_SEQUENCE", "50", "128000", "12", "input tokens and cached tokens";
    "OUTPUT_SEQUENCE", "50", "32000", "10", "output tokens";
    "TTFT", "0.001", "480", "18", "time to first token in seconds";
    "ITL", "0.001", "2", "13", "inter-token latency in seconds";
}

/// What the environment says about both servers.
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

/// What the environment says about the system server.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SystemEnvironment {
    /// `DYN_SYSTEM_PORT`. `None` for no server, 0 for any port that is free.
    pub port: Option<u16>,
    /// `DYN_SYSTEM_HOST`.
    pub host: String,
    /// `DYN_SYSTEM_HEALTH_PATH`.
    pub health_path: String,
    /// `DYN_SYSTEM_LIVE_PATH`. May be the health path: both answer the same.
    pub live_path: String,
    /// `DYN_SYSTEM_STARTING_HEALTH_STATUS`.
    pub starting_health_status: HealthStatus,
    /// `DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS`.
    pub use_endpoint_health_status: Vec<String>,
    /// `DYN_HEALTH_CHECK_ENABLED`, `DYN_CANARY_WAIT_TIME` and `DYN_HEALTH_CHECK_REQUEST_TIMEOUT`.
    pub health_checks: HealthChecks,
    /// `DYN_METRICS_WEB_CONFIG_FILE`, in the form of Prometheus' exporter-toolkit. It is read when the server
    /// starts.
    pub web_config_file: Option<PathBuf>,
    /// `DYN_METRICS_PROBES_WITHOUT_AUTH`.
    pub probes_without_auth: bool,
}

/// What the environment says about the frontend.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FrontendEnvironment {
    /// `DYN_HTTP_PORT`, 0 for any port that is free.
    pub http_port: u16,
    /// `DYN_HTTP_SVC_METRICS_PATH`.
    pub metrics_path: String,
    /// `DYN_HTTP_SVC_HEALTH_PATH`.
    pub health_path: String,
    /// `DYN_HTTP_SVC_LIVE_PATH`.
    pub live_path: String,
    /// `DYN_METRICS_PREFIX`, a valid beginning of metric names.
    pub metrics_prefix: String,
    /// `DYN_METRICS_*_{MIN,MAX,COUNT}`, bounds that can be generated.
    pub buckets: FrontendBuckets,
}

/// A variable that was not taken as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The variable.
    pub variable: String,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
    /// What is used instead.
    pub used: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, value, reason, used } = self;
        write!(f, "{variable}={value:?}: {reason}; using {used}")
    }
}

/// A variable with which the process should not start.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{variable}={value:?}: {reason}; expected {expected}")]
#[non_exhaustive]
pub struct EnvironmentError {
    /// The variable.
    pub variable: String,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
    /// What would be right.
    pub expected: &'static str,
}

impl Environment {
    /// Reads every variable through `lookup`, which returns the value of a name.
    ///
    /// # Errors
    /// A port, path, host or health status that cannot be meant as it stands.
    pub fn read(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<Warning>), EnvironmentError> {
        read::read(lookup)
    }

    /// Reads the environment of this process. What is not Unicode comes with replacement characters, which no
    /// port or path may have.
    ///
    /// # Errors
    /// See [`read`](Self::read).
    pub fn from_process() -> Result<(Self, Vec<Warning>), EnvironmentError> {
        Self::read(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
    }
}

impl Default for FrontendEnvironment {
    /// What holds when no variable is set.
    fn default() -> Self {
        Self {
            http_port: 8000,
            metrics_path: "/metrics".into(),
            health_path: "/health".into(),
            live_path: "/live".into(),
            metrics_prefix: name_prefix::FRONTEND.into(),
            buckets: FrontendBuckets::default(),
        }
    }
}

impl Default for SystemEnvironment {
    /// What holds when no variable is set.
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
        }
    }
}
