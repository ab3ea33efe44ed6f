//! The settings of health: statuses, and the canary requests to endpoints.

use std::time::Duration;

/// The status of a worker or of one of its endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HealthStatus {
    /// The worker or endpoint takes requests.
    Ready,
    /// The worker or endpoint takes no requests, or not yet.
    #[default]
    NotReady,
}

impl HealthStatus {
    /// Returns `ready` or `notready`, the spelling of probes and of the environment.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "notready",
        }
    }
}

/// The settings of canary requests.
///
/// ```
/// use dynamo_metrics::HealthChecks;
/// use std::time::Duration;
///
/// let checks = HealthChecks { enabled: true, ..HealthChecks::default() };
/// assert_eq!((checks.wait_time, checks.request_timeout), (Duration::from_secs(10), Duration::from_secs(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthChecks {
    /// `DYN_HEALTH_CHECK_ENABLED`: whether canaries are sent.
    pub enabled: bool,
    /// `DYN_CANARY_WAIT_TIME`: how long after the last good request a canary is sent.
    pub wait_time: Duration,
    /// `DYN_HEALTH_CHECK_REQUEST_TIMEOUT`: how long it may take.
    pub request_timeout: Duration,
}

impl Default for HealthChecks {
    fn default() -> Self {
        Self {
            enabled: false,
            wait_time: Duration::from_secs(10),
            request_timeout: Duration::from_secs(3),
        }
    }
}
