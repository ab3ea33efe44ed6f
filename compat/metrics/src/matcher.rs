//! Matchers of names, for settings of some metrics.

use crate::naming::metric_name;

/// Matches names of metrics, as they are on the page but for suffixes that the page adds. Characters that Prometheus does not take become
/// `_` in the pattern as they do in names.
///
/// Where several match, a full name comes before a prefix and a prefix before a suffix; of two of a sort, the first in the order of texts.
///
/// ```
/// use dynamo_metrics_facade::Matcher;
///
/// assert!(Matcher::Suffix("_seconds".into()).matches("wait_seconds"));
/// assert!(!Matcher::Full("wait".into()).matches("wait_seconds"));
/// assert!(Matcher::Full("http_wait".into()) < Matcher::Prefix("http".into()));
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Matcher {
    /// The whole name.
    Full(String),
    /// The beginning of the name.
    Prefix(String),
    /// The end of the name.
    Suffix(String),
}

impl Matcher {
    /// Returns whether this name matches.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Full(full) => name == full,
            Self::Prefix(prefix) => name.starts_with(prefix),
            Self::Suffix(suffix) => name.ends_with(suffix),
        }
    }

    /// Returns the matcher of the names as they are after replacement.
    pub(crate) fn replaced(self) -> Self {
        match self {
            Self::Full(full) => Self::Full(metric_name(&full)),
            Self::Prefix(prefix) => Self::Prefix(metric_name(&prefix)),
            Self::Suffix(suffix) => Self::Suffix(metric_name(&suffix)),
        }
    }
}
