//! The settings of a frontend's metrics: prefix, bucket bounds, clock.

use crate::clock::{Clock, MonotonicClock};
use crate::names::name_prefix;
use dynamo_metrics_core::{Buckets, error::BucketsError};
use std::fmt;
use std::sync::Arc;

/// Bounds of one histogram.
///
/// ```
/// use dynamo_metrics::BucketBounds;
///
/// let bounds = BucketBounds::Generated { min: 1.0, max: 256.0, count: 10 };
/// assert_eq!(bounds.buckets()?.bounds(), [0.0, 1.9, 3.4, 6.3, 12.0, 22.0, 40.0, 75.0, 140.0, 260.0]);
/// # Ok::<(), dynamo_metrics::BucketsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum BucketBounds {
    /// Bounds by Dynamo's rule: 0, then `min * (max/min)^(i/(count-1))` for `i` from 1, rounded to two significant
    /// figures. `count` includes the 0; `min` itself is never a bound.
    Generated {
        /// Positive and finite, in the histogram's unit.
        min: f64,
        /// Above `min` and finite; the last bound, rounded.
        max: f64,
        /// 1 to 512.
        count: usize,
    },
    /// The bounds themselves, strictly increasing.
    Listed(Vec<f64>),
}

impl BucketBounds {
    /// Returns the buckets with these bounds.
    ///
    /// # Errors
    /// A range that is empty or not finite, a list that does not increase, too many bounds or none.
    pub fn buckets(&self) -> Result<Buckets, BucketsError> {
        match self {
            Self::Generated { min, max, count } => Buckets::dynamo(*min, *max, *count),
            Self::Listed(bounds) => Buckets::new(bounds.iter().copied()),
        }
    }
}

impl fmt::Display for BucketBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generated { min, max, count } => write!(f, "{min},{max},{count}"),
            Self::Listed(bounds) => write!(f, "{bounds:?}"),
        }
    }
}

/// Bounds of the frontend's histograms; by default those of Dynamo 0.9.0.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontendBuckets {
    /// Bounds of `request_duration_seconds`.
    pub request_duration: BucketBounds,
    /// Bounds of `input_sequence_tokens` and `cached_tokens`.
    pub input_sequence: BucketBounds,
    /// Bounds of `output_sequence_tokens`.
    pub output_sequence: BucketBounds,
    /// Bounds of `time_to_first_token_seconds`.
    pub time_to_first_token: BucketBounds,
    /// Bounds of `inter_token_latency_seconds`.
    pub inter_token_latency: BucketBounds,
}

impl Default for FrontendBuckets {
    fn default() -> Self {
        let generated = |min, max, count| BucketBounds::Generated { min, max, count };
        Self {
            request_duration: generated(1.0, 256.0, 10),
            input_sequence: generated(50.0, 128_000.0, 12),
            output_sequence: generated(50.0, 32_000.0, 10),
            time_to_first_token: generated(0.001, 480.0, 18),
            inter_token_latency: generated(0.001, 2.0, 13),
        }
    }
}

/// No models: where workers register their models, any other name is an error or an attack of a client. A program that
/// cannot know the models in advance, as a proxy, sets [`FrontendConfig::unserved_models_max`].
pub const UNSERVED_MODELS_MAX_DEFAULT: usize = 0;

/// The settings of [`FrontendMetrics`](crate::FrontendMetrics).
///
/// ```
/// use dynamo_metrics::{Environment, FrontendConfig};
///
/// let (environment, _warnings) = Environment::read(|_| None)?;
/// let config = FrontendConfig::from(&environment.frontend);
/// assert_eq!(config.prefix, "dynamo_frontend");
/// # Ok::<(), dynamo_metrics::EnvironmentError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FrontendConfig {
    /// The begin of all names, without the `_` that follows; `dynamo_frontend` by default.
    pub prefix: String,
    /// Bounds of the histograms.
    pub buckets: FrontendBuckets,
    /// True if the histograms have native buckets beside the classic ones, for scrapers that take protobuf; not by default.
    /// Each series then takes about 2 KiB a thread that records in it, and an observation costs twice as much.
    pub native_histograms: bool,
    /// Number of models without a worker that get their own series, those that requests name first;
    /// [`UNSERVED_MODELS_MAX_DEFAULT`] by default, at most [`MODELS_MAX`](crate::MODELS_MAX). Requests for others are
    /// counted as `unknown_model`.
    pub unserved_models_max: usize,
    /// The clock of requests that are dropped without an instant.
    pub clock: Arc<dyn Clock>,
}

impl Default for FrontendConfig {
    fn default() -> Self {
        Self {
            prefix: name_prefix::FRONTEND.into(),
            buckets: FrontendBuckets::default(),
            native_histograms: false,
            unserved_models_max: UNSERVED_MODELS_MAX_DEFAULT,
            clock: Arc::new(MonotonicClock::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_bounds_are_those_of_dynamo_0_9_0() {
        let default = FrontendBuckets::default();
        let bounds = |bounds: &BucketBounds| bounds.buckets().unwrap().bounds().to_vec();
        assert_eq!(
            bounds(&default.input_sequence),
            [
                0.0, 100.0, 210.0, 430.0, 870.0, 1800.0, 3600.0, 7400.0, 15000.0, 31000.0, 63000.0,
                130_000.0
            ]
        );
        assert_eq!(
            bounds(&default.output_sequence),
            [0.0, 100.0, 210.0, 430.0, 880.0, 1800.0, 3700.0, 7600.0, 16000.0, 32000.0]
        );
        assert_eq!(
            bounds(&default.time_to_first_token),
            [
                0.0, 0.0022, 0.0047, 0.01, 0.022, 0.047, 0.1, 0.22, 0.47, 1.0, 2.2, 4.7, 10.0,
                22.0, 48.0, 100.0, 220.0, 480.0
            ]
        );
        assert_eq!(
            bounds(&default.inter_token_latency),
            [0.0, 0.0019, 0.0035, 0.0067, 0.013, 0.024, 0.045, 0.084, 0.16, 0.3, 0.56, 1.1, 2.0]
        );
    }

    #[test]
    fn bounds_may_be_listed() {
        let listed = BucketBounds::Listed(vec![0.1, 0.2]);
        assert_eq!(listed.buckets().unwrap().bounds(), [0.1, 0.2]);
        assert!(BucketBounds::Listed(vec![0.2, 0.1]).buckets().is_err());
    }
}
