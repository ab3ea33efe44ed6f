//! The API of `metrics-exporter-prometheus` 0.18 on `dynamo-metrics-facade`, so that the tests of crates that use that exporter run on our
//! recorder: `ci/facade-judges.sh` patches it into them. It is not for programs, which use the recorder itself.
//!
//! The page has its families in the order of that exporter, with an empty line behind each; all else is as the recorder prints it.
//! Push gateways, lists of addresses that may connect, and the functions of `formatting` are left out.

#![forbid(unsafe_code)]

mod builder;
mod page;

pub use builder::{ExporterFuture, NativeHistogramConfig, PrometheusBuilder};
pub use dynamo_metrics_facade::Matcher;

use dynamo_metrics_facade::{DynamoRecorder, Handle};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SetRecorderError, SharedString,
    Unit,
};
use std::io;
use thiserror::Error;

/// The reason why a recorder was not built or not installed.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The address cannot be listened on.
    #[error("failed to create HTTP listener: {0}")]
    FailedToCreateHTTPListener(String),
    /// The process has a recorder.
    #[error("failed to install exporter as global recorder: {0}")]
    FailedToSetGlobalRecorder(#[from] SetRecorderError<PrometheusRecorder>),
    /// There are no bounds or no quantiles.
    #[error("bucket bounds/quantiles cannot be empty")]
    EmptyBucketsOrQuantiles,
    /// The window of quantiles is empty.
    #[error("bucket durations cannot be set to zero")]
    ZeroBucketDuration,
}

/// The recorder.
#[derive(Debug)]
pub struct PrometheusRecorder(DynamoRecorder);

impl PrometheusRecorder {
    /// Returns a handle that writes the page.
    pub fn handle(&self) -> PrometheusHandle {
        PrometheusHandle(self.0.handle())
    }
}

impl Recorder for PrometheusRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.0.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.0.register_histogram(key, metadata)
    }
}

/// A handle that writes the page.
#[derive(Clone, Debug)]
pub struct PrometheusHandle(Handle);

impl PrometheusHandle {
    /// Returns the page as text.
    ///
    /// # Panics
    /// A key was refused: the page is not the one that the calls were to give.
    pub fn render(&self) -> String {
        let problems = self.0.problems();
        assert!(problems.is_empty(), "{problems:?}");
        page::arranged(&self.0.render())
    }

    /// Writes the page as text.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn render_to_write(&self, output: &mut impl io::Write) -> io::Result<()> {
        output.write_all(self.render().as_bytes())
    }

    /// Does nothing: there is no upkeep.
    pub fn run_upkeep(&self) {}
}
