//! The settings of a recorder, by the names that they have in `metrics-exporter-prometheus`.

use crate::{BuildError, Matcher, PrometheusHandle, PrometheusRecorder};
use dynamo_metrics_facade::{Buckets, Builder, MetricKinds, NativeBuckets};
use metrics_util::{MetricKind, MetricKindMask};
use quanta::Clock;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

/// Serves the page until it is dropped.
pub type ExporterFuture = Pin<Box<dyn Future<Output = Result<(), io::Error>> + Send + 'static>>;

/// The settings of native histograms.
#[derive(Clone, Copy, Debug)]
pub struct NativeHistogramConfig(f64, u32);

impl NativeHistogramConfig {
    /// Returns settings with this growth of buckets and this number of them. The threshold of zero is that of the core.
    ///
    /// # Errors
    /// None: the recorder checks them.
    pub fn new(factor: f64, buckets: u32, _zero_threshold: f64) -> Result<Self, BuildError> {
        Ok(Self(factor, buckets))
    }
}

#[derive(Clone, Debug)]
enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Builds and installs a recorder.
#[derive(Clone, Debug)]
pub struct PrometheusBuilder {
    builder: Builder,
    listen: Listen,
    buckets: bool,
    quantiles: Vec<f64>,
    duration: Duration,
    slices: u32,
}

impl Default for PrometheusBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl PrometheusBuilder {
    /// Returns the settings of a recorder whose histograms are summaries, and of a listener on port 9000.
    pub fn new() -> Self {
        Self {
            builder: Builder::new(),
            listen: Listen::Tcp((Ipv4Addr::UNSPECIFIED, 9000).into()),
            buckets: false,
            quantiles: vec![0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0],
            duration: Duration::from_secs(20),
            slices: 3,
        }
    }

    fn with(self, set: impl FnOnce(Builder) -> Builder) -> Self {
        Self { builder: set(self.builder), ..self }
    }

    /// Serves the page at this address.
    pub fn with_http_listener(self, address: impl Into<SocketAddr>) -> Self {
        Self { listen: Listen::Tcp(address.into()), ..self }
    }

    /// Serves the page at this socket.
    pub fn with_http_uds_listener(self, path: impl Into<PathBuf>) -> Self {
        Self { listen: Listen::Unix(path.into()), ..self }
    }

    /// Sets the quantiles of summaries.
    ///
    /// # Errors
    /// There are none.
    pub fn set_quantiles(self, quantiles: &[f64]) -> Result<Self, BuildError> {
        if quantiles.is_empty() {
            return Err(BuildError::EmptyBucketsOrQuantiles);
        }
        Ok(Self { quantiles: quantiles.to_vec(), ..self })
    }

    /// Sets the time of one slice of the window of summaries.
    ///
    /// # Errors
    /// It is zero.
    pub fn set_bucket_duration(self, duration: Duration) -> Result<Self, BuildError> {
        if duration.is_zero() {
            return Err(BuildError::ZeroBucketDuration);
        }
        Ok(Self { duration, ..self })
    }

    /// Sets the number of slices of the window of summaries.
    pub fn set_bucket_count(self, count: NonZeroU32) -> Self {
        Self { slices: count.get(), ..self }
    }

    /// Sets the bounds of histograms without a matcher.
    ///
    /// # Errors
    /// There are none.
    pub fn set_buckets(self, bounds: &[f64]) -> Result<Self, BuildError> {
        let buckets = some(bounds)?;
        Ok(Self { buckets: true, ..self.with(|builder| builder.buckets(&buckets)) })
    }

    /// Sets the bounds of the histograms that match.
    ///
    /// # Errors
    /// There are none.
    pub fn set_buckets_for_metric(
        self,
        matcher: Matcher,
        bounds: &[f64],
    ) -> Result<Self, BuildError> {
        let buckets = some(bounds)?;
        Ok(self.with(|builder| builder.buckets_for(matcher, &buckets)))
    }

