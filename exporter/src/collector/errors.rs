//! The counters and log lines about the errors of one collector.

use crate::log_throttle::LogThrottle;
use crate::names::{COLLECTOR_ERRORS_TOTAL, COLLECTOR_LABEL, REASON_LABEL};
use dynamo_metrics_core::{
    Counter, Family, Opts, RegisterError, Registry, limits::OPERATOR_LABEL_VALUE_BYTES_MAX,
};
use parking_lot::Mutex;
use std::time::Instant;

/// The counters of one collector's errors.
#[derive(Debug)]
pub(crate) struct CollectorErrors {
    pub(super) name: String,
    errors: Family<Counter, 2>,
    log: Mutex<LogThrottle>,
}

impl CollectorErrors {
    pub(crate) fn new(name: &str, registry: &Registry) -> Result<Self, RegisterError> {
        let help = "Collections that failed, and parts of them left out of the page, by collector and reason.";
        let opts = Opts::new(COLLECTOR_ERRORS_TOTAL, help)
            .label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX);
        let errors = registry.counter_family(opts, [COLLECTOR_LABEL, REASON_LABEL])?;
        Ok(Self { name: name.into(), errors, log: Mutex::default() })
    }

    pub(crate) fn count(&self, reason: &str, count: u64) {
        if count > 0 {
            self.errors.visit([&self.name, reason], |errors| errors.add(count));
        }
    }

    /// Counts a failure and logs its message, unless one was logged a moment ago.
    pub(crate) fn failed(&self, reason: &str, error: &str) {
        self.count(reason, 1);
        if let Some(left_out) = self.log.lock().failed(Instant::now()) {
            tracing::warn!(collector = self.name, error, left_out, "a collector failed");
        }
    }

    pub(crate) fn succeeded(&self) {
        if let Some(left_out) = self.log.lock().succeeded() {
            tracing::info!(collector = self.name, left_out, "a collector works again");
        }
    }
}
