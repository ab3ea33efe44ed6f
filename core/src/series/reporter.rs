//! Reports of what a family could not take as it came.
//!
//! Series, families and scrapes report; the registry's telemetry counts, in families of its own. So nothing below the
//! families knows that there is telemetry. None of these functions is on the way of a recording that succeeds.

use std::fmt;

/// A receiver of reports. `family` is always the name of the family that reports.
pub(crate) trait Reporter: fmt::Debug + Send + Sync {
    /// Reports `n` values that were not recorded as given.
    fn rejected(&self, family: &str, reason: &'static str, n: u64);

    /// Reports a lookup that the family's limit of series sent to its overflow series.
    fn overflowed(&self, family: &str);

    /// Reports a lookup with a label value that is longer than the family keeps.
    fn truncated(&self, family: &str);

    /// Reports a callback that panicked in a scrape.
    fn panicked(&self, family: &str);
}