    /// Makes the histograms that match native.
    pub fn set_native_histogram_for_metric(
        self,
        matcher: Matcher,
        config: NativeHistogramConfig,
    ) -> Self {
        let native = NativeBuckets::new().factor(config.0).max_buckets(config.1);
        self.with(|builder| builder.native_histograms_for(matcher, &native))
    }

    /// Puts units into names.
    pub fn set_enable_unit_suffix(self, enabled: bool) -> Self {
        self.with(|builder| builder.unit_suffixes(enabled))
    }

    /// Puts units into names, and `_total` at the end of those of counters.
    pub fn with_recommended_naming(self, enabled: bool) -> Self {
        self.with(|builder| builder.recommended_naming(enabled))
    }

    /// Removes series of these kinds that were not recorded for longer than the timeout.
    pub fn idle_timeout(self, mask: MetricKindMask, timeout: Option<Duration>) -> Self {
        let kinds = [
            (MetricKind::Counter, MetricKinds::COUNTER),
            (MetricKind::Gauge, MetricKinds::GAUGE),
            (MetricKind::Histogram, MetricKinds::HISTOGRAM),
        ];
        let kinds = kinds.into_iter().filter(|(kind, _)| mask.matches(*kind));
        let kinds = kinds.fold(MetricKinds::NONE, |all, (_, kind)| all | kind);
        self.with(|builder| builder.idle_timeout(kinds, timeout))
    }

    /// Does nothing: there is no upkeep.
    pub fn upkeep_timeout(self, _: Duration) -> Self {
        self
    }

    /// Adds a label to every metric.
    pub fn add_global_label(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|builder| builder.global_label(name.into(), value))
    }

    /// Installs the recorder, and serves its page for as long as the process runs.
    ///
    /// # Errors
    /// As [`build`](Self::build); a process that has a recorder.
    pub fn install(self) -> Result<(), BuildError> {
        let (recorder, served) = self.build()?;
        std::mem::forget(served);
        Ok(metrics::set_global_recorder(recorder)?)
    }

    /// Installs the recorder and returns its handle.
    ///
    /// # Errors
    /// The process has a recorder.
    pub fn install_recorder(self) -> Result<PrometheusHandle, BuildError> {
        let recorder = self.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)?;
        Ok(handle)
    }

    /// Returns the recorder, and a future that serves its page until it is dropped.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn build(self) -> Result<(PrometheusRecorder, ExporterFuture), BuildError> {
        let listen = self.listen.clone();
        let recorder = self.build_recorder();
        // That exporter answers every path with the page, and its own test asks for this one.
        let server = recorder.handle().0.server().metrics_path("/");
        let server = match &listen {
            Listen::Tcp(address) => server.address(*address),
            Listen::Unix(path) => server.unix_socket(path),
        };
        let server = server.spawn();
        let server =
            server.map_err(|error| BuildError::FailedToCreateHTTPListener(error.to_string()))?;
        let serve = async move {
            let () = std::future::pending().await;
            drop(server);
            Ok(())
        };
        Ok((recorder, Box::pin(serve)))
    }

    /// Returns the recorder.
    pub fn build_recorder(self) -> PrometheusRecorder {
        self.build_with_clock(Clock::new())
    }

    /// Returns the recorder under this clock.
    ///
    /// # Panics
    /// The settings are invalid.
    #[doc(hidden)]
    pub fn build_with_clock(self, clock: Clock) -> PrometheusRecorder {
        let start = clock.now();
        let mut builder = self.builder.clock(move || clock.now().duration_since(start));
        if !self.buckets {
            let summary = Builder::default_summary().quantiles(self.quantiles);
            let summary = summary.window(self.duration * self.slices).slices(self.slices);
            builder = builder.summaries(&summary);
        }
        PrometheusRecorder(builder.build().expect("the settings are valid"))
    }
}

/// Returns the bounds, of which there are some.
fn some(bounds: &[f64]) -> Result<Buckets, BuildError> {
    if bounds.is_empty() {
        return Err(BuildError::EmptyBucketsOrQuantiles);
    }
    Buckets::new(bounds.iter().copied()).map_err(|_| BuildError::EmptyBucketsOrQuantiles)
}
