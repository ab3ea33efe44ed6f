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
    /// True if canaries are sent; false by default (`DYN_HEALTH_CHECK_ENABLED`).
    pub enabled: bool,
    /// Time without a good request after which a canary is sent; 10 s by default (`DYN_CANARY_WAIT_TIME`: above 0, at most a
    /// day). 0 sends one canary after the other without a pause.
    pub wait_time: Duration,
    /// Longest time of a canary's answer; 3 s by default (`DYN_HEALTH_CHECK_REQUEST_TIMEOUT`: above 0, at most a day). With 0
    /// no canary is answered in time.
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
