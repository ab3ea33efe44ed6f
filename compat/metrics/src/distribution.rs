//! The form of each histogram on the page: native, with buckets, or a summary, by its name.

use crate::matcher::Matcher;
use dynamo_metrics_core::{Buckets, NativeBuckets, RegisterError, Registry, SummaryOpts};
use std::time::Duration;

/// The quantiles, window and slices of summaries are those of `metrics-exporter-prometheus`. The range is as wide as a summary may have it
/// from a microsecond on, because the facade's histograms may be of seconds or of bytes.
const QUANTILES: [f64; 7] = [0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0];
const WINDOW: Duration = Duration::from_secs(60);
const SLICES: u32 = 3;
const RANGE: (f64, f64) = (1e-6, 1e8);

/// The form of one histogram.
#[derive(Clone, Debug)]
pub(crate) enum Distribution {
    Buckets(Buckets),
    Native(NativeBuckets),
    Summary(SummaryOpts),
}

/// The forms of all histograms.
#[derive(Clone, Debug)]
pub(crate) struct Distributions {
    pub(crate) natives: Vec<(Matcher, NativeBuckets)>,
    pub(crate) buckets: Vec<(Matcher, Buckets)>,
    /// The form of the others.
    pub(crate) others: Distribution,
}

/// Returns the form of histograms without settings.
pub(crate) fn default_summary() -> SummaryOpts {
    let summary = SummaryOpts::new().quantiles(QUANTILES).window(WINDOW).slices(SLICES);
    summary.range(RANGE.0, RANGE.1)
}

impl Default for Distributions {
    fn default() -> Self {
        let others = Distribution::Summary(default_summary());
        Self { natives: Vec::new(), buckets: Vec::new(), others }
    }
}

impl Distributions {
    /// Returns the form of the histogram with this name.
    pub(crate) fn of(&self, name: &str) -> Distribution {
        if let Some((_, native)) = self.natives.iter().find(|(matcher, _)| matcher.matches(name)) {
            return Distribution::Native(native.clone());
        }
        match self.buckets.iter().find(|(matcher, _)| matcher.matches(name)) {
            Some((_, buckets)) => Distribution::Buckets(buckets.clone()),
            None => self.others.clone(),
        }
    }

    /// Checks the settings that are checked at registration, in a registry of their own.
    pub(crate) fn check(&self) -> Result<(), RegisterError> {
        let others = [&self.others];
        let natives = self.natives.iter().map(|(matcher, native)| {
            let (Matcher::Full(name) | Matcher::Prefix(name) | Matcher::Suffix(name)) = matcher;
            // The error names the metric, so the pattern stands for it.
            (format!("h{name}"), native)
        });
        for (name, native) in natives {
            Registry::new().native_histogram((name, ""), native)?;
        }
        for form in others {
            match form {
                Distribution::Native(native) => {
                    drop(Registry::new().native_histogram(("histograms", ""), native)?);
                }
                Distribution::Summary(summary) => {
                    drop(Registry::new().summary(("histograms", ""), summary)?);
                }
                Distribution::Buckets(_) => {}
            }
        }
        Ok(())
    }
}
